package archtest

import (
	"go/ast"
	"path/filepath"
	"strings"
	"testing"
)

// The tree keeps to the picture of its design, and its cores are pure.
func TestTree(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	all, err := list(root)
	if err != nil {
		t.Fatal(err)
	}
	standard := make(map[string]bool)
	for _, p := range all {
		standard[p.ImportPath] = p.Standard
	}
	load := newLoader(all)
	packages, cores := 0, 0
	for _, p := range all {
		if !p.ours() {
			continue
		}
		packages++
		for _, f := range checkLayers(p, func(path string) bool { return isStandard(path, standard) }) {
			t.Error(f)
		}
		r := roomOf(p.ImportPath)
		if r == nil || !r.core && r.coreTypes == nil {
			continue
		}
		cores++
		s, err := load.load(p)
		if err != nil {
			t.Errorf("%s: %v", p.ImportPath, err)
			continue
		}
		for _, f := range checkPurity(s, func(f *ast.File) bool { return r.core || declaresMethodOf(f, r.coreTypes) }) {
			t.Error(strings.TrimPrefix(f, root+string(filepath.Separator)))
		}
	}
	// A loader that finds nothing would find nothing wrong either.
	if packages < 10 || cores < 8 {
		t.Errorf("got %d packages and %d cores, want at least 10 and 8", packages, cores)
	}
}

// isStandard tells the standard library's packages. Imports of tests alone are
// not among those listed; no path element of the standard library's has a dot.
func isStandard(path string, listed map[string]bool) bool {
	if std, ok := listed[path]; ok {
		return std
	}
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}
