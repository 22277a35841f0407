package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.5.1.1, the normal handshake.

// spied is a chunk that a node sent under the Default Session Key.
type spied struct {
	at      clock.Time
	from    netip.AddrPort
	to      netip.AddrPort
	session uint32
	size    int // of the datagram
	typ     wire.ChunkType
	payload []byte
}

// spy records the chunks of unfragmented startup packets, and drops those that
// drop says to.
func (n *network) spy(drop func(spied) bool) *[]spied {
	log := new([]spied)
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		id, size := crypto.SessionID(d), len(d)
		p, err := crypto.DefaultKeys().Open(slices.Clone(d))
		if err != nil {
			return false
		}
		h, k := wire.ConsumeHeader(p)
		if k == 0 || h.Mode != wire.ModeStartup {
			return false
		}
		typ, payload, m := wire.ConsumeChunk(p[k:])
		if m == 0 {
			return false
		}
		c := spied{n.now, from, to, id, size, typ, payload}
		*log = append(*log, c)
		return drop != nil && drop(c)
	}
	return log
}

// chunksOf returns those of a type.
func chunksOf(log []spied, typ wire.ChunkType) (list []spied) {
	for _, c := range log {
		if c.typ == typ {
			list = append(list, c)
		}
	}
	return list
}

// answer gives a node a startup packet for a session.
func (node *testNode) answer(from netip.AddrPort, session uint32, chunk interface{ Append([]byte) []byte }) {
	k := crypto.DefaultKeys()
	b := wire.AppendHeader(make([]byte, 4+k.Headroom(), 9000), wire.Header{Mode: wire.ModeStartup})
	node.HandleDatagram(node.net.now, from, k.Seal(chunk.Append(b), session))
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// "The initiator chooses a new, unique tag not used by any currently opening
// session. It is RECOMMENDED that the tag be cryptographically pseudorandom and
// be at least 8 bytes in length". Of each two tags nearly half of the bits differ.
func TestRFC7016_3_5_1_1_1_Tag(t *testing.T) {
	n, a, _ := pair(t, 1)
	log := n.spy(nil)
	for i := range 20 {
		if _, err := a.Dial(n.now, PeerID{byte(i + 1)}, []netip.AddrPort{addr("10.9.9.9:1")}); err != nil {
			t.Fatal(err)
		}
	}
	n.run(time.Millisecond)
	var tags [][]byte
	for i, c := range chunksOf(*log, wire.ChunkIHello) {
		hello, ok := wire.ParseIHello(c.payload)
		if want := crypto.EPDForPeer(PeerID{byte(i + 1)}); !ok || !bytes.Equal(hello.EPD, want) || c.session != 0 {
			t.Errorf("IHello %d: got discriminator %x to session %d, want %x to session 0", i, hello.EPD, c.session, want)
		}
		for _, tag := range tags {
			same := 0
			for k := range tag {
				if tag[k] == hello.Tag[k] {
					same++
				}
			}
			if same > 8 { // four are the session id's, and three of these are alike
				t.Errorf("tags %x and %x are alike", tag, hello.Tag)
			}
		}
		tags = append(tags, hello.Tag)
	}
	if len(tags) != 20 || len(tags[0]) < 8 {
		t.Errorf("got %d IHellos with tags of %d bytes, want 20 with 8 or more", len(tags), len(tags[0]))
	}
}

// "it sends the IHello to each candidate endpoint address in the set, on a
// backoff schedule. … The backoff SHOULD be scheduled separately for each
// candidate address, since new candidates can be added over time." Those of one
// list begin one after the other.
func TestRFC7016_3_5_1_1_1_ParallelOpen(t *testing.T) {
	for _, c := range []struct {
		offset time.Duration
		want   []time.Duration // of the first IHellos
	}{
		{0, []time.Duration{0, 50, 100, 10, 60, 20}},
		{250 * time.Millisecond, []time.Duration{0, 250, 500, 10, 260, 20}},
		{-1, []time.Duration{0, 0, 0, 10, 10, 20}},
	} {
		n := newNetwork(t, 1)
		a := n.add("a", modern, func(cfg *Config) { cfg.ParallelOffset = c.offset })
		log := n.spy(nil)
		began := n.now
		at := func(i int) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, byte(i)}), 5) }
		s, err := a.Dial(n.now, PeerID{1}, []netip.AddrPort{at(0), at(1), at(2), at(0), {}, addr("224.0.0.1:9")})
		if err != nil {
			t.Fatal(err)
		}
		n.run(10 * time.Millisecond)
		var list []byte
		for _, x := range []netip.AddrPort{at(3), at(1), at(4)} { // 1 is known already
			list = element.AppendAddress(list, element.Address{AddrPort: x})
		}
		a.answer(addr("10.8.8.8:8"), 0, wire.Redirect{TagEcho: s.startup.tag[:], List: list})
		n.run(10 * time.Millisecond)
		s.AddCandidate(n.now, at(5))
		n.run(20 * time.Second)
		attempts := map[netip.AddrPort]int{}
		first := map[netip.AddrPort]time.Duration{}
		for _, h := range chunksOf(*log, wire.ChunkIHello) {
			if attempts[h.to]++; attempts[h.to] == 1 {
				first[h.to] = h.at.Sub(began)
			}
		}
		for i, want := range c.want {
			if i == 1 && c.offset > 10*time.Millisecond {
				want = min(want, 10+c.offset/time.Millisecond) // the Redirect does not delay it
			}
			if got := first[at(i)]; got != want*time.Millisecond || attempts[at(i)] < 8 {
				t.Errorf("offset %v: the IHellos to candidate %d began after %v and were %d, want %v and several", c.offset, i, got, attempts[at(i)], want*time.Millisecond)
			}
		}
		if len(first) != len(c.want) {
			t.Errorf("offset %v: IHellos went to %d addresses, want %d", c.offset, len(first), len(c.want))
		}
	}
}

// "if the candidate endpoint address set contains fewer than REDIRECT_THRESHOLD
// addresses, add the indicated redirect destination … REDIRECT_THRESHOLD SHOULD
// NOT be more than 24." A Redirect counts only "with a tag echo matching this
// session, AND this session is in the S_IHELLO_SENT state".
func TestRFC7016_3_5_1_1_1_RedirectThreshold(t *testing.T) {
	n, a, b := pair(t, 1)
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{addr("10.9.9.9:1")})
	if err != nil {
		t.Fatal(err)
	}
	var list []byte
	for i := range 40 {
		list = element.AppendAddress(list, element.Address{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 8, byte(i)}), 5)})
	}
	from := addr("10.8.8.8:8")
	for _, c := range []struct {
		name string
		tag  []byte
		list []byte
		want int
	}{
		{"another tag", make([]byte, tagSize), list, 1},
		{"a part of the tag", s.startup.tag[:4], list, 1},
		{"an Implied Redirect", s.startup.tag[:], nil, 2},
		{"the same again", s.startup.tag[:], nil, 2},
		{"half an address", s.startup.tag[:], list[:9], 3},
		{"too many", s.startup.tag[:], list, 24},
	} {
		a.answer(from, 0, wire.Redirect{TagEcho: c.tag, List: c.list})
		if got := len(s.startup.candidates); got != c.want {
			t.Errorf("%s: got %d candidates, want %d", c.name, got, c.want)
		}
	}
	if s.candidate(from) == nil {
		t.Error("an Implied Redirect did not add its source")
	}
	tag := s.startup.tag
	a.answer(b.addr, 0, wire.RHello{TagEcho: tag[:], Cookie: make([]byte, 32), Certificate: b.cfg.Identity.Certificate()})
	if s.State() != StateKeyingSent {
		t.Fatalf("state: got %v, want S_KEYING_SENT", s.State())
	}
	before := a.Stats().Dropped[DropState]
	a.answer(from, 0, wire.Redirect{TagEcho: tag[:]})
	if got := a.Stats().Dropped[DropState] - before; got != 1 {
		t.Errorf("a Redirect in S_KEYING_SENT was not ignored")
	}
}

// "The first correct RHello received at the initiator is selected; all others are
// ignored": one whose certificate does not match "the desired Endpoint
// Discriminator" is not correct, whichever kind of discriminator it is.
func TestRFC7016_3_5_1_1_1_SelectedResponder(t *testing.T) {
	host := func(name string) crypto.IdentityOptions { return crypto.IdentityOptions{Hostname: name} }
	private := crypto.IdentityOptions{Hostname: "private", RefuseAncillary: true}
	for _, c := range []struct {
		name      string
		epd       crypto.EPD
		far       crypto.IdentityOptions
		want      bool
		impostors []crypto.IdentityOptions
	}{
		{"hostname", crypto.EPD{Hostname: []byte("b.example"), HasHostname: true}, host("b.example"), true,
			[]crypto.IdentityOptions{host("c.example"), host(""), modern}},
		{"hostname and URL", crypto.EPD{Hostname: []byte("b.example"), HasHostname: true, Ancillary: []byte("rtmfp://b.example/x"), HasAncillary: true}, host("b.example"), true,
			[]crypto.IdentityOptions{host("c.example"), {Hostname: "b.example", RefuseAncillary: true}}},
		{"URL", crypto.EPD{Ancillary: []byte("rtmfp://b.example/x"), HasAncillary: true}, modern, true, []crypto.IdentityOptions{private}},
		{"URL, for one who takes none", crypto.EPD{Ancillary: []byte("rtmfp://b.example/x"), HasAncillary: true}, private, false, nil},
		{"hostname of nobody", crypto.EPD{Hostname: []byte("nobody"), HasHostname: true}, host("b.example"), false, nil},
	} {
		n := newNetwork(t, 1)
		a, b := n.add("a", modern, nil), n.add("b", c.far, nil)
		s, err := a.DialEPD(n.now, c.epd, []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range c.impostors { // whoever knows the tag can answer, from anywhere
			x := n.add(fmt.Sprint("impostor ", i), o, nil)
			a.answer(x.addr, 0, wire.RHello{TagEcho: s.startup.tag[:], Cookie: make([]byte, 32), Certificate: x.cfg.Identity.Certificate()})
			if s.State() != StateIHelloSent {
				t.Errorf("%s: impostor %d was selected", c.name, i)
			}
		}
		n.run(2 * time.Second)
		if got := s.State() == StateOpen; got != c.want {
			t.Errorf("%s: open %v, want %v", c.name, got, c.want)
		} else if got && s.Peer() != b.PeerID() {
			t.Errorf("%s: peer %v, want %v", c.name, s.Peer(), b.PeerID())
		}
		if got := a.Stats().Dropped[DropCertificate]; got != uint64(len(c.impostors)) {
			t.Errorf("%s: %d certificates refused, want %d", c.name, got, len(c.impostors))
		}
	}
	n, a, b := pair(t, 1)
	if _, err := a.DialEPD(n.now, crypto.EPD{}, nil); !errors.Is(err, ErrDiscriminator) {
		t.Errorf("an empty discriminator: got %v, want ErrDiscriminator", err)
	}
	if _, err := a.DialURL(n.now, string(make([]byte, 2000)), nil); !errors.Is(err, ErrDiscriminator) {
		t.Errorf("an endless URL: got %v, want ErrDiscriminator", err)
	}
	s, err := a.DialEPD(n.now, crypto.EPD{Fingerprint: b.PeerID(), HasFingerprint: true, Hostname: []byte("x"), HasHostname: true}, nil)
	if err != nil || s != a.Session(b.PeerID()) {
		t.Errorf("a discriminator with a fingerprint is not the canonical one: %v", err)
	}
}

// "AND the signature in the chunk is authentic according to the far end's
// certificate": a forged RIKeying or IIKeying does not open a session, nor keep
// the true one from opening it.
func TestRFC7016_3_5_1_1_Signature(t *testing.T) {
	n := newNetwork(t, 1)
	signing := crypto.IdentityOptions{Sign: true}
	a, b := n.add("a", signing, nil), n.add("b", signing, nil)
	forged := 0
	log := n.spy(func(c spied) bool {
		switch {
		case c.typ == wire.ChunkIIKeying && forged == 0:
			forged++
			k, _ := wire.ParseIIKeying(c.payload)
			if len(k.Signature) < 64 {
				t.Errorf("the IIKeying is not signed: %x", k.Signature)
			}
			k.Signature = nil
			b.answer(c.from, 0, k)
			return true
		case c.typ == wire.ChunkRIKeying && forged == 1:
			forged++
			k, _ := wire.ParseRIKeying(c.payload)
			if len(k.Signature) < 64 {
				t.Errorf("the RIKeying is not signed: %x", k.Signature)
			}
			k.Signature = slices.Clone(k.Signature)
			k.Signature[20] ^= 1
			a.answer(c.from, c.session, k)
			return true
		}
		return false
	})
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	n.until(10*time.Second, func() bool { return s.State() == StateOpen && b.Session(a.PeerID()) != nil })
	if forged != 2 || a.Stats().Dropped[DropCrypto] != 1 || b.Stats().Dropped[DropCrypto] != 1 {
		t.Errorf("forgeries refused: %d and %d of %d", a.Stats().Dropped[DropCrypto], b.Stats().Dropped[DropCrypto], forged)
	}
	if got := b.Stats(); got.Sessions != 1 || got.Opening != 0 {
		t.Errorf("%d sessions, %d opening, want 1 and 0", got.Sessions, got.Opening)
	}
	// "this IIKeying is a retransmission, so resend the S_OPEN session's
	// RIKeying": to the byte.
	r := chunksOf(*log, wire.ChunkRIKeying)
	for _, c := range r[1:] {
		if !bytes.Equal(c.payload, r[0].payload) {
			t.Error("a repeated RIKeying differs from the first")
		}
	}
	if len(r) < 2 {
		t.Error("no RIKeying was repeated")
	}
}

// "On receipt of an FIHello … an endpoint SHOULD do one of the following: 1.
// Compute, construct, and send an RHello as though the FIHello was an IHello
// received from the indicated reply address; or 2. Construct and send an Implied
// Redirect to the FIHello's reply address; or 3. Ignore this FIHello."
func TestRFC7016_3_5_1_1_2_ForwardedIHello(t *testing.T) {
	for answer, want := range map[ForwardedAnswer]wire.ChunkType{
		ForwardedHello: wire.ChunkRHello, ForwardedRedirect: wire.ChunkRedirect, ForwardedNothing: 0,
	} {
		n := newNetwork(t, 1)
		seed := n.add("seed", modern, func(c *Config) { c.Introduce = true })
		a, b := n.add("a", modern, nil), n.add("b", modern, func(c *Config) { c.Forwarded = answer })
		n.connect(b, seed)
		log := n.spy(func(c spied) bool { return c.from == seed.addr && c.typ == wire.ChunkRedirect }) // only the forwarder counts
		s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{seed.addr})
		if err != nil {
			t.Fatal(err)
		}
		n.run(2 * time.Second)
		var got wire.ChunkType
		for _, c := range *log {
			if c.from == b.addr {
				got = c.typ
				if r, ok := wire.ParseRedirect(c.payload); c.typ == wire.ChunkRedirect && (!ok || len(r.List) != 0) {
					t.Errorf("the Redirect is not an implied one: %x", r.List)
				}
				break
			}
		}
		if got != want || (s.State() == StateOpen) != (want != 0) {
			t.Errorf("answer %d: got chunk %#x and state %v, want chunk %#x", answer, got, s.State(), want)
		}
	}
}

// "if the cookie is not authentic or if it has expired, ignore this IIKeying".
// "Cookies SHOULD be valid only for a limited time; that lifetime SHOULD NOT be
// less than 95 seconds": with 95 seconds between IHello and IIKeying a session
// opens, with a moment over the lifetime nothing is kept and nothing answered.
func TestRFC7016_3_5_1_1_2_CookieLifetime(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want bool
	}{{95 * time.Second, true}, {cookieLifetime + time.Second, false}} {
		v := newVictim(t)
		k := v.keying(t, v.x, nil)
		v.n.run(c.age)
		before, sent := v.a.Stats(), v.a.Stats().DatagramsSent
		v.startup(v.x, k)
		v.n.run(5 * time.Millisecond)
		if got := v.a.Stats().Opening == before.Opening+1; got != c.want {
			t.Errorf("after %v: kept %v, want %v", c.age, got, c.want)
		}
		if got := v.a.Stats().DatagramsSent > sent; got != c.want {
			t.Errorf("after %v: answered %v, want %v", c.age, got, c.want)
		}
	}
}

// "this is a new opening session from the same identity, and the existing S_OPEN
// session is stale": from the same address or a new one, once it is proven. The
// sentence "If the certificate from this IIKeying does not override the
// certificate of the S_OPEN session, ignore this IIKeying" would keep a client
// that restarted on the same port with a new identity waiting until its old
// session times out; so another certificate at the same address is another peer.
func TestRFC7016_3_5_1_1_2_Override(t *testing.T) {
	for _, c := range []struct {
		name         string
		same         bool // the identity
		moved        bool // the address
		initiator    bool // of the session that exists is the far end
		wantReplaced bool
	}{
		{"the same, at the same address", true, false, true, true},
		{"the same, elsewhere", true, true, true, true},
		{"the same, of a session that was opened from here", true, false, false, true},
		{"another, at the same address", false, false, true, false},
	} {
		n, a, b := pair(t, 1)
		if c.initiator {
			n.connect(a, b)
		} else {
			n.connect(b, a)
		}
		n.run(10 * time.Second)
		again := n.add("again", modern, func(cfg *Config) {
			if c.same {
				cfg.Identity = a.cfg.Identity
			}
		})
		if a.dead = true; !c.moved {
			again.addr = a.addr
		}
		s, err := again.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
		if err != nil {
			t.Fatal(err)
		}
		n.until(time.Second, func() bool { return s.State() == StateOpen && b.Session(again.PeerID()) != nil })
		n.run(100 * time.Millisecond)
		if got := len(b.closed) == 1 && errors.Is(b.closed[0], ErrReplaced); got != c.wantReplaced {
			t.Errorf("%s: replaced %v, want %v", c.name, got, c.wantReplaced)
		}
		if far := b.Session(again.PeerID()); far.FarAddr() != again.addr {
			t.Errorf("%s: the session is with %v, want %v", c.name, far.FarAddr(), again.addr)
		}
	}
}
