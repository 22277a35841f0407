package group

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// look chooses the neighbors anew, dials those that are missing, and gives up
// links that are too many.
func (g *Group) look(now clock.Time) {
	slow := g.slow
	g.dirty, g.slow = false, false
	g.choose(now)
	for _, m := range g.picks {
		if m.link != nil || m.dialing {
			continue
		}
		if m.notBefore > now && !(m.forRing && m.fails == 0 && m.refusals == 0) {
			g.wake(m, m.notBefore)
			continue
		}
		if g.dialing >= g.cfg.MaxDialing {
			break // the end of a dial brings us back
		}
		if m.forRing || g.peerings+g.dialing < g.limit {
			g.dial(now, m)
		}
	}
	if slow {
		g.askToPart(now)
		if len(g.introducers) > 0 && now.Sub(g.asked) >= askRefresh {
			g.askIntroducers(now)
		}
	}
	g.trim(now)
	g.planQuestion(now)
}

// choose marks the members that are wanted as neighbors and lists them in
// g.picks, the most important ones first.
func (g *Group) choose(now clock.Time) {
	known := &g.book.known
	n := known.Len()
	g.picks = g.picks[:0]
	for i := range n {
		m := known.At(i).Value
		m.wanted, m.forRing = false, false
	}
	g.limit = g.cfg.MaxNeighbors
	if g.limit == 0 {
		g.limit = 2*(bits.Len(uint(g.Estimate()))-1) + linksAboveLog
	}
	if n+1 <= g.cfg.FullMesh {
		for i := range n {
			g.pick(known.At(i).Value)
		}
		g.wanted = n
		return
	}
	g.chooseRing(now, true)
	g.chooseRing(now, false)
	for _, m := range g.picks {
		m.forRing = true
	}
	g.chooseNear()
	g.chooseRandom(now)
	g.chooseFingers(now, true)
	g.chooseFingers(now, false)
	g.wanted = len(g.picks)
}

func (g *Group) pick(m *member) {
	if !m.wanted {
		m.wanted = true
		g.picks = append(g.picks, m)
	}
}

// chooseRing picks the next members on one side of the ring. Those that may be
// gone don't count, but are picked too: they may be there after all.
func (g *Group) chooseRing(now clock.Time, above bool) {
	got := 0
	for k := 0; got < ringSide && k < ringReach; k++ {
		it, ok := g.side(above, k)
		if !ok {
			return
		}
		g.pick(it.Value)
		if m := it.Value; m.link != nil || g.dialable(now, m) && now.Sub(m.heard) <= freshness {
			got++
		}
	}
}

func (g *Group) side(above bool, k int) (ring.Item[*member], bool) {
	if above {
		return g.book.known.Above(g.self, k)
	}
	return g.book.known.Below(g.self, k)
}

// chooseNear picks the neighbors with the lowest latency. Round-trip times are
// compared by the millisecond, so that noise does not move links.
func (g *Group) chooseNear() {
	if len(g.neighbors) <= nearestByRTT {
		for _, l := range g.neighbors {
			g.pick(l.member)
		}
		return
	}
	type near struct {
		rtt time.Duration
		l   *link
	}
	list := make([]near, 0, 64)
	for _, l := range g.neighbors {
		rtt := g.links.RTT(l.id)
		if rtt <= 0 {
			rtt = time.Hour // not measured
		}
		list = append(list, near{rtt.Truncate(time.Millisecond), l})
	}
	slices.SortFunc(list, func(a, b near) int {
		if c := cmp.Compare(a.rtt, b.rtt); c != 0 {
			return c
		}
		return a.l.addr.Compare(b.l.addr)
	})
	for _, it := range list[:nearestByRTT] {
		g.pick(it.l.member)
	}
}

// chooseRandom keeps the random neighbors that are there and draws others for
// those that are missing or have been there for long.
func (g *Group) chooseRandom(now clock.Time) {
	known := &g.book.known
	n := known.Len()
	have := 0
	for i := range n {
		m := known.At(i).Value
		if m.random && (have == randomMembers || now.Sub(m.drawn) > randomLifetime) {
			m.random = false
		}
		if m.random {
			g.pick(m)
			have++
		}
	}
	for tries := 0; have < randomMembers && tries < 4*randomMembers; tries++ {
		m := known.At(g.cfg.Rand.IntN(n)).Value
		if m.wanted || !g.dialable(now, m) {
			continue
		}
		m.random, m.drawn = true, now
		g.pick(m)
		have++
	}
}

// dialable reports whether m is linked with or could be at once.
func (g *Group) dialable(now clock.Time, m *member) bool {
	return m.link != nil || !m.slow && m.fails == 0 && !m.suspect() && m.notBefore <= now
}

// chooseFingers picks one member in each range at 1/4 to 1/2 of the ring, 1/8
// to 1/4 and so on, on one side, down to the ring neighbors. A neighbor that
// is there already is as good as any, whichever end wanted the link: that
// keeps links few.
func (g *Group) chooseFingers(now clock.Time, above bool) {
	it, ok := g.side(above, ringSide-1)
	if !ok {
		return
	}
	nearest := g.self.Distance(it.Addr)
	for far := halfRing; nearest.Less(far) && len(g.picks) < g.limit; far = far.Half() {
		from, to := g.self.Add(far.Half()), g.self.Add(far)
		if !above {
			from, to = g.self.Sub(far), g.self.Sub(far.Half())
		}
		if m := g.finger(now, from, to); m != nil {
			g.pick(m)
		}
	}
}

// finger returns the best member in a range: one that is wanted already, then
// the neighbor with the lowest latency, then the first that could be dialed.
func (g *Group) finger(now clock.Time, from, to ring.Addr) *member {
	var best *member
	var bestRTT time.Duration
	known := &g.book.known
	for i, _ := known.Search(from); ; i++ {
		it := known.At(i)
		m := it.Value
		if it.Addr != from && !ring.Between(it.Addr, from, to) {
			return best
		}
		switch {
		case m.wanted && m.link != nil:
			return m
		case m.link != nil && m.link.up:
			rtt := g.links.RTT(m.link.id)
			if best == nil || best.link == nil || rtt < bestRTT {
				best, bestRTT = m, rtt
			}
		case best == nil && g.dialable(now, m):
			best = m
		}
	}
}

// room reports whether the member behind l, which has proven itself, may
// become a neighbor.
func (g *Group) room(now clock.Time, l *link) bool {
	g.choose(now)
	limit := g.limit + guests // a foothold for newcomers, until they have others
	if g.cfg.Introduce {
		limit += guestsToo
	}
	if g.peerings <= limit || l.member.forRing {
		return true
	}
	g.stats.PeeringsRefused++
	return false
}

// askToPart asks neighbors that are not wanted here whether they agree to
// part. A link survives while either end wants it.
func (g *Group) askToPart(now clock.Time) {
	for _, l := range g.neighbors {
		if l.member.wanted || now.Sub(l.upSince) < partingGrace {
			continue
		}
		if l.asked != 0 && now.Sub(l.asked) < g.cfg.CloseInterval {
			continue
		}
		l.asked = max(now, 1)
		g.stats.CloseRequests++
		g.send(now, l.out, append(g.buf[:0], msgCloseRequest))
	}
}

// takeCloseRequest answers a request to part: yes, if the asker is not wanted
// here and there are more neighbors than are wanted; otherwise by silence.
func (g *Group) takeCloseRequest(now clock.Time, l *link) {
	if !l.up || l.member.wanted || len(g.neighbors) <= g.wanted {
		return
	}
	g.endPeering(now, l, ReasonParted)
	g.release(now, l)
}

// trim gives up links above the limit that are not wanted here, those with the
// highest latency first; guests may stay for a while. The ring may need some
// more than the limit.
func (g *Group) trim(now clock.Time) {
	for len(g.neighbors) > g.limit {
		var worst *link
		for _, l := range g.neighbors {
			if now.Sub(l.upSince) < partingGrace {
				continue
			}
			if !l.member.wanted && (worst == nil || g.links.RTT(l.id) > g.links.RTT(worst.id)) {
				worst = l
			}
		}
		if worst == nil {
			return
		}
		g.stats.LinksTrimmed++
		g.endPeering(now, worst, ReasonFull)
		g.release(now, worst)
	}
}
