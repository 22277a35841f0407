package wire

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func rangesOf(a Ack) (got []Range) {
	c := a.Ranges()
	for r, ok := c.Next(); ok; r, ok = c.Next() {
		got = append(got, r)
	}
	return got
}

// Figures 4 to 6 of RFC 7016 §2.3.13 and §2.3.14, and their edges.
func TestAckRanges(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		parse     func([]byte) (Ack, bool)
		want      []Range
	}{
		{"figure 4", "05 7f 10 79 06", ParseBitmapAck, []Range{{18, 18}, {21, 24}, {27, 28}}},
		{"figure 5", "05 7f 10 00 00 01 03", ParseRangeAck, []Range{{18, 18}, {21, 24}}},
		{"figure 6", "05 7f 10 00 00 01 83", ParseRangeAck, []Range{{18, 18}}},
		{"half a pair", "05 7f 10 00 00 01", ParseRangeAck, []Range{{18, 18}}},
		{"no ranges", "05 7f 10", ParseRangeAck, nil},
		{"empty bitmap", "05 7f 10", ParseBitmapAck, nil},
		{"bitmap of zeros", "05 7f 10 00 00", ParseBitmapAck, nil},
		{"run over a byte", "05 7f 10 80 01", ParseBitmapAck, []Range{{25, 26}}},
		{"full bytes", "05 7f 00 ff ff", ParseBitmapAck, []Range{{2, 17}}},
		{"beyond 64 bits, holes", "05 7f 10 00 00 8f ff ff ff ff ff ff ff ff 7f 00", ParseRangeAck, []Range{{18, 18}}},
		{"beyond 64 bits, received", "05 7f 10 00 8f ff ff ff ff ff ff ff ff 7f", ParseRangeAck, nil},
		{"cumulative at the end", "05 7f 81 ff ff ff ff ff ff ff ff 7f 00 00", ParseRangeAck, nil},
		{"cumulative at the end, bits", "05 7f 81 ff ff ff ff ff ff ff ff 7f ff ff", ParseBitmapAck, nil},
		{"last numbers, bits", "05 7f 81 ff ff ff ff ff ff ff ff 7d ff", ParseBitmapAck, []Range{{math.MaxUint64, math.MaxUint64}}},
	} {
		a, ok := c.parse(unhex(t, c.hex))
		if !ok || a.FlowID != 5 || a.BufferBytes() != 127*1024 {
			t.Errorf("%s: got %+v, %v", c.name, a, ok)
			continue
		}
		got := rangesOf(a)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	for _, cut := range []string{"", "05", "05 7f", "05 7f 80"} {
		if a, ok := ParseRangeAck(unhex(t, cut)); ok {
			t.Errorf("%q: got %+v", cut, a)
		}
	}
	if a := (Ack{BufferBlocks: math.MaxUint64}); a.BufferBytes() != math.MaxInt64 {
		t.Errorf("huge window: got %d", a.BufferBytes())
	}
}

// One ack costs no more than MaxAckRanges, however long.
func TestAckRangesBounded(t *testing.T) {
	pairs, _ := ParseRangeAck(append([]byte{1, 1, 1}, make([]byte, 60000)...))
	bits, _ := ParseBitmapAck(append([]byte{1, 1, 1}, bytes.Repeat([]byte{0x55}, 60000)...))
	for name, a := range map[string]Ack{"pairs": pairs, "bits": bits} {
		if got := len(rangesOf(a)); got != MaxAckRanges {
			t.Errorf("%s: got %d ranges, want %d", name, got, MaxAckRanges)
		}
	}
}

// What is written within a limit is read back, up to the pair that did not fit.
func TestRangeAckRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		at := rng.Uint64N(1 << rng.IntN(40))
		cumulative := at
		var ranges []Range
		for range rng.IntN(30) {
			first := at + 2 + rng.Uint64N(1<<rng.IntN(20))
			at = first + rng.Uint64N(1<<rng.IntN(20))
			ranges = append(ranges, Range{first, at})
		}
		limit := rng.IntN(120)
		flow, blocks := rng.Uint64N(1000), rng.Uint64N(1000)
		b := AppendRangeAck([]byte("x"), limit, flow, blocks, cumulative, ranges)
		if len(b)-1 > limit {
			t.Fatalf("limit %d: wrote %d bytes", limit, len(b)-1)
		}
		if len(b) == 1 {
			if smallest := len(AppendRangeAck(nil, 1000, flow, blocks, cumulative, nil)); smallest <= limit {
				t.Fatalf("limit %d: nothing written, though %d bytes would do", limit, smallest)
			}
			continue
		}
		a, ok := ParseRangeAck(one(t, b[1:], ChunkRangeAck))
		if !ok || a.FlowID != flow || a.BufferBlocks != blocks || a.Cumulative != cumulative {
			t.Fatalf("got %+v, %v", a, ok)
		}
		got := rangesOf(a)
		if len(got) > len(ranges) || len(got) > 0 && !reflect.DeepEqual(got, ranges[:len(got)]) {
			t.Fatalf("limit %d: got %v, want a beginning of %v", limit, got, ranges)
		}
		if len(got) < len(ranges) {
			if more := AppendRangeAck(nil, 1000, flow, blocks, cumulative, ranges[:len(got)+1]); len(more) <= limit {
				t.Fatalf("limit %d: stopped at %d ranges, though one more takes %d bytes", limit, len(got), len(more))
			}
		}
	}
}

// Both forms say the same about any set of sequence numbers.
func TestBitmapAgreesWithRanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		bits := make([]byte, rng.IntN(12))
		for i := range bits {
			bits[i] = byte(rng.Uint32())
			bits[i] &= byte(rng.Uint32()) // runs of both kinds
		}
		cumulative := rng.Uint64N(1 << 30)
		a, _ := ParseBitmapAck(append([]byte{1, 1}, appendVLU(cumulative, bits)...))
		got := map[uint64]bool{}
		for _, r := range rangesOf(a) {
			for n := r.First; n <= r.Last; n++ {
				got[n] = true
			}
		}
		for i := range 8 * len(bits) {
			n := cumulative + 2 + uint64(i)
			if want := bits[i/8]>>(i%8)&1 != 0; got[n] != want {
				t.Fatalf("bits %08b after %d: number %d: got %v", bits, cumulative, n, got[n])
			}
		}
	}
}

func appendVLU(v uint64, rest []byte) []byte {
	b := UserData{FlowID: v}.Append(nil)[ChunkHeaderSize+1:]
	return append(b[:len(b)-2], rest...)
}

func TestRangeAckOrder(t *testing.T) {
	for _, r := range []Range{{11, 11}, {5, 6}, {20, 19}, {0, 0}} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
					t.Errorf("range %v above 10: got %q", r, s)
				}
			}()
			w := BeginRangeAck(nil, 100, 1, 1, 10)
			w.Add(r.First, r.Last)
		}()
	}
}

// readAck reads either form.
func readAck(t *testing.T, b []byte) (Ack, ChunkType) {
	t.Helper()
	typ, p, n := ConsumeChunk(b)
	if n != len(b) {
		t.Fatalf("%x: took %d of %d bytes", b, n, len(b))
	}
	parse := ParseRangeAck
	if typ == ChunkBitmapAck {
		parse = ParseBitmapAck
	}
	a, ok := parse(p)
	if !ok {
		t.Fatalf("%x: malformed", b)
	}
	return a, typ
}

// "It SHOULD choose whichever format has the most compact encoding of the sequence
// numbers received." (RFC 7016 §2.3.13)
func TestMostCompactAck(t *testing.T) {
	for _, c := range []struct {
		name   string
		ranges []Range
		want   string
	}{
		{"nothing above", nil, "51 0003 05 7f 10"},
		{"one run", []Range{{18, 18}}, "50 0004 05 7f 10 01"},
		{"one run in two bytes", []Range{{26, 26}}, "51 0005 05 7f 10 08 00"},
		{"figure 4", []Range{{18, 18}, {21, 24}, {27, 28}}, "50 0005 05 7f 10 79 06"},
		{"two runs in one byte", []Range{{18, 18}, {20, 20}}, "50 0004 05 7f 10 05"},
		{"two runs in four bytes", []Range{{18, 18}, {42, 42}}, "51 0007 05 7f 10 00 00 16 00"},
		{"as long in either form", []Range{{18, 18}, {43, 43}}, "51 0007 05 7f 10 00 00 17 00"},
		{"runs that are far apart", []Range{{18, 18}, {1000, 1000}, {1002, 1002}}, "51 000a 05 7f 10 00 00 87 54 00 00 00"},
	} {
		got, whole := AppendAck(nil, 100, 5, 127, 16, c.ranges)
		if want := unhex(t, c.want); !bytes.Equal(got, want) || !whole {
			t.Errorf("%s: got %x, whole %v, want %x", c.name, got, whole, want)
		}
	}
}

// Whatever the limit, an ack is the shorter form if all fits, and the one that
// reaches farther if not; and never says what was not received.
func TestAppendAck(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	forms := map[ChunkType]int{}
	cuts := 0
	for range 20000 {
		cumulative := rng.Uint64N(1 << rng.IntN(40))
		at := cumulative
		var ranges []Range
		spread := 1 + rng.IntN(8)
		for range rng.IntN(40) {
			first := at + 2 + rng.Uint64N(1<<rng.IntN(spread))
			at = first + rng.Uint64N(1<<rng.IntN(spread))
			ranges = append(ranges, Range{first, at})
		}
		limit := rng.IntN(80)
		b, whole := AppendAck([]byte("x"), limit, 5, 127, cumulative, ranges)
		least := AppendRangeAck(nil, MaxPayload, 5, 127, cumulative, nil)
		if len(b) == 1 {
			if len(least) <= limit || whole {
				t.Fatalf("limit %d: nothing written, whole %v", limit, whole)
			}
			continue
		}
		b = b[1:]
		a, typ := readAck(t, b)
		forms[typ]++
		pairs := AppendRangeAck(nil, MaxPayload, 5, 127, cumulative, ranges)
		bits := len(least)
		if len(ranges) > 0 {
			bits += int(bitBytes(cumulative, ranges))
		}
		got := rangesOf(a)
		if best := min(len(pairs), bits); whole != (best <= limit) || whole && len(b) != best || len(b) > limit {
			t.Fatalf("limit %d: %d bytes, whole %v; pairs take %d, bits %d", limit, len(b), whole, len(pairs), bits)
		}
		if whole && !reflect.DeepEqual(got, ranges) {
			t.Fatalf("got %v, want %v", got, ranges)
		}
		if !whole {
			cuts++
			cut, _ := ParseRangeAck(one(t, AppendRangeAck(nil, limit, 5, 127, cumulative, ranges), ChunkRangeAck))
			other, reach := rangesOf(cut), cumulative
			if len(other) > 0 {
				reach = other[len(other)-1].Last
			}
			for i, r := range got {
				if r.First != ranges[i].First || r.Last > ranges[i].Last || r.Last < ranges[i].Last && i < len(got)-1 {
					t.Fatalf("got %v of %v", got, ranges)
				}
			}
			if len(got) == 0 && reach > cumulative || len(got) > 0 && got[len(got)-1].Last < reach {
				t.Fatalf("got %v, where pairs say up to %d of %v", got, reach, ranges)
			}
		}
	}
	if forms[ChunkBitmapAck] < 1000 || forms[ChunkRangeAck] < 1000 || cuts < 1000 {
		t.Errorf("%d of one form, %d of the other, %d truncated", forms[ChunkBitmapAck], forms[ChunkRangeAck], cuts)
	}
}
