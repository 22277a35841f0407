package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/group"
	"rtmfp/node"
)

// demoStream is the name of the demo's stream.
const demoStream = "clip"

// swarm is the demo's group: all of its members, in this process.
type swarm struct {
	began  time.Time
	ending context.CancelFunc // of the goroutines below
	busy   sync.WaitGroup     // the feeder and one reader per viewer
	failed chan error         // the first thing that went wrong while running

	mu       sync.Mutex
	members  []*member
	last     demo.Snapshot
	lastTime time.Time
}

// member is one node of the swarm.
type member struct {
	name  string
	role  string
	began time.Time
	node  *node.Node
	group *node.Group
	pub   *node.Publication // of the publisher
	sub   *node.Playback    // of a viewer

	up, down meter // under the swarm's lock
	delays   recentDelays
}

func newSwarm() *swarm {
	return &swarm{began: time.Now(), failed: make(chan error, 1)}
}

// start brings up the introducer, the publisher, and the viewers, who all join
// at once. The first viewer's frames go to live.
func (s *swarm) start(ctx context.Context, viewers int, log *slog.Logger, live *liveServer) error {
	spec, err := group.NewSpec(group.SpecFields{Name: "demo", Multicast: true, ServerChannel: true})
	if err != nil {
		return err
	}
	running, ending := context.WithCancel(context.WithoutCancel(ctx))
	s.ending = ending

	seed, err := s.add(ctx, "introducer", demo.RoleIntroducer, spec, node.Config{Introduce: true, Logger: log})
	if err != nil {
		return err
	}
	boot := urlsOf(seed.node.Addr())
	publisher, err := s.add(ctx, "publisher", demo.RolePublisher, spec, node.Config{Bootstrap: boot, Logger: log})
	if err != nil {
		return err
	}
	pub, err := publisher.group.Publish(ctx, demoStream, node.PublishOptions{})
	if err != nil {
		return err
	}
	s.mu.Lock()
	publisher.pub = pub
	s.mu.Unlock()
	s.busy.Go(func() { s.fail(feedClip(running, pub)) })

	var joining sync.WaitGroup
	errs := make([]error, viewers)
	for i := range viewers {
		joining.Go(func() {
			m, err := s.add(ctx, fmt.Sprintf("viewer %d", i+1), demo.RoleViewer, spec, node.Config{Bootstrap: boot, Logger: log})
			if err == nil {
				err = s.watch(ctx, running, m, i == 0, live)
			}
			errs[i] = err
		})
	}
	joining.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// add starts a node on a free port of 127.0.0.1 and makes it join.
func (s *swarm) add(ctx context.Context, name, role string, spec *group.Spec, cfg node.Config) (*member, error) {
	m := &member{name: name, role: role, began: time.Now()}
	cfg.Listen = "127.0.0.1:0"
	var err error
	if m.node, err = node.Start(ctx, cfg); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if m.group, err = m.node.Join(ctx, spec.String()); err != nil {
		m.node.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = append(s.members, m)
	slices.SortFunc(s.members, func(a, b *member) int { return compareNames(a.name, b.name) })
	return m, nil
}

// compareNames puts the introducer first, then the publisher, then the viewers
// by their numbers.
func compareNames(a, b string) int {
	if len(a) != len(b) && a[0] == b[0] {
		return len(a) - len(b)
	}
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// watch makes a viewer play the stream.
func (s *swarm) watch(ctx, running context.Context, m *member, show bool, live *liveServer) error {
	sub, err := m.group.Play(ctx, demoStream, node.PlayOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	s.mu.Lock()
	m.sub = sub
	s.mu.Unlock()
	asked := time.Now()
	s.busy.Go(func() {
		for f, err := range sub.Frames(running) {
			if err != nil {
				s.fail(fmt.Errorf("%s: %w", m.name, err))
				return
			}
			if f.SentAt.After(asked) {
				m.delays.add(time.Since(f.SentAt))
			}
			if show {
				live.push(f)
			}
		}
	})
	return nil
}

// fail notes the first thing that went wrong. The end of the swarm is none.
func (s *swarm) fail(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	select {
	case s.failed <- err:
	default:
	}
}

// wait returns when ctx ends, without an error, or when something failed.
func (s *swarm) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// close ends all nodes, those who watch first.
func (s *swarm) close() {
	if s.ending != nil {
		s.ending()
	}
	s.busy.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var closing sync.WaitGroup
	for _, m := range s.members {
		closing.Go(func() { m.node.Close() })
	}
	closing.Wait()
}

// report returns the figures of the publisher and all viewers.
func (s *swarm) report(elapsed time.Duration) demoReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := demoReport{ElapsedMS: millis(elapsed), Viewers: []streamReport{}}
	for _, m := range s.members {
		switch {
		case m.pub != nil:
			r.Publisher = publishReportOf(elapsed, m.pub.Stats())
		case m.sub != nil:
			r.Viewers = append(r.Viewers, reportOf(m.name, m.began, m.sub.Stats()))
		}
	}
	return r
}

// status sums up the swarm in a line.
func (s *swarm) status() string {
	snap := s.snapshot(time.Now())
	var watching int
	var worst float64
	var lost uint64
	for _, n := range snap.Nodes {
		if n.Role == demo.RoleViewer && n.Fragments > 0 {
			watching++
			worst = max(worst, n.DelayMS)
			lost += n.Lost
		}
	}
	return fmt.Sprintf("%d viewers watch, delay up to %.1f ms, lost %d", watching, worst, lost)
}

// snapshotAge is how long a picture of the swarm is good for, so that many
// pages that are open cost no more than one.
const snapshotAge = 250 * time.Millisecond

// snapshot returns who feeds whom and how well.
func (s *swarm) snapshot(now time.Time) demo.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.lastTime) < snapshotAge {
		return s.last
	}
	names := map[node.PeerID]string{}
	for _, m := range s.members {
		names[m.node.ID()] = m.name
	}
	snap := demo.Snapshot{Stream: demoStream, Group: "demo", ElapsedMS: now.Sub(s.began).Milliseconds()}
	for _, m := range s.members {
		snap.Nodes = append(snap.Nodes, m.view(now, names))
	}
	s.last, s.lastTime = snap, now
	return snap
}

func (m *member) view(now time.Time, names map[node.PeerID]string) demo.NodeView {
	id := m.node.ID()
	v := demo.NodeView{Name: m.name, Role: m.role, ID: fmt.Sprintf("%x", id[:4])}
	var st node.StreamStats
	switch {
	case m.pub != nil:
		st = m.pub.Stats()
	case m.sub != nil:
		st = m.sub.Stats()
	default:
		v.Neighbors = m.group.Stats().Neighbors
		return v
	}
	v.Neighbors = st.Neighbors
	v.Fragments, v.Lost, v.Duplicates = st.Fragments, st.Lost, st.Duplicates
	v.UpBps = 8 * m.up.rate(now, st.UploadBytes)
	v.DownBps = 8 * m.down.rate(now, st.DownloadBytes)
	if m.sub != nil {
		v.DelayMS = millis(m.delays.median())
		if !st.FirstFrame.IsZero() {
			v.StartupMS = millis(st.FirstFrame.Sub(m.began))
		}
		v.Parents = parentsOf(st.Slices, names)
	}
	return v
}

// parentsOf counts the slices that each parent brings, in the order of the
// slices.
func parentsOf(trees [node.Slices]node.Slice, names map[node.PeerID]string) []demo.EdgeView {
	var edges []demo.EdgeView
	for _, t := range trees {
		name, ok := names[t.Parent]
		if !ok {
			continue
		}
		i := slices.IndexFunc(edges, func(e demo.EdgeView) bool { return e.Name == name })
		if i < 0 {
			i, edges = len(edges), append(edges, demo.EdgeView{Name: name})
		}
		edges[i].Slices++
	}
	return edges
}

// recentDelays keeps the last delays of a viewer, a second or two of them.
type recentDelays struct {
	mu   sync.Mutex
	ring [256]time.Duration
	n    int // added in all
}

func (r *recentDelays) add(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.n%len(r.ring)] = d
	r.n++
}

// median returns the middle one, 0 if there is none.
func (r *recentDelays) median() time.Duration {
	r.mu.Lock()
	ring, n := r.ring, min(r.n, len(r.ring))
	r.mu.Unlock()
	if n == 0 {
		return 0
	}
	slices.Sort(ring[:n])
	return ring[n/2]
}
