package transport

import (
	"testing"
	"time"
)

// "Upon the receipt by an ECN-Capable transport of a single CE packet, the
// congestion control algorithms followed at the end-systems MUST be essentially
// the same as the congestion control response to a *single* dropped packet."
// (RFC 3168 §5) That is once per round trip, and never taken for chance.
func TestCongestionMarked(t *testing.T) {
	for _, c := range []struct {
		name     string
		critical bool
		least    int32 // what is left of the window, in percent
		most     int32
	}{{"bulk", false, 69, 71}, {"critical", true, 87, 88}} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, 1)
			n.latency = 20 * time.Millisecond
			a, b := n.add("a", modern, func(c *Config) { c.SendBuffer = 64 << 20 }), n.add("b", modern, nil)
			s, _ := n.connect(a, b)
			f := open(t, s, n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: c.critical})
			for range 400 {
				send(t, f, n.now, numbered(1, 50_000), SendOptions{})
			}
			n.run(400 * time.Millisecond)
			cut := func() bool {
				before := s.congestion.window
				s.congestionMarked(n.now)
				after := s.congestion.window
				if after != before && (after < before*c.least/100-1 || after > before*c.most/100+1) {
					t.Errorf("window: got %d of %d, want %d to %d %%", after, before, c.least, c.most)
				}
				return after < before
			}
			if !cut() {
				t.Error("the first mark: no cut")
			}
			for range 3 {
				n.run(10 * time.Millisecond)
				if cut() {
					t.Error("a mark within the same round trip: the window was cut again")
				}
			}
			n.run(40 * time.Millisecond)
			if !cut() {
				t.Error("a mark in the next round trip: no cut")
			}
			if got := s.Stats().Lost; got != 0 {
				t.Errorf("lost: got %d, want none", got)
			}
		})
	}
}

// A newcomer needs room: a window that is cut below the one before leaves some
// (RFC 9438 §4.7).
func TestFastConvergence(t *testing.T) {
	c := congestion{}
	c.init(1000)
	c.bulk = &bulk{}
	c.window = 1_000_000
	cubic{}.lost(&c, report{marked: true})
	if c.window != 700_000 || c.bulk.summit != 1_000_000 {
		t.Errorf("first cut: got %d, summit %d, want 700000 and 1000000", c.window, c.bulk.summit)
	}
	c.window = 900_000
	cubic{}.lost(&c, report{marked: true})
	if c.window != 630_000 || c.bulk.summit != 870_000 {
		t.Errorf("below the summit: got %d, summit %d, want 630000 and 870000", c.window, c.bulk.summit)
	}
}
