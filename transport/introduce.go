package transport

import (
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// Introductions for one target, or greetings at the word of one forwarder:
// so many per second over time, and so many at once.
const (
	forwardEvery = 50 * time.Millisecond
	forwardBurst = 64
)

// introduce brings an initiator together with the far end of an open session:
// it redirects the one and forwards to the other, so that both send and both
// their NATs open (RFC 7016 §3.5.1.4 to §3.5.1.6).
func (e *Endpoint) introduce(now clock.Time, from netip.AddrPort, c wire.IHello, size int) {
	epd, ok := crypto.ParseEPD(c.EPD)
	if !ok || !epd.HasFingerprint {
		e.drop(from, DropHello)
		return
	}
	target := e.peers[epd.Fingerprint]
	if target == nil || target.state != StateOpen || target.addr == from {
		e.drop(from, DropHello)
		return
	}
	if !target.mayForward(now) {
		e.drop(from, DropLimit)
		return
	}
	target.post(now, target.addr, wire.FIHello{
		EPD:   c.EPD,
		Reply: element.Address{AddrPort: from, Origin: element.OriginObserved},
		Tag:   c.Tag,
	})
	e.stats.Forwards++
	if e.outboxFull() {
		return
	}
	addrs := [1]element.Address{target.observed()}
	b := wire.AppendRedirect(e.startupPacket(now), c.Tag, addrs[:])
	if e.startupSize(b) > size {
		e.pool.free(b, e.cfg.MTU)
		e.drop(from, DropAmplify)
		return
	}
	e.postStartup(b, 0, from)
	e.stats.Redirects++
}

// mayForward takes one from the session's allowance of introductions.
func (s *Session) mayForward(now clock.Time) bool {
	r := s.rare()
	at := max(r.forwardAt, now)
	if at.Sub(now) > forwardBurst*forwardEvery {
		return false
	}
	r.forwardAt = at.Add(forwardEvery)
	return true
}
