package simulations

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
)

// Behavior is how much of the far end's address matters to a NAT (RFC 4787 §4.1
// for mapping, §5 for filtering).
type Behavior uint8

// Behaviors, from the most to the least open one.
const (
	EndpointIndependent Behavior = iota
	AddressDependent
	AddressAndPortDependent
)

// Ports is how a NAT chooses the outer port of a new mapping (RFC 4787 §4.2).
type Ports uint8

// Ways to choose ports.
const (
	PreservePorts   Ports = iota // that of the inside if it is free, otherwise the next
	SequentialPorts              // the one after that of the mapping before
	RandomPorts
)

// NATConfig says how a NAT behaves. The zero value is what RFC 4787 asks for,
// but for hairpinning.
type NATConfig struct {
	Mapping   Behavior
	Filtering Behavior
	Ports     Ports

	// Lifetime is how long a mapping lives without traffic to the outside.
	// Default 2 min, the least that RFC 4787 REQ-5 allows.
	Lifetime time.Duration

	// RefreshInbound makes traffic from the outside keep a mapping as well
	// (RFC 4787 §4.3).
	RefreshInbound bool

	// Hairpin lets those inside reach each other by their outer addresses
	// (RFC 4787 §6).
	Hairpin bool

	// MaxMappings bounds the mappings; new ones beyond it are refused.
	// Default 16384.
	MaxMappings int

	// Behind is the NAT behind which this one stands, nil for the public network.
	Behind *NAT
}

// NAT is a network address translator with what is behind it.
type NAT struct {
	net      *Network
	cfg      NATConfig
	outer    netip.Addr
	next     netip.Addr // address of the next host inside
	hosts    map[netip.AddrPort]*Node
	order    []*Node // the hosts as they came
	inner    map[netip.Addr]*NAT
	byInside map[natKey]*mapping
	byPort   map[uint16]*mapping // outer
	port     uint16              // of the latest mapping
	swept    int                 // mappings that were left by the latest sweep
	rng      rand.PCG
}

type natKey struct{ inside, far netip.AddrPort }

// mapping is an outer port that stands for an inside address.
type mapping struct {
	key     natKey
	inside  netip.AddrPort
	port    uint16
	expires clock.Time
	let     []letIn // whom the filter lets in
}

type letIn struct {
	far   netip.AddrPort
	until clock.Time
}

const (
	defaultLifetime    = 2 * time.Minute
	defaultMaxMappings = 16384
	firstPort          = 1024
)

// AddNAT puts a NAT on the network; nodes are put behind it by NodeConfig.
func (w *Network) AddNAT(cfg NATConfig) *NAT {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	if cfg.MaxMappings == 0 {
		cfg.MaxMappings = defaultMaxMappings
	}
	number := len(w.nats) + 1
	t := &NAT{
		net: w, cfg: cfg,
		next:     netip.AddrFrom4([4]byte{192, 168, 0, 1}),
		hosts:    map[netip.AddrPort]*Node{},
		inner:    map[netip.Addr]*NAT{},
		byInside: map[natKey]*mapping{},
		byPort:   map[uint16]*mapping{},
		port:     firstPort - 1,
	}
	t.rng.Seed(w.cfg.Seed, uint64(number)<<1)
	w.nats = append(w.nats, t)
	if b := cfg.Behind; b != nil {
		t.outer = netip.AddrFrom4([4]byte{100, 64 | byte(len(b.inner)>>16), byte(len(b.inner) >> 8), byte(len(b.inner))})
		b.inner[t.outer] = t
	} else {
		t.outer = netip.AddrFrom4([4]byte{11, byte(number >> 16), byte(number >> 8), byte(number)})
		w.outside[t.outer] = t
	}
	return t
}

// Outer returns the NAT's outer address.
func (t *NAT) Outer() netip.Addr { return t.outer }

// String describes the NAT.
func (t *NAT) String() string {
	return fmt.Sprintf("NAT %v: %d hosts, %d mappings", t.outer, len(t.hosts), len(t.byPort))
}

// admit gives a node an address inside.
func (t *NAT) admit(n *Node) netip.AddrPort {
	t.next = t.next.Next()
	a := netip.AddrPortFrom(t.next, node.DefaultPort)
	t.hosts[a] = n
	t.order = append(t.order, n)
	return a
}

// dismiss takes a node out.
func (t *NAT) dismiss(n *Node) {
	delete(t.hosts, n.Addr)
	for i, have := range t.order {
		if have == n {
			t.order = append(t.order[:i:i], t.order[i+1:]...)
			break
		}
	}
	t.forget(n.Addr)
}

// forget drops the mappings of an inside address.
func (t *NAT) forget(inside netip.AddrPort) {
	for key, m := range t.byInside { // order-free: each is dropped by itself
		if key.inside == inside {
			t.remove(m)
		}
	}
}

func (t *NAT) remove(m *mapping) {
	delete(t.byInside, m.key)
	delete(t.byPort, m.port)
}

// mask returns what a behavior looks at of an address.
func (b Behavior) mask(a netip.AddrPort) netip.AddrPort {
	switch b {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(a.Addr(), 0)
	}
	return a
}

// translate takes a datagram from the inside out: it returns the address from
// which the outside sees it, false if there is no port for it.
func (t *NAT) translate(now clock.Time, inside, far netip.AddrPort) (netip.AddrPort, bool) {
	key := natKey{inside, t.cfg.Mapping.mask(far)}
	m := t.byInside[key]
	if m != nil && m.expires <= now {
		t.remove(m)
		m = nil
	}
	if m == nil {
		if m = t.open(now, key); m == nil {
			return netip.AddrPort{}, false
		}
	}
	m.expires = now.Add(t.cfg.Lifetime)
	if t.cfg.Filtering != EndpointIndependent {
		m.admit(now, t.cfg.Filtering.mask(far), m.expires)
	}
	return netip.AddrPortFrom(t.outer, m.port), true
}

// admit notes that the filter lets a far end in.
func (m *mapping) admit(now clock.Time, far netip.AddrPort, until clock.Time) {
	spare := -1
	for i := range m.let {
		if m.let[i].far == far {
			m.let[i].until = until
			return
		}
		if m.let[i].until <= now {
			spare = i
		}
	}
	if spare >= 0 {
		m.let[spare] = letIn{far, until}
		return
	}
	m.let = append(m.let, letIn{far, until})
}

// open makes a mapping, nil if there is no room.
func (t *NAT) open(now clock.Time, key natKey) *mapping {
	if len(t.byPort) >= max(2*t.swept, 64) || len(t.byPort) >= t.cfg.MaxMappings {
		for _, m := range t.byPort { // order-free: each is dropped by itself
			if m.expires <= now {
				t.remove(m)
			}
		}
		t.swept = len(t.byPort)
	}
	if len(t.byPort) >= t.cfg.MaxMappings {
		return nil
	}
	port := t.port + 1
	switch t.cfg.Ports {
	case PreservePorts:
		port = key.inside.Port()
	case RandomPorts:
		port = uint16(t.rng.Uint64())
	}
	for range 1 << 16 {
		if port < firstPort {
			port = firstPort
		}
		if t.byPort[port] == nil {
			m := &mapping{key: key, inside: key.inside, port: port}
			t.byInside[key], t.byPort[port] = m, m
			if t.cfg.Ports == SequentialPorts {
				t.port = port
			}
			return m
		}
		port++
	}
	return nil
}

// in takes a datagram from the outside in, to the node that it is for; nil if
// none is let have it.
func (t *NAT) in(now clock.Time, from, dst netip.AddrPort) (*Node, netip.AddrPort, Drop) {
	m := t.byPort[dst.Port()]
	if m == nil || m.expires <= now || !t.lets(now, m, from) {
		return nil, from, DropFilter
	}
	if t.cfg.RefreshInbound {
		m.expires = now.Add(t.cfg.Lifetime)
	}
	if inner := t.inner[m.inside.Addr()]; inner != nil {
		return inner.in(now, from, m.inside)
	}
	if n := t.hosts[m.inside]; n != nil {
		return n, from, 0
	}
	return nil, from, DropDead
}

func (t *NAT) lets(now clock.Time, m *mapping, from netip.AddrPort) bool {
	if t.cfg.Filtering == EndpointIndependent {
		return true
	}
	far := t.cfg.Filtering.mask(from)
	for _, l := range m.let {
		if l.far == far {
			return l.until > now
		}
	}
	return false
}

// near returns a node that is where the port's datagrams end, or at least
// behind the NAT, so that it is known how far it is; nil if there is none.
func (t *NAT) near(port uint16) *Node {
	if m := t.byPort[port]; m != nil {
		if inner := t.inner[m.inside.Addr()]; inner != nil {
			return inner.near(m.inside.Port())
		}
		if n := t.hosts[m.inside]; n != nil {
			return n
		}
	}
	if len(t.order) > 0 {
		return t.order[0]
	}
	return nil
}

// routed is where a datagram goes.
type routed struct {
	to    *Node          // or
	nat   *NAT           // which decides when it is there
	near  *Node          // a node at that place
	from  netip.AddrPort // the source that is seen there
	local bool           // without having left the sender's own network
}

// route finds out who has an address, from where a node is.
func (l *lane) route(n *Node, to netip.AddrPort) (routed, Drop) {
	r := routed{from: n.Addr}
	for t := n.nat; t != nil; t = t.cfg.Behind {
		r.local = t == n.nat
		if h := t.hosts[to]; h != nil {
			r.to, r.near = h, h
			return r, 0
		}
		if inner := t.inner[to.Addr()]; inner != nil {
			return r.into(inner, to)
		}
		if to.Addr() == t.outer && !t.cfg.Hairpin {
			return routed{}, DropFilter
		}
		var ok bool
		if r.from, ok = t.translate(l.now, r.from, to); !ok {
			return routed{}, DropPorts
		}
		if to.Addr() == t.outer {
			return r.into(t, to)
		}
	}
	r.local = false
	if h := l.net.public(to); h != nil {
		r.to, r.near = h, h // if it was stopped it drops what comes
		return r, 0
	}
	if t := l.net.outside[to.Addr()]; t != nil {
		return r.into(t, to)
	}
	return routed{}, DropDead
}

func (r routed) into(t *NAT, to netip.AddrPort) (routed, Drop) {
	r.nat, r.near = t, t.near(to.Port())
	if r.near == nil {
		return routed{}, DropDead
	}
	return r, 0
}

// public returns the node that has an address on the public network, nil if
// nobody has it.
func (w *Network) public(a netip.AddrPort) *Node {
	if i, ok := numberOf(a); ok && i < len(w.nodes) && w.nodes[i].Addr == a && !w.nodes[i].evicted {
		return w.nodes[i]
	}
	return w.moved[a]
}
