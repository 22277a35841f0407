package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"rtmfp/node"
)

// runCmd runs a node that relays what its groups carry and introduces others.
type runCmd struct {
	Listen     string        `default:":1935" help:"UDP address to listen on, HOST:PORT. Default: :1935." placeholder:"ADDR"`
	Group      []spec        `required:"" sep:"none" help:"Groupspec, or @FILE that holds one. May be repeated." placeholder:"SPEC"`
	Bootstrap  []bootURL     `sep:"none" help:"Introducer to join through, rtmfp://HOST[:PORT]. May be repeated. Without any, this node is where the others begin." placeholder:"URL"`
	Revoke     []revocation  `sep:"none" help:"Revocation that \"group revoke\" has printed, or @FILE that holds some, to hold members to. May be repeated." placeholder:"TEXT"`
	KeepWindow time.Duration `name:"keep-window" help:"How long to keep what streams carry, in memory, for viewers that go back (play --back). Default: as long as the publisher says, 8 s and 2 s more." placeholder:"D"`
	KeepBytes  byteSize      `name:"keep-bytes" help:"Most of each stream to keep so, such as 500M. Default: 64M; at most 2G." placeholder:"SIZE"`
	nodeFlags
	fileFlags
	webFlags
}

// Help describes the command with examples.
func (*runCmd) Help() string {
	return `
Joins its groups, relays every stream that they carry, and introduces newcomers to the members. The URLs under which others reach it are printed on stdout. Runs until ^C or SIGTERM, and then leaves the groups in an orderly way.

Examples:

    rtmfp-node run --group "$SPEC"
    rtmfp-node run --listen 127.0.0.1:1935 --group "$SPEC" --identity none
    rtmfp-node run --listen :2000 --group "$SPEC" --bootstrap rtmfp://seed.example.org
    rtmfp-node run --group "$SPEC" --keep-window 10m --keep-bytes 500M
    rtmfp-node run --group "$SPEC" --store /srv/files --quota 200G --http 127.0.0.1:8080
`
}

// Validate is called by the parser once all flags are set.
func (c *runCmd) Validate() error {
	if err := c.fileFlags.Validate(); err != nil {
		return err
	}
	switch {
	case c.KeepWindow < 0:
		return errors.New("--keep-window can't be negative")
	case c.KeepBytes > 0 && c.KeepWindow == 0:
		return errors.New("--keep-bytes needs --keep-window")
	case c.KeepBytes > 2<<30:
		return errors.New("--keep-bytes is 2G at most")
	}
	if !c.keepsFiles() {
		if c.Quota > 0 {
			return errors.New("--quota needs --store")
		}
		return nil
	}
	for _, s := range c.Group {
		if s.Spec == nil || s.Replication {
			return nil
		}
	}
	return errNoFiles(c.Group[0])
}

// keepsFiles reports whether the node has a store.
func (c *runCmd) keepsFiles() bool { return c.Store != "" || c.HTTP != "" }

// Run runs the node until ctx ends.
func (c *runCmd) Run(ctx context.Context, e *env) error {
	c.bootstrap = c.Bootstrap
	// Until the node is in its groups only errors are of interest: a join that
	// fails says why in one line.
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	cfg := node.Config{Listen: c.Listen, Introduce: true, RelayAll: true, KeepWindow: c.KeepWindow, KeepBytes: int(min(c.KeepBytes, 2<<30-1))}
	if c.keepsFiles() {
		s, err := c.open()
		if err != nil {
			return err
		}
		defer s.Close()
		c.configure(&cfg, s)
	}
	n, err := c.start(ctx, e, cfg, level)
	if err != nil {
		return err
	}
	defer c.stop(n)
	var groups []*node.Group
	for _, s := range c.Group {
		g, err := n.Join(ctx, s.String())
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return joinError(err, &c.nodeFlags)
		}
		for _, list := range c.Revoke {
			for _, text := range list {
				if err := g.Revoke(text); err != nil && len(c.Group) == 1 {
					return failf(exitUsage, "--revoke: %w", err)
				}
			}
		}
		groups = append(groups, g)
	}
	// Who reads a URL may use it: the groups are there by now.
	if err := e.printURLs(n.Addr()); err != nil {
		return err
	}
	level.Set(slog.LevelInfo)
	log := c.logger(e, level)
	if c.HTTP != "" {
		var carry []*node.Group
		for i, g := range groups {
			if c.Group[i].Replication {
				carry = append(carry, g)
			}
		}
		web, err := c.serveFiles(cfg.Store, carry, log)
		if err != nil {
			return err
		}
		defer web.Close()
		c.notice(e)("files at http://%s/files/", reachable(web.Addr().String()))
	}
	log.Info("running", "id", n.ID(), "listen", n.Addr(), "groups", len(groups))

	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			log.Info("leaving")
			return nil
		case <-n.Done():
			return failf(exitFailure, "the node stopped by itself; see the log above")
		case <-tick.C:
			c.showStatus(e, n, groups)
		}
	}
}

func (c *runCmd) showStatus(e *env, n *node.Node, groups []*node.Group) {
	if c.Quiet {
		return
	}
	var neighbors, streams int
	for _, g := range groups {
		s := g.Stats()
		neighbors += s.Neighbors
		streams += len(s.Streams)
	}
	s := n.Stats()
	e.console.setStatus(fmt.Sprintf("%d neighbors, %d streams, in %s, out %s",
		neighbors, streams, bytesText(s.BytesIn), bytesText(s.BytesOut)))
}
