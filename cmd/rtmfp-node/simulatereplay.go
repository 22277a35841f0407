package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/simulations"
	simrun "rtmfp/simulations/run"
	"rtmfp/transport/trace"
)

// simulateReplayCmd runs one seed again.
type simulateReplayCmd struct {
	Scenario string `arg:"" help:"Name of a scenario, or a file that ends with .toml; with /SIZE one of its sizes."`
	Seed     uint64 `arg:"" help:"The seed to run."`
	scenarioFlags
	Until time.Duration `help:"Stop at this simulated time, warm-up included. Default: the end." placeholder:"D"`
	Trace string        `default:"-" help:"Write the trace to a file, - for stdout. Default: -." placeholder:"FILE"`
	Node  []int         `help:"Trace what these nodes do, packet by packet; introducers have the first numbers, then comes the publisher. Default: none, and what happens to all nodes." placeholder:"N"`
}

// Help describes the command with examples.
func (*simulateReplayCmd) Help() string {
	return `
Writes a line of JSON for everything that happens: nodes that come, go, and find neighbors, shocks, first messages and late ones; and for the nodes that --node names every packet. A run is the same every time, so what one trace shows can be looked at again more closely.

Examples:

    rtmfp-node simulate replay churn/small 7 --trace churn.jsonl
    rtmfp-node simulate replay churn/small 7 --until 12s --node 1,5 --trace two.jsonl
`
}

// Validate is called by the parser once all flags are set.
func (c *simulateReplayCmd) Validate() error {
	if c.Until < 0 {
		return errors.New("--until can't be negative")
	}
	for _, n := range c.Node {
		if n < 0 {
			return fmt.Errorf("--node %d: nodes are numbered from 0 on", n)
		}
	}
	return nil
}

// Run runs the seed.
func (c *simulateReplayCmd) Run(ctx context.Context, e *env) error {
	s, err := c.load(c.Scenario)
	if err != nil {
		return err
	}
	m, err := s.Map()
	if err != nil {
		return err
	}
	var w io.Writer = e.stdout
	file, err := createFile(c.Trace, "--trace")
	if err != nil {
		return err
	}
	if file != nil {
		defer file.Close()
		w = file
	}
	q := trace.NewQlog(w, trace.Options{Title: fmt.Sprintf("%s, seed %d", s.FullName(), c.Seed), Origin: time.Unix(0, 0)})
	highest := 0 // number of a node
	q.Event(0, "simulation:begin", nil, map[string]any{"scenario": s.FullName(), "seed": c.Seed})
	opts := simrun.Options{
		Until: c.Until,
		Tell: func(h simrun.Happening) {
			if len(c.Node) > 0 && h.Node >= 0 && !slices.Contains(c.Node, h.Node) {
				return
			}
			fields := map[string]any{}
			if h.Node >= 0 {
				fields["node"] = h.Node
			}
			q.Event(clock.Time(h.At), "simulation:"+h.What, fields, map[string]any{"text": h.Text})
		},
		Watch: func(number int, _ string, cfg *simulations.NodeConfig) {
			highest = max(highest, number)
			if slices.Contains(c.Node, number) {
				cfg.Core.Trace = q.TracerOf(map[string]any{"node": number})
			}
		},
	}
	if e.terminal && file != nil {
		total := s.Total()
		if c.Until > 0 {
			total = min(total, c.Until)
		}
		opts.Progress = func(now time.Duration, _ uint64) {
			e.console.setStatus(fmt.Sprintf("%.1f of %.1f s simulated", now.Seconds(), total.Seconds()))
		}
	}
	res, err := simrun.Run(ctx, s, m, c.Seed, opts)
	if closing := q.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if res.Breach != nil {
		return failf(exitFailure, "%s", res.Breach.Name+": "+res.Breach.Error())
	}
	if n := slices.Max(append(c.Node, 0)); n > highest {
		return failf(exitUsage, "--node %d: there was no such node until then; the last that came has number %d", n, highest)
	}
	if file != nil {
		e.console.printf("fingerprint of everything that arrived: %s", res.Trace)
	}
	return nil
}
