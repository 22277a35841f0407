package transport

import (
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// carry makes a sender of much data on a path of the given MTU and lets it send
// for a time. It returns the sender's session and its flow.
func carry(t *testing.T, mtu, most int, ipv6 bool) (*network, *testNode, *testNode, *Session, *SendFlow) {
	t.Helper()
	return carryTo(t, mtu, most, 0, func(i int) netip.Addr {
		if ipv6 {
			return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i + 1)})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})
	})
}

// carryTo is carry between certain addresses.
func carryTo(t *testing.T, mtu, most, loopback int, addr func(i int) netip.Addr) (*network, *testNode, *testNode, *Session, *SendFlow) {
	t.Helper()
	n := newNetwork(t, 1)
	n.mtu = mtu
	n.rate, n.queue = 6_250_000, 250_000
	a := n.add("a", modern, func(c *Config) { c.MaxMTU, c.LoopbackMTU = most, loopback })
	b := n.add("b", modern, func(c *Config) { c.MaxMTU, c.LoopbackMTU = most, loopback })
	for i, node := range n.nodes {
		node.addr = netip.AddrPortFrom(addr(i), 1935)
	}
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	keepSending(t, n, f, 3*time.Second)
	return n, a, b, s, f
}

// keepSending sends for a time, whatever the window allows.
func keepSending(t *testing.T, n *network, f *SendFlow, d time.Duration) {
	t.Helper()
	for end := n.now.Add(d); n.now < end; n.run(10 * time.Millisecond) {
		for f.Queued() < 200_000 {
			send(t, f, n.now, numbered(1, 20_000), SendOptions{})
		}
	}
}

// RFC 8899 §5.3: the search finds what the path carries, and not more than is
// allowed.
func TestPathMTUSearch(t *testing.T) {
	for _, c := range []struct {
		mtu, most   int
		ipv6        bool
		least, want int
	}{
		{0, 0, false, 1472, 1472},
		{0, 0, true, 1452, 1452},
		{0, 9000, false, 9000, 9000},
		{1472, 9000, false, 1472, 1472 + 16},
		{1400, 0, false, 1400 - 16, 1400},
		{1300, 9000, true, 1300 - 16, 1300},
		{1210, 0, false, 1200, 1210},
		{0, 1200, false, 1200, 1200},
	} {
		n, _, b, s, _ := carry(t, c.mtu, c.most, c.ipv6)
		keepSending(t, n, s.send[0].flow, 12*time.Second)
		if got := int(s.mtu); got < c.least || got > c.want {
			t.Errorf("%+v: got %d", c, got)
		}
		if got := s.Stats().BlackHoles; got != 0 {
			t.Errorf("%+v: %d black holes", c, got)
		}
		if len(b.flows) != 1 {
			t.Fatalf("%+v: nothing came", c)
		}
	}
}

// No network bounds what loopback carries, so that more is tried there first.
func TestLoopbackMTU(t *testing.T) {
	for _, c := range []struct {
		addr           [4]byte
		mtu, most, own int
		least, want    int
	}{
		{[4]byte{127, 0, 0, 1}, 0, 0, 9000, 9000, 9000},
		{[4]byte{127, 0, 0, 1}, 0, 0, 0, 1472, 1472},
		{[4]byte{127, 0, 0, 1}, 0, 1200, 1100, 1200, 1200},
		{[4]byte{127, 0, 0, 1}, 1500, 0, 9000, 1500 - 16, 1500},
		{[4]byte{192, 0, 2, 1}, 0, 0, 9000, 1472, 1472},
	} {
		n, _, b, s, f := carryTo(t, c.mtu, c.most, c.own, func(i int) netip.Addr {
			a := c.addr
			a[3] += byte(i)
			return netip.AddrFrom4(a)
		})
		keepSending(t, n, f, 12*time.Second)
		if got := int(s.mtu); got < c.least || got > c.want || s.Stats().BlackHoles != 0 {
			t.Errorf("%+v: got %d, %d black holes", c, got, s.Stats().BlackHoles)
		}
		if len(b.flows) != 1 || len(b.messages[b.flows[0]]) == 0 {
			t.Fatalf("%+v: nothing came", c)
		}
	}
}

// RFC 8899 §3: "Loss of a probe packet SHOULD NOT be treated as an indication of
// congestion and SHOULD NOT trigger a congestion control reaction".
func TestProbeLossIsNoCongestion(t *testing.T) {
	n := newNetwork(t, 1)
	a, b := n.add("a", modern, nil), n.add("b", modern, nil)
	cuts, probes := 0, 0
	a.cfg.Trace = &Tracer{Window: func(now clock.Time, _ *Session, _, _ int) { cuts++ }}
	n.drop = func(_, _ netip.AddrPort, d []byte) bool {
		if len(d) > 1200 {
			probes++
		}
		return len(d) > 1200
	}
	n.rate = 6_250_000 // without a limit of the queue nothing is lost but probes
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	keepSending(t, n, f, 5*time.Second)
	if probes < mtuTries || cuts != 0 || s.Stats().Lost != 0 {
		t.Errorf("got %d probes, %d cuts, %d losses, want some, none, none", probes, cuts, s.Stats().Lost)
	}
}

// RFC 8899 §4.3: "The PL sender detects a black hole … a PL sender decreases the
// PLPMTU". What was cut for the larger size is sent in longer datagrams, for IP
// to fragment; all else fits.
func TestPathMTUBlackHole(t *testing.T) {
	n, _, b, s, f := carry(t, 0, 0, false)
	if s.mtu != 1472 {
		t.Fatalf("before: got %d, want 1472", s.mtu)
	}
	before := len(b.messages[b.flows[0]])
	hole := n.now
	n.drop = func(_, _ netip.AddrPort, d []byte) bool { return len(d) > 1300 && n.now.Sub(hole) < 2*time.Second }
	keepSending(t, n, f, 2*time.Second)
	if got := s.Stats().BlackHoles; got != 1 || s.mtu != 1200 {
		t.Fatalf("got %d black holes and an MTU of %d, want 1 and 1200", got, s.mtu)
	}
	large, small := 0, 0
	n.drop = func(from, _ netip.AddrPort, d []byte) bool {
		if len(d) > 1200 {
			large++
		} else {
			small++
		}
		return false
	}
	keepSending(t, n, f, 2*time.Second)
	if got := len(b.messages[b.flows[0]]); got <= before+100 {
		t.Errorf("messages after the black hole: got %d, want many more than %d", got, before)
	}
	if large == 0 || large > 1000 || small < 1000 {
		t.Errorf("got %d large and %d small datagrams, want few and many", large, small)
	}
	n.drop = nil
	keepSending(t, n, f, mtuRecover)
	if s.mtu != 1472 {
		t.Errorf("after the black hole has gone: got %d, want 1472", s.mtu)
	}
}

// A session that carries little does not search.
func TestNoProbeWithoutData(t *testing.T) {
	n, a, b := pair(t, 1)
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	large := false
	n.drop = func(_, _ netip.AddrPort, d []byte) bool { large = large || len(d) > 1200; return false }
	for range 100 {
		send(t, f, n.now, numbered(1, 500), SendOptions{})
		n.run(100 * time.Millisecond)
	}
	if large {
		t.Error("a session with 5 KB/s probed for a larger MTU")
	}
}

// Packets that became larger than the window still go out two at a time: the far
// end need not acknowledge a single one before 200 ms have passed (RFC 7016
// §3.6.3.4.4).
func TestWindowHasRoomForLargePackets(t *testing.T) {
	for size := 40_000; size <= 200_000; size += 1000 {
		n := newNetwork(t, uint64(size))
		n.latency = 100 * time.Microsecond
		a := n.add("a", modern, func(c *Config) { c.LoopbackMTU, c.MaxMessage = 32_000, 1<<20 })
		b := n.add("b", modern, func(c *Config) { c.LoopbackMTU, c.MaxMessage = 32_000, 1<<20 })
		for i, node := range n.nodes {
			node.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}), 1935)
		}
		s, _ := n.connect(a, b)
		f := open(t, s, n.now, FlowOptions{Metadata: []byte("x"), Background: true})
		began, came := n.now, clock.Time(0)
		b.on = func(ev Event) {
			if ev.Kind == Message {
				came = n.now
			}
		}
		send(t, f, n.now, numbered(1, size), SendOptions{})
		n.until(time.Second, func() bool { return came != 0 })
		if took := came.Sub(began); took > 50*time.Millisecond {
			t.Errorf("%d bytes took %v", size, took)
		}
	}
}
