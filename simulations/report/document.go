// Package report turns the runs of a scenario into what people and programs
// read: a JSON document of every figure with its confidence interval, a page
// with plots, and the comparison of two documents.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"rtmfp/simulations/figure"
	"rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

// Format names the layout of a Document. It changes when old readers would
// misread a new document.
const Format = "rtmfp-node simulation 1"

// Document is everything that a scenario's runs came to.
type Document struct {
	Format   string   `json:"format"`
	Scenario string   `json:"scenario"`
	Title    string   `json:"title"`
	Settings []string `json:"settings,omitempty"` // laid over the scenario
	Nodes    int      `json:"nodes"`
	Virtual  float64  `json:"simulated_s"` // of each run
	Machine  Machine  `json:"machine"`
	Runs     []Run    `json:"runs"`

	Figures map[string]figure.Summary `json:"figures"`
	Expect  []Expected                `json:"expect,omitempty"`
}

// Machine is where the runs took place, which some figures depend on.
type Machine struct {
	System   string `json:"system"`
	Cores    int    `json:"cores"`
	Go       string `json:"go"`
	Parallel int    `json:"parallel"` // runs side by side
}

// Run is one run.
type Run struct {
	Seed   uint64  `json:"seed"`
	Trace  string  `json:"trace"` // fingerprint of every datagram: equal if the runs were
	Wall   float64 `json:"machine_s"`
	Breach string  `json:"breach,omitempty"` // the invariant that was broken
}

// Expected is a bound of the scenario and whether it holds.
type Expected struct {
	Bound string  `json:"bound"`
	Mean  float64 `json:"mean"`
	Holds bool    `json:"holds"`
	None  bool    `json:"none,omitempty"`  // the runs do not have the figure
	Never bool    `json:"never,omitempty"` // what it tells of did not come about in one of the runs at least
}

// New makes the document of a scenario's runs.
func New(s *scenario.Scenario, settings []string, parallel int, results []*run.Result) *Document {
	d := &Document{
		Format: Format, Scenario: s.FullName(), Title: s.Title, Settings: settings, Nodes: s.Nodes,
		Virtual: s.Total().Seconds(),
		Machine: Machine{runtime.GOOS + "/" + runtime.GOARCH, runtime.NumCPU(), runtime.Version(), parallel},
		Figures: map[string]figure.Summary{},
	}
	values := map[string][]float64{}
	for _, res := range results {
		one := Run{Seed: res.Seed, Trace: res.Trace, Wall: res.Wall.Seconds()}
		if res.Breach != nil {
			one.Breach = res.Breach.Error()
		}
		d.Runs = append(d.Runs, one)
		for name, v := range res.Figures {
			values[name] = append(values[name], v)
		}
	}
	for name, v := range values {
		d.Figures[name] = figure.Summarize(v)
	}
	for _, e := range s.Expect {
		f, some := d.Figures[e.Figure]
		known, _ := figure.Find(e.Figure)
		never := known.Never && some && f.Min < 0
		d.Expect = append(d.Expect, Expected{Bound: e.String(), Mean: f.Mean, Holds: some && !never && e.Holds(f.Mean), None: !some, Never: never})
	}
	return d
}

// Failures tells what is wrong: broken invariants and bounds.
func (d *Document) Failures() []string {
	var all []string
	for _, r := range d.Runs {
		if r.Breach != "" {
			all = append(all, r.Breach)
		}
	}
	for _, e := range d.Expect {
		switch {
		case e.None:
			all = append(all, fmt.Sprintf("expected %s, but the runs do not have that figure", e.Bound))
		case e.Never:
			all = append(all, fmt.Sprintf("expected %s, but in one of the runs at least it did not come about", e.Bound))
		case !e.Holds:
			all = append(all, fmt.Sprintf("expected %s, got %s", e.Bound, Number(e.Mean)))
		}
	}
	return all
}

// Names returns the names of all figures in the order of reports.
func (d *Document) Names() []string {
	names := make([]string, 0, len(d.Figures))
	for name := range d.Figures {
		names = append(names, name)
	}
	slices.SortFunc(names, figure.Order)
	return names
}

// Write writes the document as JSON.
func (d *Document) Write(w io.Writer) error {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// Read reads a document from a file.
func Read(name string) (*Document, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var d Document
	if err := json.Unmarshal(b, &d); err != nil || d.Format == "" {
		return nil, fmt.Errorf("%s: is no result of a simulation; make one with \"rtmfp-node simulate SCENARIO --json %s\"", name, name)
	}
	if d.Format != Format {
		return nil, fmt.Errorf("%s: has the format %q, want %q; run its scenario again", name, d.Format, Format)
	}
	return &d, nil
}
