//go:build e2e && linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pastFiles returns what a relay keeps of streams in a folder, and how much of it there is.
func pastFiles(t *testing.T, dir string) (names []string, size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "stream-*.past"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if fi, err := os.Stat(name); err == nil {
			size += fi.Size()
		}
	}
	return names, size
}

// A relay that keeps the past on disk gives it to a viewer that goes back farther than anybody else
// keeps it: the publisher has no more than 18 s. What a relay that was killed leaves, the next one removes,
// and a second one does not get the folder.
func TestPastOnDisk(t *testing.T) {
	clip, data := source(t)
	spec := newSpec(t, "--name", "past", "--multicast")
	dir := filepath.Join(t.TempDir(), "past")
	args := []string{"run", "--group", spec, "--identity", "none", "--listen", "127.0.0.1:0", "--keep-window", "1h", "--keep-dir", dir}
	relay := node(t, "relay", args...)
	url := relay.line(t, &relay.out, "rtmfp://", 20*time.Second)
	node(t, "publisher", "publish", "--group", spec, "--stream", "cam", "--identity", "none", "--bootstrap", url, "--loop", clip)
	const ran = 30 * time.Second
	time.Sleep(ran)
	if names, size := pastFiles(t, dir); len(names) != 1 || size < 2<<20 {
		t.Fatalf("on disk: %v, %d bytes", names, size)
	}

	file, figures := filepath.Join(t.TempDir(), "past.ts"), filepath.Join(t.TempDir(), "past.json")
	began := time.Now()
	viewer := node(t, "viewer", "play", "--group", spec, "--stream", "cam", "--identity", "none", "--bootstrap", url,
		"--back", "27s", "--duration", "6s", "-o", file, "--stats", figures)
	if code := viewer.wait(t, 40*time.Second); code != 0 {
		t.Fatalf("viewer: exit code %d", code)
	}
	if strings.Contains(viewer.err.String(), "no member holds") {
		t.Errorf("viewer: %s", viewer.err.String())
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// From what was published in the first seconds on it is the clip, byte for byte.
	at := bytes.Index(data, got[:min(len(got), 1880)])
	n := min(len(got), len(data)-max(at, 0))
	if at < 0 || at > 2_000_000 || n < 4_000_000 || !bytes.Equal(got[:n], data[at:at+n]) {
		t.Errorf("%d bytes, from %d of the clip on", len(got), at)
	}
	var f struct {
		StartupMS float64 `json:"startup_ms"`
		Lost      int
	}
	readJSON(t, figures, &f)
	if f.Lost > 0 {
		t.Errorf("lost %d fragments", f.Lost)
	}
	show(t, "27 s back, from the disk of a relay: first frame after %.0f ms, %.1f MB in %.1f s", f.StartupMS, float64(len(got))/1e6, time.Since(began).Seconds())

	if _, stderr, err := command(t, 20*time.Second, nodeProgram, args...); err == nil || !strings.Contains(stderr, "another process keeps streams there") {
		t.Errorf("a second relay with that folder: %v\n%s", err, stderr)
	}
	relay.signal(t, syscall.SIGKILL)
	relay.wait(t, 10*time.Second)
	if names, _ := pastFiles(t, dir); len(names) != 1 {
		t.Errorf("after the kill there is %v", names)
	}
	relay = node(t, "the next relay", args...)
	relay.line(t, &relay.out, "rtmfp://", 20*time.Second)
	if names, _ := pastFiles(t, dir); len(names) != 0 {
		t.Errorf("after the next start there is still %v", names)
	}
	relay.signal(t, syscall.SIGTERM)
	if code := relay.wait(t, 20*time.Second); code != 0 {
		t.Errorf("relay: exit code %d", code)
	}
}
