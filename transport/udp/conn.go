// Package udp is the socket under transport: datagrams in and out of one UDP
// port, many per system call and none of them allocated.
//
// On Linux a Write becomes sendmmsg(2) of messages that the kernel cuts into
// datagrams (UDP_SEGMENT, "GSO"), and a Read becomes recvmmsg(2) of messages
// that it has glued together (UDP_GRO); see udp(7). Control messages carry
// congestion marks (RFC 3168) and, on a socket for all addresses of a machine,
// the one that a peer uses, so that answers leave by it. What the kernel refuses
// is switched off while running and nothing is lost by it. Elsewhere, and where
// those calls are forbidden, the same Conn works datagram by datagram.
//
// A Conn may be used by one reading and one writing goroutine at a time, beside
// any number of callers of Close, LocalAddr, and Stats. Addresses of IPv4 peers
// are plain IPv4 in both directions, whatever the socket's family.
package udp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// defaultBuffer is what each socket buffer is asked to hold: 20 ms of
	// 1.5 Gbit/s. The kernel may grant less, which is accepted.
	defaultBuffer = 4 << 20

	// writeWait bounds how long a batched Write waits for room in a full send buffer.
	// A burst fits through the network card in that time; what is left after
	// it is dropped, because whoever writes has other peers and timers to serve.
	writeWait = 5 * time.Millisecond

	// maxDatagram is the largest payload of a UDP datagram that every IP
	// version carries: 65535 less the IPv4 and UDP headers.
	maxDatagram = 65507
)

// Options adjusts a Conn. The zero value is the default.
type Options struct {
	// NoOffload keeps the kernel from cutting and gluing datagrams (GSO, GRO).
	NoOffload bool

	// NoECN neither reads nor writes congestion marks.
	NoECN bool

	// ReadBuffer and WriteBuffer are the sizes in bytes asked for the socket's
	// buffers, 4 MiB if zero. A kernel that grants less is not an error.
	ReadBuffer, WriteBuffer int
}

// Conn is a UDP socket that talks to any number of peers.
type Conn struct {
	udp      *net.UDPConn
	local    netip.AddrPort
	platform platform // batches of system calls; unused if it is not on
	batched  bool
	counters counters
}

// Listen opens a socket on addr, "host:port". An empty host listens on every
// address of both IP versions, an IP address only on its own version; port 0
// lets the kernel choose. Errors are those of package net, so that a busy port
// is syscall.EADDRINUSE to errors.Is.
func Listen(addr string, o Options) (*Conn, error) {
	return listen(addr, o, false)
}

// listen is Listen with the choice to do without batches, for tests.
func listen(addr string, o Options, portable bool) (*Conn, error) {
	network, err := networkOf(addr)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{udp: pc.(*net.UDPConn)}
	local := c.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	c.local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())

	// Both fail softly: a small buffer is a slower node, not a broken one.
	_ = c.udp.SetReadBuffer(orDefault(o.ReadBuffer))
	_ = c.udp.SetWriteBuffer(orDefault(o.WriteBuffer))
	if !portable {
		if err := c.startPlatform(o); err != nil {
			c.udp.Close()
			return nil, fmt.Errorf("udp: listen %s: %w", addr, err)
		}
	}
	return c, nil
}

// networkOf tells which IP versions addr stands for.
func networkOf(addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", &net.OpError{Op: "listen", Net: "udp", Err: err}
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil: // empty, or a name to look up
		return "udp", nil
	case ip.Is4() || ip.Is4In6():
		return "udp4", nil
	default:
		return "udp6", nil
	}
}

func orDefault(bytes int) int {
	if bytes <= 0 {
		return defaultBuffer
	}
	return bytes
}

// LocalAddr returns the address that the socket is bound to; a wildcard stays one.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Close closes the socket. A Read or Write that waits returns net.ErrClosed.
func (c *Conn) Close() error { return c.udp.Close() }

// Read waits until datagrams are there and receives as many as fit into in.
// The packets belong to in and stay valid until it is given to Read again, so
// with two of them one can be handled while the other is filled. It returns at
// least one packet or an error, which is net.ErrClosed after Close; what the
// network reports about earlier sends (a refused port) is not an error here.
func (c *Conn) Read(in *Inbox) ([]Packet, error) {
	if c.batched {
		return c.readBatch(in)
	}
	return c.readOne(in)
}

// Receive is Read over and over, for a little less: it has inbox give what to
// fill next, and take get what was received, of which the same holds as of Read.
// It ends with nil when there is something to read and inbox gives nil, else with
// the error of Read. Close waits until neither function is being called.
func (c *Conn) Receive(inbox func() *Inbox, take func(*Inbox, []Packet)) error {
	if c.batched {
		return c.receiveBatches(inbox, take)
	}
	for in := inbox(); in != nil; in = inbox() {
		packets, err := c.readOne(in)
		if err != nil {
			return err
		}
		take(in, packets)
	}
	return nil
}

// Write sends every datagram of the batches, in order. A datagram that can't be
// sent (no route, refused, too long, no room) is lost as if the network had
// lost it, and counted. The only error is that of a closed socket,
// net.ErrClosed. Nothing of the batches is kept.
func (c *Conn) Write(batches []Batch) error {
	if c.batched {
		return c.writeBatch(batches)
	}
	return c.writeEach(batches)
}
