package transport

import (
	"math"
	"time"

	"rtmfp/internal/clock"
)

// congestion is the congestion control of a session: the window, what is in the
// network, and the law by which the window changes. The law follows from what
// the session carries (docs/congestion.md):
//
//   - RFC 7016 appendix A while time-critical data is sent, alone or mixed with
//     other, and while so little is sent that the window does not matter;
//   - CUBIC for everything else;
//   - the background law for flows that ask for it, and for all others of an
//     endpoint while time-critical data is on its way that they would delay.
//
// Common to all, within the bounds of appendix A:
//
//   - The initial window is ten packets (RFC 6928, which updates the RFC 5681
//     that the appendix refers to), or more for bulk data (see begin).
//   - Losses of packets that were sent before the last cut don't cut again:
//     they tell of the same congestion (RFC 5681 §3.2 step 2, RFC 9002 §7.3.2).
//   - A loss cuts the window and not what was outstanding (RFC 9002 §7.3.2): a
//     source of real-time data that fills a small part of its window would
//     otherwise lose all the rest to a single chance loss. The window can't have
//     grown while it was not filled.
type congestion struct {
	window      int32 // CWND, in bytes of user data chunks
	threshold   int32 // SSTHRESH
	accumulated int32 // ACKED_BYTES_ACCUMULATOR
	outstanding int32 // S_OUTSTANDING_BYTES
	mss         int32 // SMSS

	arrived int32 // bytes acknowledged of late, and
	missing int32 // bytes lost of late, for ratios

	spread bool // the window is that of begin, and nothing is acknowledged

	recovery      uint64     // packets below were sent before the last cut
	criticalUntil clock.Time // TC_SENT counts until then
	reverseUntil  clock.Time // a Time Critical Reverse Notification counts until then

	bulk *bulk // what the laws for much data need; nil while there is little
}

// bulk is the state of the laws for much data. An idle session gives it back.
type bulk struct {
	delays
	cubicState
	backgroundState
	beside beside
	mtuSearch
	rest int64 // of the window's growth, below a byte: in window-ths of a byte
}

// law changes the window. A law is a value without state of its own, so that
// sessions may change from one to another at any packet.
type law interface {
	// acked acts on acknowledgements that tell of no loss, of a window that was
	// filled.
	acked(c *congestion, r report)
	// lost acts on a loss or a congestion mark that calls for a cut, of which
	// there is one per round trip.
	lost(c *congestion, r report)
}

// report is what the acknowledgements of one packet amount to for congestion
// control.
type report struct {
	now       clock.Time
	before    int32         // PRE_ACK_OUTSTANDING
	acked     int32         // ACKED_BYTES_THIS_PACKET
	lag       time.Duration // from sending to acknowledgement, 0 if it is not known
	srtt      time.Duration
	lost      bool   // a loss was found that calls for a cut
	marked    bool   // the same for a congestion mark
	naks      bool   // a fragment was passed over
	queueing  bool   // the round trip shows a queue
	elsewhere bool   // time-critical packets are sent on some session
	highest   uint64 // number of the highest packet that was acknowledged
	next      uint64 // number of the next packet
}

// Constants common to the laws, in bytes.
const (
	windowFloor   = 4380 // CWND_INIT of appendix A.2
	windowInitial = 10   // in packets (RFC 6928 §2)
	windowBulk    = 48   // the same for bulk data, spread over a round trip; our choice
	windowMax     = 1 << 30
	lossMemory    = 1 << 18 // bytes over which losses are counted, at least; and
	lossTrips     = 4       // windows
	slackPackets  = 3       // as many may be missing from a window that counts as filled
)

func (c *congestion) init(mtu int) {
	c.mss = int32(mtu)
	c.window = max(windowInitial*c.mss, windowFloor)
	c.threshold = math.MaxInt32
	c.accumulated = 0
	c.arrived, c.missing = lossMemory/4, 0 // credit for the first losses
	c.bulk = nil
}

// open reports whether the window allows another packet. RFC 7016 lets the last
// one stand out of the window, which is a packet more than TCP has, and too much
// on a path that holds a dozen.
func (c *congestion) open() bool {
	if c.bulk != nil && c.outstanding > 0 {
		return c.outstanding+c.mss <= c.window
	}
	return c.outstanding < c.window
}

// begin widens the initial window of a session that is to carry bulk data, and
// reports whether it did: when the first window is out, the handshake told the
// round trip, and more waits than the wide one holds. A window of ten packets
// leaves a path of 50 Mbit/s and 40 ms idle for 140 ms of its first 200. It is
// more than RFC 6928 has, and so it is no burst: all beyond the ten is spread
// over the round trip, of which a queue sees less than of the ten that slow start
// would send at once a round trip later. Time-critical data on its way, here or
// at the far end, forbids it.
func (s *Session) begin(now clock.Time, f *SendFlow) bool {
	c := &s.congestion
	wide := windowBulk * c.mss
	if s.maxAcked != 0 || c.missing != 0 || c.spread || s.rtt.srtt == 0 ||
		f.critical || f.background || c.outstanding+f.queued < wide ||
		now < c.criticalUntil || now < c.reverseUntil || now < s.e.critical.sentUntil {
		return false
	}
	c.window, c.spread = wide, true
	return true
}

// choose returns the law for what is sent now.
func (c *congestion) choose(r report) law {
	switch {
	case r.now < c.criticalUntil || c.bulk == nil:
		return appendixA{}
	case r.now < c.reverseUntil || r.elsewhere:
		return background{critical: true}
	case c.bulk.asked && r.now >= c.bulk.ordinaryUntil:
		return background{}
	default:
		return cubic{}
	}
}

// timeout acts on TIMEOUT_ALARM (appendix A.2, figure 24).
func (c *congestion) timeout(loss bool, next uint64) {
	switch {
	case c.threshold != math.MaxInt32:
		c.threshold = max(c.threshold, c.window*3/4)
	case loss:
		// The path was never known to hold more; the RFC would have the window
		// double again without end.
		c.threshold = c.window * 3 / 4
	}
	c.accumulated = 0
	c.spread = false
	if loss {
		if c.bulk != nil {
			c.bulk.timeout(c)
		}
		c.window = c.mss
		c.recovery = next
	} else {
		c.window = min(c.window, max(windowInitial*c.mss, windowFloor))
	}
}

// acknowledged acts on a packet with acknowledgements (appendix A.2, figure 25).
func (c *congestion) acknowledged(r report) {
	c.spread = false
	c.remember(r.acked)
	if c.bulk != nil && r.lag != 0 {
		c.bulk.sample(r.now, r.lag)
	}
	l := c.choose(r)
	switch {
	case r.lost || r.marked:
		l.lost(c, r)
	case r.acked > 0 && !r.naks:
		l.acked(c, r)
	}
	if c.shares(r) {
		c.spare(r)
	} else if c.bulk != nil {
		c.bulk.beside = beside{}
	}
	if c.bulk == nil && r.before >= c.window/2 && r.now >= c.criticalUntil {
		c.bulk = &bulk{}
	}
}

// remember counts what arrived and forgets what is long ago. A few windows tell
// of enough losses that their share is known: that of 128 kB, five in a hundred,
// would be 9 of 100 as often as 1.
func (c *congestion) remember(acked int32) {
	c.arrived += acked
	if int64(c.arrived) > max(lossMemory, lossTrips*int64(min(c.window, windowMax/lossTrips))) {
		c.arrived, c.missing = c.arrived/2, c.missing/2
	}
}

// cut shrinks the window, and slow start ends there.
func (c *congestion) cut(by, floor int32, next uint64) {
	c.window = max(c.window-by, floor)
	c.threshold = c.window
	c.accumulated = 0
	c.recovery = next
}

// grow adds n/window bytes to the window.
func (b *bulk) grow(c *congestion, n int64) {
	b.rest += n
	by := b.rest / int64(c.window)
	b.rest -= by * int64(c.window)
	c.window = int32(min(int64(c.window)+by, windowMax))
}

// filled reports whether the window was in use, so that it may grow. While the
// pacer spreads packets a part of it is always unused.
func (c *congestion) filled(r report) bool {
	if r.before > c.window-c.mss { // no other packet fits
		return true
	}
	if c.window < c.threshold {
		return r.before >= c.window/2
	}
	return r.before >= c.window-max(c.window/8, slackPackets*c.mss)
}

// slowStart grows the window by what was acknowledged, not by one segment for a
// packet at most, since receivers that take many packets at once acknowledge
// them at once (RFC 9002 §7.3.1); the pacer keeps that from being a burst. It
// ends when a queue grows (RFC 9406 §4.2), before it overflows.
func (c *congestion) slowStart(r report) {
	c.window = min(c.window+r.acked, windowMax)
	if b := c.bulk; b != nil && b.recent[1] != 0 &&
		b.queue() > min(max(b.least()/8, slowStartLeast), slowStartMost) {
		c.threshold = c.window
	}
}

const (
	slowStartLeast = 4 * time.Millisecond  // MIN_RTT_THRESH of RFC 9406 §4.3
	slowStartMost  = 16 * time.Millisecond // MAX_RTT_THRESH of RFC 9406 §4.3
)
