//go:build e2e

package node

import (
	"context"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/posting"
)

// JoinHostile joins a group in a way that no honest node does: with a groupspec
// that was forged, or with posts that are made as change says. It returns at
// once. It is there for tests with real processes, and not built otherwise.
func (n *Node) JoinHostile(_ context.Context, spec *group.Spec, change func(*posting.Config)) (*Group, error) {
	g := newGroup(n, spec)
	return g, n.do(func(now clock.Time) {
		n.core.SetUnixMilli(now, time.Now().UnixMilli())
		g.core = n.core.Join(now, spec)
		if change != nil {
			cfg := g.core.postingConfig(now)
			change(&cfg)
			g.core.posts = posting.New(now, cfg, g.core.links(flowPosts))
		}
		n.groups = append(n.groups, g)
	})
}

// PostHostile posts without asking whether this node may.
func (g *Group) PostHostile(data []byte) error {
	var err error
	if derr := g.node.do(func(now clock.Time) { _, err = g.core.posts.Post(now, data) }); derr != nil {
		err = derr
	}
	return err
}
