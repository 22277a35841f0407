package replication

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// network is a world of Services on virtual time. Each node has an uplink,
// which the flows that have something to send share evenly, and a downlink.
type network struct {
	t      testing.TB
	now    clock.Time
	rng    *rand.Rand
	events clock.Queue[func()]
	nodes  []*testNode
	delay  time.Duration // one way, between any two
}

func (w *network) after(d time.Duration, fn func()) { w.at(w.now.Add(d), fn) }

func (w *network) at(when clock.Time, fn func()) {
	w.events.Set(&clock.Timer[func()]{Owner: fn}, when)
}

// run lets the world go on for d, or until done says so.
func (w *network) run(d time.Duration, done func() bool) {
	w.t.Helper()
	end := w.now.Add(d)
	for w.events.Next() <= end {
		if done != nil && done() {
			return
		}
		w.now = w.events.Next()
		w.events.Pop(w.now).Owner()
	}
	w.now = end
}

type testNode struct {
	w      *network
	no     int
	peer   group.PeerID
	svc    *Service
	c      *Collection
	dead   bool
	wakeAt clock.Time
	links  []*testLink // by id-1
	flows  []*testFlow // by id-1
	recvs  []*testRecv // by id-1

	uplink   int // bytes per second; 0: no limit
	downlink int // the same
	downAt   clock.Time
	active   []*testFlow
	shareAt  clock.Time
	shareNo  int

	bad      bool // sends wrong objects
	deny     func(i uint64) bool
	onGot    func(i uint64, data []byte)
	wrong    int
	began    clock.Time
	finished clock.Time
}

type testLink struct {
	far   *testNode
	farID group.LinkID
	up    bool
}

// testFlow is a flow of messages to one neighbor.
type testFlow struct {
	n     *testNode
	id    group.FlowID
	link  *testLink
	recv  group.RecvID // there
	queue []testMessage
	bytes int
	bulk  bool
}

type testMessage struct {
	data    []byte
	left    float64
	receipt uint64 // 0 if none is wanted
}

type testRecv struct {
	dead bool
	from *testFlow
}

func newNetwork(t testing.TB, seed uint64) *network {
	return &network{t: t, rng: rand.New(rand.NewPCG(seed, 3)), delay: 10 * time.Millisecond}
}

func (w *network) add(cfg Config, uplink int) *testNode {
	n := &testNode{w: w, no: len(w.nodes), wakeAt: clock.Never, uplink: uplink, finished: clock.Never}
	binary.BigEndian.PutUint64(n.peer[:], w.rng.Uint64())
	cfg.Rand = rand.New(rand.NewPCG(w.rng.Uint64(), 1))
	n.svc = New(cfg, n)
	w.nodes = append(w.nodes, n)
	return n
}

func (n *testNode) open(id CollectionID, strategy Strategy) *Collection {
	n.w.t.Helper()
	c, err := n.svc.Open(n.w.now, id, strategy)
	if err != nil {
		n.w.t.Fatal(err)
	}
	n.c = c
	return c
}

func (w *network) linked(a, b *testNode) bool {
	return slices.ContainsFunc(a.links, func(l *testLink) bool { return l.up && l.far == b })
}

// link makes two nodes neighbors, if they are not.
func (w *network) link(a, b *testNode) {
	if a == b || w.linked(a, b) {
		return
	}
	la, lb := &testLink{far: b, up: true}, &testLink{far: a, up: true}
	a.links, b.links = append(a.links, la), append(b.links, lb)
	la.farID, lb.farID = group.LinkID(len(b.links)), group.LinkID(len(a.links))
	a.svc.NeighborUp(w.now, group.LinkID(len(a.links)), Member{Peer: b.peer, Session: 1})
	b.svc.NeighborUp(w.now, group.LinkID(len(b.links)), Member{Peer: a.peer, Session: 1})
	a.turn()
	b.turn()
}

// mesh links every node with at least so many others at random.
func (w *network) mesh(degree int) {
	for _, n := range w.nodes {
		for tries := 0; tries < 1000 && n.degree() < min(degree, len(w.nodes)-1); tries++ {
			w.link(n, w.nodes[w.rng.IntN(len(w.nodes))])
		}
	}
}

func (n *testNode) degree() (d int) {
	for _, l := range n.links {
		if l.up {
			d++
		}
	}
	return d
}

// die takes a node away without a word; its neighbors notice after a while.
func (n *testNode) die() {
	n.dead = true
	for _, l := range n.links {
		if l.up {
			far, id := l.far, l.farID
			n.w.after(500*time.Millisecond, func() { far.drop(id) })
		}
	}
}

func (n *testNode) drop(id group.LinkID) {
	if l := n.links[id-1]; l.up {
		l.up = false
		n.svc.NeighborDown(n.w.now, id)
		n.settle()
		n.active = slices.DeleteFunc(n.active, func(f *testFlow) bool { return f.link == l })
		n.share()
		n.turn()
	}
}

// object is what index i has in it.
func object(i uint64, size int) []byte {
	b := make([]byte, size)
	for k := range b {
		b[k] = byte(i + uint64(k))
	}
	binary.BigEndian.PutUint64(b, i)
	return b
}

const objectSize = 64

// turn does what a driver does: hands out what happened and sets the alarm.
func (n *testNode) turn() {
	if n.dead {
		return
	}
	for {
		n.svc.Advance(n.w.now)
		any := false
		for ev, ok := n.svc.NextEvent(); ok; ev, ok = n.svc.NextEvent() {
			any = true
			n.handle(ev)
		}
		if !any && n.svc.Deadline() > n.w.now {
			break
		}
	}
	if d := n.svc.Deadline(); d < n.wakeAt {
		n.wakeAt = d
		n.w.at(d, func() {
			if !n.dead && n.wakeAt == d {
				n.wakeAt = clock.Never
				n.turn()
			}
		})
	}
}

func (n *testNode) handle(ev Event) {
	now := n.w.now
	switch ev.Kind {
	case Requested:
		if n.deny != nil && n.deny(ev.Index) {
			must(n.w.t, n.svc.Deny(now, ev.Request))
			return
		}
		data := slices.Concat(make([]byte, HeadRoom), object(ev.Index, objectSize))
		if n.bad {
			data[len(data)-1]++
		}
		must(n.w.t, n.svc.AnswerShared(now, ev.Request, data, func() {
			if data == nil {
				n.w.t.Errorf("node %d was given object %d back twice", n.no, ev.Index)
			}
			clear(data)
			data = nil
		}))
	case Fetched:
		if !slices.Equal(ev.Data, object(ev.Index, objectSize)) {
			n.wrong++
			ev.Collection.Bad(now, ev.Index, ev.Link)
			return
		}
		if ev.Collection.Has(ev.Index) {
			n.w.t.Errorf("node %d got object %d again", n.no, ev.Index)
		}
		if n.onGot != nil {
			n.onGot(ev.Index, ev.Data)
		}
		must(n.w.t, ev.Collection.AddHave(now, Range{ev.Index, ev.Index + 1}))
		if ev.Collection.Want() == 0 {
			n.finished = now
		}
		if n.onGot == nil { // who may keep it
			clear(ev.Memory[:cap(ev.Memory)])
			n.svc.Recycle(ev.Memory)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// What follows is Flows.

func (n *testNode) OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID {
	l := n.links[link-1]
	if !l.up {
		return 0
	}
	f := &testFlow{n: n, id: group.FlowID(len(n.flows) + 1), link: l, bulk: class == group.ClassBulk}
	n.flows = append(n.flows, f)
	far := l.far
	far.recvs = append(far.recvs, &testRecv{from: f})
	f.recv = group.RecvID(len(far.recvs))
	meta := slices.Clone(metadata)
	n.w.after(n.w.delay, func() {
		if !far.dead && far.svc.FlowOpened(n.w.now, l.farID, f.recv, meta) == group.Reject {
			far.recvs[f.recv-1].dead = true
		}
	})
	return f.id
}

func (n *testNode) RejectFlow(now clock.Time, recv group.RecvID) {
	if int(recv) <= len(n.recvs) {
		n.recvs[recv-1].dead = true
	}
}

func (n *testNode) Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time) {
	n.queue(flow, testMessage{data: slices.Clone(msg)})
}

func (n *testNode) SendReceipt(now clock.Time, flow group.FlowID, msg []byte, number uint64) {
	n.queue(flow, testMessage{data: msg, receipt: number})
}

func (n *testNode) Hold(now clock.Time, link group.LinkID) {}

func (n *testNode) Backlog(flow group.FlowID) int { return n.flows[flow-1].bytes }

func (n *testNode) RTT(link group.LinkID) time.Duration { return 2 * n.w.delay }

// weight is what a message takes of the uplink. Objects count as blocks of a
// file, all of one size, and everything else counts as nothing.
const weight = 64 << 10

func (n *testNode) queue(flow group.FlowID, m testMessage) {
	f := n.flows[flow-1]
	if !f.bulk || n.uplink == 0 {
		n.deliver(f, m)
		return
	}
	n.settle()
	m.left = weight
	f.queue = append(f.queue, m)
	f.bytes += weight
	if len(f.queue) == 1 {
		n.active = append(n.active, f)
	}
	n.share()
}

// settle counts what the flows have sent since it was called last.
func (n *testNode) settle() {
	if len(n.active) > 0 {
		part := float64(n.w.now.Sub(n.shareAt)) / 1e9 * float64(n.uplink) / float64(len(n.active))
		for _, f := range n.active {
			f.queue[0].left -= part
		}
	}
	n.shareAt = n.w.now
}

// share plans when the next message of a flow is through.
func (n *testNode) share() {
	n.shareNo++
	if len(n.active) == 0 {
		return
	}
	least := n.active[0].queue[0].left
	for _, f := range n.active {
		least = min(least, f.queue[0].left)
	}
	no := n.shareNo
	d := time.Duration(max(0, least)*float64(len(n.active))/float64(n.uplink)*1e9) + 1
	n.w.after(d, func() {
		if n.dead || no != n.shareNo {
			return
		}
		n.settle()
		for _, f := range slices.Clone(n.active) {
			if f.queue[0].left > 0.5 {
				continue
			}
			m := f.queue[0]
			f.queue = f.queue[1:]
			f.bytes -= weight
			if len(f.queue) == 0 {
				n.active = slices.DeleteFunc(n.active, func(x *testFlow) bool { return x == f })
			}
			n.deliver(f, m)
		}
		n.share()
	})
}

// deliver carries a message to the far end, and its receipt back.
func (n *testNode) deliver(f *testFlow, m testMessage) {
	far := f.link.far
	d := n.w.delay
	if f.bulk && far.downlink > 0 { // a queue at the far end's downlink
		far.downAt = max(far.downAt, n.w.now.Add(d)).Add(time.Duration(weight * 1e9 / int64(far.downlink)))
		d = far.downAt.Sub(n.w.now)
	}
	n.w.after(d, func() {
		if far.dead || !far.links[f.link.farID-1].up || far.recvs[f.recv-1].dead {
			return
		}
		if m.receipt%2 == 1 { // as if it had come in several fragments
			far.svc.Gathered(n.w.now, f.recv, append(far.svc.Buffer()[:0], m.data...))
		} else {
			far.svc.Message(n.w.now, f.recv, slices.Clone(m.data))
		}
		far.turn()
		if m.receipt != 0 {
			n.w.after(n.w.delay, func() {
				if !n.dead && f.link.up {
					n.svc.Receipt(n.w.now, f.id, m.receipt)
					n.turn()
				}
			})
		}
	})
}
