package figure

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// Names are the interface to whoever reads results: each is there once, tells
// its unit, and has a sentence.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range All {
		if seen[f.Name] {
			t.Errorf("%s is there twice", f.Name)
		}
		seen[f.Name] = true
		if Unit(f.Name) == "" && !strings.HasSuffix(f.Name, "_ratio") && !strings.HasSuffix(f.Name, "_count") {
			t.Errorf("%s does not end with a unit", f.Name)
		}
		if !strings.HasSuffix(f.Text, ".") || f.Group == "" {
			t.Errorf("%s: no sentence or no group", f.Name)
		}
	}
	if f, ok := Find("recovery_s.shock1"); !ok || f.Name != "recovery_s" {
		t.Errorf("recovery_s.shock1: got %v, %v", f, ok)
	}
	for _, name := range []string{"recovery_s", "delay_p99_ms.fiber", "delay"} {
		if _, ok := Find(name); ok {
			t.Errorf("%s: got a figure, want none", name)
		}
	}
	names := []string{"events_count", "recovery_s.b", "recovery_s.a", "startup_p50_ms"}
	slices.SortFunc(names, Order)
	if names[0] != "startup_p50_ms" || names[1] != "recovery_s.a" || names[3] != "events_count" {
		t.Errorf("got the order %q", names)
	}
}

func TestSummarize(t *testing.T) {
	s := Summarize([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	// By hand: deviation 3.0277, t 2.262, root of 10.
	if s.Mean != 5.5 || math.Abs(s.CI95-2.1657) > 0.001 || s.Min != 1 || s.Max != 10 || s.N != 10 {
		t.Errorf("got %+v", s)
	}
	if s := Summarize([]float64{7}); s.Mean != 7 || s.CI95 != 0 {
		t.Errorf("one value: got %+v", s)
	}
	for freedom, want := range map[int]float64{1: 12.706, 9: 2.262, 30: 2.042, 40: 2.021, 99: 1.984, 10000: 1.960} {
		if got := student95(freedom); math.Abs(got-want) > 0.002 {
			t.Errorf("t for %d degrees of freedom: got %.4f, want %.3f", freedom, got, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var h, even, odd Histogram
	var all []uint64
	for i := range 10_000 {
		v := rng.Uint64N(1 << (1 + rng.Uint64N(30)))
		all = append(all, v)
		h.Add(v, 1)
		if i%2 == 0 {
			even.Add(v, 1)
		} else {
			odd.Add(v, 1)
		}
	}
	slices.Sort(all)
	even.Merge(&odd)
	for _, q := range []float64{0.01, 0.25, 0.5, 0.95, 0.99, 1} {
		want := float64(all[int(math.Ceil(q*float64(len(all))))-1])
		got := h.Quantile(q)
		if math.Abs(got-want) > want/100+1 {
			t.Errorf("quantile %v: got %v, want %v within 1 %%", q, got, want)
		}
		if other := even.Quantile(q); other != got {
			t.Errorf("quantile %v of merged halves: got %v, want %v", q, other, got)
		}
	}
	points := h.Points(100)
	if n := len(points); n > 101 || points[n-1].Share != 1 || points[n-1].Value != h.Max() {
		t.Errorf("got %d points that end with %+v", n, points[n-1])
	}
	if got := h.Share(all[len(all)/2]); got < 0.49 || got > 0.52 {
		t.Errorf("share up to the median: got %v", got)
	}
	if !math.IsNaN(new(Histogram).Quantile(0.5)) {
		t.Error("an empty histogram has a median")
	}
	for v := uint64(0); v < 1<<40; v = v*3/2 + 1 {
		if low, high := boundsOf(bucketOf(v)); float64(v) < low || float64(v) >= high {
			t.Errorf("%d is in a bucket from %v to %v", v, low, high)
		}
	}
}

// The documentation lists every figure as it is here.
func TestFiguresAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range All {
		name := f.Name
		if f.PerName {
			name += ".NAME"
		}
		row := "| `" + name + "` | " + [...]string{"–", "less", "more"}[f.Better] + " | " + f.Text + " |"
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/reports.md lacks this row:\n%s", row)
		}
	}
}
