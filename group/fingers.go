package group

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Fingers, one in each range at 1/4 to 1/2 of the ring, 1/8 to 1/4 and so on, are
// chosen for low latency among all candidates that neighbors' tables show. Up the
// ring this member chooses; down it the fingers of others that chose this member
// serve, because every link serves both ends, until the group has been steady for a
// while.

const fingerRanges = 40

type fingers [2][fingerRanges]fingerPick

// fingerPick is what a range of fingers has to offer.
type fingerPick struct {
	linked *member // the neighbor with the lowest latency
	serves *member // one that is wanted for something else
	other  *member // the most promising that could be dialed
}

// best returns the neighbor with the lowest latency, unless another member
// promises to be much better; if there is none, the most promising.
func (p *fingerPick) best() *member {
	if p.linked == nil || p.other != nil && p.other.est != 0 && promising(p.other.est, p.linked.link.rtt) {
		return p.other
	}
	return p.linked
}

// any returns a neighbor that is wanted for something else, which keeps links
// few, or the best.
func (p *fingerPick) any() *member {
	if p.serves != nil {
		return p.serves
	}
	if p.linked != nil {
		return p.linked
	}
	return p.other
}

func side(above bool) int {
	if above {
		return 0
	}
	return 1
}

// rangeOf returns the range of fingers that a place is in: 1 for 1/4 to 1/2 of
// the ring away from this member, 2 for 1/8 to 1/4 and so on, and the side.
func (g *Group) rangeOf(top uint64) (r int, above bool) {
	d := top - g.top
	if above = d < 1<<63; !above {
		d = -d
	}
	return min(bits.LeadingZeros64(d), fingerRanges-1), above
}

// lastRange returns the range that the outermost ring neighbor on a side is in:
// farther ranges have fingers.
func (g *Group) lastRange(above bool) int {
	it, ok := g.side(above, ringSide-1)
	if !ok {
		return 1
	}
	r, _ := g.rangeOf(it.Value.top)
	return r
}

// survey sorts all members that are known by ranges.
func (g *Group) survey(now clock.Time, f *fingers) {
	known := &g.book.known
	for i := range known.Len() {
		m := known.At(i).Value
		r, above := g.rangeOf(m.top)
		p := &f[side(above)][r]
		switch l := m.link; {
		case l != nil && l.up:
			if m.wanted && p.serves == nil {
				p.serves = m
			}
			if p.linked == nil || l.rtt < p.linked.link.rtt {
				p.linked = m
			}
		case l != nil || !m.dialing && (!g.dialable(now, m) || g.isSpared(now, topOf(m.addr))):
		case p.other == nil || m.est != 0 && (p.other.est == 0 || m.est < p.other.est):
			p.other = m
		}
	}
}

// chooseFingers picks the fingers: the best there are up the ring; down it any, as
// long as members come and go.
func (g *Group) chooseFingers(now clock.Time) {
	var f fingers
	g.survey(now, &f)
	calm, steady := g.calm(now), g.steady(now)
	for _, above := range [...]bool{true, false} {
		for r := 1; r < g.lastRange(above); r++ {
			m := f[side(above)][r].any()
			if above || steady {
				m = f[side(above)][r].best()
			}
			if m != nil && (above || m.link != nil || calm) {
				// Whether it is better remains to be seen.
				m.trial = m.link == nil && f[side(above)][r].linked != nil && !m.wanted
				g.pick(m)
			}
		}
	}
}

// calm reports whether members are seldom lost. Where they come and go fast, a
// better finger is gone before it has paid for itself, and down the ring those
// do that come by themselves.
func (g *Group) calm(now clock.Time) bool {
	return now.Sub(g.lastLoss) >= calmAfter || g.lastLoss == 0
}

// steady reports whether no neighbor was lost without a word for long, in which
// case it pays to choose fingers on both sides.
func (g *Group) steady(now clock.Time) bool {
	return now.Sub(max(g.lastLoss, g.startedAt)) >= steadyAfter
}

// restless reports whether neighbors are lost now and then: links do not last long
// enough for one with a lower latency to be worth somebody else's.
func (g *Group) restless(now clock.Time) bool { return g.lastLoss != 0 && !g.steady(now) }

// better reports whether a round-trip time makes a change of links worth while.
func better(rtt, present time.Duration) bool { return rtt < present*7/8-gainAtLeast }

// promising reports whether one that is expected makes a trial worth while.
func promising(expected, present time.Duration) bool { return expected < present*3/4-gainAtLeast }

// inVain reports whether a link that was dialed for a better finger is none: its
// round-trip time shows as soon as it is open, and a session that is closed
// again at once costs a third of one that neighbors have introduced themselves on.
func (g *Group) inVain(l *link, m *member) bool {
	rtt := g.links.RTT(l.id)
	if !m.trial || rtt <= 0 || l.active() || l.introducer || l.client != 0 || g.book.known.Len()+1 <= g.cfg.FullMesh {
		return false
	}
	r, above := g.rangeOf(m.top)
	for _, other := range g.neighbors {
		if r2, above2 := g.rangeOf(other.addr.Top()); r2 == r && above2 == above && !better(rtt, g.links.RTT(other.id)) {
			return true
		}
	}
	return false
}

// expectation is what tables say of a member that a neighbor was asked about.
type expectation struct {
	top uint32
	rtt time.Duration
}

// improve asks for members that promise to be better fingers than those that
// are there, or to fill a gap, as the tables of neighbors show them: those first
// by which most is gained.
func (g *Group) improve(now clock.Time) {
	for _, e := range g.expected {
		if g.restless(now) && g.book.byTop(e.top) == nil { // nobody told of it: it has gone, or has no room
			g.leaveAlone(now, e.top, fullFor)
		}
	}
	g.expected = nil
	if g.book.known.Len()+1 <= g.cfg.FullMesh || len(g.neighbors) == 0 {
		return
	}
	calm := g.calm(now)
	steady := g.steady(now)
	mayTry := calm && max(g.nextDial, g.nextTrial) <= now
	var f fingers
	g.survey(now, &f)
	if !mayTry && !g.lacksRandom && !g.lacksFinger(&f, calm) {
		return
	}
	var offers [2][fingerRanges]offer
	g.offers(now, &offers)
	var asks [improveAtOnce]struct {
		offer
		gain time.Duration
	}
	var gap uint64
	for _, above := range [...]bool{true, false} {
		for r := 1; r < g.lastRange(above); r++ {
			m := f[side(above)][r].best()
			if m != nil && (!above && !steady || m.link == nil) || !above && !calm {
				continue // it serves, or is being dialed
			}
			o, gain := offers[side(above)][r], time.Hour
			if m != nil {
				gain = m.link.rtt - o.rtt
			}
			switch {
			case o.via == nil && m == nil && gap == 0:
				gap = 3 << (62 - r) // the middle of the range
				if !above {
					gap = -gap
				}
			case o.via == nil || m != nil && (!mayTry || !promising(o.rtt, m.link.rtt)):
			default:
				for i := range asks {
					if gain > asks[i].gain {
						asks[i].offer, o = o, asks[i].offer
						asks[i].gain, gain = gain, asks[i].gain
					}
				}
			}
		}
	}
	for _, a := range asks {
		if a.via != nil {
			g.expected = append(g.expected, expectation{a.top, a.rtt})
			g.want(now, a.via, a.top)
		}
	}
	if now.Sub(g.drawnAt) < gapInterval<<min(g.draws, 5) || g.drawing != 0 {
		return
	}
	// Nobody tells of anybody there, so ask whoever is nearest.
	switch {
	case gap != 0:
		g.drawnAt = now
		g.draws++
		var d ring.Addr
		binary.BigEndian.PutUint64(d[:], gap)
		g.find(now, g.self.Add(d), nil)
	case g.lacksRandom:
		g.drawnAt = now
		g.draws++
		g.drawing = g.find(now, g.anywhere(), nil)
	}
}

// lacksFinger reports whether there is nobody in some range.
func (g *Group) lacksFinger(f *fingers, calm bool) bool {
	for _, above := range [...]bool{true, false} {
		for r := 1; (above || calm) && r < g.lastRange(above); r++ {
			if f[side(above)][r].best() == nil {
				return true
			}
		}
	}
	return false
}

func (g *Group) anywhere() (a ring.Addr) {
	for i := range a {
		a[i] = byte(g.cfg.Rand.Uint32())
	}
	return a
}

// offer is a member in a neighbor's table that is not known here, and what its
// round-trip time is likely to be.
type offer struct {
	top uint32
	rtt time.Duration
	via *link
}

// likelyRTT returns the round-trip time to expect of a member from that to a
// neighbor and the neighbor's to the member. In networks whose nodes lie in
// clusters, each behind a last mile, it is about the longer of the two: their sum,
// which bounds it, is seldom reached, and in half of the cases in which both are
// long, it is short, because the member is near this one.
func likelyRTT(a, b time.Duration) time.Duration { return max(a, b) + min(a, b)/4 }

// offers finds the best offer in each range.
func (g *Group) offers(now clock.Time, best *[2][fingerRanges]offer) {
	for _, l := range g.neighbors {
		if l.suspected != 0 {
			continue
		}
		for e := range lines(l.table) {
			r, above := g.rangeOf(uint64(e.top)<<32 | 1<<31)
			o := &best[side(above)][r]
			if rtt := likelyRTT(l.rtt, unpackRTT(e.rtt)); (o.via == nil || rtt < o.rtt) && e.top != topOf(g.self) && g.book.byTop(e.top) == nil && !g.isSpared(now, e.top) {
				*o = offer{e.top, rtt, l}
			}
		}
	}
}

// mayDial rations the dials that the ring does not need: opening a session
// costs more than a link does in a minute. Trials are fewer the longer they were
// all in vain.
func (g *Group) mayDial(now clock.Time, m *member) bool {
	const ahead = dialBurst * dialInterval
	g.nextDial = max(g.nextDial, now.Add(-ahead))
	due := g.nextDial
	if m.trial {
		due = max(due, g.nextTrial)
	}
	if due > now {
		g.wake(m, due)
		return false
	}
	g.nextDial = g.nextDial.Add(dialInterval)
	if m.trial {
		g.nextTrial = now.Add(dialInterval << min(g.vain/fewTrials*2, 6))
	}
	return true
}

// sparedMember is a member that is left alone, by the top of its address. There
// are many of them, so the time is in seconds.
type sparedMember struct{ top, until uint32 }

func sparedSeconds(t clock.Time) uint32 { return uint32(t.Sub(0) / time.Second) }

// leaveAlone remembers for a while that a member is no use as a finger, whatever
// is expected of it: it has no room, or was tried.
func (g *Group) leaveAlone(now clock.Time, top uint32, d time.Duration) {
	t := sparedSeconds(now)
	g.spared = slices.DeleteFunc(g.spared, func(s sparedMember) bool { return s.top == top || s.until <= t })
	if len(g.spared) == maxSpared {
		g.spared = slices.Delete(g.spared, 0, 1)
	}
	g.spared = append(g.spared, sparedMember{top, sparedSeconds(now.Add(jitter(g.cfg.Rand, d)))})
}

// isSpared reports whether a member is to be left alone.
func (g *Group) isSpared(now clock.Time, top uint32) bool {
	for _, s := range g.spared {
		if s.top == top && sparedSeconds(now) < s.until {
			return true
		}
	}
	return false
}
