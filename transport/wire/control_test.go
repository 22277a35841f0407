package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// RFC 7016 §2.3.1, §2.3.9, §2.3.10 and §2.3.15 to §2.3.18.
func TestControlLayouts(t *testing.T) {
	for _, c := range []struct {
		chunk interface{ Append([]byte) []byte }
		hex   string
		parse func([]byte) (any, bool)
	}{
		{Ping{[]byte("hello")}, "01 0005 68656c6c6f", func(p []byte) (any, bool) { return ParsePing(p) }},
		{PingReply{[]byte("hello")}, "41 0005 68656c6c6f", func(p []byte) (any, bool) { return ParsePingReply(p) }},
		{BufferProbe{300}, "18 0002 822c", func(p []byte) (any, bool) { return ParseBufferProbe(p) }},
		{FlowException{2, 300}, "5e 0003 02 822c", func(p []byte) (any, bool) { return ParseFlowException(p) }},
		{Close{}, "0c 0000", func(p []byte) (any, bool) { return ParseClose(p) }},
		{CloseAck{}, "4c 0000", func(p []byte) (any, bool) { return ParseCloseAck(p) }},
		{ECNReport{CE: 0x07}, "ec 0001 07", func(p []byte) (any, bool) { return ParseECNReport(p) }},
		{ECNReport{300, 1, 0, true}, "ec 0005 2c 822c 01 00", func(p []byte) (any, bool) { return ParseECNReport(p) }},
		{Fragment{true, 300, 0, []byte("ab")}, "7f 0006 80 822c 00 6162", func(p []byte) (any, bool) { return ParseFragment(p) }},
		{Fragment{false, 1, 2, []byte("c")}, "7f 0004 00 01 02 63", func(p []byte) (any, bool) { return ParseFragment(p) }},
	} {
		want := unhex(t, c.hex)
		b := c.chunk.Append(nil)
		if !bytes.Equal(b, want) {
			t.Errorf("%+v: wrote %x, want %x", c.chunk, b, want)
		}
		typ, p, _ := ConsumeChunk(want)
		if got, ok := c.parse(p); !ok || !reflect.DeepEqual(got, c.chunk) {
			t.Errorf("chunk %#x %x: got %+v, %v, want %+v", typ, p, got, ok, c.chunk)
		}
	}
}

func TestControlTruncated(t *testing.T) {
	for _, p := range []string{"", "80"} {
		if c, ok := ParseBufferProbe(unhex(t, p)); ok {
			t.Errorf("Buffer Probe %q: got %+v", p, c)
		}
	}
	for _, p := range []string{"", "02", "02 80"} {
		if c, ok := ParseFlowException(unhex(t, p)); ok {
			t.Errorf("Exception %q: got %+v", p, c)
		}
	}
	if c, ok := ParseECNReport(nil); ok {
		t.Errorf("ECN Report: got %+v", c)
	}
	for _, p := range []string{"05", "05 05", "05 05 01", "05 05 01 80", "05 04 01 01"} {
		if c, ok := ParseECNReport(unhex(t, p)); !ok || c != (ECNReport{CE: 5}) {
			t.Errorf("ECN Report %q: got %+v, %v, want the short form", p, c, ok)
		}
	}
	for _, p := range []string{"", "80", "80 01", "80 01 02"} { // the last has no data
		if c, ok := ParseFragment(unhex(t, p)); ok {
			t.Errorf("Fragment %q: got %+v", p, c)
		}
	}
}
