package multicast

import (
	"math/bits"
	"time"

	"rtmfp/internal/clock"
)

// What a place is worth. A parent that is full gives a place to whom it helps
// most: by how much sooner the slice comes to the asker than it would without
// the place, for the asker and for everybody who gets the slice by way of it. So
// those that are near to the publisher and feed many come to be next to it, and
// a member whom others could feed nearly as well makes room.
//
// An asker tells what a place is worth to it, and how many are below it, and
// tells again when that has changed. A parent tells its neighbors the price of
// each slice for which it is full: what its cheapest place is worth.

// worthUnit is the unit of worth, for one member.
const worthUnit = 100 * time.Microsecond

// noPlace is the price of what is not for sale.
const noPlace = 255

// packed brings a number into a byte: eight steps to the octave, exact below
// sixteen.
func packed(x uint64) byte {
	n := bits.Len64(x)
	if n <= 4 {
		return byte(x)
	}
	return byte(min(8*(n-3)+int(x>>(n-4)&7), noPlace-1))
}

func unpacked(b byte) uint64 {
	if b < 16 {
		return uint64(b)
	}
	return (8 + uint64(b&7)) << (b>>3 - 1)
}

// below is the number of members that get a slice by way of this one, itself
// included.
func (st *stream) below(s int) uint64 {
	n := uint64(1)
	for _, p := range st.peers {
		if p.children&^p.leaving&(1<<s) != 0 {
			n += max(unpacked(p.below[s]), 1)
		}
	}
	return min(n, maxBelow)
}

// worth is what it is worth to get a slice from p instead of in a time: without.
func (st *stream) worth(s int, p *peer, without time.Duration) byte {
	gain := min(without-st.cost(p, s), maxWorth)
	if gain < worthUnit {
		return 0
	}
	return packed(uint64(gain/worthUnit) * st.below(s))
}

// placeWorth is what the place that this node has, or asks for, at p is worth:
// against the parent of now, or against the best of those that have room.
func (st *stream) placeWorth(now clock.Time, s int, p *peer) byte {
	sl := &st.slices[s]
	if sl.parent != nil && sl.parent != p {
		return st.worth(s, p, st.cost(sl.parent, s))
	}
	without := st.cost(p, s) + maxWorth
	if others, least := st.withRoom(now, s, p); others >= sureOthers {
		without = min(without, least)
	}
	return st.worth(s, p, without)
}

// withRoom returns how many neighbors beside p have room in a slice, and the least cost
// of them.
func (st *stream) withRoom(now clock.Time, s int, p *peer) (n int, least time.Duration) {
	for _, q := range st.peers {
		if q != p && q.n.Modern && q.room&(1<<s) != 0 && st.canFeed(q, s) && !q.barred(now, s) {
			if cost := st.cost(q, s); n == 0 || cost < least {
				least = cost
			}
			n++
		}
	}
	return n, least
}

// outbids reports whether this node would get a place at p that is taken. It does not try
// if its upload is limited, and so that of most is likely, and whoever is driven out would
// find no room: places would be taken from one to the next without end.
func (st *stream) outbids(now clock.Time, s int, p *peer) bool {
	parent := st.slices[s].parent
	if parent == nil || p.price[s] == 0 || p.price[s] == noPlace {
		return false
	}
	price := p.price[s]
	if st.told.room&(1<<s) != 0 {
		price = min(price, st.swap(p, p.least[s]))
	}
	if w := st.worth(s, p, st.cost(parent, s)); w < leastBid || w < price+bidStep {
		return false
	}
	if st.s.uploadLimit() == 0 {
		return true
	}
	others, _ := st.withRoom(now, s, p)
	return others >= sureOthers
}

// swap is the most that it costs if a child with so many below it goes under a
// neighbor who comes between: the way to that neighbor and back.
func (st *stream) swap(p *peer, below byte) byte {
	way := st.s.flows.RTT(p.n.link) + swapCost
	return min(packed(uint64(way/worthUnit)*max(unpacked(below), 1)), noPlace-bidStep)
}

// appraise notes that a parent has to be told anew what its place is worth.
func (st *stream) appraise(now clock.Time, s int) {
	sl := &st.slices[s]
	if p := sl.parent; p != nil && p.n.Modern && p.asked&(1<<s) != 0 && millis(now)-sl.toldAt >= tellWorth {
		if differs(sl.toldBelow, packed(st.below(s))) || differs(sl.toldWorth, st.placeWorth(now, s, p)) {
			p.stale = true
			st.replan = true
		}
	}
}

// differs reports whether two packed numbers are half an octave apart, and do
// not both mean next to nothing.
func differs(a, b byte) bool { return max(a, b) >= leastBid/2 && max(a, b)-min(a, b) >= bidStep }

// cheapest returns the child whose place is worth least, in which slice, and what
// it is worth: of one slice, or if all are full of any. In that slice it may go
// under the asker, if there is one, who has room for it.
func (st *stream) cheapest(s int, any bool, asker *peer) (child *peer, slice int, price byte) {
	any = any && st.pub == nil // or a slice would go out to nobody
	for _, p := range st.peers {
		if !p.n.Modern || p.children == 0 || p == asker {
			continue
		}
		for t := range numSlices {
			if t != s && !any || p.children&^p.leaving&(1<<t) == 0 {
				continue
			}
			w := min(p.worth[t], noPlace-bidStep)
			if w+1 >= packed(uint64(maxWorth/worthUnit)*max(unpacked(p.below[t]), 1)) {
				w = min(w, noPlace-bidStep-stayStep) + stayStep // or all would push each other around
			}
			if t == s && asker != nil && asker.room&(1<<s) != 0 {
				w = min(w, st.swap(asker, p.below[t]))
			}
			if child == nil || w < price {
				child, slice, price = p, t, w
			}
		}
	}
	return child, slice, price
}

// least returns the least number of members below a child in a slice.
func (st *stream) least(s int) byte {
	least := byte(noPlace)
	for _, p := range st.peers {
		if p.n.Modern && p.children&^p.leaving&(1<<s) != 0 {
			least = min(least, p.below[s])
		}
	}
	return least
}

// prices returns the price of each slice, 0 where there is room, and how many
// are below the least of its children.
func (st *stream) prices(room byte) (list, least [numSlices]byte) {
	spent := st.spent()
	for s := range list {
		if room&(1<<s) != 0 {
			continue
		}
		least[s] = st.least(s)
		switch child, _, price := st.cheapest(s, spent, nil); {
		case child == nil:
			list[s] = noPlace
		default:
			list[s] = max(price, 1)
		}
	}
	return list, least
}

// tellWorth fills in what an ask tells of the places that it is about.
func (st *stream) tellWorth(now clock.Time, p *peer, a *ask) {
	for s := range numSlices {
		if a.mask&(1<<s) == 0 {
			continue
		}
		a.below[s], a.worth[s] = packed(st.below(s)), st.placeWorth(now, s, p)
		if sl := &st.slices[s]; sl.parent == p {
			sl.toldAt, sl.toldBelow, sl.toldWorth = millis(now), a.below[s], a.worth[s]
		}
	}
}
