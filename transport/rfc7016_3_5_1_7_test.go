package transport

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
)

// RFC 7016 §3.5.1.7, load distribution and fault tolerance.

// Weights are obeyed exactly, over any time; a responder whose weight is 0 is out
// of service; and nobody is sent to itself.
func TestRFC7016_3_5_1_7_Weights(t *testing.T) {
	at := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, byte(i)}), 5) }
	for _, c := range []struct {
		name    string
		own     int
		several int
		weights []int
		from    netip.AddrPort
		want    []int // of 120, the last one is of the endpoint itself
	}{
		{"equal", 0, 1, []int{1, 1, 1}, at(99), []int{40, 40, 40, 0}},
		{"unequal", 0, 1, []int{3, 2, 1}, at(99), []int{60, 40, 20, 0}},
		{"out of service", 0, 1, []int{3, 0, 1}, at(99), []int{90, 0, 30, 0}},
		{"with the endpoint itself", 2, 1, []int{1, 1}, at(99), []int{30, 30, 60}},
		{"for one of them", 0, 1, []int{1, 1, 1}, at(0), []int{0, 60, 60, 0}},
		{"all of them", 0, 3, []int{3, 2, 1}, at(99), []int{120, 120, 120, 0}},
		{"more than there are", 0, 8, []int{1, 1}, at(99), []int{120, 120, 0}},
		{"none", 0, 2, nil, at(99), []int{120}},
		{"none in service", 0, 2, []int{0}, at(99), []int{0, 120}},
	} {
		pool := &Pool{Own: c.own, Several: c.several}
		for i, w := range c.weights {
			pool.Set(Responder{Addr: at(i), Weight: 7})
			pool.Set(Responder{Addr: at(i), Weight: w})
		}
		got := make([]int, len(c.weights)+1)
		now := clock.Time(time.Hour)
		for range 120 {
			list, ok := pool.Redirect(now, crypto.EPDForURL("rtmfp://x"), c.from, nil)
			if ok != (len(list) > 0) {
				t.Fatalf("%s: %v and %v", c.name, list, ok)
			}
			if !ok {
				got[len(got)-1]++
			}
			for _, a := range list {
				got[int(a.Addr().As4()[3])]++
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	pool := &Pool{}
	pool.Set(Responder{Addr: at(1), Weight: 1})
	for _, epd := range [][]byte{crypto.EPDForPeer(PeerID{1}), nil, {5, 0x0a}} {
		if _, ok := pool.Redirect(0, epd, at(99), nil); ok {
			t.Errorf("%x was redirected", epd)
		}
	}
}

// "In normal operation, the multiple servers will all respond, and the client
// will select one of them … If one of the multiple servers fails, other servers in
// the pool can still respond to the client". "a server that is located nearer (in
// terms of network distance) to the client can respond earlier … and will tend to
// be selected".
func TestRFC7016_3_5_1_7_FaultTolerance(t *testing.T) {
	for alive := range 4 { // the servers before it are dead
		n := newNetwork(t, 1)
		a := n.add("a", modern, nil)
		pool := &Pool{Several: 4}
		var servers []*testNode
		for range 4 {
			s := n.add("server", modern, nil)
			servers = append(servers, s)
			pool.Set(Responder{Addr: s.addr, Weight: 1})
		}
		r := n.add("redirector", modern, func(c *Config) { c.Redirector = pool })
		for _, s := range servers[:alive] {
			s.dead = true
		}
		s, err := a.DialURL(n.now, "rtmfp://service", []netip.AddrPort{r.addr})
		if err != nil {
			t.Fatal(err)
		}
		began := n.now
		n.until(5*time.Second, func() bool { return s.State() == StateOpen })
		if s.Peer() != servers[alive].PeerID() {
			t.Errorf("%d dead: the session is with another than the first that lives", alive)
		}
		if took, most := n.now.Sub(began), time.Duration(alive)*parallelOffset+8*n.latency; took > most {
			t.Errorf("%d dead: took %v, want at most %v", alive, took, most)
		}
		n.run(2 * time.Second)
		for _, x := range servers {
			if x != servers[alive] && x.Stats().Sessions != 0 {
				t.Errorf("%d dead: a server that was not selected keeps a session", alive)
			}
		}
	}
}

// The same for a server that fails when it has been selected: after its RHello and
// before its RIKeying.
func TestRFC7016_3_5_1_7_SelectedFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		die    int           // servers that die when they are sent an IIKeying
		within time.Duration // until the session is open
	}{
		{"one", 1, 3 * time.Second}, {"two", 2, 8 * time.Second},
	} {
		n := newNetwork(t, 1)
		a := n.add("a", modern, nil)
		pool := &Pool{Several: 3}
		var servers []*testNode
		for range 3 {
			s := n.add("server", modern, nil)
			servers = append(servers, s)
			pool.Set(Responder{Addr: s.addr, Weight: 1})
		}
		r := n.add("redirector", modern, func(c *Config) { c.Redirector = pool })
		s, err := a.DialURL(n.now, "rtmfp://service", []netip.AddrPort{r.addr})
		if err != nil {
			t.Fatal(err)
		}
		f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
		send(t, f, n.now, numbered(1, 100), SendOptions{})
		died := 0
		n.drop = func(from, to netip.AddrPort, b []byte) bool {
			for _, x := range servers {
				if from == a.addr && to == x.addr && s.State() == StateKeyingSent && !x.dead && died < c.die {
					x.dead = true
					died++
				}
			}
			return false
		}
		began := n.now
		n.until(20*time.Second, func() bool { return s.State() == StateOpen })
		if took := n.now.Sub(began); died != c.die || took > c.within {
			t.Errorf("%s: open after %v with %d dead, want %d and at most %v", c.name, took, died, c.die, c.within)
		}
		if a.Session(s.Peer()) != s {
			t.Errorf("%s: the session is not found by its peer", c.name)
		}
		n.run(time.Minute)
		got := 0
		for _, x := range servers {
			if x.dead {
				if a.Session(x.PeerID()) != nil {
					t.Errorf("%s: a dead server's name stands for the session", c.name)
				}
				continue
			}
			for _, m := range x.messages {
				got += len(m)
			}
		}
		if got != 1 {
			t.Errorf("%s: what was queued arrived %d times, want once", c.name, got)
		}
	}
}

// Nobody is too slow: where a round trip takes longer than the repetitions that
// make an initiator ask others, the session opens in the end.
func TestRFC7016_3_5_1_7_SlowServers(t *testing.T) {
	for _, oneWay := range []time.Duration{time.Second, 3 * time.Second} {
		n := newNetwork(t, 1)
		n.latency = oneWay
		a, b := n.add("a", modern, nil), n.add("b", modern, nil)
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr, netip.MustParseAddrPort("10.99.0.1:1935")})
		if err != nil {
			t.Fatal(err)
		}
		n.until(60*time.Second, func() bool { return s.State() == StateOpen })
		n.run(40 * time.Second) // what came of keying that was given up is gone then
		if got := b.Stats().Sessions; got != 1 {
			t.Errorf("%v one way: the responder has %d sessions, want 1", oneWay, got)
		}
	}
}
