package transport

import (
	"net/netip"
	"slices"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
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
	if !target.mayIntroduce(now) {
		e.drop(from, DropRate)
		return
	}
	target.post(now, target.addr, wire.FIHello{
		EPD:   c.EPD,
		Reply: element.Address{AddrPort: from, Origin: element.OriginObserved},
		Tag:   c.Tag,
	})
	e.stats.Forwards++
	var addrs [1 + maxReported]element.Address
	addrs[0] = target.observed()
	n := 1
	for _, a := range target.rare().reported {
		addrs[n] = element.Address{AddrPort: a, Origin: element.OriginLocal}
		n++
	}
	e.redirect(now, from, c.Tag, addrs[:n], size)
}

// maxReported bounds the addresses of Session.SetReported.
const maxReported = maxRedirected - 1

// SetReported tells at which addresses, beside the one that is observed, the far
// end says that it can be reached. Those who look for it are redirected there
// too: "The service MAY record other addresses for the responder, for example
// addresses that the responder self-reports" (RFC 7016 §3.5.1.6). No more than
// seven are kept.
func (s *Session) SetReported(addrs []netip.AddrPort) {
	var kept []netip.AddrPort
	for _, a := range addrs {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if usable(a) && len(kept) < maxReported && !slices.Contains(kept, a) {
			kept = append(kept, a)
		}
	}
	if s.state == StateOpen && (len(kept) > 0 || s.seldom != nil) {
		s.rare().reported = kept
	}
}

// mayIntroduce takes one from the session's allowance of introductions.
func (s *Session) mayIntroduce(now clock.Time) bool {
	return s.rare().introduce.take(now, s.e.cfg.IntroductionRate, s.e.cfg.IntroductionBurst)
}
