package transport

import (
	"crypto/hmac"
	"encoding/binary"
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// Layout of a mobility check's message (RFC 7016 §3.5.4.2): marking, time, hash.
const (
	mobilityMark = 'M'
	mobilityTime = 1 + 8
	mobilitySize = mobilityTime + 16
)

// checkMobility asks an address from which a valid packet came whether the far
// end is really there.
func (s *Session) checkMobility(now clock.Time, from netip.AddrPort) {
	r := s.rare()
	if r.mobSent != 0 && now.Sub(r.mobSent) < mobilityInterval {
		return
	}
	r.mobSent = now
	m := binary.BigEndian.AppendUint64([]byte{mobilityMark}, uint64(now))
	s.post(now, from, wire.Ping{Message: append(m, s.e.mobilityProof(m, s.id, from)...)})
	s.expectAnswer(now)
}

// handlePongFrom takes a Ping Reply that came from an address.
func (s *Session) handlePongFrom(now clock.Time, from netip.AddrPort, message []byte) {
	if len(message) == 0 {
		s.handlePong(now)
		return
	}
	if message[0] == mtuMark && from == s.addr {
		s.mtuProbed(now, message)
		return
	}
	if len(message) != mobilitySize || message[0] != mobilityMark {
		return
	}
	at := clock.Time(binary.BigEndian.Uint64(message[1:]))
	if at > now || now.Sub(at) > mobilityLifetime || at <= s.rare().mobHeard ||
		!hmac.Equal(message[mobilityTime:], s.e.mobilityProof(message[:mobilityTime], s.id, from)) {
		s.e.drop(from, DropState)
		return
	}
	s.rare().mobHeard = at
	if from == s.addr {
		return
	}
	old := s.addr
	s.addr = from
	if !s.initiator {
		s.local = s.e.outbox.asked.Local
	}
	if s.ecn != nil {
		s.ecn.moved(s.nextPacket)
	}
	// What was learned of the old path says nothing of the new one.
	s.rtt.forget()
	outstanding, recovery := s.congestion.outstanding, s.nextPacket
	s.setMTU(s.e.cfg.MTU)
	s.congestion.init(s.e.cfg.MTU)
	s.congestion.outstanding, s.congestion.recovery = outstanding, recovery
	s.pacer.init(now, s.e.cfg.MTU)
	if t := s.e.cfg.Trace; t != nil && t.AddressChanged != nil {
		t.AddressChanged(now, s, old)
	}
	s.e.emit(Event{Kind: AddressChanged, Session: s, From: old})
}
