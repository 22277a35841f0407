package keepdir

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rtmfp/multicast"
)

// A file on a disk that is full stops to grow, says so once, and what it has goes on to be used.
func TestFullDisk(t *testing.T) {
	path := t.TempDir()
	if err := unix.Mount("none", path, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("no file system of a size: %v", err)
	}
	defer func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	var log bytes.Buffer
	d := open(t, path, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	f := d.Create("cam")
	grown := int64(0)
	for f.Grow() {
		if grown++; grown > 3 {
			t.Fatal("it grows beyond the disk")
		}
	}
	if f.Grow() || grown < 2 {
		t.Errorf("grew %d times", grown)
	}
	want := bytes.Repeat([]byte("full"), multicast.ExtentSize/4)
	for i := range grown {
		if !f.WriteAt(want, i*multicast.ExtentSize) {
			t.Fatal("what was allocated can't be written to")
		}
	}
	if s := d.Stats(); s.Full != 2 || s.Failed > 0 || s.Bytes != grown*multicast.ExtentSize {
		t.Errorf("stats: %+v", s)
	}
	if n := strings.Count(log.String(), "no room"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

// Files and folders are for nobody else.
func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "past")
	d := open(t, path, Options{})
	f := d.Create("cam")
	for name, want := range map[string]fs.FileMode{path: 0o700, f.f.Name(): 0o600, filepath.Join(path, lockName): 0o600} {
		if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, fi.Mode().Perm(), err, want)
		}
	}
	if os.Getuid() == 0 {
		return
	}
	locked := t.TempDir()
	if err := os.Chmod(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(locked, Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that can't be written to: %v", err)
	}
}
