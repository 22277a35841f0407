package transport

import (
	"math"
	"math/rand/v2"
	"testing"

	"rtmfp/internal/clock"
)

// RFC 7016 appendix A, the algorithm for congestion control.

// figure25 is the function of figure 25, to the letter, but for what package
// transport changes on purpose (see appendixA and congestion): slow start is not
// held to one SMSS for a packet, and a loss cuts the window. Where the window is
// just filled, PRE_ACK_OUTSTANDING is CWND, and the latter is no difference.
func figure25(cwnd, ssthresh, accumulator int32, acked, before int32, anyLoss, anyNaks, tcSent, fastgrow bool) (int32, int32, int32) {
	const cwndInit, smss = 4380, 1200
	if anyLoss {
		if tcSent || before > 67200 && fastgrow {
			ssthresh = max(before-before/8, cwndInit)
		} else {
			ssthresh = max(before-before/2, cwndInit)
		}
		return ssthresh, ssthresh, 0
	}
	if acked == 0 || anyNaks || before < cwnd {
		return cwnd, ssthresh, accumulator
	}
	increase, cap, step := int32(0), int32(4800), int32(48)
	switch {
	case fastgrow && cwnd < ssthresh:
		return cwnd + acked, ssthresh, accumulator // MIN(INCREASE, SMSS) in the RFC
	case !fastgrow && cwnd < ssthresh && tcSent:
		return cwnd + (acked+3)/4, ssthresh, accumulator
	case !fastgrow:
		step = 24
		if tcSent {
			cap = 2400
		}
	}
	accumulator += acked
	aithresh := min(max(cwnd/16, 64), cap)
	for accumulator >= aithresh {
		accumulator -= aithresh
		increase += step
	}
	return max(cwnd+min(increase, smss), cwndInit), ssthresh, accumulator
}

// "After processing all chunks in each received packet for this session, perform
// the function shown in Figure 25". Packets at random: window, threshold, and
// accumulator are what the figure makes of them, under each of its conditions.
func TestRFC7016_A_2_Figure25(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7016))
	seen := map[[4]bool]int{}
	for range 100_000 {
		c := window{}
		c.init(1200)
		c.window = 4380 + rng.Int32N(200_000)
		c.threshold = 4380 + rng.Int32N(200_000)
		if rng.IntN(4) == 0 {
			c.threshold = math.MaxInt32 // "initialized to positive infinity"
		}
		c.accumulated = rng.Int32N(4800)
		c.arrived, c.missing = 0, 1000 // more losses than a time-critical sender bears
		now := clock.Time(1e9)
		r := report{now: now, before: c.window, acked: rng.Int32N(5000), next: 9}
		if rng.IntN(3) == 0 {
			r.before = rng.Int32N(c.window) // not filled
		}
		r.lost, r.naks = rng.IntN(8) == 0, rng.IntN(8) == 0
		if r.lost {
			r.before = c.window
		}
		tcSent, reverse := rng.IntN(2) == 0, rng.IntN(2) == 0
		r.elsewhere = tcSent || rng.IntN(4) == 0 // "a Time Critical Forward Notification has been sent on ANY session"
		if tcSent {
			c.criticalUntil = now + 1
		}
		if reverse {
			c.reverseUntil = now + 1
		}
		fastgrow := !reverse && !r.elsewhere
		w, s, acc := figure25(c.window, c.threshold, c.accumulated, r.acked, r.before, r.lost, r.naks, tcSent, fastgrow)
		was := c
		appendixAOf(&c, r)
		if c.window != w || c.threshold != s || c.accumulated != acc {
			t.Fatalf("%+v with window %d, threshold %d, accumulated %d, critical %v, fast %v:\ngot %d, %d, %d\nwant %d, %d, %d",
				r, was.window, was.threshold, was.accumulated, tcSent, fastgrow, c.window, c.threshold, c.accumulated, w, s, acc)
		}
		seen[[4]bool{r.lost, tcSent, fastgrow, was.window < was.threshold}]++
	}
	if len(seen) != 12 { // time-critical senders never grow fast
		t.Errorf("%d of 12 kinds of conditions came up", len(seen))
	}
}

// appendixAOf is what congestion does for a session under the law of appendix A.
func appendixAOf(c *window, r report) {
	switch l := (appendixA{}); {
	case r.lost:
		l.lost(&c.congestion, r)
	case r.acked > 0 && !r.naks:
		l.acked(&c.congestion, r)
	}
}

// "768 bytes per round trip" in the normal phase, "384 bytes per round trip" for a
// time-critical sender and under notification, and the scalable increase of "1%
// each round trip" above 76800 bytes, or 0.5 % under notification (appendix A.1).
func TestRFC7016_A_1_GrowthInARoundTrip(t *testing.T) {
	for _, c := range []struct {
		window            int32
		critical, reverse bool
		want              int32
	}{
		{20_000, false, false, 768}, {76_800, false, false, 768}, {200_000, false, false, 2000},
		{20_000, true, false, 384}, {76_800, true, false, 768}, {200_000, true, false, 2000},
		{20_000, false, true, 384}, {76_800, false, true, 384}, {200_000, false, true, 1000},
	} {
		w := window{}
		w.init(1200)
		w.window, w.threshold = c.window, c.window
		if c.critical {
			w.criticalUntil = 2
		}
		if c.reverse {
			w.reverseUntil = 2
		}
		for left := c.window; left > 0; left -= 1000 {
			appendixAOf(&w, report{now: 1, before: w.window, acked: min(left, 1000), elsewhere: c.critical})
		}
		if got := w.window - c.window; got > c.want || got < c.want*9/10 {
			t.Errorf("%+v: grew by %d bytes", c, got)
		}
	}
}

// "on TimeoutNotification(WAS_LOSS): set SSTHRESH to MAX(SSTHRESH, CWND * 3/4). set
// ACKED_BYTES_ACCUMULATOR to 0. if WAS_LOSS is true: set CWND to CWND_TIMEDOUT"
// (figure 24), "being 1*SMSS"; otherwise the initial window, but a window that is
// smaller is not raised. An infinite threshold stays infinite after a pause, so that
// what begins after it has a slow start; after a loss it becomes 3/4 of the window.
func TestRFC7016_A_2_Figure24(t *testing.T) {
	const infinite = math.MaxInt32
	for _, c := range []struct {
		window, threshold int32
		loss              bool
		wantW, wantT      int32
	}{
		{40_000, 10_000, true, 1200, 30_000},
		{40_000, 35_000, true, 1200, 35_000},
		{40_000, infinite, true, 1200, 30_000},
		{40_000, 10_000, false, 12_000, 30_000},
		{12_000, infinite, false, 12_000, infinite},
		{5_000, 10_000, false, 5_000, 10_000},
	} {
		w := window{}
		w.init(1200)
		w.window, w.threshold, w.accumulated = c.window, c.threshold, 77
		w.timeout(c.loss, 9)
		if w.window != c.wantW || w.threshold != c.wantT || w.accumulated != 0 {
			t.Errorf("%+v: got window %d, threshold %d, accumulated %d", c, w.window, w.threshold, w.accumulated)
		}
	}
}
