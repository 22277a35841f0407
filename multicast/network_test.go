package multicast

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"

	"github.com/cespare/xxhash/v2"
)

// network is a world of Services on virtual time: links with latency, jitter,
// and loss that the flows make good by sending again.
type network struct {
	wishes bool // members tell what they wish for
	t      testing.TB
	now    clock.Time
	rng    *rand.Rand
	events eventHeap
	seq    uint64
	nodes  []*testNode
	hash   *xxhash.Digest
	linkNo group.LinkID

	latency func(a, b *testNode) time.Duration // one way
	jitter  time.Duration
	loss    float64
	checks  func() // after every event, if set
}

type event struct {
	at  clock.Time
	seq uint64
	fn  func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	e := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return e
}

// testNode is one node: a Service, and the Flows that it talks to.
type testNode struct {
	net    *network
	no     int
	peer   group.PeerID
	svc    *Service
	dead   bool
	frozen clock.Time // deaf and mute until then
	wakeAt clock.Time
	modern bool

	line     int        // bytes per second that it can send, 0: any number
	lineFree clock.Time // when all that was sent has left it

	links map[group.LinkID]*testLink
	order []*testLink
	flows map[group.FlowID]*testFlow
	recvs map[group.RecvID]*testFlow
	nextF group.FlowID
	nextR group.RecvID

	sub     *Subscription
	frames  []playedFrame
	started clock.Time
	onFrame func(Frame)
	alter   func(msg []byte) // what it sends of media; nil: nothing

	deadline clock.Time // of the last message that it sent

	sentBytes, controlBytes uint64
}

type playedFrame struct {
	Frame
	at clock.Time
}

type testLink struct {
	id, farID group.LinkID
	from, to  *testNode
	delay     time.Duration
	up        bool
	heard     clock.Time // the latest acknowledgement
	rate      int        // bytes per second that it carries, 0: any number
	free      clock.Time // when all that was sent has gone
	slowStart bool       // it says that it is in slow start
}

type testFlow struct {
	id       group.FlowID
	link     *testLink
	metadata []byte
	reply    group.RecvID
	recv     group.RecvID // at the far end
	opened   bool
	rejected bool
	delivery group.Delivery
	last     clock.Time // of the delivery of the last message, for those in order
	backlog  int
}

func newNetwork(t testing.TB, seed uint64) *network {
	return &network{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), hash: xxhash.New(),
		latency: func(a, b *testNode) time.Duration { return 100 * time.Microsecond },
	}
}

// scaled returns how long a scenario runs: less if time is short, as it is under
// the race detector.
func scaled(d time.Duration) time.Duration {
	if testing.Short() {
		return d / 2
	}
	return d
}

func (w *network) at(at clock.Time, fn func()) {
	w.seq++
	heap.Push(&w.events, event{at, w.seq, fn})
}

func (w *network) after(d time.Duration, fn func()) { w.at(w.now.Add(d), fn) }

// run lets the world go on for d.
func (w *network) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.fn()
		if w.checks != nil {
			w.checks()
		}
	}
	w.now = end
}

func (w *network) trace(kind byte, from, to int, msg []byte) {
	var b [25]byte
	b[0] = kind
	binary.LittleEndian.PutUint64(b[1:], uint64(w.now))
	binary.LittleEndian.PutUint64(b[9:], uint64(from))
	binary.LittleEndian.PutUint64(b[17:], uint64(to))
	w.hash.Write(b[:])
	w.hash.Write(msg)
}

// add makes a node. modern is what its neighbors take it for.
func (w *network) add(cfg Config, modern bool) *testNode {
	n := &testNode{
		net: w, no: len(w.nodes), modern: modern, wakeAt: clock.Never,
		links: map[group.LinkID]*testLink{}, flows: map[group.FlowID]*testFlow{}, recvs: map[group.RecvID]*testFlow{},
	}
	binary.BigEndian.PutUint64(n.peer[:], uint64(n.no+1))
	cfg.Rand = rand.New(rand.NewPCG(w.rng.Uint64(), 1))
	cfg.AllowUnsigned = cfg.AllowUnsigned || cfg.Keys == nil
	n.svc = New(cfg, n)
	w.nodes = append(w.nodes, n)
	return n
}

// link connects two nodes.
func (w *network) link(a, b *testNode) {
	d := w.latency(a, b)
	w.linkNo += 2
	la := &testLink{id: w.linkNo, farID: w.linkNo + 1, from: a, to: b, delay: d, up: true}
	lb := &testLink{id: w.linkNo + 1, farID: w.linkNo, from: b, to: a, delay: d, up: true}
	for _, l := range []*testLink{la, lb} {
		l.from.links[l.id] = l
		l.from.order = append(l.from.order, l)
		l.from.nextR++
		both := l.from.modern && l.to.modern
		var wish []byte
		if w.wishes {
			wish = l.to.svc.Wish()
		}
		l.from.svc.Welcome(w.now, l.id, Member{Peer: l.to.peer, Session: l.from.nextR, Modern: both}, wish)
		l.from.turn()
	}
}

// mesh links a node with all that live.
func (w *network) mesh(n *testNode) {
	for _, m := range w.nodes {
		if m != n && !m.dead {
			w.link(m, n)
		}
	}
}

// kill stops a node without a word. The others hear of it after notice.
func (w *network) kill(n *testNode, notice time.Duration) {
	n.dead = true
	w.after(notice, func() {
		for _, l := range n.order {
			if far := l.to; !far.dead {
				w.down(far, l.farID)
			}
		}
	})
}

// down takes a link away at one end.
func (w *network) down(n *testNode, id group.LinkID) {
	l := n.links[id]
	if l == nil {
		return
	}
	l.up = false
	delete(n.links, id)
	for i := range n.order {
		if n.order[i] == l {
			n.order = append(n.order[:i], n.order[i+1:]...)
			break
		}
	}
	for id, f := range n.flows {
		if f.link == l {
			delete(n.flows, id)
		}
	}
	for id, f := range n.recvs {
		if f.link.from == l.to && f.link.farID == l.id {
			delete(n.recvs, id)
		}
	}
	n.svc.NeighborDown(w.now, l.id)
	n.turn()
}

// turn is what a driver does after every input.
func (n *testNode) turn() {
	if n.dead {
		return
	}
	n.svc.Advance(n.net.now)
	if n.sub != nil {
		for {
			f, ok := n.sub.NextFrame()
			if !ok {
				break
			}
			n.frames = append(n.frames, playedFrame{f, n.net.now})
			n.net.trace('f', n.no, f.Lost, nil)
			if n.onFrame != nil {
				n.onFrame(f)
			}
		}
	}
	d := n.svc.Deadline()
	if d == clock.Never || d >= n.wakeAt && n.wakeAt > n.net.now {
		return
	}
	d = max(d, n.net.now)
	n.wakeAt = d
	n.net.at(d, func() {
		if n.wakeAt != d {
			return
		}
		n.wakeAt = clock.Never
		if n.frozen > n.net.now {
			n.wakeAt = n.frozen
			n.net.at(n.frozen, func() { n.wakeAt = clock.Never; n.turn() })
			return
		}
		n.turn()
	})
}

// freeze stops a node for a while, as a busy machine does.
func (n *testNode) freeze(d time.Duration) { n.frozen = n.net.now.Add(d) }

// stumble freezes a node now and then.
func (n *testNode) stumble(every, most time.Duration) {
	w := n.net
	w.after(time.Duration(w.rng.Int64N(int64(2*every))), func() {
		n.freeze(time.Duration(w.rng.Int64N(int64(most))))
		n.stumble(every, most)
	})
}

// play has the node watch a stream.
func (n *testNode) play(name string) {
	sub, err := n.svc.Play(n.net.now, name, PlayConfig{})
	if err != nil {
		n.net.t.Fatalf("node %d plays %q: %v", n.no, name, err)
	}
	n.sub, n.started = sub, n.net.now
	n.turn()
}

func (n *testNode) OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID {
	l := n.links[link]
	if l == nil {
		return 0
	}
	n.nextF++
	n.flows[n.nextF] = &testFlow{id: n.nextF, link: l, metadata: append([]byte(nil), metadata...), reply: reply}
	return n.nextF
}

func (n *testNode) CloseFlow(now clock.Time, flow group.FlowID) {
	f := n.flows[flow]
	if f == nil {
		return
	}
	delete(n.flows, flow)
	if !f.opened {
		return
	}
	n.transmit(f, nil, func(far *testNode) {
		if far.recvs[f.recv] == f {
			delete(far.recvs, f.recv)
			far.svc.FlowClosed(n.net.now, f.recv)
		}
	})
}

func (n *testNode) RejectFlow(now clock.Time, recv group.RecvID) {
	if f := n.recvs[recv]; f != nil {
		delete(n.recvs, recv)
		n.sendReject(f)
	}
}

func (n *testNode) sendReject(f *testFlow) {
	far := f.link.from
	n.net.after(f.link.delay, func() {
		if far.dead || f.rejected {
			return
		}
		f.rejected = true
		if far.flows[f.id] == f {
			delete(far.flows, f.id)
			far.svc.FlowRejected(n.net.now, f.id)
			far.turn()
		}
	})
}

func (n *testNode) Backlog(flow group.FlowID) int {
	if f := n.flows[flow]; f != nil {
		return f.backlog
	}
	return 0
}

func (n *testNode) SlowStart(link group.LinkID) bool {
	l := n.links[link]
	return l != nil && l.slowStart
}

func (n *testNode) RTT(link group.LinkID) time.Duration {
	if l := n.links[link]; l != nil {
		return 2 * l.delay
	}
	return 0
}

func (n *testNode) LastHeard(link group.LinkID) clock.Time {
	if l := n.links[link]; l != nil {
		return l.heard
	}
	return 0
}

func (n *testNode) Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time) {
	f := n.flows[flow]
	if f == nil {
		n.net.t.Fatalf("node %d sends on flow %d that is not open", n.no, flow)
	}
	if string(f.metadata) == string(metaMedia) {
		n.sentBytes += uint64(len(msg))
	} else {
		n.controlBytes += uint64(len(msg))
	}
	n.deadline = deadline
	msg = append([]byte(nil), msg...)
	if n.alter != nil && string(f.metadata) == string(metaMedia) {
		n.alter(msg)
	}
	n.net.trace('m', n.no, f.link.to.no, msg)
	f.opened = true
	n.transmit(f, msg, func(far *testNode) {
		if f.rejected {
			return
		}
		if f.recv == 0 && !far.accept(f) {
			return
		}
		if far.recvs[f.recv] == f {
			far.svc.Message(n.net.now, f.recv, msg)
		}
	})
}

// accept lets the far end of a flow take it or leave it.
func (n *testNode) accept(f *testFlow) bool {
	back := f.link.to.links[f.link.farID]
	if back == nil {
		return false
	}
	var reply group.FlowID
	if g := f.link.from.recvs[f.reply]; g != nil {
		reply = g.id
	}
	n.nextR++
	f.recv = n.nextR
	n.recvs[f.recv] = f
	f.delivery = n.svc.FlowOpened(n.net.now, back.id, f.recv, f.metadata, reply)
	if f.delivery == group.Reject {
		delete(n.recvs, f.recv)
		n.sendReject(f)
		return false
	}
	return true
}

// transmit delivers at the far end when the link does.
func (n *testNode) transmit(f *testFlow, msg []byte, deliver func(far *testNode)) {
	w, l := n.net, f.link
	far := l.to
	if far.dead {
		f.backlog += max(0, len(msg))
		return
	}
	at := w.now
	if n.line > 0 {
		n.lineFree = max(n.lineFree, at).Add(time.Duration(len(msg)) * time.Second / time.Duration(n.line))
		at = n.lineFree
		f.backlog += len(msg)
		w.at(at, func() { f.backlog -= len(msg) })
	}
	if l.rate > 0 {
		l.free = max(l.free, at).Add(time.Duration(len(msg)) * time.Second / time.Duration(l.rate))
		at = l.free
		f.backlog += len(msg)
		w.at(at, func() { f.backlog -= len(msg) })
	}
	at = at.Add(l.delay)
	if w.jitter > 0 {
		at = at.Add(time.Duration(w.rng.Int64N(int64(w.jitter))))
	}
	for w.loss > 0 && w.rng.Float64() < w.loss {
		at = at.Add(2*l.delay + 10*time.Millisecond) // the acknowledgement of what came after, and once more
	}
	inOrder := string(f.metadata) == string(metaControl)
	if inOrder {
		at = max(at, f.last)
	}
	f.last = max(at, f.last)
	if msg == nil {
		at = f.last
	}
	w.at(at, func() {
		if far.dead || n.dead && w.now.Sub(at) < 0 || !l.up {
			return
		}
		if far.frozen > w.now {
			w.at(far.frozen, func() { deliver(far); far.turn() })
			return
		}
		w.after(l.delay, func() { l.heard = w.now })
		deliver(far)
		far.turn()
	})
}

// source publishes messages at a steady rate.
type source struct {
	node     *testNode
	pub      *Publication
	written  int
	size     int
	interval time.Duration
	keyEvery int
	stopped  bool
	log      map[uint64][]byte
}

func (w *network) publish(n *testNode, name string, cfg StreamConfig, size int, interval time.Duration, keyEvery int) *source {
	pub, err := n.svc.Publish(w.now, name, cfg)
	if err != nil {
		w.t.Fatalf("publish %q: %v", name, err)
	}
	s := &source{node: n, pub: pub, size: size, interval: interval, keyEvery: keyEvery, log: map[uint64][]byte{}}
	n.turn()
	s.next()
	return s
}

func (s *source) next() {
	if s.stopped || s.node.dead {
		return
	}
	w := s.node.net
	if s.node.frozen > w.now {
		w.at(s.node.frozen, s.next)
		return
	}
	data := make([]byte, s.size)
	binary.BigEndian.PutUint32(data, uint32(s.written))
	m := Message{Data: data, Timestamp: uint32(w.now / 1e6), Key: s.keyEvery > 0 && s.written%s.keyEvery == 0, SentAt: int64(w.now) / 1000}
	s.written++
	if err := s.pub.Write(w.now, m); err != nil {
		w.t.Fatalf("write: %v", err)
	}
	s.node.turn()
	w.after(s.interval, s.next)
}

// figures sums up what a viewer got.
type figures struct {
	frames, lost, outOfOrder int
	startup, p50, p99, max   time.Duration
}

func (n *testNode) figures(from clock.Time) figures {
	var f figures
	var delays []time.Duration
	last := -1
	for _, fr := range n.frames {
		f.lost += fr.Lost
		no := int(binary.BigEndian.Uint32(fr.Data))
		if last >= 0 && no != last+1 && fr.Lost == 0 && !fr.Reset {
			f.outOfOrder++
		}
		last = no
		sent := clock.Time(fr.SentAt * 1000)
		if sent >= from && sent >= n.started {
			delays = append(delays, fr.at.Sub(sent))
		}
	}
	f.frames = len(n.frames)
	if len(n.frames) > 0 {
		f.startup = n.frames[0].at.Sub(n.started)
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		f.p50 = delays[len(delays)/2]
		f.p99 = delays[len(delays)*99/100]
		f.max = delays[len(delays)-1]
	}
	return f
}

func (f figures) String() string {
	return fmt.Sprintf("frames %d lost %d gaps %d startup %v p50 %v p99 %v max %v", f.frames, f.lost, f.outOfOrder, f.startup, f.p50, f.p99, f.max)
}
