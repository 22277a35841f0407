package multicast

import (
	"slices"

	"rtmfp/internal/clock"
)

// fetching is the receiving side of a stream: the window, what is missing in
// it, and where it begins.
//
// Every id from start to frontier is held, or has a gap, or was given up.
type fetching struct {
	win       window
	started   bool
	startKey  bool   // a key frame begins at start
	start     uint64 // first id that is wanted
	frontier  uint64 // highest id that is known of
	key       uint64 // newest id held that begins a key frame, 0 = none
	keyBefore uint64 // the one before
	keyed     bool   // the publisher marks key frames
	missing   []gap  // by id
	orphans   int    // gaps that wait for somebody to hold them
	crowded   bool   // gaps are due that no neighbor has a pull to spare for
	repairAt  clock.Time
	classes   []classed // the latest of them
}

// gap is a fragment that is known of and wanted, but not held.
type gap struct {
	id     uint64
	known  clock.Time // since when it is known of
	due    clock.Time // when to ask for it
	sent   clock.Time // when it was asked for
	asked  *peer      // of whom, nil: of nobody now
	last   *peer      // of whom the last time
	tries  uint8
	early  bool // of the start, not of the running stream: no reason to wait
	orphan bool // it was due, but no neighbor held it
}

// begin sets the first id that is wanted.
func (st *stream) begin(start uint64, key bool) {
	st.started, st.start, st.startKey = true, start, key
	st.frontier = start - 1
	for _, sub := range st.subs {
		sub.begun(start, key)
	}
}

// beginFrom begins at what a neighbor says it holds, if that tells where. Of a
// stream that has ended everything up to its last fragment is asked for.
func (st *stream) beginFrom(now clock.Time, p *peer, newest uint64) {
	switch {
	case st.started:
		return
	case newest == 0 && p.routes[0].depth == 0:
		st.begin(1, true) // the publisher itself, before its first fragment
		return
	case newest == 0:
		return
	case !p.n.Modern:
		st.begin(max(newest-1, 1), false)
	case p.key != 0:
		st.begin(p.key, true)
	case st.keyed:
		st.begin(newest+1, false)
		return
	default:
		st.begin(newest, false)
	}
	if st.ended {
		newest = max(newest, st.last)
	}
	st.learnEarly(now, newest)
}

// beginEarlier moves the start back to a key frame that a neighbor holds, as
// long as nobody has seen a frame.
func (st *stream) beginEarlier(now clock.Time, key uint64) {
	if !st.started || st.startKey || key == 0 || key >= st.start || st.start-key > maxGaps || st.pub != nil {
		return
	}
	for _, sub := range st.subs {
		if sub.delivered {
			return
		}
	}
	more := make([]gap, 0, int(st.start-key)+len(st.missing))
	for id := key; id < st.start; id++ {
		if !st.win.has(id) {
			more = append(more, gap{id: id, known: now, due: now, early: true})
		}
	}
	st.missing = append(more, st.missing...)
	st.start, st.startKey = key, true
	for _, sub := range st.subs {
		sub.begun(key, true)
	}
	st.repairNow(now)
}

// plausible reports whether an id may exist, by what is known of the stream.
// It keeps a neighbor that makes up ids from pulling the window away.
func (st *stream) plausible(now clock.Time, id uint64) bool {
	return !st.started || id <= st.frontier+max(maxLead, 2*st.meter.perSecond) ||
		now.Sub(st.lastNew) > st.desc.window && id <= maxID
}

// learn notes that ids up to upto exist.
func (st *stream) learn(now clock.Time, upto uint64) {
	if upto <= st.frontier {
		return
	}
	st.skipTo(upto)
	for id := st.frontier + 1; id <= upto; id++ {
		g := gap{id: id, known: now, due: now.Add(st.pullDelay(id % numSlices))}
		st.missing = append(st.missing, g)
		st.repairBy(g.due)
	}
	st.frontier = upto
}

// learnEarly is learn for what lies before the moment of joining, for which
// nobody will push.
func (st *stream) learnEarly(now clock.Time, upto uint64) {
	if upto <= st.frontier {
		return
	}
	st.skipTo(upto)
	for id := st.frontier + 1; id <= upto; id++ {
		st.missing = append(st.missing, gap{id: id, known: now, due: now, early: true})
	}
	st.frontier = upto
	st.repairNow(now)
}

// skipTo gives up what can't be tracked when the frontier jumps to upto.
func (st *stream) skipTo(upto uint64) {
	if upto-st.frontier <= maxGaps && len(st.missing)+int(upto-st.frontier) <= maxGaps {
		return
	}
	if upto-st.frontier >= maxGaps {
		for i := range st.missing {
			st.release(&st.missing[i])
		}
		st.stats.Lost += uint64(len(st.missing)) + (upto - maxGaps - st.frontier)
		st.missing = st.missing[:0]
		st.frontier = upto - maxGaps
		return
	}
	n := len(st.missing) + int(upto-st.frontier) - maxGaps
	for i := range n {
		st.release(&st.missing[i])
	}
	st.stats.Lost += uint64(n)
	st.missing = append(st.missing[:0], st.missing[n:]...)
}

// release undoes what a gap counts elsewhere.
func (st *stream) release(g *gap) {
	if g.asked != nil {
		g.asked.outstanding--
		g.asked = nil
	}
	if g.orphan {
		g.orphan = false
		st.orphans--
	}
}

// findGap returns the index of the gap of an id, or where it would be.
func (st *stream) findGap(id uint64) (int, bool) {
	// Most of what arrives is near the end.
	n := len(st.missing)
	for i := n - 1; i >= max(n-8, 0); i-- {
		if st.missing[i].id <= id {
			if st.missing[i].id == id {
				return i, true
			}
			return i + 1, false
		}
	}
	return slices.BinarySearchFunc(st.missing, id, func(g gap, id uint64) int {
		switch {
		case g.id < id:
			return -1
		case g.id > id:
			return 1
		}
		return 0
	})
}

func (st *stream) removeGap(i int) {
	st.release(&st.missing[i])
	st.missing = append(st.missing[:i], st.missing[i+1:]...)
	if len(st.missing) == 0 && cap(st.missing) > idleGaps {
		st.missing = nil
	}
}

// onFragment takes a message of a neighbor's media flow.
func (st *stream) onFragment(now clock.Time, p *peer, msg []byte) {
	f, ok := consumeFragment(msg)
	if !ok {
		st.s.counters.Malformed++
		return
	}
	if !st.active || st.pub != nil {
		return
	}
	st.stats.BytesReceived += uint64(len(msg))
	if len(st.subs) > 0 && st.recalled(now, p, &f, msg) {
		return
	}
	if st.signed() {
		st.onSigned(now, p, &f, msg)
	} else {
		st.take(now, p, &f, msg, came{})
	}
}

// take stores a fragment that is the publisher's, as far as can be told, and
// passes it on. It reports whether that was new.
func (st *stream) take(now clock.Time, p *peer, f *fragment, msg []byte, c came) bool {
	if !st.started {
		st.begin(f.id, st.startsAt(f))
	}
	if !st.plausible(now, f.id) {
		st.s.counters.OutOfWindow++
		return false
	}
	if f.id < st.start && st.startsAt(f) {
		// What came first was not the beginning: fragments overtake each other.
		st.beginEarlier(now, f.id)
	}
	p.have.add(f.id)
	pulled := c.pulled
	lag := int64(0)
	at, isGap := st.findGap(f.id)
	switch {
	case isGap:
		g := &st.missing[at]
		pulled = pulled || g.asked == p
		lag = int64(now - g.known)
		if g.early {
			lag = 0
		}
	case f.id <= st.frontier:
		// Held, or held once, or given up, or from before the start.
		if f.id < st.start {
			st.s.counters.OutOfWindow++
			return false
		}
		if st.signed() && f.isDigest() {
			st.stats.DigestsTwice++
			return false
		}
		st.stats.Duplicates++
		st.noteArrival(now, p, f.id, false, true)
		return false
	}
	if !st.win.put(now, f.id, msg) {
		st.s.counters.OutOfWindow++
		return false
	}
	if isGap {
		st.removeGap(at)
	} else {
		st.learn(now, f.id-1)
		st.frontier = f.id
		st.sign(now)
		st.lastNew = now
		if f.id > st.last {
			st.endAt = 0
		}
	}
	digest := st.signed() && f.isDigest()
	if pulled {
		p.lastPulled, p.ignored = now, 0
		if st.crowded && p.outstanding <= maxOutstanding/2 {
			st.repairNow(now)
		}
	}
	switch {
	case digest:
		st.digestCame(now, p, pulled)
	case pulled:
		st.stats.FragmentsRequestedFromPeers++
	default:
		st.stats.FragmentsPushedFromPeers++
	}
	if !c.waited && !digest {
		st.noteArrival(now, p, f.id, pulled, false)
		if !pulled {
			st.slices[f.id%numSlices].noteLag(lag)
		}
	}
	st.hold(now, f, len(msg))
	st.push(now, f, msg, p)
	return true
}

// hold notes a fragment that has come into the window.
func (st *stream) hold(now clock.Time, f *fragment, size int) {
	digest := st.signed() && f.isDigest()
	if digest {
		st.stats.Digests++
		st.stats.DigestBytes += uint64(size)
	} else {
		st.stats.Fragments++
	}
	st.noteClass(f)
	st.noteLife(now, f)
	st.meter.fragments++
	st.meter.bytes += uint64(size)
	st.meter.classes[st.classOf(f)] += uint64(size)
	st.classed = st.classed || f.hasClass()
	st.keyed = st.keyed || f.tellsKeys()
	if st.startsAt(f) {
		st.keyBefore = max(st.keyBefore, min(st.key, f.id))
		st.key = max(st.key, f.id)
	}
	st.noteChange(now, f.id)
	if st.s.observe != nil && !digest {
		st.s.observe(now, f.id)
	}
}

// onState takes what a modern neighbor says of the stream.
func (st *stream) onState(now clock.Time, p *peer, msg []byte) bool {
	m, ok := consumeState(msg)
	if !ok {
		return false
	}
	first := !p.heard
	p.heard = true
	p.room, p.load, p.key = m.room, m.load, m.key
	p.hungry = m.flags&stateHungry != 0
	st.keyed = st.keyed || m.flags&stateKeyed != 0
	if m.flags&stateTree != 0 {
		p.routes, p.price, p.least = m.routes, m.prices, m.least
		top := st.epochTop
		for i := range p.routes {
			r := &p.routes[i]
			if r.depth >= maxDepth || r.epoch <= st.epochTop {
				continue
			}
			if !st.believes(now, r.epoch) {
				// Made up: no true route would be feasible after it.
				st.s.counters.OutOfWindow++
				r.depth = depthUnfed
				continue
			}
			top = max(top, r.epoch)
		}
		if top > st.epochTop {
			st.epochTop = top
			st.sign(now)
		}
		st.routesDirty = true
	}
	if m.flags&stateFull != 0 {
		clear(p.have.words)
	}
	st.readMap(p, m.newest, m.newest-m.oldest+1, m.bitmap)
	if m.oldest > p.oldest {
		p.have.removeBelow(m.oldest)
	}
	p.oldest = m.oldest
	st.beginFrom(now, p, m.newest)
	st.beginEarlier(now, m.key)
	st.onMap(now, m.newest)
	p.newest, p.toldAt = m.newest, now
	if m.last != 0 {
		st.expectStart(now, p, m.key, m.last)
	}
	if m.flags&stateAnswer != 0 {
		st.onAnswer(now, p)
	}
	if first || st.restless(now) {
		st.replan = true
	}
	st.wake(now)
	return true
}

// onAvailability takes the map of an old neighbor.
func (st *stream) onAvailability(now clock.Time, p *peer, msg []byte) bool {
	newest, bitmap, ok := consumeAvailability(msg)
	if !ok {
		return false
	}
	first := !p.heard
	p.heard = true
	p.oldest = 0
	clear(p.have.words)
	if newest != 0 {
		st.readMap(p, newest, uint64(8*len(bitmap))+1, bitmap)
		st.beginFrom(now, p, newest)
		st.onMap(now, newest)
		p.newest = newest
	}
	if first {
		st.replan = true
	}
	st.wake(now)
	return true
}

// readMap sets what a neighbor holds from a bitmap below newest.
func (st *stream) readMap(p *peer, newest, span uint64, bitmap []byte) {
	if newest == 0 {
		return
	}
	limit := uint64(st.s.cfg.MaxWindowFragments)
	p.have.add(newest)
	p.have.grow(min(span, st.widestSpan()), limit)
	for j, bits := range bitmap {
		base := uint64(8 * j)
		if base+1 >= newest || base >= p.have.span() {
			break
		}
		for k := uint64(0); k < 8 && base+k+1 < newest; k++ {
			if id := newest - 1 - base - k; bits&(1<<k) != 0 {
				p.have.add(id)
			} else {
				p.have.remove(id)
			}
		}
	}
}

// widestSpan bounds what is remembered of a neighbor's map: as far back as this
// node may come to ask for something, and two seconds of what is to come.
func (st *stream) widestSpan() uint64 {
	span := max(minSpan, 2*st.meter.perSecond)
	switch {
	case st.pub != nil:
	case !st.started || !st.startKey:
		span = max(span, maxGaps) // an earlier start may come up
	case len(st.missing) > 0:
		span += st.frontier - st.missing[0].id
	}
	return span
}

// narrowMaps forgets what was remembered of the neighbors' maps for a start
// that has been made.
func (st *stream) narrowMaps() {
	for _, p := range st.peers {
		p.have.shrink(st.widestSpan())
	}
}

// onMap follows up on a map that goes up to newest.
func (st *stream) onMap(now clock.Time, newest uint64) {
	if st.pub != nil || !st.started {
		return
	}
	if newest > st.frontier {
		if st.plausible(now, newest) {
			st.learn(now, newest)
		} else {
			st.s.counters.OutOfWindow++
		}
	}
	if st.orphans > 0 {
		st.repairNow(now)
	}
}

func (st *stream) repairNow(now clock.Time) { st.repairBy(now) }

func (st *stream) repairBy(at clock.Time) {
	if at < st.repairAt {
		st.repairAt = at
		st.wake(at)
	}
}
