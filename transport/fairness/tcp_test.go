package fairness

import (
	"math"
	"time"

	"rtmfp/internal/clock"
)

// tcp is a model of Linux' TCP with CUBIC, SACK, proportional rate reduction,
// and HyStart that always has more to send: what decides about its share of a
// bottleneck, and nothing else. Each transmission has a number of its own, and
// is lost when one that was sent three later or a quarter of a round trip later
// is acknowledged, as with RACK. It was held against the kernel's
// (docs/congestion.md).
type tcp struct {
	w       *world
	next    int // number of the next transmission
	sent    flight
	head    int   // the lowest number that is not accounted for
	segment int   // the next new segment
	again   []int // segments that are lost, to be sent again
	seen    int   // bytes that left the bottleneck

	window, threshold float64 // in segments
	recovery          int     // numbers below were sent before the last cut
	highest           int     // acknowledged
	recovering        bool    // by proportional rate reduction (RFC 6937)
	flight            int     // RecoverFS of RFC 6937
	delivered, out    int     // prr_delivered and prr_out

	epoch           clock.Time
	origin, period  float64
	last, reno      float64
	srtt, base      time.Duration
	roundEnd        int
	roundLeast      time.Duration
	roundSamples    int
	alarm           clock.Time
	alarmSet        bool
	waiting         []int // at the receiver, not acknowledged
	waitingSince    clock.Time
	upTo            int          // the receiver has all segments below
	beyond          map[int]bool // and these
	probed, probing bool         // tail-loss probe: sent since the last acknowledgement, due
	cuts, timeouts  int
	cut             []clock.Time // when the window was cut
	latest          clock.Time   // arrival of the last acknowledgement
}

// transmission is a segment on its way.
type transmission struct {
	at      clock.Time
	segment int
}

// flight is the transmissions in the network, by number. Those that landed have
// no time.
type flight struct {
	all   []transmission
	first int // number of all[0]
	count int
}

// add takes the next number.
func (f *flight) add(t transmission) {
	f.all = append(f.all, t)
	f.count++
}

func (f *flight) get(n int) (transmission, bool) {
	if n < f.first || n >= f.first+len(f.all) || f.all[n-f.first].at == 0 {
		return transmission{}, false
	}
	return f.all[n-f.first], true
}

// take takes one out.
func (f *flight) take(n int) (transmission, bool) {
	t, ok := f.get(n)
	if ok {
		f.all[n-f.first].at = 0
		f.count--
		for len(f.all) > 0 && f.all[0].at == 0 {
			f.all = f.all[1:]
			f.first++
		}
	}
	return t, ok
}

const (
	segment = wholeSize - header // what the link is given for a segment
	cubicC  = 0.4
	beta    = 717.0 / 1024
)

// tcpFlow starts a connection after a time.
func (w *world) tcpFlow(start time.Duration) *tcp {
	c := &tcp{w: w, window: 10, threshold: math.Inf(1), highest: -1, beyond: map[int]bool{}}
	w.after(start, c.send)
	return c
}

func (c *tcp) send() {
	w := c.w
	var b [segment]byte
	for c.sent.count < int(c.window) || c.probing {
		c.probing = false
		n, x := c.next, c.segment
		c.next++
		if len(c.again) > 0 {
			x, c.again = c.again[0], c.again[1:]
		} else {
			c.segment++
		}
		c.sent.add(transmission{w.at, x})
		c.out++
		at, _ := w.link.Pass(w.at, b[:])
		if at == clock.Never {
			continue
		}
		c.seen += wholeSize
		w.schedule(event{at: at, f: func() { c.arrive(n, x) }})
	}
	c.arm()
}

// arm sets the retransmission timeout.
func (c *tcp) arm() {
	rto := max(c.srtt+max(c.srtt, 200*time.Millisecond), 200*time.Millisecond)
	if c.srtt == 0 {
		rto = time.Second
	}
	if !c.probed && c.srtt != 0 {
		rto = min(rto, 2*c.srtt) // tail-loss probe
	}
	c.alarm = c.w.at.Add(rto)
	if !c.alarmSet {
		c.alarmSet = true
		c.w.schedule(event{at: c.alarm, f: c.timeout})
	}
}

func (c *tcp) timeout() {
	c.alarmSet = false
	if c.w.at < c.alarm {
		c.alarmSet = true
		c.w.schedule(event{at: c.alarm, f: c.timeout})
		return
	}
	if !c.probed && c.srtt != 0 {
		c.probed, c.probing = true, true
		c.send()
		return
	}
	c.timeouts++
	c.reduce()
	c.window, c.recovering = 1, false
	for ; c.head < c.next; c.head++ {
		c.lose(c.head)
	}
	c.send()
}

// arrive is the receiver: it acknowledges every second segment, and at once
// while some are missing (RFC 5681 §4.2).
func (c *tcp) arrive(n, x int) {
	urgent := x != c.upTo || len(c.beyond) > 0
	switch {
	case x == c.upTo:
		for c.upTo++; c.beyond[c.upTo]; c.upTo++ {
			delete(c.beyond, c.upTo)
		}
	case x > c.upTo:
		c.beyond[x] = true
	}
	c.waiting = append(c.waiting, n)
	if len(c.waiting) == 1 {
		c.waitingSince = c.w.at
	}
	if urgent || len(c.waiting) >= 2 {
		c.flush()
		return
	}
	since := c.waitingSince
	c.w.after(40*time.Millisecond, func() {
		if len(c.waiting) > 0 && c.waitingSince == since {
			c.flush()
		}
	})
}

func (c *tcp) flush() {
	acks := c.waiting
	c.waiting = nil
	c.w.schedule(event{at: c.w.travel(&c.latest), f: func() { c.acked(acks) }})
}

func (c *tcp) acked(acks []int) {
	now := c.w.at
	newly := 0
	var rtt time.Duration
	for _, n := range acks {
		if t, ok := c.sent.take(n); ok {
			newly++
			rtt = now.Sub(t.at)
			c.highest = max(c.highest, n)
		}
	}
	if newly == 0 {
		return
	}
	if c.srtt == 0 {
		c.srtt, c.base = rtt, rtt
	}
	c.srtt += (rtt - c.srtt) / 8
	c.base = min(c.base, rtt)
	c.probed = false
	flight, lost := c.sent.count+newly, false
	for ; c.head < c.highest; c.head++ {
		if t, ok := c.sent.get(c.head); ok {
			if c.head > c.highest-3 && now.Sub(t.at) < c.srtt+c.base/4 {
				break
			}
			c.lose(c.head)
			lost = lost || c.head >= c.recovery
		}
	}
	switch {
	case lost:
		c.cuts++
		c.cut = append(c.cut, now)
		c.reduce()
		c.recovering, c.flight, c.delivered, c.out = true, flight, 0, 0
		c.recover(newly)
	case c.recovering && c.highest < c.recovery:
		c.recover(newly)
	case c.recovering:
		c.recovering, c.window = false, c.threshold
	case c.window < c.threshold:
		c.window += float64(newly)
		c.hystart(rtt)
	default:
		c.grow(newly)
	}
	c.send()
}

// lose takes a transmission for lost.
func (c *tcp) lose(n int) {
	if t, ok := c.sent.take(n); ok {
		c.again = append(c.again, t.segment)
	}
}

// reduce is the kernel's bictcp_recalc_ssthresh.
func (c *tcp) reduce() {
	c.epoch = 0
	if c.window < c.last {
		c.last = c.window * (1 + beta) / 2
	} else {
		c.last = c.window
	}
	c.threshold = max(c.window*beta, 2)
	c.recovery = c.next
}

// recover sets the window while losses are repaired, so that it comes down to
// the threshold within a round trip (RFC 6937 §3.1 with the slow-start bound).
func (c *tcp) recover(newly int) {
	c.delivered += newly
	pipe := c.sent.count
	send := 0
	if float64(pipe) > c.threshold {
		send = int(math.Ceil(float64(c.delivered)*c.threshold/float64(c.flight))) - c.out
	} else {
		send = min(int(c.threshold)-pipe, max(c.delivered-c.out, newly)+1)
	}
	c.window = float64(pipe + max(send, 0))
}

// hystart ends slow start when the least round trip of a round has risen.
func (c *tcp) hystart(rtt time.Duration) {
	if c.highest >= c.roundEnd {
		c.roundEnd, c.roundLeast, c.roundSamples = c.next, time.Hour, 0
	}
	c.roundLeast = min(c.roundLeast, rtt)
	c.roundSamples++
	limit := min(max(c.base/8, 4*time.Millisecond), 16*time.Millisecond)
	if c.roundSamples >= 8 && c.window >= 16 && c.roundLeast >= c.base+limit {
		c.threshold = c.window
	}
}

// grow is the kernel's bictcp_update.
func (c *tcp) grow(newly int) {
	now := c.w.at
	if c.epoch == 0 {
		c.epoch = now
		if c.window >= c.last {
			c.origin, c.period = c.window, 0
		} else {
			c.origin, c.period = c.last, math.Cbrt((c.last-c.window)/cubicC)
		}
		c.reno = c.window
	}
	t := now.Sub(c.epoch).Seconds() + c.base.Seconds()
	target := c.origin + cubicC*math.Pow(t-c.period, 3)
	count := 100 * c.window
	if target > c.window {
		count = c.window / (target - c.window)
	}
	if c.last == 0 {
		count = min(count, 20)
	}
	c.reno += float64(newly) / c.window * 3 * (1 - beta) / (1 + beta)
	if c.reno > c.window {
		count = min(count, c.window/(c.reno-c.window))
	}
	c.window += float64(newly) / max(count, 2)
}
