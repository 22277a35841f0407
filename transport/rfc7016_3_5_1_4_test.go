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

// RFC 7016 §3.5.1.4, redirector.

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
