package content

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var helloHash = Sum([]byte("hello"))

func talk() *Manifest {
	return &Manifest{Name: "talk – ☕.mp4", Size: 1234567, MediaType: "video/mp4; codecs=avc1", Hash: helloHash,
		Origins: []string{"https://example.org/a?b=c&d=%20", "http://[2001:db8::1]:8080/talk.mp4"}}
}

func TestManifest(t *testing.T) {
	const want = `{"manifest":1,"name":"talk – ☕.mp4","size":1234567,"type":"video/mp4; codecs=avc1",` +
		`"hash":"ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f",` +
		`"origins":["https://example.org/a?b=c&d=%20","http://[2001:db8::1]:8080/talk.mp4"]}`
	m := talk()
	b, err := m.Append(nil)
	if err != nil || string(b) != want {
		t.Fatalf("got %s, %v\nwant %s", b, err, want)
	}
	if !json.Valid(b) {
		t.Error("not JSON")
	}
	got, err := ParseManifest(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := got.Append(nil); string(again) != want {
		t.Errorf("parsed and written: %s", again)
	}
	short, err := (&Manifest{Name: "x", Hash: Sum(nil)}).Append(nil)
	if err != nil || strings.Contains(string(short), "type") || strings.Contains(string(short), "origins") {
		t.Errorf("a short one: %s, %v", short, err)
	}
}

func TestManifestErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Manifest)
		want   error
	}{
		{"no name", func(m *Manifest) { m.Name = "" }, ErrName},
		{"path", func(m *Manifest) { m.Name = "../x" }, ErrName},
		{"negative", func(m *Manifest) { m.Size = -1 }, ErrSize},
		{"huge", func(m *Manifest) { m.Size = MaxSize + 1 }, ErrSize},
		{"huge directory", func(m *Manifest) { m.MediaType, m.Size = DirectoryType, MaxDirectory+1 }, ErrSize},
		{"media type", func(m *Manifest) { m.MediaType = "video" }, ErrFormat},
		{"quoted media type", func(m *Manifest) { m.MediaType = `text/plain; charset="utf-8"` }, ErrFormat},
		{"origin of a file", func(m *Manifest) { m.Origins = []string{"file:///etc/passwd"} }, ErrFormat},
		{"origin with a quote", func(m *Manifest) { m.Origins = []string{`http://x/"`} }, ErrFormat},
		{"origin with a password", func(m *Manifest) { m.Origins = []string{"http://a:b@x/"} }, ErrFormat},
		{"origin without a host", func(m *Manifest) { m.Origins = []string{"http:///x"} }, ErrFormat},
		{"five origins", func(m *Manifest) { m.Origins = make([]string, 5) }, ErrFormat},
		{"too long", func(m *Manifest) {
			m.Origins = []string{"http://x/" + strings.Repeat("y", 500), "http://x/" + strings.Repeat("z", 500)}
		}, ErrFormat},
	} {
		m := talk()
		c.change(m)
		if _, err := m.Append(nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	good, _ := talk().Append(nil)
	for _, change := range [][2]string{
		{"{", " {"}, {"}", "}\n"}, {`"size":1`, `"size":01`}, {`"size":1234567`, `"size":-1`}, {`"size":1234567`, `"size":1e3`},
		{`"size":1234567`, `"size":99999999999999999999`}, {"ea8f", "EA8F"}, {"talk", `t\u0061lk`}, {`"origins"`, `"origin"`},
		{`,"type":"video/mp4; codecs=avc1"`, `,"type":""`}, {"manifest\":1", "manifest\":2"}, {"talk", "\xff"}, {"]}", ",]}"},
	} {
		if bad := strings.Replace(string(good), change[0], change[1], 1); bad == string(good) {
			t.Errorf("nothing changed by %q", change)
		} else if m, err := ParseManifest([]byte(bad)); err == nil {
			t.Errorf("%s: taken as %+v", bad, m)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", ".profile", "talk.mp4", "..x", "über ☕.txt", "👩‍🚀.png", "console", "COM10", strings.Repeat("x", 255)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
		if got := CleanName(name); got != name {
			t.Errorf("%q cleaned to %q", name, got)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "a\x00b", "a\nb", "a:b", "CON", "con.txt", "Lpt1 .x", "COM¹", "nul", "x.", "x ", " x",
		"a\u202eb", "\xff", strings.Repeat("x", 256), strings.Repeat("é", 128) + ".mp4", "a?b", "…\u2028"} {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		clean := CleanName(name)
		if err := CheckName(clean); err != nil {
			t.Errorf("%q cleaned to %q: %v", name, clean, err)
		}
	}
	if got := CleanName(strings.Repeat("é", 200) + ".mp4"); !strings.HasSuffix(got, "é.mp4") || len(got) > MaxName {
		t.Errorf("a long name became %q", got)
	}
	for _, path := range []string{"a", "a/b/c.txt", strings.Repeat("a/", 31) + "b"} {
		if err := CheckPath(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", `C:\x`, "C:/x", strings.Repeat("a/", 32) + "b",
		strings.Repeat(strings.Repeat("x", 200)+"/", 6)} {
		if err := CheckPath(path); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func folder() *Directory {
	return &Directory{Entries: []Entry{
		{Path: "a/b.txt", Size: 5, MediaType: "text/plain", Hash: helloHash},
		{Path: "a/c/d", Size: 0, Hash: Sum(nil)},
		{Path: "a.txt", Size: 1 << 30, Hash: Sum([]byte("x"))},
	}, Origins: []string{"https://example.org/files/"}}
}

func TestDirectory(t *testing.T) {
	d := folder()
	if _, err := d.Append(nil); !errors.Is(err, ErrDirectory) {
		t.Errorf("not sorted: %v", err)
	}
	d.Entries[0], d.Entries[1], d.Entries[2] = d.Entries[2], d.Entries[0], d.Entries[1]
	b, err := d.Append(nil)
	if err != nil || !json.Valid(b) {
		t.Fatalf("%s, %v", b, err)
	}
	got, err := ParseDirectory(b)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := got.Append(nil); string(again) != string(b) || got.Size() != 5+1<<30 {
		t.Errorf("parsed and written: %s", again)
	}
	for name, change := range map[string]func(*Directory){
		"empty":          func(d *Directory) { d.Entries = nil },
		"twice":          func(d *Directory) { d.Entries[1].Path = "a.txt" },
		"capitals":       func(d *Directory) { d.Entries[0].Path = "A/B.TXT" },
		"file is folder": func(d *Directory) { d.Entries[0].Path = "A" },
		"unsafe":         func(d *Directory) { d.Entries[2].Path = "a/../../x" },
		"too large":      func(d *Directory) { d.Entries[0].Size, d.Entries[1].Size = MaxSize, 1 },
		"negative":       func(d *Directory) { d.Entries[0].Size = -1 },
		"type":           func(d *Directory) { d.Entries[0].MediaType = "x" },
		"origin":         func(d *Directory) { d.Origins[0] = "https://example.org/files" },
	} {
		bad := folder()
		bad.Entries = append([]Entry{bad.Entries[2]}, bad.Entries[:2]...)
		change(bad)
		if b, err := bad.Append(nil); err == nil {
			t.Errorf("%s: taken: %s", name, b)
		}
	}
}

// There is one encoding of every manifest.
func FuzzParseManifest(f *testing.F) {
	b, _ := talk().Append(nil)
	f.Add(b)
	f.Add([]byte(`{"manifest":1,"name":"x","size":0,"hash":"` + Sum(nil).String() + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		if again, err := m.Append(nil); err != nil || string(again) != string(b) {
			t.Fatalf("%q became %q, %v", b, again, err)
		}
		if !json.Valid(b) {
			t.Fatalf("%q is not JSON", b)
		}
	})
}

func FuzzParseDirectory(f *testing.F) {
	d := folder()
	d.Entries[0], d.Entries[1], d.Entries[2] = d.Entries[2], d.Entries[0], d.Entries[1]
	b, _ := d.Append(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDirectory(b)
		if err != nil {
			return
		}
		if again, err := d.Append(nil); err != nil || string(again) != string(b) {
			t.Fatalf("%q became %q, %v", b, again, err)
		}
	})
}

// A clean name is one that is passed, and one that is passed is clean.
func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"a", "con.txt", " .. ", "a/b", "\xff\x00", strings.Repeat("é", 200) + ".mp4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		clean := CleanName(name)
		if err := CheckName(clean); err != nil {
			t.Fatalf("%q cleaned to %q: %v", name, clean, err)
		}
		if CheckName(name) == nil && clean != name {
			t.Fatalf("%q cleaned to %q", name, clean)
		}
	})
}

// A file of a directory is at the directory's origins and its path, escaped.
func TestDirectoryManifest(t *testing.T) {
	d := Directory{Entries: []Entry{{Path: "more/b c#é.bin", Size: 5, MediaType: "a/b", Hash: helloHash}},
		Origins: []string{"https://example.org/x/", "http://" + strings.Repeat("x", MaxOrigin-10) + "/"}}
	m := d.Manifest(0)
	want := Manifest{Name: "b c#é.bin", Size: 5, MediaType: "a/b", Hash: helloHash, Origins: []string{"https://example.org/x/more/b%20c%23%C3%A9.bin"}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
}
