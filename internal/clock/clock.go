// Package clock holds the instant that every core takes as an argument, and
// the queue of timers that a core sleeps on.
//
// A Time is owned by nobody: it is a plain number. The origin is chosen by the
// driver (the real driver counts from its own start, the simulator from the
// start of the run), so instants of two drivers can't be compared.
package clock

import (
	"math"
	"time"
)

// Time is a monotonic instant in nanoseconds since an origin that the driver
// chose. The zero Time is the origin itself and serves as "not yet".
type Time int64

// Never is later than every instant; a core without a timer returns it.
const Never Time = math.MaxInt64

// Add returns t+d. Never stays Never, and an overflow gives Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never {
		return Never
	}
	if u := t + Time(d); d < 0 || u >= t {
		return u
	}
	return Never
}

// Sub returns the duration t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }
