package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every mistake fits the code as it is, and what it makes of it still parses.
func TestMistakesFit(t *testing.T) {
	top, err := module()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range all() {
		if names[m.Name] {
			t.Errorf("two mistakes are called %s", m.Name)
		}
		names[m.Name] = true
		if m.Why == "" || m.Old == m.New || strings.HasSuffix(m.File, "_test.go") {
			t.Errorf("mistake %s: got %+v, want a reason and a change of code", m.Name, m)
		}
		text, err := m.plant(top)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), m.File, text, 0); err != nil {
			t.Errorf("mistake %s does not parse: %v", m.Name, err)
		}
		b, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(m.File)))
		if err != nil {
			t.Fatal(err)
		}
		if text, err = graft(string(b), m.File, []Mistake{m}, func() int { return 1 }); err != nil {
			t.Error(err)
		} else if _, err := parser.ParseFile(token.NewFileSet(), m.File, text, 0); err != nil {
			t.Errorf("mistake %s does not parse as a twin: %v", m.Name, err)
		}
	}
	if len(names) < 40 {
		t.Errorf("got %d mistakes, want at least 40", len(names))
	}
}

// The twin of a function has its mistake, also where that begins with the name.
func TestTwin(t *testing.T) {
	const text = "package a\n\nfunc f(n int) int {\n\treturn n\n}\n"
	got, err := graft(text, "a.go", []Mistake{{Name: "m", Old: "func f(n int) int {\n\treturn n", New: "func f(n int) int {\n\treturn n + 1"}}, func() int { return 1 })
	if want := "func fMistake1(n int) int {\n\treturn n + 1\n}\n"; err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("got %v and\n%s\nwant at its end\n%s", err, got, want)
	}
	for _, m := range []Mistake{{Name: "m", Old: "func f(", New: "func g("}, {Name: "m", Old: "return n", New: "return n"}} {
		if got, err := graft(text, "a.go", []Mistake{m}, func() int { return 1 }); err == nil {
			t.Errorf("planted %+v:\n%s", m, got)
		}
	}
}

// What can't be planted is told, and is not taken for missed.
func TestStrayMistake(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("package a\n\nvar x, y = 1, 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, m := range []Mistake{
		{Name: "gone", File: "a.go", Old: "z", New: "0"},
		{Name: "twice", File: "a.go", Old: "1", New: "0"},
		{Name: "elsewhere", File: "b.go", Old: "x", New: "y"},
		{Name: "in no function", File: "a.go", Old: "var x", New: "var z"},
	} {
		if _, err := buildAll(dir, t.TempDir(), []Mistake{m}); err == nil {
			t.Errorf("%s: planted, want an error", m.Name)
		}
	}
}

// A share below the least fails.
func TestShare(t *testing.T) {
	var out strings.Builder
	v := []verdict{{Name: "a", Caught: true, CPU: 1}, {Name: "b", CPU: 2}}
	if err := sum(&out, v, options{least: 0.5}); err != nil {
		t.Error(err)
	}
	if err := sum(&out, v, options{least: 0.51}); err == nil {
		t.Error("one of two is taken for more than half")
	}
	if want := "1 of 2 mistakes caught (50 %) in 3 s of CPU\n"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q, want %q first", out.String(), want)
	}
}

func TestTellingLine(t *testing.T) {
	for _, c := range []struct{ out, want string }{
		{"a\nb\n", "b"},
		{"x\ninvariant \"bytes\" broken after 1s\nmore\n", "invariant \"bytes\" broken after 1s"},
		{"panic: BUG: x\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: BUG: x"},
		{"", ""},
	} {
		if got := tellingLine(c.out); got != c.want {
			t.Errorf("of %q: got %q, want %q", c.out, got, c.want)
		}
	}
}
