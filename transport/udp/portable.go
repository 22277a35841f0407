package udp

import (
	"errors"
	"net"
	"net/netip"
)

// maxReadErrors is how many errors in a row a Read passes over. Reports about
// earlier sends come one at a time; an error that stays is the socket's own.
const maxReadErrors = 64

// readOne receives a single datagram with package net.
func (c *Conn) readOne(in *Inbox) ([]Packet, error) {
	buf := in.buffers[0]
	for tries := 0; ; tries++ {
		n, from, err := c.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, net.ErrClosed
			}
			c.counters.readErrors.Add(1)
			if tries == maxReadErrors {
				return nil, err
			}
			continue
		}
		if n == 0 {
			tries = 0
			continue
		}
		c.counters.readCalls.Add(1)
		c.counters.readBytes.Add(uint64(n))
		in.packets[0] = Packet{
			From:    netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
			Data:    buf[:n],
			Segment: n,
		}
		return in.packets[:1], nil
	}
}

// writeEach sends the batches datagram by datagram with package net. Where the
// send buffer can be full at all (the BSDs and Windows drop instead), package
// net waits for room.
func (c *Conn) writeEach(batches []Batch) error {
	for i := range batches {
		b := &batches[i]
		size := b.segment()
		for off := 0; off < len(b.Data); off += size {
			d := b.Data[off:min(off+size, len(b.Data))]
			_, err := c.udp.WriteToUDPAddrPort(d, b.To)
			switch {
			case err == nil:
				c.counters.writeCalls.Add(1)
				c.counters.writeBytes.Add(uint64(len(d)))
			case errors.Is(err, net.ErrClosed):
				return net.ErrClosed
			default:
				c.counters.writeErrors.Add(1)
			}
		}
	}
	return nil
}
