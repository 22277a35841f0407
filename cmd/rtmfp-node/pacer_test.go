package main

import (
	"testing"
	"time"
)

// Frames that come at once go as they were published, and those that come late or after a
// step of the clock do not wait.
func TestPacer(t *testing.T) {
	var p pacer
	now, sent := time.Unix(1000, 0), time.Unix(400, 0)
	for i, step := range []struct{ now, sent, want time.Duration }{
		{0, 0, 0},
		{0, time.Second, time.Second},
		{1500 * time.Millisecond, 2 * time.Second, 500 * time.Millisecond},
		{5 * time.Second, 3 * time.Second, 0},
		{5 * time.Second, 40 * time.Second, 0}, // a step
		{5 * time.Second, 41 * time.Second, time.Second},
	} {
		if got := p.due(now.Add(step.now), sent.Add(step.sent)); got != step.want {
			t.Errorf("step %d: waits %v, want %v", i, got, step.want)
		}
	}
	if got := p.due(now, time.Time{}); got != 0 {
		t.Errorf("without a time: waits %v", got)
	}
}
