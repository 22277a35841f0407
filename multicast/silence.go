package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// A publisher whose line is cut keeps what it makes meanwhile for longer than
// others do, and gives it away when it is back. In such a silence, which is more than
// a pause of the stream, nobody can get what is missing. So it does not count: neither
// for how long gaps are waited for, nor for how long what comes after them is kept.

// silence is a time without a sign of life from the publisher.
type silence struct{ from, to clock.Time }

const (
	leastSilence = time.Second         // epochs tell of a publisher that only pauses
	mostSilence  = defaultSourceMargin // that is made allowance for
)

// sign notes a sign of life.
func (st *stream) sign(now clock.Time) {
	if now.Sub(st.lastSign) >= leastSilence {
		st.silent = silence{st.lastSign, now}
	}
	st.lastSign = now
}

// silentSince returns how much of the time since an instant was silence. What old
// publishers send has no epochs, so that nothing tells it from a pause.
func (st *stream) silentSince(at clock.Time) time.Duration {
	if st.pub != nil || st.epochTop == 0 {
		return 0
	}
	s := st.silent
	if st.now.Sub(st.lastSign) >= leastSilence {
		s = silence{st.lastSign, st.now}
	}
	return min(max(s.to.Sub(max(s.from, at)), 0), mostSilence)
}
