package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Many goroutines do everything at once, in a store that is too small for it, and
// never read a wrong byte.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "store"), Options{Quota: 1 << 20, MaxOpen: 2, SyncBytes: 100000, SyncInterval: time.Millisecond, noSync: true, disk: fastDisk{}})
	if err != nil {
		t.Fatal(err)
	}
	const files = 6
	sources := make([]*source, files)
	for k := range sources {
		sources[k] = newSource(randomData(k, 50000+k*60000))
		written(t, filepath.Join(dir, strconv.Itoa(k)), sources[k].data)
	}
	expected := []error{ErrNotFound, ErrMissing, ErrQuota, ErrPartial, ErrClosed, errSwapped}
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 150 {
				k := r.IntN(files)
				src := sources[k]
				h := src.tree.Root()
				i := r.IntN(src.tree.Blocks())
				var err error
				switch r.IntN(10) {
				case 0:
					_, err = s.AddBytes(src.data, AddOptions{Name: "x"})
				case 1:
					_, err = s.Add(ctx, filepath.Join(dir, strconv.Itoa(k)), AddOptions{InPlace: true})
				case 2:
					err = s.Remove(h)
				case 3:
					_, _, err = s.Verify(ctx, h, nil)
				case 4:
					var rd *Reader
					if rd, err = s.OpenReader(h, func(i int) error { return src.send(s, i) }); err == nil {
						var got []byte
						if got, err = io.ReadAll(rd); err == nil && !bytes.Equal(got, src.data) {
							err = fmt.Errorf("wrong bytes of %d", k)
						}
						rd.Close()
					}
				case 5:
					s.List()
					s.Have(h)
					_, err = s.GC()
				case 6:
					err = s.Export(ctx, h, filepath.Join(dir, fmt.Sprint("out", g, k)), ExportOptions{Move: r.IntN(2) == 0, Overwrite: true})
				default:
					if _, err = s.Create(manifest("x", src.data)); err == nil {
						if err = src.send(s, i); errors.Is(err, ErrInvalid) {
							// It was removed and came back after the proof was made,
							// and needs a longer one.
							err = src.send(s, i)
						}
					}
				}
				if got, _, e := s.ReadBlock(h, i, 24, nil); e == nil && !bytes.Equal(got, block(src.data, i)) {
					err = fmt.Errorf("wrong bytes in block %d of %d", i, k)
				} else if err == nil {
					err = e
				}
				if err != nil && !isAny(err, expected) {
					t.Errorf("file %d: %v", k, err)
				}
			}
		})
	}
	all.Wait()
	if used, quota := s.Used(); used > quota {
		t.Errorf("%d bytes used of %d", used, quota)
	}
	closed(t, s)
	for _, it := range s.all() {
		if it.users != 0 {
			t.Errorf("%d uses of %s never ended", it.users, it.hash)
		}
	}
	if s.reserved != 0 {
		t.Errorf("%d bytes reserved by nobody", s.reserved)
	}
	s = opened(t, filepath.Join(dir, "store"), Options{})
	for _, in := range s.List() {
		if _, damaged, err := s.Verify(ctx, in.Manifest.Hash, nil); damaged != 0 || err != nil && !errors.Is(err, ErrChanged) {
			t.Errorf("%q: %d damaged, %v", in.Manifest.Name, damaged, err)
		}
	}
	clean(t, s)
}

func isAny(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
