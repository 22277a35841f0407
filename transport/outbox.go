package transport

import (
	"net/netip"
	"slices"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// outbox holds sealed datagrams that belong to no session's turn: answers of
// the handshake, and packets to addresses other than the session's. It is a
// queue with a bound; what does not fit is not sent, which their senders cope
// with as with any loss.
type outbox struct {
	ring    []outgoing
	later   []delayed // fragments whose time has not come, by time
	head    int
	n       int
	limit   int
	refused uint64
	asked   Arrival // of the datagram that is being handled
}

type outgoing struct {
	to      netip.AddrPort
	local   uint8 // own address to leave by, 0 for any
	b       []byte
	session *Session
}

type delayed struct {
	outgoing
	at clock.Time
}

// pushAt pushes a datagram when its time has come.
func (o *outbox) pushAt(out outgoing, at clock.Time) {
	i := len(o.later)
	for i > 0 && o.later[i-1].at > at {
		i--
	}
	o.later = slices.Insert(o.later, i, delayed{out, at})
}

// advance pushes what is due.
func (o *outbox) advance(now clock.Time) {
	n := 0
	for n < len(o.later) && o.later[n].at <= now {
		o.push(o.later[n].outgoing) // by any address: one that is answered in pieces is rare
		n++
	}
	if o.later = slices.Delete(o.later, 0, n); len(o.later) == 0 {
		o.later = nil
	}
}

// next returns the instant at which something is due.
func (o *outbox) next() clock.Time {
	if len(o.later) == 0 {
		return clock.Never
	}
	return o.later[0].at
}

// answering makes what is pushed for the sender of an arrival leave by the
// address that it came to, until the function that it returns is called.
func (o *outbox) answering(a Arrival) (done func()) {
	before := o.asked
	o.asked = a
	return func() { o.asked = before }
}

func (o *outbox) push(out outgoing) {
	if out.to == o.asked.From {
		out.local = o.asked.Local
	} else if out.session != nil && out.to == out.session.addr {
		out.local = out.session.local
	}
	if o.n == len(o.ring) {
		ring := make([]outgoing, max(8, 2*len(o.ring)))
		for i := range o.n {
			ring[i] = o.ring[(o.head+i)%len(o.ring)]
		}
		o.ring, o.head = ring, 0
	}
	o.ring[(o.head+o.n)%len(o.ring)] = out
	o.n++
}

func (o *outbox) pop() outgoing {
	out := o.ring[o.head]
	o.ring[o.head] = outgoing{}
	o.head = (o.head + 1) % len(o.ring)
	if o.n--; o.n == 0 && len(o.ring) > 8 {
		o.ring, o.head = nil, 0
	}
	return out
}

// full reports whether nothing more goes into the outbox, and counts it.
func (e *Endpoint) outboxFull() bool {
	if e.outbox.n+len(e.outbox.later) < e.outbox.limit {
		return false
	}
	e.outbox.refused++
	return true
}

// startupPacket returns a buffer that holds the header of a startup packet, for
// chunks of up to size bytes to be appended, and postStartup seals and queues it,
// in fragments if it is larger than the MTU. They are a pair.
func (e *Endpoint) startupPacket(now clock.Time, size int) []byte {
	b := e.pool.block(max(e.cfg.MTU, size+crypto.Overhead), e.cfg.MaxMTU)
	return wire.AppendHeader(b[:4+e.defaultKeys.Headroom()],
		wire.Header{Mode: wire.ModeStartup, HasTimestamp: true, Timestamp: timestamp(now)})
}

// postStartup returns when as much may be sent to the same address again.
func (e *Endpoint) postStartup(now clock.Time, b []byte, sid uint32, to netip.AddrPort) (next clock.Time) {
	packet := b[4+e.defaultKeys.Headroom():]
	if e.unfragmented(len(packet)) {
		e.packetSent(now, nil, to, sid, packet)
		e.outbox.push(outgoing{to: to, b: e.defaultKeys.Seal(b, sid)})
		return now
	}
	if len(packet) > maxStartupPacket {
		panic("BUG: transport: a startup packet that nobody would put together")
	}
	e.packetID++
	// "a sender SHOULD NOT send more than 4380 bytes nor more than four packets
	// per distinct endpoint every 200 ms" (RFC 7016 §3.4).
	at, count, bytes := now, 0, 0
	pieces := e.pieces(len(packet))
	for i := range pieces {
		rest := len(packet) / (pieces - i)
		d := wire.Fragment{More: i < pieces-1, PacketID: e.packetID, Number: uint64(i), Data: packet[:rest]}.Append(e.startupPacket(now, 0))
		packet = packet[rest:]
		e.packetSent(now, nil, to, sid, d[4+e.defaultKeys.Headroom():])
		d = e.defaultKeys.Seal(d, sid)
		if count++; count > fragmentBurst || bytes+len(d) > fragmentBytes {
			at, count, bytes = at.Add(fragmentPause), 1, 0
		}
		if bytes += len(d); at == now {
			e.outbox.push(outgoing{to: to, b: d})
		} else {
			e.outbox.pushAt(outgoing{to: to, b: d}, at)
		}
	}
	e.pool.free(b, e.cfg.MaxMTU)
	return at.Add(fragmentPause)
}

// unfragmented reports whether a startup packet of n bytes fits a datagram.
func (e *Endpoint) unfragmented(n int) bool { return n <= e.maxStartup() }

// maxStartup returns the size of the largest startup packet that is sent in one
// piece.
func (e *Endpoint) maxStartup() int { return e.defaultKeys.MaxPacket(min(e.cfg.MTU, startupMTU)) }

// fragmentHeader is what a fragment has beside its piece of the packet, in
// bytes: the packet's header, the chunk's, flags, packet id, and number.
const fragmentHeader = wire.MaxHeader + wire.ChunkHeaderSize + 1 + 5 + 1

// pieces returns into how many fragments a startup packet of n bytes is cut.
func (e *Endpoint) pieces(n int) int {
	room := e.maxStartup() - fragmentHeader
	return (n + room - 1) / room
}

// startupSize returns the bytes of the datagrams that postStartup makes of b, or
// a little more.
func (e *Endpoint) startupSize(b []byte) int {
	n := len(b) - 4 - e.defaultKeys.Headroom()
	extra := 0
	if !e.unfragmented(n) {
		pieces := e.pieces(n)
		extra = (pieces-1)*crypto.Overhead + pieces*fragmentHeader
	}
	for size := n + extra; ; size++ {
		if e.defaultKeys.MaxPacket(size) >= n+extra {
			return size
		}
	}
}

// post seals a packet of the session with one chunk and queues it for an
// address, now and apart from the session's turn.
func (s *Session) post(now clock.Time, to netip.AddrPort, chunk interface{ Append([]byte) []byte }) {
	e := s.e
	if e.outboxFull() {
		return
	}
	b := e.pool.block(e.cfg.MTU, e.cfg.MaxMTU)
	h := s.header(now)
	b = chunk.Append(wire.AppendHeader(b[:4+s.keys.Headroom()], h))
	if len(b)-4-s.keys.Headroom() > s.maxPacket() {
		return // a reply to something absurd
	}
	s.sentHeader(h)
	e.packetSent(now, s, to, s.far, b[4+s.keys.Headroom():])
	e.outbox.push(outgoing{to: to, b: s.keys.Seal(b, s.far), session: s})
}
