package transport

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

var garbage = flag.Int("garbage", 100_000, "packets of garbage that an endpoint is thrown at")

// victim is an open session between two nodes, and a third who has none.
type victim struct {
	n      *network
	a, b   *testNode
	sa, sb *Session
	x      netip.AddrPort // somebody unknown
}

func newVictim(t *testing.T) *victim {
	n := newNetwork(t, 1)
	v := &victim{n: n, x: netip.MustParseAddrPort("198.51.100.7:7")}
	v.a = n.add("a", modern, func(c *Config) {
		c.Introduce, c.IntroductionRate, c.IntroductionBurst = true, 1, 1
		c.MaxFlowsPerSession, c.SessionBuffer = 4, 8192
	})
	v.b = n.add("b", modern, nil)
	v.sa, v.sb = n.connect(v.a, v.b)
	n.run(time.Second)
	return v
}

// startup throws a startup packet at a.
func (v *victim) startup(from netip.AddrPort, chunk func([]byte) []byte) {
	v.a.HandleDatagram(v.n.now, from, startupDatagram(chunk))
}

// sealed returns a packet of b's end of the session with the given chunks.
func (v *victim) sealed(h wire.Header, chunks []byte) []byte {
	b := make([]byte, 4+v.sb.keys.Headroom(), 9000)
	return v.sb.keys.Seal(append(wire.AppendHeader(b, h), chunks...), v.sb.far)
}

// inside sends a packet of b's end of the session to a.
func (v *victim) inside(chunk interface{ Append([]byte) []byte }) {
	h := wire.Header{Mode: wire.ModeResponder}
	v.a.HandleDatagram(v.n.now, v.b.addr, v.sealed(h, chunk.Append(nil)))
}

func (v *victim) ihello(epd []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b = wire.IHello{EPD: epd, Tag: make([]byte, 16)}.Append(b)
		return append(b, slices.Repeat([]byte{0xff}, 600)...)
	}
}

func (v *victim) cookie(from netip.AddrPort) []byte {
	return slices.Clone(v.a.cookies.append(nil, v.n.now, from))
}

// keying returns an IIKeying that is fine but for what change does to it.
func (v *victim) keying(t *testing.T, from netip.AddrPort, change func(*wire.IIKeying)) func([]byte) []byte {
	id, err := crypto.NewIdentity(reader{v.n.rng}, modern)
	if err != nil {
		t.Fatal(err)
	}
	in, err := id.Initiate(crypto.Seed{1}, v.a.cfg.Identity.Parsed(), crypto.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	c := wire.IIKeying{SessionID: 7, CookieEcho: v.cookie(from), Certificate: id.Certificate(), SKIC: in.Component()}
	if change != nil {
		change(&c)
	}
	return c.Append
}

// attacks are what is refused, by the counter that tells.
var attacks = []struct {
	name string
	why  Drop
	do   func(*testing.T, *victim)
}{
	{"an empty datagram", DropSize, func(t *testing.T, v *victim) { v.a.HandleDatagram(v.n.now, v.x, nil) }},
	{"less than a packet", DropSize, func(t *testing.T, v *victim) { v.a.HandleDatagram(v.n.now, v.x, make([]byte, 4)) }},
	{"a handshake packet of absurd length", DropSize, func(t *testing.T, v *victim) {
		v.a.HandleDatagram(v.n.now, v.x, make([]byte, 60000))
	}},
	{"an unknown session", DropSession, func(t *testing.T, v *victim) {
		v.a.HandleDatagram(v.n.now, v.x, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
	}},
	{"a former session", DropSession, func(t *testing.T, v *victim) {
		d := v.sealed(wire.Header{Mode: wire.ModeResponder}, wire.Ping{}.Append(nil))
		v.sa.Abort(v.n.now)
		v.a.HandleDatagram(v.n.now, v.b.addr, d)
	}},
	{"a wrong tag", DropCrypto, func(t *testing.T, v *victim) {
		d := v.sealed(wire.Header{Mode: wire.ModeResponder}, wire.Ping{}.Append(nil))
		d[len(d)-1] ^= 1
		v.a.HandleDatagram(v.n.now, v.b.addr, d)
	}},
	{"a replayed packet", DropCrypto, func(t *testing.T, v *victim) {
		d := v.sealed(wire.Header{Mode: wire.ModeResponder}, wire.Ping{}.Append(nil))
		v.a.HandleDatagram(v.n.now, v.b.addr, slices.Clone(d))
		v.a.HandleDatagram(v.n.now, v.b.addr, d)
	}},
	{"an own packet, reflected", DropCrypto, func(t *testing.T, v *victim) {
		b := make([]byte, 4+v.sa.keys.Headroom(), 1200)
		h := wire.Header{Mode: wire.ModeInitiator}
		v.a.HandleDatagram(v.n.now, v.b.addr, v.sa.keys.Seal(wire.Ping{}.Append(wire.AppendHeader(b, h)), v.sa.id))
	}},
	{"a handshake packet with a wrong checksum", DropCrypto, func(t *testing.T, v *victim) {
		d := startupDatagram(v.ihello(crypto.EPDForPeer(v.a.PeerID())))
		id := crypto.SessionID(d)
		d[100] ^= 1
		if crypto.SessionID(d) != id {
			t.Fatal("the session id changed")
		}
		v.a.HandleDatagram(v.n.now, v.x, d)
	}},
	{"a packet of the forbidden mode", DropHeader, func(t *testing.T, v *victim) {
		v.a.HandleDatagram(v.n.now, v.b.addr, v.sealed(wire.Header{}, wire.Ping{}.Append(nil)))
	}},
	{"a packet of the own role", DropHeader, func(t *testing.T, v *victim) {
		v.a.HandleDatagram(v.n.now, v.b.addr, v.sealed(wire.Header{Mode: wire.ModeInitiator}, wire.Ping{}.Append(nil)))
	}},
	{"a session's mode in a handshake packet", DropHeader, func(t *testing.T, v *victim) {
		k := crypto.DefaultKeys()
		b := wire.AppendHeader(make([]byte, 4+k.Headroom(), 1200), wire.Header{Mode: wire.ModeInitiator})
		v.a.HandleDatagram(v.n.now, v.x, k.Seal(v.ihello(crypto.EPDForPeer(v.a.PeerID()))(b), 0))
	}},
	{"a field longer than its chunk", DropChunk, func(t *testing.T, v *victim) {
		v.startup(v.x, func(b []byte) []byte { return append(b, byte(wire.ChunkIHello), 0, 3, 0xff, 0xff, 0x7f) })
	}},
	{"a tag of absurd length", DropChunk, func(t *testing.T, v *victim) {
		v.startup(v.x, wire.IHello{EPD: crypto.EPDForPeer(v.a.PeerID()), Tag: make([]byte, maxTag+1)}.Append)
	}},
	{"a forward to where nobody can be", DropChunk, func(t *testing.T, v *victim) {
		v.inside(wire.FIHello{EPD: crypto.EPDForPeer(v.a.PeerID()), Reply: element.Address{AddrPort: netip.MustParseAddrPort("224.0.0.1:9")}})
	}},
	{"an RHello that nobody asked for", DropState, func(t *testing.T, v *victim) {
		v.startup(v.x, wire.RHello{TagEcho: make([]byte, 16), Cookie: make([]byte, 32), Certificate: v.b.cfg.Identity.Certificate()}.Append)
	}},
	{"a Redirect that nobody asked for", DropState, func(t *testing.T, v *victim) {
		v.startup(v.x, wire.Redirect{TagEcho: make([]byte, 16)}.Append)
	}},
	{"a packet for a session that is looking for its far end", DropState, func(t *testing.T, v *victim) {
		s, err := v.a.Dial(v.n.now, PeerID{1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		k := crypto.DefaultKeys()
		b := wire.AppendHeader(make([]byte, 4+k.Headroom(), 1200), wire.Header{Mode: wire.ModeStartup})
		v.a.HandleDatagram(v.n.now, v.x, k.Seal(wire.RIKeying{SessionID: 1, SKRC: []byte("x")}.Append(b), s.ID()))
	}},
	{"an IHello for somebody else", DropHello, func(t *testing.T, v *victim) {
		v.startup(v.x, v.ihello(crypto.EPDForPeer(PeerID{3})))
	}},
	{"an IHello, reflected by its target", DropHello, func(t *testing.T, v *victim) {
		v.startup(v.b.addr, v.ihello(crypto.EPDForPeer(v.b.PeerID())))
	}},
	{"a forward for somebody else", DropHello, func(t *testing.T, v *victim) {
		v.inside(wire.FIHello{EPD: crypto.EPDForPeer(PeerID{3}), Reply: element.Address{AddrPort: v.x}, Tag: make([]byte, 16)})
	}},
	{"an IHello that is shorter than its answer", DropAmplify, func(t *testing.T, v *victim) {
		v.startup(v.x, wire.IHello{EPD: crypto.EPDForPeer(v.a.PeerID()), Tag: make([]byte, 16)}.Append)
	}},
	{"an IIKeying that is shorter than the Cookie Change", DropAmplify, func(t *testing.T, v *victim) {
		v.startup(v.x, wire.IIKeying{SessionID: 1, CookieEcho: v.cookie(v.b.addr)}.Append)
	}},
	{"a forged cookie", DropCookie, func(t *testing.T, v *victim) {
		v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.CookieEcho[0] ^= 1 }))
	}},
	{"a cookie of another length", DropCookie, func(t *testing.T, v *victim) {
		v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.CookieEcho = c.CookieEcho[1:] }))
	}},
	{"a stale cookie", DropCookie, func(t *testing.T, v *victim) {
		k := v.keying(t, v.x, nil)
		v.n.run(cookieLifetime + time.Second)
		v.startup(v.x, k)
	}},
	{"an answer to session 0", DropCookie, func(t *testing.T, v *victim) {
		v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.SessionID = 0 }))
	}},
	{"no certificate", DropCertificate, func(t *testing.T, v *victim) {
		v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.Certificate = []byte("nonsense") }))
	}},
	{"the own certificate", DropCertificate, func(t *testing.T, v *victim) {
		v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.Certificate = v.a.cfg.Identity.Certificate() }))
	}},
	{"an RHello of somebody else", DropCertificate, func(t *testing.T, v *victim) {
		s, err := v.a.Dial(v.n.now, PeerID{1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		v.startup(v.x, wire.RHello{TagEcho: s.startup.tag[:], Cookie: make([]byte, 32), Certificate: v.b.cfg.Identity.Certificate()}.Append)
	}},
	{"a keying component that is none", DropCrypto, func(t *testing.T, v *victim) {
		v.startup(v.x, v.keying(t, v.x, func(c *wire.IIKeying) { c.SKIC = []byte("nonsense") }))
		v.n.run(time.Second)
	}},
	{"an IIKeying whose session is open", DropGlare, func(t *testing.T, v *victim) {
		k := v.keying(t, v.x, nil)
		v.startup(v.x, k)
		v.n.run(10 * time.Millisecond)
		for _, s := range v.a.pending {
			v.a.peers[s.peer] = s // as if its initiator had used the keys
			delete(v.a.pending, s.keying)
		}
		v.startup(v.x, k)
	}},
	{"more sessions than may be", DropLimit, func(t *testing.T, v *victim) {
		v.a.cfg.MaxOpening = 1
		for range 2 {
			v.startup(v.x, v.keying(t, v.x, nil))
		}
	}},
	{"more sessions than one network may open", DropLimit, func(t *testing.T, v *victim) {
		v.a.cfg.MaxOpeningPerPrefix = 1
		for range 2 {
			v.startup(v.x, v.keying(t, v.x, nil))
		}
	}},
	{"more flows than may be", DropLimit, func(t *testing.T, v *victim) {
		for i := range uint64(5) {
			v.inside(wire.UserData{FlowID: 10 + i, Sequence: 1, FSNOffset: 1, Options: wire.FlowOptions{HasMetadata: true}.Append(nil), Data: []byte("x")})
		}
	}},
	{"data beyond the window", DropBuffer, func(t *testing.T, v *victim) {
		for i := range uint64(100) { // the first fragment is missing
			v.inside(wire.UserData{FlowID: 10, Sequence: 2 + i, FSNOffset: 2 + i, Options: wire.FlowOptions{HasMetadata: true}.Append(nil), Data: make([]byte, 1000)})
		}
	}},
	{"an acknowledgement of data that was not sent", DropFlow, func(t *testing.T, v *victim) {
		f := open(t, v.sa, v.n.now, FlowOptions{})
		send(t, f, v.n.now, []byte("x"), SendOptions{})
		v.n.run(time.Second)
		v.inside(rawChunk{wire.ChunkRangeAck, []byte{byte(f.id), 64, 100}})
	}},
	{"introductions beyond the rate", DropRate, func(t *testing.T, v *victim) {
		for range 2 {
			v.startup(v.x, v.ihello(crypto.EPDForPeer(v.b.PeerID())))
		}
	}},
	{"forwards beyond the rate", DropRate, func(t *testing.T, v *victim) {
		for range 2 {
			v.inside(wire.FIHello{EPD: crypto.EPDForPeer(v.a.PeerID()), Reply: element.Address{AddrPort: v.x}, Tag: make([]byte, 16)})
		}
	}},
	{"overlapping fragments", DropFragment, func(t *testing.T, v *victim) {
		for i := range byte(2) {
			v.startup(v.x, wire.Fragment{More: true, PacketID: 1, Number: 1, Data: []byte{i}}.Append)
		}
	}},
	{"fragments without number", DropFragment, func(t *testing.T, v *victim) {
		v.startup(v.x, wire.Fragment{More: true, PacketID: 1, Number: 1 << 60, Data: []byte{1}}.Append)
	}},
	{"fragments without end", DropAssembly, func(t *testing.T, v *victim) {
		for i := range uint64(1 + assembliesPerPrefix[0]) {
			v.startup(v.x, wire.Fragment{More: true, PacketID: i, Number: 1, Data: []byte{1}}.Append)
		}
	}},
}

// rawChunk is a chunk with any payload.
type rawChunk struct {
	typ     wire.ChunkType
	payload []byte
}

func (c rawChunk) Append(b []byte) []byte {
	b, mark := wire.BeginChunk(b, c.typ)
	return wire.EndChunk(append(b, c.payload...), mark)
}

// What is forged, stale, replayed, reflected, absurd, or too much is counted,
// each by one reason, and dropped; and the session that is there goes on.
func TestDrops(t *testing.T) {
	var seen [drops]bool
	for _, c := range attacks {
		t.Run(c.name, func(t *testing.T) {
			v := newVictim(t)
			before := v.a.Stats()
			c.do(t, v)
			after := v.a.Stats()
			for why := range drops {
				if got := after.Dropped[why] - before.Dropped[why]; (got > 0) != (why == c.why) {
					t.Errorf("%d dropped for %q, want it for %q alone", got, why, c.why)
				}
			}
			seen[c.why] = true
			if c.name == "a former session" {
				return
			}
			v.n.run(100 * time.Millisecond)
			f := open(t, v.sb, v.n.now, FlowOptions{})
			send(t, f, v.n.now, []byte("still here"), SendOptions{Receipt: 9})
			v.n.run(3 * time.Second)
			if full := v.a.cfg.MaxFlowsPerSession; v.sa.State() != StateOpen || !v.b.receipts[9] && len(v.sa.recv) < full {
				t.Errorf("the session that was there is harmed")
			}
		})
	}
	for why, ok := range seen {
		if !ok {
			t.Errorf("nothing is dropped for %q", Drop(why))
		}
	}
}

// garbagePacket makes one of the kinds of packets that an attacker can make who
// has seen handshakes, but takes part in none.
func garbagePacket(rng *rand.Rand, target *testNode, recorded [][]byte) []byte {
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	epd := crypto.EPDForPeer(target.PeerID())
	switch rng.IntN(10) {
	case 0:
		return random(rng.IntN(1500))
	case 1: // for a session id that may exist
		d := random(4 + 16*(1+rng.IntN(60)))
		binary.BigEndian.PutUint32(d, uint32(1<<slotBits|rng.IntN(4))^crypto.SessionID(append(make([]byte, 4), d[4:]...)))
		return d
	case 2:
		return startupDatagram(func(b []byte) []byte {
			b = wire.IHello{EPD: epd, Tag: random(16)}.Append(b)
			return append(b, slices.Repeat([]byte{0xff}, rng.IntN(1100))...)
		})
	case 3:
		return startupDatagram(wire.IIKeying{SessionID: rng.Uint32(), CookieEcho: random(cookieSize), Certificate: random(64), SKIC: random(100)}.Append)
	case 4:
		return startupDatagram(wire.Fragment{More: rng.IntN(2) == 0, PacketID: rng.Uint64() >> 40, Number: rng.Uint64() >> 60, Data: random(1 + rng.IntN(1000))}.Append)
	case 5:
		return startupDatagram(wire.RHello{TagEcho: random(16), Cookie: random(32), Certificate: random(80)}.Append)
	case 6:
		return startupDatagram(wire.Redirect{TagEcho: random(16), List: random(70)}.Append)
	case 7: // chunks of nothing
		return startupDatagram(func(b []byte) []byte { return append(b, random(rng.IntN(1000))...) })
	case 8:
		return startupDatagram(func(b []byte) []byte { return append(b, slices.Repeat([]byte{0x30, 0, 0}, 300)...) })
	default:
		d := slices.Clone(recorded[rng.IntN(len(recorded))])
		if rng.IntN(2) == 0 {
			d[rng.IntN(len(d))] ^= 1 << rng.IntN(8)
		}
		return d
	}
}

// A flood of garbage from everywhere leaves no session, bounded memory, and
// the sessions that are there as they were. With -garbage 1000000 it is the
// flood of the requirement.
func TestGarbage(t *testing.T) {
	n, a, b := pair(t, 1)
	var recorded [][]byte
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		if to == b.addr && len(recorded) < 50 {
			recorded = append(recorded, slices.Clone(d))
		}
		return false
	}
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, numbered(1, 20000), SendOptions{})
	n.run(3 * time.Minute) // what was recorded is stale
	rng := rand.New(rand.NewPCG(5, 6))
	before := liveHeap()
	in, out := 0, 0
	for i := range *garbage {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{1 + byte(rng.IntN(200)), byte(rng.Uint32()), byte(rng.Uint32()), 1}), 1+uint16(rng.IntN(60000)))
		d := garbagePacket(rng, b, recorded)
		in += len(d)
		b.HandleDatagram(n.now, from, d)
		for {
			batch, ok := b.Transmit(n.now, n.buf)
			if !ok {
				break
			}
			if batch.To != a.addr {
				out += len(batch.B)
			}
		}
		if i%1000 == 999 {
			n.run(10 * time.Millisecond)
		}
	}
	st := b.Stats()
	if st.Sessions != 1 || st.Opening != 0 || len(b.pending) != 0 || len(b.begun) != 0 {
		t.Errorf("garbage made sessions: %d, %d opening", st.Sessions-1, st.Opening)
	}
	if out > in/4 {
		t.Errorf("%d bytes of garbage were answered by %d", in, out)
	}
	if grown := liveHeap() - before; grown > 1<<20 {
		t.Errorf("%d packets of garbage left %d bytes", *garbage, grown)
	}
	send(t, f, n.now, numbered(2, 5000), SendOptions{Receipt: 1})
	n.run(3 * time.Second)
	if !a.receipts[1] {
		t.Errorf("the session that was there is harmed")
	}
}

// Rules of the byte budget that answers to short IHellos have where old peers
// are admitted.
func TestUnpaddedBudget(t *testing.T) {
	n := newNetwork(t, 1)
	old := crypto.IdentityOptions{Groups: []crypto.DHGroup{crypto.Group14, crypto.Group2}}
	b := n.add("b", old, func(c *Config) { c.UnpaddedBudget = 5000 })
	epd := crypto.EPDForPeer(b.PeerID())
	excess := func(from string) (excess int) {
		for range 100 {
			d := startupDatagram(wire.IHello{EPD: epd, Tag: make([]byte, 16)}.Append)
			excess -= len(d)
			b.HandleDatagram(n.now, netip.MustParseAddrPort(from), d)
			batch, ok := b.Transmit(n.now, make([]byte, 2000))
			if !ok {
				excess += len(d)
			}
			excess += len(batch.B)
		}
		return excess
	}
	for _, c := range []struct {
		name, from string
		least      int
	}{
		{"a network", "192.0.2.1:1", 4000},
		{"the same network", "192.0.2.99:2", 0},
		{"another network", "192.0.3.1:1", 4000},
		{"IPv6", "[2001:db8:1:100::1]:1", 4000},
		{"the same /56", "[2001:db8:1:1ff::9]:1", 0},
		{"another /56", "[2001:db8:1:200::1]:1", 4000},
	} {
		if got := excess(c.from); got > 5000 || got < c.least || c.least == 0 && got != 0 {
			t.Errorf("%s: %d bytes more than were asked, want %d to 5000 or none", c.name, got, c.least)
		}
	}
	n.run(time.Second / 2)
	if got := excess("192.0.2.1:1"); got > 2600 || got < 1500 {
		t.Errorf("after half a second: %d bytes, want about 2500", got)
	}
	if b.Stats().Dropped[DropAmplify] == 0 {
		t.Error("nothing was counted")
	}
}

// What packets cost before a cookie is proven, with the answers that they get:
// at most 20 µs each.
func BenchmarkUnauthenticated(b *testing.B) {
	v := newVictim(&testing.T{}) // it is set up in virtual time, and cannot fail by chance
	epd := crypto.EPDForPeer(v.a.PeerID())
	full := func(chunk func([]byte) []byte) func([]byte) []byte {
		return func(b []byte) []byte {
			b = chunk(b)
			for len(b) < 1180 {
				b = append(b, 0xff)
			}
			return b
		}
	}
	large := func(n int) []byte { return make([]byte, n) }
	for _, c := range []struct {
		name string
		d    []byte
	}{
		{"random", func() []byte {
			d := large(1200)
			for i := range d {
				d[i] = byte(i * 7)
			}
			return d
		}()},
		{"IHello", startupDatagram(full(wire.IHello{EPD: epd, Tag: large(16)}.Append))},
		{"IHelloElsewhere", startupDatagram(full(wire.IHello{EPD: crypto.EPDForPeer(PeerID{1}), Tag: large(16)}.Append))},
		{"IHelloIntroduced", startupDatagram(full(wire.IHello{EPD: crypto.EPDForPeer(v.b.PeerID()), Tag: large(16)}.Append))},
		{"ForgedCookie", startupDatagram(full(wire.IIKeying{SessionID: 1, CookieEcho: append(v.cookie(v.x)[:cookieTime], large(24)...), Certificate: large(100), SKIC: large(300)}.Append))},
		{"CookieElsewhere", startupDatagram(full(wire.IIKeying{SessionID: 1, CookieEcho: v.cookie(v.b.addr), Certificate: large(100), SKIC: large(300)}.Append))},
		{"Fragment", startupDatagram(wire.Fragment{More: true, PacketID: 1, Number: 1, Data: large(1100)}.Append)},
		{"ManyChunks", startupDatagram(func(b []byte) []byte { return append(b, slices.Repeat([]byte{0x70, 0, 1, 0}, 280)...) })},
		{"Large", startupDatagram(func(b []byte) []byte { return append(b, large(maxStartupDatagram-50)...) })},
		{"ForgedInSession", func() []byte {
			d := v.sealed(wire.Header{Mode: wire.ModeResponder}, wire.Ping{Message: large(1100)}.Append(nil))
			d[len(d)-1] ^= 1
			return d
		}()},
	} {
		b.Run(c.name, func(b *testing.B) {
			d, buf := make([]byte, len(c.d)), make([]byte, 4000)
			b.ReportAllocs()
			for i := range b.N {
				copy(d, c.d)
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)}), 9)
				v.a.HandleDatagram(v.n.now, from, d)
				for {
					if _, ok := v.a.Transmit(v.n.now, buf); !ok {
						break
					}
				}
			}
		})
	}
}
