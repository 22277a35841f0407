package transport

// appendixA is the algorithm of RFC 7016 appendix A, with two changes that keep
// to its bounds:
//
//   - In slow start the window grows by all that is acknowledged (see slowStart).
//   - Losses don't cut the window of a time-critical sender as long as they are
//     less than one in 32 and the round trip shows no queue. Radio links lose as
//     much without congestion, and a live stream can't wait for the window that
//     1 % of loss leaves: twelve packets in a round trip, whoever shares the
//     path. More loss, or a queue, is taken for what it is.
type appendixA struct{}

const (
	gentleAbove = 67200 // appendix A.1: seven eighths of the window at which 1 % is over 768, in bytes
	lossRatio   = 32    // time-critical senders bear one lost byte in so many
)

// fast reports whether the window may grow at full speed.
func (appendixA) fast(c *congestion, r report) bool {
	// "unless the sender is itself currently sending time critical data to the
	// far end" (RFC 7016 §3.5.2.1): the appendix's slower slow start.
	return r.now >= c.criticalUntil && r.now >= c.reverseUntil && !r.elsewhere
}

func (a appendixA) lost(c *congestion, r report) {
	critical := r.now < c.criticalUntil
	if critical && !r.marked && !r.queueing && c.missing < c.arrived/lossRatio {
		return
	}
	cut := c.window / 2
	if critical || r.before > gentleAbove && a.fast(c, r) {
		cut = c.window / 8
	}
	c.cut(cut, windowFloor, r.next)
}

func (a appendixA) acked(c *congestion, r report) {
	if r.before < c.window && (c.bulk == nil || !c.filled(r)) {
		return
	}
	critical, fast := r.now < c.criticalUntil, a.fast(c, r)
	switch {
	case fast && c.window < c.threshold:
		c.slowStart(r)
		return
	case !fast && critical && c.window < c.threshold:
		c.window = min(c.window+(r.acked+3)/4, windowMax)
		return
	}
	limit, step := int32(4800), int32(48)
	if !fast {
		step = 24
		if critical {
			limit = 2400
		}
	}
	var increase int32
	c.accumulated += r.acked
	per := min(max(c.window/16, 64), limit)
	for c.accumulated >= per {
		c.accumulated -= per
		increase += step
	}
	c.window = min(max(c.window+min(increase, c.mss), windowFloor), windowMax)
}
