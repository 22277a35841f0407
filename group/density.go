package group

import (
	"math"
	"math/bits"

	"rtmfp/ring"
)

// The size of a group shows in how close its members lie on the ring. What one
// member sees around itself is a rough measure; neighbors tell each other what
// they see, and the mean of all is a good one.

// Spans are told as 16 bits: the top 64 bits of the distance from the third
// neighbor below to the third above as a floating-point number, six bits of
// exponent and ten of mantissa. Zero: fewer than three are known on a side.
func packSpan(v uint64) uint16 {
	if v < 1<<10 {
		return 0
	}
	e := bits.Len64(v) - 11
	return uint16(e)<<10 | uint16(v>>e&(1<<10-1))
}

func unpackSpan(s uint16) uint64 { return (1<<10 | uint64(s&(1<<10-1))) << (s >> 10) }

// span is what this member sees around itself.
func (g *Group) span() uint16 {
	above, ok := g.upAt(NextIncreasing, ringSide-1)
	below, ok2 := g.upAt(NextDecreasing, ringSide-1)
	if !ok || !ok2 || g.book.known.Len()+1 <= g.cfg.FullMesh {
		return 0
	}
	return packSpan(below.Up(above).Top())
}

// upAt returns the place of the k-th neighbor that is up on one side.
func (g *Group) upAt(d Direction, k int) (ring.Addr, bool) {
	for i, got := 0, 0; ; i++ {
		it, ok := g.reach.Above(g.self, i)
		if d == NextDecreasing {
			it, ok = g.reach.Below(g.self, i)
		}
		if !ok {
			return ring.Addr{}, false
		}
		if it.Value.up {
			if got++; got > k {
				return it.Addr, true
			}
		}
	}
}

// Estimate returns how many members the group has, this one included, judging
// from the density of the ring around this member and its neighbors. In a full
// mesh everybody is known, and it is no estimate.
func (g *Group) Estimate() int {
	known := g.book.known.Len() + 1
	if known <= g.cfg.FullMesh {
		return known
	}
	sum, gaps := uint64(0), uint64(0) // of spans shifted so that the sum can't overflow
	add := func(s uint16) {
		if s != 0 {
			sum += unpackSpan(s) >> 8
			gaps += 2 * ringSide
		}
	}
	add(g.span())
	for _, l := range g.neighbors {
		add(l.span)
	}
	if sum == 0 {
		return g.book.known.Estimate(g.self, ringSide)
	}
	// gaps of the mean size sum/gaps fill the ring, 2^56 of these units.
	if gaps>>8 >= sum {
		return math.MaxInt32
	}
	n, _ := bits.Div64(gaps>>8, gaps<<56, sum)
	return int(min(max(n, uint64(known)), math.MaxInt32))
}
