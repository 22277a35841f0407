package group

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"rtmfp/internal/element"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// captured are the session-init messages of the capture, with the secrets of
// their sessions (reference/groups-vectors.txt).
var captured = []struct{ secret, nonce, message string }{
	{"0240453793ae436d575e46d47af5c0bdba35d505b91ace0273c48732c72779d88fb056a826f7fc48ece6e06ee74b7d1eda411d8dc431ad2ba5aaea0a9098938139b72a81e2de9303edbaa4aa31a0a3f1c690c1a50e880baf294b505c1514254013466b0fdafcf32ad4d2b411aaa9bb1dabae1ae7a2952c10dc65e513b7cab7cc",
		"031a0000021e00410e3dde4e12227e2601583af666629f3a9e09f8d028d4d914b10cf72becdef6167e64949f6fcfeeaa97849cbc348e7ea86aa660f5761db7ec11a039f3117b178e06",
		"014100373633663930653462353234613065303236303532626235363936626431343332343666323663366562306239666133316230643165643339613039323632302101c2ec52352d3fc640145f8219f5b1496296588a2f1cfe0f9659f246b477b88fe82303210fbc1d5e5c2cda1a83c7850fa46b0bf4200a51dc85e8818079660826840f2c4b11"},
	{"0240453793ae436d575e46d47af5c0bdba35d505b91ace0273c48732c72779d88fb056a826f7fc48ece6e06ee74b7d1eda411d8dc431ad2ba5aaea0a9098938139b72a81e2de9303edbaa4aa31a0a3f1c690c1a50e880baf294b505c1514254013466b0fdafcf32ad4d2b411aaa9bb1dabae1ae7a2952c10dc65e513b7cab7cc",
		"021d02410eaaa4823148f3bd119f6d57b056cd5344a630068d460b569fafabf0887418d41b10f3ac04417841dd043af652583158d37def83dba507d03a5d5d887af4ed8708031a020a021e02",
		"01410037363366393065346235323461306530323630353262623536393662643134333234366632366336656230623966613331623064316564333961303932363230210103abf8e2579ab78d732cf2cef01fc8b2ae3341bdfd46a22476024d877a26daa72303210f7cb8fc649a0f4eb14672395028c65553f1e77cd16ad774b780205fab82eeafdf"},
	{"fcd4c2cdcf74a71ed08e84729312d79c18c28a8ef7c9032fc80b7872ce12825f063974b3ac63696c510982413450e0c5bcdddad94e99f77b34401e250692c3dac1edae34581fd6733b4f8d6558d2926f12bf5e25de66cf4cdff3b40b64db8bc14ff016990f44a8a1a250c2f8fe2d30799496e10560415b74abb1c3e80e3992d6",
		"031a0000021e00410ed2039c9735047312bdb3d65c34d3b6be998f2a3e82e3c9f19f65c78c03ec17c70102dfaf47a08457d28a14e5e9a95c1ef34601bffbff6c19278b239f0a52e57d",
		"01410037363366393065346235323461306530323630353262623536393662643134333234366632366336656230623966613331623064316564333961303932363230210119cddcd4348123bc712d80965e2b2b5e8360e2df4e445de5f8c60405be3eb5ac2303210f900c26a7fdabc5214699c07c663e2af92aa9c9057e4e886c3d730d385f9096a2"},
	{"fcd4c2cdcf74a71ed08e84729312d79c18c28a8ef7c9032fc80b7872ce12825f063974b3ac63696c510982413450e0c5bcdddad94e99f77b34401e250692c3dac1edae34581fd6733b4f8d6558d2926f12bf5e25de66cf4cdff3b40b64db8bc14ff016990f44a8a1a250c2f8fe2d30799496e10560415b74abb1c3e80e3992d6",
		"021d02410ed411181f1fca573cd2449378a1fb97fe56e272deb801cf81e180a8cc804a6373439d253eb21fbdc2ff26bc75382fe0d7da6c9d551fded0370f71d80412adc8bd031a020a021e02",
		"0141003736336639306534623532346130653032363035326262353639366264313433323436663236633665623062396661333162306431656433396130393236323021015b5a2985f7b0e5d9ee38f7d877d5cdf432c5277e78809014447f263bb7a643c82303210fbc1d5e5c2cda1a83c7850fa46b0bf4200a51dc85e8818079660826840f2c4b11"},
}

// Proofs that Flash's protocol makes verify here, and what is written here is
// byte for byte what was captured.
func TestInitVectors(t *testing.T) {
	spec, err := ParseSpec(vectorSpec)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range captured {
		// The session nonce, as package transport makes it (RFC 7425 §4.6.5).
		mac := hmac.New(sha256.New, unhex(t, c.secret))
		mac.Write(unhex(t, c.nonce))
		near := [32]byte(mac.Sum(nil))
		msg := unhex(t, c.message)
		m, ok := parseInit(msg)
		if !ok || m.group != spec.ID() || m.features != 0 {
			t.Fatalf("message %d: read as %+v, %v", i, m, ok)
		}
		if !spec.proves(m.proof, near) {
			t.Errorf("message %d: its proof does not verify", i)
		}
		near[0] ^= 1
		if spec.proves(m.proof, near) {
			t.Errorf("message %d: its proof verifies in another session", i)
		}
		if got := m.append(nil); !bytes.Equal(got, msg) {
			t.Errorf("message %d: written as %x, want %x", i, got, msg)
		}
		if id, ok := ParseInitGroupID(msg); !ok || id != spec.ID() {
			t.Errorf("message %d: group id %x, %v", i, id, ok)
		}
	}
}

// So does the one that numbers session flows.
func TestInitNumbers(t *testing.T) {
	m := initMessage{group: [32]byte{1}, proof: [32]byte{2}, receiver: PeerID{3}, features: FeatureBase, number: 300, seen: 5, answers: true}
	b := m.append(nil)
	plain := m
	plain.number = 0
	if !bytes.Equal(b[:len(b)-5], plain.append(nil)) || !bytes.Equal(b[len(b)-5:], []byte{4, 0x11, 0x82, 0x2c, 11}) {
		t.Errorf("got %x", b)
	}
	if got, ok := parseInit(b); !ok || !reflect.DeepEqual(got, m) {
		t.Errorf("read as %+v, %v; want %+v", got, ok, m)
	}
	for _, bad := range []string{"0111", "021100", "03110000", "0311c00005", "0411820001", "03110501"} {
		if got, ok := parseInit(append(plain.append(nil), unhex(t, bad)...)); ok {
			t.Errorf("%s is read as %+v", bad, got)
		}
	}
}

// Our option comes last, where it changes nothing for others.
func TestInitFeatures(t *testing.T) {
	m := initMessage{group: [32]byte{1}, proof: [32]byte{2}, receiver: PeerID{3}, features: FeatureBase | FeatureMulticast}
	b := m.append(nil)
	plain := m
	plain.features = 0
	if !bytes.Equal(b[:len(b)-3], plain.append(nil)) || !bytes.Equal(b[len(b)-3:], []byte{2, 0x10, 5}) {
		t.Errorf("got %x", b)
	}
	if got, ok := parseInit(b); !ok || !reflect.DeepEqual(got, m) {
		t.Errorf("read as %+v, %v; want %+v", got, ok, m)
	}
	for i := 1; i < len(b)-3; i++ {
		if got, ok := parseInit(b[:i]); ok {
			t.Errorf("%d of %d bytes are read as %+v", i, len(b), got)
		}
	}
}

func TestJoinVector(t *testing.T) {
	spec := mustSpec(SpecFields{Multicast: true, Posting: true, ServerChannel: true, MemberUpdates: true, Name: "test"})
	msg := unhex(t, "012115763f90e4b524a0e026052bb5696bd143246f26c6eb0b9fa31b0d1ed39a092620")
	m, ok := parseJoin(msg)
	if !ok || m.group != spec.ID() || m.proven {
		t.Fatalf("read as %+v, %v", m, ok)
	}
	if got := m.append(nil); !bytes.Equal(got, msg) {
		t.Errorf("written as %x, want %x", got, msg)
	}
	// The form of old players has the groupspec itself.
	old := element.AppendOption([]byte{msgJoin}, optJoinSpec, []byte(vectorSpec))
	if id, ok := ParseJoinGroupID(old); !ok || id != spec.ID() {
		t.Errorf("old form: %x, %v; want %x", id, ok, spec.ID())
	}
	proven := joinMessage{group: spec.ID(), proof: [32]byte{9}, proven: true}
	b := proven.append(nil)
	if !bytes.HasPrefix(b, msg) {
		t.Errorf("with a proof: %x does not begin as without", b)
	}
	if got, ok := parseJoin(b); !ok || got != proven {
		t.Errorf("with a proof: read as %+v, %v", got, ok)
	}
}

func TestMemberVector(t *testing.T) {
	msg := unhex(t, "0b900c26a7fdabc5214699c07c663e2af92aa9c9057e4e886c3d730d385f9096a2")
	p, ok := parseMember(msg)
	if !ok || !bytes.Equal(p[:], msg[1:]) || !bytes.Equal(appendMember(nil, p), msg) {
		t.Errorf("read as %x, %v", p, ok)
	}
}

// Reports of the capture, read, checked and written again.
func TestReportVectors(t *testing.T) {
	local := netip.MustParseAddrPort("127.0.0.1:19350")
	for _, c := range []struct {
		msg       string
		reflexive string
		members   []time.Duration // ages
		addresses []int           // how many of each
	}{
		{"0a080d027f000001bf47080a037f0000014b960022210f7cb8fc649a0f4eb14672395028c65553f1e77cd16ad774b780205fab82eeafdf01010a00",
			"127.0.0.1:48967", []time.Duration{time.Second}, []int{0}},
		{"0a080d027f000001878a080a037f0000014b960022210fbc1d5e5c2cda1a83c7850fa46b0bf4200a51dc85e8818079660826840f2c4b11000f0a037f0000014b96027f000001878a00",
			"127.0.0.1:34698", []time.Duration{0}, []int{2}},
		{"0a080d027f000001903b0f0a037f0000014b96027f000001878a0022210f7cb8fc649a0f4eb14672395028c65553f1e77cd16ad774b780205fab82eeafdf00080a037f0000014b960022210f900c26a7fdabc5214699c07c663e2af92aa9c9057e4e886c3d730d385f9096a2000f0a037f0000014b96027f000001903b00",
			"127.0.0.1:36923", []time.Duration{0, 0}, []int{1, 2}},
	} {
		msg := unhex(t, c.msg)
		h, rest, ok := parseReportHeader(msg)
		if !ok || h.notice {
			t.Fatalf("%s: header %+v, %v", c.msg, h, ok)
		}
		if a := unpackAddresses(h.reflexive); len(a) != 1 || a[0].String() != c.reflexive || a[0].Origin != element.OriginObserved {
			t.Errorf("reflexive address %v, want %s", a, c.reflexive)
		}
		if a := unpackAddresses(h.addresses); len(a) == 0 || a[0].AddrPort != local || a[0].Origin != element.OriginRelay {
			t.Errorf("own addresses %v, want %v as a relay first", a, local)
		}
		again := h.append(nil)
		for i := range c.members {
			r, n := consumeReported(rest)
			if n == 0 || r.age != c.members[i] || len(unpackAddresses(r.addresses)) != c.addresses[i] {
				t.Fatalf("member %d: %+v, %d bytes", i, r, n)
			}
			rest = rest[n:]
			again = r.append(again)
		}
		if len(rest) != 0 {
			t.Errorf("%d bytes are left", len(rest))
		}
		if !bytes.Equal(again, msg) {
			t.Errorf("written as %x, want %x", again, msg)
		}
	}
}

func TestBye(t *testing.T) {
	for sent, want := range map[Reason]Reason{ReasonLeaving: ReasonLeft, ReasonParted: ReasonParted, ReasonFull: ReasonRefused} {
		b := appendBye(nil, sent)
		if got, ok := parseBye(b); !ok || got != want {
			t.Errorf("%v (%x): got %v, %v; want %v", sent, b, got, ok, want)
		}
	}
	if _, ok := parseBye([]byte{msgBye}); ok {
		t.Error("a farewell without a reason was taken")
	}
}

func TestMergeAddresses(t *testing.T) {
	pack := func(list ...string) (b []byte) {
		for _, s := range list {
			b = element.AppendAddress(b, element.Address{AddrPort: netip.MustParseAddrPort(s), Origin: element.OriginObserved})
		}
		return b
	}
	got := mergeAddresses(pack("10.0.0.1:1"), pack("10.0.0.1:1", "0.0.0.0:5", "10.0.0.2:0", "225.0.0.1:9", "[2001:db8::1]:7", "10.0.0.3:3"))
	if want := pack("10.0.0.1:1", "[2001:db8::1]:7", "10.0.0.3:3"); !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", unpackAddresses(got), unpackAddresses(want))
	}
	many := pack("1.0.0.1:1", "1.0.0.2:1", "1.0.0.3:1", "1.0.0.4:1", "1.0.0.5:1", "1.0.0.6:1", "1.0.0.7:1", "1.0.0.8:1", "1.0.0.9:1")
	if got := unpackAddresses(mergeAddresses(nil, many)); len(got) != maxAddresses {
		t.Errorf("%d addresses kept, want %d", len(got), maxAddresses)
	}
	if got := mergeAddresses(nil, []byte{2, 1, 2}); len(got) != 0 {
		t.Errorf("a truncated address gave %x", got)
	}
}

func FuzzMessages(f *testing.F) {
	for _, c := range captured {
		f.Add(unhex(f, c.message))
	}
	f.Add(unhex(f, "012115763f90e4b524a0e026052bb5696bd143246f26c6eb0b9fa31b0d1ed39a092620"))
	f.Add(unhex(f, "0a080d027f000001878a080a037f0000014b960022210fbc1d5e5c2cda1a83c7850fa46b0bf4200a51dc85e8818079660826840f2c4b11000f0a037f0000014b96027f000001878a00"))
	f.Add(appendBye(nil, ReasonFull))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if m, ok := parseInit(msg); ok {
			if again, ok := parseInit(m.append(nil)); !ok || !reflect.DeepEqual(again, m) {
				t.Fatalf("init %+v is read again as %+v, %v", m, again, ok)
			}
		}
		if m, ok := parseJoin(msg); ok {
			if again, ok := parseJoin(m.append(nil)); !ok || again.group != m.group || again.proven != m.proven {
				t.Fatalf("join %+v is read again as %+v, %v", m, again, ok)
			}
		}
		if p, ok := parseMember(msg); ok && !bytes.HasPrefix(msg, appendMember(nil, p)) {
			t.Fatalf("member %x", p)
		}
		parseBye(msg)
		if _, rest, ok := parseReportHeader(msg); ok {
			for len(rest) > 0 {
				r, n := consumeReported(rest)
				if n == 0 {
					break
				}
				if r.age < 0 || len(unpackAddresses(mergeAddresses(nil, r.addresses))) > maxAddresses {
					t.Fatalf("member %+v", r)
				}
				rest = rest[n:]
			}
		}
	})
}

// Any sequence of flows and messages from the far end does no harm: nothing
// panics, and what is counted twice stays equal.
func FuzzFarEnd(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, uint64(1))
	f.Add(bytes.Repeat([]byte{3, 0, 1, 7, 2, 5}, 20), uint64(2))
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		net := newTestNet(t, seed%16, 10*time.Millisecond)
		a := net.add(func(c *Config) { c.Introduce = true })
		b := net.add(nil)
		b.bootstrap(a)
		net.run(time.Second)
		// An attacker with a session to a, and one that knows the spec.
		evil := net.add(nil)
		evil.connect(a, func(*testEnd) {})
		net.run(time.Second)
		var flows []FlowID
		for _, op := range script[:min(len(script), 200)] {
			e := evil.endTo(a)
			if e == nil {
				evil.connect(a, func(*testEnd) {})
				net.run(100 * time.Millisecond)
				continue
			}
			_, far := evil.Nonces(e.id)
			init := initMessage{group: testSpec.ID(), proof: testSpec.proofFor(far), receiver: a.peer, features: Features(op)}
			if op >= 128 {
				init.number, init.seen, init.answers = uint16(1+rng.IntN(30)), uint16(rng.IntN(30)), op&64 != 0
			}
			join := joinMessage{group: testSpec.ID(), proof: testSpec.proofFor(far), proven: true}
			send := func(msg []byte) {
				if len(flows) > 0 {
					evil.Send(net.now, flows[rng.IntN(len(flows))], msg, 0)
				}
			}
			switch op % 12 {
			case 0:
				flows = append(flows, evil.OpenFlow(net.now, e.id, MetadataSession, 0, ClassControl))
			case 1:
				flows = append(flows, evil.OpenFlow(net.now, e.id, MetadataChannel, 0, ClassControl))
			case 2:
				send(init.append(nil))
			case 3:
				send([]byte{msgBegin})
			case 4:
				send(join.append(nil))
			case 5:
				send([]byte{msgCloseRequest})
			case 6:
				send(appendBye(nil, ReasonLeaving))
			case 7:
				h := reportHeader{notice: op&16 != 0}
				msg := h.append(nil)
				for i := range 40 {
					r := reported{peer: PeerID{op, byte(i), byte(rng.Uint32())}, age: time.Duration(op) * time.Second}
					msg = r.append(msg)
				}
				send(msg)
			case 8:
				if len(flows) > 0 {
					evil.CloseFlow(net.now, flows[rng.IntN(len(flows))])
				}
			case 9:
				init.proof[0] ^= 1
				send(init.append(nil))
			case 10:
				evil.HangUp(net.now, e.id)
				flows = nil
			case 11:
				net.run(time.Duration(op) * 20 * time.Millisecond)
			}
			net.run(time.Duration(op%3) * 7 * time.Millisecond)
		}
		net.run(30 * time.Second)
		for _, x := range []*testNode{a, b} {
			checkInvariants(t, x)
			if n := x.g.book.loose.Len(); n > x.g.cfg.MaxKnown {
				t.Fatalf("%d members known, limit %d", n, x.g.cfg.MaxKnown)
			}
		}
		if a.g.NeighborCount() < 1 {
			t.Fatal("the attacker parted the two members")
		}
	})
}
