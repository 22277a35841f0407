package crypto

import "math"

// replayWords is the size of the window's ring in words of 64 packets. One word
// is always in part ahead of the highest number, so that the window proper is
// 16 words: 1024 packets, 30 ms of a session at 400 Mbit/s. RFC 7425 §4.7.3.3
// asks for 32.
const replayWords = 17

// ReplayWindow is how many packet numbers behind the highest one received are
// still told apart; older ones are refused.
const ReplayWindow = 64 * (replayWords - 1)

// replay is an anti-replay window over a ring of words that is cleared a word
// at a time as it moves on (the method of RFC 6479). The ring is larger than all
// else that protects packets, and is there only while they flow.
type replay struct {
	next  uint64               // the highest number received plus one; 0 before the first
	floor uint64               // numbers below are refused: what was seen of them is forgotten
	seen  *[replayWords]uint64 // nil: none was, from floor on
}

// rest forgets which numbers were received, and refuses all up to the highest.
func (r *replay) rest() { r.floor, r.seen = r.next, nil }

// fresh reports whether n was not accepted before and is not too old to tell.
func (r *replay) fresh(n uint64) bool {
	if n == math.MaxUint64 { // no number may follow; VLUs saturate here
		return false
	}
	if n >= r.next {
		return true
	}
	if n < r.floor || r.next-n > ReplayWindow {
		return false
	}
	return r.seen == nil || r.seen[n/64%replayWords]&(1<<(n%64)) == 0
}

// accept marks n, which is fresh, as received.
func (r *replay) accept(n uint64) {
	if r.seen == nil {
		r.seen = new([replayWords]uint64)
	}
	if n >= r.next {
		from, to := r.next/64, n/64
		if r.next%64 != 0 {
			from++
		}
		if from <= to {
			for i := range min(to-from+1, replayWords) {
				r.seen[(to-i)%replayWords] = 0
			}
		}
		r.next = n + 1
	}
	r.seen[n/64%replayWords] |= 1 << (n % 64)
}
