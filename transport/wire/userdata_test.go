package wire

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

// The packet of RFC 7016 §2.3.12, figure 3.
func TestFigure3(t *testing.T) {
	b := unhex(t, "10 0007 00 02 05 03 00 01 02  11 0004 00 03 04 05  11 0004 00 06 07 08")
	var got []UserData
	var last UserData
	for rest := b; ; {
		typ, p, n := ConsumeChunk(rest)
		if n == 0 {
			break
		}
		ok := false
		switch typ {
		case ChunkUserData:
			last, ok = ParseUserData(p)
		case ChunkNextUserData:
			var next NextUserData
			if next, ok = ParseNextUserData(p); ok {
				last, ok = next.After(last)
			}
		}
		if !ok {
			t.Fatalf("chunk %#x %x not read", typ, p)
		}
		got = append(got, last)
		rest = rest[n:]
	}
	want := []UserData{
		{FlowID: 2, Sequence: 5, FSNOffset: 3, Data: []byte{0, 1, 2}},
		{FlowID: 2, Sequence: 6, FSNOffset: 4, Data: []byte{3, 4, 5}},
		{FlowID: 2, Sequence: 7, FSNOffset: 5, Data: []byte{6, 7, 8}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, c := range got {
		if c.ForwardSequence() != 2 {
			t.Errorf("sequence %d: forward sequence number %d, want 2", c.Sequence, c.ForwardSequence())
		}
	}
	out := want[0].Append(nil)
	for _, c := range want[1:] {
		out = NextUserData{Data: c.Data}.Append(out)
	}
	if !bytes.Equal(out, b) {
		t.Errorf("wrote %x, want %x", out, b)
	}
}

// The first chunk of a flow as Flash sends it: metadata 00 47 52 1c, and a
// return association to flow 2.
func TestUserDataWithOptions(t *testing.T) {
	o := FlowOptions{Metadata: []byte("\x00GR\x1c"), HasMetadata: true, ReturnFlow: 2, HasReturnFlow: true}
	c := UserData{Flags: FragmentBegin | FlagFinal, FlowID: 300, Sequence: 1, FSNOffset: 1, Options: o.Append(nil), Data: []byte("hi")}
	b := c.Append(nil)
	want := unhex(t, "10 0011 91 822c 01 01  05 00 0047521c 02 0a 02 00 6869")
	if !bytes.Equal(b, want) || c.Size() != len(want) {
		t.Fatalf("got %x (Size %d), want %x", b, c.Size(), want)
	}
	got, ok := ParseUserData(one(t, b, ChunkUserData))
	c.Flags |= FlagOptions
	if !ok || !reflect.DeepEqual(got, c) {
		t.Errorf("got %+v, %v, want %+v", got, ok, c)
	}
	if got.Flags.Fragment() != FragmentBegin || !got.Flags.Final() || got.Flags.Abandon() {
		t.Errorf("flags %#x read wrongly", got.Flags)
	}
	if p, ok := ParseFlowOptions(got.Options); !ok || !reflect.DeepEqual(p, o) {
		t.Errorf("options: got %+v, %v, want %+v", p, ok, o)
	}
	next := NextUserData{Flags: FlagAbandon, Options: c.Options}
	parsed, ok := ParseNextUserData(one(t, next.Append(nil), ChunkNextUserData))
	if !ok || !bytes.Equal(parsed.Options, c.Options) || !parsed.Flags.Abandon() || next.Size() != len(next.Append(nil)) {
		t.Errorf("Next User Data: got %+v, %v", parsed, ok)
	}
}

func TestParseUserDataRefuses(t *testing.T) {
	for _, c := range []struct{ name, hex string }{
		{"nothing", ""},
		{"only flags", "00"},
		{"no sequence number", "00 01"},
		{"no offset", "00 01 05"},
		{"offset above the sequence number", "00 01 05 06"},
		{"options without a marker", "80 01 05 01 02 00 61"},
		{"truncated option", "80 01 05 01 09 00"},
		{"endless VLU", "00 ff ff ff"},
	} {
		if got, ok := ParseUserData(unhex(t, c.hex)); ok {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
	if got, ok := ParseNextUserData(nil); ok {
		t.Errorf("empty Next User Data: got %+v", got)
	}
	if got, ok := ParseNextUserData([]byte{0x80, 2, 0}); ok {
		t.Errorf("Next User Data with a truncated option: got %+v", got)
	}
	if got, ok := (NextUserData{}).After(UserData{Sequence: math.MaxUint64}); ok {
		t.Errorf("after the last sequence number: got %+v", got)
	}
}

// RFC 7016 §2.3.11.1.
func TestParseFlowOptions(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      FlowOptions
		ok        bool
	}{
		{"none", "", FlowOptions{}, true},
		{"empty metadata", "01 00", FlowOptions{HasMetadata: true, Metadata: []byte{}}, true},
		{"return flow 300", "03 0a 822c", FlowOptions{HasReturnFlow: true, ReturnFlow: 300}, true},
		{"must be known", "01 33", FlowOptions{Unknown: true}, true},
		{"largest that must be known", "02 bf7f", FlowOptions{Unknown: true}, true},
		{"may be ignored", "02 c000", FlowOptions{}, true},
		{"two metadata", "01 00 01 00", FlowOptions{}, false},
		{"two return flows", "02 0a 01 02 0a 01", FlowOptions{}, false},
		{"return flow without id", "01 0a", FlowOptions{}, false},
		{"truncated", "05 00", FlowOptions{}, false},
	} {
		got, ok := ParseFlowOptions(unhex(t, c.hex))
		if ok != c.ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}
