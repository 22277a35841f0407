package posting

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// network is a world of Services on virtual time: links with a fixed latency,
// between which messages come in order.
type network struct {
	t      testing.TB
	now    clock.Time
	rng    *rand.Rand
	events []event
	seq    uint64
	nodes  []*testNode
	hash   *xxhash.Digest
	posts  []*tracked
	byID   map[ID]*tracked
	base   int64 // wall-clock time of instant zero

	latency func(a, b *testNode) time.Duration // one way
	jitter  time.Duration
}

type event struct {
	at   clock.Time
	seq  uint64
	node *testNode
	recv group.RecvID // 0: a wake-up
	msg  []byte
	fn   func()
}

func (w *network) push(e event) {
	w.seq++
	e.seq = w.seq
	h := append(w.events, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if h[p].at < e.at || h[p].at == e.at && h[p].seq < e.seq {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
	w.events = h
}

func (w *network) pop() event {
	h := w.events
	top, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	w.events = h
	i := 0
	for len(h) > 0 {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if r := c + 1; r < len(h) && (h[r].at < h[c].at || h[r].at == h[c].at && h[r].seq < h[c].seq) {
			c = r
		}
		if last.at < h[c].at || last.at == h[c].at && last.seq < h[c].seq {
			break
		}
		h[i] = h[c]
		i = c
	}
	if len(h) > 0 {
		h[i] = last
	}
	return top
}

// tracked is a post and where it has been delivered.
type tracked struct {
	post   *Post
	author *testNode
	at     clock.Time
	got    []clock.Time // by node, 0: not yet
}

type testNode struct {
	net    *network
	no     int
	peer   group.PeerID
	svc    *Service
	dead   bool
	bornAt clock.Time
	diedAt clock.Time
	wakeAt clock.Time
	x, y   float64 // where it is
	city   int
	mile   time.Duration
	links  []*testLink // by id-1
	order  []*Post     // as delivered, if kept
	keep   bool
	accept map[group.RecvID]group.Delivery
}

type testLink struct {
	far   *testNode
	farID group.LinkID
	delay time.Duration
	up    bool
	last  clock.Time
}

// testKeys signs with a keyed checksum, which is as good against the clumsy
// and a hundred times faster.
type testKeys struct{ peer group.PeerID }

func (k testKeys) Certificate() []byte { return k.peer[:] }

func (k testKeys) Sign(msg []byte) (sig [SignatureSize]byte) { return checksum(k.peer[:], msg) }

func checksum(certificate, msg []byte) (sig [SignatureSize]byte) {
	d := xxhash.New()
	d.Write(certificate)
	d.Write(msg)
	binary.LittleEndian.PutUint64(sig[:], d.Sum64())
	return sig
}

func (testKeys) Verify(certificate, msg []byte, sig [SignatureSize]byte) (group.PeerID, bool) {
	if len(certificate) != 32 {
		return group.PeerID{}, false
	}
	return group.PeerID(certificate), checksum(certificate, msg) == sig
}

func newNetwork(t testing.TB, seed uint64) *network {
	return &network{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), hash: xxhash.New(), byID: map[ID]*tracked{},
		base:    1_700_000_000_000,
		latency: func(a, b *testNode) time.Duration { return 5 * time.Millisecond },
	}
}

func (w *network) at(at clock.Time, fn func())      { w.push(event{at: at, fn: fn}) }
func (w *network) after(d time.Duration, fn func()) { w.at(w.now.Add(d), fn) }
func (w *network) every(d time.Duration, fn func() bool) {
	w.after(d, func() {
		if fn() {
			w.every(d, fn)
		}
	})
}

// run lets the world go on for d.
func (w *network) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && w.events[0].at <= end {
		e := w.pop()
		w.now = e.at
		switch {
		case e.fn != nil:
			e.fn()
		case e.node.dead:
		case e.recv != 0:
			e.node.receive(e.recv, e.msg)
		case e.node.wakeAt == e.at:
			e.node.wakeAt = clock.Never
			e.node.turn()
		}
	}
	w.now = end
}

// add makes a node.
func (w *network) add(cfg Config) *testNode {
	n := &testNode{net: w, no: len(w.nodes), wakeAt: clock.Never, bornAt: w.now, accept: map[group.RecvID]group.Delivery{}}
	for i := 0; i < len(n.peer); i += 8 {
		binary.BigEndian.PutUint64(n.peer[i:], w.rng.Uint64())
	}
	cfg.Rand = rand.New(rand.NewPCG(w.rng.Uint64(), 1))
	cfg.Self, cfg.Keys, cfg.UnixMilli, cfg.GroupID = n.peer, testKeys{n.peer}, w.base, [32]byte{1}
	n.svc = New(w.now, cfg, n)
	n.svc.Listen(true)
	n.x, n.y = w.rng.Float64(), w.rng.Float64()
	w.nodes = append(w.nodes, n)
	return n
}

// link connects two nodes, if they are not.
func (w *network) link(a, b *testNode) {
	if a == b {
		return
	}
	for _, l := range a.links {
		if l.far == b && l.up {
			return
		}
	}
	d := w.latency(a, b)
	la, lb := &testLink{far: b, delay: d, up: true}, &testLink{far: a, delay: d, up: true}
	a.links, b.links = append(a.links, la), append(b.links, lb)
	la.farID, lb.farID = group.LinkID(len(b.links)), group.LinkID(len(a.links))
	a.svc.NeighborUp(w.now, lb.farID, Member{Peer: b.peer, Session: 1})
	b.svc.NeighborUp(w.now, la.farID, Member{Peer: a.peer, Session: 1})
	a.turn()
	b.turn()
}

// kill stops a node without a word. The others hear of it after notice.
func (w *network) kill(n *testNode, notice func() time.Duration) {
	n.dead, n.diedAt = true, w.now
	for _, l := range n.links {
		if l.up {
			w.after(notice(), func() { w.down(l.far, l.farID) })
		}
	}
}

// cut takes a link away at both ends.
func (w *network) cut(n *testNode, id group.LinkID) {
	l := n.links[id-1]
	w.down(l.far, l.farID)
	w.down(n, id)
}

func (w *network) down(n *testNode, id group.LinkID) {
	l := n.links[id-1]
	if !l.up {
		return
	}
	l.up = false
	if !n.dead {
		n.svc.NeighborDown(w.now, id)
		n.turn()
	}
}

// turn is what a driver does after every input.
func (n *testNode) turn() {
	if n.dead {
		return
	}
	w := n.net
	n.svc.Advance(w.now)
	for {
		p, ok := n.svc.NextPost()
		if !ok {
			break
		}
		if n.keep {
			n.order = append(n.order, p)
		}
		t := w.byID[p.ID]
		if t == nil {
			continue // its own, which post() notes
		}
		for len(t.got) <= n.no {
			t.got = append(t.got, 0)
		}
		if t.got[n.no] != 0 {
			w.t.Errorf("node %d got post %v twice", n.no, p.ID)
		}
		t.got[n.no] = max(w.now, 1)
		w.trace(uint64(n.no), p.ID[:])
	}
	d := n.svc.Deadline()
	if d == clock.Never || d >= n.wakeAt {
		return
	}
	n.wakeAt = max(d, w.now)
	w.push(event{at: n.wakeAt, node: n})
}

func (w *network) trace(no uint64, data []byte) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(w.now))
	binary.LittleEndian.PutUint64(b[8:], no)
	w.hash.Write(b[:])
	w.hash.Write(data)
}

// post has a node post something and keeps track of it.
func (n *testNode) post(data []byte) *tracked {
	w := n.net
	p, err := n.svc.Post(w.now, data)
	if err != nil {
		w.t.Fatalf("node %d: post: %v", n.no, err)
	}
	t := &tracked{post: p, author: n, at: w.now, got: make([]clock.Time, len(w.nodes))}
	t.got[n.no] = max(w.now, 1)
	w.posts = append(w.posts, t)
	n.turn()
	w.byID[p.ID] = t
	return t
}

// The Flows of a node. A flow's number is its link's, and which of three.

func flowNo(link group.LinkID, kind int) uint32 { return uint32(link)<<2 | uint32(kind) }

func (n *testNode) OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID {
	if !n.links[link-1].up {
		return 0
	}
	return group.FlowID(flowNo(link, int(metadata[3]-metaControl[3])+1))
}

func (n *testNode) CloseFlow(now clock.Time, flow group.FlowID) {}

func (n *testNode) RejectFlow(now clock.Time, recv group.RecvID) {}

func (n *testNode) Backlog(flow group.FlowID) int { return 0 }

func (n *testNode) RTT(link group.LinkID) time.Duration { return 2 * n.links[link-1].delay }

func (n *testNode) Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time) {
	w, l := n.net, n.links[flow>>2-1]
	if !l.up {
		w.t.Fatalf("node %d sends on a link that is down", n.no)
	}
	at := w.now.Add(l.delay)
	if w.jitter > 0 {
		at = max(l.last, at.Add(time.Duration(w.rng.Int64N(int64(w.jitter)))))
		l.last = at
	}
	w.push(event{at: at, node: l.far, recv: group.RecvID(flowNo(l.farID, int(flow&3))), msg: slices.Clone(msg)})
}

func (n *testNode) receive(recv group.RecvID, msg []byte) {
	w := n.net
	link := group.LinkID(recv >> 2)
	if !n.links[link-1].up {
		return
	}
	if _, ok := n.accept[recv]; !ok {
		meta := slices.Clone(metaControl)
		meta[3] += byte(recv&3) - 1
		n.accept[recv] = n.svc.FlowOpened(w.now, link, recv, meta)
	}
	if n.accept[recv] != group.Reject {
		n.svc.Message(w.now, recv, msg)
	}
	n.turn()
}

var flagCities = flag.String("cities", "", "CSV of round-trip times in ms between cities, for the latencies of large runs; without, points in a square of 120 ms")

// geography gives the nodes places: cities if there is a matrix, else a plane.
func (w *network) geography(cities [][]float64) {
	for _, n := range w.nodes {
		n.mile = time.Millisecond + time.Duration(w.rng.Int64N(int64(9*time.Millisecond)))
		if cities != nil {
			n.city = w.rng.IntN(len(cities))
		}
	}
	w.latency = func(a, b *testNode) time.Duration {
		if cities == nil {
			return a.mile + b.mile + time.Duration(math.Hypot(a.x-b.x, a.y-b.y)*120e6)
		}
		ms := cities[a.city][b.city]
		switch {
		case a.city == b.city:
			ms = 1
		case ms < 0:
			ms = 200
		}
		return a.mile + b.mile + time.Duration(ms/2*1e6)
	}
}

// meshUp links the nodes as a group would: the ring, near ones, fingers, random
// ones, in all about 2·log2 N + 13 for each.
func (w *network) meshUp() {
	ring := slices.Clone(w.nodes)
	slices.SortFunc(ring, func(a, b *testNode) int { return a.svc.addr.Compare(b.svc.addr) })
	n := len(ring)
	if n <= 13 {
		for i, a := range ring {
			for _, b := range ring[:i] {
				w.link(a, b)
			}
		}
		return
	}
	most := 13 + 2*int(math.Log2(float64(n)))
	link := func(a, b *testNode, force bool) {
		if force || len(a.links) < most && len(b.links) < most {
			w.link(a, b)
		}
	}
	for i, a := range ring {
		for k := 1; k <= 3; k++ {
			link(a, ring[(i+k)%n], true)
		}
	}
	best := func(a *testNode, of int, pick func() *testNode) *testNode {
		var b *testNode
		for range of {
			if c := pick(); c != a && (b == nil || w.latency(a, c) < w.latency(a, b)) {
				b = c
			}
		}
		return b
	}
	for i, a := range ring {
		for range 4 {
			link(a, best(a, 32, func() *testNode { return ring[w.rng.IntN(n)] }), false)
		}
		link(a, ring[w.rng.IntN(n)], false)
		for far := n / 2; far > 6; far /= 2 {
			link(a, best(a, 8, func() *testNode { return ring[(i+far/2+w.rng.IntN(far/2)+n)%n] }), false)
		}
	}
}

// outcome sums up how posts got to the nodes.
type outcome struct {
	want, got     int
	p50, p99, max time.Duration
}

func (o outcome) String() string {
	return fmt.Sprintf("reached %d of %d, p50 %v p99 %v max %v", o.got, o.want,
		o.p50.Round(100*time.Microsecond), o.p99.Round(100*time.Microsecond), o.max.Round(100*time.Microsecond))
}

// outcome looks at the posts of a time at those who lived through all of it.
func (w *network) outcome(from, to clock.Time) outcome {
	var o outcome
	var delays []time.Duration
	for _, t := range w.posts {
		if t.at < from || t.at >= to || w.lost(t) {
			continue
		}
		for _, n := range w.nodes {
			if n.dead || n == t.author || n.bornAt > t.at {
				continue
			}
			o.want++
			if n.no < len(t.got) && t.got[n.no] != 0 {
				o.got++
				delays = append(delays, t.got[n.no].Sub(t.at))
			}
		}
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		o.p50, o.p99, o.max = delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1]
	}
	return o
}

// lost reports whether a post died with its author and all who had it: nobody
// is left to pass it on.
func (w *network) lost(t *tracked) bool {
	for _, n := range w.nodes {
		if !n.dead && n.no < len(t.got) && t.got[n.no] != 0 {
			return false
		}
	}
	return t.author.dead
}

// totals adds up the counters of all who live.
func (w *network) totals() (t Stats) {
	for _, n := range w.nodes {
		if n.dead {
			continue
		}
		s := n.svc.Stats()
		t.Posted += s.Posted
		t.Received += s.Received
		t.Pushed += s.Pushed
		t.Fetched += s.Fetched
		t.Duplicates += s.Duplicates
		t.PayloadIn += s.PayloadIn
		t.ControlIn += s.ControlIn
		t.MessagesIn += s.MessagesIn
		t.Switches += s.Switches
		t.Orphaned += s.Orphaned
		t.Claims += s.Claims
		t.Alarms += s.Alarms
		t.Comparisons += s.Comparisons
		t.Refused.GivenUp += s.Refused.GivenUp
		t.Refused.Malformed += s.Refused.Malformed
	}
	return t
}

// poster posts at a rate from random nodes that live.
func (w *network) poster(rate int, size int) (stop func()) {
	stopped := false
	data := make([]byte, size)
	w.every(time.Second/time.Duration(rate), func() bool {
		if stopped {
			return false
		}
		for {
			n := w.nodes[w.rng.IntN(len(w.nodes))]
			if !n.dead && (len(n.svc.neighbors) > 0 || len(w.nodes) == 1) {
				binary.BigEndian.PutUint64(data, w.rng.Uint64())
				n.post(data)
				return true
			}
		}
	})
	return func() { stopped = true }
}
