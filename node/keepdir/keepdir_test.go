package keepdir

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rtmfp/multicast"
)

func open(t *testing.T, path string, o Options) *Dir {
	t.Helper()
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// pasts returns the files of streams in a folder.
func pasts(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, "stream-*.past"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A file gives back what was written to it, its room is taken as it grows, and nothing of it stays.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d := open(t, path, Options{})
	f := d.Create("cam")
	want := bytes.Repeat([]byte("past"), 1000)
	for i := range int64(3) {
		if !f.Grow() {
			t.Fatal("it does not grow")
		}
		fi, err := f.f.Stat()
		if err != nil || fi.Size() != (i+1)*multicast.ExtentSize {
			t.Fatalf("the file has %d bytes, %v", fi.Size(), err)
		}
		if !f.WriteAt(want, i*multicast.ExtentSize+100) {
			t.Fatal("it can't be written to")
		}
	}
	got := make([]byte, len(want))
	if !f.ReadAt(got, 2*multicast.ExtentSize+100) || !bytes.Equal(got, want) {
		t.Error("it is not what was written")
	}
	if s := d.Stats(); s.Streams != 1 || s.Bytes != 3*multicast.ExtentSize || s.Failed > 0 {
		t.Errorf("stats: %+v", s)
	}
	f.Close()
	f.Close()
	if left := pasts(t, path); len(left) > 0 {
		t.Errorf("there are still %v", left)
	}
	if s := d.Stats(); s.Streams != 0 || s.Bytes != 0 {
		t.Errorf("stats: %+v", s)
	}
	if f.ReadAt(got, 0) || d.Stats().Failed != 1 {
		t.Errorf("a file that is closed is read: %+v", d.Stats())
	}
}

// There are so many files at once, and the others are told once.
func TestStreamsAtOnce(t *testing.T) {
	var log bytes.Buffer
	d := open(t, t.TempDir(), Options{Streams: 2, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	a, b := d.Create("a"), d.Create("b")
	if a == nil || b == nil || d.Create("c") != nil || d.Create("d") != nil {
		t.Error("not two of four have files")
	}
	a.Close()
	if d.Create("e") == nil || d.Create("f") != nil {
		t.Error("a place that is free again is not given")
	}
	if s := d.Stats(); s.Refused != 3 || s.Streams != 2 {
		t.Errorf("stats: %+v", s)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

// One process has the folder at a time, and removes what one that was killed has left.
func TestLockAndSweep(t *testing.T) {
	path := t.TempDir()
	other := filepath.Join(path, "notes.txt")
	for _, name := range []string{other, filepath.Join(path, "stream-123.past")} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, path, Options{})
	if left := pasts(t, path); len(left) > 0 {
		t.Errorf("there are still %v", left)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("what is not of a stream: %v", err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v, want ErrLocked", err)
	}
	f := d.Create("cam")
	d.Close()
	if left := pasts(t, path); len(left) > 0 {
		t.Errorf("after the end there are still %v", left)
	}
	f.Close()
	if d.Create("cam") != nil {
		t.Error("a folder that was given up has files")
	}
	open(t, path, Options{})
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, Options{}); err == nil {
		t.Error("a file is taken for a folder")
	}
}
