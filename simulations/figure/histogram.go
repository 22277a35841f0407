package figure

import (
	"math"
	"math/bits"
)

// Histogram counts whole numbers, microseconds for example, exactly below 256
// and within 1/128 above. The zero Histogram is empty.
type Histogram struct {
	counts []uint32
	total  uint64
	sum    float64
	max    uint64
}

const fineBits = 7 // of what a bucket tells beside the leading one

func bucketOf(v uint64) int {
	if v < 2<<fineBits {
		return int(v)
	}
	shift := bits.Len64(v) - fineBits - 1
	return shift<<fineBits + int(v>>shift)
}

// boundsOf returns the least value of a bucket and that of the next one.
func boundsOf(i int) (low, high float64) {
	if i < 2<<fineBits {
		return float64(i), float64(i + 1)
	}
	shift := i>>fineBits - 1
	base := uint64(i&(1<<fineBits-1) | 1<<fineBits)
	return float64(base << shift), float64((base + 1) << shift)
}

// Add counts v, n times.
func (h *Histogram) Add(v uint64, n uint32) {
	i := bucketOf(v)
	for len(h.counts) <= i {
		h.counts = append(h.counts, 0)
	}
	h.counts[i] += n
	h.total += uint64(n)
	h.sum += float64(v) * float64(n)
	h.max = max(h.max, v)
}

// Merge adds what another one has counted.
func (h *Histogram) Merge(o *Histogram) {
	for len(h.counts) < len(o.counts) {
		h.counts = append(h.counts, 0)
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.sum += o.sum
	h.max = max(h.max, o.max)
}

// Count returns how many numbers were added.
func (h *Histogram) Count() uint64 { return h.total }

// Mean returns the mean, NaN of nothing.
func (h *Histogram) Mean() float64 { return h.sum / float64(h.total) }

// Max returns the largest number, 0 of nothing.
func (h *Histogram) Max() float64 { return float64(h.max) }

// Quantile returns the q-th quantile, NaN of nothing. Within a bucket numbers
// are taken to be spread evenly.
func (h *Histogram) Quantile(q float64) float64 {
	if h.total == 0 {
		return math.NaN()
	}
	rank := q * float64(h.total)
	seen := 0.0
	for i, n := range h.counts {
		if next := seen + float64(n); n > 0 && next >= rank {
			low, high := boundsOf(i)
			if high-low <= 1 {
				return low
			}
			return min(low+(high-low)*(rank-seen)/float64(n), float64(h.max))
		}
		seen += float64(n)
	}
	return float64(h.max)
}

// Share returns the part of the numbers that are at most v.
func (h *Histogram) Share(v uint64) float64 {
	end := bucketOf(v)
	n := uint64(0)
	for i := 0; i <= end && i < len(h.counts); i++ {
		n += uint64(h.counts[i])
	}
	return float64(n) / float64(max(h.total, 1))
}

// Point is one value of a distribution and the part of the numbers that are at
// most so large.
type Point struct{ Value, Share float64 }

// Points returns the cumulative distribution in at most n points.
func (h *Histogram) Points(n int) []Point {
	var all []Point
	seen, last := uint64(0), -1.0
	for i, c := range h.counts {
		if c == 0 {
			continue
		}
		seen += uint64(c)
		share := float64(seen) / float64(h.total)
		if share-last >= 1/float64(n) || seen == h.total {
			_, high := boundsOf(i)
			all = append(all, Point{min(high, float64(h.max)), share})
			last = share
		}
	}
	return all
}
