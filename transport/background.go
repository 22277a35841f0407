package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// background is congestion control in the manner of LEDBAT (RFC 6817): it fills
// what others leave of a path, and gives way when packets begin to wait in its
// queue, long before the queue is full and others lose any.
//
// LEDBAT's target of 100 ms is more than most queues hold, and what is below it
// is taken from others, so ours is a part of the round trip. And a window of two
// packets, below which LEDBAT does not go, is a tenth of a small path, so the
// sender pauses instead.
//
// The same law with a tighter target makes bulk senders give way to a
// time-critical flow that shares the path to their receiver, of which its Time
// Critical Reverse Notification tells, or the path from their own endpoint. RFC
// 7016 §3.5.2.1 has them grow slower in that case; a queue that is kept full
// slowly delays as much. At the beginning they all fall silent for a moment,
// which empties the queue and shows each of them the round trip of the empty
// path, which late comers can't know (LEDBAT's problem, RFC 6817 §4.4).
type background struct {
	critical bool // somebody's time-critical data is to be spared
}

// backgroundState is the background law's part of the state.
type backgroundState struct {
	asked         bool       // background data was sent
	critical      bool       // time-critical data is being spared
	ordinaryUntil clock.Time // other data counts until then
	pause         clock.Time // nothing is sent until then
	pauses        uint8      // in succession
	shrunk        uint64     // packets below were sent before the window last gave way
}

const (
	backgroundShare = 8                      // the target is the round trip by this, within:
	backgroundLeast = 2 * time.Millisecond   // our choice: above jitter
	backgroundMost  = 25 * time.Millisecond  // our choice
	criticalTarget  = 4 * time.Millisecond   // our choice: eight senders together stay below 15 ms
	backgroundHold  = time.Second            // other data counts as long as this
	pauseLeast      = 100 * time.Millisecond // of a sender that found no room for two packets
	pauseMost       = 4 * time.Second
	pauseTrips      = 16
	pausesOver      = 8 // packets of a window that shows that there is room after all
)

// sending notes what kind of data is sent.
func (c *congestion) sending(now clock.Time, background bool) {
	if c.bulk == nil {
		c.bulk = &bulk{}
	}
	if background {
		c.bulk.asked = true
	} else {
		c.bulk.ordinaryUntil = now.Add(backgroundHold)
	}
}

// target returns the wait in the queue that the sender aims for.
func (l background) target(b *bulk) time.Duration {
	t := min(max(b.least()/backgroundShare, backgroundLeast), backgroundMost)
	if l.critical {
		t = min(t, criticalTarget)
	}
	return t
}

// enter makes room when time-critical data appears.
func (l background) enter(c *congestion, r report) {
	b := c.bulk
	if l.critical && !b.critical {
		b.pause = r.now.Add(2 * r.srtt)
		b.hold, b.shrunk = r.next, r.next
		c.cut(c.window/2, 2*c.mss, r.next)
	}
	b.critical = l.critical
	b.epoch = 0 // of CUBIC
}

func (l background) lost(c *congestion, r report) {
	l.enter(c, r)
	b := c.bulk
	if by, ok := c.chance(r); ok {
		c.cut(by, 2*c.mss, r.next)
		return
	}
	l.rest(b, r)
	c.cut(c.window/2, 2*c.mss, r.next)
	b.shrunk = r.next
}

func (l background) acked(c *congestion, r report) {
	l.enter(c, r)
	b := c.bulk
	queue, target := b.queue(), l.target(b)
	if queue > target {
		// Once in a round trip, by the part of it that the queue is, but
		// an eighth at least and half at most.
		if r.highest < b.shrunk {
			return
		}
		if c.window <= 2*c.mss {
			l.rest(b, r)
		}
		by := int64(c.window) * int64(queue) / int64(queue+b.least()+1)
		c.cut(min(max(int32(by), c.window/8), c.window/2), 2*c.mss, r.next)
		b.shrunk = r.next
		return
	}
	if !c.filled(r) {
		return
	}
	// "a sender MUST behave as though the slow start threshold SSTHRESH is
	// clamped to 0" where it was notified (RFC 7016 §3.5.2.1).
	if !l.critical && c.window < c.threshold && queue <= target/2 {
		c.window = min(c.window+r.acked, windowMax)
		return
	}
	c.threshold = min(c.threshold, c.window)
	if c.window >= pausesOver*c.mss {
		b.pauses = 0
	}
	// A segment or a sixteenth in four round trips far below the target, slower
	// than anybody else, and less close to it.
	step := max(int64(c.mss), int64(c.window)/16) / 4
	if l.critical {
		// "SHOULD NOT increase the transmission budget by more than 0.5% or by
		// 384 bytes per round trip (whichever is greater)" (the same section).
		step = max(384, int64(c.window)/200)
	}
	b.grow(c, int64(r.acked)*step*int64(target-queue)/int64(target))
}

// rest pauses a sender for which there is no room, longer each time.
func (background) rest(b *bulk, r report) {
	wait := max(pauseTrips*r.srtt, pauseLeast) << b.pauses
	b.pauses = min(b.pauses+1, 8)
	b.pause = r.now.Add(min(wait, pauseMost))
	b.recent, b.count = [2]time.Duration{}, 0
}
