package simulations

import (
	"fmt"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// RingMember is a member of a group as a RingWatch sees it.
type RingMember struct {
	Number int
	Peer   group.PeerID
	Group  *group.Group
}

// RingWatch asks of a group what holds of a ring in order (P. Zave, "Reasoning
// about Identifier Spaces", 2017): that a neighbor's neighbor is oneself, that
// a ring address is one member's, and that members know those next to them. It
// gives changes their time: what is not so is wrong only after a while.
type RingWatch struct {
	// Grace is how long one end may take another for its neighbor that does
	// not, or no longer, think so. Default 15 s.
	Grace time.Duration
	// Quiet is how long nobody may have come or gone before members have to
	// know who is next to them. Default 60 s.
	Quiet time.Duration
	// Near is how many on either side they have to know. Default 1: the ring
	// is whole; groups want more.
	Near int

	// Disturbed is when something happened last that may have cost members
	// their links although nobody came or went.
	Disturbed clock.Time

	since   map[[2]int]clock.Time // one-sided relations, since when
	numbers uint64                // fingerprint of who is there
	changed clock.Time
}

// Check returns what is wrong with the group at now. It must be called every
// second or so, with the members that are there.
func (r *RingWatch) Check(now clock.Time, members []RingMember) error {
	if r.Grace == 0 {
		r.Grace = 15 * time.Second
	}
	if r.Quiet == 0 {
		r.Quiet = 60 * time.Second
	}
	if r.Near == 0 {
		r.Near = 1
	}
	byPeer := make(map[group.PeerID]int, len(members))
	numbers := uint64(0)
	for i, m := range members {
		if j, twice := byPeer[m.Peer]; twice {
			return fmt.Errorf("a ring address with two owners: nodes %d and %d", members[j].Number, m.Number)
		}
		byPeer[m.Peer] = i
		numbers = mix(numbers, uint64(m.Number))
	}
	if numbers != r.numbers {
		r.numbers, r.changed = numbers, now
	}
	if err := r.symmetric(now, members, byPeer); err != nil {
		return err
	}
	if now.Sub(max(r.changed, r.Disturbed)) >= r.Quiet {
		return r.ordered(members)
	}
	return nil
}

// symmetric finds relations that have only one end for too long.
func (r *RingWatch) symmetric(now clock.Time, members []RingMember, byPeer map[group.PeerID]int) error {
	has := map[[2]int]bool{}
	for i, m := range members {
		for n := range m.Group.Neighbors() {
			if j, ok := byPeer[n.Peer]; ok {
				has[[2]int{i, j}] = true
			} else {
				has[[2]int{i, -1 - m.Number}] = true // somebody who is gone
			}
		}
	}
	still := map[[2]int]clock.Time{}
	var wrong [][2]int
	for pair := range has { // order-free: what is wrong is sorted
		if pair[1] >= 0 && has[[2]int{pair[1], pair[0]}] {
			continue
		}
		key := [2]int{members[pair[0]].Number, pair[1]}
		if pair[1] >= 0 {
			key[1] = members[pair[1]].Number
		}
		since, known := r.since[key]
		if !known {
			since = now
		}
		still[key] = since
		if now.Sub(since) > r.Grace {
			wrong = append(wrong, key)
		}
	}
	r.since = still
	if len(wrong) == 0 {
		return nil
	}
	slices.SortFunc(wrong, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	w := wrong[0]
	if w[1] < 0 {
		return fmt.Errorf("node %d has had a neighbor for %v that is not there", w[0], r.Grace)
	}
	return fmt.Errorf("node %d has had node %d for a neighbor for %v, but not the other way round", w[0], w[1], r.Grace)
}

// ordered checks that everybody is linked with those next to it.
func (r *RingWatch) ordered(members []RingMember) error {
	var all ring.Set[int]
	for i, m := range members {
		all.Add(ring.OfPeer(m.Peer), i)
	}
	for i, m := range members {
		here := ring.OfPeer(m.Peer)
		linked := map[group.PeerID]bool{}
		for n := range m.Group.Neighbors() {
			linked[n.Peer] = true
		}
		for k := 1; k <= min(r.Near, (len(members)-1)/2); k++ {
			at, _ := all.Search(here)
			for _, j := range []int{at + k, at - k} {
				far := all.At((j + all.Len()) % all.Len()).Value
				if far != i && !linked[members[far].Peer] {
					return fmt.Errorf("node %d is not linked with node %d, which is %d from it on the ring of %d members that has been quiet for %v",
						m.Number, members[far].Number, k, len(members), r.Quiet)
				}
			}
		}
	}
	return nil
}
