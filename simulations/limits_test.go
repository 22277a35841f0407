package simulations

import (
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/replication"
)

// copier is a node of a Network that exchanges the blocks of files in groups.
type copier struct {
	t      *testing.T
	net    *Network
	n      *Node
	groups []*node.GroupCore
	files  []*replication.Collection
	got    []uint64 // bytes, in each group
	done   clock.Time
	begun  clock.Time
}

const copyBlock = 64 << 10

func filesGroup(t *testing.T, name string) *group.Spec {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: name, Multicast: true, Replication: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// addCopier adds a node to groups; the first of a network introduces the others.
func addCopier(t *testing.T, w *Network, cfg NodeConfig, specs ...*group.Spec) *copier {
	t.Helper()
	cfg.Core.Introduce = len(w.Nodes()) == 0
	n, err := w.Add(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &copier{t: t, net: w, n: n, done: clock.Never, got: make([]uint64, len(specs))}
	w.Do(n, func(now clock.Time) {
		if !cfg.Core.Introduce {
			first := w.Nodes()[0].Addr
			n.Core.AddBootstrap(now, "rtmfp://"+first.String(), addrs(first))
		}
		for _, spec := range specs {
			g := n.Core.Join(now, spec)
			x, err := g.OpenFile(now, replication.CollectionID{9})
			if err != nil {
				t.Fatal(err)
			}
			c.groups, c.files = append(c.groups, g), append(c.files, x)
		}
	})
	n.OnTurn = c.turn
	return c
}

// turn answers as the workers of a node do, with blocks that tell who they are.
func (c *copier) turn(now clock.Time) {
	drainEvents(c.n)
	for i, g := range c.groups {
		objects := g.Objects(now)
		for ev, ok := objects.NextEvent(); ok; ev, ok = objects.NextEvent() {
			switch ev.Kind {
			case replication.Requested:
				_ = objects.Answer(now, ev.Request, make([]byte, copyBlock))
			case replication.Fetched:
				c.got[i] += uint64(len(ev.Data))
				_ = ev.Collection.AddHave(now, replication.Range{Start: ev.Index, End: ev.Index + 1})
				if ev.Collection.Want() == 0 {
					c.done = c.net.Now()
				}
			}
		}
	}
}

func (c *copier) have(i int, blocks uint64) {
	c.net.Do(c.n, func(now clock.Time) {
		if err := c.files[i].AddHave(now, replication.Range{Start: 0, End: blocks}); err != nil {
			c.t.Fatal(err)
		}
	})
}

func (c *copier) want(i int, blocks uint64) {
	c.begun = c.net.Now()
	c.net.Do(c.n, func(now clock.Time) {
		if err := c.files[i].AddWant(now, replication.Range{Start: 0, End: blocks}); err != nil {
			c.t.Fatal(err)
		}
	})
}

// rates runs for d and returns what nodes send and take meanwhile, in bytes per
// second.
func rates(w *Network, d time.Duration, nodes ...*copier) (sent, received []float64) {
	for _, c := range nodes {
		sent, received = append(sent, -float64(c.n.Sent)), append(received, -float64(c.n.Received))
	}
	w.Run(d)
	for i, c := range nodes {
		sent[i] = (sent[i] + float64(c.n.Sent)) / d.Seconds()
		received[i] = (received[i] + float64(c.n.Received)) / d.Seconds()
	}
	return sent, received
}

func within(t *testing.T, what string, got, least, most float64) {
	t.Helper()
	t.Logf("%s: %.3g", what, got)
	if got < least || got > most {
		t.Errorf("%s: got %.4g, want %.4g to %.4g", what, got, least, most)
	}
}

// An upload limit holds for all groups of a node together, by what leaves its
// socket, and each group gets its share.
func TestUploadLimit(t *testing.T) {
	const limit = 500_000
	a, b := filesGroup(t, "a"), filesGroup(t, "b")
	w := New(Config{Seed: 1})
	seed := addCopier(t, w, NodeConfig{Core: node.CoreConfig{UploadLimit: limit}}, a, b)
	x, y := addCopier(t, w, NodeConfig{}, a), addCopier(t, w, NodeConfig{}, b)
	w.Run(3 * time.Second)
	for i, c := range []*copier{x, y} {
		seed.have(i, 2000)
		c.want(0, 2000)
	}
	w.Run(3 * time.Second)
	before := x.got[0] + y.got[0]
	first := x.got[0]
	sent, _ := rates(w, 20*time.Second, seed)
	within(t, "sent, of the limit", sent[0]/limit, 0.95, 1.02)
	within(t, "the share of one group", float64(x.got[0]-first)/float64(x.got[0]+y.got[0]-before), 0.4, 0.6)
}

// Where there is a stream, it goes first, and files get what is left of the
// limit.
func TestUploadLimitWithStream(t *testing.T) {
	const limit = 600_000
	a, b := filesGroup(t, "a"), filesGroup(t, "b")
	w := New(Config{Seed: 2})
	seed := addCopier(t, w, NodeConfig{Core: node.CoreConfig{UploadLimit: limit}}, a, b)
	x, y := addCopier(t, w, NodeConfig{}, a), addCopier(t, w, NodeConfig{}, b)
	w.Run(3 * time.Second)
	seed.have(0, 2000)
	x.want(0, 2000)
	s := startStream(t, w, seed.n, seed.groups[1], y.n, y.groups[0], y.turn)
	w.Run(2 * time.Second)
	before := x.got[0]
	sent, _ := rates(w, 20*time.Second, seed)
	within(t, "sent, of the limit", sent[0]/limit, 0.95, 1.02)
	within(t, "the file's part of the limit", float64(x.got[0]-before)/20/limit, 0.4, 0.56) // the stream takes 0.42
	if s.lost != 0 || s.count < 20*266 {
		t.Errorf("%d messages of the stream came, %d were lost", s.count, s.lost)
	}
}

// A download limit holds for all groups together, too.
func TestDownloadLimit(t *testing.T) {
	const limit = 500_000
	a, b := filesGroup(t, "a"), filesGroup(t, "b")
	w := New(Config{Seed: 3})
	var seeds []*copier
	seeds = append(seeds, addCopier(t, w, NodeConfig{}, a, b))
	x := addCopier(t, w, NodeConfig{Core: node.CoreConfig{DownloadLimit: limit}}, a, b)
	seeds = append(seeds, addCopier(t, w, NodeConfig{}, a, b))
	w.Run(3 * time.Second)
	for i := range 2 {
		for _, s := range seeds {
			s.have(i, 2000)
		}
		x.want(i, 2000)
	}
	_, began := rates(w, 3*time.Second, x)
	within(t, "received in the first 3 s, of the limit", began[0]/limit, 0.8, 1.3)
	one, all := x.got[0], x.got[0]+x.got[1]
	_, received := rates(w, 20*time.Second, x)
	within(t, "received, of the limit", received[0]/limit, 0.95, 1.03)
	within(t, "the share of one group", float64(x.got[0]-one)/float64(x.got[0]+x.got[1]-all), 0.4, 0.6)
}

// watched is a stream of 2 Mbit/s that one node publishes and another plays.
type watched struct {
	sub    *multicast.Subscription
	count  int
	lost   int
	delays []time.Duration
}

func startStream(t *testing.T, w *Network, from *Node, source *node.GroupCore, to *Node, sink *node.GroupCore, turn func(now clock.Time)) *watched {
	t.Helper()
	s := &watched{}
	var pub *multicast.Publication
	w.Do(from, func(now clock.Time) {
		var err error
		if pub, err = source.Streams().Publish(now, "cam", multicast.StreamConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	w.Do(to, func(now clock.Time) {
		var err error
		if s.sub, err = sink.Streams().Play(now, "cam", multicast.PlayConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	to.OnTurn = func(now clock.Time) {
		turn(now)
		for f, ok := s.sub.NextFrame(); ok; f, ok = s.sub.NextFrame() {
			s.count++
			s.lost += f.Lost
			s.delays = append(s.delays, time.Duration(w.Unix()-f.SentAt)*time.Microsecond)
		}
	}
	no := 0
	var write func()
	write = func() {
		w.Do(from, func(now clock.Time) {
			if err := pub.Write(now, multicast.Message{Data: message(uint64(no)), Timestamp: uint32(no * 1000 / 266), Key: no%266 == 0, SentAt: w.Unix()}); err != nil {
				t.Fatal(err)
			}
		})
		no++
		w.After(time.Second/266, write)
	}
	write()
	return s
}

// percentile returns the delay that so many percent of the messages did not
// exceed.
func (s *watched) percentile(p int) time.Duration {
	d := slices.Clone(s.delays)
	slices.Sort(d)
	return d[min(len(d)*p/100, len(d)-1)]
}

// A stream of 2 Mbit/s does not wait for a copy at full speed that shares its
// link of 20 Mbit/s: of the same members, in one session, and of others that
// share only an access link with it.
func TestStreamBesideCopy(t *testing.T) {
	slow := Access{Up: 20_000_000, Down: 20_000_000}
	for _, c := range []struct {
		name     string
		access   [3]Access // of the source and the viewer of the stream, and a third
		from, to int       // of the copy
		before   bool      // it is there before the stream
	}{
		{name: "one session, uplink", access: [3]Access{0: slow}, from: 0, to: 1},
		{name: "one session, downlink", access: [3]Access{1: slow}, from: 0, to: 1},
		{name: "one session, the copy first", access: [3]Access{0: slow}, from: 0, to: 1, before: true},
		{name: "uplink of the source, the copy to another", access: [3]Access{0: slow}, from: 0, to: 2},
		{name: "downlink of the viewer, the copy from another", access: [3]Access{1: slow}, from: 2, to: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := func(copies bool) (*watched, float64) {
				spec := filesGroup(t, "live")
				w := New(Config{Seed: 4})
				var n []*copier
				for _, a := range c.access {
					n = append(n, addCopier(t, w, NodeConfig{Access: a}, spec))
				}
				w.Run(3 * time.Second)
				start := func() {
					if copies {
						n[c.from].have(0, 1<<14)
						n[c.to].want(0, 1<<14)
					}
					w.Run(5 * time.Second)
				}
				if c.before {
					start()
				}
				s := startStream(t, w, n[0].n, n[0].groups[0], n[1].n, n[1].groups[0], n[1].turn)
				w.Run(3 * time.Second)
				if !c.before {
					start()
				}
				w.Run(5 * time.Second)
				s.delays, s.count = nil, 0
				from := n[c.to].got[0]
				w.Run(30 * time.Second)
				return s, float64(n[c.to].got[0]-from) * 8 / 30 / 1e6
			}
			alone, _ := run(false)
			beside, rate := run(true)
			added := beside.percentile(99) - alone.percentile(99)
			t.Logf("p99 %v alone, %v beside a copy at %.1f Mbit/s: + %v; p50 + %v", alone.percentile(99), beside.percentile(99), rate, added,
				beside.percentile(50)-alone.percentile(50))
			if added > 30*time.Millisecond {
				t.Errorf("p99 + %v, want at most 30 ms", added)
			}
			if beside.lost != 0 || beside.count < alone.count-5 {
				t.Errorf("%d of %d messages, %d lost", beside.count, alone.count, beside.lost)
			}
			if rate < 12 {
				t.Errorf("the copy got %.1f Mbit/s of 18", rate)
			}
		})
	}
}
