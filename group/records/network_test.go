package records

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// network is a world of Services on virtual time whose members always know
// their true neighbors on the ring, a while after they come and go, and whose
// routes lead to the member that is nearest when they arrive. What a real group
// makes of that is measured in package simulations.
type network struct {
	t      testing.TB
	now    clock.Time
	rng    *rand.Rand
	events clock.Queue[func()]
	nodes  []*testNode
	alive  ring.Set[*testNode]
	lastID group.RouteID
	asked  map[group.RouteID]*testNode
	links  group.LinkID

	loseReplies int // the next so many
}

const (
	delay = 20 * time.Millisecond // of a link, and of a route
	side  = 4                     // ring neighbors on either side
)

type testNode struct {
	net     *network
	peer    group.PeerID
	addr    ring.Addr
	svc     *Service
	dead    bool
	links   map[group.LinkID]*testNode
	to      map[*testNode]group.LinkID
	recvs   map[group.RecvID]bool
	results map[RequestID]Result
	wakeAt  clock.Time
}

type testKeys struct{ peer group.PeerID }

func (k testKeys) Certificate() []byte { return k.peer[:] }
func (k testKeys) Sign(msg []byte) (sig [SignatureSize]byte) {
	return checksum(k.peer[:], msg)
}
func (testKeys) Verify(certificate, msg []byte, sig [SignatureSize]byte) (group.PeerID, bool) {
	if len(certificate) != 32 {
		return group.PeerID{}, false
	}
	return group.PeerID(certificate), checksum(certificate, msg) == sig
}

func checksum(certificate, msg []byte) (sig [SignatureSize]byte) {
	d := xxhash.New()
	d.Write(certificate)
	d.Write(msg)
	binary.LittleEndian.PutUint64(sig[:], d.Sum64())
	return sig
}

func newNetwork(t testing.TB, seed uint64, members int) *network {
	w := &network{t: t, rng: rand.New(rand.NewPCG(seed, 3)), asked: map[group.RouteID]*testNode{}}
	for range members {
		w.add(Config{})
	}
	w.settle()
	w.run(time.Second)
	return w
}

func (w *network) after(d time.Duration, fn func()) {
	w.events.Set(&clock.Timer[func()]{Owner: fn}, w.now.Add(d))
}

func (w *network) run(d time.Duration) {
	end := w.now.Add(d)
	for w.events.Next() <= end {
		w.now = w.events.Next()
		w.events.Pop(w.now).Owner()
	}
	w.now = end
}

func (w *network) add(cfg Config) *testNode {
	n := &testNode{
		net: w, links: map[group.LinkID]*testNode{}, to: map[*testNode]group.LinkID{},
		recvs: map[group.RecvID]bool{}, results: map[RequestID]Result{}, wakeAt: clock.Never,
	}
	for i := 0; i < 32; i += 8 {
		binary.BigEndian.PutUint64(n.peer[i:], w.rng.Uint64())
	}
	n.addr = ring.OfPeer(n.peer)
	cfg.Rand = rand.New(rand.NewPCG(w.rng.Uint64(), 1))
	cfg.Self, cfg.Keys, cfg.UnixMilli, cfg.GroupID = n.peer, testKeys{n.peer}, 1_700_000_000_000, [32]byte{1}
	n.svc = New(cfg, n, n)
	w.nodes = append(w.nodes, n)
	w.alive.Add(n.addr, n)
	return n
}

func (w *network) kill(n *testNode) {
	n.dead = true
	w.alive.Remove(n.addr)
}

// settle gives everybody links to the ring neighbors that there are now.
func (w *network) settle() {
	for i := range w.alive.Len() {
		n := w.alive.At(i).Value
		for k := 1; k <= side && k < w.alive.Len(); k++ {
			w.link(n, w.alive.At((i+k)%w.alive.Len()).Value)
		}
	}
	for i := range w.alive.Len() {
		n := w.alive.At(i).Value
		var gone []*testNode
		for far := range n.to {
			if far.dead {
				gone = append(gone, far)
			}
		}
		slices.SortFunc(gone, func(a, b *testNode) int { return a.addr.Compare(b.addr) })
		for _, far := range gone {
			id := n.to[far]
			delete(n.to, far)
			delete(n.links, id)
			n.svc.NeighborDown(w.now, id)
		}
		n.turn()
	}
}

func (w *network) link(a, b *testNode) {
	if a == b || a.to[b] != 0 {
		return
	}
	w.links++ // both ends call it the same
	a.links[w.links], a.to[b] = b, w.links
	b.links[w.links], b.to[a] = a, w.links
	a.svc.NeighborUp(w.now, w.links, Member{Peer: b.peer, Session: 1})
	b.svc.NeighborUp(w.now, w.links, Member{Peer: a.peer, Session: 1})
}

func (n *testNode) turn() {
	if n.dead {
		return
	}
	w := n.net
	n.svc.Advance(w.now)
	for r, ok := n.svc.NextResult(); ok; r, ok = n.svc.NextResult() {
		n.results[r.ID] = r
	}
	if d := n.svc.Deadline(); d < n.wakeAt {
		n.wakeAt = max(d, w.now)
		at := n.wakeAt
		w.after(at.Sub(w.now), func() {
			if n.wakeAt == at {
				n.wakeAt = clock.Never
				n.turn()
			}
		})
	}
}

func (n *testNode) OpenFlow(now clock.Time, link group.LinkID, meta []byte, reply group.RecvID, class group.Class) group.FlowID {
	return group.FlowID(link)
}

func (n *testNode) Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time) {
	far := n.links[group.LinkID(flow)]
	msg = slices.Clone(msg)
	n.net.after(delay, func() {
		if far == nil || far.dead || far.links[group.LinkID(flow)] == nil {
			return
		}
		recv := group.RecvID(flow)
		if !far.recvs[recv] {
			far.recvs[recv] = far.svc.FlowOpened(n.net.now, group.LinkID(flow), recv, metadata) != group.Reject
		}
		if far.recvs[recv] {
			far.svc.Message(n.net.now, recv, msg)
		}
		far.turn()
	})
}

func (n *testNode) SendToNearest(now clock.Time, to ring.Addr, msg []byte, o group.RouteOptions) (group.RouteID, error) {
	w := n.net
	w.lastID++
	id := w.lastID
	w.asked[id] = n
	msg = slices.Clone(msg)
	w.after(delay, func() {
		it, ok := w.alive.Nearest(to)
		if !ok {
			return
		}
		it.Value.svc.Routed(w.now, group.Routed{ID: id, Service: o.Service, Origin: n.peer, Target: to, Request: true, Data: msg})
		it.Value.turn()
	})
	w.after(cmp.Or(o.Timeout, 10*time.Second), func() {
		if w.asked[id] != nil {
			delete(w.asked, id)
			n.svc.RouteResult(w.now, group.RouteResult{ID: id, Status: group.RouteTimedOut})
			n.turn()
		}
	})
	return id, nil
}

func (n *testNode) Reply(now clock.Time, id group.RouteID, msg []byte) error {
	w := n.net
	from := w.asked[id]
	if from == nil {
		return group.ErrNoRequest
	}
	msg = slices.Clone(msg)
	if w.loseReplies > 0 {
		w.loseReplies--
		return nil
	}
	w.after(delay, func() {
		if w.asked[id] != nil {
			delete(w.asked, id)
			from.svc.RouteResult(w.now, group.RouteResult{ID: id, Status: group.RouteSent, Peer: n.peer, Reply: msg})
			from.turn()
		}
	})
	return nil
}

func (n *testNode) Coverage() (from, to ring.Addr) {
	above, _ := n.net.alive.Above(n.addr, 0)
	below, ok := n.net.alive.Below(n.addr, 0)
	if !ok {
		return n.addr, n.addr
	}
	return ring.Middle(below.Addr, n.addr), ring.Middle(n.addr, above.Addr)
}

// put and get wait for the result.

func (n *testNode) put(key ring.Addr, value string, sequence uint64, ttl time.Duration) Result {
	id, err := n.svc.Put(n.net.now, key, []byte(value), sequence, ttl)
	return n.wait(id, err)
}

func (n *testNode) get(key ring.Addr, owner *group.PeerID) Result {
	id, err := n.svc.Get(n.net.now, key, owner)
	return n.wait(id, err)
}

func (n *testNode) wait(id RequestID, err error) Result {
	n.net.t.Helper()
	if err != nil {
		n.net.t.Fatalf("request: %v", err)
	}
	n.turn()
	n.net.run(requestTries*requestTime + 2*time.Second)
	r, ok := n.results[id]
	if !ok {
		n.net.t.Fatal("a request did not end")
	}
	return r
}

// holders returns how many members that live hold a record under a key.
func (w *network) holders(key ring.Addr) (count int) {
	for _, n := range w.nodes {
		if !n.dead && len(n.svc.store.under(key)) > 0 {
			count++
		}
	}
	return count
}
