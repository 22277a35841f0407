package impair

import (
	"bytes"
	"math"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// pass sends n packets of 1000 bytes, every apart, and returns when they arrived.
func pass(l *Link, n int, every time.Duration) (at []clock.Time) {
	for i := range n {
		t, _ := l.Pass(clock.Time(i)*clock.Time(every), make([]byte, 1000))
		at = append(at, t)
	}
	return at
}

func TestBottleneck(t *testing.T) {
	// 1000 bytes take 1 ms at 8 Mbit/s. Of eight at once, one is sent, four
	// wait, three are lost.
	l := NewLink(Config{Rate: 8_000_000, Queue: 4, Delay: 10 * time.Millisecond}, 1)
	at := pass(l, 8, 0)
	for i, got := range at {
		want := clock.Time(10+i+1) * clock.Time(time.Millisecond)
		if i >= 5 {
			want = clock.Never
		}
		if got != want {
			t.Errorf("packet %d: got %v, want %v", i, got, want)
		}
	}
	if got := l.Stats().QueueFull; got != 3 {
		t.Errorf("queue full: got %d, want 3", got)
	}
	// A queue of 3500 bytes holds three of them beside the one that is being
	// sent, and a short one, but not a byte more.
	l = NewLink(Config{Rate: 8_000_000, QueueBytes: 3500}, 1)
	pass(l, 5, 0)
	short, _ := l.Pass(0, make([]byte, 500))
	none, _ := l.Pass(0, make([]byte, 1))
	later, _ := l.Pass(clock.Time(time.Millisecond), make([]byte, 1000))
	if got := l.Stats().QueueFull; got != 2 || short != clock.Time(4500*time.Microsecond) || none != clock.Never || later != clock.Time(5500*time.Microsecond) {
		t.Errorf("queue of bytes: got %d full, %v, %v, %v, want 2 full, 4.5 ms, never, 5.5 ms", got, short, none, later)
	}
	l = NewLink(Config{Rate: 8_000_000, Header: 28}, 1)
	if at := pass(l, 1000, 0); at[999] != clock.Time(1028*time.Millisecond) {
		t.Errorf("with headers: got %v, want 1.028 s", at[999])
	}
}

func TestOutage(t *testing.T) {
	l := NewLink(Config{On: 5 * time.Second, Off: 2 * time.Second}, 1)
	for i, got := range pass(l, 21, time.Second) {
		if want := i%7 >= 5; (got == clock.Never) != want {
			t.Errorf("second %d: lost %v, want %v", i, got == clock.Never, want)
		}
	}
}

func TestLoss(t *testing.T) {
	for _, c := range []struct {
		cfg         Config
		share       float64
		least, most int // length of runs of losses
	}{
		{Config{Loss: 0.3}, 0.3, 1, 1000},
		{Config{Loss: 0.3, Burst: 3}, 0.3, 3, 1000},
		{Config{Loss: 0.3, MaxRun: 3}, 0.295, 1, 3},
		{Config{Loss: 0.02, Burst: 3}, 0.02, 3, 1000},
	} {
		lost, run := 0, 0
		const n = 200_000
		for _, at := range pass(NewLink(c.cfg, 7), n, time.Millisecond) {
			if at == clock.Never {
				lost++
				run++
				continue
			}
			if run > 0 && (run < c.least || run > c.most) {
				t.Fatalf("%+v: %d losses in succession, want %d to %d", c.cfg, run, c.least, c.most)
			}
			run = 0
		}
		if got := float64(lost) / n; math.Abs(got-c.share) > 0.01*c.share+0.003 {
			t.Errorf("%+v: lost %.4f, want %.3f", c.cfg, got, c.share)
		}
	}
}

func TestCorruptDuplicateMTU(t *testing.T) {
	l := NewLink(Config{Corrupt: 0.5, Duplicate: 0.25, MTU: 1200, DropList: []int{2, 3}}, 3)
	changed, twice := 0, 0
	for i := range 1000 {
		b := make([]byte, 1200)
		at, again := l.Pass(0, b)
		if (at == clock.Never) != (i == 1 || i == 2) {
			t.Fatalf("packet %d: got %v", i+1, at)
		}
		if !bytes.Equal(b, make([]byte, 1200)) {
			changed++
		}
		if again != clock.Never {
			twice++
		}
	}
	if changed < 400 || changed > 600 || twice < 180 || twice > 320 {
		t.Errorf("%d changed and %d twice of 1000", changed, twice)
	}
	if at, _ := l.Pass(0, make([]byte, 1201)); at != clock.Never {
		t.Errorf("a packet over the MTU passed")
	}
}
