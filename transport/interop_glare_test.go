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

// RFC 7016 §3.5.1.3: "Otherwise, the far end prevails: … abort and destroy the
// near opening session." rtmfp-cpp takes an IIKeying that comes when its own
// session is just open for a restart of the far end, and drops what is queued on
// the open one. So whoever has taken the prevailing end's IIKeying must not send
// its own any more, even if its keys were in the making.
func TestInteropGlareLoserIsSilent(t *testing.T) {
	n, a, b := pair(t, 1)
	if a.cfg.Identity.Parsed().Prevails(b.cfg.Identity.Parsed()) {
		a, b = b, a
	}
	a.work = 60 * time.Millisecond // its SKIC is ready when b's IIKeying has long come
	var keyings []clock.Time
	var answered clock.Time
	n.drop = func(from, _ netip.AddrPort, d []byte) bool {
		if from == a.addr {
			for _, typ := range startupChunks(d) {
				switch typ {
				case wire.ChunkIIKeying:
					keyings = append(keyings, n.now)
				case wire.ChunkRIKeying:
					answered = n.now
				}
			}
		}
		return false
	}
	flows := map[*testNode]*SendFlow{}
	for _, p := range [][2]*testNode{{a, b}, {b, a}} {
		s, err := p[0].Dial(n.now, p[1].PeerID(), []netip.AddrPort{p[1].addr})
		if err != nil {
			t.Fatal(err)
		}
		flows[p[0]] = open(t, s, n.now, FlowOptions{Metadata: []byte(p[0].name)})
		send(t, flows[p[0]], n.now, []byte(p[0].name), SendOptions{})
	}
	n.run(10 * time.Second)
	if answered == 0 {
		t.Fatal("the end that does not prevail has not answered the other's IIKeying")
	}
	if len(keyings) != 0 {
		t.Errorf("the end that does not prevail sent its own IIKeying %v, answered the other's at %v", keyings, answered)
	}
	if a.Session(b.PeerID()).Initiator() || !b.Session(a.PeerID()).Initiator() {
		t.Error("the prevailing end is not the initiator")
	}
	for _, x := range []*testNode{a, b} {
		if len(x.messages) != 1 || len(x.closed) != 0 || x.Stats().Sessions != 1 {
			t.Errorf("%s: %d flows with messages, closed %v, %d sessions; want 1, none, 1", x.name, len(x.messages), x.closed, x.Stats().Sessions)
		}
	}
}

// A forged IIKeying with the certificate of a peer that prevails delays a
// session to that peer, and no more.
func TestInteropGlareForged(t *testing.T) {
	n, a, b := pair(t, 1)
	if a.cfg.Identity.Parsed().Prevails(b.cfg.Identity.Parsed()) {
		a, b = b, a
	}
	s, err := a.Dial(n.now, b.PeerID(), nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := b.cfg.Identity.Initiate(crypto.Seed{1}, a.cfg.Identity.Parsed(), crypto.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	forger := netip.MustParseAddrPort("10.9.9.9:9")
	began := n.now
	for i := range uint32(100) { // one every 100 ms, each a new session
		var cookie [cookieSize]byte
		a.handleIIKeying(n.now, forger, wire.IIKeying{
			SessionID: i + 1, CookieEcho: a.cookies.append(cookie[:0], n.now, forger),
			Certificate: b.cfg.Identity.Certificate(), SKIC: in.Component(),
		}, defaultMTU)
		s.AddCandidate(n.now, b.addr)
		n.run(100 * time.Millisecond)
		if s.State() == StateOpen {
			break
		}
	}
	if s.State() != StateOpen || !s.Initiator() {
		t.Fatalf("session is in state %v after %v", s.State(), n.now.Sub(began))
	}
	if took := n.now.Sub(began); took > yieldPeriod+500*time.Millisecond {
		t.Errorf("forgeries delayed the session by %v, want at most %v", took, yieldPeriod)
	}
}

// startupChunks returns the types of the chunks in a datagram under the Default
// Session Key, none if it is under another.
func startupChunks(d []byte) (types []wire.ChunkType) {
	p, err := crypto.DefaultKeys().Open(slices.Clone(d))
	if err != nil {
		return nil
	}
	h, n := wire.ConsumeHeader(p)
	if n == 0 || h.Mode != wire.ModeStartup {
		return nil
	}
	for p = p[n:]; ; p = p[n:] {
		typ, _, m := wire.ConsumeChunk(p)
		if m == 0 {
			return types
		}
		n = m
		types = append(types, typ)
	}
}
