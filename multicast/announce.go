package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// announcing is what the neighbors are told of a stream, and what they have
// been told. All modern ones get the same message, which says what changed
// since the last one; whoever comes anew first gets everything.
type announcing struct {
	stateAt     clock.Time // when to tell them
	lastState   clock.Time
	changed     bool   // fragments came
	changedLow  uint64 // the lowest of them
	treeChanged bool
	told        state  // without its map
	oldTurn     int    // whose turn it is among old neighbors
	oldNewest   uint64 // the newest id in the last map for them
	oldLast     clock.Time
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

// stateSoon has the neighbors told at once, but not too often.
func (st *stream) stateSoon(now clock.Time) {
	at := max(now, st.lastState.Add(stateGap))
	if at < st.stateAt {
		st.stateAt = at
		st.wake(at)
	}
}

// current returns what there is to tell now, without the map.
func (st *stream) current() state {
	m := state{key: st.key, room: st.room(), load: byte(min(st.load(), 255))}
	if !st.win.empty() {
		m.newest, m.oldest = st.win.top, st.win.low
	}
	if m.key < m.oldest || m.key > m.newest {
		m.key = 0
	}
	if st.keyed {
		m.flags |= stateKeyed
	}
	for s := range st.slices {
		m.routes[s] = st.slices[s].route
	}
	return m
}

// broadcast tells the neighbors that carry the stream what changed.
func (st *stream) broadcast(now clock.Time) {
	st.stateAt = clock.Never
	m := st.current()
	emptied := m.newest < st.told.newest
	news := st.changed || st.treeChanged || emptied ||
		m.room != st.told.room || m.key != st.told.key || m.flags != st.told.flags&stateKeyed
	if news {
		st.told = m
		if st.treeChanged {
			m.flags |= stateTree
		}
		low := m.newest // an empty map: nothing older changed
		if st.changed {
			low = st.changedLow
		}
		if emptied {
			m.flags |= stateFull
			low = 0
		}
		b := appendState(st.s.scratch[:0], &m)
		b = appendBitmap(b, &st.win, m.newest, low)
		st.s.scratch = b
		for _, p := range st.peers {
			if !p.n.Modern {
				continue
			}
			if p.ctrlIn != 0 && p.synced {
				st.control(now, p, b)
			} else {
				p.synced = false
			}
		}
		for _, p := range st.peers {
			if p.n.Modern && p.ctrlIn != 0 && !p.synced {
				st.sendAll(now, p)
			}
		}
		st.lastState = now
		st.changed, st.treeChanged = false, false
	}
	st.broadcastOld(now)
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

// sendAll tells one neighbor everything that this node holds.
func (st *stream) sendAll(now clock.Time, p *peer) {
	if p.ctrlOut == 0 {
		return
	}
	var b []byte
	if p.n.Modern {
		m := st.current()
		m.flags |= stateFull | stateTree
		b = appendState(st.s.scratch[:0], &m)
		b = appendBitmap(b, &st.win, m.newest, 0)
	} else {
		if st.win.empty() {
			return
		}
		b = appendAvailability(st.s.scratch[:0], st.win.top)
		b = appendBitmap(b, &st.win, st.win.top, 0)
	}
	st.s.scratch = b
	st.control(now, p, b)
	p.synced = true
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
