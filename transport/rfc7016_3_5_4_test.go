package transport

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// tell makes b get a packet of a's end of the session from an address, and
// returns what it answers, with where to.
func (w *watched) tell(from netip.AddrPort, chunks ...interface{ Append([]byte) []byte }) (answers []told) {
	p := wire.AppendHeader(make([]byte, 4+w.sa.keys.Headroom(), 9000), wire.Header{Mode: wire.ModeInitiator})
	for _, c := range chunks {
		p = c.Append(p)
	}
	w.b.cfg.Trace.Sent = func(_ clock.Time, _ *Session, to netip.AddrPort, _ int) {
		answers = append(answers, told{to: to})
	}
	w.forget()
	w.b.HandleDatagram(w.now, from, w.sa.keys.Seal(p, w.sa.far))
	w.b.turn()
	w.b.cfg.Trace.Sent = nil
	for i := range answers {
		answers[i].sighting = w.fromB[i]
	}
	return answers
}

type told struct {
	sighting
	to netip.AddrPort
}

// spyPings keeps the type and message of each Ping and Ping Reply that b sends.
func spyPings(w *watched) *[][]byte {
	w.run(time.Second) // the handshake ends with a Ping
	var messages [][]byte
	before := w.b.cfg.Trace.PacketSent
	w.b.cfg.Trace.PacketSent = func(now clock.Time, p TracedPacket) {
		before(now, p)
		_, n := wire.ConsumeHeader(p.Packet)
		for rest := p.Packet[n:]; ; {
			typ, b, n := wire.ConsumeChunk(rest)
			if n == 0 {
				return
			}
			rest = rest[n:]
			if typ == wire.ChunkPing || typ == wire.ChunkPingReply {
				messages = append(messages, append([]byte{byte(typ)}, b...))
			}
		}
	}
	return &messages
}

// "If an endpoint receives a Ping chunk in a session in the S_OPEN state, it SHOULD
// construct and send a Ping Reply chunk in response if possible, copying the
// message unaltered. The Ping Reply SHOULD be sent as quickly as possible following
// receipt of a Ping." (RFC 7016 §3.5.4)
func TestPingReply(t *testing.T) {
	w := watch(t, nil)
	messages := spyPings(w)
	for _, m := range [][]byte{nil, []byte("hello"), {'M'}, {'P', 1, 2}, bytes.Repeat([]byte{7}, 1000)} {
		*messages = nil
		got := w.tell(w.a.addr, wire.Ping{Message: m})
		want := append([]byte{byte(wire.ChunkPingReply)}, m...)
		if len(got) != 1 || len(*messages) != 1 || !bytes.Equal((*messages)[0], want) {
			t.Errorf("message %.8q: got %d packets, %.8q, want the same message at once", m, len(got), *messages)
		}
	}
	// "if possible": a message that no packet holds is not answered.
	*messages = nil
	w.tell(w.a.addr, wire.Ping{Message: make([]byte, 5000)})
	if len(*messages) != 0 {
		t.Errorf("a message of 5000 bytes: got %d answers", len(*messages))
	}
}

// "A Ping Reply MUST be sent only as a response to a Ping." (RFC 7016 §3.5.4) And
// one that nobody asked for changes nothing.
func TestPingReplyUnasked(t *testing.T) {
	w := watch(t, nil)
	messages := spyPings(w)
	srtt := w.sb.SRTT()
	for _, m := range [][]byte{nil, []byte("x"), {'P', 9, 9}, append([]byte{'M'}, make([]byte, mobilitySize-1)...)} {
		w.tell(w.a.addr, wire.PingReply{MessageEcho: m})
	}
	w.run(time.Second)
	if len(*messages) != 0 || w.sb.SRTT() != srtt || w.sb.FarAddr() != w.a.addr || int(w.sb.mtu) != w.b.cfg.MTU {
		t.Errorf("got %q, round trip %v, MTU %d", *messages, w.sb.SRTT(), w.sb.mtu)
	}
}

// "If used for these purposes, a Keepalive Ping SHOULD have an empty message. A
// Keepalive Ping SHOULD NOT be sent more often than once per ERTO. If a
// corresponding Ping Reply is not received within ERTO of sending the Ping, ERTO
// SHOULD be increased" (RFC 7016 §3.5.4.1). "An endpoint may declare a session to be
// defunct and dead after a persistent failure by the far end to return Ping
// Replies".
func TestKeepalivePings(t *testing.T) {
	w := watch(t, nil)
	messages := spyPings(w)
	var at []clock.Time
	var ertos []time.Duration
	before := w.b.cfg.Trace.PacketSent
	w.b.cfg.Trace.PacketSent = func(now clock.Time, p TracedPacket) {
		n := len(*messages)
		if before(now, p); len(*messages) > n {
			at, ertos = append(at, now), append(ertos, w.sb.ERTO())
		}
	}
	w.a.dead = true
	w.run(30 * time.Second)
	if len(at) < 4 {
		t.Fatalf("pings: got %d, want some", len(at))
	}
	for i, m := range *messages {
		if !bytes.Equal(m, []byte{byte(wire.ChunkPing)}) {
			t.Errorf("ping %d: got %q, want an empty message", i, m)
		}
		if i == 0 {
			continue
		}
		if gap := at[i].Sub(at[i-1]); gap < ertos[i-1] {
			t.Errorf("ping %d came %v after the one before, ERTO was %v", i, gap, ertos[i-1])
		}
		if ertos[i] <= ertos[i-1] {
			t.Errorf("ping %d: ERTO %v, was %v before", i, ertos[i], ertos[i-1])
		}
	}
	if w.sb.State() != StateClosed || len(w.b.closed) != 1 {
		t.Errorf("state after 30 s of silence: got %v, want the session given up", w.sb.State())
	}
}

// The conditions of RFC 7016 §3.5.4.2 for a check of a new address, and for what it
// takes for an answer.
func TestMobilityCheck(t *testing.T) {
	elsewhere := netip.MustParseAddrPort("198.51.100.9:9")
	third := netip.MustParseAddrPort("198.51.100.9:10")
	check := func(t *testing.T, w *watched, messages *[][]byte) []byte {
		t.Helper()
		*messages = nil
		got := w.tell(elsewhere, wire.BufferProbe{FlowID: 99})
		if len(got) != 1 || len(*messages) != 1 || got[0].to != elsewhere || (*messages)[0][0] != byte(wire.ChunkPing) {
			t.Fatalf("got %d packets, %q, want a Ping to the new address alone", len(got), *messages)
		}
		return (*messages)[0][1:]
	}
	for _, c := range []struct {
		name  string
		from  netip.AddrPort
		wait  time.Duration
		alter func(m []byte) []byte
		moved bool
	}{
		{"as it was asked", elsewhere, 0, nil, true},
		// "the timestamp in the message is not more than 120 seconds in the past"
		{"after 119 s", elsewhere, 119 * time.Second, nil, true},
		{"after 121 s", elsewhere, 121 * time.Second, nil, false},
		// "plus the source address of the packet containing this Ping Reply"
		{"from a third address", third, 0, nil, false},
		{"from the old address", netip.AddrPort{}, 0, nil, false},
		// "it has this end's expected marking"
		{"another marking", elsewhere, 0, func(m []byte) []byte { m[0] = 'N'; return m }, false},
		{"another time", elsewhere, 0, func(m []byte) []byte {
			binary.BigEndian.PutUint64(m[1:], binary.BigEndian.Uint64(m[1:])+1)
			return m
		}, false},
		{"another hash", elsewhere, 0, func(m []byte) []byte { m[len(m)-1] ^= 1; return m }, false},
		{"truncated", elsewhere, 0, func(m []byte) []byte { return m[:len(m)-1] }, false},
		{"longer", elsewhere, 0, func(m []byte) []byte { return append(m, 0) }, false},
	} {
		w := watch(t, func(c *Config) { c.RetransmitLimit = 10 * time.Minute })
		messages := spyPings(w)
		m := check(t, w, messages)
		if c.wait > 0 {
			w.run(c.wait)
		}
		if c.alter != nil {
			m = c.alter(bytes.Clone(m))
		}
		from := c.from
		if !from.IsValid() {
			from = w.a.addr
		}
		w.tell(from, wire.PingReply{MessageEcho: m})
		if moved := w.sb.FarAddr() == elsewhere; moved != c.moved || !moved && w.sb.FarAddr() != w.a.addr {
			t.Errorf("%s: far address %v, want it moved: %v", c.name, w.sb.FarAddr(), c.moved)
		}
	}
	// "MOB_TX_TS is at least one second in the past", and "the timestamp in the
	// message is greater than MOB_RX_TS".
	w := watch(t, nil)
	messages := spyPings(w)
	first := check(t, w, messages)
	w.run(900 * time.Millisecond)
	*messages = nil
	if w.tell(third, wire.BufferProbe{FlowID: 99}); len(*messages) != 0 {
		t.Errorf("a second check within a second: %q", *messages)
	}
	w.run(200 * time.Millisecond)
	second := check(t, w, messages)
	w.tell(elsewhere, wire.PingReply{MessageEcho: second})
	w.tell(w.a.addr, wire.BufferProbe{FlowID: 99})
	w.sb.addr = w.a.addr
	w.tell(elsewhere, wire.PingReply{MessageEcho: first})
	if w.sb.FarAddr() != w.a.addr {
		t.Error("an answer that is older than one that was taken moved the session")
	}
}

// "The near end SHOULD verify that the far end is definitively at the new address
// before changing DESTADDR." (RFC 7016 §3.5.3) Until then everything goes to the old
// one; and a packet that is not valid asks for nothing.
func TestAddressIsVerifiedFirst(t *testing.T) {
	w := watch(t, nil)
	elsewhere := netip.MustParseAddrPort("198.51.100.9:9")
	for _, a := range w.tell(elsewhere, wire.UserData{FlowID: 5, Sequence: 1, Options: first, Data: []byte("x")}) {
		ping := len(a.order) > 0 && a.order[0] == wire.ChunkPing
		if (a.to == elsewhere) != ping {
			t.Errorf("%v was sent to %v", a.order, a.to)
		}
	}
	before := w.b.Stats().DatagramsSent
	w.b.HandleDatagram(w.now, netip.MustParseAddrPort("203.0.113.1:1"), make([]byte, 100))
	w.b.turn()
	if got := w.b.Stats().DatagramsSent - before; got != 0 {
		t.Errorf("a packet that is not valid was answered by %d", got)
	}
}

// "sending a probe packet comprising one of the Padding chunk types (type 0x00 or
// 0xff) and a Ping. The Ping chunk SHOULD come after the Padding chunk, to guard
// against a false positive response in case the probe packet is truncated."
// (RFC 7016 §3.5.4.3)
func TestProbeIsPaddedInFront(t *testing.T) {
	w := watch(t, nil)
	buf := make([]byte, 2000)
	n := w.sa.buildProbe(w.now, buf, 1452)
	p, err := w.sb.keys.Open(buf[:n])
	if err != nil || n > 1452 || n < 1452-16 {
		t.Fatalf("a probe of %d bytes: %v", n, err)
	}
	_, at := wire.ConsumeHeader(p)
	if p[at] != 0 {
		t.Errorf("first chunk: got type %#x, want padding", p[at])
	}
	typ, m, size := wire.ConsumeChunk(p[at:])
	if typ != wire.ChunkPing || at+size != len(p) || m[0] != mtuMark {
		t.Errorf("got chunk %#x up to %d of %d, want a Ping at the end", typ, at+size, len(p))
	}
}
