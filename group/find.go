package group

import (
	"rtmfp/internal/clock"
)

// findPlace asks, by a routed message, who the members nearest to this one are.
// The answer comes from the nearest of all that can be reached.
func (g *Group) findPlace(now clock.Time) {
	if g.finding != 0 || len(g.neighbors) == 0 {
		return
	}
	id, err := g.SendToNearest(now, g.self, nil, RouteOptions{Service: serviceFind, Request: true, Timeout: findTimeout})
	if err == nil && g.routes[id] != nil {
		g.finding = id
	}
}

// found answers a member that looks for its place: with those that are nearest
// to it, as far as they are known here, this one among them.
func (g *Group) found(now clock.Time, r *relay) {
	if r.own {
		g.finish(now, r, nil) // there is nobody else
		return
	}
	l := g.byLink[r.from]
	if l == nil || !l.up {
		return
	}
	var b []byte
	for _, m := range g.around(r.target, r.origin, nearSide) {
		b = g.appendReported(now, b, m)
	}
	self := reported{peer: g.cfg.Self, addresses: mergeAddresses(append([]byte(nil), g.own...), g.reflexive)}
	b = self.append(b)
	a := answer{id: r.id, code: answerReply, hops: r.hops, responder: g.cfg.Self, payload: b}
	r.replied = true
	g.sendAnswer(now, l, &a)
}

// takeFound learns from the answer.
func (g *Group) takeFound(now clock.Time, res RouteResult) {
	if res.ID == g.finding {
		g.finding = 0
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
	g.dirty = true
}
