package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// cubic is CUBIC (RFC 9438), which is what the bulk of other traffic obeys, with
// two additions for paths that lose packets by chance, as radio does. CUBIC
// leaves 90 % of a path of 50 Mbit/s and 40 ms unused at 1 % of such loss.
//
//   - A loss while hardly anything waits in the path's queues was not caused by
//     a full queue. It cuts the window by half as much again as is lost of late,
//     no further: an overloaded path without a queue (a policer) still makes the
//     sender give way, to where it loses a few percent.
//   - While hardly anything waits there is room, and the window grows by an
//     eighth in a round trip.
//
// Both stop as soon as anybody fills a queue: from there on it is CUBIC alone.
// The arithmetic is of integers, so that every machine decides alike.
type cubic struct{}

// cubicState is CUBIC's memory of the last cut.
type cubicState struct {
	epoch    clock.Time // when growth began after the last cut, 0 before
	period   int64      // K, in ms
	summit   int32      // W_max: the window before the last cut
	reno     int32      // W_est: the window that Reno would have
	renoRest int64
	hold     uint64 // packets below were sent before the last cut, and don't make the window grow
}

// Constants of RFC 9438: C = 0.4 (§5), β = 0.7 (§4.6).
const (
	cubicC    = 4      // tenths
	cubicBeta = 7      // tenths
	cubicMost = 60_000 // ms from the summit at which growth is capped, against overflow

	cubicRoom = 30 // one in so many is left to newcomers; our choice

	chanceMost = 12 // losses over one in so many are not taken for chance
	roomGrowth = 8  // the window grows by one in so many per round trip while there is room
)

func (cubic) lost(c *congestion, r report) {
	b := c.bulk
	b.epoch, b.rest, b.renoRest = 0, 0, 0
	if by, ok := c.chance(r); ok {
		b.summit = c.window
		c.cut(by, 2*c.mss, r.next)
		return
	}
	// Fast convergence (§4.7): leave room to newcomers, but less than the sixth that
	// the RFC has. All of it makes a slight handicap a large one: whoever has less
	// is cut before it has its window back, and then gives way once more.
	if c.window < b.summit {
		b.summit = int32(int64(c.window) * (cubicRoom - 1) / cubicRoom)
	} else {
		b.summit = c.window
	}
	c.cut(int32(int64(c.window)*(10-cubicBeta)/10), 2*c.mss, r.next)
	b.hold = r.next
}

// chance returns by how much a loss cuts the window that happened by chance, and
// whether it did.
func (c *congestion) chance(r report) (by int32, ok bool) {
	total := c.arrived + c.missing
	if r.marked || c.bulk.congested() || c.missing >= total/chanceMost {
		return 0, false
	}
	return int32(int64(c.window) * 3 / 2 * int64(c.missing) / int64(total)), true
}

func (b *bulk) timeout(c *congestion) {
	b.epoch, b.rest, b.renoRest = 0, 0, 0
	b.summit = c.window
	b.recent, b.count = [2]time.Duration{}, 0
}

func (cubic) acked(c *congestion, r report) {
	b := c.bulk
	b.critical = false
	if !c.filled(r) {
		b.epoch = 0 // time without data does not count (§5.8)
		return
	}
	if c.window < c.threshold {
		c.slowStart(r)
		return
	}
	if r.highest < b.hold {
		return
	}
	if b.epoch == 0 {
		b.begin(c, r)
	}
	// W_est (§4.3) grows by α_cubic = 3 × (1 - β) / (1 + β) = 9/17 segments in a
	// round trip. The RFC has it grow by one beyond the window before the cut;
	// the kernels that we share paths with don't.
	b.renoRest += 9 * int64(r.acked) * int64(c.mss)
	by := b.renoRest / (17 * int64(c.window))
	b.renoRest -= by * 17 * int64(c.window)
	b.reno = int32(min(int64(b.reno)+by, windowMax))

	window := int64(c.window)
	// §4.2 looks ahead by the smoothed round trip; the kernels that we share paths
	// with do so by the least, and so grow a little later.
	target := min(max(b.curve(c, r.now.Sub(b.epoch)+b.least()), window), window*3/2)
	growth := (target - window) * int64(r.acked) // in window-ths
	if b.clear() {
		growth = max(growth, int64(r.acked)*window/roomGrowth)
	}
	b.grow(c, growth)
	c.window = max(c.window, b.reno)
}

// begin starts the curve at the present window.
func (b *bulk) begin(c *congestion, r report) {
	b.epoch = r.now
	b.reno = c.window
	b.summit = max(b.summit, c.window)
	b.period = cubeRoot(int64(b.summit-c.window) * 1e9 / (cubicC * int64(c.mss)) * 10)
}

// curve returns W_cubic after d (§4.2), in bytes.
func (b *bulk) curve(c *congestion, d time.Duration) int64 {
	t := min(max(int64(d/time.Millisecond)-b.period, -cubicMost), cubicMost)
	return int64(b.summit) + t*t*t/1e6*cubicC*int64(c.mss)/1e4
}

// cubeRoot returns the largest x of which the cube is at most n.
func cubeRoot(n int64) int64 {
	x := int64(0)
	for bit := int64(1) << 20; bit > 0; bit >>= 1 {
		if y := x + bit; y*y*y <= n {
			x = y
		}
	}
	return x
}
