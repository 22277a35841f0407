package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"rtmfp/replication/content"
)

// tree writes files below a new folder.
func tree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "my files")
	for name, data := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		written(t, name, data)
	}
	return root
}

func TestDirectory(t *testing.T) {
	files := map[string][]byte{
		"a.txt": []byte("a"), "a/b.txt": randomData(1, 100000), "a/c/d": nil, "a/c/copy": randomData(1, 100000), "a-b": randomData(2, 65536),
	}
	root := tree(t, files)
	os.Symlink("/etc/passwd", filepath.Join(root, "link"))
	os.Mkdir(filepath.Join(root, "empty"), 0o755)
	for _, inPlace := range []bool{false, true} {
		s := opened(t, t.TempDir(), Options{})
		var last, total int64
		in, err := s.AddDirectory(ctx, root, AddOptions{InPlace: inPlace, Pin: true, Progress: func(d, n int64) { last, total = d, n }})
		if err != nil {
			t.Fatal(err)
		}
		if m := in.Manifest; m.Name != "my files" || !m.IsDirectory() || !in.Pinned || last != 265537 || total != 265537 {
			t.Errorf("%+v, progress %d of %d", in, last, total)
		}
		d, err := s.Directory(in.Manifest.Hash)
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, e := range d.Entries {
			paths = append(paths, e.Path)
		}
		if want := []string{"a-b", "a.txt", "a/b.txt", "a/c/copy", "a/c/d"}; !slices.Equal(paths, want) {
			t.Errorf("got %q, want %q", paths, want)
		}
		for _, move := range []bool{false, true} {
			out := filepath.Join(t.TempDir(), "new", "folder")
			if err := s.ExportDirectory(ctx, in.Manifest.Hash, out, ExportOptions{Move: move}); err != nil {
				t.Fatal(err)
			}
			for name, want := range files {
				if got, err := os.ReadFile(filepath.Join(out, filepath.FromSlash(name))); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := s.ExportDirectory(ctx, in.Manifest.Hash, out, ExportOptions{}); !move && !errors.Is(err, os.ErrExist) {
				t.Errorf("over files: %v", err)
			}
		}
	}
}

func TestDirectoryErrors(t *testing.T) {
	s := opened(t, t.TempDir(), Options{})
	for name, root := range map[string]string{
		"bad name": tree(t, map[string][]byte{"x": nil, "a:b": nil}),
		"capitals": tree(t, map[string][]byte{"x": nil, "X": nil}),
		"empty":    t.TempDir(),
		"missing":  filepath.Join(t.TempDir(), "none"),
	} {
		if in, err := s.AddDirectory(ctx, root, AddOptions{}); err == nil {
			t.Errorf("%s: added as %+v", name, in)
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.AddDirectory(over, tree(t, map[string][]byte{"x": nil}), AddOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if list := s.List(); len(list) != 0 {
		t.Errorf("left behind: %+v", list)
	}

	// A directory that leads out by a link that is there already, or whose files
	// are not all here.
	d := content.Directory{Entries: []content.Entry{{Path: "a/x", Size: 5, Hash: content.Sum([]byte("hello"))}}}
	b, err := d.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := added(t, s, "d", b).Manifest.Hash
	out, outside := t.TempDir(), t.TempDir()
	if err := s.ExportDirectory(ctx, h, out, ExportOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file is not in the store: %v", err)
	}
	created(t, s, "x", []byte("hello"))
	if err := s.ExportDirectory(ctx, h, out, ExportOptions{}); !errors.Is(err, ErrPartial) {
		t.Errorf("a file is not complete: %v", err)
	}
	sent(t, s, newSource([]byte("hello")), 0)
	if err := os.Symlink(outside, filepath.Join(out, "a")); err != nil {
		t.Skip(err)
	}
	if err := s.ExportDirectory(ctx, h, out, ExportOptions{Overwrite: true}); err == nil {
		t.Error("exported through a link")
	}
	if files, _ := os.ReadDir(outside); len(files) != 0 {
		t.Errorf("outside are now %v", files)
	}
	if _, err := s.Directory(content.Sum([]byte("hello"))); !errors.Is(err, content.ErrFormat) {
		t.Errorf("a file is no directory: %v", err)
	}
}
