package simulations

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
)

// Config says what network to make. All functions must decide alike when they
// are asked alike, or runs do not repeat.
type Config struct {
	Seed uint64

	// Link gives the way from one node to another, by their numbers in the
	// order of AddNode. It is asked for every datagram. Default: 20 ms, nothing
	// lost.
	Link func(from, to int) Link

	// Lookahead, if it is not 0, is what every datagram takes from one node to
	// another at least. It lets nodes run ahead of each other for so long, which
	// makes large networks faster; a datagram that is faster is a breach. In a
	// call from a node (OnTurn, Do) others may be ahead of it or behind, so that
	// such calls must not touch them, and must take the time from the node and
	// not from the Network. While there are NATs it has no effect.
	Lookahead time.Duration

	// Lanes is how many nodes are run at the same time, on as many threads.
	// Default 1. It needs a Lookahead, and calls from different nodes must then
	// bear to be made at once. What happens does not depend on it. With
	// Checks.Order it has no effect.
	Lanes int

	// LAN is the way between nodes behind the same NAT. Default: 0.5 ms.
	LAN Link

	// Trace says what goes into the fingerprint.
	Trace TraceLevel

	// Checks says which invariants are watched. Default: those that cost little.
	Checks Checks

	// Sample, if it is not nil, is called every SampleEvery (default 1 s) of
	// virtual time, between two events.
	Sample      func(now clock.Time)
	SampleEvery time.Duration

	// Progress, if it is not nil, is called every 65,536 entries of the calendar, so that a
	// caller can show how far a run is. It must not touch the network.
	Progress func(Progress)
}

// Progress is how far a network is.
type Progress struct {
	Now    clock.Time
	Events uint64
}

// Network is a virtual network with its nodes and its clock.
type Network struct {
	cfg      Config
	main     lane // outside of stretches, and the first in them
	lanes    []*lane
	calendar calendar
	nodes    []*Node
	moved    map[netip.AddrPort]*Node // nodes at other addresses than their first, and NATs' insides are elsewhere
	nats     []*NAT
	outside  map[netip.Addr]*NAT // by the outer address of those on the public network
	flights  flights
	calls    slots[call]
	stretch  stretch
	works    slots[workItem]
	faults   []*Fault
	sampleAt clock.Time
	watch    watch
}

// manyNodes is from how many nodes on their memory is more than what is found
// without huge pages.
const manyNodes = 100

// transmitSize is the room for one batch of datagrams of a core.
const transmitSize = 64 << 10

// New makes a network without nodes at the virtual instant 0.
func New(cfg Config) *Network {
	if cfg.Link == nil {
		cfg.Link = func(int, int) Link { return Link{Latency: 20 * time.Millisecond} }
	}
	if cfg.LAN.Latency == 0 {
		cfg.LAN.Latency = 500 * time.Microsecond
	}
	if cfg.SampleEvery <= 0 {
		cfg.SampleEvery = time.Second
	}
	w := &Network{
		cfg:      cfg,
		moved:    map[netip.AddrPort]*Node{},
		outside:  map[netip.Addr]*NAT{},
		sampleAt: clock.Time(0).Add(cfg.SampleEvery),
	}
	if cfg.Checks.Order || cfg.Lanes < 1 {
		w.cfg.Lanes = 1
	}
	w.main.init(w)
	w.lanes = append(w.lanes, &w.main)
	for range w.cfg.Lanes - 1 {
		l := new(lane)
		l.init(w)
		w.lanes = append(w.lanes, l)
	}
	w.calendar.init()
	w.watch.init(cfg.Checks)
	if cfg.Checks.Order {
		w.watch.order = &orderBook{w, map[node.FlowName]*orderFlow{}}
	}
	return w
}

// Now returns the virtual time.
func (w *Network) Now() clock.Time { return w.main.now }

// Unix returns the virtual wall clock in microseconds, as nodes whose clocks
// are right have it.
func (w *Network) Unix() int64 { return int64(w.main.now) / int64(time.Microsecond) }

// Stats returns what has happened so far.
func (w *Network) Stats() Stats {
	s := w.main.stats
	for _, l := range w.lanes[1:] {
		s.add(&l.stats)
	}
	return s
}

// Nodes returns all nodes in the order in which they were added, those that
// were stopped or removed included.
func (w *Network) Nodes() []*Node { return w.nodes }

// Rand returns the source of randomness for a node: a generator of its own
// that follows from the network's seed and the number.
func (w *Network) Rand(number int) io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[0:], w.cfg.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(number)+1)
	return rand.NewChaCha8(seed)
}

// AddNode puts a node without peculiarities on the network. Identity and Rand
// of cfg are filled in if they are nil.
func (w *Network) AddNode(cfg node.CoreConfig) (*Node, error) {
	return w.Add(NodeConfig{Core: cfg})
}

// At calls f at the virtual instant when, or now if that is over. Calls of one
// instant are made in the order in which they were asked for.
func (w *Network) At(when clock.Time, f func()) {
	if w.stretch.lanes > 1 {
		panic("BUG: simulations: a call for everybody is planned from a node's turn while nodes run at once")
	}
	w.main.plan(max(when, w.main.now), entryCall, w.calls.add(call{f: f}), nil)
}

// After calls f when d has passed.
func (w *Network) After(d time.Duration, f func()) { w.At(w.main.now.Add(d), f) }

// Run lets virtual time pass for d, or until an invariant breaks; see Err.
func (w *Network) Run(d time.Duration) {
	if w.watch.checks.Catch {
		defer w.main.catch()
	}
	end := w.main.now.Add(d)
	for steps := 0; w.watch.breach == nil; {
		when := min(w.calendar.next(), end)
		for w.sampleAt <= when {
			w.main.now = max(w.main.now, w.sampleAt)
			w.sampleAt = w.sampleAt.Add(w.cfg.SampleEvery)
			w.sample()
		}
		if w.watch.breach != nil {
			return
		}
		if when < end && w.lookahead() > 0 {
			w.runStretch(when, min(end, w.sampleAt))
			steps = w.progress(steps + len(w.stretch.batch))
			continue
		}
		e, ok := w.calendar.pop(when)
		if !ok {
			if when < end {
				continue // what was sampled put something earlier in
			}
			w.main.now = end
			return
		}
		w.main.now = e.when
		steps = w.progress(steps + 1)
		w.main.happen(&e)
	}
}

// progress tells how far the network is after so many entries, and returns how
// many there were since.
func (w *Network) progress(steps int) int {
	if steps < 1<<16 {
		return steps
	}
	if w.cfg.Progress != nil {
		w.cfg.Progress(Progress{Now: w.main.now, Events: w.Stats().Events})
	}
	return 0
}

func (w *Network) sample() {
	if len(w.nodes) >= manyNodes {
		hugePages()
	}
	if w.cfg.Sample != nil {
		w.cfg.Sample(w.main.now)
	}
	w.checkNow()
}

// Slim gives back the memory that busier times have left in the network itself.
func (w *Network) Slim() {
	for _, l := range w.lanes {
		l.pool = pool{}
	}
	w.main.pool.free = w.flights.slim()
	w.calendar.rebuild(w.calendar.shift, w.calendar.day)
}

// String tells the counters.
func (w *Network) String() string {
	return fmt.Sprintf("%v: %d nodes, %d events", time.Duration(w.main.now), len(w.nodes), w.Stats().Events)
}

// call is a function that At or DoAt was given.
type call struct {
	f    func()
	node *Node
	do   func(now clock.Time)
}
