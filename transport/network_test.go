package transport

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
)

// network joins endpoints on virtual time, in the manner of quinn's Pair: a
// datagram takes the latency, or is lost, repeated, or late by chance. The same
// seed gives the same run.
type network struct {
	t       testing.TB
	now     clock.Time
	rng     *rand.Rand
	nodes   []*testNode
	flights []flight // by arrival, then by sending
	seq     uint64
	trace   uint64

	latency    time.Duration
	jitter     time.Duration // more latency at random, which reorders
	loss       float64
	duplicate  float64
	mtu        int     // larger datagrams vanish, if it is not 0
	rate       float64 // bytes per second of each sender's link, 0 for no limit
	queue      int     // bytes that wait for the link before more are lost
	drop       func(from, to netip.AddrPort, b []byte) bool
	mark       func(from, to netip.AddrPort, ecn ECN) ECN // what the path makes of marks; nil passes them
	dropMarked bool                                       // packets with marks vanish
	congest    int                                        // bytes that wait for the link from which on packets that allow it are marked CE
	steps      int
	buf        []byte
	idle       int // turns in a row that moved nothing
}

type flight struct {
	at       clock.Time
	seq      uint64
	from, to netip.AddrPort
	ecn      ECN
	b        []byte
}

// testNode is an endpoint, where it is, and what it told.
type testNode struct {
	*Endpoint
	net    *network
	name   string
	addr   netip.AddrPort
	busy   clock.Time // of its link
	work   time.Duration
	later  []finished
	batch  int // largest batch seen
	accept func(*RecvFlow) (accept, ordered bool)
	on     func(Event)

	opened   []*Session
	closed   []error
	failed   []Event
	flows    []*RecvFlow
	messages map[*RecvFlow][][]byte
	skipped  map[*RecvFlow]int
	done     []*RecvFlow
	receipts map[uint64]bool
	rejected []uint64
	ended    []*SendFlow
	mute     bool // its packets vanish
	dead     bool // it is not driven at all
}

type finished struct {
	at clock.Time
	w  *Work
}

func newNetwork(t testing.TB, seed uint64) *network {
	return &network{t: t, rng: rand.New(rand.NewPCG(seed, 7)), latency: 10 * time.Millisecond, now: clock.Time(time.Hour)}
}

// reader makes an io.Reader of a generator.
type reader struct{ rng *rand.Rand }

func (r reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

var modern = crypto.IdentityOptions{}

var legacy = crypto.IdentityOptions{Groups: []crypto.DHGroup{crypto.Group2}}

// add makes a node; change may alter its Config.
func (n *network) add(name string, options crypto.IdentityOptions, change func(*Config)) *testNode {
	n.t.Helper()
	i := len(n.nodes)
	source := reader{rand.New(rand.NewPCG(n.rng.Uint64(), uint64(i)))}
	id, err := crypto.NewIdentity(source, options)
	if err != nil {
		n.t.Fatalf("NewIdentity: %v", err)
	}
	cfg := Config{Identity: id, Rand: source}
	if len(options.Groups) > 0 {
		cfg.Policy = crypto.Policy{AllowLegacy: true}
	}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		n.t.Fatalf("New: %v", err)
	}
	node := &testNode{
		Endpoint: e, net: n, name: name, work: 200 * time.Microsecond,
		addr:     netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i + 1)}), 1935),
		messages: map[*RecvFlow][][]byte{}, skipped: map[*RecvFlow]int{}, receipts: map[uint64]bool{},
	}
	n.nodes = append(n.nodes, node)
	return node
}

// pair is two modern nodes.
func pair(t testing.TB, seed uint64) (n *network, a, b *testNode) {
	n = newNetwork(t, seed)
	return n, n.add("a", modern, nil), n.add("b", modern, nil)
}

// connect opens a session from a to b and returns both ends of it.
func (n *network) connect(a, b *testNode) (sa, sb *Session) {
	n.t.Helper()
	sa, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		n.t.Fatalf("Dial: %v", err)
	}
	n.until(20*time.Second, func() bool {
		sb = b.Session(a.PeerID())
		return sa.State() == StateOpen && sb != nil && sb.State() == StateOpen
	})
	return sa, sb
}

// turn drives one node as far as it goes at this instant.
func (node *testNode) turn() {
	n := node.net
	if node.dead {
		return
	}
	for len(node.later) > 0 && node.later[0].at <= n.now {
		w := node.later[0].w
		node.later[0] = finished{} // keeps nothing of the handshake alive
		if node.later = node.later[1:]; len(node.later) == 0 {
			node.later = nil
		}
		node.FinishWork(n.now, w)
	}
	node.Advance(n.now)
	for {
		ev, ok := node.NextEvent()
		if !ok {
			break
		}
		node.handle(ev)
	}
	for {
		w, ok := node.NextWork()
		if !ok {
			break
		}
		w.Run()
		node.later = append(node.later, finished{n.now.Add(node.work), w})
	}
	if n.buf == nil {
		n.buf = make([]byte, 64*1024)
	}
	for {
		b, ok := node.Transmit(n.now, n.buf)
		if !ok {
			break
		}
		for rest := b.B; len(rest) > 0; {
			size := min(b.Segment, len(rest))
			n.send(node, b.To, b.ECN, rest[:size])
			rest = rest[size:]
		}
		node.batch = max(node.batch, (len(b.B)+b.Segment-1)/b.Segment)
	}
}

func (node *testNode) handle(ev Event) {
	now := node.net.now
	switch ev.Kind {
	case SessionOpen:
		node.opened = append(node.opened, ev.Session)
	case SessionFailed:
		node.failed = append(node.failed, ev)
	case SessionClosed:
		node.closed = append(node.closed, ev.Err)
	case FlowOpen:
		node.flows = append(node.flows, ev.Recv)
		accept, ordered := true, true
		if node.accept != nil {
			accept, ordered = node.accept(ev.Recv)
		}
		if accept {
			ev.Recv.Accept(now, ordered)
		}
	case Message:
		node.messages[ev.Recv] = append(node.messages[ev.Recv], slices.Clone(ev.Data))
		if ev.Skipped {
			node.skipped[ev.Recv]++
		}
	case FlowDone:
		node.done = append(node.done, ev.Recv)
	case SendFlowClosed:
		node.ended = append(node.ended, ev.Send)
	case SendFlowRejected:
		node.rejected = append(node.rejected, ev.Code)
	case Receipt:
		node.receipts[ev.Receipt] = ev.Delivered
	}
	if node.on != nil {
		node.on(ev)
	}
}

// send puts a datagram into flight.
func (n *network) send(from *testNode, to netip.AddrPort, ecn ECN, b []byte) {
	h := fnv.New64a()
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], n.trace^uint64(n.now))
	h.Write(t[:])
	h.Write(b)
	n.trace = h.Sum64()
	if from.mute || n.mtu > 0 && len(b) > n.mtu || n.drop != nil && n.drop(from.addr, to, b) {
		return
	}
	depart := n.now
	if n.rate > 0 {
		depart = max(from.busy, n.now)
		if n.queue > 0 && depart.Sub(n.now).Seconds()*n.rate > float64(n.queue) {
			return
		}
		if n.congest > 0 && ecn != NotECT && depart.Sub(n.now).Seconds()*n.rate > float64(n.congest) {
			ecn = CE
		}
		depart = depart.Add(time.Duration(float64(len(b)) / n.rate * 1e9))
		from.busy = depart
	}
	if n.dropMarked && ecn != NotECT {
		return
	}
	if n.mark != nil {
		ecn = n.mark(from.addr, to, ecn)
	}
	if n.rng.Float64() < n.loss {
		return
	}
	copies := 1
	if n.rng.Float64() < n.duplicate {
		copies = 2
	}
	for range copies {
		at := depart.Add(n.latency)
		if n.jitter > 0 {
			at = at.Add(time.Duration(n.rng.Int64N(int64(n.jitter))))
		}
		n.seq++
		f := flight{at: at, seq: n.seq, from: from.addr, to: to, ecn: ecn, b: slices.Clone(b)}
		i, _ := slices.BinarySearchFunc(n.flights, f, func(x, y flight) int {
			if x.at != y.at {
				return int(min(max(x.at-y.at, -1), 1))
			}
			return int(int64(x.seq) - int64(y.seq))
		})
		n.flights = slices.Insert(n.flights, i, f)
	}
}

// step drives every node at this instant, then moves to the next instant at
// which anything happens. It returns false if nothing ever will before end.
func (n *network) step(end clock.Time) bool {
	n.steps++
	for _, node := range n.nodes {
		node.turn()
	}
	next := clock.Never
	if len(n.flights) > 0 {
		next = n.flights[0].at
	}
	for _, node := range n.nodes {
		if node.dead {
			continue
		}
		d := node.Deadline()
		next = min(next, max(d, n.now))
		if len(node.later) > 0 {
			next = min(next, node.later[0].at)
		}
	}
	if next > end {
		return false
	}
	if n.idle++; next > n.now || len(n.flights) > 0 && n.flights[0].at <= n.now {
		n.idle = 0
	}
	if n.idle > 3 {
		n.t.Fatalf("the same instant again and again: %s", n.describe())
	}
	n.now = next
	for len(n.flights) > 0 && n.flights[0].at <= n.now {
		f := n.flights[0]
		n.flights = n.flights[1:]
		for _, node := range n.nodes {
			if node.addr == f.to && !node.dead {
				node.HandleArrival(n.now, Arrival{From: f.from, ECN: f.ecn}, f.b)
			}
		}
	}
	return true
}

// run drives the network for a time.
func (n *network) run(d time.Duration) {
	end := n.now.Add(d)
	for n.step(end) {
	}
	n.now = end
}

// until drives the network until ok, which must come within a time.
func (n *network) until(d time.Duration, ok func() bool) {
	n.t.Helper()
	end := n.now.Add(d)
	for !ok() {
		if !n.step(end) {
			if ok() {
				return
			}
			n.t.Fatalf("not reached within %v of virtual time; %s", d, n.describe())
		}
	}
}

func (n *network) describe() string {
	s := ""
	for _, node := range n.nodes {
		s += fmt.Sprintf("%s: %+v ", node.name, node.Stats())
	}
	return s
}

// open opens a flow or fails the test.
func open(t *testing.T, s *Session, now clock.Time, o FlowOptions) *SendFlow {
	t.Helper()
	f, err := s.OpenFlow(now, o)
	if err != nil {
		t.Fatalf("OpenFlow: %v", err)
	}
	return f
}

// send queues a message or fails the test.
func send(t *testing.T, f *SendFlow, now clock.Time, msg []byte, o SendOptions) {
	t.Helper()
	if err := f.Send(now, msg, o); err != nil {
		t.Fatalf("Send: %v", err)
	}
}

// numbered makes a message that tells its number and is filled accordingly.
func numbered(i, size int) []byte {
	b := make([]byte, max(size, 4))
	binary.BigEndian.PutUint32(b, uint32(i))
	for k := 4; k < len(b); k++ {
		b[k] = byte(i + k)
	}
	return b
}
