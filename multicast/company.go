package multicast

import (
	"encoding/binary"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// The group chooses neighbors for the ring, and the best ways over those links are
// longer than they have to be. So a member looks beyond them, at the parents of its
// parents: from time to time it asks a parent who feeds it, and if the way would be
// shorter without that hop, and there is a place to be had, it has the group link it with
// the grandparent. Then that one is a neighbor like others, which may
// become the parent, and its parent may be the next to meet. Links that bring a
// slice are kept, those that don't are let go.

// Company is what multicast needs of a group to have a say in who its neighbors are.
type Company interface {
	// Meet asks for a link with a member, whom the far end of via is linked with, and
	// keeps it for d from now on. It returns false if there are too many such links.
	Meet(now clock.Time, peer group.PeerID, via group.LinkID, d time.Duration) bool

	// Hold tells that a link is in use, so that it is kept for a while.
	Hold(now clock.Time, link group.LinkID)
}

const (
	companyPeriod = 400 * time.Millisecond // between looks at who is to be met or kept
	meetTime      = 6 * time.Second        // in which one that was met has to become a parent
	keepTime      = 5 * time.Second        // for which a parent is asked to be kept, each time
	meetAgain     = 90 * time.Second       // after one that was met, and did not
	maxMet        = 8                      // members that are met for streams
	maxTried      = 16                     // that are remembered to have been
	meetGain      = 2 * time.Millisecond
	meetShare     = 20 // part of what there is that meeting has to promise
)

// company is whom this node met for its streams.
type company struct {
	at    clock.Time // of the next look
	asked *peer      // who feeds it, of a slice: nil, nobody is asked now
	slice int
	met   []met
	tried []tried // oldest first
}

// met is a member with which there is a link for the sake of streams.
type met struct {
	peer  group.PeerID
	until clock.Time // when it has to be a parent
}

// tried is a member that was met, or its beginning.
type tried struct {
	peer uint32
	at   uint32 // milliseconds
}

// keepCompany holds links that streams go over, and now and then asks a parent of a
// stream who feeds it.
func (st *stream) keepCompany(now clock.Time) {
	s := st.s
	if s.cfg.Company == nil || now < s.company.at {
		return
	}
	s.company.at, s.company.asked = now.Add(companyPeriod), nil
	for _, n := range s.neighbors {
		if slices.ContainsFunc(n.peers, func(p *peer) bool { return p.children != 0 }) {
			s.cfg.Company.Hold(now, n.link)
		}
	}
	s.company.met = slices.DeleteFunc(s.company.met, func(m met) bool {
		if !s.fedBy(m.peer) {
			return now >= m.until
		}
		return !s.cfg.Company.Meet(now, m.peer, 0, keepTime)
	})
	if len(s.company.met) >= maxMet || st.pub != nil || !st.busy(now) || s.uploadLimit() > 0 {
		return
	}
	for i := range numSlices {
		t := (st.rotation + i) % numSlices
		sl := &st.slices[t]
		if p := sl.parent; p != nil && sl.next == nil && sl.confirmed && !sl.moving && p.n.Modern && p.routes[t].depth > 0 && st.plenty(t) {
			s.company.asked, s.company.slice = p, t
			st.control(now, p, []byte{msgWho, byte(t)})
			return
		}
	}
}

// plenty reports whether most neighbors have room in a slice. Where room is scarce, whoever
// is driven out of a place finds no other, and shorter ways for some are no gain.
func (st *stream) plenty(s int) bool {
	room, all := 0, 0
	for _, p := range st.peers {
		if p.n.Modern && p.ctrlIn != 0 {
			all++
			room += int(p.room >> s & 1)
		}
	}
	return 2*room > all
}

// fedBy reports whether a member is a parent in any stream.
func (s *Service) fedBy(id group.PeerID) bool {
	for _, n := range s.neighbors {
		if n.Peer == id {
			return slices.ContainsFunc(n.peers, func(p *peer) bool { return p.asked != 0 })
		}
	}
	return false
}

// onWho tells a neighbor who feeds this node in a slice.
func (st *stream) onWho(now clock.Time, p *peer, s int) {
	sl := &st.slices[s]
	q := sl.parent
	if st.pub != nil || q == nil || q == p || !sl.confirmed || !q.n.Modern || q.routes[s].depth >= maxDepth {
		return
	}
	w := way{slice: byte(s), price: q.price[s], delay: q.routes[s].delay, peer: q.n.Peer}
	if q.room&(1<<s) != 0 {
		w.price = 0
	} else if w.price == 0 {
		w.price = noPlace
	}
	st.s.scratch = appendWay(st.s.scratch[:0], &w)
	st.control(now, p, st.s.scratch)
}

// onWay meets the one who feeds a parent if that promises a better way. How far away
// it is shows only when there is a link: of two ways in a row, the longer is about as
// long as both ends are from each other.
func (st *stream) onWay(now clock.Time, p *peer, w *way) {
	s := st.s
	t := int(w.slice)
	if s.company.asked != p || s.company.slice != t || st.slices[t].parent != p {
		return // it was not asked, or is no parent any more
	}
	s.company.asked = nil
	saved := min(st.s.flows.RTT(p.n.link)/2, (p.routes[t].delay-w.delay).duration()-hopDelay) + hopDelay
	if saved < max(meetGain, st.cost(p, t)/meetShare) {
		return
	}
	if w.price != 0 && (w.price == noPlace || packed(uint64(saved/worthUnit)*st.below(t)) < max(w.price+bidStep, leastBid)) {
		return
	}
	if slices.ContainsFunc(s.neighbors, func(n *neighbor) bool { return n.Peer == w.peer }) || s.exiled(now, w.peer, &st.desc.key) {
		return
	}
	short := binary.BigEndian.Uint32(w.peer[:])
	s.company.tried = slices.DeleteFunc(s.company.tried, func(x tried) bool {
		return millis(now)-x.at >= uint32(meetAgain/time.Millisecond)
	})
	if len(s.company.tried) >= maxTried || slices.ContainsFunc(s.company.tried, func(x tried) bool { return x.peer == short }) {
		return
	}
	if !s.cfg.Company.Meet(now, w.peer, p.n.link, meetTime) {
		return
	}
	s.company.met = append(s.company.met, met{w.peer, now.Add(meetTime)})
	s.company.tried = append(s.company.tried, tried{short, millis(now)})
}

// way tells who feeds a member in a slice.
type way struct {
	slice byte
	price byte // of a place there, 0: there is room
	delay micros
	peer  group.PeerID
}

func appendWay(b []byte, w *way) []byte {
	b = element.AppendVLU(append(b, msgWay, w.slice, w.price), uint64(w.delay.duration()/delayUnit))
	return append(b, w.peer[:]...)
}

func consumeWay(b []byte) (w way, ok bool) {
	r := reader{b: b[1:]}
	w.slice, w.price = r.byte(), r.byte()
	w.delay = inMicros(time.Duration(min(r.vlu(), uint64(maxDelay/delayUnit))) * delayUnit)
	if r.bad || w.slice >= numSlices || len(r.b) != len(w.peer) {
		return way{}, false
	}
	w.peer = group.PeerID(r.b)
	return w, true
}
