package group

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// A network for thousands of groups at message level. It differs from testNet
// in that it is built for numbers (typed events, ids that index tables), and
// counts what everything would cost on the wire.

type simEvent struct {
	at   clock.Time
	seq  uint64
	kind uint8
	node *simNode
	end  *simEnd
	flow *simFlow
	peer PeerID
	msg  []byte
	do   func()
}

const (
	simWake = iota
	simMessage
	simFlowEnd
	simRejected
	simLinkUp
	simLinkDown
	simDialFailed
	simDo
)

type simNet struct {
	t      testing.TB
	now    clock.Time
	queue  []simEvent
	seq    uint64
	rng    *rand.Rand
	spec   *Spec
	nodes  []*simNode
	live   []*simNode
	byPeer map[PeerID]*simNode
	ends   []*simEnd  // by LinkID-1
	flows  []*simFlow // by FlowID-1 and RecvID-1: a flow has one number at both ends
	delay  func(a, b *simNode) time.Duration
	cut    func(a, b *simNode) bool // whether nothing gets from one to the other
	loss   float64
	still  bool // no more churn
	events uint64
	spent  [256]uint64 // bytes, by what they were for
	times  [256]uint64
	billed [256]uint64 // of these, told
	timed  [256]uint64
	config func(*Config)
	onSim  func(x *simNode, m Routed)
	onRes  func(x *simNode, r RouteResult)
}

type simNode struct {
	net    *simNet
	index  int
	liveAt int
	peer   PeerID
	addr   netip.AddrPort
	g      *Group
	alive  bool
	born   clock.Time
	died   clock.Time
	wake   clock.Time
	links  map[PeerID]*simEnd
	dials  map[PeerID]*simDial
	city   int
	last   time.Duration // of its last mile
	island int
	ups    uint64
	downs  [16]uint64
}

func newSimNet(t testing.TB, seed uint64) *simNet {
	n := &simNet{
		t: t, rng: rand.New(rand.NewPCG(seed, 77)), spec: routingSpec, byPeer: map[PeerID]*simNode{},
		cut: func(a, b *simNode) bool { return a.island != b.island },
	}
	n.config = func(*Config) {}
	n.delay = func(a, b *simNode) time.Duration { return cityDelay(a, b) }
	return n
}

func (n *simNet) less(a, b *simEvent) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (n *simNet) push(e simEvent) {
	n.seq++
	e.seq = n.seq
	q := append(n.queue, e)
	i := len(q) - 1
	for i > 0 {
		p := (i - 1) / 4
		if !n.less(&q[i], &q[p]) {
			break
		}
		q[i], q[p] = q[p], q[i]
		i = p
	}
	n.queue = q
}

func (n *simNet) pop() simEvent {
	q := n.queue
	top := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = simEvent{}
	q = q[:last]
	for i := 0; ; {
		best := i
		for c := 4*i + 1; c <= 4*i+4 && c < last; c++ {
			if n.less(&q[c], &q[best]) {
				best = c
			}
		}
		if best == i {
			break
		}
		q[i], q[best] = q[best], q[i]
		i = best
	}
	n.queue = q
	return top
}

func (n *simNet) after(d time.Duration, do func()) {
	n.push(simEvent{at: n.now.Add(d), kind: simDo, do: do})
}

// run lets virtual time pass.
func (n *simNet) run(d time.Duration) {
	end := n.now.Add(d)
	for len(n.queue) > 0 && n.queue[0].at <= end {
		e := n.pop()
		n.now = e.at
		n.events++
		n.handle(&e)
	}
	n.now = end
}

func (n *simNet) handle(e *simEvent) {
	x := e.node
	switch e.kind {
	case simWake:
		if x.alive && x.wake == e.at {
			x.wake = clock.Never
			x.turn()
		}
	case simMessage:
		n.arrive(e.flow, e.msg)
	case simFlowEnd:
		if f := e.flow; f.accepted && f.to.open && f.to.node.alive {
			f.accepted = false
			f.to.node.g.FlowClosed(n.now, RecvID(f.id))
			f.to.node.turn()
		}
	case simRejected:
		if f := e.flow; f.from.open && f.from.node.alive && !f.closed {
			f.closed = true
			f.from.node.g.FlowRejected(n.now, f.id)
			f.from.node.turn()
		}
	case simLinkUp:
		if x.alive && e.end.open {
			x.g.LinkUp(n.now, e.end.id, e.end.far.node.peer, false)
			x.turn()
		}
	case simLinkDown:
		n.down(e.end)
	case simDialFailed:
		if x.alive {
			x.g.DialFailed(n.now, e.peer)
			x.turn()
		}
	case simDo:
		e.do()
	}
}

// add makes a node that starts at once and joins by some of the others.
func (n *simNet) add(contacts ...*simNode) *simNode {
	i := len(n.nodes)
	x := &simNode{
		net: n, index: i, alive: true, wake: clock.Never, born: n.now, liveAt: len(n.live),
		addr:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1935),
		links: map[PeerID]*simEnd{}, dials: map[PeerID]*simDial{},
		city: n.rng.IntN(len(cities())), last: time.Millisecond + time.Duration(n.rng.Int64N(int64(9*time.Millisecond))),
	}
	for j := 0; j < len(x.peer); j += 8 {
		binary.BigEndian.PutUint64(x.peer[j:], n.rng.Uint64())
	}
	cfg := Config{Spec: n.spec, Self: x.peer, Rand: rand.New(rand.NewPCG(n.rng.Uint64(), uint64(i)))}
	if n.config != nil {
		n.config(&cfg)
	}
	x.g = New(cfg, x)
	n.nodes = append(n.nodes, x)
	n.live = append(n.live, x)
	n.byPeer[x.peer] = x
	x.g.SetAddresses(n.now, []element.Address{{AddrPort: x.addr, Origin: element.OriginObserved}})
	x.g.Start(n.now)
	for _, y := range contacts {
		n.introduce(x, y)
	}
	x.turn()
	return x
}

func (n *simNet) introduce(x, y *simNode) {
	n.connect(x, y, func(e *simEnd) {
		x.g.AddIntroducer(n.now, e.id, y.peer)
		x.turn()
	})
	// If it died meanwhile, a node tries another.
	n.after(3*time.Second, func() {
		if x.alive && !x.g.left && len(x.g.byLink) == 0 {
			if y := n.introducer(); y != x {
				n.introduce(x, y)
			}
		}
	})
}

func (n *simNet) unlist(x *simNode) {
	last := n.live[len(n.live)-1]
	n.live[x.liveAt], last.liveAt = last, x.liveAt
	n.live = n.live[:len(n.live)-1]
}

// kill stops a node without a word.
func (n *simNet) kill(x *simNode) {
	n.unlist(x)
	for _, e := range x.links {
		e.settle()
	}
	x.alive, x.died = false, n.now
	for _, p := range sortedPeers(x.links) {
		e := x.links[p]
		n.push(simEvent{at: n.now.Add(sessionDead + e.keeping()), kind: simLinkDown, end: e.far})
	}
}

func sortedPeers[T any](m map[PeerID]T) []PeerID {
	list := make([]PeerID, 0, len(m))
	for p := range m {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b PeerID) int { return strings.Compare(string(a[:]), string(b[:])) })
	return list
}

func (n *simNet) leave(x *simNode) {
	n.unlist(x)
	x.g.Leave(n.now)
	x.turn()
}

func (x *simNode) turn() {
	if !x.alive {
		return
	}
	n := x.net
	x.g.Advance(n.now)
	for e, ok := x.g.NextEvent(); ok; e, ok = x.g.NextEvent() {
		switch e.Kind {
		case NeighborUp:
			x.ups++
		case NeighborDown:
			x.downs[e.Reason]++
		case IntroducerDown:
			// As a node does, which knows some by name.
			n.after(2*time.Second, func() {
				if y := n.introducer(); x.alive && y != x && !x.g.left {
					n.introduce(x, y)
				}
			})
		}
	}
	for m, ok := x.g.NextRouted(); ok; m, ok = x.g.NextRouted() {
		if n.onSim != nil {
			n.onSim(x, m)
		}
	}
	for r, ok := x.g.NextRouteResult(); ok; r, ok = x.g.NextRouteResult() {
		if n.onRes != nil {
			n.onRes(x, r)
		}
	}
	if d := max(x.g.Deadline(), n.now); d < x.wake {
		x.wake = d
		n.push(simEvent{at: d, kind: simWake, node: x})
	}
}

// sorted returns the members that live up the ring.
func (n *simNet) sorted() *ring.Set[*simNode] {
	list := slices.Clone(n.live)
	slices.SortFunc(list, func(a, b *simNode) int { return a.g.self.Compare(b.g.self) })
	var set ring.Set[*simNode]
	for _, x := range list {
		set.Add(x.g.self, x)
	}
	return &set
}

// wrongRing returns how many members lack a link to one of the next members on
// either side, up to the given number of them.
func (n *simNet) wrongRing(side int) (wrong int) {
	set := n.sorted()
	for i := range set.Len() {
		x := set.At(i).Value
		ok := true
		for k := 1; k <= side && k < set.Len(); k++ {
			for _, y := range []*simNode{set.At(i + k).Value, set.At(i - k).Value} {
				if y == x {
					continue
				}
				m := x.g.book.get(y.peer)
				ok = ok && m != nil && m.link != nil && m.link.up
			}
		}
		if !ok {
			wrong++
		}
	}
	return wrong
}

// components returns the size of the largest component.
func (n *simNet) largest() int {
	best := 0
	seen := make([]bool, len(n.nodes))
	for _, start := range n.live {
		if seen[start.index] {
			continue
		}
		seen[start.index] = true
		todo := []*simNode{start}
		size := 0
		for len(todo) > 0 {
			x := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			size++
			for _, l := range x.g.neighbors {
				if y := n.byPeer[l.peer]; y.alive && !y.g.left && !seen[y.index] {
					seen[y.index] = true
					todo = append(todo, y)
				}
			}
		}
		best = max(best, size)
	}
	return best
}

func (n *simNet) String() string {
	links, known := 0, 0
	for _, x := range n.live {
		links += x.g.NeighborCount()
		known += x.g.book.known.Len()
	}
	return fmt.Sprintf("at %v: %d members, %.1f links, %.1f known, ring wrong at %d, largest component %d, %d events",
		time.Duration(n.now), len(n.live), float64(links)/float64(len(n.live)), float64(known)/float64(len(n.live)), n.wrongRing(ringSide), n.largest(), n.events)
}
