package group

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Which members are neighbors. Those next to this one on the ring make the
// group correct; fingers, one in each range at 1/4 to 1/2 of the ring, 1/8 to
// 1/4 and so on, make ways short, and each is the one with the lowest latency
// among all candidates that have come up; a random one keeps the group from
// falling apart. Up the ring fingers are chosen; down it the fingers of others
// that chose this member serve, because every link serves both ends, until the
// group has been steady for a while.

// expectation is what tables say of a member that a neighbor was asked about.
type expectation struct {
	top uint32
	rtt time.Duration
}

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

// sparedMember is a member that is left alone, by the top of its address. There
// are many of them, so the time is in seconds.
type sparedMember struct{ top, until uint32 }

func sparedSeconds(t clock.Time) uint32 { return uint32(t.Sub(0) / time.Second) }

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
// gone don't count, but are picked too: they may be there after all.
func (g *Group) chooseRing(now clock.Time, above bool) {
	got := 0
	for k := 0; got < ringSide && k < ringReach; k++ {
		it, ok := g.side(above, k)
		if !ok {
			return
		}
		g.pick(it.Value)
		if m := it.Value; m.link != nil && m.link.suspected == 0 || m.link == nil && g.dialable(now, m) && now.Sub(m.heard) <= freshness {
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

// rangeOf returns the range of fingers that a place is in: 1 for 1/4 to 1/2 of
// the ring away from this member, 2 for 1/8 to 1/4 and so on, and the side.
func (g *Group) rangeOf(top uint64) (r int, above bool) {
	d := top - g.top
	if above = d < 1<<63; !above {
		d = -d
	}
	return min(bits.LeadingZeros64(d), fingerRanges-1), above
}

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

// fingerPick is what a range of fingers has to offer.
type fingerPick struct {
	linked *member // the neighbor with the lowest latency
	serves *member // one that is wanted for something else
	other  *member // the most promising that could be dialed
}

const fingerRanges = 40

type fingers [2][fingerRanges]fingerPick

func side(above bool) int {
	if above {
		return 0
	}
	return 1
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

// better reports whether a round-trip time makes a change of links worth while.
func better(rtt, present time.Duration) bool { return rtt < present*7/8-gainAtLeast }

// promising reports whether one that is expected makes a trial worth while.
func promising(expected, present time.Duration) bool { return expected < present*3/4-gainAtLeast }

// improve asks for members that promise to be better fingers than those that
// are there, or to fill a gap, as the tables of neighbors show them: those first
// by which most is gained.
func (g *Group) improve(now clock.Time) {
	for _, e := range g.expected {
		if g.book.byTop(e.top) == nil { // nobody told of it: it has gone, or has no room
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

// room reports whether the member behind l, which has proven itself, may
// become a neighbor.
func (g *Group) room(now clock.Time, l *link) bool {
	g.choose(now)
	limit := g.limit + guests // a foothold for newcomers, until they have others
	if g.cfg.Introduce {
		limit += guestsToo
	}
	g.endHolds(now)
	limit += min(len(g.held), heldGuest)
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
		if l.member.wanted || l.introducer || now.Sub(l.upSince) < partingGrace || g.holds(l) || len(g.neighbors) <= g.limit-spare {
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
	if !l.up || l.member.wanted || g.holds(l) || len(g.neighbors) <= g.wanted {
		return
	}
	g.endPeering(now, l, ReasonParted)
	g.release(now, l)
}

// trim gives up links above the limit that are not wanted here, those with the
// highest latency first. Guests may stay for a while and do not count until then:
// most of them go by themselves, and a link that is given up for one is likely to
// be somebody's finger, who has to find another. Who exchanges something stays as
// long as that goes on. The ring may need some more than the limit.
func (g *Group) trim(now clock.Time) {
	g.endHolds(now)
	grace := guestTime
	if g.cfg.Introduce {
		grace = partingGrace // it has many
	}
	for len(g.neighbors) > g.limit {
		var worst *link
		settled := 0
		for _, l := range g.neighbors {
			if now.Sub(l.upSince) < grace {
				continue
			}
			settled++
			if !l.member.wanted && !g.holds(l) && (worst == nil || l.rtt > worst.rtt) {
				worst = l
			}
		}
		if worst == nil || settled <= g.limit {
			return
		}
		g.stats.LinksTrimmed++
		g.endPeering(now, worst, ReasonFull)
		g.release(now, worst)
	}
}
