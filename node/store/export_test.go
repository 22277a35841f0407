package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"rtmfp/replication/content"
)

func TestExport(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	s := opened(t, dir, Options{})
	src := newSource(randomData(1, 3*65536+1))
	h := created(t, s, "x", src.data).Manifest.Hash
	path := filepath.Join(out, "talk.bin")
	sent(t, s, src, 0, 2, 3)
	if err := s.Export(ctx, h, path, ExportOptions{}); !errors.Is(err, ErrPartial) {
		t.Errorf("partial: %v", err)
	}
	sent(t, s, src, 1)
	same := func(path string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, src.data) {
			t.Errorf("%s: %v", path, err)
		}
	}
	var done int64
	if err := s.Export(ctx, h, path, ExportOptions{Progress: func(d, _ int64) { done = d }}); err != nil {
		t.Fatal(err)
	}
	same(path)
	if done != int64(len(src.data)) {
		t.Errorf("progress ended at %d", done)
	}
	if err := s.Export(ctx, h, path, ExportOptions{Move: true}); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	written(t, path, []byte("old"))
	r, err := s.OpenReader(h, nil) // it goes on through the move
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Export(ctx, h, path, ExportOptions{Move: true, Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	same(path)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, src.data) {
		t.Errorf("reader: %v", err)
	}
	r.Close()
	if in, _ := s.Info(h); in.Path != path || !in.Complete {
		t.Errorf("after the move: %+v", in)
	}
	if used, _ := s.Used(); used != 3*content.PairSize {
		t.Errorf("%d bytes used", used)
	}
	clean(t, s)
	holds(t, s, src.data)
	if err := s.Export(ctx, h, path, ExportOptions{}); err != nil {
		t.Errorf("to where it is: %v", err)
	}
	if err := s.Export(ctx, h, filepath.Join(out, "copy"), ExportOptions{Move: true}); err != nil {
		t.Fatal(err) // what is in place already is copied
	}
	same(filepath.Join(out, "copy"))
	if err := s.Export(ctx, h, filepath.Join(out, "no", "folder"), ExportOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("to a folder that is not there: %v", err)
	}
	if files, _ := os.ReadDir(out); len(files) != 2 {
		t.Errorf("left behind: %v", files)
	}
}

func TestExportDamaged(t *testing.T) {
	for _, move := range []bool{false, true} {
		s := opened(t, t.TempDir(), Options{})
		data := randomData(1, 3*65536+1)
		h := added(t, s, "x", data).Manifest.Hash
		f, _ := os.OpenFile(s.dataPath(h), os.O_WRONLY, 0)
		f.WriteAt([]byte("damage"), 70000)
		f.Close()
		out := t.TempDir()
		if err := s.Export(ctx, h, filepath.Join(out, "x"), ExportOptions{Move: move}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("move %v: %v", move, err)
		}
		if files, _ := os.ReadDir(out); len(files) != 0 {
			t.Errorf("left behind: %v", files)
		}
	}
}

func TestReader(t *testing.T) {
	s := opened(t, t.TempDir(), Options{})
	src := newSource(randomData(1, 5*65536+77))
	h := created(t, s, "x", src.data).Manifest.Hash
	var waited []int
	r, err := s.OpenReader(h, func(i int) error {
		waited = append(waited, i)
		return src.send(s, i)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := make([]byte, 100)
	if n, err := r.ReadAt(p, 3*65536-50); n != 100 || err != nil || !bytes.Equal(p, src.data[3*65536-50:][:100]) {
		t.Errorf("%d, %v", n, err)
	}
	if at, err := r.Seek(-7, io.SeekEnd); err != nil || at != int64(len(src.data))-7 {
		t.Errorf("at %d, %v", at, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, src.data[len(src.data)-7:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if len(waited) != 3 || waited[0] != 2 || waited[1] != 3 || waited[2] != 5 {
		t.Errorf("waited for %v", waited)
	}
	r.Seek(0, io.SeekStart)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, src.data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n, err := r.ReadAt(p, int64(len(src.data))-30); n != 30 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	none, err := s.OpenReader(created(t, s, "y", randomData(2, 70000)).Manifest.Hash, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Read(p); !errors.Is(err, ErrMissing) {
		t.Errorf("without a wait: %v", err)
	}
	none.Close()
	if _, err := none.Read(p); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// A file that was renamed before the index could say that it was is found, in the
// same session and in the next.
func TestMovedUntold(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		dir, path := t.TempDir(), filepath.Join(t.TempDir(), "x")
		s := opened(t, dir, Options{})
		data := randomData(1, 3*65536+1)
		h := added(t, s, "x", data).Manifest.Hash
		if err := s.change(h, func(r *record) { r.Moving = path }); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.dataPath(h), path); err != nil {
			t.Fatal(err)
		}
		if reopen {
			closed(t, s)
			s = opened(t, dir, Options{})
		}
		holds(t, s, data)
		if in, err := s.Info(h); err != nil || in.Path != path || !in.Complete {
			t.Errorf("reopened %v: %+v, %v", reopen, in, err)
		}
	}
}
