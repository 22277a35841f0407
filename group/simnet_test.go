package group

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// A network for thousands of groups at message level. It differs from testNet
// in that it is built for numbers (typed events, ids that index tables), and
// counts what everything would cost on the wire. The costs are those that
// whole nodes show on the simulated network of package simulations, with which
// they were compared once, by hand.
const (
	costPacket   = 36   // of a message, beside its bytes: header, cipher, chunk
	costAck      = 36   // that answers it
	costPing     = 36   // of a keepalive, each way
	costIHello   = 400  // the first to an address
	costIHello2  = 1200 // and those after it
	costOpening  = 132  // what else an initiator sends
	costOpened   = 168  // and a responder
	dialOffset   = 200 * time.Millisecond
	ihelloRepeat = 1500 * time.Millisecond
)

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
	simAcked
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
	count  [256]uint64 // messages by their first byte
	volume [256]uint64
	config func(*Config)
	onSim  func(x *simNode, m Routed)
	onRes  func(x *simNode, r RouteResult)
}

type simNode struct {
	net     *simNet
	index   int
	liveAt  int
	peer    PeerID
	addr    netip.AddrPort
	g       *Group
	alive   bool
	born    clock.Time
	died    clock.Time
	wake    clock.Time
	links   map[PeerID]*simEnd
	dials   map[PeerID]*simDial
	bytes   uint64 // sent, all told
	dialing uint64 // of these, for opening sessions
	city    int
	last    time.Duration // of its last mile
	island  int
	ups     uint64
	downs   [16]uint64
}

type simDial struct {
	began     clock.Time
	addresses int
}

type simEnd struct {
	node      *simNode
	far       *simEnd
	id        LinkID
	near      [32]byte
	open      bool
	lastHeard clock.Time
	since     clock.Time
	keep      time.Duration // what this end asks for
	pinged    clock.Time    // pings are accounted for up to then
	lastSent  clock.Time
	lastAck   clock.Time
}

type simFlow struct {
	from, to *simEnd
	id       FlowID
	metadata []byte
	reply    FlowID
	last     clock.Time
	started  bool
	closed   bool
	accepted bool
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
	case simAcked:
		e.end.lastHeard = n.now
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

func (n *simNet) down(e *simEnd) {
	if !e.open {
		return
	}
	e.settlePings()
	e.open = false
	if e.node.links[e.far.node.peer] == e {
		delete(e.node.links, e.far.node.peer)
	}
	n.ends[e.id-1] = nil
	if e.node.alive {
		e.node.g.LinkDown(n.now, e.id)
		e.node.turn()
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
}

func (n *simNet) unlist(x *simNode) {
	last := n.live[len(n.live)-1]
	n.live[x.liveAt], last.liveAt = last, x.liveAt
	n.live = n.live[:len(n.live)-1]
}

// kill stops a node without a word.
func (n *simNet) kill(x *simNode) {
	n.unlist(x)
	x.alive, x.died = false, n.now
	for _, p := range sortedPeers(x.links) {
		e := x.links[p]
		e.settlePings()
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

func (e *simEnd) keeping() time.Duration {
	k := e.keep
	if e.far != nil && e.far.keep > 0 && (k == 0 || e.far.keep < k) {
		k = e.far.keep
	}
	if k == 0 {
		k = keepalive
	}
	return k
}

// settlePings charges both ends of a link for the pings of the time since the
// last settlement, as if nothing else had been said.
func (e *simEnd) settlePings() {
	from := max(e.pinged, e.far.pinged)
	now := e.node.net.now
	for _, x := range []*simEnd{e, e.far} {
		if !x.node.alive {
			now = min(now, x.node.died)
		}
	}
	if d := now.Sub(from); d > 0 {
		cost := uint64(d * costPing / e.keeping())
		e.node.bytes += cost
		e.far.node.bytes += cost
	}
	e.pinged, e.far.pinged = max(now, from), max(now, from)
}

// settle charges everybody for pings up to now.
func (n *simNet) settle() {
	for _, e := range n.ends {
		if e != nil && e.open {
			e.settlePings()
		}
	}
}

// connect opens a session that x initiates and calls up when x has it.
func (n *simNet) connect(x, y *simNode, up func(*simEnd)) {
	lat := n.delay(x, y)
	x.bytes += costIHello + costOpening
	x.dialing += costIHello + costOpening
	n.after(3*lat, func() {
		if !x.alive || !y.alive || n.cut(x, y) {
			return
		}
		y.bytes += costOpened
		y.dialing += costOpened
		if e := x.links[y.peer]; e != nil && e.open {
			n.after(lat, func() {
				if x.alive && e.open {
					up(e)
				}
			})
			return
		}
		a := &simEnd{node: x, open: true, since: n.now, pinged: n.now, lastHeard: n.now.Add(lat)}
		b := &simEnd{node: y, open: true, since: n.now, pinged: n.now, lastHeard: n.now}
		a.far, b.far = b, a
		n.ends = append(n.ends, a, b)
		a.id, b.id = LinkID(len(n.ends)-1), LinkID(len(n.ends))
		for i := range 4 {
			binary.BigEndian.PutUint64(a.near[8*i:], n.rng.Uint64())
			binary.BigEndian.PutUint64(b.near[8*i:], n.rng.Uint64())
		}
		x.links[y.peer], y.links[x.peer] = a, b
		n.after(lat, func() {
			if x.alive && a.open {
				up(a)
			}
		})
		y.g.LinkUp(n.now, b.id, x.peer, true)
		y.turn()
	})
}

// Dial implements Links.
func (x *simNode) Dial(now clock.Time, peer PeerID, addrs []element.Address, via []LinkID) {
	n := x.net
	y := n.byPeer[peer]
	if e := x.links[peer]; e != nil && e.open {
		n.push(simEvent{at: now, kind: simLinkUp, node: x, end: e})
		return
	}
	reachable := len(addrs) > 0 // they are right while the node lives
	for _, id := range via {
		if e := n.end(id); e != nil && e.far.node.links[peer] != nil {
			reachable = true
		}
	}
	if old := x.dials[peer]; old != nil {
		x.CancelDial(now, peer)
	}
	d := &simDial{began: now, addresses: max(1, len(addrs)+len(via))}
	x.dials[peer] = d
	if y == nil || !y.alive || !reachable || n.cut(x, y) {
		n.after(dialGivesUp, func() {
			if x.dials[peer] == d {
				x.CancelDial(n.now, peer)
				n.push(simEvent{at: n.now, kind: simDialFailed, node: x, peer: peer})
			}
		})
		return
	}
	// Further addresses are tried while there is no answer.
	if more := min(int(2*n.delay(x, y)/dialOffset), d.addresses-1); more > 0 {
		x.bytes += uint64(more * costIHello)
		x.dialing += uint64(more * costIHello)
	}
	n.connect(x, y, func(e *simEnd) {
		delete(x.dials, peer)
		x.g.LinkUp(n.now, e.id, peer, false)
		x.turn()
	})
	n.after(dialGivesUp, func() {
		if x.dials[peer] == d {
			delete(x.dials, peer)
			n.push(simEvent{at: n.now, kind: simDialFailed, node: x, peer: peer})
		}
	})
}

// CancelDial charges for what a dial has sent in vain.
func (x *simNode) CancelDial(now clock.Time, peer PeerID) {
	d := x.dials[peer]
	if d == nil {
		return
	}
	delete(x.dials, peer)
	took := now.Sub(d.began)
	cost := uint64(min(d.addresses, 1+int(took/dialOffset)) * costIHello)
	for at, wait := ihelloRepeat, ihelloRepeat; at < took; wait = wait * 3 / 2 {
		cost += uint64(d.addresses * costIHello2)
		at += wait
	}
	x.bytes += cost
	x.dialing += cost
}

// SetKeepalive implements Upkeep.
func (x *simNode) SetKeepalive(now clock.Time, id LinkID, d time.Duration) {
	if e := x.net.end(id); e != nil && e.keep != d {
		e.settlePings()
		e.keep = d
	}
}

func (n *simNet) end(id LinkID) *simEnd {
	if id == 0 || int(id) > len(n.ends) {
		return nil
	}
	return n.ends[id-1]
}

// HangUp implements Links.
func (x *simNode) HangUp(now clock.Time, id LinkID) {
	n := x.net
	e := n.end(id)
	if e == nil || !e.open {
		return
	}
	e.settlePings()
	e.open = false
	if x.links[e.far.node.peer] == e {
		delete(x.links, e.far.node.peer)
	}
	n.ends[id-1] = nil
	x.bytes += costPing
	if n.cut(x, e.far.node) {
		n.push(simEvent{at: now.Add(sessionDead), kind: simLinkDown, end: e.far})
		return
	}
	n.push(simEvent{at: now.Add(n.delay(x, e.far.node)), kind: simLinkDown, end: e.far})
}

// OpenFlow implements Links.
func (x *simNode) OpenFlow(now clock.Time, id LinkID, metadata []byte, reply RecvID, class Class) FlowID {
	n := x.net
	e := n.end(id)
	if e == nil || !e.open {
		return 0
	}
	f := &simFlow{from: e, to: e.far, metadata: metadata, reply: FlowID(reply)}
	n.flows = append(n.flows, f)
	f.id = FlowID(len(n.flows))
	return f.id
}

// Send implements Links.
func (x *simNode) Send(now clock.Time, id FlowID, msg []byte, deadline clock.Time) {
	n := x.net
	f := n.flows[id-1]
	if f == nil || f.closed || !f.from.open {
		return
	}
	x.bytes += uint64(len(msg))
	n.count[msg[0]]++
	n.volume[msg[0]] += uint64(len(msg))
	if f.from.lastSent != now { // or it shares a packet
		x.bytes += costPacket
		f.from.lastSent = now
	} else {
		x.bytes += 6
	}
	n.deliver(f, simEvent{kind: simMessage, flow: f, msg: append([]byte(nil), msg...)})
}

// deliver lets an event come at the far end of a flow, in order. What is cut
// off is lost with its link.
func (n *simNet) deliver(f *simFlow, e simEvent) {
	a, b := f.from.node, f.to.node
	if n.cut(a, b) {
		return
	}
	d := n.delay(a, b)
	for n.loss > 0 && n.rng.Float64() < n.loss {
		d += retransmit + 2*n.delay(a, b)
	}
	f.last = max(f.last, n.now.Add(d))
	e.at = f.last
	n.push(e)
}

func (n *simNet) arrive(f *simFlow, msg []byte) {
	y := f.to.node
	if !f.to.open || !y.alive {
		return
	}
	f.to.lastHeard = n.now
	if f.to.lastAck != n.now { // of one packet
		y.bytes += costAck
		f.to.lastAck = n.now
	}
	n.push(simEvent{at: n.now.Add(n.delay(f.from.node, y)), kind: simAcked, end: f.from})
	if !f.started {
		f.started = true
		f.accepted = y.g.FlowOpened(n.now, f.to.id, RecvID(f.id), f.metadata, f.reply) != Reject
		if !f.accepted {
			n.push(simEvent{at: n.now.Add(n.delay(f.from.node, y)), kind: simRejected, flow: f})
		}
	}
	if f.accepted {
		y.g.Message(n.now, RecvID(f.id), msg)
	}
	y.turn()
}

// CloseFlow implements Links.
func (x *simNode) CloseFlow(now clock.Time, id FlowID) {
	n := x.net
	if f := n.flows[id-1]; f != nil && !f.closed && f.from.node == x {
		f.closed = true
		n.deliver(f, simEvent{kind: simFlowEnd, flow: f})
	}
}

// RejectFlow implements Links.
func (x *simNode) RejectFlow(now clock.Time, recv RecvID) {
	if f := x.net.flows[recv-1]; f != nil && f.accepted {
		f.accepted = false
		x.net.push(simEvent{at: now.Add(x.net.delay(x, f.from.node)), kind: simRejected, flow: f})
	}
}

// Backlog implements Links.
func (x *simNode) Backlog(FlowID) int { return 0 }

// RTT implements Links.
func (x *simNode) RTT(id LinkID) time.Duration {
	if e := x.net.end(id); e != nil {
		return 2 * x.net.delay(x, e.far.node)
	}
	return 0
}

// LastHeard implements Links: what came, or the pings that come by themselves
// while the far end lives.
func (x *simNode) LastHeard(id LinkID) clock.Time {
	e := x.net.end(id)
	if e == nil {
		return 0
	}
	far := e.far.node
	if !far.alive || !e.far.open || x.net.cut(x, far) {
		return e.lastHeard
	}
	k := clock.Time(e.keeping())
	phase := clock.Time(uint64(id) * 7919 % uint64(k))
	ticks := (x.net.now-phase)/k*k + phase
	if ticks > e.lastHeard {
		e.lastHeard, e.far.lastHeard = ticks, max(e.far.lastHeard, ticks)
	}
	return e.lastHeard
}

// Nonces implements Links.
func (x *simNode) Nonces(id LinkID) (near, far [32]byte) {
	if e := x.net.end(id); e != nil {
		return e.near, e.far.near
	}
	return near, far
}

// FarAddr implements Links.
func (x *simNode) FarAddr(id LinkID) netip.AddrPort {
	if e := x.net.end(id); e != nil {
		return e.far.node.addr
	}
	return netip.AddrPort{}
}

// The matrix of round-trip times between 242 cities, in microseconds; random
// points on a plane of the same mean where there is no file.
var cityTable [][]int32

func cities() [][]int32 {
	if cityTable == nil {
		cityTable = loadCities()
	}
	return cityTable
}

func loadCities() [][]int32 {
	f, err := os.Open(os.Getenv("RTMFP_CITIES"))
	if err != nil {
		return planeCities()
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	var table [][]int32
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if line := s.Text(); !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "\"") {
			var row []int32
			for _, cell := range strings.Split(line, ",") {
				ms, err := strconv.ParseFloat(strings.TrimSpace(cell), 64)
				if err != nil || ms < 0 {
					ms = 300
				}
				row = append(row, int32(ms*1000))
			}
			table = append(table, row)
		}
	}
	for i := range table {
		table[i][i] = 500
	}
	return table
}

func planeCities() [][]int32 {
	rng := rand.New(rand.NewPCG(242, 1))
	type point struct{ x, y float64 }
	points := make([]point, 242)
	for i := range points {
		points[i] = point{rng.Float64(), rng.Float64()}
	}
	table := make([][]int32, len(points))
	for i, a := range points {
		for _, b := range points {
			table[i] = append(table[i], int32(500+300_000*math.Hypot(a.x-b.x, a.y-b.y)))
		}
	}
	return table
}

func cityDelay(a, b *simNode) time.Duration {
	return time.Duration(cities()[a.city][b.city])*time.Microsecond/2 + a.last + b.last
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

// traffic sums what the members that live have sent.
func (n *simNet) traffic() (bytes, dialing uint64) {
	n.settle()
	for _, x := range n.nodes {
		bytes += x.bytes
		dialing += x.dialing
	}
	return bytes, dialing
}

// kinds tells which messages there were since the last call.
func (n *simNet) kinds() (s string) {
	for i, c := range n.count {
		if c > 0 {
			s += fmt.Sprintf(" %02x: %d of %d bytes", i, c, n.volume[i]/c)
		}
	}
	clear(n.count[:])
	clear(n.volume[:])
	return s
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
