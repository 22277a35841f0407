package files

import (
	"strings"
	"testing"
)

// Both copy a file to all.
func TestSwarms(t *testing.T) {
	for _, s := range swarms {
		t.Run(s.name, func(t *testing.T) {
			w := &Work{Dir: t.TempDir(), Size: 3<<20 + 12345, Leechers: 3, Limit: 50e6}
			r, err := Run(t.Context(), w, s)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Done) != 3 || r.Last() <= 0 || r.CPU <= 0 || r.Seed < w.Size {
				t.Errorf("%+v", r)
			}
			var out strings.Builder
			table(&out, *w, []Result{*r})
			if text := out.String(); !strings.Contains(text, s.name) || !strings.Contains(text, "fluid bound") {
				t.Error(text)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		text string
		unit float64
		want int64
	}{{"256M", 1 << 20, 256 << 20}, {"1G", 1 << 20, 1 << 30}, {"10M", 1e6, 10e6}, {"1.5G", 1e6, 1.5e9}, {"0", 1e6, 0}, {"77", 1 << 20, 77}} {
		if got, err := number(c.text, c.unit); got != c.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", c.text, got, err, c.want)
		}
	}
	if _, err := number("x", 1); err == nil {
		t.Error("read nothing as a number")
	}
}
