package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/cmd/rtmfp-node/hls"
)

// demoCmd shows a whole swarm in one process.
type demoCmd struct {
	Viewers  int           `default:"8" help:"Number of viewers. Default: 8." placeholder:"N"`
	Duration time.Duration `help:"Stop after this long. Default: with ^C." placeholder:"D"`
	HTTP     string        `name:"http" default:"127.0.0.1:8080" help:"HTTP address of the page. Default: 127.0.0.1:8080." placeholder:"ADDR"`
	JSON     bool          `name:"json" help:"Print the figures of all viewers as one JSON object at the end."`
	Verbose  bool          `short:"v" help:"Log in detail."`
	Quiet    bool          `short:"q" help:"Print nothing but errors."`
}

// Help describes the command with examples.
func (*demoCmd) Help() string {
	return `
Runs an introducer, a publisher that loops an embedded clip, and viewers that relay it to each other, each a whole node with its own UDP socket on 127.0.0.1. Nothing needs to be installed, and nothing is written to disk. The page plays the stream with the browser's own HLS and draws who feeds whom.

Examples:

    rtmfp-node demo
    rtmfp-node demo --viewers 30 --http 127.0.0.1:9000
    rtmfp-node demo --duration 30s --json
`
}

// Most viewers that one process is meant to run; beyond it the machine's
// processor, not the swarm, would be what one sees.
const maxDemoViewers = 200

// Validate is called by the parser once all flags are set.
func (c *demoCmd) Validate() error {
	if c.Viewers < 1 || c.Viewers > maxDemoViewers {
		return fmt.Errorf("--viewers must be from 1 to %d", maxDemoViewers)
	}
	if c.Duration < 0 {
		return fmt.Errorf("--duration can't be negative")
	}
	return nil
}

// Run shows the swarm until its duration or ctx ends.
func (c *demoCmd) Run(ctx context.Context, e *env) error {
	flags := nodeFlags{Identity: identityNone, JoinTimeout: 10 * time.Second, Verbose: c.Verbose, Quiet: c.Quiet}
	began := time.Now()
	swarm := newSwarm()
	defer swarm.close()

	live, err := serveLive(c.HTTP, func(stream *hls.Server) http.Handler {
		return demo.Handler(func() demo.Snapshot { return swarm.snapshot(time.Now()) }, stream)
	})
	if err != nil {
		return err
	}
	defer live.Close()
	if !c.Quiet {
		// Not through notice: with --json stdout belongs to the figures.
		e.console.printf("starting an introducer, a publisher, and %d viewers …", c.Viewers)
	}

	if c.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration)
		defer cancel()
	}
	if err := swarm.start(ctx, c.Viewers, flags.logger(e, slog.LevelError), live); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if !c.Quiet {
		e.console.printf("open http://%s/ (^C ends the demo)", live.addr)
		defer every(time.Second, func(time.Time) { e.console.setStatus(swarm.status()) })()
	}
	err = swarm.wait(ctx)
	if c.JSON {
		if _, werr := e.stdout.Write(encode(swarm.report(time.Since(began)))); err == nil {
			err = werr
		}
	}
	return err
}
