package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtmfp/replication/content"
)

// A file that is shared in place and changes is noticed at the first block that
// is not as it was, whatever its size and time say.
func TestChangedInPlace(t *testing.T) {
	data := randomData(1, 5*65536)
	for name, change := range map[string]func(path string){
		"size":    func(path string) { os.Truncate(path, 100) },
		"removed": func(path string) { os.Remove(path) },
		"other":   func(path string) { os.Remove(path); written(t, path, data[:4*65536]) },
		"byte": func(path string) {
			fi, _ := os.Stat(path)
			bad := bytes.Clone(data)
			bad[3*65536+9] ^= 1
			f, _ := os.OpenFile(path, os.O_WRONLY, 0)
			f.WriteAt(bad, 0)
			f.Close()
			os.Chtimes(path, fi.ModTime(), fi.ModTime())
		},
	} {
		for _, open := range []bool{false, true} {
			dir := t.TempDir()
			s := opened(t, dir, Options{})
			path := written(t, filepath.Join(t.TempDir(), "f"), data)
			in, err := s.Add(ctx, path, AddOptions{InPlace: true})
			if err != nil {
				t.Fatal(err)
			}
			h := in.Manifest.Hash
			if open {
				holds(t, s, data)
			}
			change(path)
			var failure error
			for i := range 5 {
				got, _, err := s.ReadBlock(h, i, 0, nil)
				if err == nil && !bytes.Equal(got, block(data, i)) {
					t.Fatalf("%s: wrong byte of block %d", name, i)
				}
				if err != nil && failure == nil {
					failure = err
				}
			}
			if open && (name == "removed" || name == "other") {
				// The file that was open is still what it was.
				if failure != nil {
					t.Errorf("%s: %v", name, failure)
				}
				closed(t, s)
				s = opened(t, dir, Options{})
				_, _, failure = s.ReadBlock(h, 0, 0, nil)
			}
			if !errors.Is(failure, ErrChanged) || !strings.Contains(failure.Error(), path) {
				t.Errorf("%s, open %v: %v", name, open, failure)
			}
			if in, _ := s.Info(h); !in.Broken || in.Complete || in.Have != 0 {
				t.Errorf("%s: %+v", name, in)
			}
			// It can be got from others, or shared again.
			if open {
				created(t, s, "f", data)
				sent(t, s, newSource(data), 0, 1, 2, 3, 4)
			} else {
				written(t, path, data)
				if _, err := s.Add(ctx, path, AddOptions{InPlace: true}); err != nil {
					t.Fatal(err)
				}
			}
			holds(t, s, data)
		}
	}
}

// What is damaged on the disk is never returned, and comes anew.
func TestDamaged(t *testing.T) {
	data := randomData(1, 9*65536+5)
	h := content.Sum(data)
	for name, change := range map[string]func(s *Store) int{ // returns the first block that is damaged, -1 for none
		"block": func(s *Store) int {
			f, _ := os.OpenFile(s.dataPath(h), os.O_WRONLY, 0)
			f.WriteAt([]byte("damage"), 4*65536+10)
			f.Close()
			return 4
		},
		"short":      func(s *Store) int { os.Truncate(s.dataPath(h), 8*65536); return 8 },
		"no data":    func(s *Store) int { os.Remove(s.dataPath(h)); return 0 },
		"tree":       func(s *Store) int { written(t, s.treePath(h), randomData(2, 9*64)); return -1 },
		"short tree": func(s *Store) int { os.Truncate(s.treePath(h), 3*64+1); return -1 },
		"no tree":    func(s *Store) int { os.Remove(s.treePath(h)); return -1 },
		// Without its hash no block can be told from a damaged one.
		"both": func(s *Store) int {
			f, _ := os.OpenFile(s.dataPath(h), os.O_WRONLY, 0)
			f.WriteAt([]byte("damage"), 4*65536+10)
			f.Close()
			os.Truncate(s.treePath(h), 5*64)
			return 4
		},
	} {
		dir := t.TempDir()
		s := opened(t, dir, Options{})
		added(t, s, "x", data)
		closed(t, s)
		s = opened(t, dir, Options{})
		first := change(s)
		src := newSource(data)
		for i := range src.tree.Blocks() {
			got, _, err := s.ReadBlock(h, i, 0, nil)
			if err == nil && !bytes.Equal(got, block(data, i)) {
				t.Fatalf("%s: wrong bytes of block %d", name, i)
			}
			if err != nil && (first < 0 || i < first) && name != "both" {
				t.Errorf("%s: block %d: %v", name, i, err)
			}
			if i == first && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrMissing) {
				t.Errorf("%s: damaged block %d: %v", name, i, err)
			}
		}
		if in, _ := s.Info(h); in.Complete != (first < 0) {
			t.Errorf("%s: %+v", name, in)
		}
		closed(t, s)
		s = opened(t, dir, Options{})
		sent(t, s, src, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
		holds(t, s, data)
		if checked, damaged, err := s.Verify(ctx, h, nil); checked != 10 || damaged != 0 || err != nil {
			t.Errorf("%s: %d blocks checked, %d damaged, %v", name, checked, damaged, err)
		}
		closed(t, s)
		s = opened(t, dir, Options{})
		holds(t, s, data)
		clean(t, s)
	}
}

func TestVerify(t *testing.T) {
	s := opened(t, t.TempDir(), Options{})
	data := randomData(1, 9*65536+5)
	h := added(t, s, "x", data).Manifest.Hash
	f, _ := os.OpenFile(s.dataPath(h), os.O_WRONLY, 0)
	f.WriteAt([]byte("damage"), 4*65536+10)
	f.WriteAt([]byte("damage"), 9*65536)
	f.Close()
	var done, total int64
	checked, damaged, err := s.Verify(ctx, h, func(d, n int64) { done, total = d, n })
	if checked != 10 || damaged != 2 || err != nil || total != int64(len(data)) || done != 8*65536 {
		t.Errorf("%d checked, %d damaged, %v, progress %d of %d", checked, damaged, err, done, total)
	}
	if r, _ := s.Have(h); len(r) != 2 || r[0] != (Range{0, 4}) || r[1] != (Range{5, 9}) {
		t.Errorf("have %v", r)
	}
}

// A block that was just written is not hashed once more for a member, who checks it
// himself; it is for whoever takes the bytes for granted, and for all as soon as it is
// durable.
func TestFreshBlocks(t *testing.T) {
	data := randomData(1, 9*65536+5)
	h := content.Sum(data)
	read := func(s *Store, i, hashes int) error {
		got, _, err := s.ReadBlock(h, i, hashes, nil)
		if err == nil && hashes == 0 && !bytes.Equal(got, block(data, i)) {
			t.Errorf("wrong bytes of block %d", i)
		}
		return err
	}
	s := opened(t, t.TempDir(), Options{})
	created(t, s, "x", data)
	sent(t, s, newSource(data), 0, 1, 2, 3)
	f, _ := os.OpenFile(s.dataPath(h), os.O_WRONLY, 0)
	for i := range int64(4) {
		f.WriteAt([]byte("damage"), i*65536)
	}
	f.Close()
	if err := read(s, 0, 1); err != nil {
		t.Errorf("for a member, just written: %v", err)
	}
	if err := read(s, 0, 0); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without a proof, just written: %v", err)
	}
	if err := read(s, 0, 1); !errors.Is(err, ErrMissing) {
		t.Errorf("for a member, found damaged: %v", err)
	}
	r, err := s.OpenReader(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 10), 65536); !errors.Is(err, ErrCorrupt) {
		t.Errorf("by a reader, just written: %v", err)
	}
	r.Close()
	if err := s.Sync(h); err != nil {
		t.Fatal(err)
	}
	if err := read(s, 2, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("for a member, durable: %v", err)
	}
}
