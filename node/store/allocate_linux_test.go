package store

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"rtmfp/replication/content"
)

// allocated returns how many bytes a file takes on the disk.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Blocks * 512
}

// A download has its place on the disk from its first block on.
func TestAllocate(t *testing.T) {
	dir := t.TempDir()
	trial, err := os.Create(filepath.Join(dir, "trial"))
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	if err := syscall.Fallocate(int(trial.Fd()), 0, 0, 1<<20); err != nil {
		t.Skipf("this file system: %v", err)
	}
	s := opened(t, filepath.Join(dir, "s"), Options{disk: osDisk{}})
	src := newSource(randomData(1, 30*content.BlockSize+5))
	created(t, s, "x", src.data)
	sent(t, s, src, 7)
	if got := allocated(t, s.dataPath(src.tree.Root())); got < int64(len(src.data)) {
		t.Errorf("%d bytes are allocated for a file of %d", got, len(src.data))
	}
}
