package wire

import (
	"bytes"
	"testing"

	"rtmfp/internal/element"
)

// again checks that a chunk that was read is written and read as the same.
func again[C interface{ Append([]byte) []byte }](t *testing.T, c C, typ ChunkType, parse func([]byte) (C, bool), same func(a, b C) bool) {
	t.Helper()
	p := one(t, c.Append(nil), typ)
	if got, ok := parse(p); !ok || !same(c, got) {
		t.Errorf("%+v was written as %x and read as %+v, %v", c, p, got, ok)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte{0x09, 0x12, 0x34, 0x01, 0, 5, 'h', 'e', 'l', 'l', 'o', 0xff, 0xff, 0xff})
	f.Add([]byte{0x8d, 0, 1, 0, 2, 0x00, 0, 0, 0x0c, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n := ConsumeHeader(b)
		if n == 0 {
			return
		}
		if g, m := ConsumeHeader(AppendHeader(nil, h)); g != h || m != n {
			t.Errorf("header %x: got %+v and %+v", b[:n], h, g)
		}
		rest := b[n:]
		for {
			typ, p, n := ConsumeChunk(rest)
			if n == 0 {
				return
			}
			if n > len(rest) || len(p)+ChunkHeaderSize > n || typ == chunkPadding00 || typ == chunkPaddingFF {
				t.Fatalf("chunk %#x: payload %d, took %d of %d", typ, len(p), n, len(rest))
			}
			rest = rest[n:]
		}
	})
}

func FuzzStartup(f *testing.F) {
	f.Add([]byte("\x03epdtag"))
	f.Add([]byte("\x03epd\x02\x7f\x00\x00\x01\x07\x8ftag"))
	f.Add(IIKeying{SessionID: 1, CookieEcho: []byte("c"), Certificate: []byte("d"), SKIC: []byte("e")}.Append(nil)[3:])
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > MaxPayload/2 {
			return
		}
		eq := bytes.Equal
		if c, ok := ParseIHello(p); ok {
			again(t, c, ChunkIHello, ParseIHello, func(a, b IHello) bool { return eq(a.EPD, b.EPD) && eq(a.Tag, b.Tag) })
		}
		if c, ok := ParseFIHello(p); ok {
			again(t, c, ChunkFIHello, ParseFIHello, func(a, b FIHello) bool { return eq(a.EPD, b.EPD) && a.Reply == b.Reply && eq(a.Tag, b.Tag) })
		}
		if c, ok := ParseRHello(p); ok {
			again(t, c, ChunkRHello, ParseRHello, func(a, b RHello) bool {
				return eq(a.TagEcho, b.TagEcho) && eq(a.Cookie, b.Cookie) && eq(a.Certificate, b.Certificate)
			})
		}
		if c, ok := ParseRedirect(p); ok {
			again(t, c, ChunkRedirect, ParseRedirect, func(a, b Redirect) bool { return eq(a.TagEcho, b.TagEcho) && eq(a.List, b.List) })
			for at := c.List; ; {
				_, n := element.ConsumeAddress(at)
				if n == 0 {
					break
				}
				at = at[n:]
			}
		}
		if c, ok := ParseCookieChange(p); ok {
			again(t, c, ChunkCookieChange, ParseCookieChange, func(a, b CookieChange) bool {
				return eq(a.OldCookie, b.OldCookie) && eq(a.NewCookie, b.NewCookie)
			})
		}
		signature := func(s []byte) []byte {
			if len(s) == 0 {
				return []byte(NoSignature)
			}
			return s
		}
		if c, ok := ParseIIKeying(p); ok {
			again(t, c, ChunkIIKeying, ParseIIKeying, func(a, b IIKeying) bool {
				return a.SessionID == b.SessionID && eq(a.CookieEcho, b.CookieEcho) && eq(a.Certificate, b.Certificate) &&
					eq(a.SKIC, b.SKIC) && eq(signature(a.Signature), b.Signature) && eq(a.AppendSigned(nil), b.Signed)
			})
		}
		if c, ok := ParseRIKeying(p); ok {
			again(t, c, ChunkRIKeying, ParseRIKeying, func(a, b RIKeying) bool {
				return a.SessionID == b.SessionID && eq(a.SKRC, b.SKRC) && eq(signature(a.Signature), b.Signature)
			})
		}
	})
}

func FuzzUserData(f *testing.F) {
	f.Add([]byte{0x00, 2, 5, 3, 0, 1, 2})
	f.Add([]byte{0x91, 0x82, 0x2c, 1, 1, 5, 0, 0, 'G', 'R', 0x1c, 2, 0x0a, 2, 0, 'h', 'i'})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > MaxPayload/2 {
			return
		}
		if c, ok := ParseUserData(p); ok {
			if c.ForwardSequence() > c.Sequence {
				t.Errorf("forward sequence number %d above %d", c.ForwardSequence(), c.Sequence)
			}
			if n := len(c.Append(nil)); n != c.Size() {
				t.Errorf("Size: got %d, wrote %d", c.Size(), n)
			}
			again(t, c, ChunkUserData, ParseUserData, func(a, b UserData) bool {
				return a.Flags&^FlagOptions == b.Flags&^FlagOptions && a.FlowID == b.FlowID && a.Sequence == b.Sequence &&
					a.FSNOffset == b.FSNOffset && bytes.Equal(a.Options, b.Options) && bytes.Equal(a.Data, b.Data)
			})
			_, _ = ParseFlowOptions(c.Options)
		}
		if c, ok := ParseNextUserData(p); ok {
			again(t, c, ChunkNextUserData, ParseNextUserData, func(a, b NextUserData) bool {
				return bytes.Equal(a.Options, b.Options) && bytes.Equal(a.Data, b.Data)
			})
		}
		if o, ok := ParseFlowOptions(p); ok {
			g, ok := ParseFlowOptions(o.Append(nil))
			if !ok || g.ReturnFlow != o.ReturnFlow || g.HasReturnFlow != o.HasReturnFlow || !bytes.Equal(g.Metadata, o.Metadata) {
				t.Errorf("options %x: got %+v and %+v", p, o, g)
			}
		}
	})
}

func FuzzAck(f *testing.F) {
	f.Add([]byte{5, 0x7f, 0x10, 0x79, 0x06})
	f.Add([]byte{5, 0x7f, 0x10, 0, 0, 1, 3})
	f.Add([]byte{5, 0x7f, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7d, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, parse := range []func([]byte) (Ack, bool){ParseRangeAck, ParseBitmapAck} {
			a, ok := parse(p)
			if !ok {
				return
			}
			at := a.Cumulative
			ranges := rangesOf(a)
			for _, r := range ranges {
				if r.Last < r.First || r.First < at || r.First-at < 2 {
					t.Fatalf("%x: range %v after %d", p, r, at)
				}
				at = r.Last
			}
			w := AppendRangeAck(nil, MaxPayload, a.FlowID, a.BufferBlocks, a.Cumulative, ranges)
			best, whole := AppendAck(nil, MaxPayload, a.FlowID, a.BufferBlocks, a.Cumulative, ranges)
			if len(best) > len(w) {
				t.Errorf("%d bytes where %d would do", len(best), len(w))
			}
			typ, payload, _ := ConsumeChunk(best)
			form := ParseRangeAck
			if typ == ChunkBitmapAck {
				form = ParseBitmapAck
			}
			if again, ok := form(payload); !ok || whole != (len(ranges) <= MaxAckRanges && len(rangesOf(again)) == len(ranges)) {
				t.Errorf("%d ranges became %d, whole %v", len(ranges), len(rangesOf(again)), whole)
			}
			g, ok := ParseRangeAck(one(t, w, ChunkRangeAck))
			if back := rangesOf(g); !ok || len(back) != len(ranges) {
				t.Errorf("%d ranges became %d", len(ranges), len(back))
			}
		}
	})
}

func FuzzControl(f *testing.F) {
	f.Add([]byte{0x80, 1, 2, 3})
	f.Add([]byte{2, 0x82, 0x2c})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > MaxPayload/2 {
			return
		}
		if c, ok := ParseFragment(p); ok {
			again(t, c, ChunkFragment, ParseFragment, func(a, b Fragment) bool {
				return a.More == b.More && a.PacketID == b.PacketID && a.Number == b.Number && bytes.Equal(a.Data, b.Data)
			})
		}
		if c, ok := ParseFlowException(p); ok {
			again(t, c, ChunkException, ParseFlowException, func(a, b FlowException) bool { return a == b })
		}
		if c, ok := ParseBufferProbe(p); ok {
			again(t, c, ChunkBufferProbe, ParseBufferProbe, func(a, b BufferProbe) bool { return a == b })
		}
		if c, ok := ParseECNReport(p); ok {
			if n := len(c.Append(nil)); n != c.Size() {
				t.Errorf("Size: got %d, wrote %d", c.Size(), n)
			}
			again(t, c, ChunkECNReport, ParseECNReport, func(a, b ECNReport) bool { return a == b })
		}
		if c, ok := ParsePing(p); ok {
			again(t, c, ChunkPing, ParsePing, func(a, b Ping) bool { return bytes.Equal(a.Message, b.Message) })
		}
	})
}
