package simulations

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
	"rtmfp/node"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// Driven is what a Network drives: a node.Core, or something around one that
// alters, drops, delays, or adds what goes in and out.
type Driven interface {
	HandleDatagram(now clock.Time, from netip.AddrPort, b []byte)
	Advance(now clock.Time)
	Deadline() clock.Time
	NextWork() (*transport.Work, bool)
	FinishWork(now clock.Time, work *transport.Work)
	Transmit(now clock.Time, buf []byte) (transport.Batch, bool)
}

// NodeConfig says what node to put on a network.
type NodeConfig struct {
	// Core configures the node's core. Identity and Rand are filled in if they
	// are nil; with SimulatedCrypto the identity is a simulated one.
	Core node.CoreConfig

	// Wrap, if it is not nil, returns what is driven in place of the core: an
	// adversary, say.
	Wrap func(n *Node, core *node.Core) Driven

	// Access is the node's access link.
	Access Access

	// NAT, if it is not nil, is the one behind which the node lives.
	NAT *NAT

	// ClockOffset is by how much its clock is ahead, of both kinds, and
	// ClockDrift by how much it is too fast, in millionths.
	ClockOffset time.Duration
	ClockDrift  int

	// PacketCost is the processor time that a datagram takes it, and WorkCost
	// that of one piece of public-key work, which it does beside everything
	// else, one piece at a time. 0 is none: at once.
	PacketCost time.Duration
	WorkCost   time.Duration

	// RareOneIn makes rare things common in the layers of the core: each of the
	// points of package rare strikes once in so many times. 0 is never.
	RareOneIn int

	// Socket is how many bytes wait for its attention before datagrams are
	// lost. Default 208 KiB, as on Linux.
	Socket int
}

// Node is one node of a Network.
type Node struct {
	Core *node.Core // nil after Remove
	Addr netip.AddrPort

	// Sent and Received count the UDP payload of the node, in bytes.
	Sent, Received uint64

	// OnTurn is called after every turn of the node's core, with the node's
	// own time, to drain its events and frames. It may call into the core.
	OnTurn func(now clock.Time)

	// Tag is for the owner of the network.
	Tag any

	net     *Network
	lane    *lane // in which it is run
	driven  Driven
	number  int
	rng     rand.PCG // of what happens to what it sends
	first   netip.AddrPort
	nat     *NAT
	wakeAt  clock.Time // when its core wants to be called
	entryAt clock.Time // of the entry in the calendar that counts, Never if none does
	stopped bool
	evicted bool // another node has its address

	access     *attachment // nil if nothing limits it
	busy       clock.Time  // its processor, until then
	stalled    clock.Time  // it does nothing before
	worker     clock.Time  // its worker is busy until then
	packetCost time.Duration
	workCost   time.Duration
	waiting    int // bytes in its socket
	socket     int
	offset     time.Duration
	drift      int64
	rare       *rare.Points
	spins      int // wakes at one instant
	spinAt     clock.Time
	trace      uint64             // of what has arrived
	paths      map[int]*pathState // by the number of the far end
	turns      int                // since its core was checked
	first1     uint32             // the first and last of its entries in a stretch, plus one; 0 outside of it
	last1      uint32
}

const defaultSocket = 208 << 10

// Add puts a node on the network.
func (w *Network) Add(cfg NodeConfig) (*Node, error) {
	number := len(w.nodes)
	if cfg.Core.Rand == nil {
		cfg.Core.Rand = w.Rand(number)
	}
	if cfg.Core.Identity == nil {
		var err error
		if cfg.Core.SimulatedCrypto {
			cfg.Core.Identity, err = crypto.NewSimulatedIdentity(cfg.Core.Rand)
		} else {
			cfg.Core.Identity, err = crypto.NewIdentity(cfg.Core.Rand, crypto.IdentityOptions{Sign: true})
		}
		if err != nil {
			return nil, err
		}
	}
	n := &Node{
		Addr: addressOf(number), net: w, lane: &w.main, number: number,
		wakeAt: clock.Never, entryAt: clock.Never, nat: cfg.NAT,
		packetCost: cfg.PacketCost, workCost: cfg.WorkCost, socket: cfg.Socket,
		offset: cfg.ClockOffset, drift: int64(cfg.ClockDrift),
	}
	if w.watch.order != nil {
		cfg.Core.Watch = w.watch.order.watch(n)
	}
	if cfg.RareOneIn > 0 {
		cfg.Core.Rare = rare.New(w.cfg.Seed, uint64(number), cfg.RareOneIn)
		n.rare = cfg.Core.Rare
	}
	core, err := node.NewCore(cfg.Core)
	if err != nil {
		return nil, err
	}
	n.Core, n.driven = core, core
	if every := w.watch.checks.Turns; every > 0 { // not all at once
		n.turns = int(mix(0, uint64(number)) % uint64(every))
	}
	n.rng.Seed(w.cfg.Seed, uint64(number)<<1|1)
	if cfg.Access != (Access{}) {
		n.access = &attachment{Access: cfg.Access}
	}
	if n.nat != nil {
		n.Addr = n.nat.admit(n)
	}
	n.first = n.Addr
	if cfg.Wrap != nil {
		n.driven = cfg.Wrap(n, core)
	}
	w.nodes = append(w.nodes, n)
	if n.nat != nil {
		core.SetAddresses(n.local(w.main.now), []netip.AddrPort{n.Addr})
	}
	return n, nil
}

// addressOf returns the public address that a node gets by its number.
func addressOf(number int) netip.AddrPort {
	ip := netip.AddrFrom4([4]byte{10, byte(number >> 16), byte(number >> 8), byte(number)})
	return netip.AddrPortFrom(ip, node.DefaultPort)
}

// numberOf is the reverse of it.
func numberOf(a netip.AddrPort) (int, bool) {
	if !a.Addr().Is4() || a.Port() != node.DefaultPort {
		return 0, false
	}
	ip := a.Addr().As4()
	return int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3]), ip[0] == 10
}

// Number returns the node's number in the order of adding, from 0.
func (n *Node) Number() int { return n.number }

// Stopped reports whether the node was stopped or removed.
func (n *Node) Stopped() bool { return n.stopped }

// Stalled reports whether the node does nothing now, see Network.Stall.
func (n *Node) Stalled() bool { return n.stalled > n.lane.now }

// Unix returns the node's wall clock in microseconds.
func (n *Node) Unix() int64 { return int64(n.local(n.lane.now)) / int64(time.Microsecond) }

// Instant returns the network's time, as it is for the node; see
// Config.Lookahead.
func (n *Node) Instant() clock.Time { return n.lane.now }

// Now returns the time by the node's own clock.
func (n *Node) Now() clock.Time { return n.local(n.lane.now) }

// local turns an instant of the network into one of the node's clock. The
// clock is never before its origin, and runs 1 + drift/10⁶ as fast.
func (n *Node) local(t clock.Time) clock.Time {
	if n.drift != 0 {
		t += clock.Time(int64(t) / 1_000_000 * n.drift)
	}
	return t + clock.Time(n.offset)
}

// global returns the first instant of the network at which the node's clock
// shows t or later.
func (n *Node) global(t clock.Time) clock.Time {
	if t == clock.Never || n.drift == 0 {
		return t.Add(-n.offset)
	}
	t -= clock.Time(n.offset)
	// The clock stands still or jumps by drift ns every millisecond's millionth;
	// a first guess, and from there to the instant itself.
	g := t - clock.Time(int64(t)/(1_000_000+n.drift)*n.drift)
	for n.local(g)-clock.Time(n.offset) < t {
		g += t - (n.local(g) - clock.Time(n.offset))
	}
	for g > 0 && n.local(g-1)-clock.Time(n.offset) >= t {
		g--
	}
	return g
}

func (n *Node) socketSize() int {
	if n.socket > 0 {
		return n.socket
	}
	return defaultSocket
}

// Stop takes a node off the network without a word, as SIGKILL does. Its core
// can still be read.
func (w *Network) Stop(n *Node) {
	n.stopped = true
	n.wakeAt = clock.Never
}

// Remove stops a node and gives its memory back.
func (w *Network) Remove(n *Node) {
	w.Stop(n)
	if n.Addr != n.first && w.moved[n.Addr] == n {
		delete(w.moved, n.Addr)
	}
	if n.nat != nil {
		n.nat.dismiss(n)
	}
	n.Core, n.driven, n.OnTurn, n.Tag, n.access, n.paths = nil, nil, nil, nil, nil, nil
}

// Stall makes a node do nothing for d, as a machine that swaps. Datagrams wait
// in its socket.
func (w *Network) Stall(n *Node, d time.Duration) { n.stalled = max(n.stalled, n.lane.now.Add(d)) }

// SetAccess changes a node's access link. What waits in its queues has been
// timed already.
func (w *Network) SetAccess(n *Node, a Access) {
	if n.access == nil {
		n.access = new(attachment)
	}
	n.access.Access = a
}

// Slow changes what a datagram costs a node.
func (w *Network) Slow(n *Node, packetCost time.Duration) { n.packetCost = packetCost }

// Move gives a node another address, as a new lease or a restart elsewhere
// does. Whoever had the address has it no more. Datagrams that are on their
// way to the old address are lost.
func (w *Network) Move(n *Node, addr netip.AddrPort) {
	if n.nat != nil {
		n.nat.dismiss(n)
		n.nat = nil
	}
	if w.moved[n.Addr] == n {
		delete(w.moved, n.Addr)
	}
	if had := w.public(addr); had != nil && had != n {
		had.evicted = true
	}
	n.Addr, n.evicted = addr, false
	w.moved[addr] = n
}

// Renew gives a node a new address: outside if it is on the public network,
// otherwise its NAT forgets everything that it knows of it, as after a restart
// of the router.
func (w *Network) Renew(n *Node) {
	if n.nat != nil {
		n.nat.forget(n.Addr)
		return
	}
	next := n.Addr.Addr()
	if next == n.first.Addr() { // out of the block of first addresses
		ip := next.As4()
		ip[0] = 12
		next = netip.AddrFrom4(ip)
	}
	for {
		next = next.Next()
		a := netip.AddrPortFrom(next, n.Addr.Port())
		if w.moved[a] == nil {
			w.Move(n, a)
			return
		}
	}
}

// Do calls f, which may call into n's core, with the node's own time, and
// carries out what follows.
func (w *Network) Do(n *Node, f func(now clock.Time)) {
	if n.Core == nil {
		panic("BUG: simulations: a call into a node that was removed")
	}
	f(n.Now())
	n.lane.turn(n)
}

// wake takes an alarm.
func (l *lane) wake(n *Node, when clock.Time) {
	if n.entryAt != when { // it was set to an earlier instant, and that is over
		return
	}
	n.entryAt = clock.Never
	if n.stopped {
		return
	}
	if at := max(n.wakeAt, n.stalled); at > l.now {
		l.alarm(n, at)
		return
	}
	if n.spinAt != l.now {
		n.spinAt, n.spins = l.now, 0
	}
	if n.spins++; n.spins > maxSpins {
		l.net.breachAt(n, "progress", "its core wants to be called again at once, over and over")
		return
	}
	l.stats.Events++
	l.turn(n)
}

// maxSpins is how often a core may wake at one instant.
const maxSpins = 10_000

// alarm sees to it that the node is woken at when. An entry that comes too
// early is left in the calendar and puts itself off when it comes: deadlines
// are put off with nearly every datagram.
func (l *lane) alarm(n *Node, when clock.Time) {
	n.wakeAt = when
	if when < n.entryAt {
		n.entryAt = when
		l.plan(when, entryWake, uint32(n.number), n)
	}
}

// turn lets a node act and takes what it sends.
func (l *lane) turn(n *Node) {
	if n.stopped {
		return
	}
	now := n.local(l.now)
	n.driven.Advance(now)
	for work, ok := n.driven.NextWork(); ok; work, ok = n.driven.NextWork() {
		work.Run()
		if n.workCost > 0 {
			n.worker = max(n.worker, l.now).Add(n.workCost)
			l.plan(n.worker, entryWork, l.net.works.add(workItem{n, work}), n)
			continue
		}
		n.driven.FinishWork(now, work)
	}
	if n.OnTurn != nil {
		n.OnTurn(now)
		if n.stopped {
			return
		}
	}
	for b, ok := n.driven.Transmit(now, l.buf); ok; b, ok = n.driven.Transmit(now, l.buf) {
		for data := b.B; len(data) > 0; {
			size := len(data)
			if b.Segment > 0 {
				size = min(size, b.Segment)
			}
			l.send(n, b.To, data[:size])
			data = data[size:]
		}
	}
	l.net.watch.afterTurn(n)
	l.alarm(n, max(n.global(n.driven.Deadline()), l.now))
}

// workItem is public-key work that takes its time.
type workItem struct {
	node *Node
	work *transport.Work
}

func (l *lane) finish(ref uint32) {
	item := l.net.works.take(ref)
	if item.node.stopped {
		return
	}
	item.node.driven.FinishWork(item.node.local(l.now), item.work)
	l.turn(item.node)
}
