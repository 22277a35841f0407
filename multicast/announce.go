package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// announcing is what the neighbors are told of a stream, and what they have
// been told. News are numbered in rounds, and each modern neighbor is told what
// changed since the round up to which it knows; whoever comes anew first gets
// everything.
//
// Not all are told in every round: a member speaks to those with whom it has to
// do in the trees every few rounds, and goes round the others, a few at a time.
// So what it says in all does not grow with the number of its neighbors, and
// somebody tells it of something new nearly as often as if all did at once.
type announcing struct {
	stateAt     clock.Time // when to tell them
	lastState   clock.Time
	changed     bool   // fragments came since the last round
	changedLow  uint64 // the lowest of them
	treeChanged bool
	tellAll     bool           // the next round is for everybody
	round       uint32         // of the latest news
	treeRound   uint32         // of the latest news of routes
	lows        [rounds]uint64 // the lowest id that came with each of the latest rounds
	turn        int            // whose turn it is among the others
	told        news           // of the latest round, without its map
	oldTurn     int            // whose turn it is among old neighbors
	oldNewest   uint64         // the newest id in the last map for them
	oldLast     clock.Time
}

// news is what of a state tells whether there is something to tell.
type news struct {
	newest, key uint64
	flags, room byte
	prices      [numSlices]byte // as they were told with the latest routes
}

// noteChange notes that a fragment came into the window.
func (st *stream) noteChange(now clock.Time, id uint64) {
	if !st.changed || id < st.changedLow {
		st.changed, st.changedLow = true, id
	}
	// After a pause the next turn may be far away.
	if soon := now.Add(st.desc.availability); st.tickAt > soon {
		st.tickAt = soon
		st.wake(soon)
	}
}

// stateSoon has all neighbors told at once, but not too often.
func (st *stream) stateSoon(now clock.Time) {
	st.tellAll = true
	at := max(now, st.lastState.Add(stateGap))
	if at < st.stateAt {
		st.stateAt = at
		st.wake(at)
	}
}

// current returns what there is to tell now, without the map.
func (st *stream) current(now clock.Time) state {
	m := state{key: st.readyKey(), room: st.room(), load: byte(min(st.load(), 255))}
	if !st.win.empty() {
		m.newest, m.oldest = st.win.top, max(st.win.low, st.win.top-min(st.win.top, maxTold))
	}
	if m.key < m.oldest || m.key > m.newest {
		m.key = 0
	}
	if st.keyed {
		m.flags |= stateKeyed
	}
	if st.restless(now) {
		m.flags |= stateHungry
	}
	for s := range st.slices {
		m.routes[s] = st.slices[s].route
	}
	m.prices, m.least = st.prices(m.room)
	return m
}

// broadcast tells neighbors that carry the stream what changed.
func (st *stream) broadcast(now clock.Time) {
	st.stateAt = clock.Never
	m := st.current(now)
	if st.noteRound(&m) {
		st.lastState = now
	}
	all := st.tellAll || !st.busy(now)
	st.tellAll = false
	others := 0
	for _, p := range st.peers {
		if !p.n.Modern || p.ctrlIn == 0 {
			continue
		}
		if !p.synced {
			st.sendAll(now, p, false)
		} else if p.told != st.round && (all || st.due(p)) {
			st.tell(now, p, &m, 0)
		} else if p.told != st.round {
			others++
		}
	}
	st.tellOthers(now, &m, others)
	st.broadcastOld(now)
}

// noteRound begins a round if there are news.
func (st *stream) noteRound(m *state) bool {
	emptied := m.newest < st.told.newest
	for s := range m.prices {
		a, b := m.prices[s], st.told.prices[s]
		if (a == 0) != (b == 0) || a != b && (a == noPlace || b == noPlace) || max(a, b)-min(a, b) >= priceNews {
			st.treeChanged = true
		}
	}
	if !st.changed && !st.treeChanged && !emptied &&
		m.room == st.told.room && m.key == st.told.key && m.flags == st.told.flags {
		return false
	}
	was := st.told.flags
	if st.treeChanged {
		st.told.prices = m.prices
	}
	st.told.newest, st.told.key, st.told.flags, st.told.room = m.newest, m.key, m.flags, m.room
	st.round++
	low := m.newest // an empty map: nothing older changed
	if st.changed {
		low = st.changedLow
	}
	if emptied {
		low = 0
		st.tellAll = true
	}
	if m.flags&^was&stateHungry != 0 {
		st.tellAll = true
	}
	st.lows[st.round%rounds] = low
	if st.treeChanged {
		st.treeRound = st.round
	}
	st.changed, st.treeChanged = false, false
	return true
}

// due reports whether a neighbor is to be told for what this node and it have
// to do with each other.
func (st *stream) due(p *peer) bool {
	age := st.round - p.told
	return p.hungry || p.children != 0 && age >= childRounds || p.asked != 0 && age >= parentRounds
}

// tellOthers goes on with the round of the neighbors that are not due: some of
// those n that have something to hear.
func (st *stream) tellOthers(now clock.Time, m *state, n int) {
	quota := min(n, max(leastTold, (len(st.peers)+farRounds-1)/farRounds))
	for range len(st.peers) {
		if quota <= 0 {
			return
		}
		st.turn = (st.turn + 1) % len(st.peers)
		if p := st.peers[st.turn]; p.n.Modern && p.ctrlIn != 0 && p.synced && p.told != st.round {
			st.tell(now, p, m, 0)
			quota--
		}
	}
}

// tell tells a neighbor what changed since it was told the last time.
func (st *stream) tell(now clock.Time, p *peer, m *state, flags byte) {
	if p.ctrlOut == 0 {
		return
	}
	age := st.round - p.told
	low := m.newest
	full := age > rounds
	for r := st.round; !full && r != p.told; r-- {
		low = min(low, st.lows[r%rounds])
	}
	out := *m
	out.flags |= flags
	if full || low == 0 {
		out.flags |= stateFull
		low = 0
	}
	if full || int32(st.treeRound-p.told) > 0 {
		out.flags |= stateTree
		if out.prices != [numSlices]byte{} {
			out.flags |= statePrices
		}
	}
	b := appendState(st.s.scratch[:0], &out)
	b = appendBitmap(b, &st.win, m.newest, max(low, m.oldest))
	st.s.scratch = b
	st.control(now, p, b)
	p.told = st.round
}

// answer tells a neighbor that what it has asked for is not held, by telling it
// what is.
func (st *stream) answer(now clock.Time, p *peer) {
	if !p.n.Modern || p.ctrlIn == 0 || !p.synced || millis(now)-p.answeredAt < uint32(stateGap/time.Millisecond) {
		return
	}
	p.answeredAt = millis(now)
	m := st.current(now)
	if st.noteRound(&m) {
		st.lastState = now
	}
	st.tell(now, p, &m, stateAnswer)
}

// broadcastOld sends whole maps to the old neighbors: to all, or to one of
// them in turn, as the publisher wants it.
func (st *stream) broadcastOld(now clock.Time) {
	if st.win.empty() || st.win.top == st.oldNewest {
		return
	}
	old := 0
	for _, p := range st.peers {
		if !p.n.Modern && p.ctrlIn != 0 {
			old++
		}
	}
	if old == 0 || now.Sub(st.oldLast) < st.desc.availability {
		return
	}
	st.oldLast = now
	st.oldNewest = st.win.top
	st.oldTurn = (st.oldTurn + 1) % old
	b := appendAvailability(st.s.scratch[:0], st.win.top)
	b = appendBitmap(b, &st.win, st.win.top, 0)
	st.s.scratch = b
	i := 0
	for _, p := range st.peers {
		if p.n.Modern || p.ctrlIn == 0 {
			continue
		}
		if st.desc.sendToAll || i == st.oldTurn {
			st.control(now, p, b)
		}
		i++
	}
}

// sendAll tells one neighbor everything that this node holds, and sends it the
// start of that if it wishes for that.
func (st *stream) sendAll(now clock.Time, p *peer, wished bool) {
	if p.ctrlOut == 0 {
		return
	}
	var b []byte
	var m state
	if p.n.Modern {
		m = st.current(now)
		m.flags |= stateFull | stateTree | statePrices
		if wished {
			if m.last = st.startFor(now, p, m.key); m.last != 0 {
				m.flags |= stateStart
			}
		}
		b = appendState(st.s.scratch[:0], &m)
		b = appendBitmap(b, &st.win, m.newest, m.oldest)
	} else {
		if st.win.empty() {
			return
		}
		b = appendAvailability(st.s.scratch[:0], st.win.top)
		b = appendBitmap(b, &st.win, st.win.top, 0)
	}
	st.s.scratch = b
	st.control(now, p, b)
	p.synced, p.told = true, st.round
	if m.last != 0 {
		st.sendStart(now, p, m.key, m.last)
	}
}

// epochDue reports whether the publisher's routes need a new epoch.
func (p *Publication) epochDue(now clock.Time) bool {
	period := time.Duration(epochPeriod)
	if !p.st.busy(now) {
		period = idleEpochPeriod
	}
	return now.Sub(p.renewedAt) >= period
}

// renew begins a new epoch of routes when it is time: it lets members move to
// parents that are deeper in a tree than they are, and tells that the
// publisher lives.
func (p *Publication) renew(now clock.Time) {
	if !p.epochDue(now) {
		return
	}
	p.renewedAt = now
	p.epoch++
	p.st.epochTop = p.epoch
	p.st.routesDirty = true
}
