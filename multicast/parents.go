package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// growing is this node's place in the eight trees: who feeds it.
type growing struct {
	slices      [numSlices]slice
	rotation    int  // where to begin, so that not all nodes favor the same slice
	replan      bool // a slice may need a parent
	routesDirty bool
	handAt      clock.Time // when to look at what is handed over
}

// slice is the way by which one eighth of the fragments comes.
type slice struct {
	parent *peer  // who pushes it; nil: nobody
	next   *peer  // who was asked to take over
	cut    uint64 // the fragment at which next takes over; 0: it does at once
	route  route  // of this node, as its neighbors are told

	// What of its routes this node has announced: see feasible.
	bestEpoch uint64
	bestDepth uint8
	announced bool

	confirmed bool // the parent has pushed, or did not refuse in time
	moving    bool // the parent asked to be left
	released  bool // the parent was told to stop at cut

	unfedAt clock.Time // since when there is no route

	// To move to a parent that is no nearer to the publisher by depth, a node
	// keeps to the epoch that it has announced until that parent has a later
	// one. Its own descendants can't have that before it does.
	stayUntil clock.Time

	asked    clock.Time // when the parent, or the one to come, was asked
	lastPush clock.Time // when the parent last pushed
	movedAt  clock.Time
	missedAt clock.Time // since when the parent owes a fragment; 0: it does not
	lagMean  time.Duration
	lagDev   time.Duration

	// What the parent was told of the place: see worth.go.
	toldAt               uint32 // milliseconds
	toldWorth, toldBelow byte
}

// noteLag takes the time by which a pushed fragment came later than the news
// of it into the estimate (the filter of RFC 6298).
func (sl *slice) noteLag(lag int64) {
	d := time.Duration(lag) - sl.lagMean
	sl.lagMean += d / 8
	if d < 0 {
		d = -d
	}
	sl.lagDev += (d - sl.lagDev) / 4
}

// restless reports whether news of the neighbors may find a slice a parent, or
// a better one.
func (st *stream) restless(now clock.Time) bool {
	if st.pub != nil {
		return false
	}
	for i := range st.slices {
		if sl := &st.slices[i]; sl.next == nil && (sl.parent == nil || sl.moving || now < sl.stayUntil) {
			return true
		}
	}
	return false
}

// plan finds parents for the slices that need one.
func (st *stream) plan(now clock.Time) {
	st.replan, st.handAt = false, clock.Never
	if st.pub != nil || st.ended && st.frontier >= st.last {
		return
	}
	for i := range numSlices {
		s := (i + st.rotation) % numSlices
		sl := &st.slices[s]
		if sl.next != nil {
			if now.Sub(sl.asked) < st.nextTimeout(sl) {
				st.letGo(now, s)
				continue
			}
			// It neither refused nor pushed. With nothing to push that is as it
			// should be; else the parent stays, for it is the one that pushes.
			if st.busy(now) {
				st.holdOff(now, sl.next, s)
				st.unask(sl.next, s)
				st.stay(s)
			} else {
				st.commit(now, s)
			}
		}
		if sl.parent != nil && !sl.confirmed && now.Sub(sl.asked) >= st.askTimeout(sl.parent) {
			sl.confirmed = true
			st.routesDirty = true
		}
		if sl.parent != nil && !sl.moving {
			if now < sl.stayUntil {
				st.tryMove(now, s)
			}
			continue
		}
		if p, urgent := st.choose(now, s, sl.parent); p != nil {
			st.adopt(now, s, p, urgent)
		}
	}
	st.planVoucher(now)
	st.sendAsks(now)
}

// adopt asks p for a slice: to be its parent at once if there is none, else to
// take over.
func (st *stream) adopt(now clock.Time, s int, p *peer, urgent bool) {
	sl := &st.slices[s]
	if sl.parent == nil {
		sl.parent, sl.confirmed = p, false
	} else {
		sl.next = p
		sl.cut, sl.released = st.cutFor(now, s, p), false
	}
	sl.asked, sl.missedAt = now, 0
	p.fresh |= 1 << s
	if urgent {
		p.urgent |= 1 << s
	}
}

// commit makes the one who was asked to take over the parent.
func (st *stream) commit(now clock.Time, s int) {
	sl := &st.slices[s]
	if sl.parent != nil {
		st.unask(sl.parent, s)
	}
	sl.parent, sl.next = sl.next, nil
	sl.cut, sl.released = 0, false
	if sl.moving {
		st.stats.ParentsAsked++
	}
	sl.confirmed, sl.moving = true, false
	sl.missedAt, sl.movedAt, sl.lastPush, sl.stayUntil = 0, now, now, 0
	sl.lagMean, sl.lagDev = 0, 0
	st.stats.ParentsMoved++
	st.routesDirty = true
	st.replan = true // to tell the old one
	st.wake(now)
}

// unask takes a slice out of what a neighbor is asked for; sendAsks tells it.
func (st *stream) unask(p *peer, s int) {
	p.fresh &^= 1 << s
	p.urgent &^= 1 << s
	st.replan = true
}

// holdOff keeps from asking a neighbor for a slice for a while.
func (st *stream) holdOff(now clock.Time, p *peer, s int) {
	d := time.Duration(askAgain)
	if !p.n.Modern {
		d = oldAskAgain
	}
	p.notBefore[s] = max(millis(now.Add(d+time.Duration(st.s.cfg.Rand.Int64N(int64(d))))), 1)
	p.room &^= 1 << s
	p.price[s] = noPlace
}

// barred reports whether a neighbor is not to be asked for a slice yet.
func (p *peer) barred(now clock.Time, s int) bool {
	if p.notBefore[s] != 0 && int32(p.notBefore[s]-millis(now)) <= 0 {
		p.notBefore[s] = 0
	}
	return p.notBefore[s] != 0
}

func (st *stream) askTimeout(p *peer) time.Duration {
	return askPatience + 2*st.s.flows.RTT(p.n.link) + st.meter.sliceInterval()*3
}

// nextTimeout is the same for one that is to take over.
func (st *stream) nextTimeout(sl *slice) time.Duration {
	if sl.cut == 0 {
		return st.askTimeout(sl.next)
	}
	// Nobody else brings the slice from the cut on.
	return 2*st.s.flows.RTT(sl.next.n.link) + st.s.flows.RTT(sl.parent.n.link) + 4*handoverSlack + st.meter.sliceInterval()*3/2
}

// choose returns the best neighbor to feed a slice, other than the one that
// feeds it now. urgent says that it has refused before, and is the only one, or nobody
// has room.
func (st *stream) choose(now clock.Time, s int, except *peer) (best *peer, urgent bool) {
	var bestCost time.Duration
	open, ties := 0, 0
	for pass := range 2 {
		for _, p := range st.peers {
			if p == except || !st.canFeed(p, s) || p.barred(now, s) {
				continue
			}
			if pass == 0 && p.n.Modern && (p.room|p.hinted)&(1<<s) == 0 && (except == nil || !st.outbids(now, s, p)) {
				continue
			}
			open++
			cost := st.cost(p, s)
			switch {
			case best == nil || cost < bestCost:
				best, bestCost, ties = p, cost, 1
			case cost == bestCost:
				if ties++; st.s.cfg.Rand.IntN(ties) == 0 {
					best = p
				}
			}
		}
		if best != nil || except != nil {
			break // somebody without room is only asked in need
		}
	}
	if best == nil {
		return nil, false
	}
	full := best.n.Modern && (best.room|best.hinted)&(1<<s) == 0
	return best, (except == nil && full || open == 1) && best.denied&(1<<s) != 0
}

// canFeed reports whether p may be the parent of a slice.
func (st *stream) canFeed(p *peer, s int) bool {
	if p.ctrlIn == 0 || p.ctrlOut == 0 || p.n.suspect {
		return false
	}
	if !p.n.Modern {
		return true
	}
	return p.routes[s].depth < maxDepth && st.slices[s].feasible(&p.routes[s])
}

// cost estimates when fragments of a slice would come by way of p, and adds a
// little for what p and this node's other slices already load it with, so
// that what is equally near shares the work.
func (st *stream) cost(p *peer, s int) time.Duration {
	c := st.s.flows.RTT(p.n.link)/2 + hopDelay
	if p.n.Modern {
		c += p.routes[s].delay.duration() + time.Duration(p.load)*loadCost + st.lags(p, s)
	} else {
		c += oldPeerCost + st.trails(p)
	}
	for i := range st.slices {
		if sl := &st.slices[i]; i != s && (sl.parent == p || sl.next == p) {
			c += spreadCost
		}
	}
	return c
}

// lags is how far a neighbor is behind in a slice by what it told it holds, if
// that is more than neighbors on a good way use to be: what is on its way there
// waits, whatever the round trips say.
func (st *stream) lags(p *peer, s int) time.Duration {
	if st.meter.perSecond == 0 || p.newest == 0 || st.pub != nil {
		return 0
	}
	held := p.newest
	for held%numSlices != uint64(s) && held > 1 {
		held--
	}
	for n := 0; n < farthestLag && held > numSlices && !p.have.has(held); n++ {
		held -= numSlices
	}
	if held >= st.frontier {
		return 0
	}
	behind := time.Duration(min(st.frontier-held, maxGaps)) * time.Second / time.Duration(st.meter.perSecond)
	return max(behind-st.now.Sub(p.toldAt)-lateSlice-st.meter.sliceInterval(), 0)
}

// trails is how far an old neighbor's maps are behind, if that is more than maps
// use to be: such a one is fed late, maybe by way of this node.
func (st *stream) trails(p *peer) time.Duration {
	if st.meter.perSecond == 0 || p.newest == 0 || p.newest >= st.frontier {
		return 0
	}
	behind := time.Duration(min(st.frontier-p.newest, maxGaps)) * time.Second / time.Duration(st.meter.perSecond)
	return max(behind-oldLag-st.desc.availability, 0)
}

// sendAsks tells every neighbor for which slices it is wanted, if that changed.
func (st *stream) sendAsks(now clock.Time) {
	for _, p := range st.peers {
		mask := byte(0)
		for s := range st.slices {
			if sl := &st.slices[s]; sl.parent == p && !sl.released || sl.next == p {
				mask |= 1 << s
			}
		}
		if mask == p.asked && p.fresh == 0 && !p.stale || p.ctrlOut == 0 {
			continue
		}
		p.asked, p.stale = mask, false
		if !p.n.Modern {
			p.fresh = 0
			st.control(now, p, []byte{msgPush, mask})
			continue
		}
		fresh := p.fresh & mask
		for {
			// One message for all new slices that begin at the same id.
			a := ask{mask: mask}
			a.ending, a.until = st.handingOver(p)
			if p.urgent != 0 {
				a.flags = askUrgent
			}
			if p == st.voucher || p == st.heir {
				a.flags |= askDigests
			}
			for s := range numSlices {
				bit := byte(1) << s
				if fresh&bit == 0 {
					continue
				}
				from := st.slices[s].cut
				if from == 0 || st.slices[s].next != p {
					from = st.firstWanted(now, s)
				}
				if a.fresh == 0 {
					a.from = from
				}
				if from == a.from {
					a.fresh |= bit
				}
			}
			fresh &^= a.fresh
			st.tellWorth(now, p, &a)
			st.s.scratch = appendAsk(st.s.scratch[:0], a)
			st.control(now, p, st.s.scratch)
			if fresh == 0 {
				break
			}
		}
		p.fresh, p.urgent = 0, 0
	}
}

// firstWanted is the first fragment of a slice that a new parent should send:
// the first that is missing and was not asked of anybody. Those gaps are given
// the time of a push.
func (st *stream) firstWanted(now clock.Time, s int) uint64 {
	if !st.started {
		return 0
	}
	from := st.frontier + 1
	wait := now.Add(st.pullDelay(uint64(s)))
	for i := range st.missing {
		g := &st.missing[i]
		if g.id%numSlices != uint64(s) || g.early || g.asked != nil || g.due == clock.Never {
			continue
		}
		from = min(from, g.id)
		g.due = max(g.due, wait)
	}
	return from
}

// onRefuse takes a neighbor's word that it does not feed slices, or will soon
// stop to.
func (st *stream) onRefuse(now clock.Time, p *peer, mask byte, hints []byte) {
	p.denied |= mask
	for s := range numSlices {
		if mask&(1<<s) == 0 {
			continue
		}
		sl := &st.slices[s]
		bid := sl.next == p && (p.room|p.hinted)&(1<<s) == 0
		st.holdOff(now, p, s)
		if bid { // for a place that was taken
			p.notBefore[s] += uint32(bidAgain/time.Millisecond) + uint32(st.s.cfg.Rand.Int64N(int64(bidAgain/time.Millisecond)))
		}
		p.hinted &^= 1 << s
		switch {
		case sl.next == p:
			st.stay(s)
			p.fresh &^= 1 << s
		case sl.parent == p && sl.confirmed:
			sl.moving = true // it goes on pushing for a while
		case sl.parent == p:
			st.inherit(s)
		}
	}
	for ; len(hints) >= 32; hints = hints[32:] {
		for _, q := range st.peers {
			if q != p && string(q.n.Peer[:]) == string(hints[:32]) {
				q.hinted |= mask
			}
		}
	}
	st.routesDirty, st.replan = true, true
	st.wake(now)
}

// noteArrival follows up on a fragment that came from p.
func (st *stream) noteArrival(now clock.Time, p *peer, id uint64, pulled, duplicate bool) {
	s := int(id % numSlices)
	sl := &st.slices[s]
	if pulled {
		return
	}
	switch p {
	case sl.parent:
		sl.lastPush, sl.missedAt = now, 0
		p.denied &^= 1 << s
		if !sl.confirmed {
			sl.confirmed = true
			st.routesDirty = true
			st.wake(now)
		}
		if duplicate && sl.next == nil {
			// It was pulled too early: be more patient with this parent.
			sl.lagDev = min(sl.lagDev+earlyPenalty, pullDelayMax/4)
		}
	case sl.next:
		if id < sl.cut {
			return // an answer to a pull
		}
		p.denied &^= 1 << s
		st.commit(now, s)
	}
}

// overdue notes that a fragment of a slice had to be pulled.
func (st *stream) overdue(g *gap) {
	sl := &st.slices[g.id%numSlices]
	if sl.parent != nil && sl.missedAt == 0 && sl.lastPush < g.known {
		sl.missedAt = g.known
	}
}

// watchParents gives up the parents that owe fragments for too long. One that
// has not been heard of at all in that time loses all its slices at once.
func (st *stream) watchParents(now clock.Time) {
	before := st.stats.ParentsReplaced
	defer func() { st.stats.ParentsSilent += st.stats.ParentsReplaced - before }()
	for s := range st.slices {
		sl := &st.slices[s]
		if sl.parent == nil {
			continue
		}
		if !sl.parent.n.Modern && sl.lagMean > oldLag && now.Sub(sl.asked) > oldSilence {
			// Old peers may feed each other what they pulled, long after others
			// had it: nothing that they say tells them from those near the source.
			st.loseParent(now, s)
			continue
		}
		if sl.missedAt == 0 {
			continue
		}
		limit := st.silence(s)
		if now.Sub(max(sl.missedAt, sl.asked)) < limit {
			continue
		}
		p := sl.parent
		if st.s.quiet(now, p.n) >= limit {
			p.n.suspect = true
			st.dropParent(now, p)
			st.releaseGaps(now, p)
			continue
		}
		st.loseParent(now, s)
	}
}

// silence is how long a parent may owe a fragment.
func (st *stream) silence(s int) time.Duration {
	sl := &st.slices[s]
	rtt := st.s.flows.RTT(sl.parent.n.link)
	d := 2*(pullDelayFloor+rtt+sl.lagMean+2*sl.lagDev) + 2*st.meter.sliceInterval()
	if !sl.parent.n.Modern {
		return max(d, oldSilence)
	}
	if st.classed && sl.parent.routes[s].depth == 0 {
		d = maxSilence + 2*rtt // the publisher may owe it for want of room: see owed.go
	}
	return min(max(d, minSilence), maxSilence+2*rtt)
}

// loseParent gives up the parent of a slice.
func (st *stream) loseParent(now clock.Time, s int) {
	sl := &st.slices[s]
	st.stats.ParentsReplaced++
	st.holdOff(now, sl.parent, s)
	st.unask(sl.parent, s)
	st.inherit(s)
	sl.confirmed, sl.moving, sl.missedAt = false, false, 0
	sl.lagMean, sl.lagDev = 0, 0
	st.routesDirty, st.replan = true, true
	st.wake(now)
}

// inherit makes the one who was to take over the parent in place of one that does
// not feed the slice any more, or nobody.
func (st *stream) inherit(s int) {
	sl := &st.slices[s]
	if sl.parent, sl.next = sl.next, nil; sl.parent != nil && sl.cut != 0 {
		sl.parent.fresh |= 1 << s // at once
	}
	sl.cut, sl.released = 0, false
}

// dropParent gives up a neighbor in all slices. The others that wait for it
// are asked for at once.
func (st *stream) dropParent(now clock.Time, p *peer) {
	if !st.active {
		return
	}
	for s := range st.slices {
		sl := &st.slices[s]
		if sl.next == p {
			st.stay(s)
			st.unask(p, s)
			st.wake(now)
		}
		if sl.parent == p {
			st.loseParent(now, s)
		}
	}
}

// improve looks, one slice a turn, for a parent that would bring it sooner.
func (st *stream) improve(now clock.Time) {
	st.rotation = (st.rotation + 1) % numSlices
	s := st.rotation
	sl := &st.slices[s]
	st.appraise(now, s)
	if st.pub != nil || sl.parent == nil || sl.next != nil || sl.moving || !sl.confirmed || now.Sub(sl.movedAt) < hasteRest {
		return
	}
	if st.tryMove(now, s) {
		return
	}
	for _, p := range st.peers {
		if p.n.Modern && p != sl.parent && p.routes[s].depth < maxDepth-1 && (p.room&(1<<s) != 0 || st.outbids(now, s, p)) &&
			p.ctrlIn != 0 && p.ctrlOut != 0 && !p.n.suspect && !p.barred(now, s) && st.gains(now, sl, s, p) {
			sl.stayUntil, sl.movedAt = now.Add(stayTime), now
			return
		}
	}
}

// tryMove asks a better parent to take over a slice, if there is one.
func (st *stream) tryMove(now clock.Time, s int) bool {
	sl := &st.slices[s]
	p, _ := st.choose(now, s, sl.parent)
	if p == nil || !st.gains(now, sl, s, p) {
		return false
	}
	sl.movedAt = now
	st.adopt(now, s, p, false)
	return true
}

// gains reports whether p would bring a slice so much sooner than its parent
// that it is worth a move.
func (st *stream) gains(now clock.Time, sl *slice, s int, p *peer) bool {
	is := st.cost(sl.parent, s)
	if sl.lagMean > lateSlice {
		is += sl.lagMean - lateSlice
	}
	least := max(moveGain, is/moveShare)
	switch rested := now.Sub(sl.movedAt) >= moveRest; {
	case !p.n.Modern || !sl.parent.n.Modern:
		if least = max(2*moveGain, is/oldShare); !rested {
			return false
		}
	case !rested:
		least = max(4*moveGain, is/hasteShare)
	}
	return st.cost(p, s)+least < is
}
