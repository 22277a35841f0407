package conformance

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var seeds = flag.Int("seeds", 100, "how often each row of the list runs, each time with other random numbers")

// TestList plays the list on virtual time.
func TestList(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 5)
	}
	for _, row := range list {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var r result
			failed := 0
			for seed := range uint64(n) {
				if err := play(&row, newVirtual(row.net, seed), &r); err != nil {
					t.Errorf("seed %d: %v", seed, err)
					if failed++; failed == 5 {
						t.Fatalf("and so on")
					}
				}
			}
			if row.judge != nil {
				if err := row.judge(&r); err != nil {
					t.Error(err)
				}
			}
			t.Logf("| %s | %d | %s", row.name, n, &r)
		})
	}
}

// play plays a row in a world and returns why it failed.
func play(row *row, w world, r *result) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = fmt.Errorf("at %v: %s (client's packets: %v; server's: %v)", w.now(), p.text, w.stats(client), w.stats(server))
		default:
			panic(p)
		}
	}()
	row.play(w, r)
	return nil
}

// result is the figures of a row, over all seeds.
type result struct {
	names  []string
	values map[string][]float64
}

func (r *result) add(name string, v float64) {
	if r.values == nil {
		r.values = make(map[string][]float64)
	}
	if r.values[name] == nil {
		r.names = append(r.names, name)
	}
	r.values[name] = append(r.values[name], v)
}

// quantile returns a quantile of a figure.
func (r *result) quantile(name string, q float64) float64 {
	v := slices.Sorted(slices.Values(r.values[name]))
	if len(v) == 0 {
		return 0
	}
	return v[int(q*float64(len(v)-1)+0.5)]
}

// below returns an error if a quantile of a figure is above a limit. Few values
// are not judged: what lies beyond the quantile would be chance.
func (r *result) below(name string, q, limit float64) error {
	if len(r.values[name]) < 2000 {
		return nil
	}
	if got := r.quantile(name, q); got > limit {
		return fmt.Errorf("%s: the %g quantile is %.3f, want %g at most", name, q, got, limit)
	}
	return nil
}

// String gives the median, the 99th percentile and the worst of each figure.
func (r *result) String() string {
	var b strings.Builder
	for i, name := range r.names {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %.4g, %.4g, %.4g", name, r.quantile(name, 0.5), r.quantile(name, 0.99), r.quantile(name, 1))
	}
	return b.String()
}
