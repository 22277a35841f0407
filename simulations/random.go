package simulations

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// Randomness of the network. Everything is decided in integers, or by single
// operations on floating-point numbers, so that machines agree to the bit.

// chance reports an event of probability p.
func chance(r *rand.PCG, p float64) bool {
	return p > 0 && float64(r.Uint64()>>11) < p*(1<<53)
}

// uniform returns a duration from 0 up to d, without d.
func uniform(r *rand.PCG, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	hi, _ := bits.Mul64(r.Uint64(), uint64(d))
	return time.Duration(hi)
}

// Exponential returns an exponentially distributed duration with the given
// mean, the same on every machine.
func Exponential(r rand.Source, mean time.Duration) time.Duration {
	if mean <= 0 {
		return 0
	}
	// -ln(u) = ln 2 · -log2(u), for u = v/2^64.
	hi, lo := bits.Mul64(negLog2(r.Uint64()|1), ln2)
	log := hi<<32 | lo>>32 // 32 bits after the point
	hi, lo = bits.Mul64(log, uint64(mean))
	return time.Duration(hi<<32 | lo>>32)
}

const ln2 = 2977044472 // ln 2 · 2^32

// negLog2 returns -log2(v / 2^64) with 32 bits after the point. v is not 0.
func negLog2(v uint64) uint64 {
	zeros := bits.LeadingZeros64(v)
	m := v << zeros // from 2^63 to 2^64: a number from 1 to 2
	var log uint64
	for i := 31; i >= 0; i-- {
		hi, _ := bits.Mul64(m, m) // of a square from 1 to 4 with 62 bits after the point
		if hi>>63 != 0 {
			log |= 1 << i
			m = hi
		} else {
			m = hi << 1
		}
	}
	return uint64(zeros+1)<<32 - log
}
