package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rtmfp/replication/content"
)

// What becomes of a file that was moved out before it was durable, when the
// store was not closed.
func TestLoose(t *testing.T) {
	data := randomData(1, 5*65536+1)
	damage := func(path string) {
		t.Helper()
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt(make([]byte, 4096), 2*65536)
		f.Close()
		os.Chtimes(path, fi.ModTime(), fi.ModTime())
	}
	for _, c := range []struct {
		name  string
		after func(path, inStore string)
		place bool // it stays where it was moved to
		lost  int  // the block that is missing, -1 for none
		gone  bool // shared no more
	}{
		{"nothing", func(string, string) {}, true, -1, false},
		{"the power takes a page", func(path, _ string) { damage(path) }, false, 2, false},
		{"the power takes the end", func(path, _ string) {
			fi, _ := os.Stat(path)
			os.Truncate(path, 5*65536)
			os.Chtimes(path, fi.ModTime(), fi.ModTime())
		}, false, 5, false},
		{"the power takes the name", func(path, inStore string) { os.Rename(path, inStore) }, false, -1, false},
		{"its owner changes it", func(path, _ string) {
			damage(path)
			later := time.Now().Add(time.Minute)
			os.Chtimes(path, later, later)
		}, true, -1, true},
		{"its owner takes it", func(path, _ string) { os.Remove(path) }, false, -1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, path := t.TempDir(), filepath.Join(t.TempDir(), "x")
			s, err := Open(dir, Options{noSync: true, SyncInterval: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			src := newSource(data)
			h := created(t, s, "x", data).Manifest.Hash
			sent(t, s, src, 0, 1, 2, 3, 4, 5)
			if err := s.Export(ctx, h, path, ExportOptions{Move: true}); err != nil {
				t.Fatal(err)
			}
			holds(t, s, data)
			abandon(s)
			c.after(path, s.dataPath(h))
			s = opened(t, dir, Options{})
			if _, err := os.Stat(path); (err == nil) != c.place {
				t.Errorf("at its path: %v", err)
			}
			for i := range src.tree.Blocks() {
				got, _, err := s.ReadBlock(h, i, 0, nil)
				switch {
				case c.gone && !errors.Is(err, ErrChanged), !c.gone && i == c.lost && !errors.Is(err, ErrMissing):
					t.Errorf("block %d: %v", i, err)
				case !c.gone && i != c.lost && (err != nil || !bytes.Equal(got, block(data, i))):
					t.Errorf("block %d: %v", i, err)
				}
			}
			created(t, s, "x", data)
			for i := range src.tree.Blocks() {
				sent(t, s, src, i)
			}
			holds(t, s, data)
		})
	}
}

// A loose file is durable after Sync, and then nobody reads all of it again.
func TestTighten(t *testing.T) {
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "x")
	s := opened(t, dir, Options{})
	src := newSource(randomData(1, 5*65536+1))
	h := created(t, s, "x", src.data).Manifest.Hash
	sent(t, s, src, 0, 1, 2, 3, 4, 5)
	if err := s.Export(ctx, h, path, ExportOptions{Move: true}); err != nil {
		t.Fatal(err)
	}
	loose := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.items[h].record.Loose
	}
	if !loose() {
		t.Error("durable before it was synced")
	}
	if err := s.Sync(h); err != nil {
		t.Fatal(err)
	}
	if loose() {
		t.Error("not durable after it was synced")
	}
}

// A file that was announced is there after the end of the process, unless it was
// removed; what is left of an announcement by the loss of power is swept away.
func TestAnnounced(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{noSync: true, SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	kept, removed := randomData(1, 200000), randomData(2, 200000)
	created(t, s, "kept", kept)
	created(t, s, "removed", removed)
	if known, err := s.index.has(content.Sum(kept)); err != nil || known {
		t.Errorf("in the index at once: %v, %v", known, err)
	}
	if err := s.Remove(content.Sum(removed)); err != nil {
		t.Fatal(err)
	}
	written(t, s.newPath(content.Sum([]byte("half"))), []byte(`{"manifest":1,"na`))
	written(t, s.newPath(content.Sum([]byte("other"))), []byte(nil))
	abandon(s)
	s = opened(t, dir, Options{})
	if l := s.List(); len(l) != 1 || l[0].Manifest.Hash != content.Sum(kept) || l[0].Manifest.Name != "kept" {
		t.Errorf("there is %+v", l)
	}
	clean(t, s)
	if err := s.Sync(content.Sum(kept)); err != nil {
		t.Fatal(err)
	}
	if known, err := s.index.has(content.Sum(kept)); err != nil || !known {
		t.Errorf("in the index after a sync: %v, %v", known, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, dirNew)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
