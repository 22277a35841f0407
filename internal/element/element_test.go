package element

import (
	"bytes"
	"encoding/hex"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 7016 §2.1.2.
func TestVLU(t *testing.T) {
	for _, c := range []struct {
		v   uint64
		hex string
	}{
		{0, "00"},
		{1, "01"},
		{127, "7f"},
		{128, "8100"},
		{300, "822c"},
		{16383, "ff7f"},
		{16384, "818000"},
		{math.MaxUint64, "81ffffffffffffffff7f"},
	} {
		b := AppendVLU([]byte{0xaa}, c.v)
		if got := hex.EncodeToString(b[1:]); got != c.hex || SizeVLU(c.v) != len(c.hex)/2 {
			t.Errorf("%d: wrote %s (SizeVLU %d), want %s", c.v, got, SizeVLU(c.v), c.hex)
		}
		if v, n := ConsumeVLU(append(b[1:], 0x55)); v != c.v || n != len(b)-1 {
			t.Errorf("%s: got %d of %d bytes, want %d", c.hex, v, n, c.v)
		}
		if len(b)-1 > MaxVLU {
			t.Errorf("%d took %d bytes, over MaxVLU", c.v, len(b)-1)
		}
	}
}

func TestVLUForms(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		v         uint64
		n         int
	}{
		{"empty", "", 0, 0},
		{"truncated", "80", 0, 0},
		{"truncated later", "ffffff", 0, 0},
		{"not the shortest", "8005", 5, 2},
		{"much longer than needed", "80808080808080808080808001", 1, 13},
		{"65 bits saturate", "82ffffffffffffffff7f", math.MaxUint64, 10},
		{"a very long one saturates", "ffffffffffffffffffffffff00", math.MaxUint64, 13},
		{"saturated stays so, whatever follows", "81808080808080808080 00", math.MaxUint64, 11},
	} {
		if v, n := ConsumeVLU(unhex(t, c.hex)); v != c.v || n != c.n {
			t.Errorf("%s: got %d of %d bytes, want %d of %d", c.name, v, n, c.v, c.n)
		}
	}
}

// RFC 7016 §2.1.3.
func TestOption(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      Option
		n         int
	}{
		{"marker", "00 99", Option{Marker: true}, 1},
		{"long marker", "8000", Option{Marker: true}, 2},
		{"no value", "01 0a", Option{Type: 10, Value: []byte{}}, 2},
		{"value", "03 00 6162 99", Option{Type: 0, Value: []byte("ab")}, 4},
		{"long type", "03 822c 61", Option{Type: 300, Value: []byte("a")}, 4},
		{"empty", "", Option{}, 0},
		{"no room for the length", "02 00", Option{}, 0},
		{"type beyond its length", "01 82 2c", Option{}, 0},
		{"length of 2^64-1", "81ffffffffffffffff7f 00", Option{}, 0},
	} {
		got, n := ConsumeOption(unhex(t, c.hex))
		if n != c.n || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v of %d bytes, want %+v of %d", c.name, got, n, c.want, c.n)
		}
	}
	b := AppendMarker(AppendOptionVLU(AppendOption(nil, 300, []byte("a")), 10, 128))
	if want := unhex(t, "03822c61 030a8100 00"); !bytes.Equal(b, want) {
		t.Errorf("wrote %x, want %x", b, want)
	}
}

func TestField(t *testing.T) {
	if got, want := AppendField([]byte{1}, []byte("abc")), unhex(t, "01 03 616263"); !bytes.Equal(got, want) {
		t.Errorf("wrote %x, want %x", got, want)
	}
	if v, n := ConsumeField(unhex(t, "03 616263 ff")); string(v) != "abc" || n != 4 {
		t.Errorf("got %q of %d bytes", v, n)
	}
	if v, n := ConsumeField([]byte{0}); len(v) != 0 || n != 1 {
		t.Errorf("empty field: got %q of %d bytes", v, n)
	}
	for _, bad := range []string{"", "80", "03 6162", "81ffffffffffffffff7f 00"} {
		if v, n := ConsumeField(unhex(t, bad)); n != 0 {
			t.Errorf("%q: got %x of %d bytes", bad, v, n)
		}
	}
}

// RFC 7016 §2.1.5.
func TestAddress(t *testing.T) {
	for _, c := range []struct {
		addr   string
		origin Origin
		hex    string
	}{
		{"127.0.0.1:48967", OriginObserved, "02 7f000001 bf47"},
		{"192.0.2.1:1935", OriginLocal, "01 c0000201 078f"},
		{"[2001:db8::1]:1935", OriginRelay, "83 20010db8000000000000000000000001 078f"},
	} {
		a := Address{netip.MustParseAddrPort(c.addr), c.origin}
		b := AppendAddress(nil, a)
		if want := unhex(t, c.hex); !bytes.Equal(b, want) {
			t.Errorf("%v: wrote %x, want %x", a, b, want)
		}
		if got, n := ConsumeAddress(append(b, 0)); got != a || n != len(b) {
			t.Errorf("%x: got %v of %d bytes, want %v", b, got, n, a)
		}
		for cut := range b {
			if _, n := ConsumeAddress(b[:cut]); n != 0 {
				t.Errorf("%x cut to %d bytes was read", b, cut)
			}
		}
	}
	mapped := Address{AddrPort: netip.MustParseAddrPort("[::ffff:192.0.2.1]:9")}
	if got, want := AppendAddress(nil, mapped), unhex(t, "00 c0000201 0009"); !bytes.Equal(got, want) {
		t.Errorf("a mapped address: wrote %x, want %x", got, want)
	}
	zone := Address{AddrPort: netip.MustParseAddrPort("[fe80::1%eth0]:9")}
	if got, n := ConsumeAddress(AppendAddress(nil, zone)); n == 0 || got.Addr() != netip.MustParseAddr("fe80::1") {
		t.Errorf("an address with a zone: got %v", got)
	}
}

func TestNoAllocations(t *testing.T) {
	buffer := make([]byte, 0, 256)
	a := Address{netip.MustParseAddrPort("[2001:db8::1]:1935"), OriginLocal}
	if got := testing.AllocsPerRun(100, func() {
		b := AppendVLU(buffer, 1<<40)
		b = AppendOption(b, 5, buffer[:0])
		b = AppendField(b, b[:3])
		b = AppendAddress(b, a)
		_, n := ConsumeVLU(b)
		_, m := ConsumeOption(b[n:])
		_, k := ConsumeField(b[n+m:])
		if back, _ := ConsumeAddress(b[n+m+k:]); back != a {
			t.Errorf("got %v, want %v", back, a)
		}
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}
