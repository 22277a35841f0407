package transport

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.5, forwarder.

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
