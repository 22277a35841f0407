package simulations

import (
	"fmt"
	"slices"
	"time"

	"rtmfp/internal/clock"
)

// stretch is a piece of time in which no node can hear of what another one does
// in it, because every datagram is longer on its way (Config.Lookahead). What
// happens to one node in such a time can therefore be worked off together,
// while the processor still has what it touched, before it is the next node's
// turn. What a node sees does not depend on that; it is the conservative way of
// running simulations in parallel (Chandy and Misra, 1979), on one thread.
type stretch struct {
	active bool
	end    clock.Time // what happens before it belongs to the stretch
	node   *Node      // whose turn it is
	batch  []entry    // of all nodes, in order; next leads to the next one of the same node
	nodes  []*Node    // in the order of their first entries
	own    []entry    // what the node has planned for itself since, in order; those before at are gone
	at     int
}

// plan puts something that is to happen to a node in the calendar.
func (w *Network) plan(when clock.Time, kind entryKind, ref uint32, n *Node) {
	s := &w.stretch
	number := uint32(0)
	if n != nil {
		number = uint32(n.number) + 1
	}
	if !s.active || when >= s.end {
		w.calendar.addFor(number, when, kind, ref)
		return
	}
	if n != s.node {
		w.breachAt(n, "lookahead", fmt.Sprintf("node %d reaches it within %v, the lookahead is %v", s.node.number, when.Sub(w.now), w.cfg.Lookahead))
		return
	}
	e := entry{when: when, seq: w.calendar.stamp(), ref: ref, node: number, kind: kind}
	i := len(s.own)
	for i > s.at && e.before(&s.own[i-1]) {
		i--
	}
	s.own = slices.Insert(s.own, i, e)
}

// runStretch works off what happens from when on, to the end of the stretch at
// the latest.
func (w *Network) runStretch(when, end clock.Time) {
	s := &w.stretch
	s.end = min(when.Add(w.cfg.Lookahead), end)
	s.batch, s.nodes = s.batch[:0], s.nodes[:0]
	for e, ok := w.calendar.pop(s.end - 1); ok; e, ok = w.calendar.pop(s.end - 1) {
		if e.node == 0 { // it may concern everybody
			if len(s.batch) == 0 {
				w.now = e.when
				w.happen(&e)
				return
			}
			w.calendar.putBack()
			s.end = e.when
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
	last := w.now
	s.active = true
	for _, n := range s.nodes {
		next := n.first1
		n.first1 = 0
		s.node, s.own, s.at = n, s.own[:0], 0
		for w.watch.breach == nil {
			var e entry
			switch {
			case s.at < len(s.own) && (next == 0 || s.own[s.at].before(&s.batch[next-1])):
				e = s.own[s.at]
				s.at++
			case next != 0:
				e = s.batch[next-1]
				next = e.next
			}
			if e.seq == 0 {
				break
			}
			w.now = e.when
			w.happen(&e)
		}
		last = max(last, w.now)
	}
	s.active = false
	w.now = last
}

// DoAt is Do at the virtual instant when, or now if that is over.
func (w *Network) DoAt(n *Node, when clock.Time, f func(now clock.Time)) {
	w.plan(max(when, w.now), entryDo, w.calls.add(call{node: n, do: f}), n)
}

// lookahead returns how far nodes can be run ahead of each other now.
func (w *Network) lookahead() time.Duration {
	if len(w.nats) > 0 { // they belong to several nodes
		return 0
	}
	return w.cfg.Lookahead
}
