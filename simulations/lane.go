package simulations

import (
	"fmt"
	"slices"

	"rtmfp/internal/clock"
)

// lane is what it takes to let something happen to one node: the instant, what
// the node plans, and what is counted. A network has one for each thread that
// runs nodes; between stretches everything happens in the first.
type lane struct {
	net   *Network
	now   clock.Time
	stats Stats
	pool  pool
	buf   []byte // for what a core transmits

	// Of the stretch that is on.
	active bool
	end    clock.Time // what happens before it belongs to the stretch
	node   *Node      // whose turn it is
	broken bool       // it has broken an invariant
	own    []entry    // what the node has planned for itself since, in order; those before at are gone
	at     int
	seq    uint64  // of the last of them
	out    []entry // what was planned for later, in order
	last   clock.Time
}

// ownFirst is above the numbers of all that the calendar holds: of what happens
// at one instant, what was planned in the stretch itself comes last.
const ownFirst = 1 << 63

func (l *lane) init(w *Network) {
	l.net, l.buf = w, make([]byte, transmitSize)
}

// plan sees to it that something happens to a node, or to nobody in particular.
func (l *lane) plan(when clock.Time, kind entryKind, ref uint32, n *Node) {
	number := uint32(0)
	if n != nil {
		number = uint32(n.number) + 1
	}
	if !l.active {
		l.net.calendar.addFor(number, when, kind, ref)
		return
	}
	e := entry{when: when, ref: ref, node: number, kind: kind}
	if when >= l.end {
		l.out = append(l.out, e)
		return
	}
	if n != l.node {
		l.net.breachAt(l.node, "lookahead", fmt.Sprintf("it reaches another node within %v, the lookahead is %v", when.Sub(l.now), l.net.cfg.Lookahead))
		return
	}
	l.seq++
	e.seq = l.seq
	i := len(l.own)
	for i > l.at && e.before(&l.own[i-1]) {
		i--
	}
	l.own = slices.Insert(l.own, i, e)
}

// happen does what an entry of the calendar stands for.
func (l *lane) happen(e *entry) {
	w := l.net
	l.now = e.when
	switch e.kind {
	case entryWake:
		l.wake(w.nodes[e.ref], e.when)
	case entryDatagram:
		l.arrive(e.ref)
	case entryWork:
		l.finish(e.ref)
	case entryCall:
		l.stats.Events++
		w.calls.take(e.ref).f()
	case entryDo:
		l.stats.Events++
		if c := w.calls.take(e.ref); !c.node.stopped {
			w.Do(c.node, c.do)
		}
	}
}

// run works off what happens to a node in a stretch, which begins with the
// entry of that number in the batch.
func (l *lane) run(n *Node, batch []entry, next uint32) {
	n.lane = l
	l.node, l.broken, l.own, l.at, l.seq = n, false, l.own[:0], 0, ownFirst
	for !l.broken {
		var e entry
		switch {
		case l.at < len(l.own) && (next == 0 || l.own[l.at].before(&batch[next-1])):
			e = l.own[l.at]
			l.at++
		case next != 0:
			e = batch[next-1]
			next = e.next
		}
		if e.seq == 0 {
			break
		}
		l.happen(&e)
	}
	l.last = max(l.last, l.now)
	n.lane = &l.net.main
}
