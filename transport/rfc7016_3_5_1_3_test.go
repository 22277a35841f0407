package transport

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.3, glare.

// "Glare is detected by receipt of a valid and authentic IIKeying from an endpoint
// address that is a destination for an opening session. Only one session is
// allowed between a pair of endpoints." In all its cases: each end dials by
// fingerprint, or by a URL that does not tell whom it will meet, at every
// relative time; afterwards there is one session, and both ends mean the same.
func TestRFC7016_3_5_1_3_Glare(t *testing.T) {
	dial := func(t *testing.T, x, y *testNode, byURL bool) {
		var err error
		if byURL {
			_, err = x.DialURL(x.net.now, "rtmfp://"+y.name, []netip.AddrPort{y.addr})
		} else {
			_, err = x.Dial(x.net.now, y.PeerID(), []netip.AddrPort{y.addr})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for kind := range 4 {
		for offset := -60; offset <= 60; offset += 3 {
			for seed := range uint64(3) {
				name := fmt.Sprintf("URL a %v b %v, offset %d ms, seed %d", kind&1 != 0, kind&2 != 0, offset, seed)
				n, a, b := pair(t, seed)
				n.loss, n.jitter = float64(seed)*0.1, time.Duration(seed)*5*time.Millisecond
				first, second, urls := a, b, [2]bool{kind&1 != 0, kind&2 != 0}
				if offset < 0 {
					first, second, urls = b, a, [2]bool{urls[1], urls[0]}
				}
				dial(t, first, second, urls[0])
				n.run(time.Duration(max(offset, -offset)) * time.Millisecond)
				dial(t, second, first, urls[1])
				n.run(30*time.Second + proofLimit) // what nobody uses is forgotten then
				sa, sb := a.Session(b.PeerID()), b.Session(a.PeerID())
				if sa == nil || sb == nil || sa.State() != StateOpen || sb.State() != StateOpen {
					t.Fatalf("%s: no session", name)
				}
				if sa.far != sb.id || sb.far != sa.id || sa.Initiator() == sb.Initiator() {
					t.Errorf("%s: the two ends hold different sessions", name)
				}
				for _, node := range n.nodes {
					if st := node.Stats(); st.Opening != 0 || st.Sessions != 1 || len(node.pending) != 0 || len(node.begun) != 0 {
						t.Errorf("%s: %s has %d sessions, %d opening, want 1 and 0", name, node.name, st.Sessions, st.Opening)
					}
				}
			}
		}
	}
}

// "Glare is resolved by comparing the certificate in the received IIKeying with
// the near end's certificate. … If the near end prevails, discard and ignore the
// received IIKeying." In perfect glare the prevailing end is the initiator.
func TestRFC7016_3_5_1_3_Prevailing(t *testing.T) {
	for seed := range uint64(8) {
		n, a, b := pair(t, seed)
		for _, x := range [][2]*testNode{{a, b}, {b, a}} {
			if _, err := x[0].Dial(n.now, x[1].PeerID(), []netip.AddrPort{x[1].addr}); err != nil {
				t.Fatal(err)
			}
		}
		n.run(5 * time.Second)
		want := bytes.Compare(a.cfg.Identity.Certificate(), b.cfg.Identity.Certificate()) < 0
		if got := a.Session(b.PeerID()).Initiator(); got != want || b.Session(a.PeerID()).Initiator() == want {
			t.Errorf("seed %d: a is the initiator %v, want %v", seed, got, want)
		}
		if a.Stats().Dropped[DropGlare]+b.Stats().Dropped[DropGlare] == 0 {
			t.Errorf("seed %d: nobody discarded an IIKeying", seed)
		}
	}
}

// "Glare is detected by receipt of a valid and authentic IIKeying from an endpoint
// address that is a destination for an opening session." The near end of an opening
// session prevails, or not; the IIKeying comes from one of the session's candidates,
// or from an address that nothing was sent to, where the near end's own IHello may
// never arrive. In S_KEYING_SENT the certificate is known, and the address does not
// matter: behind a NAT it may be new.
func TestRFC7016_3_5_1_3_Detection(t *testing.T) {
	for _, prevails := range []bool{true, false} {
		for _, c := range []struct {
			name    string
			far     string // where the near end looks for the far end
			keying  bool   // the near end is in S_KEYING_SENT
			ignored bool   // if the near end prevails
		}{
			{"from a candidate", "10.0.0.2:1935", false, true},
			{"from elsewhere", "10.9.9.9:9", false, false},
			{"in S_KEYING_SENT, from its destination", "10.0.0.2:1935", true, true},
			{"in S_KEYING_SENT, from elsewhere", "10.9.9.9:9", true, true},
		} {
			n, a, b := pair(t, 1)
			if a.cfg.Identity.Parsed().Prevails(b.cfg.Identity.Parsed()) != prevails {
				a.Endpoint, b.Endpoint = b.Endpoint, a.Endpoint
			}
			s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{addr(c.far)})
			if err != nil {
				t.Fatal(err)
			}
			if c.keying {
				a.answer(addr(c.far), 0, wire.RHello{TagEcho: s.startup.tag[:], Cookie: make([]byte, 32), Certificate: b.cfg.Identity.Certificate()})
			}
			in, err := b.cfg.Identity.Initiate(crypto.Seed{1}, a.cfg.Identity.Parsed(), crypto.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			before := a.Stats()
			a.answer(b.addr, 0, wire.IIKeying{
				SessionID: 7, CookieEcho: a.cookies.append(nil, n.now, b.addr), Certificate: b.cfg.Identity.Certificate(), SKIC: in.Component(),
			})
			want := uint64(0)
			if prevails && c.ignored {
				want = 1
			}
			// "If the near end prevails, discard and ignore the received IIKeying."
			if got := a.Stats(); got.Dropped[DropGlare]-before.Dropped[DropGlare] != want || (got.Sessions > before.Sessions) != (want == 0) {
				t.Errorf("prevails %v, %s: discarded %d, want %d; %d sessions more", prevails, c.name, got.Dropped[DropGlare]-before.Dropped[DropGlare], want, got.Sessions-before.Sessions)
			}
		}
	}
}

// "Otherwise, the far end prevails: 1. If the certificate in the IIKeying overrides
// the certificate associated with the near opening session … then abort and destroy
// the near opening session. Then, 2. Continue with normal Responder IIKeying
// processing". What the owner holds, and has queued, goes on in the session that
// remains; nothing of the aborted one can still come.
func TestRFC7016_3_5_1_3_FarPrevails(t *testing.T) {
	n, a, b := pair(t, 1)
	if a.cfg.Identity.Parsed().Prevails(b.cfg.Identity.Parsed()) {
		a, b = b, a
	}
	log := n.spy(nil)
	// In perfect glare both ends have sent an IIKeying before the other's comes.
	handles := map[*testNode]*Session{}
	ids := map[*testNode]uint32{}
	for _, x := range [][2]*testNode{{a, b}, {b, a}} {
		s, err := x[0].Dial(n.now, x[1].PeerID(), []netip.AddrPort{x[1].addr})
		if err != nil {
			t.Fatal(err)
		}
		f := open(t, s, n.now, FlowOptions{Metadata: []byte(x[0].name)})
		send(t, f, n.now, []byte(x[0].name), SendOptions{Receipt: 1})
		handles[x[0]], ids[x[0]] = s, s.ID()
	}
	n.until(5*time.Second, func() bool { return a.receipts[1] && b.receipts[1] })
	if got := handles[a]; a.Session(b.PeerID()) != got || got.Initiator() || got.ID() == ids[a] {
		t.Error("the session of the end that lost did not become the responder's of the other's, under another id")
	}
	if got := handles[b]; b.Session(a.PeerID()) != got || !got.Initiator() || got.ID() != ids[b] {
		t.Error("the session of the end that prevails is another")
	}
	if a.sessions.find(ids[a]) != nil {
		t.Error("the aborted session is still found")
	}
	// "The far end will abort its opening session on receipt of IIKeying from the
	// near end": nobody answered the one that lost.
	for _, c := range chunksOf(*log, wire.ChunkRIKeying) {
		if c.from == b.addr {
			t.Error("the end that prevails answered the other's IIKeying")
		}
	}
	n.run(2 * time.Minute)
	for _, x := range []*testNode{a, b} {
		if len(x.opened) != 1 || len(x.failed) != 0 || len(x.closed) != 0 {
			t.Errorf("%s: told of %d opened, %d failed, and %d closed sessions, want one opened", x.name, len(x.opened), len(x.failed), len(x.closed))
		}
		if st := x.Stats(); st.Sessions != 1 || st.Opening != 0 {
			t.Errorf("%s: %d sessions, %d opening, want 1 and 0", x.name, st.Sessions, st.Opening)
		}
	}
}

// "valid and authentic": an IIKeying without a good cookie, or whose certificate
// does not parse, is no glare and aborts nothing; one with the certificate of
// somebody else has nothing to do with the opening session.
func TestRFC7016_3_5_1_3_NotGlare(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*testNode, *wire.IIKeying)
	}{
		{"a forged cookie", func(_ *testNode, k *wire.IIKeying) { k.CookieEcho[3] ^= 1 }},
		{"no certificate", func(_ *testNode, k *wire.IIKeying) { k.Certificate = []byte{1} }},
		{"a stranger", func(x *testNode, k *wire.IIKeying) { k.Certificate = x.cfg.Identity.Certificate() }},
	} {
		n, a, b := pair(t, 1)
		stranger := n.add("stranger", modern, nil)
		if a.cfg.Identity.Parsed().Prevails(b.cfg.Identity.Parsed()) {
			a, b = b, a
		}
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		in, err := b.cfg.Identity.Initiate(crypto.Seed{1}, a.cfg.Identity.Parsed(), crypto.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		k := wire.IIKeying{SessionID: 7, CookieEcho: a.cookies.append(nil, n.now, b.addr), Certificate: b.cfg.Identity.Certificate(), SKIC: in.Component()}
		c.change(stranger, &k)
		a.answer(b.addr, 0, k)
		began := n.now
		n.until(5*time.Second, func() bool { return s.State() == StateOpen })
		if took := n.now.Sub(began); took > 6*n.latency {
			t.Errorf("%s: the session took %v to open", c.name, took)
		}
		if !s.Initiator() || a.Session(b.PeerID()) != s {
			t.Errorf("%s: the opening session was aborted", c.name)
		}
	}
}
