package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// pullDelay is how long to wait for a fragment of a slice to be pushed once it
// is known of: as late as they use to come, and a round trip and a half more,
// in which the parent's transport sends again what was lost.
func (st *stream) pullDelay(slice uint64) time.Duration {
	sl := &st.slices[slice]
	p := sl.parent
	if p == nil {
		p = sl.next
	}
	jitter := time.Duration(st.s.cfg.Rand.Int64N(int64(pullJitter)))
	if p == nil {
		return pullDelayUnfed + jitter
	}
	d := pullDelayFloor + st.s.flows.RTT(p.n.link)*3/2 + sl.lagMean + 4*sl.lagDev
	return min(d, pullDelayMax) + jitter
}

// repair asks for the gaps that are due, and gives up parents that have gone
// silent over them.
func (st *stream) repair(now clock.Time) {
	next := clock.Never
	st.crowded = false
	for i := range st.missing {
		g := &st.missing[i]
		if g.due > now {
			next = min(next, g.due)
			continue
		}
		if !g.early {
			st.overdue(g)
		}
		if g.asked != nil {
			// As long as others come from there, this one may be on its way.
			if wait := g.asked.lastPulled.Add(st.pullTimeout(g.asked, 0)); wait > now && now.Sub(g.sent) < maxPullWait {
				g.due = wait
				next = min(next, wait)
				continue
			}
			g.asked.outstanding--
			if g.asked.n.Modern {
				g.asked.ignored = min(g.asked.ignored+1, maxIgnored)
			}
			g.asked = nil
		}
		p, when := st.holder(now, g)
		switch {
		case p != nil:
			if g.orphan {
				g.orphan = false
				st.orphans--
			}
			p.outstanding++
			g.asked, g.sent = p, now
			g.due = now.Add(st.pullTimeout(p, g.tries))
			g.tries = min(g.tries+1, 3)
			p.pulls = append(p.pulls, g.id)
			next = min(next, g.due)
		case when != clock.Never:
			g.due = when
			next = min(next, when)
		case !g.orphan:
			g.orphan = true
			st.orphans++
		}
	}
	for _, p := range st.peers {
		if len(p.pulls) > 0 {
			st.sendPulls(now, p)
		}
	}
	st.repairAt = next
	st.watchParents(now)
}

// holder chooses the neighbor to ask for a fragment: of those that hold it the
// one with the least to do and the shortest way. If there is none now, it
// returns when to look again, clock.Never if that takes news.
func (st *stream) holder(now clock.Time, g *gap) (best *peer, when clock.Time) {
	when = clock.Never
	var bestCost int64
	ties := 0
	for _, p := range st.peers {
		if p.ctrlOut == 0 || p.n.suspect {
			continue
		}
		guess := time.Duration(0)
		if !p.have.has(g.id) {
			at := st.presumedAt(p, g.id)
			if at > now {
				when = min(when, at)
				continue
			}
			guess = guessCost
		}
		if !p.n.Modern && !g.early && g.known.Add(st.desc.fetch) > now {
			// Old neighbors give push that much time, and others to announce.
			when = min(when, g.known.Add(st.desc.fetch))
			continue
		}
		if p.outstanding >= maxOutstanding {
			st.crowded = true
			when = min(when, now.Add(pullRetry))
			continue
		}
		cost := int64(st.s.flows.RTT(p.n.link)/2+guess) + int64(p.outstanding)*int64(outstandingCost)
		cost += int64(p.ignored) * int64(ignoredCost)
		if g.tries > 0 && p == g.last {
			cost += int64(maxPullWait)
		}
		switch {
		case best == nil || cost < bestCost:
			best, bestCost, ties = p, cost, 1
		case cost == bestCost:
			if ties++; st.s.cfg.Rand.IntN(ties) == 0 {
				best = p
			}
		}
	}
	if best != nil {
		g.last = best
	}
	return best, when
}

// presumedAt returns from when on a neighbor may be taken to hold a fragment
// that it has not told of: one that is fed goes on at the pace of the stream
// between the times at which it speaks. It is clock.Never if there is no telling.
// A neighbor that is asked in vain says so.
func (st *stream) presumedAt(p *peer, id uint64) clock.Time {
	rate := st.meter.perSecond
	if !p.n.Modern || p.newest == 0 || rate == 0 || p.routes[id%numSlices].depth >= maxDepth {
		return clock.Never
	}
	trail := rate * uint64(presumeLag) / uint64(time.Second) // what its slices may still lack
	if id+trail <= p.newest || id > p.newest+rate {
		return clock.Never // it would have told of it, or will before
	}
	return p.toldAt.Add(time.Duration((id + trail - p.newest) * uint64(time.Second) / rate))
}

// onAnswer asks others for what a neighbor was asked for and says that it does
// not hold.
func (st *stream) onAnswer(now clock.Time, p *peer) {
	for i := range st.missing {
		if g := &st.missing[i]; g.asked == p && !p.have.has(g.id) {
			st.release(g)
			g.due = now
			st.repairNow(now)
		}
	}
}

// pullTimeout is how long to wait for the answer to a pull. A round trip that was
// measured while one end stood still may be seconds long, and must not keep a
// gap from being asked for again before it is given up.
func (st *stream) pullTimeout(p *peer, tries uint8) time.Duration {
	return min((pullTimeoutFloor+2*st.s.flows.RTT(p.n.link))<<min(tries, 3), maxPullTimeout)
}

// sendPulls asks a neighbor for what was chosen, in ascending order: old ones
// one by one, modern ones by bitmaps.
func (st *stream) sendPulls(now clock.Time, p *peer) {
	ids := p.pulls
	p.pulls = p.pulls[:0]
	st.stats.PullsSent += uint64(len(ids))
	if !p.n.Modern {
		for _, id := range ids {
			st.s.scratch = appendPull(st.s.scratch[:0], id)
			st.control(now, p, st.s.scratch)
		}
		return
	}
	for len(ids) > 0 { // not inBitmaps, for which the bitmap would be allocated
		var bitmap [maxFetchMap]byte
		var first uint64
		var n int
		first, n, ids = fillBitmap(ids, &bitmap)
		st.s.scratch = appendFetch(st.s.scratch[:0], first, bitmap[:n])
		st.control(now, p, st.s.scratch)
	}
}

// releaseGaps takes back what was asked of a neighbor that will not answer.
func (st *stream) releaseGaps(now clock.Time, p *peer) {
	if p.outstanding == 0 {
		return
	}
	for i := range st.missing {
		if g := &st.missing[i]; g.asked == p {
			g.asked = nil
			g.due = now
		}
	}
	p.outstanding = 0
	st.repairNow(now)
}

// expireGaps gives up what has been missing for a whole window, or for as long as it is
// worth anything, and what nobody can have any more.
func (st *stream) expireGaps(now clock.Time) {
	if len(st.missing) == 0 {
		return
	}
	oldest := uint64(0) // lowest id that anybody may still come to hold
	for _, p := range st.peers {
		if p.ctrlIn == 0 {
			continue
		}
		if !p.n.Modern || p.oldest == 0 {
			oldest = 0
			break
		}
		if oldest == 0 || p.oldest < oldest {
			oldest = p.oldest
		}
	}
	kept := st.missing[:0]
	for i := range st.missing {
		g := &st.missing[i]
		age := now.Sub(g.known)
		if age < st.patience(g) && (age < goneGrace || g.id >= oldest) {
			kept = append(kept, *g)
			continue
		}
		st.release(g)
		st.stats.Lost++
	}
	clear(st.missing[len(kept):])
	st.missing = kept
}

// onFetch serves a modern neighbor's request.
func (st *stream) onFetch(now clock.Time, p *peer, first uint64, bitmap []byte) {
	held := true
	eachID(first, bitmap, func(id uint64) {
		held = held && st.win.has(id)
		st.serve(now, p, id)
	})
	if !held {
		st.answer(now, p)
	}
}

// serve sends a fragment that a neighbor asked for, if it is held and the
// neighbor has not asked for too much.
func (st *stream) serve(now clock.Time, p *peer, id uint64) {
	class := st.classOfHeld(id)
	msg := st.win.get(id)
	if msg == nil || p.ctrlIn == 0 {
		st.stats.PullsUnserved++
		return
	}
	again := p.have.has(id)
	if !st.allow(now, p, len(msg), class, again) {
		if again || st.s.uploadLimit() == 0 || !st.owePull(now, p, id, msg, class) {
			st.stats.PullsUnserved++
		}
		return
	}
	if st.sendFragment(now, p, id, msg, class) {
		st.stats.FragmentsRequestedByPeers++
	} else {
		st.stats.PullsUnserved++
	}
}

// allow takes the cost of a pulled fragment from what the neighbor, and all
// neighbors together, may have. again says that it was sent before.
func (st *stream) allow(now clock.Time, p *peer, size int, class Class, again bool) bool {
	rate := max(4*st.meter.rate, minPullRate)
	if !p.allowance.take(now, size, rate, max(4*st.meter.rate, minPullBurst)) {
		return false
	}
	if limit := st.s.uploadLimit(); limit > 0 {
		room := pullRoom[class]
		if class == First && st.classed && !again {
			room = pushRoom[First]
		}
		return st.s.upload.has(now, limit, room)
	}
	return true
}

// allowance is a bucket of bytes that fills at a rate.
type allowance struct {
	used int64 // bytes over what has flowed in
	at   clock.Time
}

func (a *allowance) drain(now clock.Time, rate uint64) {
	elapsed := uint64(min(now.Sub(a.at), time.Minute) / time.Microsecond)
	a.used = max(a.used-int64(elapsed*rate/1e6), 0)
	a.at = now
}

// take spends size bytes unless more than burst are spent already.
func (a *allowance) take(now clock.Time, size int, rate, burst uint64) bool {
	a.drain(now, rate)
	if a.used >= int64(burst) {
		return false
	}
	a.used += int64(size)
	return true
}

// has reports whether anything is left of so many eighths of an eighth of a second's bytes.
func (a *allowance) has(now clock.Time, rate, eighths uint64) bool {
	a.drain(now, rate)
	return a.used < int64(rate/8*eighths/8)
}

// hasIn returns in what time anything will be left of them.
func (a *allowance) hasIn(now clock.Time, rate, eighths uint64) time.Duration {
	a.drain(now, rate)
	over := a.used - int64(rate/8*eighths/8) + 1
	if over <= 0 {
		return 0
	}
	return time.Duration(uint64(over) * uint64(time.Second/time.Microsecond) / rate * uint64(time.Microsecond))
}

// spend counts bytes that are sent in any case.
func (a *allowance) spend(now clock.Time, size int, rate uint64) {
	a.drain(now, rate)
	a.used = min(a.used+int64(size), 4*int64(rate))
}
