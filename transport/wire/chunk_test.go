package wire

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex reads hexadecimal digits with spaces between.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// one returns the only chunk of b, and checks its type.
func one(t testing.TB, b []byte, want ChunkType) (payload []byte) {
	t.Helper()
	typ, payload, n := ConsumeChunk(b)
	if n != len(b) || typ != want {
		t.Fatalf("ConsumeChunk(%x): got type %#x and %d bytes, want %#x and %d", b, typ, n, want, len(b))
	}
	return payload
}

func TestHeader(t *testing.T) {
	for _, c := range []struct {
		h   Header
		hex string
	}{
		{Header{Mode: ModeStartup}, "03"},
		{Header{Mode: ModeInitiator, HasTimestamp: true, Timestamp: 0x1234}, "09 1234"},
		{Header{Mode: ModeResponder, HasTimestamp: true, Timestamp: 0x4321}, "0a 4321"},
		{Header{Mode: ModeResponder, HasEcho: true, Echo: 0xabcd}, "06 abcd"},
		{Header{TimeCritical: true, Mode: ModeInitiator, HasTimestamp: true, HasEcho: true, Timestamp: 1, Echo: 2}, "8d 0001 0002"},
		{Header{TimeCriticalReverse: true, Mode: ModeResponder}, "42"},
	} {
		b := AppendHeader(nil, c.h)
		if want := unhex(t, c.hex); !bytes.Equal(b, want) || len(b) != c.h.Size() {
			t.Errorf("%+v: got %x (Size %d), want %x", c.h, b, c.h.Size(), want)
		}
		if h, n := ConsumeHeader(append(b, 0x10)); h != c.h || n != len(b) {
			t.Errorf("%x: got %+v, %d, want %+v", b, h, n, c.h)
		}
		for cut := range b {
			if _, n := ConsumeHeader(b[:cut]); n != 0 {
				t.Errorf("%x cut to %d bytes was read", b, cut)
			}
		}
	}
	if _, n := ConsumeHeader([]byte{0x00, 1, 2, 3}); n != 0 {
		t.Error("mode 0 was read; such packets MUST be discarded")
	}
	if h, n := ConsumeHeader([]byte{0x33}); n != 1 || h.Mode != ModeStartup {
		t.Errorf("reserved bits: got %+v, %d", h, n)
	}
}

// RFC 7016 §2.2.4: what is padding, and what is not.
func TestConsumeChunk(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		types     []ChunkType
	}{
		{"nothing", "", nil},
		{"one", "01 0001 aa", []ChunkType{ChunkPing}},
		{"two", "0c 0000 4c 0000", []ChunkType{ChunkClose, ChunkCloseAck}},
		{"one trailing byte", "0c 0000 01", []ChunkType{ChunkClose}},
		{"two trailing bytes", "0c 0000 01 00", []ChunkType{ChunkClose}},
		{"cipher padding", "0c 0000 ff ff ff ff ff", []ChunkType{ChunkClose}},
		{"length too large", "0c 0000 01 0002 aa", []ChunkType{ChunkClose}},
		{"padding chunks are passed over", "00 0000 ff 0002 aaaa 0c 0000", []ChunkType{ChunkClose}},
		{"only padding chunks", "00 0000 00 0000", nil},
		{"unknown types are the caller's", "ed 0001 00 0c 0000", []ChunkType{0xed, ChunkClose}},
	} {
		b := unhex(t, c.hex)
		var got []ChunkType
		for {
			typ, _, n := ConsumeChunk(b)
			if n == 0 {
				break
			}
			got = append(got, typ)
			b = b[n:]
		}
		if string(hexTypes(got)) != string(hexTypes(c.types)) {
			t.Errorf("%s: got %x, want %x", c.name, got, c.types)
		}
	}
}

func hexTypes(types []ChunkType) (b []byte) {
	for _, t := range types {
		b = append(b, byte(t))
	}
	return b
}

func TestEndChunkLimit(t *testing.T) {
	b, mark := BeginChunk([]byte{1}, ChunkPing)
	b = EndChunk(append(b, make([]byte, MaxPayload)...), mark)
	if payload := one(t, b[1:], ChunkPing); len(payload) != MaxPayload {
		t.Errorf("payload: got %d bytes, want %d", len(payload), MaxPayload)
	}
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
			t.Errorf("a payload over the limit: got %q", s)
		}
	}()
	EndChunk(append(b, 0), mark)
}

// Appending extends the buffer and changes nothing before it.
func TestAppendKeepsPrefix(t *testing.T) {
	prefix := []byte("prefix")
	for i, b := range [][]byte{
		AppendHeader(bytes.Clone(prefix), Header{Mode: ModeStartup, HasEcho: true}),
		IHello{EPD: []byte{1}, Tag: []byte{2}}.Append(bytes.Clone(prefix)),
		UserData{FlowID: 300, Sequence: 1, Data: []byte{9}}.Append(bytes.Clone(prefix)),
		AppendRangeAck(bytes.Clone(prefix), 100, 1, 2, 3, []Range{{5, 6}}),
	} {
		if !bytes.HasPrefix(b, prefix) {
			t.Errorf("case %d: %x", i, b)
		}
	}
}
