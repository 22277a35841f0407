package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"rtmfp/simulations/report"
	simrun "rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

// simulateCmd simulates groups on virtual time.
type simulateCmd struct {
	Run     simulateRunCmd     `cmd:"" default:"withargs" help:"Run a scenario with several seeds, the default."`
	Compare simulateCompareCmd `cmd:"" help:"Tell how the figures of two results differ."`
	Replay  simulateReplayCmd  `cmd:"" help:"Run one seed again and write down what happens."`
}

// Help describes the commands with examples.
func (*simulateCmd) Help() string {
	return `
Runs groups of any size in one process, on virtual time, with the very code that nodes run. docs/scenarios.md describes scenarios, docs/reports.md the figures.

Examples:

    rtmfp-node simulate --list
    rtmfp-node simulate live/small
    rtmfp-node simulate live --nodes 200 --json before.json --html before.html
`
}

// scenarioFlags choose and change a scenario.
type scenarioFlags struct {
	Nodes int      `help:"Nodes to begin with, instead of the scenario's." placeholder:"N"`
	Set   []string `help:"Change a key of the scenario, \"live.bitrate=2Mbit/s\". May be given several times." sep:"none" placeholder:"KEY=VALUE"`
}

func (f *scenarioFlags) settings() []string {
	all := slices.Clone(f.Set)
	if f.Nodes != 0 {
		all = append(all, fmt.Sprintf("nodes=%d", f.Nodes))
	}
	return all
}

// load reads a scenario. What is wrong with it is the user's input.
func (f *scenarioFlags) load(what string) (*scenario.Scenario, error) {
	s, err := scenario.Load(what, f.settings()...)
	if err != nil {
		return nil, failf(exitUsage, "%w", err)
	}
	return s, nil
}

// simulateRunCmd runs a scenario with several seeds.
type simulateRunCmd struct {
	Scenario string `arg:"" optional:"" help:"Name of a scenario that comes with the program, or a file that ends with .toml; with /SIZE one of its sizes."`
	scenarioFlags
	Seeds    seedList `default:"10" help:"How many seeds, or which: 10 is from 1 to 10, 7-9 or 3,5,8 just those. Default: 10." placeholder:"SEEDS"`
	Parallel int      `help:"Runs side by side. Default: one for each core." placeholder:"N"`
	JSON     string   `name:"json" help:"Write all figures to a file, - for stdout." placeholder:"FILE"`
	HTML     string   `name:"html" help:"Write a report with plots to a file." placeholder:"FILE"`
	List     bool     `help:"List the scenarios that come with the program."`
	Show     bool     `help:"Print the scenario as it is written, and do not run it."`
	Quiet    bool     `short:"q" help:"Print nothing but errors and failures."`
}

// Help describes the command with examples.
func (*simulateRunCmd) Help() string {
	return `
Prints every figure with its mean over the seeds and the 95 % confidence interval. Ends with exit code 1 if an invariant is broken or a bound of the scenario does not hold.

Examples:

    rtmfp-node simulate --list
    rtmfp-node simulate live/small
    rtmfp-node simulate flash-crowd --seeds 3 --html crowd.html
    rtmfp-node simulate churn --set network.loss=0.02 --json lossy.json
    rtmfp-node simulate run --show live
`
}

// Validate is called by the parser once all flags are set.
func (c *simulateRunCmd) Validate() error {
	switch {
	case c.List && c.Show:
		return errors.New("--list and --show: one of both")
	case !c.List && c.Scenario == "":
		return errors.New("which scenario? --list tells those that there are")
	case c.Nodes < 0:
		return errors.New("--nodes can't be negative")
	case c.Parallel < 0:
		return errors.New("--parallel can't be negative")
	}
	return nil
}

// Run carries the scenario out.
func (c *simulateRunCmd) Run(ctx context.Context, e *env) error {
	if c.List {
		return listScenarios(e.stdout)
	}
	if c.Show {
		return showScenario(e.stdout, c.Scenario)
	}
	s, err := c.load(c.Scenario)
	if err != nil {
		return err
	}
	page, err := createFile(c.HTML, "--html")
	if err != nil {
		return err
	}
	defer page.Close()
	figures, err := createFile(c.JSON, "--json")
	if err != nil {
		return err
	}
	defer figures.Close()
	parallel := c.Parallel
	if parallel == 0 {
		parallel = min(runtime.GOMAXPROCS(0), len(c.Seeds))
	}
	results, err := simrun.Seeds(ctx, s, c.Seeds, parallel, showProgress(e, s))
	e.console.setStatus("")
	if err != nil {
		if ctx.Err() != nil {
			return failf(exitFailure, "interrupted before the end; nothing was written")
		}
		return err
	}
	doc := report.New(s, c.settings(), parallel, results)
	if page != nil {
		if err := report.HTML(page, s, doc, results); err != nil {
			return err
		}
	}
	switch {
	case c.JSON == "-":
		err = doc.Write(e.stdout)
	case figures != nil:
		err = doc.Write(figures)
	}
	if err == nil && !c.Quiet && c.JSON != "-" {
		fmt.Fprintf(e.stdout, "%s: %s. %s of %v.\n\n", doc.Scenario, doc.Title, count(len(results), "run"), s.Total())
		err = report.WriteFigures(e.stdout, doc)
	}
	if err != nil {
		return err
	}
	return failures(doc, c)
}

// failures turns what a document says is wrong into the command's error.
func failures(doc *report.Document, c *simulateRunCmd) error {
	all := doc.Failures()
	if len(all) == 0 {
		return nil
	}
	for i, r := range doc.Runs {
		if r.Breach != "" {
			// The first line alone: a stack may follow.
			all[0], _, _ = strings.Cut(all[0], "\n")
			all = append(all, fmt.Sprintf("look closely with: rtmfp-node simulate replay %s %d --trace FILE", c.Scenario, doc.Runs[i].Seed))
			break
		}
	}
	return failf(exitFailure, "%s", strings.Join(all, "; "))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func listScenarios(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range scenario.Library() {
		fmt.Fprintf(t, "%s\t%s\t%s\n", e.Name, e.Title, "/"+strings.Join(e.Sizes, " /"))
	}
	return t.Flush()
}

func showScenario(w io.Writer, what string) error {
	name, _, _ := strings.Cut(what, "/")
	text, ok := scenario.Text(name)
	if !ok {
		if _, err := scenario.Load(what); err != nil {
			return failf(exitUsage, "%w", err)
		}
		return failf(exitUsage, "--show prints scenarios that come with the program, and %s is a file", what)
	}
	_, err := io.WriteString(w, text)
	return err
}

// createFile creates a file that a flag names, before anything is run whose
// result would find no place. "" and "-" are none.
func createFile(name, flag string) (*os.File, error) {
	if name == "" || name == "-" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, failf(exitUsage, "%s: %w", flag, err)
	}
	return f, nil
}

// showProgress returns what shows how far a simulation is, on a terminal.
func showProgress(e *env, s *scenario.Scenario) func(simrun.Progress) {
	if !e.terminal {
		return nil
	}
	var shown time.Duration
	return func(p simrun.Progress) {
		if p.Elapsed-shown < 100*time.Millisecond && p.Done < p.Runs {
			return
		}
		shown = p.Elapsed
		e.console.setStatus(progressLine(s.FullName(), p))
	}
}

// progressLine writes how far a simulation is.
func progressLine(name string, p simrun.Progress) string {
	line := fmt.Sprintf("%s: %d of %d runs, %.0f of %.0f s simulated", name, p.Done, p.Runs, p.Simulated.Seconds(), p.Total.Seconds())
	if p.Elapsed > 0 {
		line += fmt.Sprintf(", %.0f k events/s", float64(p.Events)/p.Elapsed.Seconds()/1000)
	}
	if left := p.Left(); left > 0 && p.Elapsed > time.Second {
		line += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return line
}

// seedList is a list of seeds on the command line.
type seedList []uint64

const maxSeeds = 10_000

// UnmarshalText reads how many, or which.
func (l *seedList) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%q is no list of seeds: write 10 for those from 1 to 10, 7-9, or 3,5,8", text)
	*l = nil
	if n, err := strconv.ParseUint(string(text), 10, 32); err == nil {
		if n == 0 || n > maxSeeds {
			return fmt.Errorf("from 1 to %d seeds", maxSeeds)
		}
		for seed := range n {
			*l = append(*l, seed+1)
		}
		return nil
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(string(text), ","), ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 64)
		b, err2 := strconv.ParseUint(to, 10, 64)
		if err1 != nil || err2 != nil || b < a || b-a >= maxSeeds || len(*l) >= maxSeeds {
			return wrong
		}
		for seed := a; ; seed++ {
			*l = append(*l, seed)
			if seed == b {
				break
			}
		}
	}
	return nil
}
