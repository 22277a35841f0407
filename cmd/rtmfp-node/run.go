package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"rtmfp/node"
	"rtmfp/node/keepdir"
)

// runCmd runs a node that relays what its groups carry and introduces others.
type runCmd struct {
	Listen     string        `default:":1935" help:"UDP address to listen on, HOST:PORT. Default: :1935." placeholder:"ADDR"`
	Group      []spec        `required:"" sep:"none" help:"Groupspec, or @FILE that holds one. May be repeated." placeholder:"SPEC"`
	Bootstrap  []bootURL     `sep:"none" help:"Introducer to join through, rtmfp://HOST[:PORT]. May be repeated. Without any, this node is where the others begin." placeholder:"URL"`
	Revoke     []revocation  `sep:"none" help:"Revocation that \"group revoke\" has printed, or @FILE that holds some, to hold members to. May be repeated." placeholder:"TEXT"`
	KeepWindow time.Duration `name:"keep-window" help:"How long to keep what streams carry, in memory or in --keep-dir, for viewers that go back (play --back). Default: as long as the publisher says, 8 s and 2 s more." placeholder:"D"`
	KeepBytes  byteSize      `name:"keep-bytes" help:"Most of each stream to keep so, such as 500M. Default: 64M; at most 2G. With --keep-dir 8G; at most 48G." placeholder:"SIZE"`
	KeepDir    string        `name:"keep-dir" help:"Folder in which to keep it rather than in memory, for hours. Made if it is not there. What a process has left in it, the next one removes." placeholder:"DIR"`
	KeepMost   int           `name:"keep-streams" help:"Most streams to keep in --keep-dir at once; others are kept in memory. So the folder takes this times --keep-bytes at most. Default: 4." placeholder:"N"`
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
    rtmfp-node run --group "$SPEC" --keep-window 12h --keep-bytes 12G --keep-dir /srv/past
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
	case c.KeepWindow > 7*24*time.Hour:
		return errors.New("--keep-window is a week at most, 168h")
	case c.KeepDir != "" && c.KeepWindow == 0:
		return errors.New("--keep-dir needs --keep-window")
	case c.KeepMost != 0 && c.KeepDir == "":
		return errors.New("--keep-streams needs --keep-dir")
	case c.KeepMost < 0:
		return errors.New("--keep-streams is at least 1")
	case c.KeepDir == "" && c.KeepBytes > 2<<30:
		return errors.New("--keep-bytes is 2G at most; with --keep-dir 48G")
	case c.KeepBytes > 48<<30:
		return errors.New("--keep-bytes is 48G at most")
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

// openKeepDir opens the folder of the past.
func (c *runCmd) openKeepDir(e *env) (*keepdir.Dir, error) {
	d, err := keepdir.Open(c.KeepDir, keepdir.Options{Streams: c.KeepMost, Logger: c.logger(e, slog.LevelInfo)})
	switch {
	case errors.Is(err, keepdir.ErrLocked):
		return nil, failf(exitBusy, "--keep-dir %s: another process keeps streams there; name another folder", c.KeepDir)
	case err != nil:
		return nil, failf(exitFailure, "--keep-dir %s: %w; name a folder that can be written to", c.KeepDir, err)
	}
	return d, nil
}

// Run runs the node until ctx ends.
func (c *runCmd) Run(ctx context.Context, e *env) error {
	c.bootstrap = c.Bootstrap
	// Until the node is in its groups only errors are of interest: a join that
	// fails says why in one line.
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	cfg := node.Config{Listen: c.Listen, Introduce: true, RelayAll: true, KeepWindow: c.KeepWindow, KeepBytes: int64(c.KeepBytes)}
	if c.KeepDir != "" {
		d, err := c.openKeepDir(e)
		if err != nil {
			return err
		}
		defer d.Close()
		cfg.KeepDir = d
	}
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
	status := fmt.Sprintf("%d neighbors, %d streams, in %s, out %s",
		neighbors, streams, bytesText(s.BytesIn), bytesText(s.BytesOut))
	if c.KeepDir != "" {
		status += fmt.Sprintf(", %s kept on disk", bytesText(uint64(s.Kept.Bytes)))
	}
	e.console.setStatus(status)
}
