package fairness

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/impair"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// world is a dumbbell on virtual time: whatever senders send passes one
// bottleneck, and whatever receivers send passes none but takes as long to
// travel.
type world struct {
	t      testing.TB
	rng    *rand.Rand
	at     clock.Time
	events agenda
	link   *impair.Link
	back   time.Duration
	nodes  map[netip.Addr]*node
	buf    []byte
	spare  [][]byte
}

// event is something that happens: f, the turn of a node whose deadline has come,
// or the arrival of b at it.
type event struct {
	at       clock.Time
	f        func()
	node     *node
	b        []byte
	from     netip.AddrPort
	deadline bool
}

// path describes the bottleneck.
type path struct {
	rate  int           // bit/s
	rtt   time.Duration // of the empty path
	queue float64       // in bandwidth-delay products
	loss  float64
}

// Sizes of packets in bytes: of IPv4 and UDP headers, and of a whole one of TCP.
const (
	header    = 28
	wholeSize = 1500
)

// config returns the bottleneck. Its queue has room for so many bytes, or for as
// many whole packets if -packets is set.
func (p path) config() impair.Config {
	c := impair.Config{Delay: p.rtt / 2, Rate: p.rate, Header: header, Loss: p.loss}
	n := max(int(p.queue*float64(p.rate)/8*p.rtt.Seconds()/wholeSize), 2)
	if *packets {
		c.Queue = n
	} else {
		c.QueueBytes = n * wholeSize
	}
	return c
}

func newWorld(t testing.TB, p path, seed uint64) *world {
	return &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 3)), at: clock.Time(time.Hour), back: p.rtt / 2,
		link:  impair.NewLink(p.config(), seed),
		nodes: map[netip.Addr]*node{}, buf: make([]byte, 64<<10),
	}
}

func (w *world) schedule(e event) { w.events.push(e) }

func (w *world) after(d time.Duration, f func()) { w.schedule(event{at: w.at.Add(d), f: f}) }

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.at.Add(d)
	for w.events.next() <= end {
		e := w.events.pop()
		w.at = max(w.at, e.at)
		switch {
		case e.f != nil:
			e.f()
		case e.deadline:
			if e.node.wake == e.at {
				e.node.turn()
			}
		default:
			e.node.HandleDatagram(w.at, e.from, e.b)
			w.spare = append(w.spare, e.b)
			e.node.turn()
		}
	}
	w.at = end
}

// node is an endpoint on one side of the bottleneck.
type node struct {
	*transport.Endpoint
	w      *world
	addr   netip.AddrPort
	sender bool
	wake   clock.Time
	on     func(transport.Event)
	after  func()
	latest clock.Time   // arrival of the last packet to it that passed no bottleneck
	seen   int          // bytes of its packets that left the bottleneck
	cut    []clock.Time // when its window was cut
}

type reader struct{ rng *rand.Rand }

func (r reader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.rng.Uint32())
	}
	return len(b), nil
}

const memory = 32 << 20 // of the windows of flows, so that only congestion control is in the way

func (w *world) node(sender bool) *node {
	w.t.Helper()
	n := &node{w: w, sender: sender}
	source := reader{rand.New(rand.NewPCG(w.rng.Uint64(), 5))}
	id, err := crypto.NewIdentity(source, crypto.IdentityOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := transport.New(transport.Config{
		Identity: id, Rand: source, RecvBuffer: memory, SessionBuffer: 2 * memory, SendBuffer: memory, PoolKeep: memory,
		Trace: &transport.Tracer{Window: func(now clock.Time, _ *transport.Session, _, _ int) { n.cut = append(n.cut, now) }},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	i := len(w.nodes)
	n.Endpoint, n.addr = e, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 1935)
	w.nodes[n.addr.Addr()] = n
	return n
}

// turn drives the node as far as it goes at this instant.
func (n *node) turn() {
	w := n.w
	n.Advance(w.at)
	for ev, ok := n.NextEvent(); ok; ev, ok = n.NextEvent() {
		if ev.Kind == transport.FlowOpen {
			ev.Recv.Accept(w.at, true)
		}
		if n.on != nil {
			n.on(ev)
		}
	}
	if n.after != nil {
		n.after()
	}
	for work, ok := n.NextWork(); ok; work, ok = n.NextWork() {
		work.Run()
		w.after(100*time.Microsecond, func() { n.FinishWork(w.at, work); n.turn() })
	}
	for b, ok := n.Transmit(w.at, w.buf); ok; b, ok = n.Transmit(w.at, w.buf) {
		for rest := b.B; len(rest) > 0; {
			size := min(b.Segment, len(rest))
			w.carry(n, b.To, rest[:size])
			rest = rest[size:]
		}
	}
	if d := max(n.Deadline(), w.at.Add(time.Microsecond)); d != n.wake {
		n.wake = d
		if d != clock.Never {
			w.schedule(event{at: d, node: n, deadline: true})
		}
	}
}

// travel returns when what a receiver sends now comes to a sender: in order, and
// up to the time of a packet at the bottleneck later by chance. Without that, the
// sender whose packets happen to come when one has just left the queue never
// loses any (Floyd and Jacobson, "On Traffic Phase Effects in Packet-Switched
// Gateways").
func (w *world) travel(latest *clock.Time) clock.Time {
	jitter := wholeSize * 8 * time.Second / time.Duration(w.link.Config().Rate)
	*latest = max(*latest, w.at.Add(w.back+time.Duration(w.rng.Int64N(int64(jitter)))))
	return *latest
}

func (w *world) carry(n *node, to netip.AddrPort, b []byte) {
	var c []byte
	if k := len(w.spare); k > 0 {
		c, w.spare = w.spare[k-1][:0], w.spare[:k-1]
	}
	c = append(c, b...)
	at := w.travel(&w.nodes[to.Addr()].latest)
	if n.sender {
		if at, _ = w.link.Pass(w.at, c); at == clock.Never {
			w.spare = append(w.spare, c)
			return
		}
		n.seen += len(c) + header
	}
	w.schedule(event{at: at, node: w.nodes[to.Addr()], from: n.addr, b: c})
}

// connect opens a session from a to b.
func (w *world) connect(a, b *node) *transport.Session {
	w.t.Helper()
	s, err := a.Dial(w.at, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		w.t.Fatal(err)
	}
	a.turn()
	for range 1000 {
		if s.State() == transport.StateOpen {
			return s
		}
		w.run(10 * time.Millisecond)
	}
	w.t.Fatalf("no session: %+v", a.Stats())
	return nil
}

// bulk makes a sender that has always more to send, from start on.
func (w *world) bulk(to *node, o transport.FlowOptions, start time.Duration) *node {
	a := w.node(true)
	s := w.connect(a, to)
	o.Metadata = []byte("bulk")
	f, err := s.OpenFlow(w.at, o)
	if err != nil {
		w.t.Fatal(err)
	}
	data := make([]byte, *message)
	w.after(start, func() {
		a.after = func() {
			for f.Queued() < 200_000 {
				if f.Send(w.at, data, transport.SendOptions{}) != nil {
					return
				}
			}
		}
		a.turn()
	})
	return a
}
