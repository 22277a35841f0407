package run

import (
	"slices"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// place is a member at its place on the ring.
type place struct {
	addr ring.Addr
	m    *member
}

// around returns the members that some condition holds of, in the order of the
// ring.
func (r *run) around(holds func(m *member) bool) []place {
	var places []place
	for _, m := range r.living {
		if m.joined && holds(m) {
			places = append(places, place{ring.OfPeer(m.peer), m})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return a.addr.Compare(b.addr) })
	return places
}

// linksNext returns how many of the two members next to the one at i it is
// linked with.
func linksNext(places []place, i int) (linked int) {
	before := group.PeerID(places[(i+len(places)-1)%len(places)].m.peer)
	after := group.PeerID(places[(i+1)%len(places)].m.peer)
	for n := range places[i].m.group.Group().Neighbors() {
		if n.Peer == before {
			linked++
		}
		if n.Peer == after {
			linked++
		}
	}
	return linked
}

// ringShare returns the share of the nodes' neighbors on the ring, one on
// either side of each, to which they have links. Nodes count that have been
// members for a while.
func (r *run) ringShare(now clock.Time) float64 {
	places := r.around(func(m *member) bool { return now.Sub(m.born) >= leastStay })
	if len(places) < 3 {
		return 1
	}
	linked := 0
	for i := range places {
		linked += linksNext(places, i)
	}
	return float64(linked) / float64(2*len(places))
}

// lookForSettled finds those who are linked with the members next to them for
// the first time.
func (r *run) lookForSettled(now clock.Time) {
	if !slices.ContainsFunc(r.living, func(m *member) bool { return m.joined && !m.settled }) {
		return
	}
	places := r.around(func(*member) bool { return true })
	for i, p := range places {
		if !p.m.settled && linksNext(places, i) == 2 {
			r.settledNow(now, p.m)
		}
	}
}
