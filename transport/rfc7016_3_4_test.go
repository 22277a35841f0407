package transport

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// RFC 7016 §3.4, packet fragmentation.

// "When an RTMFP packet is unavoidably larger than the path MTU (such as a
// startup packet containing an RHello or IIKeying chunk with a large
// certificate), it can be fragmented into segments that do not exceed the path
// MTU". IIKeying, RHello, and RIKeying cross a small path, in and out of order,
// and with losses.
func TestRFC7016_3_4_LargeKeyingCrossesSmallPaths(t *testing.T) {
	legacyGroups := []crypto.DHGroup{crypto.Group16, crypto.Group14, crypto.Group5, crypto.Group2}
	for _, c := range []struct {
		name    string
		options crypto.IdentityOptions
		policy  crypto.Policy
		mtu     int
		cut     []wire.ChunkType // what must have been cut
	}{
		{"hybrid", crypto.IdentityOptions{}, crypto.Policy{Hybrid: crypto.HybridRequire}, 1200, []wire.ChunkType{wire.ChunkIIKeying}},
		{"hybrid, signed", crypto.IdentityOptions{Sign: true}, crypto.Policy{Hybrid: crypto.HybridRequire}, 1200, []wire.ChunkType{wire.ChunkIIKeying, wire.ChunkRIKeying}},
		{"hybrid, small path", crypto.IdentityOptions{Sign: true}, crypto.Policy{Hybrid: crypto.HybridRequire}, 576, []wire.ChunkType{wire.ChunkIIKeying, wire.ChunkRIKeying}},
		{"every group", crypto.IdentityOptions{Modern: true, Sign: true, Groups: legacyGroups}, crypto.Policy{AllowLegacy: true, Hybrid: crypto.HybridRequire}, 576,
			[]wire.ChunkType{wire.ChunkRHello, wire.ChunkIIKeying, wire.ChunkRIKeying}},
		{"legacy", crypto.IdentityOptions{Groups: legacyGroups}, crypto.Policy{AllowLegacy: true}, 576, []wire.ChunkType{wire.ChunkRHello, wire.ChunkIIKeying}},
	} {
		for _, loss := range []float64{0, 0.2} {
			t.Run(fmt.Sprintf("%s, loss %v", c.name, loss), func(t *testing.T) {
				n := newNetwork(t, 3)
				n.mtu, n.loss, n.jitter = c.mtu, loss, 15*time.Millisecond
				set := func(cfg *Config) { cfg.MTU, cfg.Policy = c.mtu, c.policy }
				a, b := n.add("a", c.options, set), n.add("b", c.options, set)
				cut := map[wire.ChunkType]bool{}
				n.drop = func(_, _ netip.AddrPort, d []byte) bool {
					if f, ok := fragmentIn(d); ok && f.Number == 0 {
						_, k := wire.ConsumeHeader(f.Data)
						cut[wire.ChunkType(f.Data[k])] = true
					}
					return false
				}
				s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
				if err != nil {
					t.Fatal(err)
				}
				n.until(30*time.Second, func() bool { return s.State() == StateOpen && b.Session(a.PeerID()) != nil })
				for _, typ := range c.cut {
					if !cut[typ] {
						t.Errorf("chunk %#x was not fragmented", typ)
					}
				}
				n.run(2 * time.Second)
				for _, node := range n.nodes {
					if len(node.assembler.open) != 0 || node.assembler.bytes != [2]int{} {
						t.Errorf("%s keeps %d packets in pieces, %v bytes", node.name, len(node.assembler.open), node.assembler.bytes)
					}
				}
			})
		}
	}
}

// fragmentIn returns the Packet Fragment in a datagram under the default key.
func fragmentIn(d []byte) (wire.Fragment, bool) {
	p, err := crypto.DefaultKeys().Open(append([]byte(nil), d...))
	if err != nil {
		return wire.Fragment{}, false
	}
	h, n := wire.ConsumeHeader(p)
	if n == 0 || h.Mode != wire.ModeStartup {
		return wire.Fragment{}, false
	}
	typ, payload, m := wire.ConsumeChunk(p[n:])
	if m == 0 || typ != wire.ChunkFragment {
		return wire.Fragment{}, false
	}
	return wire.ParseFragment(payload)
}

// "a sender SHOULD NOT send more than 4380 bytes nor more than four packets per
// distinct endpoint every 200 ms."
func TestRFC7016_3_4_Rate(t *testing.T) {
	n := newNetwork(t, 1)
	big := crypto.IdentityOptions{Modern: true, Sign: true, Groups: []crypto.DHGroup{crypto.Group16, crypto.Group14, crypto.Group5, crypto.Group2}}
	set := func(cfg *Config) {
		cfg.MTU, cfg.Policy = 576, crypto.Policy{AllowLegacy: true, Hybrid: crypto.HybridRequire}
	}
	a, b := n.add("a", big, set), n.add("b", big, set)
	type sent struct {
		at   clock.Time
		size int
	}
	var all []sent
	n.drop = func(from, _ netip.AddrPort, d []byte) bool {
		_, ok := fragmentIn(d)
		if ok && from == a.addr {
			all = append(all, sent{n.now, len(d)})
		}
		return ok && from == b.addr && len(all) > 0 // no RIKeying: the IIKeying is repeated
	}
	if _, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr}); err != nil {
		t.Fatal(err)
	}
	n.run(20 * time.Second)
	if len(all) < 12 {
		t.Fatalf("got %d fragments, want those of several IIKeyings", len(all))
	}
	for i := range all {
		packets, bytes := 0, 0
		for _, s := range all[i:] {
			if s.at.Sub(all[i].at) < fragmentPause {
				packets++
				bytes += s.size
			}
		}
		if packets > 4 || bytes > 4380 {
			t.Errorf("after %v: %d packets and %d bytes within 200 ms", all[i].at.Sub(all[0].at), packets, bytes)
		}
	}
}

// The rules for putting packets together.
func TestRFC7016_3_4_Reassembly(t *testing.T) {
	packet := func(size int) []byte { // an IHello that nobody here is looked for by
		b := wire.AppendHeader(nil, wire.Header{Mode: wire.ModeStartup})
		return wire.IHello{EPD: crypto.EPDForPeer(PeerID{9}), Tag: make([]byte, 16)}.Append(b)[:size:size]
	}
	type piece struct {
		id, number uint64
		from       int // of which of two addresses
		data       string
		last       bool
		after      time.Duration // before it comes
	}
	first := string(packet(20)) // header and the beginning of an IHello
	rest := string(packet(40)[20:])
	for _, c := range []struct {
		rule   string
		pieces []piece
		want   string // the packet, "" for none
		why    Drop   // counted, drops for none
		kept   int    // packets in pieces afterwards
	}{
		{"concatenating … in contiguous ascending order, starting from index 0 through and including the final fragment",
			[]piece{{number: 0, data: first}, {number: 1, data: rest, last: true}}, first + rest, drops, 0},
		{"in any order of arrival",
			[]piece{{number: 1, data: rest, last: true}, {number: 0, data: first}}, first + rest, drops, 0},
		{"identify the packets by the socket address",
			[]piece{{number: 0, data: first}, {from: 1, number: 1, data: rest, last: true}}, "", drops, 2},
		{"as well as the indicated packetID",
			[]piece{{number: 0, data: first}, {id: 1, number: 1, data: rest, last: true}}, "", drops, 2},
		{"A packet is progressing if at least one new fragment for it was received in the last second",
			[]piece{{number: 0, data: first}, {number: 1, data: rest, last: true, after: 1100 * time.Millisecond}}, "", DropAssembly, 1},
		{"progressing",
			[]piece{{number: 0, data: first}, {number: 1, data: "x", after: 900 * time.Millisecond}, {number: 2, data: "y", last: true, after: 900 * time.Millisecond}}, first + "xy", drops, 0},
		{"a fragment that was received is not new",
			[]piece{{number: 0, data: first}, {number: 0, data: first, after: 900 * time.Millisecond}, {number: 1, data: rest, last: true, after: 900 * time.Millisecond}}, "", DropAssembly, 1},
		{"MUST discard a Packet Fragment chunk having an empty packetFragment field",
			[]piece{{number: 0, data: first}, {number: 1, data: "", last: true}}, "", DropChunk, 1},
		{"two fragments with one number and different bytes",
			[]piece{{number: 0, data: first}, {number: 1, data: "x"}, {number: 1, data: "y"}, {number: 2, data: "z", last: true}}, first + "xz", DropFragment, 0},
		{"a fragment behind the last one",
			[]piece{{number: 0, data: first}, {number: 2, data: "x", last: true}, {number: 3, data: "y"}}, "", DropFragment, 0},
		{"a last fragment before others",
			[]piece{{number: 0, data: first}, {number: 3, data: "x"}, {number: 2, data: "y", last: true}}, "", DropFragment, 0},
		{"a second last fragment",
			[]piece{{number: 0, data: first}, {number: 2, data: "x", last: true}, {number: 1, data: "y", last: true}}, "", DropFragment, 0},
		{"limit the number … of each buffer",
			[]piece{{number: 0, data: first}, {number: maxFragments, data: "x", last: true}}, "", DropFragment, 0},
		{"limit the … size of each buffer",
			[]piece{{number: 0, data: first}, {number: 1, data: string(make([]byte, 5000))}, {number: 2, data: string(make([]byte, 5000)), last: true}}, "", DropFragment, 0},
		{"a packet that is no packet of the handshake",
			[]piece{{number: 0, data: "\x01whatever it is"}}, "", DropHeader, 0},
		{"nor a chunk that may be large",
			[]piece{{number: 0, data: "\x03\x0c\x00\x00"}}, "", DropChunk, 0},
	} {
		_, a, _ := pair(t, 1)
		e := a.Endpoint
		now := clock.Time(time.Hour)
		got := ""
		for _, p := range c.pieces {
			now = now.Add(p.after)
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(p.from)}), 5)
			chunk := wire.Fragment{More: !p.last, PacketID: p.id, Number: p.number, Data: []byte(p.data)}.Append(nil)
			f, ok := wire.ParseFragment(chunk[wire.ChunkHeaderSize:])
			if !ok {
				e.drop(from, DropChunk)
				continue
			}
			b, _ := e.handleFragment(now, from, 0, f, len(chunk))
			got += string(b)
		}
		if got != c.want || len(e.assembler.open) != c.kept {
			t.Errorf("%s: got %q and %d packets in pieces, want %q and %d", c.rule, got, len(e.assembler.open), c.want, c.kept)
		}
		for why, count := range e.stats.Dropped {
			if (count != 0) != (Drop(why) == c.why) {
				t.Errorf("%s: %d dropped as %v, want %v only", c.rule, count, Drop(why), c.why)
			}
		}
		e.Advance(now.Add(time.Minute))
		if len(e.assembler.open) != 0 || e.assembler.bytes != [2]int{} || e.assembler.next() != clock.Never {
			t.Errorf("%s: after a minute %d packets and %v bytes are kept", c.rule, len(e.assembler.open), e.assembler.bytes)
		}
	}
}

// "A receiver SHOULD allow up to 60 seconds to completely receive a fragmented
// packet for which progress is being made."
func TestRFC7016_3_4_Lifetime(t *testing.T) {
	_, a, _ := pair(t, 1)
	from := netip.MustParseAddrPort("192.0.2.1:5")
	start := clock.Time(time.Hour)
	last := clock.Time(0)
	for i := range 14 { // from behind, so that the limit on fragments is not in the way
		for k := range 9 {
			now := start.Add(time.Duration(i*9+k) * 500 * time.Millisecond)
			a.handleFragment(now, from, 0, wire.Fragment{More: true, PacketID: 1, Number: uint64(15 - i), Data: []byte{1}}, 30)
			if k == 0 && len(a.assembler.open) == 1 {
				last = now
			}
			a.assembler.open[0].progress = now // as if there were more fragments than there may be
		}
	}
	if age := last.Sub(a.assembler.open[0].began); age > fragmentLifetime {
		t.Errorf("a packet in pieces lives for %v, want at most a minute", age)
	}
	if a.stats.Dropped[DropAssembly] != 1 {
		t.Errorf("given up: got %d, want 1", a.stats.Dropped[DropAssembly])
	}
}

// "To avoid resource exhaustion, a receiver SHOULD limit the number of concurrent
// packet reassembly buffers and the size of each buffer." Fragments from
// everywhere take no more than their part, and a packet whose fragments come
// together is put together while they flood in.
func TestRFC7016_3_4_Flood(t *testing.T) {
	n := newNetwork(t, 1)
	set := func(c *Config) { c.Policy.Hybrid = crypto.HybridRequire }
	a, b := n.add("a", crypto.IdentityOptions{Sign: true}, set), n.add("b", crypto.IdentityOptions{Sign: true}, set)
	flood := func() {
		for range 100 {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(n.rng.Uint32()), byte(n.rng.Uint32()), 1, 1}), 9)
			f := wire.Fragment{More: true, PacketID: n.rng.Uint64() >> 40, Number: 1 + n.rng.Uint64()%14, Data: make([]byte, 1000)}
			b.HandleDatagram(n.now, from, startupDatagram(f.Append))
			if got := b.assembler.bytes[0]; got > b.assembler.limit[0] {
				t.Fatalf("unproven fragments take %d bytes, want at most %d", got, b.assembler.limit[0])
			}
		}
	}
	s, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // 100 000 packets per second
		flood()
		n.run(time.Millisecond)
	}
	if s.State() != StateOpen {
		t.Errorf("a hybrid session did not open: %s", n.describe())
	}
	if b.Stats().Dropped[DropAssembly] == 0 || b.Stats().Sessions != 1 {
		t.Errorf("got %d sessions, %d packets given up, want 1 and some", b.Stats().Sessions, b.Stats().Dropped[DropAssembly])
	}
}

// One network takes no more than its part either, and a first fragment with a
// forged cookie, or with a tag of nobody, is not kept at all.
func TestRFC7016_3_4_Bounds(t *testing.T) {
	n, a, b := pair(t, 1)
	from := netip.MustParseAddrPort("192.0.2.1:5")
	for i := range uint64(100) {
		b.handleFragment(n.now, from, 0, wire.Fragment{More: true, PacketID: i, Number: 1, Data: []byte("x")}, 30)
	}
	if got := len(b.assembler.open); got != assembliesPerPrefix[0] {
		t.Errorf("unproven packets of one network: got %d, want %d", got, assembliesPerPrefix[0])
	}
	for i, chunk := range []interface{ Append([]byte) []byte }{
		wire.IIKeying{SessionID: 5, CookieEcho: make([]byte, cookieSize), Certificate: make([]byte, 900)},
		wire.RHello{TagEcho: make([]byte, tagSize), Cookie: make([]byte, 32), Certificate: make([]byte, 900)},
	} {
		p := chunk.Append(wire.AppendHeader(nil, wire.Header{Mode: wire.ModeStartup}))
		a.HandleDatagram(n.now, from, startupDatagram(wire.Fragment{More: true, PacketID: 1, Data: p[:500]}.Append))
		if got := len(a.assembler.open); got != 0 {
			t.Errorf("%d: %d packets are kept for nobody", i, got)
		}
	}
	if st := a.Stats(); st.Dropped[DropCookie] != 1 || st.Dropped[DropState] != 1 {
		t.Errorf("got %d cookies and %d tags refused, want 1 and 1", st.Dropped[DropCookie], st.Dropped[DropState])
	}
}
