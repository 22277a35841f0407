package transport

import (
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// outbox holds sealed datagrams that belong to no session's turn: answers of
// the handshake, and packets to addresses other than the session's. It is a
// queue with a bound; what does not fit is not sent, which their senders cope
// with as with any loss.
type outbox struct {
	ring    []outgoing
	head    int
	n       int
	limit   int
	refused uint64
}

type outgoing struct {
	to      netip.AddrPort
	b       []byte
	session *Session
}

func (o *outbox) push(out outgoing) {
	if o.n == len(o.ring) {
		ring := make([]outgoing, min(max(8, 2*len(o.ring)), o.limit))
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
	if e.outbox.n < e.outbox.limit {
		return false
	}
	e.outbox.refused++
	return true
}

// startupPacket returns a buffer that holds the header of a startup packet, for
// chunks to be appended, and postStartup seals and queues it. They are a pair.
func (e *Endpoint) startupPacket(now clock.Time) []byte {
	b := e.pool.block(e.cfg.MTU, e.cfg.MTU)
	return wire.AppendHeader(b[:4+e.defaultKeys.Headroom()],
		wire.Header{Mode: wire.ModeStartup, HasTimestamp: true, Timestamp: timestamp(now)})
}

func (e *Endpoint) postStartup(b []byte, sid uint32, to netip.AddrPort) {
	e.outbox.push(outgoing{to: to, b: e.defaultKeys.Seal(b, sid)})
}

// startupSize returns the size of the datagram that postStartup makes of b.
func (e *Endpoint) startupSize(b []byte) int {
	n := len(b) - 4 - e.defaultKeys.Headroom()
	for size := n; ; size++ {
		if e.defaultKeys.MaxPacket(size) >= n {
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
	b := e.pool.block(e.cfg.MTU, e.cfg.MTU)
	h := s.header(now)
	b = chunk.Append(wire.AppendHeader(b[:4+s.keys.Headroom()], h))
	if len(b)-4-s.keys.Headroom() > s.maxPacket() {
		return // a reply to something absurd
	}
	s.sentHeader(h)
	e.outbox.push(outgoing{to: to, b: s.keys.Seal(b, s.far), session: s})
}
