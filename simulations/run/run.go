// Package run carries out scenarios: it makes the network and the nodes of a
// scenario for a seed, lets them come and go, breaks what is to break, and
// takes the figures that package figure lists.
//
// A run is owned by one goroutine, and everything in it follows from scenario
// and seed. Seeds runs several of them side by side.
package run

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/geography"
	"rtmfp/simulations/scenario"
	"rtmfp/simulations/talk"
)

// Options are what a run does beside its scenario.
type Options struct {
	// Progress, if it is not nil, is called now and then from the run's
	// goroutine.
	Progress func(now time.Duration, events uint64)

	// Until ends the run at that virtual time, warm-up included; 0 is its end.
	Until time.Duration

	// Watch, if it is not nil, is told of every node before its core is made,
	// and may change how it is configured, to trace it for example.
	Watch func(number int, role string, cfg *simulations.NodeConfig)

	// Lanes is how many of the run's nodes are run at once, where the scenario
	// allows it. Default 1. The figures do not depend on it.
	Lanes int

	// Draw, if it is not 0, gives the nodes other keys and other random numbers
	// than the seed alone, on the same lines.
	Draw uint64

	// Delivered, if it is not nil, is told how long each message took to a
	// viewer that was published when it was there, as nodes count delays: with
	// those that it catches up on when it begins.
	Delivered func(number int, delay time.Duration)

	// Tell, if it is not nil, is told what happens in the run.
	Tell func(Happening)

	made func(*run) // is given the run, in tests
}

// Happening is something that happens in a run.
type Happening struct {
	At   time.Duration
	Node int    // -1 if it is nobody's
	What string // "join", "leave", "die", "shock", "first_frame", "late_frame", "neighbor_up", …
	Text string
}

// run is one run.
type run struct {
	s     *scenario.Scenario
	m     *geography.Map
	opts  Options
	net   *simulations.Network
	rng   *rand.PCG
	spec  *group.Spec
	deal  *geography.Dealer
	slice int // of the geography, that holds now

	members []*member // by number
	living  []*member // in the order in which they came
	byPeer  map[node.PeerID]*member
	boots   []*member
	quotas  []int // of the classes: how many nodes there were
	nats    map[string]*simulations.NAT
	planned int // viewers and bystanders so far, of whom shares are dealt
	players int
	badOnes []int

	pub      *multicast.Publication
	interval time.Duration
	keyEach  uint64
	message  []byte
	pattern  pattern    // of the stream
	sent     uint64     // messages
	counted  uint64     // number of the first one that is measured
	opened   clock.Time // when the stream begins
	began    clock.Time // when measuring does
	ended    clock.Time

	begun     bool // measuring has
	measuring bool
	one       sync.Mutex // over what the turns of several nodes count: tally, windows, traffic
	windows   windows
	tally     tally
	fragments fragments
	traffic   traffic
	routing   routing
	files     files
	talkers   []*member // both ends of each pair, the first one first
	pairs     []*talk.Pair
	churn     churn
	shocks    []*shock
}

// Run carries out a scenario once. A breach of an invariant is in the Result;
// an error is only returned when the run could not be made, or ctx ended.
func Run(ctx context.Context, s *scenario.Scenario, m *geography.Map, seed uint64, opts Options) (*Result, error) {
	r := &run{
		s: s, m: m, opts: opts,
		byPeer: map[node.PeerID]*member{},
		nats:   map[string]*simulations.NAT{},
		quotas: make([]int, max(len(s.Classes), 1)),
	}
	r.seed(seed)
	if opts.made != nil {
		opts.made(r)
	}
	for _, region := range s.HasRegions() {
		if len(r.inRegion(region)) == 0 {
			return nil, fmt.Errorf("%s: a shock is in the region %q, but %s has %q", s.FullName(), region, m.Name, m.Regions())
		}
	}
	var err error
	if r.spec, err = group.NewSpec(group.SpecFields{Name: "simulation", Multicast: true, ServerChannel: true, Version: 2,
		Posting: s.Posts != nil, Routing: s.Routing != nil, Replication: s.Files != nil}); err != nil {
		return nil, err
	}
	r.deal = m.NewDealer(rand.New(rand.NewPCG(seed, 0x706c61636573)))
	r.tally.init(s)
	r.traffic.init(s)
	r.routing.init(s)
	r.files.init(s)
	r.net = simulations.New(simulations.Config{
		Seed: seed ^ opts.Draw*0x9e3779b97f4a7c15, Link: r.link,
		Checks:      simulations.Checks{Catch: true, Turns: s.Checks.Turns, Order: s.Checks.Order},
		Sample:      r.sample,
		SampleEvery: time.Duration(s.Measure.Sample),
		Progress:    r.progress,
		Lookahead:   r.lookahead(),
		Lanes:       opts.Lanes,
	})
	r.watchRing()
	if err := r.plan(); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := r.pass(ctx); err != nil {
		r.release()
		return nil, err
	}
	return r.result(seed, time.Since(began)), nil
}

// leastLookahead is what makes it worth while to run nodes ahead of each other.
const leastLookahead = time.Millisecond

// lookahead returns how far nodes can be run ahead of each other: for as long
// as every datagram is on its way. There is none where the turns of nodes do
// more than to count: where their order is told, or they answer each other
// beside the network.
func (r *run) lookahead() time.Duration {
	s, o := r.s, &r.opts
	if s.Routing != nil || s.Talk != nil || s.Checks.Order || o.Watch != nil || o.Delivered != nil || o.Tell != nil {
		return 0
	}
	least := r.m.Least() + 2*time.Duration(s.Network.LastMile[0]) + time.Duration(s.Network.Hop)
	if least < leastLookahead {
		return 0
	}
	return least
}

// seed makes the source of what the run itself draws.
func (r *run) seed(seed uint64) { r.rng = rand.NewPCG(seed, 0x6e6f646573) }

func (r *run) progress(p simulations.Progress) {
	if r.opts.Progress != nil {
		r.opts.Progress(time.Duration(p.Now), p.Events)
	}
}

func (r *run) tell(m *member, what, format string, args ...any) {
	if r.opts.Tell == nil {
		return
	}
	number := -1
	if m != nil {
		number = m.node.Number()
	}
	r.opts.Tell(Happening{time.Duration(r.net.Now()), number, what, fmt.Sprintf(format, args...)})
}

// step is how much virtual time passes between looks at the context.
const step = 50 * time.Millisecond

// pass lets the run's time pass.
func (r *run) pass(ctx context.Context) error {
	end := r.s.Total()
	if r.opts.Until > 0 {
		end = min(end, r.opts.Until)
	}
	for now := time.Duration(0); now < end && r.net.Err() == nil; now = time.Duration(r.net.Now()) {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.net.Run(min(step, end-now))
	}
	return nil
}

// plan arranges for everything whose time is known.
func (r *run) plan() error {
	s := r.s
	r.began = clock.Time(s.Warmup)
	r.opened = r.began
	if s.Live != nil {
		r.interval = time.Duration(int64(s.Live.Message) * 8 * int64(time.Second) / int64(s.Live.Bitrate))
		r.keyEach = uint64(max(time.Duration(s.Live.KeyEvery)/r.interval, 1))
		r.message = make([]byte, s.Live.Message)
		r.pattern = newPattern(len(r.message))
		r.opened = clock.Time(s.Warmup - s.Live.Lead)
		r.counted = uint64((time.Duration(s.Live.Lead) + r.interval - 1) / r.interval)
		r.fragments.init(len(r.message))
		r.windows.each = r.fragments.each
	}
	if n := r.m.Slices(); n > 1 && s.Network.Geography == "file" {
		for i := 1; time.Duration(s.Network.Slice)*time.Duration(i) < s.Total(); i++ {
			r.net.At(clock.Time(s.Network.Slice)*clock.Time(i), func() { r.slice = i % n })
		}
	}
	if err := r.planPopulation(); err != nil {
		return err
	}
	r.planShocks()
	r.planTalkers()
	if s.Live != nil && s.Live.Lead > 0 {
		r.net.At(r.opened, r.open)
	}
	r.net.At(r.began, r.begin)
	r.net.At(clock.Time(s.Warmup+s.Duration), r.finish)
	return nil
}

// begin ends the warm-up.
func (r *run) begin() {
	r.begun, r.measuring = true, true
	r.tally.baseline(r)
	r.beginTraffic()
	r.beginFiles()
	if r.s.Live != nil && r.s.Live.Lead == 0 {
		r.open()
	}
}

// open begins the stream.
func (r *run) open() {
	if !r.s.Live.Announced {
		r.net.Do(r.publisher().node, r.announce)
	}
	r.tell(r.publisher(), "publish", "%v in messages of %v", r.s.Live.Bitrate, r.s.Live.Message)
	r.publish()
}

// announce opens the stream.
func (r *run) announce(now clock.Time) {
	p := r.publisher()
	cfg := multicast.StreamConfig{PushLimit: r.s.Live.PushLimit, Window: time.Duration(r.s.Live.Window)}
	var err error
	if r.pub, err = p.group.Streams().Publish(now, streamName, cfg); err != nil {
		r.net.Fail(p.node, "publish", err.Error())
	}
}

const streamName = "cam"

// publish writes the next message and arranges for the one after it.
func (r *run) publish() {
	p := r.publisher()
	if r.pub == nil || p.gone || r.ended != 0 {
		return
	}
	r.fragments.wrote(r.net.Now())
	r.net.Do(p.node, func(now clock.Time) {
		r.pattern.fill(r.message, r.sent)
		if err := r.pub.Write(now, multicast.Message{
			Data: r.message, Timestamp: uint32(r.net.Now().Sub(r.opened) / time.Millisecond),
			Key: r.sent%r.keyEach == 0, SentAt: p.node.Unix(),
		}); err != nil {
			r.net.Fail(p.node, "write", err.Error())
		}
	})
	if r.sent >= r.counted {
		r.windows.published(r.net.Now().Sub(r.began))
	}
	r.sent++
	r.net.At(r.publishedAt(r.sent), r.publish)
}

// publishedAt returns when a message is written, by its number from 0.
func (r *run) publishedAt(number uint64) clock.Time {
	return r.opened.Add(time.Duration(number) * r.interval)
}

// finish ends what is measured.
func (r *run) finish() {
	r.ended = r.net.Now()
	r.tally.memory = memoryPerNode()
	for _, m := range r.living {
		r.closeBooks(m)
	}
	if r.s.Live != nil {
		r.tally.compareRates(r)
	}
	r.measuring = false
	r.tally.net = minus(r.net.Stats(), r.tally.netBefore)
}

// memoryPerNode returns the live memory of the process by the nodes that live
// in it, of all runs.
func memoryPerNode() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / float64(max(population.Load(), 1))
}

// link is the network between two nodes.
func (r *run) link(from, to int) simulations.Link {
	a, b := r.members[from], r.members[to]
	n := &r.s.Network
	l := simulations.Link{
		Latency: r.direct(a, b) + time.Duration(n.Hop),
		Jitter:  time.Duration(n.Jitter), Ordered: n.Ordered,
		Loss:    float64(n.Loss),
		Reorder: float64(n.Reorder), ReorderDelay: time.Duration(n.ReorderDelay),
		Duplicate: float64(n.Duplicate), Corrupt: float64(n.Corrupt), MTU: n.MTU,
	}
	if n.BurstBad > 0 {
		l.Burst = &simulations.Burst{Good: time.Duration(n.BurstGood), Bad: time.Duration(n.BurstBad)}
	}
	return l
}

// direct is what the network alone takes from one node to another.
func (r *run) direct(from, to *member) time.Duration {
	return r.m.OneWayAt(r.slice, from.place, to.place) + from.lastMile + to.lastMile
}

func (r *run) inRegion(region string) (places []int) {
	for i := range r.m.Len() {
		if r.m.Place(i).Region == region {
			places = append(places, i)
		}
	}
	return places
}
