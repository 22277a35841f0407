package udp

import "net/netip"

// Packet is one or more datagrams that one peer sent in a row.
type Packet struct {
	// From is the peer's address, IPv4 never in its mapped form.
	From netip.AddrPort

	// Local tells which of this machine's addresses the datagrams came to, if
	// the socket is for all of them: a number that a Batch may name to leave by
	// the same one, 0 where that is not known.
	Local uint8

	// ECN is the congestion mark of the datagrams (RFC 3168 §5): 0 none, 1 and 2
	// those of a capable sender, 3 that they met congestion. It is 0 where marks
	// can't be read (Stats.ECN).
	ECN uint8

	// Data holds the datagrams end to end.
	Data []byte

	// Segment is the size of each datagram in bytes; the last one may be shorter.
	Segment int
}

// Next cuts the first datagram off Data. It returns nil when none is left.
func (p *Packet) Next() []byte {
	if len(p.Data) == 0 {
		return nil
	}
	n := min(p.Segment, len(p.Data))
	if n <= 0 {
		n = len(p.Data)
	}
	d := p.Data[:n:n]
	p.Data = p.Data[n:]
	return d
}

// Batch is one or more datagrams to one peer, to be sent in a row.
type Batch struct {
	To netip.AddrPort

	// Local and ECN are as in a Packet. Where the system can't, datagrams leave
	// by the address that it chooses, without a mark.
	Local, ECN uint8

	// Data holds the datagrams end to end. Empty is nothing to send.
	Data []byte

	// Segment is the size of each datagram in bytes; the last one may be
	// shorter. Zero means that Data is a single datagram.
	Segment int

	// Probe sends a single datagram with the mark not to be fragmented, and
	// whatever is known of the path: it is to find out what the path carries
	// (RFC 8899). Where the system can't, it is sent as any other.
	Probe bool
}

// segment returns the size of the datagrams that b is cut into.
func (b *Batch) segment() int {
	if b.Segment <= 0 || b.Segment > len(b.Data) {
		return len(b.Data)
	}
	return b.Segment
}

// Inbox is the memory that a Read fills, about 256 KiB. It belongs to the Conn
// that made it and to one Read at a time.
type Inbox struct {
	packets []Packet
	buffers [][]byte
	slots   receiveSlots
}

// NewInbox returns the memory for one Read at a time.
func (c *Conn) NewInbox() *Inbox {
	count, size := 1, maxDatagram
	if c.batched {
		count, size = c.inboxShape()
	}
	arena := make([]byte, count*size)
	in := &Inbox{
		packets: make([]Packet, count),
		buffers: make([][]byte, count),
	}
	for i := range in.buffers {
		in.buffers[i] = arena[i*size : (i+1)*size : (i+1)*size]
	}
	in.slots.init(in.buffers)
	return in
}
