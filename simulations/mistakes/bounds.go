package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

// Bounds follow one rule: the mean over boundSeeds seeds without a mistake, and
// boundErrors standard errors of a mean over so many seeds as a hunt has. Other
// seeds, as many as two hunts, and those of the hunt itself must keep to them.
// For a figure where they do not all of the seeds are taken together; and if some
// six still do not, as figures of rare things are not distributed normally, the
// bound is their mean.
const (
	boundSeeds  = 18
	huntSeeds   = 6
	boundErrors = 3.5
	firstSeed   = 101 // the hunt has those from 1 on
)

var expectLine = regexp.MustCompile(`^([a-z0-9_.-]+) = "([<>]=) [-+0-9.e]+"$`)

// setBounds writes the bounds of a scenario anew into its file, for the figures
// that it has bounds for.
func setBounds(out io.Writer, file string) error {
	s, err := scenario.Load(file)
	if err != nil {
		return err
	}
	results, err := seeds(s, firstSeed, boundSeeds+2*huntSeeds)
	if err != nil {
		return err
	}
	own, err := seeds(s, 1, huntSeeds)
	if err != nil {
		return err
	}
	results = append(results, own...)
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	for i, line := range lines {
		m := expectLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		e := scenario.Expectation{Figure: m[1], Least: m[2] == ">="}
		if e.Bound, err = boundOf(results[:boundSeeds], e.Figure, e.Least); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for first := boundSeeds; first < len(results); first += huntSeeds {
			if mean, _ := moments(results[first:first+huntSeeds], e.Figure); !e.Holds(mean) {
				fmt.Fprintf(out, "%s: a false alarm with %s: got %.4g\n", base(file), e, mean)
				e.Bound, _ = boundOf(results, e.Figure, e.Least)
				if !e.Holds(mean) {
					e.Bound = rounded(mean, outward(e.Least))
				}
			}
		}
		lines[i] = fmt.Sprintf("%s = %q", m[1], m[2]+" "+strconv.FormatFloat(e.Bound, 'f', -1, 64))
		fmt.Fprintf(out, "%s: %s\n", base(file), lines[i])
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644)
}

// seeds runs a scenario with some seeds, none of which may break an invariant.
func seeds(s *scenario.Scenario, first, count int) ([]*run.Result, error) {
	var list []uint64
	for i := range count {
		list = append(list, uint64(first+i))
	}
	results, err := run.Seeds(context.Background(), s, list, 0, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.Breach != nil {
			return nil, fmt.Errorf("%s: %w", s.FullName(), r.Breach)
		}
	}
	return results, nil
}

// moments returns the mean of a figure over the runs that have it, and its
// standard deviation.
func moments(results []*run.Result, name string) (mean, deviation float64) {
	var all []float64
	for _, r := range results {
		if v, ok := r.Figures[name]; ok {
			all = append(all, v)
			mean += v
		}
	}
	n := float64(len(all))
	mean /= n
	sum := 0.0
	for _, v := range all {
		sum += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sum / max(n-1, 1))
}

// boundOf returns the bound of a figure by the rule, with three digits.
func boundOf(results []*run.Result, name string, least bool) (float64, error) {
	if !slices.ContainsFunc(results, func(r *run.Result) bool { _, ok := r.Figures[name]; return ok }) {
		return 0, fmt.Errorf("the runs do not have the figure %s", name)
	}
	mean, deviation := moments(results, name)
	room := boundErrors * deviation / math.Sqrt(huntSeeds)
	if least {
		room = -room
	}
	return rounded(mean+room, outward(least)), nil
}

// outward returns how a bound is rounded, so that it is none the narrower.
func outward(least bool) func(float64) float64 {
	if least {
		return math.Floor
	}
	return math.Ceil
}

// rounded returns v with three digits, rounded by a function.
func rounded(v float64, by func(float64) float64) float64 {
	if v == 0 {
		return 0
	}
	digits := 3 - int(math.Ceil(math.Log10(math.Abs(v))+1e-12))
	// What a multiplication adds at the end must not make a digit of it.
	scaled := v * math.Pow10(digits)
	if near := math.Round(scaled); math.Abs(scaled-near) < 1e-9 {
		scaled = near
	}
	r, _ := strconv.ParseFloat(strconv.FormatFloat(by(scaled)*math.Pow10(-digits), 'g', 4, 64), 64)
	return r
}
