package simulations

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// pass sends n datagrams of 1000 bytes over a link, every apart, and returns
// what came.
func pass(t *testing.T, l Link, n int, every time.Duration) (*Network, []arrival) {
	t.Helper()
	w := New(Config{Seed: 5, Link: func(int, int) Link { return l }})
	a, b := addScript(t, w, NodeConfig{}), addScript(t, w, NodeConfig{})
	for range n {
		a.send(b.node.Addr, 1000)
		w.Run(every)
	}
	w.Run(time.Minute)
	if err := w.conserved(); err != nil {
		t.Error(err)
	}
	return w, b.got
}

func TestLinkLoss(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		name string
		l    Link
		want float64
	}{
		{"random", Link{Loss: 0.1}, 0.1},
		{"bursts", Link{Burst: &Burst{Good: 900 * ms, Bad: 100 * ms}}, 0.1},
		{"weak bursts", Link{Burst: &Burst{Good: 500 * ms, Bad: 500 * ms, Loss: 0.4}}, 0.2},
	} {
		_, got := pass(t, c.l, n, 10*ms)
		lost := 1 - float64(len(got))/n
		if math.Abs(lost-c.want) > 0.015 {
			t.Errorf("%s: lost %.3f, want %.3f", c.name, lost, c.want)
		}
		// Losses 10 ms apart come together in bursts of 100 ms, not by chance.
		pairs, last := 0, clock.Time(0)
		for _, a := range got {
			if a.at.Sub(last) == 20*ms {
				pairs++ // a single loss
			}
			last = a.at
		}
		if single := float64(pairs) / (lost * n); (single > 0.5) != (c.name == "random") && c.name != "weak bursts" {
			t.Errorf("%s: %.2f of the losses are single", c.name, single)
		}
	}
}

func TestLinkOrder(t *testing.T) {
	overtaken := func(got []arrival) (n int) {
		for i := 1; i < len(got); i++ {
			if got[i].at < got[i-1].at {
				t.Fatal("arrivals are not in the order of time")
			}
		}
		return n
	}
	// By size one can tell them apart.
	run := func(l Link) (disorder int) {
		w := New(Config{Seed: 1, Link: func(int, int) Link { return l }})
		a, b := addScript(t, w, NodeConfig{}), addScript(t, w, NodeConfig{})
		for i := range 1000 {
			a.send(b.node.Addr, 100+i)
			w.Run(ms)
		}
		w.Run(time.Second)
		overtaken(b.got)
		for i := 1; i < len(b.got); i++ {
			if b.got[i].size < b.got[i-1].size {
				disorder++
			}
		}
		return disorder
	}
	if n := run(Link{Jitter: 20 * ms}); n < 100 {
		t.Errorf("jitter: %d of 1000 overtaken, want many", n)
	}
	if n := run(Link{Jitter: 20 * ms, Ordered: true}); n != 0 {
		t.Errorf("ordered jitter: %d of 1000 overtaken, want none", n)
	}
	if n := run(Link{Reorder: 0.1}); n < 60 || n > 140 {
		t.Errorf("reordering of 0.1: %d of 1000 overtaken", n)
	}
}

func TestLinkDuplicateCorruptMTU(t *testing.T) {
	w, got := pass(t, Link{Duplicate: 0.2, Corrupt: 0.3}, 5000, ms)
	if n := len(got); n < 5850 || n > 6150 {
		t.Errorf("duplicates: %d of 5000 arrived, want some 6000", n)
	}
	changed := 0
	for _, a := range got {
		if a.sum != 0 {
			changed++
		}
	}
	if changed < 1300 || changed > 1700 || w.Stats().Corrupted < uint64(changed) {
		t.Errorf("corruption: %d of 5000 changed, %d counted, want some 1500", changed, w.Stats().Corrupted)
	}
	if w, got := pass(t, Link{MTU: 999}, 10, ms); len(got) != 0 || w.Stats().Dropped[DropSize] != 10 {
		t.Errorf("MTU: %d larger ones arrived, %d dropped for their size", len(got), w.Stats().Dropped[DropSize])
	}
}

func TestExponential(t *testing.T) {
	rng := rand.NewPCG(1, 2)
	const n = 200_000
	var sum, over float64
	for range n {
		d := Exponential(rng, time.Second)
		sum += d.Seconds()
		if d > 2*time.Second {
			over++
		}
	}
	if mean := sum / n; math.Abs(mean-1) > 0.01 {
		t.Errorf("mean %.4f, want 1", mean)
	}
	if want := math.Exp(-2); math.Abs(over/n-want) > 0.005 {
		t.Errorf("%.4f are over twice the mean, want %.4f", over/n, want)
	}
	for _, c := range []struct {
		v    uint64
		want float64
	}{{1 << 63, 1}, {1, 64}, {1<<64 - 1, 0}, {3 << 62, -math.Log2(0.75)}, {0x123456789abcdef0, -math.Log2(float64(0x123456789abcdef0) / 0x1p64)}} {
		if got := float64(negLog2(c.v)) / (1 << 32); math.Abs(got-c.want) > 1e-8 {
			t.Errorf("-log2 of %x/2^64: got %.10f, want %.10f", c.v, got, c.want)
		}
	}
}
