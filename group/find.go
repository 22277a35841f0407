package group

import (
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// findPlace asks, by a routed message, who the members nearest to this one are.
// The answer comes from the nearest of all that can be reached.
func (g *Group) findPlace(now clock.Time) {
	if g.finding == 0 && len(g.neighbors) > 0 {
		g.finding = g.find(now, g.self, nil)
		g.foundAt = now
	}
}

// findVia does so through a neighbor, from where others may be reached.
func (g *Group) findVia(now clock.Time, l *link) RouteID { return g.find(now, g.self, l) }

// find asks who the members around a place are.
func (g *Group) find(now clock.Time, at ring.Addr, via *link) RouteID {
	o := RouteOptions{Service: serviceFind, Request: true, Timeout: findTimeout}
	r, err := g.newRoute(now, at, nil, &o)
	if err != nil {
		return 0
	}
	g.stats.Finds++
	if via != nil && via.routes() {
		g.passTo(now, r, via)
	} else {
		g.pass(now, r)
	}
	if g.routes[r.id] == nil {
		return 0 // nobody to ask
	}
	return r.id
}

// found answers a member that asks for those around a place: as far as they
// are known here, this one among them.
func (g *Group) found(now clock.Time, r *relay) {
	if r.own {
		g.finish(now, r, nil) // there is nobody else
		return
	}
	l := g.byLink[r.from]
	if l == nil || !l.up {
		return
	}
	side := nearSide
	if r.target != ring.OfPeer(r.origin) {
		side = 1 // it looks for anybody there
	}
	var b []byte
	for _, m := range g.around(r.target, r.origin, side) {
		b = g.appendReported(now, b, m)
	}
	self := reported{peer: g.cfg.Self}
	if r.target == g.self {
		// Somebody looks for this member itself, and nothing tells him of a way to
		// it but this: first who can introduce, then what is seen from afar.
		self.addresses = mergeAddresses(mergeAddresses(g.relayAddresses(nil, 1), g.reflexive), g.own)
	} else {
		self.addresses = mergeAddresses(append([]byte(nil), g.own...), g.reflexive)
	}
	b = self.append(b)
	a := answer{id: r.id, code: answerReply, hops: r.hops, responder: g.cfg.Self, payload: b}
	r.replied = true
	g.sendAnswer(now, l, &a)
}

// takeFound learns from the answer.
func (g *Group) takeFound(now clock.Time, res RouteResult) {
	g.pinFound(res.ID)
	if res.ID == g.probing && g.probing != 0 {
		g.probeAnswered(now, res)
	}
	place := res.ID == g.finding
	if place {
		g.finding = 0
		g.placed = g.placed || res.Status == RouteSent
	}
	for b, i := res.Reply, 0; len(b) > 0 && i < maxReported; i++ {
		r, n := consumeReported(b)
		if n == 0 {
			g.stats.MessagesIgnored++
			return
		}
		b = b[n:]
		g.learn(now, r.peer, now.Add(-r.age-ageUnit), r.addresses, 0)
	}
	if !place && res.ID == g.drawing {
		g.drawing = 0
		if m := g.book.get(res.Peer); m != nil {
			m.random, m.drawn = true, now
		}
	}
	g.dirty = true
}

// settle notes when this member has found its place: it has asked for it, and
// is linked with the next member on either side, as these confirm by their tables.
func (g *Group) settle(now clock.Time) {
	if g.settled || !g.joined {
		return
	}
	if !g.placed {
		return
	}
	for _, above := range [...]bool{true, false} {
		k := 0
		it, ok := g.side(above, k)
		for ; ok && it.Value.link == nil && (it.Value.suspect() || it.Value.fails > 0); it, ok = g.side(above, k) {
			k++
		}
		if !ok || it.Value.link == nil || !it.Value.link.up || it.Value.link.routes() && !it.Value.link.told {
			return
		}
	}
	g.settled = true
	for _, l := range g.neighbors {
		if l.routes() {
			g.sendTable(now, l) // which says so
		}
	}
}

// Settled reports whether this member has found its place on the ring: the
// next member on either side is its neighbor, so that messages for addresses
// around it come to it.
func (g *Group) Settled() bool { return g.settled && len(g.neighbors) > 0 }
