package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.3: "Only one session is allowed between a pair of endpoints."
// Both ends dial at nearly the same time, in all relative timings, with loss,
// and with a message queued before the session is open.
func TestGlare(t *testing.T) {
	for offset := -70; offset <= 70; offset += 2 {
		for seed := range uint64(4) {
			n, a, b := pair(t, seed)
			n.loss = float64(seed) * 0.1
			first, second := a, b
			if offset < 0 {
				first, second = b, a
			}
			dial := func(x, y *testNode) (*Session, *SendFlow) {
				s, err := x.Dial(n.now, y.PeerID(), []netip.AddrPort{y.addr})
				if err != nil {
					t.Fatal(err)
				}
				f := open(t, s, n.now, FlowOptions{Metadata: []byte(x.name)})
				send(t, f, n.now, []byte(x.name), SendOptions{})
				return s, f
			}
			dial(first, second)
			n.run(time.Duration(max(offset, -offset)) * time.Millisecond)
			dial(second, first)
			n.run(30 * time.Second)
			sa, sb := a.Session(b.PeerID()), b.Session(a.PeerID())
			if sa == nil || sb == nil || sa.State() != StateOpen || sb.State() != StateOpen {
				t.Fatalf("offset %d ms, seed %d: no session: %v %v", offset, seed, sa, sb)
			}
			if sa.far != sb.id || sb.far != sa.id {
				t.Fatalf("offset %d ms, seed %d: the two ends hold different sessions", offset, seed)
			}
			if sa.Initiator() == sb.Initiator() {
				t.Errorf("offset %d ms, seed %d: both or none the initiator", offset, seed)
			}
			for _, node := range n.nodes {
				if st := node.Stats(); st.Opening != 0 || st.Sessions != 1 {
					t.Errorf("offset %d ms, seed %d: %s has %d sessions, %d opening, want 1 and 0", offset, seed, node.name, st.Sessions, st.Opening)
				}
			}
			if len(a.closed)+len(b.closed) == 0 && len(a.messages)+len(b.messages) != 2 {
				t.Errorf("offset %d ms, seed %d: messages queued before the session opened were lost", offset, seed)
			}
		}
	}
}

// "If the Canonical Endpoint Discriminator for the responder certificate matches
// … this session is a duplicate and SHOULD be aborted in favor of the other
// existing session" (RFC 7016 §3.5.1.1.1).
func TestDuplicateByURL(t *testing.T) {
	for _, first := range []bool{true, false} {
		n, a, b := pair(t, 1)
		var s *Session
		if first {
			s, _ = n.connect(a, b)
		} else {
			s, _ = a.Dial(n.now, b.PeerID(), []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:1")})
		}
		u, err := a.DialURL(n.now, "rtmfp://b", []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		n.run(5 * time.Second)
		if len(a.failed) != 1 || a.failed[0].Session != u || a.failed[0].Other != s || !errors.Is(a.failed[0].Err, ErrDuplicate) {
			t.Errorf("open first %v: got %+v, want a duplicate", first, a.failed)
		}
		if s.State() != StateOpen || a.Session(b.PeerID()) != s {
			t.Errorf("open first %v: the session that remains is not open", first)
		}
	}
}

func TestDialURL(t *testing.T) {
	n, a, b := pair(t, 1)
	s, err := a.DialURL(n.now, "rtmfp://b", []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:1"), b.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.until(time.Second, func() bool { return s.State() == StateOpen })
	if s.Peer() != b.PeerID() || a.Session(b.PeerID()) != s {
		t.Errorf("the far end is not known by name")
	}
	if again, err := a.Dial(n.now, b.PeerID(), nil); err != nil || again != s {
		t.Errorf("Dial of a peer with an open session: got %p, %v, want %p", again, err, s)
	}
	if _, err := a.Dial(n.now, a.PeerID(), nil); !errors.Is(err, ErrSelf) {
		t.Errorf("Dial of oneself: got %v, want ErrSelf", err)
	}
}

// A node that restarts with its identity replaces its old session: "the existing
// S_OPEN session is stale" (RFC 7016 §3.5.1.1.2).
func TestOverride(t *testing.T) {
	n, a, b := pair(t, 1)
	n.connect(a, b)
	n.run(10 * time.Second)
	again := n.add("again", modern, func(c *Config) { c.Identity = a.cfg.Identity })
	again.addr, a.dead = a.addr, true
	s, err := again.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.until(time.Second, func() bool { return s.State() == StateOpen && len(b.closed) == 1 })
	if !errors.Is(b.closed[0], ErrReplaced) {
		t.Errorf("the old session ended with %v, want ErrReplaced", b.closed[0])
	}
	if b.Session(a.PeerID()) == nil || b.Stats().Sessions != 1 {
		t.Errorf("the new session is not the only one")
	}
}

// Somebody with a valid cookie and another's certificate, but without its keys,
// does not disturb the session of the other, wherever the packet comes from.
func TestForgedKeying(t *testing.T) {
	for _, spoofed := range []bool{false, true} {
		n, a, b := pair(t, 1)
		n.connect(a, b)
		n.run(10 * time.Second)
		thief := n.add("thief", modern, nil)
		from := thief.addr
		if spoofed {
			from = a.addr
		}
		var cookie [cookieSize]byte
		c := b.cookies.append(cookie[:0], n.now, from)
		in, err := thief.cfg.Identity.Initiate(crypto.Seed{1}, b.cfg.Identity.Parsed(), crypto.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		forged := wire.IIKeying{SessionID: 77, CookieEcho: c, Certificate: a.cfg.Identity.Certificate(), SKIC: in.Component()}
		b.HandleDatagram(n.now, from, startupDatagram(forged.Append))
		n.run(time.Second)
		if got := b.Stats().Opening; got != 1 {
			t.Errorf("unproven sessions: got %d, want 1", got)
		}
		n.run(40 * time.Second)
		if len(b.closed) != 0 || b.Session(a.PeerID()) == nil || b.Session(a.PeerID()).State() != StateOpen {
			t.Errorf("the session was disturbed: %v", b.closed)
		}
		if got := b.Stats(); got.Opening != 0 || got.Sessions != 1 {
			t.Errorf("the forged session stays: %d, %d opening", got.Sessions, got.Opening)
		}
	}
}

// startupDatagram makes a datagram of the startup pseudo-session.
func startupDatagram(chunk func([]byte) []byte) []byte {
	k := crypto.DefaultKeys()
	b := make([]byte, 4+k.Headroom(), 9000)
	b = wire.AppendHeader(b, wire.Header{Mode: wire.ModeStartup})
	return k.Seal(chunk(b), 0)
}

// "Cookies SHOULD be valid only for a limited time; that lifetime SHOULD NOT be
// less than 95 seconds", and a forged one is worth nothing (RFC 7016 §3.5.1.1.2).
func TestCookies(t *testing.T) {
	n, _, b := pair(t, 1)
	here, there := netip.MustParseAddrPort("192.0.2.1:5"), netip.MustParseAddrPort("[2001:db8::1]:5")
	for _, c := range []struct {
		age  time.Duration
		from netip.AddrPort
		flip int
		want cookieVerdict
	}{
		{0, here, -1, cookieValid},
		{95 * time.Second, here, -1, cookieValid},
		{cookieLifetime + time.Second, here, -1, cookieForged},
		{time.Hour, here, -1, cookieForged},
		{time.Second, there, -1, cookieElsewhere},
		{time.Second, here, 0, cookieForged},
		{time.Second, here, cookieTime, cookieForged},
		{time.Second, here, cookieSize - 1, cookieElsewhere},
	} {
		cookie := b.cookies.append(nil, n.now, here)
		if c.flip >= 0 {
			cookie[c.flip] ^= 1
		}
		n.now = n.now.Add(c.age)
		if got, _ := b.cookies.check(cookie, n.now, c.from); got != c.want {
			t.Errorf("after %v from %v, flip %d: got %d, want %d", c.age, c.from, c.flip, got, c.want)
		}
	}
	if got, _ := b.cookies.check(nil, n.now, here); got != cookieForged {
		t.Errorf("no cookie: got %d, want forged", got)
	}
}

// A replayed IIKeying opens nothing: while its session lives it is known, and
// its cookie dies before the session can be forgotten unseen.
func TestReplayedKeying(t *testing.T) {
	n, a, b := pair(t, 1)
	var recorded [][]byte
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		if from == a.addr && crypto.SessionID(d) == 0 {
			recorded = append(recorded, slices.Clone(d))
		}
		return false
	}
	n.connect(a, b)
	replay := func() {
		for _, d := range recorded {
			b.HandleDatagram(n.now, a.addr, slices.Clone(d))
		}
		n.run(50 * time.Millisecond)
	}
	replay()
	if got := b.Stats(); got.Opening != 0 || got.Sessions != 1 || got.Dropped[DropGlare] == 0 {
		t.Errorf("replayed at once: %d sessions, %d opening", got.Sessions, got.Opening)
	}
	n.run(5 * time.Minute)
	before := b.Stats().Dropped[DropCookie]
	replay()
	if got := b.Stats(); got.Opening != 0 || got.Sessions != 1 || got.Dropped[DropCookie] != before+1 {
		t.Errorf("replayed late: %d sessions, %d opening, %d cookies refused", got.Sessions, got.Opening, got.Dropped[DropCookie]-before)
	}
}

// RFC 7016 §3.5.1.2: the IIKeying comes from another address than the IHello.
func TestCookieChange(t *testing.T) {
	n, a, b := pair(t, 1)
	moved := netip.MustParseAddrPort("10.7.7.7:7")
	changed := false
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		if !changed && from == a.addr && a.Session(b.PeerID()).State() == StateKeyingSent {
			changed, a.addr = true, moved
		}
		return false
	}
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	// The packet in flight still came from the old address; what is sent next
	// comes from the new one.
	n.loss = 0
	n.until(10*time.Second, func() bool { return s.State() == StateOpen && b.Session(a.PeerID()) != nil })
	if got := b.Session(a.PeerID()).FarAddr(); got != moved {
		t.Errorf("far address: got %v, want %v", got, moved)
	}
}

// "No reply to unauthenticated input is larger than the request", and nothing is
// kept of it.
func TestAmplification(t *testing.T) {
	n, a, b := pair(t, 1)
	buf := make([]byte, 65536)
	epd := crypto.EPDForPeer(b.PeerID())
	for _, pad := range []int{0, 300} {
		d := startupDatagram(func(p []byte) []byte {
			p = wire.IHello{EPD: epd, Tag: make([]byte, 16)}.Append(p)
			// A second IHello in the same packet is not answered.
			p = wire.IHello{EPD: epd, Tag: make([]byte, 16)}.Append(p)
			return append(p, slices.Repeat([]byte{0xff}, pad)...)
		})
		size := len(d)
		b.HandleDatagram(n.now, a.addr, d)
		replies, bytes := 0, 0
		for {
			batch, ok := b.Transmit(n.now, buf)
			if !ok {
				break
			}
			replies++
			bytes += len(batch.B)
		}
		if replies > 1 || bytes > size {
			t.Errorf("padding %d: %d bytes are answered by %d in %d packets", pad, size, bytes, replies)
		}
		if pad > 0 && replies != 1 {
			t.Errorf("padding %d: no answer", pad)
		}
	}
	if got := b.Stats(); got.Sessions != 0 {
		t.Errorf("IHellos made %d sessions", got.Sessions)
	}
}

func TestOpenTimeoutAndBackOff(t *testing.T) {
	n, a, _ := pair(t, 1)
	var at []time.Duration
	start := n.now
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		at = append(at, n.now.Sub(start))
		return true
	}
	s, err := a.Dial(n.now, PeerID{1}, []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:1")})
	if err != nil {
		t.Fatal(err)
	}
	n.run(100 * time.Second)
	if len(a.failed) != 1 || a.failed[0].Session != s || a.failed[0].Err != ErrOpenTimeout || s.State() != StateOpenFailed {
		t.Fatalf("got %+v, want an open timeout", a.failed)
	}
	// "The backoff SHOULD NOT be less than multiplicative, with not less than
	// 1.5 seconds added to the interval between each attempt."
	firsts := []time.Duration{at[0]} // each attempt after it is a volley
	for i := 1; i < len(at); i += helloVolley {
		firsts = append(firsts, at[i])
		for k := i + 1; k < min(i+helloVolley, len(at)); k++ {
			if at[k] != at[k-1]+helloSpacing {
				t.Fatalf("a volley at %v goes on at %v", at[k-1], at[k])
			}
		}
	}
	at = firsts
	for i := 2; i < len(at); i++ {
		if last, this := at[i-1]-at[i-2], at[i]-at[i-1]; this < last+1500*time.Millisecond {
			t.Errorf("interval %d: got %v after %v", i, this, last)
		}
	}
	if len(at) < 5 {
		t.Errorf("attempts: got %d, want some", len(at))
	}
	if got := a.Stats(); got.Sessions != 0 || got.Opening != 0 {
		t.Errorf("%d sessions remain", got.Sessions)
	}
}

// Handshakes succeed over a bad network.
func TestHandshakeLoss(t *testing.T) {
	for seed := range uint64(50) {
		n, a, b := pair(t, seed)
		n.loss = 0.3
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		n.until(90*time.Second, func() bool { return s.State() == StateOpen && b.Session(a.PeerID()) != nil })
	}
}

// Modern and legacy refuse each other, with a reason, unless told otherwise.
func TestPolicy(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, nil)
	old := n.add("old", legacy, nil)
	s, err := a.Dial(n.now, old.PeerID(), []netip.AddrPort{old.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.run(5 * time.Second)
	if len(a.failed) != 1 || a.failed[0].Session != s || !errors.Is(a.failed[0].Err, ErrCrypto) || !errors.Is(a.failed[0].Err, crypto.ErrLegacyRefused) {
		t.Errorf("got %+v, want ErrCrypto", a.failed)
	}
}

func TestLimits(t *testing.T) {
	n := newNetwork(t, 1)
	hub := n.add("hub", modern, func(c *Config) { c.MaxSessions = 4 })
	for range 8 {
		a := n.add("", modern, nil)
		if _, err := a.Dial(n.now, hub.PeerID(), []netip.AddrPort{hub.addr}); err != nil {
			t.Fatal(err)
		}
	}
	n.run(5 * time.Second)
	if got := hub.Stats(); got.Sessions != 4 || got.Dropped[DropLimit] == 0 {
		t.Errorf("got %d sessions, %d refused, want 4 and some", got.Sessions, got.Dropped[DropLimit])
	}
	if _, err := hub.Dial(n.now, PeerID{1}, nil); !errors.Is(err, ErrTooManySessions) {
		t.Errorf("Dial: got %v, want ErrTooManySessions", err)
	}
}

// Session ids are reused only with another generation, so that handles and late
// packets of the past find nobody.
func TestSessionIDs(t *testing.T) {
	tab := table{limit: 3}
	seen := map[uint32]bool{}
	for range 1000 {
		s := &Session{}
		id := tab.add(s)
		if id == 0 || seen[id] || tab.find(id) != s {
			t.Fatalf("id %x: zero, or seen before, or not found", id)
		}
		seen[id] = true
		tab.remove(id)
		if tab.find(id) != nil {
			t.Fatalf("id %x is found after its end", id)
		}
	}
}

// The same seed gives the same run to the last byte.
func TestDeterminism(t *testing.T) {
	run := func() (uint64, clock.Time) {
		n, a, b := pair(t, 5)
		n.loss, n.jitter = 0.05, 3*time.Millisecond
		s, _ := n.connect(a, b)
		for i := range 20 {
			f := open(t, s, n.now, FlowOptions{Metadata: fmt.Append(nil, i), Priority: uint8(i % 8)})
			for k := range 20 {
				send(t, f, n.now, numbered(k, k*300), SendOptions{Deadline: n.now.Add(time.Duration(k) * 50 * time.Millisecond)})
			}
		}
		n.run(10 * time.Second)
		return n.trace, n.now
	}
	h1, t1 := run()
	h2, t2 := run()
	if h1 != h2 || t1 != t2 {
		t.Errorf("two runs differ: %x at %v, %x at %v", h1, t1, h2, t2)
	}
}
