// Package simulations runs many nodes in one process on virtual time: the very
// node.Core that runs in production, on a network that is made of numbers.
//
// A Network is owned by one goroutine. Everything in it follows from its seed:
// two runs of one seed do the same at the same virtual nanosecond, which Trace
// shows.
package simulations

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"

	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/transport/crypto"
)

// Link says what happens to a datagram on its way between two nodes.
type Link struct {
	Latency time.Duration // one way
	Jitter  time.Duration // added, uniformly from 0 up to this
	Loss    float64       // probability that it is lost
}

// Config says what network to make.
type Config struct {
	Seed uint64

	// Link gives the way from one node to another, by their numbers in the
	// order of AddNode. Default: 20 ms, nothing lost.
	Link func(from, to int) Link
}

// Network is a virtual network with its nodes and its clock.
type Network struct {
	cfg   Config
	now   clock.Time
	queue clock.Queue[event]
	rng   *rand.Rand
	nodes []*Node
	index map[netip.AddrPort]*Node
	trace *xxhash.Digest
	buf   []byte
	stats Stats
}

// Stats counts what happened on the network.
type Stats struct {
	Events    uint64 // datagrams and timers that were handled
	Sent      uint64 // datagrams
	Delivered uint64
	Lost      uint64 // by the link's loss
	Dead      uint64 // sent to nobody, or to a node that was stopped
	Bytes     uint64 // UDP payload sent
}

// Node is one node of a Network.
type Node struct {
	Core *node.Core
	Addr netip.AddrPort

	// Sent counts the UDP payload that the node has sent, in bytes.
	Sent uint64

	// OnTurn is called after every turn of the node's core, to drain its
	// events and frames. It may call into the core.
	OnTurn func(now clock.Time)

	number  int
	wake    clock.Timer[event]
	stopped bool
}

// event is the wake-up of a node, or a datagram that arrives at one.
type event struct {
	node *Node
	from netip.AddrPort
	data []byte // nil for a wake-up
}

// transmitSize is the room for one batch of datagrams of a core.
const transmitSize = 64 << 10

// New makes a network without nodes at the virtual instant 0.
func New(cfg Config) *Network {
	if cfg.Link == nil {
		cfg.Link = func(int, int) Link { return Link{Latency: 20 * time.Millisecond} }
	}
	return &Network{
		cfg:   cfg,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0)),
		index: map[netip.AddrPort]*Node{},
		trace: xxhash.New(),
		buf:   make([]byte, transmitSize),
	}
}

// Now returns the virtual time.
func (w *Network) Now() clock.Time { return w.now }

// Unix returns the virtual wall clock in microseconds, which all nodes share.
func (w *Network) Unix() int64 { return int64(w.now) / int64(time.Microsecond) }

// Stats returns what has happened so far.
func (w *Network) Stats() Stats { return w.stats }

// Trace returns a fingerprint of every datagram that has arrived: when, where
// from, where to, and what it says.
func (w *Network) Trace() uint64 { return w.trace.Sum64() }

// Nodes returns all nodes in the order in which they were added.
func (w *Network) Nodes() []*Node { return w.nodes }

// Rand returns the source of randomness for a node: a generator of its own
// that follows from the network's seed and the number.
func (w *Network) Rand(number int) io.Reader {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[0:], w.cfg.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(number)+1)
	return rand.NewChaCha8(seed)
}

// AddNode puts a new node on the network. Identity and Rand of cfg are filled
// in if they are nil.
func (w *Network) AddNode(cfg node.CoreConfig) (*Node, error) {
	number := len(w.nodes)
	if cfg.Rand == nil {
		cfg.Rand = w.Rand(number)
	}
	if cfg.Identity == nil {
		id, err := crypto.NewIdentity(cfg.Rand, crypto.IdentityOptions{})
		if err != nil {
			return nil, err
		}
		cfg.Identity = id
	}
	core, err := node.NewCore(cfg)
	if err != nil {
		return nil, err
	}
	ip := netip.AddrFrom4([4]byte{10, byte(number >> 16), byte(number >> 8), byte(number)})
	n := &Node{Core: core, Addr: netip.AddrPortFrom(ip, node.DefaultPort), number: number}
	n.wake.Owner = event{node: n}
	w.nodes = append(w.nodes, n)
	w.index[n.Addr] = n
	return n, nil
}

// Stop takes a node off the network without a word, as SIGKILL does.
func (w *Network) Stop(n *Node) {
	n.stopped = true
	w.queue.Stop(&n.wake)
}

// Move gives a node another address, as a new lease or a restart elsewhere
// does. Whoever had the address has it no more.
func (w *Network) Move(n *Node, addr netip.AddrPort) {
	if w.index[n.Addr] == n {
		delete(w.index, n.Addr)
	}
	n.Addr = addr
	w.index[addr] = n
}

// Do calls f, which may call into n's core, and carries out what follows.
func (w *Network) Do(n *Node, f func(now clock.Time)) {
	f(w.now)
	w.turn(n)
}

// Run lets virtual time pass for d.
func (w *Network) Run(d time.Duration) {
	end := w.now.Add(d)
	for {
		when := w.queue.Next()
		t := w.queue.Pop(end)
		if t == nil {
			break
		}
		ev := t.Owner
		w.now = max(w.now, when)
		w.stats.Events++
		if ev.node.stopped {
			if ev.data != nil {
				w.stats.Dead++
			}
			continue
		}
		if ev.data != nil {
			w.stats.Delivered++
			w.fingerprint(ev)
			ev.node.Core.HandleDatagram(w.now, ev.from, ev.data)
		}
		w.turn(ev.node)
	}
	w.now = end
}

func (w *Network) fingerprint(ev event) {
	var head [8 + 2 + 2 + 4]byte
	binary.LittleEndian.PutUint64(head[0:], uint64(w.now))
	from, to := ev.from.Addr().As4(), ev.node.Addr.Addr().As4()
	copy(head[8:], from[2:])
	copy(head[10:], to[2:])
	binary.LittleEndian.PutUint32(head[12:], uint32(len(ev.data)))
	_, _ = w.trace.Write(head[:]) // a hash never fails
	_, _ = w.trace.Write(ev.data)
}

// turn lets a node act and takes what it sends.
func (w *Network) turn(n *Node) {
	n.Core.Advance(w.now)
	for work, ok := n.Core.NextWork(); ok; work, ok = n.Core.NextWork() {
		work.Run()
		n.Core.FinishWork(w.now, work)
	}
	if n.OnTurn != nil {
		n.OnTurn(w.now)
	}
	for b, ok := n.Core.Transmit(w.now, w.buf); ok; b, ok = n.Core.Transmit(w.now, w.buf) {
		for data := b.B; len(data) > 0; {
			size := len(data)
			if b.Segment > 0 {
				size = min(size, b.Segment)
			}
			w.send(n, b.To, data[:size])
			data = data[size:]
		}
	}
	w.queue.Set(&n.wake, max(n.Core.Deadline(), w.now))
}

func (w *Network) send(from *Node, to netip.AddrPort, data []byte) {
	from.Sent += uint64(len(data))
	w.stats.Sent++
	w.stats.Bytes += uint64(len(data))
	target := w.index[to]
	if target == nil || target.stopped {
		w.stats.Dead++
		return
	}
	link := w.cfg.Link(from.number, target.number)
	if link.Loss > 0 && w.rng.Float64() < link.Loss {
		w.stats.Lost++
		return
	}
	delay := link.Latency
	if link.Jitter > 0 {
		delay += time.Duration(w.rng.Int64N(int64(link.Jitter)))
	}
	t := &clock.Timer[event]{Owner: event{target, from.Addr, append([]byte(nil), data...)}}
	w.queue.Set(t, w.now.Add(delay))
}
