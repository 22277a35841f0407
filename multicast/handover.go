package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// A slice goes over from one parent to the next at a fragment that the child
// names, so that nothing comes twice and nothing is missing: the new parent is
// asked from that one on, far enough ahead for its refusal to come back and for
// the old one to hear when to stop. A parent that took over for want of another
// is asked for everything that is missing instead.

// handoverSlack is left for delays on the way, and for turns that come late.
const handoverSlack = 20 * time.Millisecond

// cutFor returns the first fragment that a new parent should push, 0 if it should
// begin at once.
func (st *stream) cutFor(now clock.Time, s int, next *peer) uint64 {
	old := st.slices[s].parent
	if old == nil || !old.n.Modern || !next.n.Modern || !st.started || !st.busy(now) ||
		uint64(len(st.missing))*8 > st.meter.perSecond {
		return 0 // or much is missing, so that there is no telling who brings what when
	}
	// What was pushed last is half a round trip ahead of what has come.
	ahead := st.s.flows.RTT(next.n.link) + st.s.flows.RTT(old.n.link) + 2*handoverSlack
	return st.frontier + 1 + uint64(ahead)*st.meter.perSecond/uint64(time.Second)
}

// letGo tells the old parent where to stop, once the new one would have
// refused.
func (st *stream) letGo(now clock.Time, s int) {
	sl := &st.slices[s]
	if sl.next == nil || sl.cut == 0 || sl.released {
		return
	}
	if at := sl.asked.Add(st.s.flows.RTT(sl.next.n.link) + handoverSlack); now < at {
		st.handAt = min(st.handAt, at)
		return
	}
	sl.released = true
	sl.parent.stale = true
}

// stay takes a slice back from the one who was to take it over: the old parent
// is asked to go on.
func (st *stream) stay(s int) {
	sl := &st.slices[s]
	sl.next = nil
	if sl.released && sl.parent != nil {
		sl.parent.fresh |= 1 << s
	}
	sl.cut, sl.released = 0, false
}

// handingOver returns the slices that are pushed by p up to a fragment, and the
// fragment from which on they are not.
func (st *stream) handingOver(p *peer) (mask byte, until uint64) {
	for s := range st.slices {
		if sl := &st.slices[s]; sl.released && sl.parent == p {
			mask |= 1 << s
			until = max(until, sl.cut)
		}
	}
	return mask, until
}

// turns are where a child's slices begin and end.
type turns struct {
	from  uint64 // those of peer.later: the first fragment to push
	until uint64 // those of peer.ending: the first that is not pushed
}

// turning returns p's turns.
func (p *peer) turning() *turns {
	if p.turns == nil {
		p.turns = &turns{}
	}
	return p.turns
}

// onHandover takes where an asker's slices begin and end.
func (st *stream) onHandover(now clock.Time, p *peer, a *ask) {
	p.later &= a.mask
	p.ending = a.ending & p.children
	if p.ending != 0 {
		p.turning().until = a.until
		p.leaving |= p.ending
		p.leaveAt = now.Add(leaveGrace)
	}
}

// due reports whether a fragment of a slice is for a child.
func (p *peer) due(bit byte, id uint64) bool {
	switch {
	case p.children&bit == 0:
		return false
	case p.ending&bit != 0 && id >= p.turns.until:
		p.children &^= bit
		p.leaving &^= bit
		p.ending &^= bit
		return false
	case p.later&bit != 0:
		if id < p.turns.from {
			return false
		}
		p.later &^= bit
	}
	return true
}
