package group

import (
	"cmp"
	"math"
	"slices"
	"testing"
)

// Figures of several seeds.

// rowSize returns the members and seeds of a measurement: as many as its row
// asks for with -large, otherwise so few that it takes a second or two.
func rowSize(small, big int) (members, seeds int) {
	if !*large {
		return small, 1
	}
	return cmp.Or(*largeMembers, big), *largeSeeds
}

// rowSeeds yields the seeds of a measurement.
func rowSeeds(count int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for seed := *largeFirst; seed < *largeFirst+count && yield(seed); seed++ {
		}
	}
}

// figures are those of several seeds.
type figures struct {
	t      *testing.T
	names  []string
	values map[string][]float64
}

func (f *figures) add(name string, v float64) {
	if f.values == nil {
		f.values = map[string][]float64{}
	}
	if f.values[name] == nil {
		f.names = append(f.names, name)
	}
	f.values[name] = append(f.values[name], v)
	if *large {
		f.t.Logf("%d. %s: %.5g", len(f.values[name]), name, v) // should it not come to its end
	}
}

// tell logs mean and 95 % confidence interval, and the worst and best.
func (f *figures) tell() {
	for _, name := range f.names {
		v := f.values[name]
		mean, ss := 0.0, 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			ss += (x - mean) * (x - mean)
		}
		half := 0.0
		if n := float64(len(v)); n > 1 {
			half = student(len(v)-1) * math.Sqrt(ss/(n-1)/n)
		}
		f.t.Logf("%-40s %10.4g ± %.2g (%.4g to %.4g, %d seeds)", name, mean, half, slices.Min(v), slices.Max(v), len(v))
	}
}

// student is the quantile of Student's t for a two-sided 95 % interval.
func student(free int) float64 {
	table := []float64{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13}
	if free <= len(table) {
		return table[free-1]
	}
	return 2
}

func (f *figures) atMost(name string, limit float64) {
	f.t.Helper()
	if v := slices.Max(f.values[name]); v > limit {
		f.t.Errorf("%s: %.4g, want at most %.4g", name, v, limit)
	}
}
