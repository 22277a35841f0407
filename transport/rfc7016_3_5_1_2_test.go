package transport

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.2, cookie change.

// Figure 10: the IIKeying comes from another interface than the IHello. "the
// responder SHOULD generate a new cookie based on the address from which the
// IIKeying was received and send an RHello Cookie Change chunk to the source of
// the IIKeying, using the session ID from the IIKeying and the Default Session
// Key"; "the initiator adopts the new cookie, constructs and signs a new IIKeying
// chunk, and sends the new IIKeying to the responder."
func TestRFC7016_3_5_1_2_CookieChange(t *testing.T) {
	for _, c := range []struct {
		name    string
		options crypto.IdentityOptions
		policy  crypto.Policy
	}{
		{"modern", modern, crypto.Policy{}},
		{"signed", crypto.IdentityOptions{Sign: true}, crypto.Policy{}},
		{"hybrid, in fragments", crypto.IdentityOptions{Sign: true}, crypto.Policy{Hybrid: crypto.HybridRequire}},
		{"legacy", legacy, crypto.Policy{AllowLegacy: true}},
	} {
		n := newNetwork(t, 1)
		set := func(cfg *Config) { cfg.Policy = c.policy }
		a, b := n.add("a", c.options, set), n.add("b", c.options, set)
		iy := addr("198.51.100.101:50001")
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		log := n.spy(nil)
		n.until(time.Second, func() bool { return s.State() == StateKeyingSent })
		a.addr = iy
		began := n.now
		n.until(5*time.Second, func() bool { return s.State() == StateOpen && b.Session(a.PeerID()) != nil })
		if got := b.Session(a.PeerID()).FarAddr(); got != iy {
			t.Errorf("%s: far address: got %v, want %v", c.name, got, iy)
		}
		if took := n.now.Sub(began); took > 10*n.latency {
			t.Errorf("%s: took %v, want two round trips", c.name, took)
		}
		changes := chunksOf(*log, wire.ChunkCookieChange)
		if len(changes) != 1 || changes[0].to != iy || changes[0].session == 0 {
			t.Fatalf("%s: Cookie Changes: got %+v, want one to %v", c.name, changes, iy)
		}
		change, _ := wire.ParseCookieChange(changes[0].payload)
		var keyings []wire.IIKeying
		for _, k := range chunksOf(*log, wire.ChunkIIKeying) {
			keying, _ := wire.ParseIIKeying(k.payload)
			keyings = append(keyings, keying)
		}
		if c.policy.Hybrid == crypto.HybridOff {
			if len(keyings) != 2 || !bytes.Equal(keyings[0].CookieEcho, change.OldCookie) || !bytes.Equal(keyings[1].CookieEcho, change.NewCookie) {
				t.Fatalf("%s: the two IIKeyings don't carry the two cookies: %d", c.name, len(keyings))
			}
			if !bytes.Equal(keyings[0].SKIC, keyings[1].SKIC) {
				t.Errorf("%s: the second IIKeying has another SKIC", c.name)
			}
			if signed := len(keyings[0].Signature) > 1; signed == bytes.Equal(keyings[0].Signature, keyings[1].Signature) {
				t.Errorf("%s: signed %v, and the signatures %x and %x", c.name, signed, keyings[0].Signature, keyings[1].Signature)
			}
		}
		if got := b.Stats(); got.Opening != 0 || got.Sessions != 1 {
			t.Errorf("%s: %d sessions, %d opening", c.name, got.Sessions, got.Opening)
		}
	}
}

// "If the initiator receives an RHello Cookie Change chunk for a session in the
// S_KEYING_SENT state, AND the old cookie matches the one originally sent to the
// responder, then … The initiator SHOULD NOT change the cookie for a session more
// than once."
func TestRFC7016_3_5_1_2_Once(t *testing.T) {
	n, a, b := pair(t, 1)
	log := n.spy(func(c spied) bool { return c.from == b.addr && c.typ == wire.ChunkRIKeying })
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.run(100 * time.Millisecond)
	original := bytes.Clone(s.startup.cookie)
	refused := uint64(0)
	for i, c := range []struct {
		old, new string
		taken    bool
	}{
		{"another", "first", false},
		{"", "second", false},
		{string(original), string(make([]byte, maxCookie+1)), false},
		{string(original), "third", true},
		{string(original), "fourth", false},
		{"third", "fifth", false},
	} {
		before := len(chunksOf(*log, wire.ChunkIIKeying))
		a.answer(b.addr, s.ID(), wire.CookieChange{OldCookie: []byte(c.old), NewCookie: []byte(c.new)})
		n.run(5 * time.Millisecond)
		keyings := chunksOf(*log, wire.ChunkIIKeying)
		if got := len(keyings) > before; got != c.taken {
			t.Errorf("%d: answered %v, want %v", i, got, c.taken)
		}
		if c.taken {
			if k, _ := wire.ParseIIKeying(keyings[len(keyings)-1].payload); string(k.CookieEcho) != c.new {
				t.Errorf("%d: the IIKeying has the cookie %q, want %q", i, k.CookieEcho, c.new)
			}
		} else {
			refused++
		}
	}
	if got := a.Stats().Dropped[DropState]; got != refused {
		t.Errorf("refused: counted %d, want %d", got, refused)
	}
}

// The Cookie Change is never longer than the IIKeying, nor sent for a cookie that
// is not this endpoint's own or has expired.
func TestRFC7016_3_5_1_2_NoAmplification(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*victim, *wire.IIKeying)
		want   bool
	}{
		{"all in order", func(*victim, *wire.IIKeying) {}, true},
		{"short", func(_ *victim, k *wire.IIKeying) { k.Certificate, k.SKIC = nil, nil }, false},
		{"forged", func(_ *victim, k *wire.IIKeying) { k.CookieEcho[cookieTime] ^= 1 }, false},
		{"expired", func(v *victim, _ *wire.IIKeying) { v.n.now = v.n.now.Add(cookieLifetime + time.Second) }, false},
	} {
		v := newVictim(t)
		var k wire.IIKeying
		v.keying(t, addr("203.0.113.9:9"), func(keying *wire.IIKeying) { k = *keying })
		c.change(v, &k)
		d := startupDatagram(k.Append)
		size := len(d)
		v.a.HandleDatagram(v.n.now, v.x, d)
		got := 0
		for {
			b, ok := v.a.Transmit(v.n.now, make([]byte, 2000))
			if !ok {
				break
			}
			if b.To == v.x {
				got += len(b.B)
			}
		}
		if (got > 0) != c.want || got > size {
			t.Errorf("%s: %d bytes are answered by %d, want an answer %v", c.name, size, got, c.want)
		}
	}
}
