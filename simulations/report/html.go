package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"rtmfp/simulations/figure"
	"rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

type tile struct{ Name, Value string }

type group struct {
	Name string
	Rows []row
}

type row struct{ Name, Mean, CI, Min, Max, Text string }

// HTML writes a page that needs nothing beside itself: the figures, and plots
// each with a sentence on how to read it.
func HTML(w io.Writer, s *scenario.Scenario, d *Document, results []*run.Result) error {
	type shown struct {
		Title, Read string
		SVG         template.HTML
	}
	var plots []shown
	for _, p := range drawings(s, results) {
		plots = append(plots, shown{p.Title, p.Read, template.HTML(p.SVG)}) //nolint:gosec // made by this package, names escaped
	}
	runs := "1 run"
	if n := len(results); n != 1 {
		runs = fmt.Sprintf("%d runs with different seeds", n)
	}
	return page.Execute(w, map[string]any{
		"Doc":      d,
		"About":    strings.TrimSpace(s.About),
		"Runs":     runs,
		"Span":     fmt.Sprintf("%v each, of which %v are measured", s.Total(), time.Duration(s.Duration)),
		"Failures": firstLines(d.Failures()),
		"Tiles":    tiles(d),
		"Drawings": plots,
		"Groups":   groups(d),
	})
}

// firstLines cuts off stacks.
func firstLines(all []string) []string {
	for i, text := range all {
		all[i], _, _ = strings.Cut(text, "\n")
	}
	return all
}

// tiles are the figures that one wants to see first.
func tiles(d *Document) []tile {
	var all []tile
	for _, t := range [...]tile{
		{"startup, 95 of 100 newcomers", "startup_p95_ms"},
		{"delay, half of all messages", "delay_p50_ms"},
		{"delay, 99 of 100 messages", "delay_p99_ms"},
		{"times the direct latency", "stretch_mean_ratio"},
		{"of messages on time within 1 s", "ontime_1000ms_ratio"},
		{"of messages lost", "lost_ratio"},
		{"copies that the publisher sends", "publisher_copies_ratio"},
		{"duplicates", "duplicates_ratio"},
		{"sent by a node for membership alone", "maintenance_bytes_per_s"},
		{"neighbors of a node", "neighbors_mean_count"},
		{"of ring neighbors linked", "ring_ratio"},
		{"times as fast as real time", "real_time_ratio"},
	} {
		if f, ok := d.Figures[t.Value]; ok {
			all = append(all, tile{t.Name, Text(t.Value, f.Mean)})
		}
	}
	return all
}

func groups(d *Document) []group {
	var all []group
	for _, name := range d.Names() {
		f, _ := figure.Find(name)
		if len(all) == 0 || all[len(all)-1].Name != f.Group {
			all = append(all, group{Name: f.Group})
		}
		v := d.Figures[name]
		ci := "–"
		if v.N > 1 {
			ci = Text(name, v.CI95)
		}
		g := &all[len(all)-1]
		g.Rows = append(g.Rows, row{name, Text(name, v.Mean), ci, Text(name, v.Min), Text(name, v.Max), f.Text})
	}
	return all
}
