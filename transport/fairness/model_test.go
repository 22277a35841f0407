package fairness

import (
	"testing"
	"time"
)

// The model alone on a path of 10 Mbit/s that is nearly all queue: 250 kB. The
// kernel's figures for the same are in docs/congestion.md.
func TestModelAlone(t *testing.T) {
	p := path{rate: 10 * mbit, rtt: time.Millisecond, queue: 200}
	w := newWorld(t, p, 1)
	c := w.tcpFlow(0)
	last, peak := c.cuts, 0.0
	var ended time.Duration
	var periods []time.Duration
	var before, after []float64
	for range 7500 {
		if !c.recovering {
			peak = max(peak, c.window)
		}
		w.run(10 * time.Millisecond)
		if c.cuts != last {
			now := time.Duration(w.at)
			if ended != 0 {
				periods = append(periods, (now - ended).Round(10*time.Millisecond))
				before, after = append(before, peak), append(after, c.threshold)
			}
			last, peak, ended = c.cuts, 0, now
		}
	}
	t.Logf("%v between cuts from %.0f to %.0f segments, %d timeouts", periods, before, after, c.timeouts)
	if len(periods) < 3 || c.timeouts > 0 {
		t.Fatalf("got %d periods, %d timeouts", len(periods), c.timeouts)
	}
	for i := range periods[1:] {
		if r := after[i] / before[i]; r < 0.69 || r > 0.71 {
			t.Errorf("cut from %.0f to %.0f, want seven tenths", before[i], after[i])
		}
	}
}
