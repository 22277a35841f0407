package transport

import (
	"net/netip"

	"rtmfp/internal/clock"
)

// Tracer is told facts as they happen. Each function may be nil; an endpoint
// without a Tracer pays one comparison for each. Functions may read sessions and
// flows, and must not call anything that takes the time. Package trace makes
// Tracers that write files.
type Tracer struct {
	// Sent: a datagram of size bytes was built for to. session is nil for
	// packets of the startup pseudo-session.
	Sent func(now clock.Time, session *Session, to netip.AddrPort, size int)
	// Received: a datagram opened well, before its chunks are handled. session
	// is nil for packets of the startup pseudo-session.
	Received func(now clock.Time, session *Session, from netip.AddrPort, size int)
	// PacketSent: a packet is about to be encrypted.
	PacketSent func(now clock.Time, p TracedPacket)
	// PacketReceived: a packet was decrypted and is about to be handled.
	PacketReceived func(now clock.Time, p TracedPacket)
	// Dropped: a datagram, or a chunk of it, was refused.
	Dropped func(now clock.Time, from netip.AddrPort, why Drop)
	// Lost: a fragment is taken to be lost, by timeout or by acknowledgements.
	Lost func(now clock.Time, session *Session, flow, sequence uint64, timeout bool)
	// Acknowledged: a packet with acknowledgements was handled; the session's
	// round-trip time, window, and bytes in flight may have changed.
	Acknowledged func(now clock.Time, session *Session)
	// Window: the congestion window and the slow start threshold changed by
	// loss or timeout, both in bytes.
	Window func(now clock.Time, session *Session, window, threshold int)
	// StateChanged: the session is in another state, as State tells. now is
	// the time of the endpoint's latest input.
	StateChanged func(now clock.Time, session *Session)
	// AddressChanged: the far end was verified at FarAddr; it was at old before.
	AddressChanged func(now clock.Time, session *Session, old netip.AddrPort)
}

// TracedPacket is a packet in clear.
type TracedPacket struct {
	Session *Session       // nil for the startup pseudo-session
	Addr    netip.AddrPort // where it goes to, or comes from
	ID      uint32         // the session id on the wire
	Packet  []byte         // header and chunks; valid during the call
}

// packetSent traces a packet that is about to be sealed.
func (e *Endpoint) packetSent(now clock.Time, s *Session, to netip.AddrPort, id uint32, packet []byte) {
	if t := e.cfg.Trace; t != nil && t.PacketSent != nil {
		t.PacketSent(now, TracedPacket{s, to, id, packet})
	}
}

// packetReceived traces a datagram of size bytes that was opened.
func (e *Endpoint) packetReceived(now clock.Time, s *Session, from netip.AddrPort, size int, id uint32, packet []byte) {
	t := e.cfg.Trace
	if t == nil {
		return
	}
	if t.Received != nil {
		t.Received(now, s, from, size)
	}
	if t.PacketReceived != nil {
		t.PacketReceived(now, TracedPacket{s, from, id, packet})
	}
}

// become moves the session to a state.
func (s *Session) become(state State) {
	s.state = state
	if t := s.e.cfg.Trace; t != nil && t.StateChanged != nil {
		t.StateChanged(s.e.now, s)
	}
}
