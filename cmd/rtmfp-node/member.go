package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"rtmfp/node"
)

// memberFlags are the flags of commands that join one group to talk in it.
type memberFlags struct {
	Group     spec      `required:"" help:"Groupspec, or @FILE that holds one." placeholder:"SPEC"`
	Bootstrap []bootURL `sep:"none" help:"Introducer to join through, rtmfp://HOST[:PORT]. May be repeated. Without any, this node is where the others begin, and prints its URLs." placeholder:"URL"`
	Listen    string    `default:":0" help:"UDP address to listen on, HOST:PORT. Default: any free port." placeholder:"ADDR"`
	nodeFlags

	config node.Config // beside what the flags say
}

// checkPosting reports a group that carries no posts.
func (c *memberFlags) checkPosting() error {
	if c.Group.Spec != nil && !c.Group.Posting {
		return fmt.Errorf("group %q carries no posts; make one with \"rtmfp-node group new --name NAME --posting\"", c.Group.Name)
	}
	return nil
}

// checkMayPost reports a groupspec with which nobody may post.
func (c *memberFlags) checkMayPost() error {
	if err := c.checkPosting(); err != nil || c.Group.Spec == nil || c.Group.MayPost() {
		return err
	}
	if c.Group.PostingPassword == nil {
		return fmt.Errorf("group %q needs a grant to post, and this groupspec carries none; ask the holder of the group's key for one", c.Group.Name)
	}
	return fmt.Errorf("group %q needs a password to post, and this groupspec carries none that fits; ask for the authors' groupspec", c.Group.Name)
}

// join starts a node and joins the group. Without an error or the end of ctx,
// leave ends both.
func (c *memberFlags) join(ctx context.Context, e *env) (g *node.Group, leave func(), err error) {
	c.bootstrap = c.Bootstrap
	first := len(c.bootstrap) == 0
	cfg := c.config
	cfg.Listen, cfg.Introduce = c.Listen, cfg.Introduce || first
	n, err := c.start(ctx, e, cfg, slog.LevelError)
	if err != nil {
		return nil, nil, err
	}
	g, err = n.Join(ctx, c.Group.String())
	if err != nil {
		c.stop(n)
		return nil, nil, joinError(err, &c.nodeFlags)
	}
	if first {
		for _, u := range urlsOf(n.Addr()) {
			c.notice(e)("others join with --bootstrap %s", u)
		}
	}
	return g, func() { c.stop(n) }, nil
}

// company waits for a first neighbor, without whom nothing gets anywhere.
func (c *memberFlags) company(ctx context.Context, g *node.Group) error {
	wait, cancel := context.WithTimeout(ctx, c.JoinTimeout)
	defer cancel()
	for g.Stats().Neighbors == 0 {
		linger(wait, 20*time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if wait.Err() != nil {
			return failf(exitUnreachable, "no other member of group %q was found within %v; is anybody in it, and does UDP get through?", c.Group.Name, c.JoinTimeout)
		}
	}
	return nil
}
