package group

import (
	"cmp"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Which members are neighbors. Those next to this one on the ring make the
// group correct; fingers make ways short; those with the lowest latency serve
// for trees; a random one keeps the group from falling apart.

// look chooses the neighbors anew, dials those that are missing, and gives up
// links that are too many.
func (g *Group) look(now clock.Time) {
	slow := g.slow
	g.looked = max(now, 1)
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
		if g.dialing >= g.cfg.MaxDialing || g.peerings+g.dialing >= footholds && g.unplaced(now) {
			break // the end of a dial, or of the question, brings us back
		}
		if m.forRing || m.pinned {
			g.dial(now, m)
		} else if g.peerings+g.dialing < g.limit+improving && g.mayDial(now, m) {
			g.dial(now, m)
		}
	}
	g.callPins(now)
	g.watch(now)
	g.learnLatency()
	g.settle(now)
	if slow {
		g.askToPart(now)
		g.improve(now)
		if len(g.introducers) > 0 && now.Sub(g.asked) >= askRefresh {
			g.askIntroducers(now)
		}
	}
	if !g.placed && g.finding == 0 && g.joined && (g.foundAt == 0 || now.Sub(g.foundAt) > findAgain) {
		g.findPlace(now)
	}
	g.trim(now)
	g.planQuestion(now)
}

// unplaced reports whether this member is about to be told its place on the
// ring: most of those that it takes for its neighbors until then are not.
func (g *Group) unplaced(now clock.Time) bool {
	if g.placed || g.book.known.Len()+1 <= g.cfg.FullMesh {
		return false
	}
	if g.unplacedAt == 0 {
		g.unplacedAt = max(now, 1)
	}
	due := g.unplacedAt.Add(placePatience)
	if now < due {
		g.timers.Set(&g.again, earlier(due, g.again.When()))
	}
	return now < due
}

// choose marks the members that are wanted as neighbors and lists them in
// g.picks, the most important ones first.
func (g *Group) choose(now clock.Time) {
	known := &g.book.known
	n := known.Len()
	g.picks = g.picks[:0]
	for _, l := range g.neighbors {
		if l.rtt = g.links.RTT(l.id); l.rtt <= 0 {
			l.rtt = time.Hour // not measured
		}
	}
	for i := range n {
		m := known.At(i).Value
		m.wanted, m.forRing, m.pinned = false, false, false
		m.trial = m.trial && m.dialing
	}
	g.size = g.Estimate()
	g.limit = g.cfg.MaxNeighbors
	if g.limit == 0 {
		g.limit = linksFor(g.size)
	}
	if n+1 <= g.cfg.FullMesh {
		for i := range n {
			m := known.At(i).Value
			m.forRing = true
			g.pick(m)
		}
		g.wanted = n
		return
	}
	g.chooseRing(now, true)
	g.chooseRing(now, false)
	for _, m := range g.picks {
		m.forRing = true
	}
	g.choosePins(now)
	g.chooseNear()
	g.chooseRandom(now)
	g.chooseFingers(now)
	g.wanted = len(g.picks)
}

// linksFor returns the most links that a member of a group of so many keeps:
// 2·log2 N + 13.
func linksFor(members int) int {
	return int((2*log2(uint64(max(members, 1)))+1<<7)>>8) + linksAboveLog
}

func (g *Group) pick(m *member) {
	if !m.wanted {
		m.wanted = true
		g.picks = append(g.picks, m)
	}
}

// chooseRing picks the next members on one side of the ring. Those that may be
// gone don't count, but are picked too: they may be there after all. Until as many
// are neighbors, those that are stay, though there are others nearer by: one with
// which a peering is only being made may have died.
func (g *Group) chooseRing(now clock.Time, above bool) {
	got, up := 0, 0
	for k := 0; up < ringSide && k < ringReach; k++ {
		it, ok := g.side(above, k)
		if !ok {
			return
		}
		m := it.Value
		here := m.link != nil && m.link.suspected == 0
		if got < ringSide || here && m.link.up {
			g.pick(m)
		}
		if here || m.link == nil && g.dialable(now, m) && now.Sub(m.heard) <= freshness {
			got++
		}
		if here && m.link.up {
			up++
		}
	}
}

func (g *Group) side(above bool, k int) (ring.Item[*member], bool) {
	if above {
		return g.book.known.Above(g.self, k)
	}
	return g.book.known.Below(g.self, k)
}

// chooseNear picks the neighbors with the lowest latency: they serve for trees.
// Round-trip times are compared by the millisecond, so that noise does not move
// links.
func (g *Group) chooseNear() {
	type near struct {
		rtt time.Duration
		l   *link
	}
	var best [nearestByRTT]near
	count := 0
	for _, l := range g.neighbors {
		x := near{l.rtt.Truncate(time.Millisecond), l}
		for i := range best {
			if i == count {
				best[i] = x
				count++
				break
			}
			if c := cmp.Or(cmp.Compare(x.rtt, best[i].rtt), x.l.addr.Compare(best[i].l.addr)); c < 0 {
				x, best[i] = best[i], x
			}
		}
	}
	for _, it := range best[:count] {
		g.pick(it.l.member)
	}
}

// chooseRandom keeps the random neighbors that are there. New ones are drawn by
// a question for anybody at a random place.
func (g *Group) chooseRandom(now clock.Time) {
	known := &g.book.known
	have := 0
	for i := range known.Len() {
		m := known.At(i).Value
		if m.random && (have == randomMembers || now.Sub(m.drawn) > randomLifetime) {
			m.random = false
		}
		if m.random {
			g.pick(m)
			have++
		}
	}
	g.lacksRandom = have < randomMembers
}

// dialable reports whether m is linked with or could be at once.
func (g *Group) dialable(now clock.Time, m *member) bool {
	return m.link != nil || !m.slow && m.fails == 0 && !m.suspect() && m.notBefore <= now
}
