package transport

import (
	"bytes"
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/wire"
)

// Packets of the handshake that are larger than the MTU, because of many keys
// in a certificate or a post-quantum one in a component, travel in fragments
// (RFC 7016 §3.4). "this mechanism SHOULD be employed only during session
// startup": fragments in open sessions are ignored.
//
// Keeping fragments is keeping state for whoever sends them. So the first
// fragment of a packet is looked into: the cookie of an IIKeying and the tag of
// an RHello lie at its beginning, and prove that the sender receives at its
// address and was asked. Whatever is not proven in this way, such as fragments
// that overtook the first, shares a small part of the room. When room is short
// the oldest packets are given up: the fragments of an honest packet come close
// together, and a flood must be faster than they.

// assembler puts packets together.
type assembler struct {
	open  []*assembly // the oldest first
	bytes [2]int      // held, by whether it is for proven senders
	limit [2]int
}

// assembly is a packet of which some fragments came. "When reassembling packets
// for Session ID 0, a receiver SHOULD identify the packets by the socket address
// from which the packet containing the fragment was received, as well as the
// indicated packetID."
type assembly struct {
	from     netip.AddrPort
	prefix   netip.Prefix // of from
	session  uint32       // to which they were addressed
	packetID uint64
	proven   int // index of what it counts to: 1 if its sender is proven
	began    clock.Time
	progress clock.Time // of the last new fragment
	parts    [maxFragments][]byte
	have     int
	total    int // fragments of the packet, 0 as long as the last one is missing
	size     int // bytes in parts
	received int // bytes of the datagrams that brought them
}

// Bounds of what is held for one network, in packets, by whether it is proven;
// and what a packet counts beside its bytes.
var assembliesPerPrefix = [2]int{4, 32}

const assemblyOverhead = 1024

func (a *assembler) init(limit int) { a.limit = [2]int{limit / 4, limit} }

// handleFragment takes a Packet Fragment chunk and returns the packet, and the
// bytes that its datagrams had, when it is complete.
func (e *Endpoint) handleFragment(now clock.Time, from netip.AddrPort, session uint32, c wire.Fragment, size int) (packet []byte, received int) {
	a := &e.assembler
	a.expire(e, now)
	p := a.find(from, session, c.PacketID)
	if c.Number >= maxFragments {
		e.drop(from, DropFragment)
		a.remove(p)
		return nil, 0
	}
	proven := 0
	if p != nil {
		proven = p.proven
	}
	if c.Number == 0 && proven == 0 {
		why, ok := drops, false
		if proven, why, ok = e.provenBy(now, from, session, c.Data); !ok {
			e.drop(from, why)
			a.remove(p)
			return nil, 0
		}
	}
	if p == nil {
		p = &assembly{from: from, prefix: prefixOf(from.Addr()), session: session, packetID: c.PacketID, proven: proven, began: now}
		a.makeRoom(e, p, assemblyOverhead+len(c.Data))
		a.open = append(a.open, p)
		a.bytes[proven] += assemblyOverhead
	} else {
		if proven != p.proven {
			a.bytes[p.proven] -= p.cost()
			a.bytes[proven] += p.cost()
			p.proven = proven
		}
		a.makeRoom(e, p, len(c.Data))
	}
	if !p.fits(c) {
		// Two fragments that cannot both be of one packet: one is forged.
		e.drop(from, DropFragment)
		a.remove(p)
		return nil, 0
	}
	if p.parts[c.Number] != nil {
		if !bytes.Equal(p.parts[c.Number], c.Data) {
			e.drop(from, DropFragment)
		}
		return nil, 0
	}
	p.parts[c.Number] = bytes.Clone(c.Data)
	p.have++
	p.size += len(c.Data)
	p.received += size
	p.progress = now
	a.bytes[p.proven] += len(c.Data)
	if !c.More {
		p.total = int(c.Number) + 1
	}
	if p.have != p.total {
		return nil, 0
	}
	a.remove(p)
	return bytes.Join(p.parts[:p.total], nil), p.received
}

// fits reports whether a fragment agrees with those that came before.
func (p *assembly) fits(c wire.Fragment) bool {
	n := int(c.Number)
	if p.total != 0 && (n >= p.total || c.More != (n < p.total-1)) {
		return false
	}
	if !c.More {
		for _, later := range p.parts[n+1:] {
			if later != nil {
				return false
			}
		}
	}
	return p.parts[n] != nil || p.size+len(c.Data) <= maxStartupPacket
}

func (p *assembly) cost() int { return p.size + assemblyOverhead }

// provenBy judges the first fragment of a packet: whether its sender is proven,
// and if it is of no use why.
func (e *Endpoint) provenBy(now clock.Time, from netip.AddrPort, session uint32, b []byte) (proven int, why Drop, ok bool) {
	h, n := wire.ConsumeHeader(b)
	if n == 0 || h.Mode != wire.ModeStartup || len(b) < n+wire.ChunkHeaderSize {
		return 0, DropHeader, false
	}
	if session != 0 {
		// An RIKeying or a Cookie Change: the session exists, and waits for it.
		if s := e.sessions.find(session); s != nil && s.addr == from {
			return 1, 0, true
		}
		return 0, 0, true
	}
	typ, b := wire.ChunkType(b[n]), b[n+wire.ChunkHeaderSize:]
	switch typ {
	case wire.ChunkIHello:
		return 0, 0, true
	case wire.ChunkRHello:
		if tag, n := element.ConsumeField(b); n != 0 && e.byTag(tag) != nil {
			return 1, 0, true
		}
		return 0, DropState, false
	case wire.ChunkIIKeying:
		if len(b) < 4 {
			return 0, DropChunk, false
		}
		cookie, _ := element.ConsumeField(b[4:])
		switch verdict, _ := e.cookies.check(cookie, now, from); verdict {
		case cookieValid:
			return 1, 0, true
		case cookieElsewhere:
			return 0, 0, true
		default:
			return 0, DropCookie, false
		}
	default:
		return 0, DropChunk, false
	}
}

func (a *assembler) find(from netip.AddrPort, session uint32, packetID uint64) *assembly {
	for _, p := range a.open {
		if p.packetID == packetID && p.session == session && p.from == from {
			return p
		}
	}
	return nil
}

// expire gives up packets that make no progress.
func (a *assembler) expire(e *Endpoint, now clock.Time) {
	for i := 0; i < len(a.open); {
		if p := a.open[i]; now > p.deadline() {
			e.drop(p.from, DropAssembly)
			a.remove(p)
		} else {
			i++
		}
	}
}

// deadline is the last instant at which a packet still progresses.
func (p *assembly) deadline() clock.Time {
	return min(p.began.Add(fragmentLifetime), p.progress.Add(fragmentProgress))
}

// next returns the instant at which a packet has to be given up.
func (a *assembler) next() clock.Time {
	at := clock.Never
	for _, p := range a.open {
		at = min(at, p.deadline().Add(1))
	}
	return at
}

// makeRoom gives up the oldest packets of the same kind until there is room for
// n more bytes for p, and not too much for its network if it is new.
func (a *assembler) makeRoom(e *Endpoint, p *assembly, n int) {
	same := 0
	for i := len(a.open) - 1; i >= 0; i-- {
		q := a.open[i]
		if q == p || q.proven != p.proven || q.prefix != p.prefix {
			continue
		}
		if same++; same >= assembliesPerPrefix[p.proven] {
			e.drop(q.from, DropAssembly)
			a.remove(q)
		}
	}
	for i := 0; i < len(a.open) && a.bytes[p.proven]+n > a.limit[p.proven]; {
		if q := a.open[i]; q != p && q.proven == p.proven {
			e.drop(q.from, DropAssembly)
			a.remove(q)
		} else {
			i++
		}
	}
}

// remove forgets a packet; nil is ignored.
func (a *assembler) remove(p *assembly) {
	for i, q := range a.open {
		if q == p {
			a.bytes[p.proven] -= p.cost()
			a.open = append(a.open[:i], a.open[i+1:]...)
			a.open[:len(a.open)+1][len(a.open)] = nil
			return
		}
	}
}
