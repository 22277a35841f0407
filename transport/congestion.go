package transport

import (
	"math"

	"rtmfp/internal/clock"
)

// congestion is the congestion control of RFC 7016 appendix A, with three
// changes that keep to its bounds:
//
//   - The initial window is ten packets (RFC 6928, which updates the RFC 5681
//     that the appendix refers to); the floor after a loss stays the appendix's
//     4380 bytes.
//   - Losses of packets that were sent before the last cut don't cut again:
//     they tell of the same congestion (RFC 5681 §3.2 step 2, RFC 9002 §7.3.2).
//   - A loss cuts the window and not what was outstanding (RFC 9002 §7.3.2): a
//     source of real-time data that fills a small part of its window would
//     otherwise lose all the rest to a single chance loss. The window can't have
//     grown while it was not filled.
//   - In slow start the window grows by all that is acknowledged and not by one
//     segment for a packet at most, since receivers that take many packets at
//     once acknowledge them at once (RFC 9002 §7.3.1); the pacer keeps that from
//     being a burst.
//   - Losses don't cut the window of a time-critical sender as long as they are
//     less than one in 32 and the round trip shows no queue. Radio links lose as
//     much without congestion, and a live stream can't wait for the window that
//     1 % of loss leaves: twelve packets in a round trip, whoever shares the
//     path. More loss, or a queue, is taken for what it is.
type congestion struct {
	window      int32 // CWND, in bytes of user data chunks
	threshold   int32 // SSTHRESH
	accumulated int32 // ACKED_BYTES_ACCUMULATOR
	outstanding int32 // S_OUTSTANDING_BYTES
	mss         int32 // SMSS

	arrived int32 // bytes acknowledged of late, and
	missing int32 // bytes lost of late, for lossRatio

	recovery      uint64     // packets below were sent before the last cut
	criticalUntil clock.Time // TC_SENT counts until then
	reverseUntil  clock.Time // a Time Critical Reverse Notification counts until then
}

// Constants of the algorithm, in bytes.
const (
	windowFloor   = 4380  // CWND_INIT of appendix A.2
	windowInitial = 10    // in packets (RFC 6928 §2)
	gentleAbove   = 67200 // appendix A.1: seven eighths of the window at which 1 % is over 768
	windowMax     = 1 << 30
	lossRatio     = 32      // time-critical senders bear one lost byte in so many
	lossMemory    = 1 << 18 // bytes over which that is counted
)

func (c *congestion) init(mtu int) {
	c.mss = int32(mtu)
	c.window = max(windowInitial*c.mss, windowFloor)
	c.threshold = math.MaxInt32
	c.arrived = lossMemory / 4 // credit for the first losses
}

// open reports whether the window allows another packet.
func (c *congestion) open() bool { return c.outstanding < c.window }

// timeout acts on TIMEOUT_ALARM (appendix A.2, figure 24).
func (c *congestion) timeout(loss bool, nextPacket uint64) {
	if c.threshold == math.MaxInt32 {
		c.threshold = c.window * 3 / 4
	} else {
		c.threshold = max(c.threshold, c.window*3/4)
	}
	c.accumulated = 0
	if loss {
		c.window = c.mss
		c.recovery = nextPacket
	} else {
		c.window = min(c.window, max(windowInitial*c.mss, windowFloor))
	}
}

// acknowledged acts on a packet with acknowledgements (appendix A.2, figure 25):
// before is PRE_ACK_OUTSTANDING, acked ACKED_BYTES_THIS_PACKET, lost whether a
// loss was found that calls for a cut, naks whether any fragment was passed
// over. criticalAnywhere tells of time-critical packets sent on any session.
func (c *congestion) acknowledged(now clock.Time, before, acked int32, lost, naks, queueing, criticalAnywhere bool, nextPacket uint64) {
	critical := now < c.criticalUntil
	if c.arrived += acked; c.arrived > lossMemory {
		c.arrived, c.missing = c.arrived/2, c.missing/2
	}
	if lost && critical && !queueing && c.missing < c.arrived/lossRatio {
		return
	}
	fast := now >= c.reverseUntil && !criticalAnywhere
	if critical {
		// "unless the sender is itself currently sending time critical data to
		// the far end" (RFC 7016 §3.5.2.1): the appendix's slower slow start.
		fast = false
	}
	if lost {
		cut := c.window / 2
		if critical || before > gentleAbove && fast {
			cut = c.window / 8
		}
		c.threshold = max(c.window-cut, windowFloor)
		c.window = c.threshold
		c.accumulated = 0
		c.recovery = nextPacket
		return
	}
	if naks || before < c.window {
		return
	}
	var increase int32
	switch {
	case fast && c.window < c.threshold:
		c.window = min(c.window+acked, windowMax)
		return
	case !fast && critical && c.window < c.threshold:
		c.window = min(c.window+(acked+3)/4, windowMax)
		return
	default:
		limit, step := int32(4800), int32(48)
		if !fast {
			step = 24
			if critical {
				limit = 2400
			}
		}
		c.accumulated += acked
		per := min(max(c.window/16, 64), limit)
		for c.accumulated >= per {
			c.accumulated -= per
			increase += step
		}
	}
	c.window = min(max(c.window+min(increase, c.mss), windowFloor), windowMax)
}
