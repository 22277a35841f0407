package simulations

import (
	"encoding/binary"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
	"rtmfp/multicast"
	"rtmfp/node"
)

// faulted is seven nodes that pass on a stream of 100 kbit/s while everything
// goes wrong that can: half of them behind NATs, one of these behind two; paths
// that lose in bursts, jitter, reorder, double, and corrupt; narrow access
// links; a partition, a one-way fault, a node that stalls, one that gets a new
// address, one that dies and comes back, and clocks that are wrong.
type faulted struct {
	w       *Network
	nodes   []*Node
	members []*node.GroupCore
	got     []int
	sent    int
	ring    *RingWatch
}

func newFaulted(t testing.TB, seed uint64, rareOneIn int, checks Checks) *faulted {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "faulted", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	f := &faulted{got: make([]int, 16), ring: &RingWatch{Quiet: 30 * time.Second}}
	burst := &Burst{Good: 4 * time.Second, Bad: 100 * time.Millisecond}
	f.w = New(Config{Seed: seed, Checks: checks, Link: func(from, to int) Link {
		l := Link{Latency: time.Duration(10+(from*11+to*7)%50) * time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.005}
		switch (from + to) % 4 {
		case 0:
			l.Burst = burst
		case 1:
			l.Reorder, l.Duplicate = 0.01, 0.01
		case 2:
			l.Corrupt = 0.002
		}
		return l
	}})
	carrier := f.w.AddNAT(NATConfig{Mapping: EndpointIndependent, Filtering: AddressAndPortDependent, Hairpin: true, Ports: RandomPorts})
	nats := []*NAT{
		nil, nil, nil, nil,
		f.w.AddNAT(NATConfig{Filtering: AddressDependent}),
		f.w.AddNAT(NATConfig{Filtering: AddressAndPortDependent, Ports: SequentialPorts, Lifetime: 30 * time.Second}),
		f.w.AddNAT(NATConfig{Behind: carrier}),
	}
	for i := range 7 {
		f.add(t, spec, NodeConfig{
			Core:       node.CoreConfig{Introduce: i == 0, SimulatedCrypto: true},
			NAT:        nats[i],
			Access:     Access{Up: 2_000_000, Down: 10_000_000, CoDel: i%2 == 0},
			ClockDrift: 40 * (i - 3), ClockOffset: time.Duration(i) * time.Second,
			RareOneIn:  rareOneIn,
			PacketCost: 20 * time.Microsecond, WorkCost: 300 * time.Microsecond,
		})
		f.w.Run(50 * time.Millisecond)
	}
	f.w.Check("ring", func(now clock.Time) error { return f.ring.Check(now, f.present()) })
	at := func(s int, do func()) { f.w.At(clock.Time(s)*clock.Time(time.Second), do) }
	var fault *Fault
	at(8, func() { fault = f.w.Partition(func(n *Node) int { return n.Number() % 2 }) })
	at(11, func() { f.w.Mend(fault) })
	at(14, func() { f.w.Stall(f.nodes[3], 800*time.Millisecond) })
	at(16, func() { f.w.Renew(f.nodes[2]) })
	at(18, func() { f.w.Renew(f.nodes[5]) })
	at(20, func() { f.w.Remove(f.nodes[4]) })
	at(22, func() { fault = f.w.OneWay(f.nodes[3], f.nodes[6]) })
	at(25, func() { f.w.Mend(fault) })
	at(26, func() {
		f.add(t, spec, NodeConfig{Core: node.CoreConfig{SimulatedCrypto: true}, NAT: nats[4]})
	})
	return f
}

// add puts a node on the network that joins, and plays unless it is one of the
// first two: the introducer, and the publisher.
func (f *faulted) add(t testing.TB, spec *group.Spec, cfg NodeConfig) {
	n, err := f.w.Add(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.nodes = append(f.nodes, n)
	i := n.Number()
	var sub *multicast.Subscription
	f.w.Do(n, func(now clock.Time) {
		if i > 0 {
			first := f.nodes[0].Addr
			n.Core.AddBootstrap(now, "rtmfp://"+first.String(), addrs(first))
		}
		g := n.Core.Join(now, spec)
		f.members = append(f.members, g)
		if i > 1 {
			sub, _ = g.Streams().Play(now, "cam", multicast.PlayConfig{})
		}
	})
	n.OnTurn = func(clock.Time) {
		drainEvents(n)
		if sub == nil {
			return
		}
		for _, ok := sub.NextFrame(); ok; _, ok = sub.NextFrame() {
			f.got[i]++
		}
	}
}

func (f *faulted) present() (list []RingMember) {
	for i, n := range f.nodes {
		if !n.Stopped() {
			list = append(list, RingMember{Number: i, Peer: group.PeerID(n.Core.ID()), Group: f.members[i].Group()})
		}
	}
	return list
}

// run publishes for d.
func (f *faulted) run(t testing.TB, d time.Duration) {
	var pub *multicast.Publication
	f.w.Do(f.nodes[1], func(now clock.Time) {
		var err error
		if pub, err = f.members[1].Streams().Publish(now, "cam", multicast.StreamConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	data := make([]byte, 500)
	for end := f.w.Now().Add(d); f.w.Now() < end && f.w.Err() == nil; f.sent++ {
		binary.BigEndian.PutUint64(data, uint64(f.sent))
		f.w.Do(f.nodes[1], func(now clock.Time) {
			if err := pub.Write(now, multicast.Message{Data: data, Key: f.sent%25 == 0, SentAt: f.nodes[1].Unix()}); err != nil {
				t.Fatal(err)
			}
		})
		f.w.Run(40 * time.Millisecond)
	}
}

// Whatever goes wrong, no invariant breaks, and those who stay see the stream.
func TestFaulted(t *testing.T) {
	f := newFaulted(t, 3, 0, Checks{Turns: 1, Order: true, Catch: true})
	f.run(t, 100*time.Second)
	if err := f.w.Err(); err != nil {
		t.Fatal(err)
	}
	for i, n := range f.nodes {
		if i > 1 && !n.Stopped() && i < 7 && f.got[i] < f.sent*9/10 {
			t.Errorf("node %d: got %d of %d messages", i, f.got[i], f.sent)
		}
	}
	s := f.w.Stats()
	for _, d := range []Drop{DropLoss, DropFilter, DropFault} {
		if s.Dropped[d] == 0 {
			t.Errorf("nothing was dropped for %v", d)
		}
	}
	if s.Corrupted == 0 || s.Duplicated == 0 || s.Reordered == 0 {
		t.Errorf("faults that did not happen: %+v", s)
	}
	t.Logf("%v, %d sent, got %v, %+v", f.w, f.sent, f.got, s)
}

// Every rare thing happens, and still no invariant breaks and the stream
// arrives, though a tenth of it is not pushed at each hop.
func TestRare(t *testing.T) {
	f := newFaulted(t, 8, 10, Checks{Turns: 1, Order: true, Catch: true})
	points := make([]*rare.Points, len(f.nodes))
	for i, n := range f.nodes {
		points[i] = n.rare
		n.rare.Set(rare.ReportTwice, 2) // there are few reports
	}
	f.run(t, 40*time.Second)
	if err := f.w.Err(); err != nil {
		t.Fatal(err)
	}
	for _, p := range rare.All() {
		hits := uint64(0)
		for _, at := range points {
			hits += at.Hits(p)
		}
		if hits == 0 {
			t.Errorf("%v never struck", p)
		}
	}
	if f.got[3] < f.sent*9/10 {
		t.Errorf("node 3: got %d of %d messages", f.got[3], f.sent)
	}
}

// One seed gives one trace, however often and beside whatever it runs, though
// Go walks each map in another order each time. CI compares the fingerprint that
// is logged with that of other processors.
func TestTraceRepeats(t *testing.T) {
	repeats := 100
	if testing.Short() {
		repeats = 10
	}
	traces := make(chan uint64, repeats)
	limit := make(chan bool, runtime.GOMAXPROCS(0))
	for range repeats {
		go func() {
			limit <- true
			f := newFaulted(t, 5, 50, Checks{})
			f.run(t, 2*time.Second)
			<-limit
			traces <- f.w.Trace()
		}()
	}
	first := <-traces
	t.Logf("| trace of seven faulted nodes, seed 5: %016x", first)
	for range repeats - 1 {
		if got := <-traces; got != first {
			t.Fatalf("two runs of one seed: got traces %016x and %016x, want them equal", first, got)
		}
	}
	other := newFaulted(t, 6, 50, Checks{})
	other.run(t, 2*time.Second)
	if other.w.Trace() == first {
		t.Errorf("two seeds have the trace %016x", first)
	}
}

// Each invariant breaks if what it watches is broken, and the run stops with
// the seed and the time.
func TestBreaches(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(f *faulted)
	}{
		{"bytes", func(f *faulted) { f.w.main.stats.Bytes++ }},
		{"ring", func(f *faulted) {
			hidden := f.nodes[6]
			f.w.watch.own[0].f = func(now clock.Time) error {
				hidden.stopped = true // for the list of members alone
				defer func() { hidden.stopped = false }()
				return f.ring.Check(now, f.present())
			}
		}},
		{"core", func(f *faulted) {
			// A count of the endpoint, which nobody outside of it may change.
			count := reflect.ValueOf(f.nodes[3].Core).Elem().FieldByName("ep").Elem().FieldByName("opening")
			*(*int)(count.Addr().UnsafePointer()) = -1
		}},
		{"order", func(f *faulted) {
			var forget func() // what was sent, some of which is on its way
			forget = func() { clear(f.w.watch.order.flows); f.w.After(5*time.Millisecond, forget) }
			forget()
		}},
		{"memory", func(f *faulted) { f.w.watch.checks.MemoryPerNode = 1 }},
		{"panic", func(f *faulted) { f.w.After(0, func() { panic("BUG: a test") }) }},
		{"progress", func(f *faulted) { f.nodes[3].driven = restless{f.nodes[3].Core} }},
	} {
		f := newFaulted(t, 4, 0, Checks{Turns: 1, Order: true, Catch: true})
		f.w.Run(5 * time.Second)
		if err := f.w.Err(); err != nil {
			t.Fatalf("%s: before it is broken: %v", c.name, err)
		}
		at := f.w.Now()
		c.spoil(f)
		f.w.Run(25 * time.Second)
		b, ok := f.w.Err().(*Breach)
		if !ok || b.Name != c.name || b.Seed != 4 || b.At < at || f.w.Now() != b.At {
			t.Errorf("%s: got %v at %v, want it broken", c.name, f.w.Err(), f.w.Now())
			continue
		}
		if !strings.Contains(b.Error(), "seed 4") {
			t.Errorf("%s: the seed is not told: %v", c.name, b)
		}
	}
}

// What comes out of order, twice, or from nowhere is found; what is missing is
// let pass.
func TestOrderBook(t *testing.T) {
	for _, c := range []struct {
		sent, got string // a letter is a message
		ordered   bool
		ok        bool
	}{
		{"abcabc", "abcabc", true, true},
		{"abcabc", "acc", true, true},
		{"abca", "aba", true, true},
		{"abc", "acb", true, false},
		{"abc", "abb", true, false},
		{"abc", "abd", true, false},
		{"", "a", true, false},
		{"abca", "cbaa", false, true},
		{"abca", "aaa", false, false},
		{"abc", "ad", false, false},
	} {
		w := New(Config{Seed: 1, Checks: Checks{Order: true}})
		b := w.watch.order
		n := &Node{net: w, lane: &w.main}
		watch := b.watch(n)
		name := node.FlowName{Session: 1, Flow: 2}
		for _, m := range c.sent {
			watch.Sent(name, []byte(string(m)))
		}
		for _, m := range c.got {
			watch.Delivered(name, c.ordered, []byte(string(m)))
		}
		if got := w.Err() == nil; got != c.ok {
			t.Errorf("sent %q, got %q, ordered %v: %v, want ok %v", c.sent, c.got, c.ordered, w.Err(), c.ok)
		}
	}
}

// restless is a core that always wants to be called at once.
type restless struct{ *node.Core }

func (restless) Deadline() clock.Time { return 0 }

func BenchmarkFaulted(b *testing.B) {
	// Seven nodes are so little that at the usual rate garbage would be collected
	// all the time.
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	virtual, cpu := 0.0, cpuTime()
	for b.Loop() {
		f := newFaulted(b, 3, 0, Checks{})
		f.run(b, 60*time.Second)
		if err := f.w.Err(); err != nil {
			b.Fatal(err)
		}
		virtual += time.Duration(f.w.Now()).Seconds()
	}
	b.ReportMetric(virtual/b.Elapsed().Seconds(), "×real")
	if cpu = cpuTime() - cpu; cpu > 0 {
		b.ReportMetric(virtual/cpu.Seconds(), "virtual-s/cpu-s")
	}
}
