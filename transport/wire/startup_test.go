package wire

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"rtmfp/internal/element"
)

// Chunks that a Flash peer and a server exchanged (groups-vectors.txt), read
// and written again.
func TestCapturedHandshake(t *testing.T) {
	tag := "88175f986b79f7ae98e8f18291a53c7f"
	epd := "210fbc1d5e5c2cda1a83c7850fa46b0bf4200a51dc85e8818079660826840f2c4b11"

	payload := unhex(t, "22"+epd+tag)
	ihello, ok := ParseIHello(payload)
	if want := (IHello{EPD: unhex(t, epd), Tag: unhex(t, tag)}); !ok || !reflect.DeepEqual(ihello, want) {
		t.Errorf("IHello: got %+v, %v, want %+v", ihello, ok, want)
	}
	if got := one(t, ihello.Append(nil), ChunkIHello); !bytes.Equal(got, payload) {
		t.Errorf("IHello: wrote %x, want %x", got, payload)
	}

	payload = unhex(t, "22"+epd+"027f000001bf47"+tag)
	fihello, ok := ParseFIHello(payload)
	want := FIHello{
		EPD:   unhex(t, epd),
		Reply: element.Address{AddrPort: netip.MustParseAddrPort("127.0.0.1:48967"), Origin: element.OriginObserved},
		Tag:   unhex(t, tag),
	}
	if !ok || !reflect.DeepEqual(fihello, want) {
		t.Errorf("FIHello: got %+v, %v, want %+v", fihello, ok, want)
	}
	if got := one(t, fihello.Append(nil), ChunkFIHello); !bytes.Equal(got, payload) {
		t.Errorf("FIHello: wrote %x, want %x", got, payload)
	}

	payload = unhex(t, "1057a51cc3f02403df6ef1ed1d2f2b8725"+"027f000001903b")
	redirect, ok := ParseRedirect(payload)
	if !ok || !bytes.Equal(redirect.TagEcho, unhex(t, "57a51cc3f02403df6ef1ed1d2f2b8725")) {
		t.Errorf("Redirect: got %+v, %v", redirect, ok)
	}
	a, n := element.ConsumeAddress(redirect.List)
	if want := netip.MustParseAddrPort("127.0.0.1:36923"); a.AddrPort != want || a.Origin != element.OriginObserved || n != len(redirect.List) {
		t.Errorf("Redirect: got address %v of %d bytes, want %v", a, n, want)
	}
	if got := one(t, redirect.Append(nil), ChunkRedirect); !bytes.Equal(got, payload) {
		t.Errorf("Redirect: wrote %x, want %x", got, payload)
	}
	if got := AppendRedirect(nil, redirect.TagEcho, []element.Address{a}); !bytes.Equal(got, redirect.Append(nil)) {
		t.Errorf("AppendRedirect: got %x, want %x", got, redirect.Append(nil))
	}
}

// The datagram of rfc7425-vectors.txt under the default key, decrypted.
func TestDefaultKeyVectorPacket(t *testing.T) {
	packet := unhex(t, "0b00013000120d0c0a72746d66703a2f2f612f6274616734")
	h, n := ConsumeHeader(packet)
	if want := (Header{Mode: ModeStartup, HasTimestamp: true, Timestamp: 1}); h != want {
		t.Errorf("header: got %+v, want %+v", h, want)
	}
	c, ok := ParseIHello(one(t, packet[n:], ChunkIHello))
	if !ok || string(c.Tag) != "tag4" || string(c.EPD) != "\x0c\x0artmfp://a/b" {
		t.Errorf("got %q, %v", c, ok)
	}
	if got := c.Append(AppendHeader(nil, h)); !bytes.Equal(got, packet) {
		t.Errorf("wrote %x, want %x", got, packet)
	}
}

// RFC 7016 §2.3.4 to §2.3.8, field by field.
func TestStartupLayouts(t *testing.T) {
	for _, c := range []struct {
		name  string
		chunk interface{ Append([]byte) []byte }
		hex   string
	}{
		{"RHello", RHello{TagEcho: []byte("tag"), Cookie: []byte("ck"), Certificate: []byte("cert")},
			"70 000b 03 746167 02 636b 63657274"},
		{"Redirect to the source", Redirect{TagEcho: []byte("tag")}, "71 0004 03 746167"},
		{"Cookie Change", CookieChange{OldCookie: []byte("old"), NewCookie: []byte("new")},
			"79 0007 03 6f6c64 6e6577"},
		{"IIKeying", IIKeying{SessionID: 0x02000000, CookieEcho: []byte("ck"), Certificate: []byte("cert"), SKIC: []byte("ic")},
			"38 0010 02000000 02 636b 04 63657274 02 6963 58"},
		{"IIKeying signed", IIKeying{SessionID: 1, Signature: []byte("sig")}, "38 000a 00000001 00 00 00 736967"},
		{"RIKeying", RIKeying{SessionID: 0x03000000, SKRC: []byte("rc")}, "78 0008 03000000 02 7263 58"},
	} {
		if got, want := c.chunk.Append(nil), unhex(t, c.hex); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", c.name, got, want)
		}
	}
}

// A signature covers the session id to the SKIC; in RIKeying to the SKRC, and
// then the SKIC that it answers.
func TestSignedParameters(t *testing.T) {
	ii := IIKeying{SessionID: 7, CookieEcho: []byte("cookie"), Certificate: []byte("cert"), SKIC: []byte("skic"), Signature: []byte("sig")}
	p := one(t, ii.Append(nil), ChunkIIKeying)
	got, ok := ParseIIKeying(p)
	if want := p[:len(p)-len("sig")]; !ok || !bytes.Equal(got.Signed, want) || !bytes.Equal(ii.AppendSigned(nil), want) {
		t.Errorf("IIKeying: parsed %x, computed %x, want %x", got.Signed, ii.AppendSigned(nil), want)
	}
	ri := RIKeying{SessionID: 9, SKRC: []byte("skrc"), Signature: []byte("sig")}
	p = one(t, ri.Append(nil), ChunkRIKeying)
	parsed, ok := ParseRIKeying(p)
	if want := p[:len(p)-len("sig")]; !ok || !bytes.Equal(parsed.Signed, want) {
		t.Errorf("RIKeying: parsed %x, want %x", parsed.Signed, want)
	}
	want := append(bytes.Clone(parsed.Signed), "skic"...)
	if got := ri.AppendSigned(nil, []byte("skic")); !bytes.Equal(got, want) {
		t.Errorf("RIKeying: computed %x, want %x", got, want)
	}
}

// No startup chunk that is cut before its last open-ended field is read.
func TestStartupTruncated(t *testing.T) {
	reply := element.Address{AddrPort: netip.MustParseAddrPort("[2001:db8::1]:1935")}
	for _, c := range []struct {
		name    string
		payload []byte
		open    int // size of the last field, any part of which may be missing
		parse   func([]byte) bool
	}{
		{"IHello", IHello{[]byte("epd"), []byte("tag")}.Append(nil), 3, func(p []byte) bool { _, ok := ParseIHello(p); return ok }},
		{"FIHello", FIHello{[]byte("epd"), reply, []byte("tag")}.Append(nil), 3, func(p []byte) bool { _, ok := ParseFIHello(p); return ok }},
		{"RHello", RHello{[]byte("t"), []byte("c"), []byte("cert")}.Append(nil), 4, func(p []byte) bool { _, ok := ParseRHello(p); return ok }},
		{"Redirect", Redirect{TagEcho: []byte("tag")}.Append(nil), 0, func(p []byte) bool { _, ok := ParseRedirect(p); return ok }},
		{"CookieChange", CookieChange{[]byte("old"), []byte("new")}.Append(nil), 3, func(p []byte) bool { _, ok := ParseCookieChange(p); return ok }},
		{"IIKeying", IIKeying{CookieEcho: []byte("c"), Certificate: []byte("d"), SKIC: []byte("e")}.Append(nil), 1, func(p []byte) bool { _, ok := ParseIIKeying(p); return ok }},
		{"RIKeying", RIKeying{SKRC: []byte("e")}.Append(nil), 1, func(p []byte) bool { _, ok := ParseRIKeying(p); return ok }},
	} {
		p := c.payload[ChunkHeaderSize:]
		for cut := range len(p) + 1 {
			if got, want := c.parse(p[:cut]), cut >= len(p)-c.open; got != want {
				t.Errorf("%s cut to %d of %d bytes: got ok = %v, want %v", c.name, cut, len(p), got, want)
			}
		}
	}
}
