package transport

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// capture is a session with rtmfp-cpp that was recorded on loopback
// (docs/interop.md), as far as this package needs it: what rtmfp-cpp sent,
// deciphered, and what came of it. Package crypto opens the datagrams.
type capture struct {
	name        string
	initiator   bool // this end was
	peer        string
	certificate []byte // this end's
	sent        []sentFlow
	received    []receivedFlow
	packets     []capturedPacket
}

type sentFlow struct {
	metadata    []byte
	count, size int
}

type receivedFlow struct {
	metadata        []byte
	reply, ordered  bool
	messages, bytes int
	sum             string // SHA-256 over length, colon, and bytes of each message
}

type capturedPacket struct {
	at time.Duration
	b  []byte
}

func readCaptures(t *testing.T) (list []*capture) {
	t.Helper()
	files, err := filepath.Glob("testdata/interop/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("captures: %d files, %v; want at least 10", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &capture{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
		var at time.Duration
		for line := range strings.Lines(string(text)) {
			key, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			f := strings.Split(rest, " ")
			switch key {
			case "role":
				c.initiator = rest == "initiator"
			case "peer":
				c.peer = rest
			case "certificate":
				c.certificate = unhex(t, rest)
			case "sent":
				c.sent = append(c.sent, sentFlow{unhex(t, f[0]), number(t, f[1]), number(t, f[2])})
			case "received":
				c.received = append(c.received, receivedFlow{unhex(t, f[0]), f[1] == "true", f[2] == "true", number(t, f[3]), number(t, f[4]), f[5]})
			case "<":
				at = time.Duration(number(t, f[0])) * time.Microsecond
			case "=":
				c.packets = append(c.packets, capturedPacket{at, unhex(t, rest)})
			}
		}
		list = append(list, c)
	}
	return list
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Every chunk that rtmfp-cpp sent is understood, and is what our own code writes
// for the same content.
func TestInteropChunks(t *testing.T) {
	seen := map[wire.ChunkType]int{}
	for _, c := range readCaptures(t) {
		for i, p := range c.packets {
			_, n := wire.ConsumeHeader(p.b)
			if n == 0 {
				t.Errorf("%s: packet %d has no header: %x", c.name, i, p.b)
				continue
			}
			for rest := p.b[n:]; ; rest = rest[n:] {
				typ, payload, m := wire.ConsumeChunk(rest)
				if m == 0 {
					break
				}
				n = m
				seen[typ]++
				got, want := rewrite(t, c, typ, payload), rest[:m]
				if !bytes.Equal(got, want) {
					t.Errorf("%s: packet %d: chunk\n%x written again is\n%x", c.name, i, want, got)
				}
			}
		}
	}
	for _, typ := range []wire.ChunkType{
		wire.ChunkIHello, wire.ChunkFIHello, wire.ChunkRHello, wire.ChunkRedirect, wire.ChunkIIKeying, wire.ChunkRIKeying,
		wire.ChunkPing, wire.ChunkPingReply, wire.ChunkUserData, wire.ChunkNextUserData, wire.ChunkRangeAck, wire.ChunkException,
		wire.ChunkClose, wire.ChunkCloseAck,
	} {
		if seen[typ] == 0 {
			t.Errorf("no chunk %#x in any capture", uint8(typ))
		}
	}
}

// rewrite parses a chunk and writes it again.
func rewrite(t *testing.T, c *capture, typ wire.ChunkType, p []byte) []byte {
	t.Helper()
	checkCertificate := func(b []byte) {
		t.Helper()
		cert, err := crypto.ParseCertificate(b)
		if err != nil {
			t.Fatalf("%s: certificate %x: %v", c.name, b, err)
		}
		if got := cert.PeerID().String(); got != c.peer {
			t.Errorf("%s: fingerprint %s, want %s", c.name, got, c.peer)
		}
	}
	type chunk interface{ Append([]byte) []byte }
	var x chunk
	var ok bool
	switch typ {
	case wire.ChunkIHello:
		x, ok = wire.ParseIHello(p)
	case wire.ChunkFIHello:
		x, ok = wire.ParseFIHello(p)
	case wire.ChunkRHello:
		var v wire.RHello
		v, ok = wire.ParseRHello(p)
		checkCertificate(v.Certificate)
		x = v
	case wire.ChunkRedirect:
		x, ok = wire.ParseRedirect(p)
	case wire.ChunkCookieChange:
		x, ok = wire.ParseCookieChange(p)
	case wire.ChunkIIKeying:
		var v wire.IIKeying
		v, ok = wire.ParseIIKeying(p)
		checkCertificate(v.Certificate)
		if signed := v.AppendSigned(nil); !bytes.HasPrefix(p, signed) {
			t.Errorf("%s: signed parameters %x are not what begins %x", c.name, signed, p)
		}
		x = v
	case wire.ChunkRIKeying:
		x, ok = wire.ParseRIKeying(p)
	case wire.ChunkPing:
		x, ok = wire.ParsePing(p)
	case wire.ChunkPingReply:
		x, ok = wire.ParsePingReply(p)
	case wire.ChunkUserData:
		x, ok = wire.ParseUserData(p)
	case wire.ChunkNextUserData:
		x, ok = wire.ParseNextUserData(p)
	case wire.ChunkException:
		x, ok = wire.ParseFlowException(p)
	case wire.ChunkBufferProbe:
		x, ok = wire.ParseBufferProbe(p)
	case wire.ChunkClose:
		x, ok = wire.ParseClose(p)
	case wire.ChunkCloseAck:
		x, ok = wire.ParseCloseAck(p)
	case wire.ChunkRangeAck:
		a, good := wire.ParseRangeAck(p)
		if !good {
			break
		}
		var ranges []wire.Range
		for cursor := a.Ranges(); ; {
			r, more := cursor.Next()
			if !more {
				break
			}
			ranges = append(ranges, r)
		}
		return wire.AppendRangeAck(nil, 1500, a.FlowID, a.BufferBytes()/windowBlock, a.Cumulative, ranges)
	}
	if !ok {
		t.Errorf("%s: chunk %#x %x is not understood", c.name, uint8(typ), p)
		return nil
	}
	return x.Append(nil)
}

// Whole sessions: a live endpoint of ours gets, under keys of the day, packet by
// packet and at the recorded times, what rtmfp-cpp sent, and has to deliver the
// messages that were delivered then, answer pings, refuse the flows that were
// refused, greet whom it is told of, and notice the close.
func TestInteropReplay(t *testing.T) {
	for _, c := range readCaptures(t) {
		if c.peer == "" {
			continue // it ends before there is a session
		}
		t.Run(c.name, func(t *testing.T) { c.replay(t) })
	}
}

// replayed is what our end did in a replay.
type replayed struct {
	sums       map[*RecvFlow]hash.Hash
	chunks     map[wire.ChunkType]int
	exceptions []uint64
	greeted    []netip.AddrPort
}

func (c *capture) replay(t *testing.T) {
	n, near, far := pair(t, 1)
	r := &replayed{sums: map[*RecvFlow]hash.Hash{}, chunks: map[wire.ChunkType]int{}}
	near.accept = func(f *RecvFlow) (accept, ordered bool) {
		m := string(f.Metadata())
		return m != "reject", m != "network"
	}
	near.on = func(ev Event) {
		switch ev.Kind {
		case FlowOpen:
			r.sums[ev.Recv] = sha256.New()
		case Message:
			fmt.Fprintf(r.sums[ev.Recv], "%d:", len(ev.Data))
			r.sums[ev.Recv].Write(ev.Data)
			if strings.HasPrefix(string(ev.Recv.Metadata()), "rejectlater") {
				ev.Recv.Reject(n.now, 77)
			}
		}
	}
	var s, puppet *Session
	if c.initiator {
		s, puppet = n.connect(near, far)
	} else {
		puppet, s = n.connect(far, near)
	}
	n.run(time.Second)
	for _, f := range c.sent {
		flow := open(t, s, n.now, FlowOptions{Metadata: f.metadata})
		for i := range f.count {
			send(t, flow, n.now, numbered(i, f.size), SendOptions{})
		}
	}
	n.drop = func(from, to netip.AddrPort, d []byte) bool {
		if from != near.addr {
			return false
		}
		d = slices.Clone(d)
		if slices.Contains(startupChunks(d), wire.ChunkRHello) {
			r.greeted = append(r.greeted, to)
			return true
		}
		if p, err := puppet.keys.Open(d); err == nil {
			r.note(p)
		}
		return true
	}
	far.dead = true
	c.play(n, near, s, puppet)
	n.run(time.Second)
	c.compare(t, near, r)
}

// note counts the chunks of a packet that our end sent.
func (r *replayed) note(p []byte) {
	_, m := wire.ConsumeHeader(p)
	for p = p[m:]; ; p = p[m:] {
		typ, payload, k := wire.ConsumeChunk(p)
		if k == 0 {
			return
		}
		m = k
		r.chunks[typ]++
		if typ == wire.ChunkException {
			if v, ok := wire.ParseFlowException(payload); ok && !slices.Contains(r.exceptions, v.Code) {
				r.exceptions = append(r.exceptions, v.Code)
			}
		}
	}
}

// play gives our end the session's packets under the keys of a far end that is
// not driven any more.
func (c *capture) play(n *network, near *testNode, s, puppet *Session) {
	was, is := sha256.Sum256(c.certificate), near.PeerID()
	t0 := n.now
	for _, p := range c.packets {
		h, m := wire.ConsumeHeader(p.b)
		if m == 0 || h.Mode == wire.ModeStartup {
			continue
		}
		if at := t0.Add(p.at); at > n.now {
			n.run(at.Sub(n.now))
		}
		h.HasEcho = false // an echo of another clock
		b := wire.AppendHeader(make([]byte, 4+puppet.keys.Headroom(), 2000), h)
		b = append(b, bytes.ReplaceAll(p.b[m:], was[:], is[:])...)
		near.HandleDatagram(n.now, s.FarAddr(), puppet.keys.Seal(b, puppet.far))
		near.turn()
	}
}

// compare holds what came of the replay to what came of the session then.
func (c *capture) compare(t *testing.T, near *testNode, r *replayed) {
	t.Helper()
	want := map[wire.ChunkType]int{}
	var reply []netip.AddrPort
	for _, p := range c.packets {
		h, m := wire.ConsumeHeader(p.b)
		for b := p.b[m:]; h.Mode != wire.ModeStartup; b = b[m:] {
			typ, payload, k := wire.ConsumeChunk(b)
			if k == 0 {
				break
			}
			m = k
			want[typ]++
			if typ == wire.ChunkFIHello {
				v, _ := wire.ParseFIHello(payload)
				reply = append(reply, v.Reply.AddrPort)
			}
		}
	}
	if len(near.flows) != len(c.received) {
		t.Fatalf("%d flows came, want %d", len(near.flows), len(c.received))
	}
	var codes []uint64
	for _, w := range c.received {
		i := slices.IndexFunc(near.flows, func(f *RecvFlow) bool { return bytes.Equal(f.Metadata(), w.metadata) })
		if i < 0 {
			t.Errorf("no flow with metadata %q", w.metadata)
			continue
		}
		f := near.flows[i]
		if (f.Reply() != nil) != w.reply {
			t.Errorf("flow %q: return flow %v, want %v", w.metadata, f.Reply() != nil, w.reply)
		}
		switch m := string(w.metadata); {
		case m == "reject":
			codes = append(codes, 0)
			continue
		case strings.HasPrefix(m, "rejectlater"):
			codes = append(codes, 77)
			continue
		}
		size := 0
		for _, m := range near.messages[f] {
			size += len(m)
		}
		if len(near.messages[f]) != w.messages || size != w.bytes {
			t.Errorf("flow %q: %d messages of %d bytes, want %d of %d", w.metadata, len(near.messages[f]), size, w.messages, w.bytes)
		} else if sum := fmt.Sprintf("%x", r.sums[f].Sum(nil)); w.messages > 0 && sum != w.sum {
			t.Errorf("flow %q: messages differ from those of the session", w.metadata)
		}
	}
	slices.Sort(codes)
	slices.Sort(r.exceptions)
	if !slices.Equal(codes, r.exceptions) {
		t.Errorf("exceptions %v sent, want %v", r.exceptions, codes)
	}
	if r.chunks[wire.ChunkPingReply] < min(want[wire.ChunkPing], 1) {
		t.Errorf("%d ping replies sent to %d pings", r.chunks[wire.ChunkPingReply], want[wire.ChunkPing])
	}
	if want[wire.ChunkUserData] > 0 && r.chunks[wire.ChunkRangeAck] == 0 {
		t.Error("nothing was acknowledged")
	}
	if len(reply) > 0 && (len(r.greeted) == 0 || r.greeted[0] != reply[0]) {
		t.Errorf("RHello sent to %v, want %v", r.greeted, reply)
	}
	if gone := want[wire.ChunkClose]+want[wire.ChunkCloseAck] > 0; gone != (len(near.closed) == 1) {
		t.Errorf("session closed: %v; a close came: %v", near.closed, gone)
	}
	for _, why := range []Drop{DropChunk, DropHeader, DropCrypto, DropBuffer} {
		if d := near.Stats().Dropped[why]; d != 0 {
			t.Errorf("%d drops for reason %v", d, why)
		}
	}
}

// A first datagram as rtmfp-cpp sent it, with the tag of the day, gets an answer
// that fits: its tag, our certificate, and a cookie.
func TestInteropIHello(t *testing.T) {
	for _, c := range readCaptures(t) {
		if c.initiator {
			continue
		}
		n := newNetwork(t, 1)
		node := n.add("ours", legacy, nil)
		var hello wire.IHello
		for _, p := range c.packets {
			_, m := wire.ConsumeHeader(p.b)
			if typ, payload, _ := wire.ConsumeChunk(p.b[m:]); typ == wire.ChunkIHello {
				hello, _ = wire.ParseIHello(payload)
				keys := crypto.DefaultKeys()
				b := append(make([]byte, 4+keys.Headroom(), 2000), p.b...)
				node.HandleDatagram(n.now, netip.MustParseAddrPort("127.0.0.1:4000"), keys.Seal(b, 0))
				break
			}
		}
		out, ok := node.Transmit(n.now, make([]byte, 64<<10))
		if !ok {
			t.Errorf("%s: no answer to its IHello", c.name)
			continue
		}
		if to := netip.MustParseAddrPort("127.0.0.1:4000"); out.To != to {
			t.Errorf("%s: answered to %v, want %v", c.name, out.To, to)
		}
		p, err := crypto.DefaultKeys().Open(slices.Clone(out.B[:out.Segment]))
		if err != nil {
			t.Fatal(err)
		}
		_, m := wire.ConsumeHeader(p)
		typ, payload, _ := wire.ConsumeChunk(p[m:])
		answer, ok := wire.ParseRHello(payload)
		if typ != wire.ChunkRHello || !ok || !bytes.Equal(answer.TagEcho, hello.Tag) || len(answer.Cookie) == 0 ||
			!bytes.Equal(answer.Certificate, node.cfg.Identity.Certificate()) {
			t.Errorf("%s: answer %#x %x to tag %x", c.name, uint8(typ), payload, hello.Tag)
		}
	}
}

// What RFC 7016 §2.1.5 calls the origin of an address may be 0 on the wire, as in
// the Redirect of rtmfp-cpp, and addresses of both families come in one chunk.
func TestInteropRedirect(t *testing.T) {
	for _, c := range readCaptures(t) {
		for _, p := range c.packets {
			_, m := wire.ConsumeHeader(p.b)
			typ, payload, _ := wire.ConsumeChunk(p.b[m:])
			if typ != wire.ChunkRedirect {
				continue
			}
			redirect, ok := wire.ParseRedirect(payload)
			if !ok {
				t.Fatalf("%s: %x", c.name, payload)
			}
			var got []netip.AddrPort
			for list := redirect.List; len(list) > 0; {
				a, k := element.ConsumeAddress(list)
				if k == 0 {
					t.Fatalf("%s: address %x", c.name, list)
				}
				list = list[k:]
				got = append(got, a.AddrPort)
			}
			if len(got) != 3 || got[0].Addr() != netip.MustParseAddr("127.0.0.1") ||
				got[1] != netip.MustParseAddrPort("192.0.2.7:1935") || got[2] != netip.MustParseAddrPort("[2001:db8::7]:1935") {
				t.Errorf("%s: redirected to %v", c.name, got)
			}
			n, a, b := pair(t, 1)
			s, err := a.Dial(n.now, b.PeerID(), nil)
			if err != nil {
				t.Fatal(err)
			}
			a.handleRedirect(n.now, netip.MustParseAddrPort("10.0.0.9:9"), wire.Redirect{TagEcho: s.startup.tag[:], List: redirect.List})
			for _, want := range got {
				if s.candidate(want) == nil {
					t.Errorf("%s: %v is not among the candidates", c.name, want)
				}
			}
			return
		}
	}
	t.Error("no Redirect in the captures")
}
