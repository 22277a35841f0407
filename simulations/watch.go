package simulations

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"rtmfp/internal/clock"
)

// Checks says which invariants a network watches while it runs.
type Checks struct {
	// None watches nothing, which makes a run a little faster.
	None bool

	// Turns is of how many turns of a core one is followed by a check of all
	// that its layers promise. Default 1024; 1 checks every turn.
	Turns int

	// Order compares every message that is delivered with those that were sent:
	// none may come twice, or out of order where order was promised. It takes
	// memory for what is lost on purpose.
	Order bool

	// MemoryPerNode, if it is not 0, is how many bytes of the process's live
	// heap there may be for each node that was not removed, as of the latest
	// garbage collection.
	MemoryPerNode int64

	// Catch makes a panic of a core a breach, so that it is told with the seed
	// and the time.
	Catch bool
}

// Breach is an invariant that did not hold. The run that found it stops at
// that instant; the same seed breaks it again.
type Breach struct {
	Name   string // of the invariant
	Detail string
	Seed   uint64
	At     clock.Time
	Node   int // -1 if it is nobody's
}

// Error tells the breach in one line, and the stack below it if there is one.
func (b *Breach) Error() string {
	who := ""
	if b.Node >= 0 {
		who = fmt.Sprintf(" at node %d", b.Node)
	}
	return fmt.Sprintf("invariant %q broken%s after %v with seed %d: %s", b.Name, who, time.Duration(b.At), b.Seed, b.Detail)
}

// watch is the state of a network's checks.
type watch struct {
	checks Checks
	one    sync.Mutex // over breach
	breach *Breach
	own    []ownCheck
	order  *orderBook // nil unless asked for
}

type ownCheck struct {
	name string
	f    func(now clock.Time) error
}

func (w *watch) init(c Checks) {
	if c.Turns <= 0 {
		c.Turns = 1024
	}
	w.checks = c
}

// Err returns the breach that stopped the network, nil if all is well.
func (w *Network) Err() error {
	if w.watch.breach == nil {
		return nil
	}
	return w.watch.breach
}

// Check adds an invariant of the caller's own, which is asked with each sample.
func (w *Network) Check(name string, f func(now clock.Time) error) {
	w.watch.own = append(w.watch.own, ownCheck{name, f})
}

// Fail stops the network: an invariant that the caller watches is broken. The
// first one in virtual time counts.
func (w *Network) Fail(n *Node, name, detail string) { w.breachAt(n, name, detail) }

// breachAt stops the lane that runs a node, or all of them if it is nobody's:
// that is for between stretches, when no other thread runs.
func (w *Network) breachAt(n *Node, name, detail string) {
	if n == nil {
		w.watch.note(&Breach{Name: name, Detail: detail, Seed: w.cfg.Seed, At: w.main.now, Node: -1})
		return
	}
	n.lane.broken = true
	w.watch.note(&Breach{Name: name, Detail: detail, Seed: w.cfg.Seed, At: n.lane.now, Node: n.number})
}

// note keeps the first breach in virtual time.
func (t *watch) note(b *Breach) {
	t.one.Lock()
	defer t.one.Unlock()
	if have := t.breach; have == nil || b.At < have.At || b.At == have.At && b.Node < have.Node {
		t.breach = b
	}
}

// catch makes a panic a breach, of the node whose turn it is in a stretch.
func (l *lane) catch() {
	r := recover()
	if r == nil {
		return
	}
	b := &Breach{Name: "panic", Detail: fmt.Sprintf("%v\n%s", r, debug.Stack()), Seed: l.net.cfg.Seed, At: l.now, Node: -1}
	if l.active {
		b.Node = l.node.number
	}
	l.net.watch.note(b)
}

// checkNow asks the invariants that concern the network as a whole.
func (w *Network) checkNow() {
	if w.watch.checks.None {
		return
	}
	if err := w.conserved(); err != nil {
		w.breachAt(nil, "bytes", err.Error())
	}
	if err := w.fits(); err != nil {
		w.breachAt(nil, "memory", err.Error())
	}
	for _, c := range w.watch.own {
		if err := c.f(w.main.now); err != nil {
			w.breachAt(nil, c.name, err.Error())
		}
	}
}

// fits says whether the nodes fit the memory that each may take.
func (w *Network) fits() error {
	limit := w.watch.checks.MemoryPerNode
	if limit <= 0 {
		return nil
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	n := int64(0)
	for _, have := range w.nodes {
		if have.Core != nil {
			n++
		}
	}
	if heap := int64(live[0].Value.Uint64()); n > 0 && heap/n > limit {
		return fmt.Errorf("%d bytes of live heap for each of %d nodes, at most %d", heap/n, n, limit)
	}
	return nil
}

// conserved says whether every byte that was sent has arrived, is on its way,
// or was dropped for a reason. What is on its way is counted in the calendar.
func (w *Network) conserved() error {
	var inFlight, datagrams uint64
	w.calendar.each(func(e *entry) {
		if e.kind == entryDatagram {
			datagrams++
			inFlight += uint64(len(w.flights.at(e.ref).data))
		}
	})
	stats := w.Stats()
	in := stats.Bytes + stats.DuplicatedBytes
	out := stats.DeliveredBytes + inFlight
	for _, b := range stats.DroppedBytes {
		out += b
	}
	if in != out {
		return fmt.Errorf("%d bytes went in, %d are accounted for", in, out)
	}
	nIn, nOut := stats.Sent+stats.Duplicated, stats.Delivered+datagrams
	for _, n := range stats.Dropped {
		nOut += n
	}
	if nIn != nOut {
		return fmt.Errorf("%d datagrams went in, %d are accounted for", nIn, nOut)
	}
	return nil
}

// afterTurn checks a core's own invariants, after some of its turns.
func (t *watch) afterTurn(n *Node) {
	if t.checks.None {
		return
	}
	if n.turns++; n.turns < t.checks.Turns {
		return
	}
	n.turns = 0
	if err := n.Core.Check(n.Now()); err != nil {
		n.net.breachAt(n, "core", err.Error())
	}
}
