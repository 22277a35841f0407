package transport

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.4 to §3.5.1.7: redirectors, forwarders, introduction through
// NATs, load distribution and fault tolerance.

// redirectedTo returns the addresses of a Redirect.
func redirectedTo(t *testing.T, payload []byte) (list []element.Address) {
	t.Helper()
	r, ok := wire.ParseRedirect(payload)
	if !ok {
		t.Fatal("malformed Redirect")
	}
	for b := r.List; len(b) > 0; {
		a, n := element.ConsumeAddress(b)
		if n == 0 {
			t.Fatal("malformed address in a Redirect")
		}
		list, b = append(list, a), b[n:]
	}
	return list
}

// "On receipt of an IHello chunk with an Endpoint Discriminator that does not
// select the Redirector's identity, the Redirector constructs and sends back to
// the initiator a Responder Redirect chunk containing one or more additional
// candidate addresses for the indicated endpoint." The responders need not know
// the Redirector, nor it their certificates.
func TestRFC7016_3_5_1_4_Redirector(t *testing.T) {
	n := newNetwork(t, 1)
	a, one, two := n.add("a", modern, nil), n.add("one", modern, nil), n.add("two", modern, nil)
	pool := &Pool{}
	pool.Set(Responder{Addr: one.addr, Weight: 1})
	pool.Set(Responder{Addr: two.addr, Weight: 1})
	r := n.add("redirector", crypto.IdentityOptions{RefuseAncillary: true}, func(c *Config) { c.Redirector = pool })
	log := n.spy(nil)
	s, err := a.DialURL(n.now, "rtmfp://service", []netip.AddrPort{r.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.until(time.Second, func() bool { return s.State() == StateOpen })
	if s.Peer() != one.PeerID() && s.Peer() != two.PeerID() {
		t.Errorf("the session is with %v", s.Peer())
	}
	redirects := chunksOf(*log, wire.ChunkRedirect)
	if len(redirects) != 1 || len(redirectedTo(t, redirects[0].payload)) != 2 {
		t.Errorf("got %d Redirects, want one to two addresses", len(redirects))
	}
	// What it does not serve goes its usual way.
	if s, err = a.Dial(n.now, r.PeerID(), []netip.AddrPort{r.addr}); err != nil {
		t.Fatal(err)
	}
	n.until(time.Second, func() bool { return s.State() == StateOpen })
	if got := r.Stats(); got.Redirects != 1 || got.Sessions != 1 {
		t.Errorf("redirects %d, sessions %d, want 1 and 1", got.Redirects, got.Sessions)
	}
}

// implied redirects to the source of its answers.
type implied struct{}

func (implied) Redirect(_ clock.Time, _ []byte, _ netip.AddrPort, list []netip.AddrPort) ([]netip.AddrPort, bool) {
	return list, true
}

// The form without addresses redirects to the address that it comes from, and
// neither form is longer than what it answers.
func TestRFC7016_3_5_1_4_Forms(t *testing.T) {
	many := &Pool{Several: 8}
	for i := range 8 {
		many.Set(Responder{Addr: netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}), 5), Weight: 1})
	}
	one := &Pool{}
	one.Set(Responder{Addr: addr("[2001:db8::1]:1"), Weight: 1})
	for _, c := range []struct {
		name string
		r    Redirector
		pad  int
		want int // addresses, -1 for no answer
	}{
		{"implied", implied{}, 0, 0},
		{"padded", many, 1000, 8},
		{"not padded", many, 0, 1},
		{"padded a little", many, 40, 3},
		{"one", one, 0, 1},
	} {
		n := newNetwork(t, 1)
		r := n.add("r", modern, func(cfg *Config) { cfg.Redirector = c.r })
		log := n.spy(nil)
		d := startupDatagram(func(b []byte) []byte {
			b = wire.IHello{EPD: crypto.EPDForURL("rtmfp://service.example"), Tag: make([]byte, 16)}.Append(b)
			return append(b, slices.Repeat([]byte{0xff}, c.pad)...)
		})
		size := len(d)
		r.HandleDatagram(n.now, addr("192.0.2.1:1"), d)
		r.turn()
		got := -1
		if len(*log) == 1 {
			got = len(redirectedTo(t, (*log)[0].payload))
			if (*log)[0].size > size {
				t.Errorf("%s: %d bytes are answered by %d", c.name, size, (*log)[0].size)
			}
		}
		if got != c.want {
			t.Errorf("%s: got %d addresses, want %d", c.name, got, c.want)
		}
	}
}

// "A Redirector acts like a name server": what a target gets is bounded, and
// counted for each.
func TestRFC7016_3_5_1_4_Rate(t *testing.T) {
	slow, fast := addr("192.0.2.1:1"), addr("192.0.2.2:1")
	pool := &Pool{Several: 1}
	pool.Set(Responder{Addr: slow, Weight: 1, Rate: 10})
	pool.Set(Responder{Addr: fast, Weight: 1})
	now := clock.Time(time.Hour)
	epd := crypto.EPDForURL("rtmfp://x")
	for range 400 { // in two seconds
		now = now.Add(5 * time.Millisecond)
		pool.Redirect(now, epd, addr("198.51.100.1:1"), nil)
	}
	st := pool.Stats()
	if st[0].Redirected < 20 || st[0].Redirected > 31 || st[0].Redirected+st[0].Refused != 200 || st[1].Redirected != 200 || st[1].Refused != 0 {
		t.Errorf("got %+v, want 30 to the slow one, and 200 to the other", st)
	}
}

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

// "the Forwarder constructs and sends an FIHello chunk to the selected endpoint
// over the S_OPEN session, using the tag and Endpoint Discriminator from the
// IHello chunk and the source address of the packet containing the IHello".
func TestRFC7016_3_5_1_5_FIHello(t *testing.T) {
	n := newNetwork(t, 1)
	var got []wire.FIHello
	seed := n.add("seed", modern, func(c *Config) {
		c.Introduce = true
		c.Trace = &Tracer{PacketSent: func(_ clock.Time, p TracedPacket) {
			_, k := wire.ConsumeHeader(p.Packet)
			for b := p.Packet[k:]; ; {
				typ, payload, m := wire.ConsumeChunk(b)
				if m == 0 {
					return
				}
				b = b[m:]
				if f, ok := wire.ParseFIHello(payload); ok && typ == wire.ChunkFIHello {
					f.EPD, f.Tag = slices.Clone(f.EPD), slices.Clone(f.Tag)
					got = append(got, f)
				}
			}
		}}
	})
	a, b := n.add("a", modern, nil), n.add("b", modern, nil)
	n.connect(b, seed)
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{seed.addr})
	if err != nil {
		t.Fatal(err)
	}
	tag := s.startup.tag
	n.until(time.Second, func() bool { return s.State() == StateOpen })
	if len(got) != 1 || got[0].Reply.AddrPort != a.addr || !slices.Equal(got[0].Tag, tag[:]) || !slices.Equal(got[0].EPD, crypto.EPDForPeer(b.PeerID())) {
		t.Errorf("got %+v, want one with a's address, tag, and discriminator", got)
	}
	// A session that is closing introduces nobody any more.
	b.Session(seed.PeerID()).Close(n.now)
	n.run(time.Second)
	c := n.add("c", modern, nil)
	if _, err := c.Dial(n.now, b.PeerID(), []netip.AddrPort{seed.addr}); err != nil {
		t.Fatal(err)
	}
	n.run(time.Second)
	if len(got) != 1 || seed.Stats().Dropped[DropHello] == 0 {
		t.Errorf("a closed session was forwarded to")
	}
}

// The IntroductionRate of a target is its own, and comes back with time.
func TestRFC7016_3_5_1_5_Rate(t *testing.T) {
	v := newVictim(t)
	c := v.n.add("c", modern, nil)
	v.n.connect(c, v.a)
	hello := func(target *testNode) uint64 {
		before := v.a.Stats().Forwards
		v.startup(v.x, v.ihello(crypto.EPDForPeer(target.PeerID())))
		return v.a.Stats().Forwards - before
	}
	for i, w := range []struct {
		wait   time.Duration
		target *testNode
		want   uint64
	}{{0, v.b, 1}, {0, v.b, 0}, {0, c, 1}, {0, c, 0}, {time.Second, v.b, 1}, {0, v.b, 0}, {500 * time.Millisecond, v.b, 0}, {500 * time.Millisecond, v.b, 1}} {
		v.n.run(w.wait)
		if got := hello(w.target); got != w.want {
			t.Errorf("%d: got %d forwards, want %d", i, got, w.want)
		}
	}
}

// "The service MAY record other addresses for the responder, for example
// addresses that the responder self-reports as being directly attached."
func TestRFC7016_3_5_1_6_ReportedAddresses(t *testing.T) {
	v := newVictim(t)
	v.a.cfg.IntroductionBurst = 9
	reported := []netip.AddrPort{addr("192.168.1.5:1935"), addr("[fe80::5]:1935"), {}, addr("192.168.1.5:1935"), addr("0.0.0.0:5"), addr("[::ffff:10.1.1.1]:7")}
	want := []element.Address{
		{AddrPort: v.b.addr, Origin: element.OriginObserved},
		{AddrPort: addr("192.168.1.5:1935"), Origin: element.OriginLocal},
		{AddrPort: addr("[fe80::5]:1935"), Origin: element.OriginLocal},
		{AddrPort: addr("10.1.1.1:7"), Origin: element.OriginLocal},
	}
	log := v.n.spy(nil)
	v.sa.SetReported(reported)
	v.startup(v.x, v.ihello(crypto.EPDForPeer(v.b.PeerID())))
	v.sa.SetReported(nil)
	v.startup(v.x, v.ihello(crypto.EPDForPeer(v.b.PeerID())))
	v.n.run(time.Millisecond)
	redirects := chunksOf(*log, wire.ChunkRedirect)
	if len(redirects) != 2 {
		t.Fatalf("got %d Redirects, want 2", len(redirects))
	}
	if got := redirectedTo(t, redirects[0].payload); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := redirectedTo(t, redirects[1].payload); !slices.Equal(got, want[:1]) {
		t.Errorf("after none were reported: got %v, want %v", got, want[:1])
	}
}
