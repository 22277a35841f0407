package simulations

import (
	"sync"
	"sync/atomic"
	"time"

	"rtmfp/internal/clock"
)

// stretch is a piece of time in which no node can hear of what another one does
// in it, because every datagram is longer on its way (Config.Lookahead). What
// happens to one node in such a time can therefore be worked off together,
// while the processor still has what it touched, before it is the next node's
// turn; and beside what happens to others, by as many threads as there are
// lanes. What a node sees does not depend on either: it is the conservative way
// of running simulations in parallel (Chandy and Misra, 1979). What nodes plan
// for later is put in the calendar in the order of the nodes when all are done.
type stretch struct {
	batch  []entry // of all nodes, in order; next leads to the next one of the same node
	nodes  []*Node // in the order of their first entries
	shares []share
	lanes  int // that run; 0 outside of stretches
}

// share is a run of nodes that one lane takes together.
type share struct {
	lane     *lane
	from, to int // what they planned, in the lane's out
}

// leastShare is how many nodes are worth a thread's while.
const leastShare = 16

// runStretch works off what happens from when on, to the end of the stretch at
// the latest.
func (w *Network) runStretch(when, end clock.Time) {
	s := &w.stretch
	end = min(when.Add(w.cfg.Lookahead), end)
	s.batch, s.nodes = s.batch[:0], s.nodes[:0]
	for e, ok := w.calendar.pop(end - 1); ok; e, ok = w.calendar.pop(end - 1) {
		if e.node == 0 { // it may concern everybody
			if len(s.batch) == 0 {
				w.main.happen(&e)
				return
			}
			w.calendar.putBack()
			end = e.when
			break
		}
		n := w.nodes[e.node-1]
		e.next = 0
		s.batch = append(s.batch, e)
		i := uint32(len(s.batch))
		if n.first1 == 0 {
			n.first1 = i
			s.nodes = append(s.nodes, n)
		} else {
			s.batch[n.last1-1].next = i
		}
		n.last1 = i
	}
	each := max(len(s.nodes)/(8*len(w.lanes)), leastShare)
	count := (len(s.nodes) + each - 1) / each
	s.shares = append(s.shares[:0], make([]share, count)...)
	s.lanes = min(len(w.lanes), count)
	began := w.main.now
	var next atomic.Int64
	work := func(l *lane) {
		if w.watch.checks.Catch {
			defer l.catch()
		}
		l.active, l.end, l.out, l.last = true, end, l.out[:0], began
		for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
			from := len(l.out)
			for _, n := range s.nodes[i*each : min((i+1)*each, len(s.nodes))] {
				first := n.first1
				n.first1 = 0
				l.run(n, s.batch, first)
			}
			s.shares[i] = share{l, from, len(l.out)}
		}
		l.active = false
	}
	var others sync.WaitGroup
	for _, l := range w.lanes[1:s.lanes] {
		others.Go(func() { work(l) })
	}
	work(&w.main)
	others.Wait()
	s.lanes = 0
	for _, l := range w.lanes {
		w.main.last = max(w.main.last, l.last)
	}
	w.main.now = w.main.last
	for _, s := range s.shares {
		if s.lane == nil {
			continue // a core panicked
		}
		for _, e := range s.lane.out[s.from:s.to] {
			w.calendar.addFor(e.node, e.when, e.kind, e.ref)
		}
	}
}

// DoAt is Do at the virtual instant when, or now if that is over.
func (w *Network) DoAt(n *Node, when clock.Time, f func(now clock.Time)) {
	n.lane.plan(max(when, n.lane.now), entryDo, w.calls.add(call{node: n, do: f}), n)
}

// lookahead returns how far nodes can be run ahead of each other now.
func (w *Network) lookahead() time.Duration {
	if len(w.nats) > 0 { // they belong to several nodes
		return 0
	}
	return w.cfg.Lookahead
}
