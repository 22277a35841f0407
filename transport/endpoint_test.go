package transport

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

func TestConfig(t *testing.T) {
	n, a, _ := pair(t, 1)
	good := a.cfg
	for _, c := range []struct {
		name   string
		change func(*Config)
		ok     bool
	}{
		{"defaults", func(c *Config) { *c = Config{Identity: c.Identity, Rand: c.Rand} }, true},
		{"no identity", func(c *Config) { c.Identity = nil }, false},
		{"no randomness", func(c *Config) { c.Rand = nil }, false},
		{"small MTU", func(c *Config) { c.MTU = 500 }, false},
		{"negative limit", func(c *Config) { c.MaxSessions = -1 }, false},
		{"negative time", func(c *Config) { c.Keepalive = -time.Second }, false},
		{"impossible policy", func(c *Config) { c.Policy.HMACLength = 99 }, false},
		{"randomness that ends", func(c *Config) { c.Rand = &netReader{} }, false},
	} {
		cfg := good
		c.change(&cfg)
		if _, err := New(cfg); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want ok %v", c.name, err, c.ok)
		}
	}
	_ = n
}

// netReader is a generator that has nothing to give.
type netReader struct{}

func (*netReader) Read([]byte) (int, error) { return 0, io.EOF }

// A tracer hears of every datagram, in the numbers that the counters tell, and
// sessions count the same.
func TestTracerAndCounters(t *testing.T) {
	n := newNetwork(t, 1)
	var sent, received, dropped, lost int
	a := n.add("a", modern, func(c *Config) {
		c.Trace = &Tracer{
			Sent:     func(_ clock.Time, _ *Session, _ netip.AddrPort, _ int) { sent++ },
			Received: func(_ clock.Time, _ *Session, _ netip.AddrPort, _ int) { received++ },
			Dropped:  func(_ clock.Time, _ netip.AddrPort, _ Drop) { dropped++ },
			Lost:     func(_ clock.Time, _ *Session, _, _ uint64, _ bool) { lost++ },
		}
	})
	b := n.add("b", modern, nil)
	n.loss = 0.1
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	for i := range 200 {
		send(t, f, n.now, numbered(i, 1000), SendOptions{})
		n.run(5 * time.Millisecond)
	}
	a.HandleDatagram(n.now, b.addr, make([]byte, 3))
	a.HandleDatagram(n.now, b.addr, []byte("this is no packet of anybody"))
	n.run(5 * time.Second)
	st := a.Stats()
	if st.DatagramsSent == 0 || int(st.DatagramsSent) < sent {
		t.Errorf("sent: traced %d, counted %d", sent, st.DatagramsSent)
	}
	if dropped != 2 || st.Dropped[DropSize] != 1 || st.Dropped[DropSession]+st.Dropped[DropCrypto] != 1 {
		t.Errorf("dropped: traced %d, counted %v", dropped, st.Dropped)
	}
	if uint64(lost) != s.Stats().Lost || lost == 0 {
		t.Errorf("lost: traced %d, counted %d", lost, s.Stats().Lost)
	}
	if received < int(s.Stats().PacketsReceived) {
		t.Errorf("received: traced %d, counted %d", received, s.Stats().PacketsReceived)
	}
	if got := b.Session(a.PeerID()).recv[0].Stats().Messages; got != 200 {
		t.Errorf("messages delivered: counted %d, want 200", got)
	}
}

// Full packets of one session leave in batches that a system call takes whole.
func TestBatches(t *testing.T) {
	n, a, b := pair(t, 1)
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, numbered(1, 2_000_000), SendOptions{})
	n.until(10*time.Second, func() bool { return len(b.flows) == 1 && len(b.messages[b.flows[0]]) == 1 })
	if a.batch < 16 || a.batch > maxSegments {
		t.Errorf("largest batch: got %d datagrams, want 16 to %d", a.batch, maxSegments)
	}
}

// IPv6 addresses, and IPv4 ones in IPv6 clothes as some sockets report them.
func TestAddresses(t *testing.T) {
	n, a, b := pair(t, 1)
	a.addr = netip.MustParseAddrPort("[2001:db8::a]:1935")
	b.addr = netip.MustParseAddrPort("[2001:db8::b]:1935")
	s, far := n.connect(a, b)
	if s.FarAddr() != b.addr || far.FarAddr() != a.addr {
		t.Errorf("far addresses: got %v and %v", s.FarAddr(), far.FarAddr())
	}
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:5")
	x := n.add("x", modern, nil)
	y, err := x.Dial(n.now, a.PeerID(), []netip.AddrPort{mapped})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := y.startup.candidates[0].addr, netip.MustParseAddrPort("192.0.2.1:5"); got != want {
		t.Errorf("candidate: got %v, want %v", got, want)
	}
}

// The handshake takes two round trips, and data follows at once.
func TestHandshakeTime(t *testing.T) {
	n, a, b := pair(t, 1)
	a.work, b.work = 0, 0
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, []byte("first"), SendOptions{})
	began := n.now
	var got time.Duration
	b.on = func(ev Event) {
		if ev.Kind == Message {
			got = n.now.Sub(began)
		}
	}
	n.run(time.Second)
	if want := 5 * n.latency; got != want {
		t.Errorf("first message after %v, want %v", got, want)
	}
}
