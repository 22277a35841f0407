package node_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// withStore runs a node with a store that joins a group.
func withStore(t *testing.T, spec, dir string, bootstrap ...string) (*node.Node, *node.Group) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return joined(t, spec, node.Config{Store: s}, bootstrap...)
}

// joined runs a node that joins a group.
func joined(t *testing.T, spec string, cfg node.Config, bootstrap ...string) (*node.Node, *node.Group) {
	t.Helper()
	cfg.Listen, cfg.Bootstrap, cfg.Introduce = "127.0.0.1:0", bootstrap, len(bootstrap) == 0
	n, err := node.Start(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	g, err := n.Join(testContext(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	return n, g
}

func filesSpec(t *testing.T) string {
	t.Helper()
	s, err := group.NewSpec(group.SpecFields{Name: "files", Version: 2, Replication: true, ServerChannel: true})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// randomFile makes a file of so many random bytes.
func randomFile(t *testing.T, path string, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = rng.Read(b)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return b
}

func linkText(t *testing.T, l node.FileLink) string {
	t.Helper()
	text, err := l.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A file that one node shares is fetched by others, whole and byte by byte, by
// its link, of each other too, and is given on when the first has left.
func TestFilesOnSockets(t *testing.T) {
	spec := filesSpec(t)
	dir := t.TempDir()
	want := randomFile(t, filepath.Join(dir, "talk.mp4"), 3<<20+12345)
	first, g0 := withStore(t, spec, t.TempDir())
	ctx := testContext(t)
	link, err := g0.Objects().Share(ctx, filepath.Join(dir, "talk.mp4"), node.ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if link.Name != "talk.mp4" || link.MediaType != "video/mp4" || link.Size != int64(len(want)) {
		t.Errorf("link %+v", link)
	}
	text := linkText(t, link)
	_, g1 := withStore(t, spec, t.TempDir(), urlOf(first))
	_, g2 := withStore(t, spec, t.TempDir(), urlOf(first))
	for _, g := range []*node.Group{g1, g2} {
		f, err := g.Objects().Open(ctx, text)
		if err != nil {
			t.Fatal(err)
		}
		// From the middle, before it is complete.
		if _, err := f.Seek(1<<20, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 100_000)
		if _, err := io.ReadFull(f, part); err != nil || !bytes.Equal(part, want[1<<20:1<<20+100_000]) {
			t.Fatalf("the middle: %v", err)
		}
		if err := f.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out.mp4")
		if err := f.Export(ctx, out, store.ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the file differs, %v", err)
		}
		if st := f.Stats(); !st.Complete || st.Have != link.Size || st.BadBlocks != 0 {
			t.Errorf("%+v", st)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	_, g3 := withStore(t, spec, t.TempDir(), urlOf(first))
	for ev, err := range g3.Events(ctx) { // until it is linked with the others, too
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == node.NeighborConnected && len(g3.Neighbors()) == 3 {
			break
		}
	}
	first.Close()
	f, err := g3.Objects().Open(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("without the first: %d bytes, %v", len(got), err)
	}
}

// A directory is shared with all that is under it, empty files included, and
// who was stopped goes on with what he has.
func TestDirectoryAndResume(t *testing.T) {
	spec := filesSpec(t)
	dir := filepath.Join(t.TempDir(), "album")
	files := map[string][]byte{}
	for name, size := range map[string]int{"sub.txt": 10, "empty": 0, "sub/b.bin": 200_000} {
		files[name] = randomFile(t, filepath.Join(dir, filepath.FromSlash(name)), size)
	}
	first, g0 := withStore(t, spec, t.TempDir())
	ctx := testContext(t)
	link, err := g0.Objects().Share(ctx, dir, node.ShareOptions{Copy: true})
	if err != nil {
		t.Fatal(err)
	}
	storeDir := t.TempDir()
	n, g1 := withStore(t, spec, storeDir, urlOf(first))
	f, err := g1.Objects().Open(ctx, linkText(t, link))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	d, err := content.ParseDirectory(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Entries) != 3 || f.Manifest().Name != "album" {
		t.Fatalf("%+v in %q", d.Entries, f.Manifest().Name)
	}
	for _, e := range d.Entries {
		f, err := g1.Objects().OpenManifest(ctx, node.Manifest{Name: "x", Size: e.Size, Hash: e.Hash})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, files[e.Path]) {
			t.Errorf("%s: %d bytes, %v", e.Path, len(got), err)
		}
		f.Close()
	}
	n.Close()
	first.Close()
}

// What is wrong is said, and nothing is opened.
func TestFileErrors(t *testing.T) {
	spec := filesSpec(t)
	n, g := withStore(t, spec, t.TempDir())
	ctx := testContext(t)
	if _, err := g.Objects().Share(ctx, filepath.Join(t.TempDir(), "none"), node.ShareOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := g.Objects().Open(ctx, "http://example.org/x"); !errors.Is(err, content.ErrLink) {
		t.Errorf("no link: %v", err)
	}
	other, err := group.NewSpec(group.SpecFields{Name: "other", Replication: true})
	if err != nil {
		t.Fatal(err)
	}
	link := node.FileLink{Name: "x", Size: 5, Group: other.String()}
	if _, err := g.Objects().Open(ctx, linkText(t, link)); !errors.Is(err, node.ErrOtherGroup) {
		t.Errorf("a link to another group: %v", err)
	}
	_, bare := start(t, spec, urlOf(n))
	if _, err := bare.Objects().Open(ctx, linkText(t, node.FileLink{Name: "x", Size: 5})); !errors.Is(err, node.ErrNoStore) {
		t.Errorf("no store: %v", err)
	}
	f, err := g.Objects().Open(ctx, linkText(t, node.FileLink{Name: "x", Size: 5}))
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() { waited <- f.Wait(ctx) }()
	g.Close()
	if err := <-waited; !errors.Is(err, node.ErrClosed) {
		t.Errorf("the group was left: %v", err)
	}
	if _, err := f.Read(make([]byte, 5)); err == nil {
		t.Error("read something of nothing")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
