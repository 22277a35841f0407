package transport

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// report of an acknowledgement of a filled window, for a law.
func filled(c *congestion, now clock.Time, acked int32) report {
	return report{now: now, before: c.window, acked: acked, lag: 40 * time.Millisecond, srtt: 40 * time.Millisecond, highest: 100, next: 200}
}

// RFC 7016 §3.5.2.1: "a Time Critical Reverse Notification indication has been
// received from the far end within the last 800 milliseconds": a receiver of
// time-critical data tells all other senders, for as long as that after the last
// of it.
func TestTimeCriticalReverseNotification(t *testing.T) {
	n := newNetwork(t, 1)
	live, bulk, to := n.add("live", modern, nil), n.add("bulk", modern, nil), n.add("to", modern, nil)
	sl, _ := n.connect(live, to)
	sb, _ := n.connect(bulk, to)
	fl := open(t, sl, n.now, FlowOptions{Metadata: []byte("l"), TimeCritical: true})
	fb := open(t, sb, n.now, FlowOptions{Metadata: []byte("b")})
	send(t, fb, n.now, numbered(1, 100), SendOptions{})
	n.run(time.Second)
	if sb.congestion.reverseUntil > n.now {
		t.Fatal("notified before there is time-critical data")
	}
	for range 20 {
		send(t, fl, n.now, numbered(1, 100), SendOptions{})
		send(t, fb, n.now, numbered(1, 100), SendOptions{})
		n.run(50 * time.Millisecond)
	}
	if sb.congestion.reverseUntil <= n.now {
		t.Error("the bulk sender was not notified")
	}
	if sl.congestion.reverseUntil > n.now {
		t.Error("the time-critical sender was notified of itself")
	}
	n.run(2 * time.Second)
	send(t, fb, n.now, numbered(1, 100), SendOptions{})
	n.run(500 * time.Millisecond)
	if sb.congestion.reverseUntil > n.now {
		t.Error("still notified two seconds after the last time-critical data")
	}
}

// Which law rules follows from what is sent, at each packet anew.
func TestLaws(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(c *congestion, r *report)
		want   law
	}{
		{"little", func(c *congestion, r *report) { c.bulk = nil }, appendixA{}},
		{"bulk", func(c *congestion, r *report) {}, cubic{}},
		{"time critical", func(c *congestion, r *report) { c.criticalUntil = r.now + 1 }, appendixA{}},
		{"time critical and notified", func(c *congestion, r *report) { c.criticalUntil, c.reverseUntil = r.now+1, r.now+1 }, appendixA{}},
		{"notified", func(c *congestion, r *report) { c.reverseUntil = r.now + 1 }, background{critical: true}},
		{"time critical elsewhere", func(c *congestion, r *report) { r.elsewhere = true }, background{critical: true}},
		{"background", func(c *congestion, r *report) { c.sending(r.now, true) }, background{}},
		{"background and other", func(c *congestion, r *report) { c.sending(r.now, true); c.sending(r.now, false) }, cubic{}},
	} {
		var g congestion
		g.init(1200)
		g.bulk = &bulk{}
		r := filled(&g, clock.Time(time.Hour), 2400)
		c.change(&g, &r)
		if got := g.choose(r); got != c.want {
			t.Errorf("%s: got %#v, want %#v", c.name, got, c.want)
		}
	}
}

// RFC 9438 §4.6: the window is cut to seven tenths, once in a round trip; §4.2:
// it is back at where it was after K, and grows slowly there.
func TestCubic(t *testing.T) {
	var c congestion
	c.init(1000)
	c.window, c.threshold = 1_000_000, 500_000
	c.bulk = &bulk{}
	c.bulk.base = [2]time.Duration{40 * time.Millisecond, 40 * time.Millisecond}
	c.bulk.recent = [2]time.Duration{80 * time.Millisecond, 80 * time.Millisecond} // there is a queue
	now := clock.Time(time.Hour)
	r := filled(&c, now, 0)
	r.lag, r.lost, r.highest, r.next = 0, true, 100, 200
	c.acknowledged(r)
	if c.window != 700_000 || c.recovery != 200 {
		t.Fatalf("after the cut: got %d, want 700000", c.window)
	}
	// K is the cube root of 300 segments by 0.4: 9.09 s.
	at := map[int]int32{}
	for ms := 0; ms <= 12_000; ms += 40 {
		r := filled(&c, now.Add(time.Duration(ms)*time.Millisecond), c.window)
		r.lag, r.highest = 0, 300
		c.acknowledged(r)
		at[ms/1000] = c.window
	}
	if at[3] < 850_000 || at[3] > 950_000 {
		t.Errorf("after 4 s: got %d, want 1000000 less 0.4 × 5.1³ segments of 1000, which is 947000, as a window before", at[3])
	}
	if at[9] < 995_000 || at[9] > 1_010_000 {
		t.Errorf("after 10 s: got %d, want about 1000000", at[9])
	}
	if at[11] < 1_005_000 || at[11] > 1_030_000 {
		t.Errorf("after 12 s: got %d, want about 1010000", at[11])
	}
}

// A loss without a queue cuts by half as much again as is lost, as long as that
// is not much; with one it is CUBIC's.
func TestChanceLoss(t *testing.T) {
	for _, c := range []struct {
		lag     time.Duration
		missing int32
		want    int32
	}{
		{40 * time.Millisecond, 1000, 98_500},
		{40 * time.Millisecond, 5000, 92_500},
		{40 * time.Millisecond, 20_000, 70_000},
		{60 * time.Millisecond, 1000, 70_000},
	} {
		var g congestion
		g.init(1000)
		g.window, g.threshold = 100_000, 50_000
		g.arrived, g.missing = 100_000-c.missing, c.missing
		g.bulk = &bulk{}
		g.bulk.base = [2]time.Duration{40 * time.Millisecond, 40 * time.Millisecond}
		g.bulk.turn, g.bulk.peak = clock.Never, 20*time.Millisecond
		g.bulk.recent = [2]time.Duration{c.lag, c.lag}
		r := filled(&g, clock.Time(time.Hour), 0)
		r.lag, r.lost = 0, true
		g.acknowledged(r)
		if g.window != c.want {
			t.Errorf("%+v: got %d", c, g.window)
		}
	}
}

// Background senders pause where there is no room, and time-critical data
// elsewhere makes others fall silent for two round trips, once.
func TestBackgroundGivesWay(t *testing.T) {
	var g congestion
	g.init(1000)
	g.window = 100_000
	g.bulk = &bulk{}
	g.bulk.base = [2]time.Duration{40 * time.Millisecond, 40 * time.Millisecond}
	g.bulk.turn = clock.Never
	g.bulk.recent = [2]time.Duration{41 * time.Millisecond, 41 * time.Millisecond}
	now := clock.Time(time.Hour)
	g.reverseUntil = now.Add(time.Second)
	g.acknowledged(filled(&g, now, 1000))
	if got := g.bulk.pause.Sub(now); got != 80*time.Millisecond {
		t.Errorf("pause: got %v, want two round trips", got)
	}
	window, pause := g.window, g.bulk.pause
	if window > 51_000 {
		t.Errorf("window: got %d, want half", window)
	}
	r := filled(&g, now.Add(100*time.Millisecond), 1000)
	r.lag, r.highest = 0, 300
	g.acknowledged(r)
	if g.bulk.pause != pause || g.window < window {
		t.Errorf("a round trip later: got %d and another pause, want growth from %d", g.window, window)
	}
}

// RFC 7016 §3.5.2.1: "a sender MUST behave as though the slow start threshold
// SSTHRESH is clamped to 0 … on a session where a Time Critical Reverse
// Notification … indication has been received", and "During each round trip, a
// sender SHOULD NOT increase the transmission budget by more than 0.5% or by 384
// bytes per round trip (whichever is greater)".
func TestGrowthUnderNotification(t *testing.T) {
	for _, window := range []int32{20_000, 400_000} {
		var g congestion
		g.init(1000)
		g.window = window
		g.bulk = &bulk{}
		g.bulk.critical = true // for a while already
		g.bulk.base = [2]time.Duration{40 * time.Millisecond, 40 * time.Millisecond}
		g.bulk.turn = clock.Never
		g.bulk.recent = [2]time.Duration{40 * time.Millisecond, 40 * time.Millisecond}
		now := clock.Time(time.Hour)
		g.reverseUntil = now.Add(time.Second)
		for left := window; left > 0; left -= 2000 {
			r := filled(&g, now, 2000)
			r.lag = 0
			g.acknowledged(r)
		}
		if grown := g.window - window; grown <= 0 || grown > max(384, window/200) {
			t.Errorf("%d grew by %d, want at most %d", window, grown, max(384, window/200))
		}
	}
}
