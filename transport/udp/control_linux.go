package udp

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sendControl holds the control messages of one message to be sent: the size to
// cut it into, its congestion mark, and the address that it leaves by, together
// 24 + 24 + 40 bytes on 64 bits.
type sendControl struct {
	room [12]uint64
	n    int
}

// add begins a control message of size bytes of data and returns them.
func (c *sendControl) add(level, typ, size int) []byte {
	b := c.bytes()
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[c.n]))
	h.Level, h.Type = int32(level), int32(typ)
	h.SetLen(unix.CmsgLen(size))
	data := b[c.n+unix.CmsgLen(0):][:size:size]
	c.n += unix.CmsgSpace(size)
	return data
}

func (c *sendControl) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&c.room)), unsafe.Sizeof(c.room))
}

// segment has the kernel cut the message into datagrams of a size.
func (c *sendControl) segment(size int) {
	binary.NativeEndian.PutUint16(c.add(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2), uint16(size))
}

// mark sets the two bits of RFC 3168 in the datagrams of the message.
func (c *sendControl) mark(ecn uint8, ipv4 bool) {
	level, typ := unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	if ipv4 {
		level, typ = unix.IPPROTO_IP, unix.IP_TOS
	}
	binary.NativeEndian.PutUint32(c.add(level, typ, 4), uint32(ecn&ecnMask))
}

// from makes the datagrams of the message leave by an address of this machine.
func (c *sendControl) from(addr netip.Addr) {
	if addr.Is4() {
		// struct in_pktinfo: interface index, address to send from, destination.
		b := c.add(unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		clear(b)
		a := addr.As4()
		copy(b[4:], a[:])
		return
	}
	// struct in6_pktinfo: address, interface index.
	b := c.add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	clear(b)
	a := addr.As16()
	copy(b, a[:])
}

const ecnMask = 3

// arrival is what the control messages of a received message tell.
type arrival struct {
	segment int        // of the datagrams that it was glued from, 0 if it is a single one
	ecn     uint8      // the kernel glues only what has the same mark
	local   netip.Addr // the address that it came to
}

// parseArrival reads control messages; those that make no sense tell nothing.
func parseArrival(control []byte) (a arrival) {
	for len(control) >= unix.CmsgSpace(0) {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return a
		}
		control = rest
		switch {
		case hdr.Level == unix.IPPROTO_UDP && hdr.Type == unix.UDP_GRO && len(data) >= 4:
			a.segment = max(int(int32(binary.NativeEndian.Uint32(data))), 0)
		case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_TOS && len(data) >= 1:
			a.ecn = data[0] & ecnMask
		case hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_TCLASS && len(data) >= 4:
			a.ecn = uint8(binary.NativeEndian.Uint32(data)) & ecnMask
		case hdr.Level == unix.IPPROTO_IP && hdr.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			a.local = netip.AddrFrom4([4]byte(data[4:8]))
		case hdr.Level == unix.IPPROTO_IPV6 && hdr.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			a.local = netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
	}
	return a
}

// startControl asks for the control messages that this socket has a use for.
// What the kernel refuses is missing, and Stats says so.
func (c *Conn) startControl(fd int, o Options) {
	p := &c.platform
	on := func(level, opt int) bool { return unix.SetsockoptInt(fd, level, opt, 1) == nil }
	if !o.NoECN {
		ok := on(unix.IPPROTO_IP, unix.IP_RECVTOS)
		if p.ipv6 {
			ok = on(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS) && (ok || !c.dual())
		}
		p.ecn.Store(ok)
	}
	// Only a socket of all addresses can leave by the wrong one.
	if c.local.Addr().IsUnspecified() {
		ok := on(unix.IPPROTO_IP, unix.IP_PKTINFO)
		if p.ipv6 {
			ok = on(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO) && (ok || !c.dual())
		}
		p.pktinfo.Store(ok)
	}
}

// dual reports whether an IPv6 socket carries IPv4 as well. One that is bound to
// an address does not; asking the kernel would say the same.
func (c *Conn) dual() bool { return c.local.Addr().IsUnspecified() }

// locals numbers the addresses of this machine that peers have sent to, from 1.
// The reading and the writing side share it.
type locals struct {
	mu    sync.RWMutex
	known []netip.Addr
}

// maxLocals bounds them; datagrams to further ones are answered as the routing
// table has it.
const maxLocals = 255

// number returns the number of an address, 0 for one that must not be chosen.
func (l *locals) number(addr netip.Addr) uint8 {
	if !addr.IsValid() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return 0 // a link-local address needs its interface
	}
	l.mu.RLock()
	n := l.find(addr)
	l.mu.RUnlock()
	if n != 0 {
		return n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n = l.find(addr); n == 0 && len(l.known) < maxLocals {
		l.known = append(l.known, addr)
		n = uint8(len(l.known))
	}
	return n
}

func (l *locals) find(addr netip.Addr) uint8 {
	for i, a := range l.known {
		if a == addr {
			return uint8(i + 1)
		}
	}
	return 0
}

// address returns the address with a number, the zero Addr for 0.
func (l *locals) address(n uint8) netip.Addr {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if n == 0 || int(n) > len(l.known) {
		return netip.Addr{}
	}
	return l.known[n-1]
}
