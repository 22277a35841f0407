package geography

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

func fingerprint(m *Map) uint64 {
	h := xxhash.New()
	for i := range m.Len() {
		for j := range m.Len() {
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], uint64(m.OneWay(i, j)))
			_, _ = h.Write(b[:])
		}
	}
	return h.Sum64()
}

// The synthetic world is the same on every processor: it is what it was when
// this was written, and no distance is near to where rounding could tip.
func TestSyntheticIsTheSameEverywhere(t *testing.T) {
	if got, want := fingerprint(Synthetic()), uint64(0xb48e5ba2b8518d89); got != want {
		t.Errorf("latencies have the fingerprint %#x, want %#x", got, want)
	}
	all := cities()
	nearest := 1.0
	for i := range all {
		for j := range all[:i] {
			_, fraction := math.Modf(distance(&all[i], &all[j]))
			nearest = min(nearest, math.Abs(fraction-0.5))
		}
	}
	// A double holds 2e7 m to 4e-9 m; the functions above are exact to a few of that.
	if nearest < 1e-6 {
		t.Errorf("a distance is %g m from where it would be rounded the other way", nearest)
	}
}

func TestSyntheticLooksLikeTheWorld(t *testing.T) {
	m := Synthetic()
	index := map[string]int{}
	for i := range m.Len() {
		p := m.Place(i)
		if _, twice := index[p.Name]; twice {
			t.Errorf("%s is there twice", p.Name)
		}
		index[p.Name] = i
	}
	if got := m.Regions(); len(got) != 6 {
		t.Errorf("got regions %q, want six", got)
	}
	for _, c := range []struct {
		a, b        string
		least, most time.Duration
	}{
		{"London", "Paris", 3 * time.Millisecond, 8 * time.Millisecond},
		{"New York", "London", 35 * time.Millisecond, 70 * time.Millisecond},
		{"Sydney", "Madrid", 110 * time.Millisecond, 230 * time.Millisecond},
		{"Tokyo", "Tokyo", localMicroseconds * time.Microsecond, localMicroseconds * time.Microsecond},
	} {
		got, back := m.OneWay(index[c.a], index[c.b]), m.OneWay(index[c.b], index[c.a])
		if got < c.least || got > c.most || got != back {
			t.Errorf("%s to %s: got %v one way and %v back, want from %v to %v", c.a, c.b, got, back, c.least, c.most)
		}
	}
	// Detours that are faster than the direct way are what overlays live on: of
	// measured pairs (PlanetLab, WonderNetwork) a third to a half have one.
	faster, pairs := 0, 0
	for i := range m.Len() {
		for j := range i {
			pairs++
			direct := m.OneWay(i, j)
			for k := range m.Len() {
				if k != i && k != j && (m.OneWay(i, k)+m.OneWay(k, j))*10 < direct*9 {
					faster++
					break
				}
			}
		}
	}
	share := float64(faster) / float64(pairs)
	t.Logf("%.0f %% of pairs have a detour that is at least 10 %% faster", 100*share)
	if share < 0.25 || share > 0.6 {
		t.Errorf("%.2f of pairs have a faster detour, want 0.25 to 0.6", share)
	}
}

func TestDealer(t *testing.T) {
	m, err := parse(strings.NewReader("0 1 2\n1 0 3\n2 3 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	d := m.NewDealer(rand.New(rand.NewPCG(1, 2)))
	for range 10 {
		var seen [3]int
		for range seen {
			seen[d.Next()]++
		}
		if seen != [3]int{1, 1, 1} {
			t.Fatalf("one round put %v nodes into the places, want one into each", seen)
		}
	}
	d = Synthetic().NewDealer(rand.New(rand.NewPCG(1, 2)))
	tokyo := 0
	for range 10_000 {
		if Synthetic().Place(d.Next()).Name == "Tokyo" {
			tokyo++
		}
	}
	if tokyo < 200 || tokyo > 450 { // 37.4 of 1,240 million
		t.Errorf("%d of 10,000 nodes are in Tokyo, want some 300", tokyo)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		data := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(data)
			_ = z.Close()
			data = b.Bytes()
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	names := "# a comment\n\"A Town, Eurasia\",\"B, Africa\",\"C, Africa\"\n0,10,-1\n12,0,7.001\n-1,-1,0\n"
	m, err := Load(write("named.csv.gz", names), write("later.txt", "0\t20\t30\n20\t0\t30\n30\t30\t0\n"))
	if err != nil {
		t.Fatal(err)
	}
	us := time.Microsecond
	for _, c := range []struct {
		slice, from, to int
		want            time.Duration
	}{
		{0, 0, 1, 5000 * us}, {0, 1, 0, 6000 * us}, {0, 1, 2, 3501 * us},
		{0, 2, 1, 3501 * us},   // by the way back
		{0, 0, 2, 8501 * us},   // over B
		{0, 0, 0, 400 * us},    // within a place
		{1, 0, 1, 10_000 * us}, // the later measurement
	} {
		if got := m.OneWayAt(c.slice, c.from, c.to); got != c.want {
			t.Errorf("slice %d, %d to %d: got %v, want %v", c.slice, c.from, c.to, got, c.want)
		}
	}
	if got := m.Regions(); len(got) != 2 || got[0] != "Africa" || m.Place(0).Name != "A Town" {
		t.Errorf("got regions %q and first place %+v", got, m.Place(0))
	}
	if got := m.Nearest(0); got[0] != 0 || got[1] != 1 || got[2] != 2 {
		t.Errorf("nearest to the first place: got %v", got)
	}
	for _, c := range []struct{ text, says string }{
		{"", "no matrix"},
		{"0 1\n1 0\n2 2\n", "as many rows"},
		{"0 1\n1\n", "line 2: got 1 times, want 2"},
		{"0 x\n1 0\n", `line 1: "x" is no round-trip time`},
		{"0 99999\n1 0\n", `is no round-trip time`},
		{"\"A\"\n0 1\n1 0\n", "got 1 names for 2 rows"},
		{"0 -1\n-1 0\n", "nothing was measured"},
	} {
		_, err := Load(write("bad.txt", c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "bad.txt") {
			t.Errorf("%q: got error %v, want one with the file and %q", c.text, err, c.says)
		}
	}
	if _, err := Load(filepath.Join(dir, "absent")); err == nil || strings.Count(err.Error(), "absent") != 1 {
		t.Errorf("a file that is not there: got %v", err)
	}
	two := write("two.txt", "0 1\n1 0\n")
	if _, err := Load(filepath.Join(dir, "named.csv.gz"), two); err == nil || !strings.Contains(err.Error(), "has 2 places") {
		t.Errorf("files of different places: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("0 1\n1 0\n"))
	f.Add([]byte("\"A, b\",\"B, c\"\n0,-1\n3.5,0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		for i := range m.Len() {
			for j := range m.Len() {
				if d := m.OneWay(i, j); d < 0 || d > maxRTT*time.Millisecond {
					t.Errorf("%d to %d: got %v", i, j, d)
				}
			}
		}
	})
}
