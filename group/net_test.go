package group

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// A network of groups in virtual time: sessions open in two round trips if
// somebody can introduce them, flows keep their order, a lost message comes a
// retransmission later, and a node that is killed just stops.

const (
	keepalive   = time.Second      // of the links
	sessionDead = 10 * time.Second // after that a link to a dead node breaks
	dialGivesUp = 4 * time.Second
	retransmit  = 250 * time.Millisecond
)

type testNet struct {
	t       testing.TB
	now     clock.Time
	agenda  clock.Queue[func()]
	rng     *rand.Rand
	nodes   []*testNode
	byPeer  map[PeerID]*testNode
	latency func(a, b *testNode) time.Duration // one way
	loss    float64
	trace   *xxhash.Digest
	nextID  uint32
}

type testNode struct {
	net        *testNet
	index      int
	peer       PeerID
	addr       netip.AddrPort
	g          *Group
	alive      bool
	died       clock.Time
	ends       map[LinkID]*testEnd
	flows      map[FlowID]*testFlow
	recvs      map[RecvID]*testFlow
	wake       clock.Time
	events     []Event
	at         []clock.Time // of events
	routed     []Routed
	results    []RouteResult
	onTurn     func()
	started    clock.Time
	introducer clock.Time // when the link to the introducer was up
}

type testEnd struct {
	node      *testNode
	id        LinkID
	far       *testEnd
	near      [32]byte
	lastHeard clock.Time
	open      bool
}

type testFlow struct {
	from, to *testEnd
	id       FlowID
	recv     RecvID
	metadata []byte
	reply    *testFlow
	last     clock.Time // arrival of what was sent last
	closed   bool
	accepted bool
}

func newTestNet(t testing.TB, seed uint64, rtt time.Duration) *testNet {
	return &testNet{
		t:       t,
		rng:     rand.New(rand.NewPCG(seed, 0)),
		byPeer:  map[PeerID]*testNode{},
		latency: func(a, b *testNode) time.Duration { return rtt / 2 },
		trace:   xxhash.New(),
	}
}

func (n *testNet) after(d time.Duration, do func()) { n.atTime(n.now.Add(d), do) }

func (n *testNet) atTime(at clock.Time, do func()) {
	n.agenda.Set(&clock.Timer[func()]{Owner: do}, at)
}

// run lets virtual time pass.
func (n *testNet) run(d time.Duration) {
	end := n.now.Add(d)
	for n.agenda.Next() <= end {
		n.now = n.agenda.Next()
		n.agenda.Pop(n.now).Owner()
	}
	n.now = end
}

// until runs, in steps of 5 ms, until a condition holds and returns how long
// that took; it fails the test if the condition does not hold by the limit.
func (n *testNet) until(limit time.Duration, what string, cond func() bool) time.Duration {
	n.t.Helper()
	start := n.now
	for !cond() {
		if n.now.Sub(start) >= limit {
			n.t.Fatalf("%s: not within %v", what, limit)
		}
		n.run(5 * time.Millisecond)
	}
	return n.now.Sub(start)
}

var testSpec = mustSpec(SpecFields{Name: "test", Multicast: true, ServerChannel: true})

func mustSpec(f SpecFields) *Spec {
	s, err := NewSpec(f)
	if err != nil {
		panic(err)
	}
	return s
}

// add makes a node; change may alter its configuration.
func (n *testNet) add(change func(*Config)) *testNode {
	i := len(n.nodes)
	var seed [16]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i))
	binary.BigEndian.PutUint64(seed[8:], n.rng.Uint64())
	node := &testNode{
		net: n, index: i, peer: sha256.Sum256(seed[:]), alive: true,
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1935),
		ends: map[LinkID]*testEnd{}, flows: map[FlowID]*testFlow{}, recvs: map[RecvID]*testFlow{},
		wake: clock.Never, started: n.now,
	}
	cfg := Config{Spec: testSpec, Self: node.peer, Rand: rand.New(rand.NewPCG(n.rng.Uint64(), uint64(i)))}
	if change != nil {
		change(&cfg)
	}
	node.g = New(cfg, node)
	n.nodes = append(n.nodes, node)
	n.byPeer[node.peer] = node
	node.g.Start(n.now)
	node.turn()
	return node
}

// turn is what the driver does after each input.
func (x *testNode) turn() {
	if !x.alive {
		return
	}
	x.g.Advance(x.net.now)
	for {
		e, ok := x.g.NextEvent()
		if !ok {
			break
		}
		x.events = append(x.events, e)
		x.at = append(x.at, x.net.now)
		var b [24]byte
		binary.BigEndian.PutUint64(b[:], uint64(x.net.now))
		binary.BigEndian.PutUint32(b[8:], uint32(x.index))
		b[12], b[13] = byte(e.Kind), byte(e.Reason)
		copy(b[14:], e.Peer[:8])
		x.net.trace.Write(b[:])
	}
	x.take()
	if x.onTurn != nil {
		x.onTurn()
		x.take()
	}
	x.schedule()
}

func (x *testNode) schedule() {
	if d := x.g.Deadline(); d < x.wake {
		d = max(d, x.net.now)
		x.wake = d
		x.net.atTime(d, func() {
			if x.wake == d && x.alive {
				x.wake = clock.Never
				x.turn()
			}
		})
	}
}

// input calls a method of the group and takes a turn, unless the node is dead.
func (x *testNode) input(do func(g *Group, now clock.Time)) {
	if x.alive {
		do(x.g, x.net.now)
		x.turn()
	}
}

func (x *testNode) kill() {
	x.alive, x.died = false, x.net.now
	for _, id := range slices.Sorted(maps.Keys(x.ends)) {
		far := x.ends[id].far
		x.net.after(sessionDead, func() { far.down() })
	}
}

func (e *testEnd) down() {
	if !e.open {
		return
	}
	e.open = false
	delete(e.node.ends, e.id)
	e.node.input(func(g *Group, now clock.Time) { g.LinkDown(now, e.id) })
}

func (x *testNode) endTo(y *testNode) *testEnd {
	for _, e := range x.ends {
		if e.open && e.far.open && e.far.node == y {
			return e
		}
	}
	return nil
}

// connect opens a session that x initiates and calls up when x has it.
func (x *testNode) connect(y *testNode, up func(*testEnd)) {
	n := x.net
	lat := n.latency(x, y)
	n.after(3*lat, func() {
		if !x.alive || !y.alive {
			return
		}
		if e := x.endTo(y); e != nil {
			n.after(lat, func() { up(e) })
			return
		}
		n.nextID += 2
		a := &testEnd{node: x, id: LinkID(n.nextID), open: true}
		b := &testEnd{node: y, id: LinkID(n.nextID + 1), open: true}
		a.far, b.far = b, a
		for i := range 4 {
			binary.BigEndian.PutUint64(a.near[8*i:], n.rng.Uint64())
			binary.BigEndian.PutUint64(b.near[8*i:], n.rng.Uint64())
		}
		a.lastHeard, b.lastHeard = n.now.Add(lat), n.now
		x.ends[a.id], y.ends[b.id] = a, b
		n.after(lat, func() { up(a) }) // before anything that y sends on it
		y.input(func(g *Group, now clock.Time) { g.LinkUp(now, b.id, x.peer, true) })
	})
}

// bootstrap makes y the introducer of x.
func (x *testNode) bootstrap(y *testNode) {
	x.connect(y, func(e *testEnd) {
		if !e.open {
			return
		}
		x.introducer = x.net.now
		x.input(func(g *Group, now clock.Time) { g.AddIntroducer(now, e.id, y.peer) })
	})
}

// Dial implements Links.
func (x *testNode) Dial(now clock.Time, peer PeerID, addrs []element.Address, via []LinkID) {
	n := x.net
	y := n.byPeer[peer]
	reachable := false
	extra := time.Duration(0)
	if y != nil && y.alive {
		if e := x.endTo(y); e != nil {
			n.after(0, func() { x.input(func(g *Group, now clock.Time) { g.LinkUp(now, e.id, peer, false) }) })
			return
		}
		for _, a := range addrs {
			if a.AddrPort == y.addr {
				reachable = true
			}
			for _, r := range n.nodes {
				if a.Origin == element.OriginRelay && a.AddrPort == r.addr && r.alive && r.endTo(y) != nil {
					reachable = true
				}
			}
		}
		for _, id := range via {
			if e := x.ends[id]; !reachable && e != nil && e.open && e.far.node.alive && e.far.node.endTo(y) != nil {
				reachable = true
				extra = n.latency(x, e.far.node) + n.latency(e.far.node, y) - n.latency(x, y)
			}
		}
	}
	failed := func() { x.input(func(g *Group, now clock.Time) { g.DialFailed(now, peer) }) }
	if !reachable {
		n.after(dialGivesUp, failed)
		return
	}
	done := false
	n.after(dialGivesUp, func() {
		if !done {
			failed()
		}
	})
	n.after(max(extra, 0), func() {
		x.connect(y, func(e *testEnd) {
			if !e.open {
				return // closed by the far end as soon as it was open
			}
			done = true
			x.input(func(g *Group, now clock.Time) { g.LinkUp(now, e.id, peer, false) })
		})
	})
}

// HangUp implements Links.
func (x *testNode) HangUp(now clock.Time, id LinkID) {
	e := x.ends[id]
	if e == nil {
		return
	}
	e.open = false
	delete(x.ends, id)
	far := e.far
	x.net.after(x.net.latency(x, far.node), func() { far.down() })
}

// OpenFlow implements Links.
func (x *testNode) OpenFlow(now clock.Time, id LinkID, metadata []byte, reply RecvID, class Class) FlowID {
	e := x.ends[id]
	if e == nil {
		return 0
	}
	x.net.nextID++
	f := &testFlow{from: e, to: e.far, id: FlowID(x.net.nextID), metadata: append([]byte(nil), metadata...)}
	if reply != 0 {
		f.reply = x.recvs[reply]
	}
	x.flows[f.id] = f
	return f.id
}

// arrive calls do at the far end of a flow, in order, if it is still there.
func (f *testFlow) arrive(do func(y *testNode)) {
	n := f.from.node.net
	d := n.latency(f.from.node, f.to.node)
	for n.loss > 0 && n.rng.Float64() < n.loss {
		d += retransmit
	}
	f.last = max(f.last, n.now.Add(d))
	n.atTime(f.last, func() {
		if f.to.open && f.to.node.alive {
			f.to.lastHeard = n.now
			n.after(n.latency(f.to.node, f.from.node), func() { f.from.lastHeard = n.now }) // the acknowledgement
			do(f.to.node)
		}
	})
}

// Send implements Links.
func (x *testNode) Send(now clock.Time, id FlowID, msg []byte, deadline clock.Time) {
	f := x.flows[id]
	if f == nil || f.closed {
		return
	}
	msg = append([]byte(nil), msg...)
	f.arrive(func(y *testNode) {
		if f.recv == 0 {
			x.net.nextID++
			f.recv = RecvID(x.net.nextID)
			y.recvs[f.recv] = f
			var reply FlowID
			if f.reply != nil {
				reply = f.reply.id
			}
			y.input(func(g *Group, now clock.Time) {
				f.accepted = g.FlowOpened(now, f.to.id, f.recv, f.metadata, reply) != Reject
			})
			if !f.accepted {
				y.reject(f)
			}
		}
		if f.accepted {
			y.input(func(g *Group, now clock.Time) { g.Message(now, f.recv, msg) })
		}
	})
}

func (x *testNode) reject(f *testFlow) {
	f.accepted = false
	n := x.net
	n.after(n.latency(x, f.from.node), func() {
		if f.from.open {
			f.closed = true
			f.from.node.input(func(g *Group, now clock.Time) { g.FlowRejected(now, f.id) })
		}
	})
}

// CloseFlow implements Links.
func (x *testNode) CloseFlow(now clock.Time, id FlowID) {
	f := x.flows[id]
	if f == nil || f.closed {
		return
	}
	f.closed = true
	delete(x.flows, id)
	f.arrive(func(y *testNode) {
		if f.accepted {
			f.accepted = false
			y.input(func(g *Group, now clock.Time) { g.FlowClosed(now, f.recv) })
		}
	})
}

// RejectFlow implements Links.
func (x *testNode) RejectFlow(now clock.Time, recv RecvID) {
	if f := x.recvs[recv]; f != nil && f.accepted {
		x.reject(f)
	}
}

// Backlog implements Links.
func (x *testNode) Backlog(FlowID) int { return 0 }

// RTT implements Links.
func (x *testNode) SlowStart(LinkID) bool { return false }

func (x *testNode) RTT(id LinkID) time.Duration {
	if e := x.ends[id]; e != nil {
		return 2 * x.net.latency(x, e.far.node)
	}
	return 0
}

// LastHeard implements Links: keepalives come by themselves while the far end
// lives.
func (x *testNode) LastHeard(id LinkID) clock.Time {
	e := x.ends[id]
	if e == nil {
		return 0
	}
	last := x.net.now
	if !e.far.node.alive {
		last = e.far.node.died
	}
	return max(e.lastHeard, last-last%clock.Time(keepalive))
}

// Nonces implements Links.
func (x *testNode) Nonces(id LinkID) (near, far [32]byte) {
	if e := x.ends[id]; e != nil {
		return e.near, e.far.near
	}
	return near, far
}

// FarAddr implements Links.
func (x *testNode) FarAddr(id LinkID) netip.AddrPort {
	if e := x.ends[id]; e != nil {
		return e.far.node.addr
	}
	return netip.AddrPort{}
}

// alive returns the nodes that live and have not left.
func (n *testNet) members() []*testNode {
	var list []*testNode
	for _, x := range n.nodes {
		if x.alive && !x.g.left {
			list = append(list, x)
		}
	}
	return list
}

func (x *testNode) neighbors() map[PeerID]bool {
	set := map[PeerID]bool{}
	for nb := range x.g.Neighbors() {
		set[nb.Peer] = true
	}
	return set
}

// component returns how many members can be reached from the first one.
func (n *testNet) component() int {
	list := n.members()
	seen := map[PeerID]bool{list[0].peer: true}
	for todo := []*testNode{list[0]}; len(todo) > 0; todo = todo[1:] {
		for p := range todo[0].neighbors() {
			if y := n.byPeer[p]; y.alive && !y.g.left && !seen[p] {
				seen[p] = true
				todo = append(todo, y)
			}
		}
	}
	return len(seen)
}

// fullMesh reports whether everybody is everybody's neighbor.
func (n *testNet) fullMesh() bool {
	list := n.members()
	for _, x := range list {
		if x.g.NeighborCount() != len(list)-1 {
			return false
		}
	}
	return true
}

// asymmetric describes a relation that only one side has, "" if there is none.
func (n *testNet) asymmetric() string {
	for _, x := range n.members() {
		for p := range x.neighbors() {
			if y := n.byPeer[p]; !y.alive || !y.neighbors()[x.peer] {
				return fmt.Sprintf("node %d has neighbor %d, which does not have it", x.index, y.index)
			}
		}
	}
	return ""
}

// wrongRing describes a member that lacks one of its ring neighbors, "" if
// nobody does.
func (n *testNet) wrongRing() string {
	var set ring.Set[*testNode]
	list := n.members()
	for _, x := range list {
		set.Add(x.g.self, x)
	}
	for i := range set.Len() {
		x := set.At(i).Value
		have := x.neighbors()
		for k := 1; k <= ringSide && k < set.Len(); k++ {
			for _, y := range []*testNode{set.At(i + k).Value, set.At(i - k).Value} {
				if y != x && !have[y.peer] {
					return fmt.Sprintf("node %d lacks node %d, %d away on the ring", x.index, y.index, k)
				}
			}
		}
	}
	return ""
}

// tooMany describes a member with more links than it may have, "" if nobody
// has: above the limit only those that the ring needs.
func (n *testNet) tooMany() string {
	for _, x := range n.members() {
		if have := x.g.NeighborCount(); have > x.g.Limit()+2*ringSide {
			return fmt.Sprintf("node %d has %d neighbors, limit %d", x.index, have, x.g.Limit())
		}
	}
	return ""
}

func (x *testNode) find(k EventKind) (Event, clock.Time, bool) {
	for i, e := range x.events {
		if e.Kind == k {
			return e, x.at[i], true
		}
	}
	return Event{}, 0, false
}

func addressOf(x *testNode) []element.Address {
	return []element.Address{{AddrPort: x.addr, Origin: element.OriginObserved}}
}
