package gossip

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// column is a figure of a run. Less is better in all but the first.
type column struct {
	head   string
	format string
	value  func(e *entry) float64
	spread bool // the range over the seeds stands beside the median
	plain  bool // no ratio
}

var columns = []column{
	{"delivered, %", "%.4g", func(e *entry) float64 {
		return 100 * float64(e.Result.Delivered) / float64(e.Result.Expected)
	}, false, true},
	{"delay p50, ms", "%.0f", func(e *entry) float64 { return e.Result.Delay.P50 }, true, false},
	{"p95", "%.0f", func(e *entry) float64 { return e.Result.Delay.P95 }, true, false},
	{"p99", "%.0f", func(e *entry) float64 { return e.Result.Delay.P99 }, true, false},
	{"mean ÷ direct", "%.2f", func(e *entry) float64 { return e.Result.Delay.Mean / e.Result.Direct.Mean }, false, false},
	{"copies", "%.3f", func(e *entry) float64 { return e.Result.Copies }, true, false},
	{"sent per node, Mbit/s", "%.3g", func(e *entry) float64 { return e.rate(e.Result.Sent.Mean) }, false, false},
	{"busiest node", "%.3g", func(e *entry) float64 { return e.rate(e.Result.Sent.Max) }, false, false},
	{"CPU per node, ms/s", "%.2f", func(e *entry) float64 {
		return 1000 * e.Result.CPU / float64(e.Scenario.Nodes) / e.published()
	}, false, false},
	{"memory per node, MB", "%.2f", func(e *entry) float64 {
		return float64(e.Result.Heap) / float64(e.Scenario.Nodes) / 1e6
	}, false, false},
}

// published returns for how many seconds messages were published.
func (e *entry) published() float64 {
	return float64(e.Scenario.messages()) * e.Scenario.Every.Seconds()
}

// rate turns what was sent from the first message to the end into Mbit for each
// second in which messages were published.
func (e *entry) rate(bytes float64) float64 { return 8e-6 * bytes / e.published() }

// table prints what came of each scenario as soon as it is known.
type table struct {
	out     io.Writer
	systems []string
	begun   bool
	failed  error
}

func newTable(out io.Writer, systems []string) *table { return &table{out: out, systems: systems} }

func (t *table) print(kind Scenario, all []entry) {
	if !t.begun {
		t.begun = true
		var head, rule strings.Builder
		for _, c := range columns {
			head.WriteString(" " + c.head + " |")
			rule.WriteString("---|")
		}
		fmt.Fprintf(t.out, "| scenario | |%s\n|---|---|%s\n", &head, &rule)
	}
	medians := make([][]float64, len(t.systems))
	for i, name := range t.systems {
		fmt.Fprintf(t.out, "| %s | %s |", kind.title(), name)
		for _, c := range columns {
			var values []float64
			for j := range all {
				if e := &all[j]; e.Result.System == name && e.Result.Error == "" {
					values = append(values, c.value(e))
				}
			}
			if len(values) == 0 {
				t.failed = errors.New("some runs failed")
				fmt.Fprint(t.out, " – |")
				continue
			}
			slices.Sort(values)
			m := (values[(len(values)-1)/2] + values[len(values)/2]) / 2
			medians[i] = append(medians[i], m)
			fmt.Fprintf(t.out, " "+c.format, m)
			if c.spread && len(values) > 1 {
				fmt.Fprintf(t.out, " ("+c.format+"–"+c.format+")", values[0], values[len(values)-1])
			}
			fmt.Fprint(t.out, " |")
		}
		fmt.Fprintln(t.out)
	}
	if len(t.systems) != 2 || len(medians[0]) != len(columns) || len(medians[1]) != len(columns) {
		return
	}
	fmt.Fprintf(t.out, "| | ratio |")
	for k, c := range columns {
		if c.plain {
			fmt.Fprint(t.out, " |")
			continue
		}
		fmt.Fprintf(t.out, " %.2g |", medians[0][k]/medians[1][k])
	}
	fmt.Fprintln(t.out)
}
