package transport

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// Placeholders in fuzzed chunks for what nobody can guess and an onlooker knows.
var (
	fuzzTag    = bytes.Repeat([]byte("T"), tagSize)    // of the opening session
	fuzzCookie = bytes.Repeat([]byte("C"), cookieSize) // valid for the far end's address
	fuzzCert   = bytes.Repeat([]byte("P"), 16)         // the far end's certificate, with a length in front
)

// fuzzStates is in how many states of a session FuzzPacket tries its packets.
const fuzzStates = 9

// FuzzPacket feeds whole packets, sealed as a far end or an onlooker can seal
// them, into an endpoint in each state. Nothing may panic, and the session that
// is not addressed stays unharmed.
func FuzzPacket(f *testing.F) {
	field := func(b []byte) []byte { return append([]byte{byte(len(b))}, b...) }
	for state := range byte(fuzzStates) {
		f.Add(state, []byte{0x10, 0, 8, 0x80, 2, 1, 1, 1, 0, 0, 'x'})
		f.Add(state, []byte{0x51, 0, 5, 2, 127, 1, 0, 0, 0x01, 0, 0})
		f.Add(state, wire.Ping{Message: []byte("M234567890123456789012345")}.Append(nil))
		f.Add(state, wire.CloseAck{}.Append(wire.Close{}.Append(nil)))
		f.Add(state, wire.FlowException{FlowID: 2, Code: 5}.Append(wire.BufferProbe{FlowID: 2}.Append(nil)))
		f.Add(state, wire.IHello{EPD: []byte{1, 0x0a}, Tag: []byte("tag")}.Append(nil))
		f.Add(state, wire.RHello{TagEcho: fuzzTag, Cookie: []byte("c"), Certificate: []byte{1, 0x0a}}.Append(nil))
		f.Add(state, wire.RHello{TagEcho: fuzzTag, Cookie: fuzzCookie, Certificate: fuzzCert}.Append(nil))
		f.Add(state, wire.Redirect{TagEcho: fuzzTag}.Append(wire.Redirect{TagEcho: fuzzTag, List: []byte{0, 10, 0, 0, 1, 7, 143}}.Append(nil)))
		f.Add(state, wire.IIKeying{SessionID: 5, CookieEcho: fuzzCookie, Certificate: []byte{1, 0x0a}}.Append(nil))
		f.Add(state, rawChunk{wire.ChunkIIKeying, slices.Concat([]byte{0, 0, 0, 9}, field(fuzzCookie), fuzzCert, field([]byte("skic")), []byte("X"))}.Append(nil))
		f.Add(state, wire.RIKeying{SessionID: 5, SKRC: []byte{1}}.Append(nil))
		f.Add(state, wire.CookieChange{OldCookie: fuzzCookie, NewCookie: []byte("d")}.Append(nil))
		f.Add(state, wire.Fragment{PacketID: 1, Data: []byte("\x03\x30\x00\x01\x00")}.Append(nil))
	}
	f.Fuzz(fuzzPacket)
}

func fuzzPacket(t *testing.T, state byte, chunks []byte) {
	if len(chunks) > 1000 {
		return
	}
	n, a, b := pair(t, 1)
	c := n.add("c", modern, func(c *Config) { c.Introduce = true })
	fill := func(tag []byte) []byte {
		out := bytes.ReplaceAll(chunks, fuzzCookie, a.cookies.append(nil, n.now, b.addr))
		out = bytes.ReplaceAll(out, fuzzCert, element.AppendField(nil, b.cfg.Identity.Certificate()))
		if tag != nil {
			out = bytes.ReplaceAll(out, fuzzTag, tag)
		}
		return out
	}
	sealed := func(k *crypto.SessionKeys, mode wire.Mode, sid uint32) []byte {
		buf := make([]byte, 4+k.Headroom(), 2000)
		return k.Seal(append(wire.AppendHeader(buf, wire.Header{Mode: mode, HasTimestamp: true, Timestamp: 3}), fill(nil)...), sid)
	}
	startup := func(sid uint32, tag []byte) []byte {
		k := crypto.DefaultKeys()
		buf := make([]byte, 4+k.Headroom(), 2000)
		return k.Seal(append(wire.AppendHeader(buf, wire.Header{Mode: wire.ModeStartup}), fill(tag)...), sid)
	}
	dial := func(x, y *testNode) *Session {
		s, err := x.Dial(n.now, y.PeerID(), []netip.AddrPort{y.addr})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	keep, _ := n.connect(c, a)
	switch state % fuzzStates {
	case 0: // strangers
		a.HandleDatagram(n.now, b.addr, startup(0, nil))
		c.HandleDatagram(n.now, b.addr, startup(0, nil))
	case 1: // opening
		s := dial(a, b)
		tag := s.startup.tag
		a.HandleDatagram(n.now, b.addr, startup(0, tag[:]))
		a.HandleDatagram(n.now, b.addr, startup(s.ID(), tag[:]))
	case 2: // keying
		n.drop = func(from, to netip.AddrPort, _ []byte) bool { return from == b.addr && b.Stats().DatagramsSent > 1 }
		s := dial(a, b)
		n.run(25 * time.Millisecond)
		a.HandleDatagram(n.now, b.addr, startup(s.ID(), nil))
		n.drop = nil
	case 3, 4, 5: // open, and closing from either side
		sa, sb := n.connect(a, b)
		fl := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		send(t, fl, n.now, numbered(1, 5000), SendOptions{Deadline: n.now.Add(50 * time.Millisecond)})
		n.run(15 * time.Millisecond)
		d, again := sealed(sb.keys, wire.ModeResponder, sb.far), sealed(sb.keys, wire.ModeResponder, sb.far)
		switch state % fuzzStates {
		case 4:
			sa.Close(n.now)
		case 5:
			sa.handleClose(n.now)
		}
		a.HandleDatagram(n.now, b.addr, d)
		a.HandleDatagram(n.now, addr("10.9.9.9:9"), again)
	case 6: // answering
		a.work = time.Second
		dial(b, a)
		n.run(35 * time.Millisecond)
		for _, s := range a.pending {
			a.HandleDatagram(n.now, b.addr, startup(s.id, nil))
		}
	case 7: // answered, and not proven
		sb := dial(b, a)
		n.drop = func(from, _ netip.AddrPort, _ []byte) bool { return from == b.addr && sb.State() == StateOpen }
		n.run(60 * time.Millisecond)
		if sb.State() != StateOpen || len(a.pending) != 1 {
			t.Fatalf("the responder is proven, or the initiator not open: %v", sb.State())
		}
		n.drop = nil
		a.HandleDatagram(n.now, addr("10.9.9.9:9"), sealed(sb.keys, wire.ModeInitiator, sb.far))
	case 8: // a packet in two fragments, and a third of something else
		s := dial(a, b)
		tag := s.startup.tag
		p := append(wire.AppendHeader(nil, wire.Header{Mode: wire.ModeStartup}), fill(tag[:])...)
		cut := 1 + len(chunks)%len(p)
		if cut < len(p) {
			for i, piece := range [][]byte{p[:cut], chunks, p[cut:]} {
				if len(piece) == 0 {
					continue
				}
				f := wire.Fragment{More: i < 2, PacketID: 4 + uint64(i&1), Number: uint64(i) / 2, Data: piece}
				a.HandleDatagram(n.now, b.addr, startupDatagram(f.Append))
			}
		}
	}
	n.run(3 * time.Second)
	if keep.State() != StateOpen {
		t.Errorf("another session was harmed: %v", keep.State())
	}
	if len(a.assembler.open) != 0 || a.assembler.bytes != [2]int{} {
		t.Errorf("%d packets are kept in pieces", len(a.assembler.open))
	}
}

// FuzzDatagram feeds raw bytes.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{}, uint32(0))
	f.Add(startupDatagram(wire.IHello{EPD: []byte{1, 0x0a}, Tag: []byte("tag")}.Append), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, id uint32) {
		n, a, x := pair(t, 1)
		n.connect(a, x)
		a.HandleDatagram(n.now, x.addr, slices.Clone(b))
		if len(b) >= 12 { // the same for a session that exists
			d := slices.Clone(b)
			sid := a.Session(x.PeerID()).ID() ^ id&1
			for i := range 4 {
				d[i] = byte(sid>>(24-8*i)) ^ d[4+i] ^ d[8+i]
			}
			a.HandleDatagram(n.now, x.addr, d)
		}
		n.run(time.Second)
	})
}

// FuzzOperations runs two endpoints through any order of calls.
func FuzzOperations(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(operate)
}

// operate reads calls from ops, three bytes each, and checks what must hold at rest.
func operate(t *testing.T, ops []byte) {
	if len(ops) > 600 {
		return
	}
	n, a, b := pair(t, 1)
	n.loss, n.jitter = 0.1, 5*time.Millisecond
	var sends [2][]*SendFlow
	for len(ops) >= 3 {
		op, x, y := ops[0], int(ops[1]), int(ops[2])
		ops = ops[3:]
		me, other := a, b
		if op&1 != 0 {
			me, other = b, a
		}
		s := me.Session(other.PeerID())
		mine := &sends[op&1]
		var fl *SendFlow
		if len(*mine) > 0 {
			fl = (*mine)[x%len(*mine)]
		}
		switch op >> 1 % 16 {
		case 0:
			if _, err := me.Dial(n.now, other.PeerID(), []netip.AddrPort{other.addr}); err != nil {
				t.Fatal(err)
			}
		case 1, 2:
			if s != nil {
				o := FlowOptions{Metadata: []byte{byte(x)}, Priority: uint8(y), TimeCritical: x&1 == 1}
				if len(me.flows) > 0 && y&1 == 1 {
					o.Reply = me.flows[y%len(me.flows)]
				}
				if g, err := s.OpenFlow(n.now, o); err == nil {
					*mine = append(*mine, g)
				}
			}
		case 3, 4, 5, 6:
			if fl != nil {
				o := SendOptions{Receipt: uint64(y)}
				if y&1 == 1 {
					o.Deadline = n.now.Add(time.Duration(y) * time.Millisecond)
				}
				_ = fl.Send(n.now, numbered(x, x*y), o)
			}
		case 7:
			if fl != nil {
				fl.Close(n.now)
			}
		case 8:
			if fl != nil && y < 64 {
				fl.Abort(n.now)
			}
		case 9:
			if len(me.flows) > 0 {
				me.flows[x%len(me.flows)].Hold(n.now, y&1 == 1)
			}
		case 10:
			if len(me.flows) > 0 && y < 64 {
				me.flows[x%len(me.flows)].Reject(n.now, uint64(y))
			}
		case 11:
			if s != nil && y < 32 {
				s.Close(n.now)
			}
		case 12:
			if s != nil && y < 32 {
				s.Abort(n.now)
			}
		default:
			n.run(time.Duration(x*y) * 20 * time.Microsecond)
		}
	}
	n.loss = 0
	for _, node := range n.nodes {
		for _, r := range node.flows {
			r.Hold(n.now, false)
		}
	}
	n.run(3 * time.Minute)
	for _, node := range n.nodes {
		for _, s := range []*Session{node.Session(a.PeerID()), node.Session(b.PeerID())} {
			if s == nil || s.State() != StateOpen {
				continue
			}
			if got := s.Stats().Outstanding; got != 0 || s.flightHead != nil {
				t.Errorf("%s: %d bytes outstanding at rest", node.name, got)
			}
			for _, slot := range s.send {
				if slot.flow != nil && (slot.flow.Buffered() != 0 || slot.flow.Queued() != 0 || slot.flow.lost != 0) {
					t.Errorf("%s: a flow keeps %d bytes, %d of them unsent", node.name, slot.flow.Buffered(), slot.flow.Queued())
				}
			}
			if s.buffered != 0 {
				t.Errorf("%s: %d bytes received and never delivered", node.name, s.buffered)
			}
		}
	}
}

// The same with more operations than a fuzzer finds the time for in every run.
func TestOperations(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var few [12]byte // repeated operations reach further than random ones
		for i := range few {
			few[i] = byte(rng.Uint32())
		}
		ops := make([]byte, 600)
		for i := range ops {
			ops[i] = few[rng.IntN(1+int(seed)%len(few))]
			if rng.IntN(10) == 0 {
				ops[i] = byte(rng.Uint32())
			}
		}
		operate(t, ops)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
