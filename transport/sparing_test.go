package transport

import (
	"net/netip"
	"testing"
	"time"
)

// A sparing dial sends little to those who are gone, and gets through where
// packets are lost all the same.
func TestSparingDial(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, func(c *Config) { c.BriefHello = true })
	start := n.now
	var at []time.Duration
	bytes := 0
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		at, bytes = append(at, n.now.Sub(start)), bytes+len(d)
		return true
	}
	addrs := []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:1"), netip.MustParseAddrPort("10.9.9.8:1")}
	s, err := a.DialSparing(n.now, PeerID{1}, addrs)
	if err != nil {
		t.Fatal(err)
	}
	n.run(5 * time.Second)
	want := []time.Duration{0, 200, 750, 950, 3000, 3200}
	if len(at) != len(want) || bytes > len(want)*(firstIHello+16) {
		t.Fatalf("%d IHellos of %d bytes in all, want %d of %d", len(at), bytes, len(want), len(want)*firstIHello)
	}
	for i, w := range want {
		if at[i] != w*time.Millisecond {
			t.Errorf("IHello %d came after %v, want %v", i, at[i], w*time.Millisecond)
		}
	}
	n.run(5 * time.Second)
	if len(at) < len(want)+2*helloVolley {
		t.Errorf("after ten seconds %d IHellos, want some in earnest", len(at))
	}
	s.Close(n.now)
}

func TestSparingDialBadNetwork(t *testing.T) {
	late := 0
	for seed := range uint64(50) {
		n := newNetwork(t, seed)
		n.loss = 0.2
		a, b := n.add("a", modern, func(c *Config) { c.BriefHello = true }), n.add("b", modern, nil)
		s, err := a.DialSparing(n.now, b.PeerID(), []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		start := n.now
		n.until(20*time.Second, func() bool { return s.State() == StateOpen })
		if n.now.Sub(start) > 8*time.Second {
			late++
		}
	}
	if late > 5 {
		t.Errorf("%d of 50 sessions took more than 8 s to open", late)
	}
}
