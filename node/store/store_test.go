package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rtmfp/replication/content"
)

var ctx = context.Background()

// randomData returns bytes that a seed gives. They are kept: nobody may change
// them.
func randomData(seed, n int) []byte {
	key := [2]int{seed, n}
	if b, ok := made.Load(key); ok {
		return b.([]byte)
	}
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	made.Store(key, b)
	return b
}

var made sync.Map

// opened opens a store that the test closes, and that syncs only when told.
func opened(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Hour
	}
	o.noSync = true
	if o.disk == nil {
		o.disk = fastDisk{}
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func written(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func added(t testing.TB, s *Store, name string, data []byte) Info {
	t.Helper()
	in, err := s.AddBytes(data, AddOptions{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if !in.Complete || in.Manifest.Hash != content.Sum(data) || in.Manifest.Name != name || in.Manifest.Size != int64(len(data)) {
		t.Fatalf("added as %+v", in)
	}
	return in
}

// holds checks that every block of a file reads as it is, with a proof.
func holds(t testing.TB, s *Store, data []byte) {
	t.Helper()
	h := content.Sum(data)
	tree, _ := content.NewTree(h, int64(len(data)))
	for i := range tree.Blocks() {
		got, proof, err := s.ReadBlock(h, i, tree.Need(i), nil)
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		if err := tree.Verify(i, got, proof); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		if !bytes.Equal(got, block(data, i)) {
			t.Fatalf("block %d: wrong bytes", i)
		}
	}
}

func block(data []byte, i int) []byte {
	return data[i*content.BlockSize : min((i+1)*content.BlockSize, len(data))]
}

func manifest(name string, data []byte) content.Manifest {
	return content.Manifest{Name: name, Size: int64(len(data)), Hash: content.Sum(data)}
}

func created(t testing.TB, s *Store, name string, data []byte) Info {
	t.Helper()
	in, err := s.Create(manifest(name, data))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// source gives blocks with proofs.
type source struct {
	data []byte
	tree *content.Tree
}

func newSource(data []byte) *source {
	tree, err := content.Build(bytes.NewReader(data))
	if err != nil {
		panic(err)
	}
	return &source{data, tree}
}

// send writes block i of a source to a store.
func (src *source) send(s *Store, i int) error {
	h := src.tree.Root()
	need, err := s.Need(h, i)
	if err != nil {
		return err
	}
	proof, err := src.tree.AppendProof(nil, i, need)
	if err != nil {
		return err
	}
	return s.WriteBlock(h, i, block(src.data, i), proof)
}

func sent(t testing.TB, s *Store, src *source, blocks ...int) {
	t.Helper()
	for _, i := range blocks {
		if err := src.send(s, i); err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
	}
}

func TestAdd(t *testing.T) {
	dir, files := t.TempDir(), t.TempDir()
	s := opened(t, dir, Options{})
	var all [][]byte
	for i, n := range []int{0, 1, 65536, 65537, 300000} {
		data := randomData(i, n)
		all = append(all, data)
		path := written(t, filepath.Join(files, "f"+string(rune('0'+i))+".bin"), data)
		var last, total int64
		in, err := s.Add(ctx, path, AddOptions{InPlace: i%2 == 0, MediaType: "a/b", Pin: i == 1, Progress: func(d, n int64) { last, total = d, n }})
		if err != nil {
			t.Fatal(err)
		}
		if in.Manifest.Name != filepath.Base(path) || in.Manifest.MediaType != "a/b" || !in.Complete || in.Pinned != (i == 1) ||
			(in.Path == path) != (i%2 == 0) || in.Have != in.Blocks {
			t.Errorf("%d bytes: %+v", n, in)
		}
		if last != int64(n) || n > 0 && total != int64(n) {
			t.Errorf("%d bytes: progress ended at %d of %d", n, last, total)
		}
		holds(t, s, data)
	}
	// The same again is one file, with the newer name.
	if in := added(t, s, "again.bin", all[4]); in.Path != "" {
		t.Errorf("a copy of a shared file is at %q", in.Path)
	}
	if got := len(s.List()); got != 5 {
		t.Errorf("%d files, want 5", got)
	}
	closed(t, s)
	s = opened(t, dir, Options{})
	for _, data := range all {
		holds(t, s, data)
	}
	if in, err := s.Info(content.Sum(all[4])); err != nil || in.Manifest.Name != "again.bin" {
		t.Errorf("%+v, %v", in, err)
	}
	if list := s.List(); len(list) != 5 || list[0].Manifest.Name != "again.bin" {
		t.Errorf("list begins with %+v, want what was read last", list[0])
	}
}

func TestAddErrors(t *testing.T) {
	s := opened(t, t.TempDir(), Options{})
	dir := t.TempDir()
	if _, err := s.Add(ctx, filepath.Join(dir, "none"), AddOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := s.Add(ctx, dir, AddOptions{}); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("folder: %v", err)
	}
	if _, err := s.AddReader(ctx, strings.NewReader("abc"), 5, AddOptions{Name: "x"}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short reader: %v", err)
	}
	if _, err := s.AddBytes(nil, AddOptions{Name: "../x"}); !errors.Is(err, content.ErrName) {
		t.Errorf("bad name: %v", err)
	}
	if _, err := s.AddBytes([]byte("abc"), AddOptions{Name: "x", Hash: content.Sum(nil)}); !errors.Is(err, ErrInvalid) {
		t.Errorf("another hash: %v", err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.AddReader(over, strings.NewReader("abc"), 3, AddOptions{Name: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	path := written(t, filepath.Join(dir, "f"), randomData(1, 1<<20))
	for _, inPlace := range []bool{false, true} {
		_, err := s.Add(ctx, path, AddOptions{InPlace: inPlace, Progress: func(done, _ int64) {
			written(t, path, randomData(2, 1<<20-int(done%7)))
		}})
		if err == nil {
			t.Errorf("in place %v: a file that changes meanwhile was added", inPlace)
		}
	}
	if list := s.List(); len(list) != 0 {
		t.Errorf("left behind: %+v", list)
	}
	if used, _ := s.Used(); used != 0 {
		t.Errorf("%d bytes used by nothing", used)
	}
	clean(t, s)
}

// clean checks that there are just the files on disk that the index names.
func clean(t testing.TB, s *Store) {
	t.Helper()
	want := make(map[string]bool) // whether it must be there
	for _, in := range s.List() {
		h := in.Manifest.Hash
		if in.Path == "" {
			want[s.dataPath(h)] = in.Complete
		}
		if in.Blocks > 1 {
			want[s.treePath(h)] = in.Complete
		}
		s.mu.Lock()
		if it := s.items[h]; it != nil && it.noted {
			want[s.newPath(h)] = true
		}
		s.mu.Unlock()
	}
	for _, top := range []string{dirData, dirTrees, dirNew, dirTemp} {
		err := filepath.WalkDir(filepath.Join(s.dir, top), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if _, ok := want[path]; !ok {
				t.Errorf("left on disk: %s", path)
			}
			delete(want, path)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for path, must := range want {
		if must {
			t.Errorf("not on disk: %s", path)
		}
	}
}

func TestDownload(t *testing.T) {
	for _, n := range []int{0, 100, 65536, 5*65536 + 77, 70 * 65536} {
		dir := t.TempDir()
		s := opened(t, dir, Options{})
		src := newSource(randomData(n, n))
		blocks := src.tree.Blocks()
		in := created(t, s, "x", src.data)
		if in.Complete != (n == 0) || in.Blocks != blocks {
			t.Fatalf("%d bytes: %+v", n, in)
		}
		order := rand.New(rand.NewPCG(1, 2)).Perm(blocks)
		for k, i := range order {
			if _, _, err := s.ReadBlock(in.Manifest.Hash, i, 0, nil); !errors.Is(err, ErrMissing) {
				t.Fatalf("block %d before it came: %v", i, err)
			}
			sent(t, s, src, i)
			if data, proof, err := s.ReadBlock(in.Manifest.Hash, i, 99, nil); err != nil || !bytes.Equal(data, block(src.data, i)) {
				t.Fatalf("block %d: %v", i, err)
			} else if fresh, _ := content.NewTree(in.Manifest.Hash, int64(n)); fresh.Verify(i, data, proof) != nil {
				t.Fatalf("block %d: a wrong proof", i)
			}
			if k%20 == 19 { // now and then the process ends
				closed(t, s)
				s = opened(t, dir, Options{})
				if in := created(t, s, "x", src.data); in.Have != k+1 {
					t.Fatalf("%d blocks after reopening, want %d", in.Have, k+1)
				}
			}
			got := 0
			have, err := s.Have(in.Manifest.Hash)
			for _, r := range have {
				got += r.To - r.From
			}
			if err != nil || got != k+1 {
				t.Fatalf("%d blocks there, %v; want %d", got, err, k+1)
			}
		}
		holds(t, s, src.data)
		if err := s.Sync(in.Manifest.Hash); err != nil {
			t.Fatal(err)
		}
		if in, _ := s.Info(in.Manifest.Hash); !in.Complete {
			t.Errorf("%d bytes: %+v", n, in)
		}
		closed(t, s)
		s = opened(t, dir, Options{})
		holds(t, s, src.data)
		clean(t, s)
	}
}

func TestWrongBlocks(t *testing.T) {
	s := opened(t, t.TempDir(), Options{})
	src := newSource(randomData(1, 5*65536+77))
	h := created(t, s, "x", src.data).Manifest.Hash
	proof, _ := src.tree.AppendProof(nil, 2, 99)
	bad := bytes.Clone(block(src.data, 2))
	bad[5] ^= 1
	for name, err := range map[string]error{
		"byte":     s.WriteBlock(h, 2, bad, proof),
		"place":    s.WriteBlock(h, 3, block(src.data, 2), proof),
		"beyond":   s.WriteBlock(h, 6, block(src.data, 2), proof),
		"negative": s.WriteBlock(h, -1, block(src.data, 2), proof),
		"length":   s.WriteBlock(h, 2, bad[1:], proof),
		"no proof": s.WriteBlock(h, 2, block(src.data, 2), nil),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	sent(t, s, src, 2)
	if err := s.WriteBlock(h, 2, bad, proof); !errors.Is(err, ErrInvalid) {
		t.Errorf("a wrong block of one that is there: %v", err)
	}
	if r, err := s.Have(h); err != nil || len(r) != 1 || r[0] != (Range{2, 3}) {
		t.Errorf("have %v, %v", r, err)
	}
	if err := s.WriteBlock(content.Hash{}, 0, nil, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Create(content.Manifest{Name: "x", Size: 77, Hash: h}); !errors.Is(err, content.ErrSize) {
		t.Errorf("another size: %v", err)
	}
}

func TestQuota(t *testing.T) {
	const each = 100000 + 64 // a file of two blocks and its pair
	dir := t.TempDir()
	s := opened(t, dir, Options{Quota: 4 * each})
	var data [][]byte
	for i := range 8 {
		data = append(data, randomData(i, 100000))
	}
	has := func(want string) {
		t.Helper()
		got := ""
		for i, d := range data {
			if _, err := s.Info(content.Sum(d)); err == nil {
				got += string(rune('0' + i))
			}
		}
		if got != want {
			t.Errorf("there are %s, want %s", got, want)
		}
		if used, quota := s.Used(); used != int64(len(want))*each || used > quota {
			t.Errorf("%d bytes used of %d, by %d files", used, quota, len(want))
		}
		clean(t, s)
	}
	for i := range 4 {
		added(t, s, "x", data[i])
	}
	has("0123")
	holds(t, s, data[0]) // used last
	added(t, s, "x", data[4])
	has("0234")
	if err := s.Pin(content.Sum(data[2]), true); err != nil {
		t.Fatal(err)
	}
	holds(t, s, data[3])
	holds(t, s, data[0])
	holds(t, s, data[4])
	closed(t, s)
	s = opened(t, dir, Options{Quota: 4 * each}) // and it is known which were used when
	r, err := s.OpenReader(content.Sum(data[3]), nil)
	if err != nil {
		t.Fatal(err)
	}
	created(t, s, "x", data[5]) // a download has its room from the beginning
	has("2345")
	added(t, s, "x", data[6])
	has("2356")
	added(t, s, "x", data[7])
	has("2367")
	if _, err := s.AddBytes(randomData(9, 3*each), AddOptions{Name: "x"}); !errors.Is(err, ErrQuota) {
		t.Errorf("more than pinned and used files leave: %v", err)
	}
	if _, err := s.AddReader(ctx, io.LimitReader(zeros{}, 1<<30), -1, AddOptions{Name: "x"}); !errors.Is(err, ErrQuota) {
		t.Errorf("a reader without an end: %v", err)
	}
	if _, err := s.Create(content.Manifest{Name: "x", Size: 1 << 40, Hash: content.Hash{1}}); !errors.Is(err, ErrQuota) {
		t.Errorf("a huge download: %v", err)
	}
	r.Close()
	// What lies elsewhere costs its pairs alone.
	path := written(t, filepath.Join(t.TempDir(), "f"), randomData(9, 20*65536))
	if in, err := s.Add(ctx, path, AddOptions{InPlace: true}); err != nil || !in.Complete {
		t.Error(err)
	}
	closed(t, s)
	s = opened(t, dir, Options{Quota: each})
	if _, err := s.GC(); err != nil {
		t.Fatal(err)
	}
	if list := s.List(); len(list) != 2 || list[0].Path == "" && !list[0].Pinned {
		t.Errorf("left by a small quota: %+v", list)
	}
	clean(t, s)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRemove(t *testing.T) {
	s := opened(t, t.TempDir(), Options{})
	data := randomData(1, 200000)
	path := written(t, filepath.Join(t.TempDir(), "f"), data)
	h := content.Sum(data)
	for _, inPlace := range []bool{true, false} {
		if _, err := s.Add(ctx, path, AddOptions{InPlace: inPlace}); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(h); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(h); !errors.Is(err, ErrNotFound) {
			t.Errorf("again: %v", err)
		}
		if _, _, err := s.ReadBlock(h, 0, 0, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("read: %v", err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the shared file itself: %v", err)
		}
		clean(t, s)
	}
	if used, _ := s.Used(); used != 0 {
		t.Errorf("%d bytes used by nothing", used)
	}
	// Orphans are swept.
	written(t, filepath.Join(s.dir, dirTrees, "x"), data)
	os.MkdirAll(filepath.Join(s.dir, dirData, "ab"), 0o755)
	written(t, filepath.Join(s.dir, dirData, "ab", h.String()), data)
	if freed, err := s.GC(); err != nil || freed != 400000 {
		t.Errorf("freed %d, %v", freed, err)
	}
	clean(t, s)
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	closed(t, s)
	closed(t, s) // no harm
	if _, err := s.Info(content.Hash{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"pin":    s.Pin(content.Hash{}, true),
		"remove": s.Remove(content.Hash{}),
		"sync":   s.Sync(content.Hash{}),
		"write":  s.WriteBlock(content.Hash{}, 0, nil, nil),
	} {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s after close: %v", name, err)
		}
	}
	if _, err := s.AddBytes([]byte("x"), AddOptions{Name: "x"}); !errors.Is(err, ErrClosed) {
		t.Errorf("add after close: %v", err)
	}
}

// Of many files only some are kept open.
func TestOpenFiles(t *testing.T) {
	s := opened(t, t.TempDir(), Options{MaxOpen: 3})
	var data [][]byte
	for i := range 10 {
		data = append(data, randomData(i, 70000+i))
		created(t, s, "x", data[i])
		sent(t, s, newSource(data[i]), i%2)
	}
	for i := range data {
		if r, err := s.Have(content.Sum(data[i])); err != nil || len(r) != 1 || r[0].From != i%2 {
			t.Errorf("file %d: %v, %v", i, r, err)
		}
		sent(t, s, newSource(data[i]), 1-i%2)
		holds(t, s, data[i])
	}
	if len(s.loaded) > 3 || s.trees > 3*64 {
		t.Errorf("%d files are open, with %d bytes of hashes", len(s.loaded), s.trees)
	}
}
