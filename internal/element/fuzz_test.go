package element

import (
	"bytes"
	"testing"
)

// What is read is written in the shortest form, and reads as the same.
func FuzzElements(f *testing.F) {
	for _, s := range []string{"00", "8005", "81ffffffffffffffff7f", "03822c61", "027f000001bf47", "8320010db8000000000000000000000001078f", "03616263"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, n := ConsumeVLU(b); n != 0 {
			w := AppendVLU(nil, v)
			if u, m := ConsumeVLU(w); u != v || m != len(w) || m != SizeVLU(v) {
				t.Errorf("VLU %x: %d became %x, and %d of %d bytes", b[:n], v, w, u, m)
			}
		}
		if o, n := ConsumeOption(b); n != 0 {
			if n > len(b) {
				t.Fatalf("option: took %d of %d bytes", n, len(b))
			}
			w := AppendMarker(nil)
			if !o.Marker {
				w = AppendOption(nil, o.Type, o.Value)
			}
			if p, m := ConsumeOption(w); m != len(w) || p.Type != o.Type || p.Marker != o.Marker || !bytes.Equal(p.Value, o.Value) {
				t.Errorf("option %x: %+v became %x and %+v", b[:n], o, w, p)
			}
		}
		if v, n := ConsumeField(b); n != 0 {
			w := AppendField(nil, v)
			if u, m := ConsumeField(w); m != len(w) || !bytes.Equal(u, v) {
				t.Errorf("field %x became %x", b[:n], w)
			}
		}
		if a, n := ConsumeAddress(b); n != 0 {
			w := AppendAddress(nil, a)
			if c, m := ConsumeAddress(w); c != a || m != len(w) {
				t.Errorf("address %x: %v became %x and %v", b[:n], a, w, c)
			}
		}
	})
}
