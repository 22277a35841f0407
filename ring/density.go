package ring

import (
	"math"
	"math/bits"
)

// Estimate returns how many members a group has, the one at self included,
// judging from the span between the k-th neighbor below and the k-th above:
// addresses are hashes, so members are spread evenly. With fewer than 2k
// others in the set all are taken to be known, and it returns their count.
//
// This is the rule of the groups protocol, which uses k = 2. The relative
// error of a single estimate is about 1/√(2k).
func (s *Set[T]) Estimate(self Addr, k int) int {
	others := s.Len()
	if _, found := s.Search(self); found {
		others--
	}
	if k < 1 || others < 2*k {
		return others + 1
	}
	above, _ := s.Above(self, k-1)
	below, _ := s.Below(self, k-1)
	// The top 64 bits say enough, and their difference wraps as the ring does.
	span := below.Addr.Up(above.Addr).words()[3]
	if span == 0 {
		return others + 1
	}
	// 2k steps fill the span, so 2^64 holds 2k·2^64/span of them. When the span
	// is tiny the quotient does not fit: then there is no honest estimate.
	if uint64(2*k) >= span {
		return math.MaxInt32
	}
	n, _ := bits.Div64(uint64(2*k), 0, span)
	// No fewer than are known, and no more than a 31-bit count.
	return int(min(max(n, uint64(others+1)), math.MaxInt32))
}
