package node

import (
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	var h histogram
	for us := 1; us <= 100_000; us++ {
		h.add(time.Duration(us) * time.Microsecond)
	}
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 50 * time.Millisecond}, {0.95, 95 * time.Millisecond}, {0.99, 99 * time.Millisecond}, {1, 100 * time.Millisecond}} {
		got := h.quantile(c.q)
		if got < c.want || got > c.want+c.want/30 {
			t.Errorf("quantile %v: got %v, want %v to +3.3 %%", c.q, got, c.want)
		}
	}
	if h.max != 100*time.Millisecond {
		t.Errorf("max: got %v, want 100ms", h.max)
	}
}

// Every value lies in a bucket whose upper bound is not below it and at most a
// 32nd above it.
func TestHistogramBuckets(t *testing.T) {
	for v := uint64(0); v < 1<<32; v = v + v/50 + 1 {
		i := bucketOf(v)
		if up := upperOf(i); up < v || up > v+v/32+1 {
			t.Fatalf("bucket %d of %d: upper bound %d", i, v, up)
		}
		if i > 0 && upperOf(i-1) >= v {
			t.Fatalf("value %d belongs into a bucket below %d", v, i)
		}
	}
}

func TestHistogramHuge(t *testing.T) {
	var h histogram
	h.add(1000 * time.Hour)
	if got := h.quantile(0.99); got > 1000*time.Hour {
		t.Errorf("quantile of one huge value: got %v", got)
	}
}
