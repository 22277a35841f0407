package files

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// table prints medians of the runs, and how the swarms compare.
func table(out io.Writer, w Work, results []Result) {
	delivered := float64(w.Size) * float64(w.Leechers)
	var names []string
	for _, r := range results {
		if !slices.Contains(names, r.Swarm) {
			names = append(names, r.Swarm)
		}
	}
	figure := func(name string, f func(r *Result) float64) (median, least, most float64) {
		var v []float64
		for i := range results {
			if r := &results[i]; r.Swarm == name && r.Failure == "" {
				v = append(v, f(r))
			}
		}
		if len(v) == 0 {
			return math.NaN(), math.NaN(), math.NaN()
		}
		slices.Sort(v)
		return v[len(v)/2], v[0], v[len(v)-1]
	}
	rows := []struct {
		what string
		f    func(r *Result) float64
	}{
		{"the last is done after, s", (*Result).Last},
		{"MB delivered per CPU-second", func(r *Result) float64 { return delivered / 1e6 / r.CPU }},
		{"copies that the seed sent", func(r *Result) float64 { return float64(r.Seed) / float64(w.Size) }},
		{"memory of all, MiB", func(r *Result) float64 { return float64(r.Memory) / (1 << 20) }},
	}
	if w.Limit > 0 {
		// What a fluid could do: the seed's uplink, and all uplinks together.
		u, n, f := float64(w.Limit), float64(w.Leechers), float64(w.Size)
		bound := max(f/u, n*f/(u*(n+1)))
		rows = append(rows, struct {
			what string
			f    func(r *Result) float64
		}{fmt.Sprintf("last / fluid bound of %.1f s", bound), func(r *Result) float64 { return r.Last() / bound }})
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d leechers, %d MiB\t", w.Leechers, w.Size>>20)
	for _, n := range names {
		fmt.Fprintf(t, "%s\t", n)
	}
	fmt.Fprintln(t, "ratio\t")
	for _, row := range rows {
		fmt.Fprintf(t, "%s\t", row.what)
		var medians []float64
		for _, n := range names {
			m, least, most := figure(n, row.f)
			medians = append(medians, m)
			fmt.Fprintf(t, "%.4g (%.4g–%.4g)\t", m, least, most)
		}
		if len(medians) > 1 {
			fmt.Fprintf(t, "%.3g\t", medians[0]/medians[1])
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}
