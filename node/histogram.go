package node

import (
	"math/bits"
	"time"
)

// histogram counts durations in log-linear buckets of microseconds: exact
// below 64 µs, within 1/32 above, up to 71 minutes. Its memory is fixed.
type histogram struct {
	buckets [32*27 + 64]uint32
	count   uint64
	max     time.Duration
}

func bucketOf(us uint64) int {
	if us < 64 {
		return int(us)
	}
	shift := bits.Len64(us) - 6 // the top six bits remain: 32..63
	return 64 + (shift-1)*32 + int(us>>shift) - 32
}

// upperOf returns the largest value that bucketOf puts into bucket i.
func upperOf(i int) uint64 {
	if i < 64 {
		return uint64(i)
	}
	shift := (i-64)/32 + 1
	return uint64((i-64)%32+32+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	h.count++
	h.max = max(h.max, d)
	us := uint64(max(d, 0) / time.Microsecond)
	h.buckets[min(bucketOf(us), len(h.buckets)-1)]++
}

// quantile returns an upper bound of the q-th quantile, 0 if nothing was added.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.count) + 0.999999)
	var seen uint64
	for i, n := range h.buckets {
		seen += uint64(n)
		if n > 0 && seen >= rank {
			return min(time.Duration(upperOf(i))*time.Microsecond, h.max)
		}
	}
	return h.max
}

func (h *histogram) delay() Delay {
	return Delay{
		Count: h.count, Max: h.max,
		P50: h.quantile(0.50), P95: h.quantile(0.95), P99: h.quantile(0.99),
	}
}
