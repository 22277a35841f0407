package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
)

// Group is a node's membership of a group.
type Group struct {
	node *Node
	spec *group.Spec

	joined     chan struct{} // closed at the first introducer or neighbor
	joinedOnce sync.Once
	failed     chan error // the first reason for which joining can't succeed
	done       chan struct{}
	doneOnce   sync.Once

	// The loop's own.
	core      *GroupCore
	late      error // why no introducer takes us in, while there are other ways
	began     time.Time
	took      time.Duration
	streams   []string
	published []*Publication
	playbacks []*Playback
	results   map[group.RouteID]chan<- group.RouteResult
	listeners []*listener
	readers   []*postReader
	watchers  []*mailbox[GroupEvent]
	seen      groupState // what the watchers were told last
	rates     sampler

	collections []*Collection
	files       *files // nil without a store
	recordWaits map[records.RequestID]*recordWait
}

func newGroup(n *Node, spec *group.Spec) *Group {
	g := &Group{
		node: n, spec: spec, began: time.Now(),
		joined: make(chan struct{}), failed: make(chan error, 1), done: make(chan struct{}),
		recordWaits: map[records.RequestID]*recordWait{},
	}
	if n.cfg.Store != nil {
		g.files = newFiles(g, n.cfg.Store)
	}
	return g
}

// Name returns the name in the groupspec.
func (g *Group) Name() string { return g.spec.Name }

// Node returns the node that is a member.
func (g *Group) Node() *Node { return g.node }

// Done is closed when the group has been left.
func (g *Group) Done() <-chan struct{} { return g.done }

// Close leaves the group. Streams that are published or played in it end.
func (g *Group) Close() error {
	g.node.saveAddresses()
	err := g.node.do(func(now clock.Time) {
		if i := slices.Index(g.node.groups, g); i >= 0 {
			g.endStreams(now)
			g.node.core.Leave(now, g.core)
			g.deliver(now)
			g.node.groups = slices.Delete(g.node.groups, i, i+1)
			g.ended()
		}
	})
	if err != nil {
		<-g.node.done
	}
	return nil
}

// endStreams tells viewers that what is published here ends.
func (g *Group) endStreams(now clock.Time) {
	for _, p := range g.published {
		p.core.Close(now)
	}
	g.published = nil
}

// ended tells everybody who waits that the membership is over.
func (g *Group) ended() {
	g.doneOnce.Do(func() { close(g.done) })
	for _, p := range g.playbacks {
		p.finish(ErrClosed)
	}
	for _, l := range g.listeners {
		l.box.end(ErrClosed)
	}
	for _, w := range g.watchers {
		w.end(ErrClosed)
	}
	for _, c := range g.collections {
		c.box.end(ErrClosed)
	}
	if g.files != nil {
		g.files.stop()
	}
	for _, r := range g.readers {
		r.finish(ErrClosed)
	}
}

// event takes what the core reports about the group.
func (g *Group) event(ev CoreEvent) {
	log := g.node.log
	switch ev.Kind {
	case EventJoined:
		g.joinedOnce.Do(func() {
			g.took = time.Since(g.began)
			close(g.joined)
		})
		log.Info("joined", "group", g.Name(), "took", g.took.Round(time.Millisecond))
	case EventJoinRefused:
		g.fail(ErrRefused)
	case EventNeighborUp:
		log.Info("neighbor up", "group", g.Name(), "peer", ev.Peer)
		g.tell(GroupEvent{Kind: NeighborConnected, Peer: ev.Peer})
		g.node.saveLater(cacheFirst)
	case EventNeighborDown:
		log.Info("neighbor down", "group", g.Name(), "peer", ev.Peer, "why", ev.Reason)
		g.tell(GroupEvent{Kind: NeighborLost, Peer: ev.Peer, Reason: ev.Reason.String()})
	case EventRouted:
		g.takeRouted(ev.Routed)
	case EventRouteResult:
		g.takeResult(ev.Result)
	case EventStream:
		if !slices.Contains(g.streams, ev.Name) {
			g.streams = append(g.streams, ev.Name)
			g.tell(GroupEvent{Kind: StreamPublished, Stream: ev.Name})
		}
		log.Info("stream", "group", g.Name(), "stream", ev.Name)
	case EventStreamEnded:
		if i := slices.Index(g.streams, ev.Name); i >= 0 {
			g.streams = slices.Delete(g.streams, i, i+1)
			g.tell(GroupEvent{Kind: StreamUnpublished, Stream: ev.Name})
		}
		log.Info("stream ended", "group", g.Name(), "stream", ev.Name)
	case EventNeighborBanned:
		log.Warn("cut off from streams: sent what the publisher did not", "group", g.Name(), "peer", ev.Peer)
	}
}

// fail ends the wait for a way into the group, unless there are others than
// through introducers: then it goes on until the time is up.
func (g *Group) fail(err error) {
	if g.otherWays() {
		g.late = err
		return
	}
	select {
	case g.failed <- err:
	default:
	}
}

// otherWays reports whether the group may be found without an introducer.
func (g *Group) otherWays() bool {
	seeds, _ := g.core.group.Seeds()
	return seeds > 0 || g.node.lan != nil && g.spec.MemberUpdates
}

// whyLate returns what introducers have said, nil if they have not.
func (g *Group) whyLate() (err error) {
	_ = g.node.do(func(clock.Time) { err = g.late })
	return err
}

// bootstrapFailed gives up waiting when no introducer is left to wait for.
func (g *Group) bootstrapFailed(n *Node) {
	if len(n.up) == 0 && len(n.failures) == len(n.cfg.Bootstrap) {
		var why error
		for _, url := range n.cfg.Bootstrap {
			why = fmt.Errorf("%w: %s: %w", ErrNoIntroducer, url, n.failures[url])
		}
		g.fail(why)
	}
}

// deliver moves frames and posts from the core to those who want them.
func (g *Group) deliver(now clock.Time) {
	g.rates.sample(now, g)
	g.watch(now)
	g.deliverPosts()
	g.deliverRecords()
	g.deliverObjects(now)
	for _, p := range g.playbacks {
		p.fill()
	}
}

// Publish starts a stream of the given name. The context bounds the call only.
func (g *Group) Publish(ctx context.Context, name string, o PublishOptions) (*Publication, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("publish %q: %w", name, err)
	}
	if !g.spec.MayPublish() {
		return nil, fmt.Errorf("publish %q: the groupspec does not permit it; it lacks multicast, the publish password, or a grant", name)
	}
	p := &Publication{group: g, name: name, started: time.Now()}
	var err error
	if derr := g.node.do(func(now clock.Time) {
		if g.isDone() {
			err = ErrClosed
			return
		}
		var grant []byte
		if grant, err = g.spec.OwnGrant(group.RightPublish, group.PeerID(g.node.ID()), g.node.core.wall(now)); err != nil {
			return
		}
		p.core, err = g.core.streams.Publish(now, name, multicast.StreamConfig{
			Window: o.Window, PushLimit: o.PushCopies, Grant: grant,
		})
		if err == nil {
			g.published = append(g.published, p)
		}
	}); derr != nil {
		err = derr
	}
	if err != nil {
		return nil, fmt.Errorf("publish %q: %w", name, err)
	}
	return p, nil
}

// Play starts to receive the stream of the given name, whether or not it is
// there yet. The context bounds the call only.
func (g *Group) Play(ctx context.Context, name string, o PlayOptions) (*Playback, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("play %q: %w", name, err)
	}
	var p *Playback
	var err error
	if derr := g.node.do(func(now clock.Time) { p, err = g.play(now, name, o) }); derr != nil {
		return nil, fmt.Errorf("play %q: %w", name, derr)
	}
	return p, err
}

// play is Play on the loop.
func (g *Group) play(now clock.Time, name string, o PlayOptions) (*Playback, error) {
	if !g.spec.Multicast {
		return nil, fmt.Errorf("play %q: the groupspec does not permit multicast", name)
	}
	if g.isDone() {
		return nil, fmt.Errorf("play %q: %w", name, ErrClosed)
	}
	p := newPlayback(g, name)
	var err error
	if p.core, err = g.core.streams.Play(now, name, multicast.PlayConfig{Back: o.Back}); err != nil {
		return nil, fmt.Errorf("play %q: %w", name, err)
	}
	g.playbacks = append(g.playbacks, p)
	return p, nil
}

func (g *Group) isDone() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// Flush waits until the neighbors have acknowledged what this node has told them
// about the group, revocations among it. The error is that of ctx, or ErrClosed.
func (g *Group) Flush(ctx context.Context) error {
	const look = 10 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		done := false
		err := g.node.do(func(clock.Time) { done = g.core.flushed() })
		switch {
		case err != nil:
			return err
		case g.isDone():
			return ErrClosed
		case done:
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Self returns the peer id of this node.
func (g *Group) Self() PeerID { return g.node.ID() }

// Revoke takes a revocation, the text that the holder of the group's key made,
// and spreads it through the group: other members part from the one that it
// names, and take its earlier grants for void.
func (g *Group) Revoke(text string) error {
	encoded, err := group.ParseRevocation(text)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if derr := g.node.do(func(now clock.Time) {
		if g.isDone() {
			err = ErrClosed
			return
		}
		err = g.core.group.Revoke(now, encoded)
	}); derr != nil {
		err = derr
	}
	return err
}
