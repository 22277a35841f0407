package conformance

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/impair"
	"rtmfp/transport"
)

// world is a network with clients on one side and servers on the other, each
// direction of which is one impaired link. Rows of the list run in any.
type world interface {
	// peer makes a peer.
	peer(s side, change func(*transport.Config)) *peer
	// until lets time pass until ok, which must come within the limit.
	until(limit time.Duration, what string, ok func() bool)
	// run lets time pass.
	run(d time.Duration)
	// now is the time since the world began.
	now() time.Duration
	// rebind makes the network give a client another port or address. What is
	// sent to the one before is lost.
	rebind(p *peer, address bool)
	// move takes a server from its address to its next one.
	move(p *peer)
	// tap has f called for every packet that enters the network; outside is the
	// client's address as the servers see it.
	tap(f func(from side, outside netip.AddrPort, b []byte))
	// stats returns what became of packets from a side.
	stats(from side) impair.Stats
	// fail ends the row.
	fail(format string, args ...any)
	// random returns a number for the row's own use.
	random(n int) int
}

// network configures the world of a row: what happens to packets from clients
// and from servers.
type network struct {
	up, down impair.Config
	ipv6     bool
	second   bool // servers have a second address
}

// both makes both directions the same.
func both(c impair.Config) network { return network{up: c, down: c} }

// virtual is a world on virtual time. The same seed gives the same run.
type virtual struct {
	seed    uint64
	rng     *rand.Rand
	at      clock.Time
	nodes   []*virtualNode
	links   [2]*impair.Link
	flights flights
	seq     uint64
	ipv6    bool
	second  bool
	made    int
	buf     []byte
	spare   [][]byte
	taps    func(side, netip.AddrPort, []byte)
	idle    int
}

type virtualNode struct {
	*peer
	work []finished
	wake clock.Time
}

type finished struct {
	at clock.Time
	w  *transport.Work
}

type flight struct {
	at       clock.Time
	seq      uint64
	from, to netip.AddrPort
	b        []byte
}

// failure is what fail panics with, so that a row ends where it fails.
type failure struct{ text string }

const (
	workTime = 200 * time.Microsecond // public-key work
	origin   = clock.Time(time.Hour)
)

// newVirtual makes a world in which distances differ from seed to seed, by a
// tenth in either direction.
func newVirtual(n network, seed uint64) *virtual {
	rng := rand.New(rand.NewPCG(seed, 0x776f726c64))
	n.up.Delay += time.Duration((rng.Float64() - 0.5) / 5 * float64(n.up.Delay))
	n.down.Delay += time.Duration((rng.Float64() - 0.5) / 5 * float64(n.down.Delay))
	return &virtual{
		seed: seed, rng: rng, at: origin, ipv6: n.ipv6, second: n.second,
		links: [2]*impair.Link{impair.NewLink(n.up, seed*2), impair.NewLink(n.down, seed*2+1)},
		buf:   make([]byte, 64<<10),
	}
}

func (v *virtual) now() time.Duration                       { return v.at.Sub(origin) }
func (v *virtual) stats(from side) impair.Stats             { return v.links[from].Stats() }
func (v *virtual) fail(format string, a ...any)             { panic(failure{fmt.Sprintf(format, a...)}) }
func (v *virtual) random(n int) int                         { return v.rng.IntN(n) }
func (v *virtual) tap(f func(side, netip.AddrPort, []byte)) { v.taps = f }

// address makes an address of a side; hosts tell them apart.
func (v *virtual) address(s side, host, port int) netip.AddrPort {
	ip := netip.AddrFrom4([4]byte{10, byte(s), byte(host >> 8), byte(host)})
	if v.ipv6 {
		ip = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(s), 14: byte(host >> 8), 15: byte(host)})
	}
	return netip.AddrPortFrom(ip, uint16(port))
}

func (v *virtual) peer(s side, change func(*transport.Config)) *peer {
	v.made++
	p, err := newPeer(fmt.Sprint([]string{"client", "server"}[s], v.made), s, v.seed<<16+uint64(v.made), change)
	if err != nil {
		v.fail("new peer: %v", err)
	}
	p.addr = v.address(s, v.made, 1935)
	if s == server && v.second {
		p.more = []netip.AddrPort{v.address(s, 1000+v.made, 1935)}
	}
	p.clock = func() clock.Time { return v.at }
	n := &virtualNode{peer: p, wake: v.at}
	p.sent = func() { n.wake = v.at }
	v.nodes = append(v.nodes, n)
	return p
}

func (v *virtual) rebind(p *peer, address bool) {
	if address {
		v.made++
		p.addr = v.address(p.side, v.made, int(p.addr.Port()))
		return
	}
	p.addr = netip.AddrPortFrom(p.addr.Addr(), p.addr.Port()+1)
}

func (v *virtual) move(p *peer) { p.addr, p.more = p.more[0], nil }

// turn drives one node as far as it goes at this instant.
func (v *virtual) turn(n *virtualNode) {
	for len(n.work) > 0 && n.work[0].at <= v.at {
		w := n.work[0].w
		n.work = n.work[1:]
		n.FinishWork(v.at, w)
	}
	n.Advance(v.at)
	n.drain(v.at)
	for {
		w, ok := n.NextWork()
		if !ok {
			break
		}
		w.Run()
		n.work = append(n.work, finished{v.at.Add(workTime), w})
	}
	for {
		b, ok := n.Transmit(v.at, v.buf)
		if !ok {
			break
		}
		for rest := b.B; len(rest) > 0; {
			size := min(b.Segment, len(rest))
			v.send(n, b.To, rest[:size])
			rest = rest[size:]
		}
	}
	n.wake = max(n.Deadline(), v.at)
	if len(n.work) > 0 {
		n.wake = min(n.wake, n.work[0].at)
	}
}

// send puts a datagram into the network.
func (v *virtual) send(n *virtualNode, to netip.AddrPort, b []byte) {
	if v.taps != nil {
		outside := n.addr
		if n.side == server {
			outside = to
		}
		v.taps(n.side, outside, b)
	}
	var c []byte
	if k := len(v.spare); k > 0 {
		c, v.spare = v.spare[k-1][:0], v.spare[:k-1]
	}
	c = append(c, b...)
	at, again := v.links[n.side].Pass(v.at, c)
	if again != clock.Never {
		v.fly(flight{at: again, from: n.addr, to: to, b: append([]byte(nil), c...)})
	}
	if at != clock.Never {
		v.fly(flight{at: at, from: n.addr, to: to, b: c})
	} else {
		v.spare = append(v.spare, c)
	}
}

func (v *virtual) fly(f flight) {
	v.seq++
	f.seq = v.seq
	heap.Push(&v.flights, f)
}

// step drives the nodes that are due, then moves to the next instant at which
// anything happens. It returns false if that is after end.
func (v *virtual) step(end clock.Time) bool {
	next := clock.Never
	for _, n := range v.nodes {
		if n.wake <= v.at {
			v.turn(n)
		}
		next = min(next, n.wake)
	}
	if len(v.flights) > 0 {
		next = min(next, v.flights[0].at)
	}
	if next > end {
		return false
	}
	if v.idle++; next > v.at || len(v.flights) > 0 && v.flights[0].at <= next {
		v.idle = 0
	}
	if v.idle > 5 {
		v.fail("a peer wants to be called at the same instant again and again")
	}
	v.at = max(v.at, next)
	for len(v.flights) > 0 && v.flights[0].at <= v.at {
		f := heap.Pop(&v.flights).(flight)
		for _, n := range v.nodes {
			// A server hears packets to either of its addresses.
			if n.addr == f.to || len(n.more) > 0 && n.more[0] == f.to {
				n.HandleDatagram(v.at, f.from, f.b)
				n.wake = v.at
			}
		}
		v.spare = append(v.spare, f.b)
	}
	return true
}

func (v *virtual) run(d time.Duration) {
	end := v.at.Add(d)
	for v.step(end) {
	}
	v.at = end
}

func (v *virtual) until(limit time.Duration, what string, ok func() bool) {
	end := v.at.Add(limit)
	for !ok() {
		if !v.step(end) {
			if v.at = end; !ok() {
				v.fail("%s: not within %v", what, limit)
			}
			return
		}
	}
}

// flights is a heap by arrival, then by sending.
type flights []flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	return f[i].at < f[j].at || f[i].at == f[j].at && f[i].seq < f[j].seq
}
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = flight{}
	*f = (*f)[:last]
	return x
}
