package transport

import (
	"cmp"
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// Redirector decides which initiators are sent elsewhere (RFC 7016 §3.5.1.4). An
// endpoint calls it while it takes a datagram; it must be quick, must not call
// into the endpoint, and must decide alike when the same things happened.
type Redirector interface {
	// Redirect is asked for an IHello with an endpoint discriminator, whether it
	// selects the endpoint or not. It appends addresses to list, the most
	// promising one first; an empty list redirects to the address from which the
	// answer comes. If ok is false the endpoint handles the IHello as if there
	// was no Redirector.
	Redirect(now clock.Time, epd []byte, from netip.AddrPort, list []netip.AddrPort) (out []netip.AddrPort, ok bool)
}

// ForwardedAnswer says what an endpoint sends to an initiator of whom a
// forwarder tells (RFC 7016 §3.5.1.1.2).
type ForwardedAnswer uint8

const (
	// ForwardedHello is an RHello: it saves a round trip.
	ForwardedHello ForwardedAnswer = iota
	// ForwardedRedirect is an Implied Redirect, which is short, and tells
	// nothing but the address.
	ForwardedRedirect
	// ForwardedNothing is no answer.
	ForwardedNothing
)

// redirectTo answers an IHello as a Redirector wants it.
func (e *Endpoint) redirectTo(now clock.Time, to netip.AddrPort, tag []byte, list []netip.AddrPort, request int) {
	var addrs [maxRedirected]element.Address
	n := 0
	for _, a := range list {
		if usable(a) && n < len(addrs) {
			addrs[n] = element.Address{AddrPort: a}
			n++
		}
	}
	e.redirect(now, to, tag, addrs[:n], request)
}

// redirect answers an IHello with addresses, as many as fit into the size of
// the request.
func (e *Endpoint) redirect(now clock.Time, to netip.AddrPort, tag []byte, list []element.Address, request int) {
	if e.outboxFull() {
		return
	}
	for {
		b := wire.AppendRedirect(e.startupPacket(now, 0), tag, list)
		if e.startupSize(b) <= request {
			e.postStartup(now, b, 0, to)
			e.stats.Redirects++
			return
		}
		e.pool.free(b, e.cfg.MaxMTU)
		if len(list) <= 1 {
			e.drop(to, DropAmplify)
			return
		}
		list = list[:len(list)-1]
	}
}

// Responder is one of several endpoints that initiators are spread over.
type Responder struct {
	Addr netip.AddrPort
	// Weight is its share of the initiators, in proportion to the weights of the
	// others. 0 takes it out of service.
	Weight int
	// Rate bounds how many initiators it is sent per second. 0 = 1000.
	Rate int
}

// ResponderStats counts what became of a responder of a Pool.
type ResponderStats struct {
	Responder
	Redirected uint64 // initiators that were sent to it
	Refused    uint64 // that were not, for its rate
}

// Pool is a Redirector that spreads initiators over responders which any of
// them may use (RFC 7016 §3.5.1.7). Each gets the addresses of several, chosen by
// weight in turns, and takes the one that answers first: so a responder that is
// slow gets less, and one that is dead does no harm. A Pool belongs to the owner
// of its endpoint.
type Pool struct {
	// Serves says which discriminators are those of the responders. By default
	// they are those with a hostname or ancillary data, and no fingerprint.
	Serves func(crypto.EPD) bool
	// Several is how many responders an initiator is told. Default 2, at most 8.
	Several int
	// Own is the weight of the endpoint itself, for discriminators that select
	// it too.
	Own int

	members []member
	ownTurn int
}

type member struct {
	ResponderStats
	turn   int // of the smooth weighted round robin
	limit  rateLimit
	chosen bool
}

// Set adds a responder, or changes the one with the same address.
func (p *Pool) Set(r Responder) {
	r.Weight, r.Rate = max(r.Weight, 0), cmp.Or(max(r.Rate, 0), 1000)
	for i := range p.members {
		if p.members[i].Addr == r.Addr {
			p.members[i].Responder = r
			return
		}
	}
	p.members = append(p.members, member{ResponderStats: ResponderStats{Responder: r}})
}

// Stats returns the responders in the order in which they were added, with what
// became of them.
func (p *Pool) Stats() []ResponderStats {
	st := make([]ResponderStats, len(p.members))
	for i := range st {
		st[i] = p.members[i].ResponderStats
	}
	return st
}

// Redirect implements Redirector.
func (p *Pool) Redirect(now clock.Time, epd []byte, from netip.AddrPort, list []netip.AddrPort) ([]netip.AddrPort, bool) {
	c, ok := crypto.ParseEPD(epd)
	if !ok || !p.serves(c) {
		return list, false
	}
	for i := range p.members {
		p.members[i].chosen = p.members[i].Addr == from
	}
	several := min(cmp.Or(max(p.Several, 0), 2), maxRedirected)
	for range several {
		m, own := p.choose()
		if own && len(list) == 0 {
			return list, false
		}
		if m == nil {
			break
		}
		m.chosen = true
		if !m.limit.take(now, m.Rate, m.Rate) {
			m.Refused++
			continue
		}
		m.Redirected++
		list = append(list, m.Addr)
	}
	return list, len(list) > 0
}

func (p *Pool) serves(c crypto.EPD) bool {
	if p.Serves != nil {
		return p.Serves(c)
	}
	return !c.HasFingerprint && (c.HasHostname || c.HasAncillary)
}

// choose takes a turn of a smooth weighted round robin among the responders that
// were not chosen for this initiator yet, and the endpoint itself, for which it
// returns own.
func (p *Pool) choose() (best *member, own bool) {
	total := p.Own
	p.ownTurn += p.Own
	own = p.Own > 0
	most := p.ownTurn
	for i := range p.members {
		m := &p.members[i]
		if m.chosen || m.Weight == 0 {
			continue
		}
		total += m.Weight
		m.turn += m.Weight
		if best == nil && !own || m.turn > most {
			best, own, most = m, false, m.turn
		}
	}
	switch {
	case own:
		p.ownTurn -= total
		return nil, true
	case best != nil:
		best.turn -= total
	}
	return best, false
}

// maxRedirected bounds the addresses of one Redirect.
const maxRedirected = 8
