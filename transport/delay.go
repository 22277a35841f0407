package transport

import (
	"math"
	"time"

	"rtmfp/internal/clock"
)

// delays measures how long packets wait in the queues of a path: the round trip
// above the least that was ever seen. Single samples hold the jitter of radio
// links and what acknowledgements waited, which only ever add to the truth, so
// the least of the latest samples is taken, over a part of a round trip: a host
// that was busy for a moment delays many packets in succession.
type delays struct {
	base   [2]time.Duration // least round trip in this interval and in the one before, 0 without a sample
	recent [2]time.Duration // least of the latest samples and of those before
	peak   time.Duration    // the longest queue so far
	turn   clock.Time       // end of this interval
	since  clock.Time       // of the first sample in recent[0]
	count  uint8            // samples in recent[0]
}

const (
	baseInterval = 5 * time.Minute  // RFC 6817 §4.2 remembers ten minutes: this one and the one before
	recentCount  = 8                // samples of which one is likely to be free of jitter (N_RTT_SAMPLE of RFC 9406 §4.2)
	queueLeast   = time.Millisecond // jitter that no queue is concluded from; our choice
)

// sample takes the exact time from sending a packet to its acknowledgement.
func (d *delays) sample(now clock.Time, lag time.Duration) {
	if now >= d.turn {
		d.base[1], d.base[0] = d.base[0], lag
		d.turn = now.Add(baseInterval)
	}
	d.base[0] = min(d.base[0], lag)
	if passed := now.Sub(d.since); d.count >= recentCount && passed >= d.least()/4 || d.count >= 2 && passed >= d.least()/2 {
		d.peak = max(d.peak, d.queue())
		d.recent[1], d.count = d.recent[0], 0
	}
	if d.count == 0 {
		d.since = now
	}
	if d.count == 0 || lag < d.recent[0] {
		d.recent[0] = lag
	}
	d.count += min(1, math.MaxUint8-d.count)
}

// least returns the round trip of the empty path, 0 if it is not known.
func (d *delays) least() time.Duration {
	if d.base[1] == 0 {
		return d.base[0]
	}
	return min(d.base[0], d.base[1])
}

// queue returns how long packets wait on the path these days.
func (d *delays) queue() time.Duration {
	now := d.recent[0]
	if d.recent[1] != 0 {
		now = min(now, d.recent[1])
	}
	return now - d.least()
}

// limit returns the wait from which on the path counts as full: an eighth of a
// round trip, or half of what it was seen to hold where that is little. But a
// sixteenth may always be the work of busy hosts; where a queue holds no more
// than that, losses count by their number alone.
func (d *delays) limit() time.Duration {
	return max(min(d.least()/8, max(d.peak/2, d.least()/16)), queueLeast)
}

// congested reports whether packets wait long enough for losses to be those of
// a full queue.
func (d *delays) congested() bool { return d.queue() > d.limit() }

// clear reports whether hardly anything waits.
func (d *delays) clear() bool { return d.queue() <= d.limit()/2 }
