package transport

import (
	"net/netip"
	"testing"
	"time"
)

// RFC 7016 §3.5.1.6: an initiator and a responder that both know only the
// introducer, each behind something that lets nobody in to whom nothing was sent.
func TestIntroductionThroughNATs(t *testing.T) {
	for _, nat := range []bool{false, true} {
		n := newNetwork(t, 1)
		seed := n.add("seed", modern, func(c *Config) { c.Introduce = true })
		a, b := n.add("a", modern, nil), n.add("b", modern, nil)
		type hole struct{ inside, outside netip.AddrPort }
		holes := map[hole]bool{}
		if nat {
			n.drop = func(from, to netip.AddrPort, _ []byte) bool {
				holes[hole{from, to}] = true
				return to != seed.addr && !holes[hole{to, from}]
			}
		}
		n.connect(a, seed)
		n.connect(b, seed)
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{seed.addr})
		if err != nil {
			t.Fatal(err)
		}
		began := n.now
		n.until(10*time.Second, func() bool { return s.State() == StateOpen && b.Session(a.PeerID()) != nil })
		if s.FarAddr() != b.addr {
			t.Errorf("nat %v: far address: got %v, want %v", nat, s.FarAddr(), b.addr)
		}
		// IHello, RHello in answer to the FIHello or to our IHello to the
		// redirected address, IIKeying, RIKeying: three round trips at most.
		if took := n.now.Sub(began); took > 8*n.latency {
			t.Errorf("nat %v: introduction took %v, want at most %v", nat, took, 8*n.latency)
		}
		if st := seed.Stats(); st.Redirects == 0 || st.Forwards == 0 {
			t.Errorf("nat %v: got %d redirects and %d forwards, want some", nat, st.Redirects, st.Forwards)
		}
	}
}

// "On receipt of an IHello chunk with an Endpoint Discriminator that does not
// select the Forwarder's identity, if the Forwarder has an S_OPEN session with an
// endpoint whose certificate matches": nobody else is introduced, and only by
// those whose Config says so.
func TestNoIntroduction(t *testing.T) {
	n := newNetwork(t, 1)
	seed := n.add("seed", modern, func(c *Config) { c.Introduce = true })
	plain := n.add("plain", modern, nil)
	a, b, stranger := n.add("a", modern, nil), n.add("b", modern, nil), n.add("stranger", modern, nil)
	n.connect(a, seed)
	n.connect(a, plain)
	n.connect(b, plain)
	for _, target := range []*testNode{b, stranger} {
		if _, err := a.Dial(n.now, target.PeerID(), []netip.AddrPort{seed.addr, plain.addr}); err != nil {
			t.Fatal(err)
		}
	}
	n.run(100 * time.Second)
	if len(a.failed) != 2 || a.failed[0].Err != ErrOpenTimeout {
		t.Errorf("got %+v, want two open timeouts", a.failed)
	}
	if st := seed.Stats(); st.Redirects != 0 || st.Forwards != 0 {
		t.Errorf("got %d redirects and %d forwards, want none", st.Redirects, st.Forwards)
	}
}

// The word of a forwarder makes an endpoint greet only so many.
func TestForwardLimit(t *testing.T) {
	n := newNetwork(t, 1)
	seed := n.add("seed", modern, func(c *Config) { c.Introduce = true })
	target := n.add("target", modern, nil)
	n.connect(target, seed)
	for range 300 {
		a := n.add("", modern, nil)
		if _, err := a.Dial(n.now, target.PeerID(), []netip.AddrPort{seed.addr}); err != nil {
			t.Fatal(err)
		}
	}
	n.run(15 * time.Millisecond)
	if got := seed.Stats().Forwards; got == 0 || got > uint64(seed.cfg.IntroductionBurst)+2 {
		t.Errorf("forwards for one target at once: got %d, want at most %d", got, seed.cfg.IntroductionBurst+1)
	}
	if seed.Stats().Dropped[DropRate] == 0 {
		t.Errorf("nothing was counted as over the limit")
	}
}
