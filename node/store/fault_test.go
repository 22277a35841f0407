package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"rtmfp/replication/content"
)

var everyFault = flag.Bool("faults", false, "let every operation of the disk fail, instead of some")

// play is a story of everything that a store does with the disk, and what it was
// told that is durable.
type play struct {
	dir, files string

	copied, shared, first, second, third []byte // contents

	durable map[content.Hash][]int // blocks that must be there afterwards, nil for all
	gone    map[content.Hash]bool  // files that may be missing
	out     string                 // where one file is moved to
	loose   string                 // and another, before it is durable
}

func newPlay(t *testing.T) *play {
	p := &play{dir: t.TempDir(), files: t.TempDir(), copied: randomData(1, 3*65536+7), shared: randomData(2, 2*65536),
		first: randomData(3, 9*65536+1), second: randomData(4, 5*65536), third: randomData(5, 6*65536+9),
		durable: make(map[content.Hash][]int), gone: make(map[content.Hash]bool)}
	p.out, p.loose = filepath.Join(p.files, "moved"), filepath.Join(p.files, "loose")
	written(t, filepath.Join(p.files, "copied"), p.copied)
	written(t, filepath.Join(p.files, "shared"), p.shared)
	return p
}

// run plays until the first error.
func (p *play) run(d disk) (s *Store, err error) {
	s, err = Open(p.dir, Options{disk: d, noSync: true, SyncInterval: time.Hour, MaxOpen: 2})
	if err != nil {
		return nil, err
	}
	add := func(data []byte, f func() (Info, error)) {
		if err == nil {
			if _, err = f(); err == nil {
				p.durable[content.Sum(data)] = nil
			}
		}
	}
	add(p.copied, func() (Info, error) { return s.Add(ctx, filepath.Join(p.files, "copied"), AddOptions{}) })
	first := newSource(p.first)
	h := first.tree.Root()
	send := func(blocks ...int) {
		for _, i := range blocks {
			if err == nil {
				err = first.send(s, i)
			}
		}
	}
	sync := func(blocks ...int) {
		if err == nil {
			if err = s.Sync(h); err == nil {
				p.durable[h] = blocks
			}
		}
	}
	if err == nil {
		_, err = s.Create(manifest("first", p.first))
	}
	send(7, 2, 9)
	sync(7, 2, 9)
	add(p.shared, func() (Info, error) {
		return s.Add(ctx, filepath.Join(p.files, "shared"), AddOptions{InPlace: true})
	})
	add(p.second, func() (Info, error) { return s.AddBytes(p.second, AddOptions{Name: "second"}) })
	send(0, 1, 3)
	if err == nil {
		_, _, err = s.ReadBlock(content.Sum(p.copied), 0, 0, nil)
	}
	if err == nil {
		_, _, err = s.ReadBlock(content.Sum(p.shared), 0, 0, nil) // of three files only two stay open
	}
	send(4)
	sync(0, 1, 2, 3, 4, 7, 9)
	p.gone[content.Sum(p.copied)] = true
	if err == nil {
		err = s.Remove(content.Sum(p.copied))
	}
	send(5, 6, 8)
	sync(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	if err == nil {
		err = s.Export(ctx, h, p.out, ExportOptions{Move: true})
	}
	third := newSource(p.third)
	h = third.tree.Root()
	if err == nil {
		_, err = s.Create(manifest("third", p.third))
	}
	first = third
	send(3, 1)
	sync(3, 1)
	send(0, 2, 4, 5, 6)
	if err == nil {
		err = s.Export(ctx, h, p.loose, ExportOptions{Move: true})
	}
	if err == nil {
		_, _, err = s.ReadBlock(h, 2, 0, nil)
	}
	sync(0, 1, 2, 3, 4, 5, 6)
	return s, err
}

// check opens the store on a good disk and sees that nothing that was durable is
// lost, nothing is wrong, and everything can go on.
func (p *play) check(t *testing.T) {
	t.Helper()
	s := opened(t, p.dir, Options{})
	for h, blocks := range p.durable {
		in, err := s.Info(h)
		if err != nil {
			if !p.gone[h] {
				t.Errorf("%s: %v", h, err)
			}
			continue
		}
		if blocks == nil && !in.Complete {
			t.Errorf("%q was added, and has %d of %d blocks", in.Manifest.Name, in.Have, in.Blocks)
		}
		for i := 0; blocks == nil && i < in.Blocks; i++ {
			if _, _, err := s.ReadBlock(h, i, 0, nil); err != nil {
				t.Errorf("block %d of %q, which was added: %v", i, in.Manifest.Name, err)
			}
		}
		for _, i := range blocks {
			if _, _, err := s.ReadBlock(h, i, 0, nil); err != nil {
				t.Errorf("block %d of %q was durable: %v", i, in.Manifest.Name, err)
			}
		}
	}
	for _, in := range s.List() {
		if _, damaged, err := s.Verify(ctx, in.Manifest.Hash, nil); damaged != 0 || err != nil {
			t.Errorf("%q: %d blocks damaged, %v", in.Manifest.Name, damaged, err)
		}
	}
	// The file is at its path whole, or not at all.
	if got, err := os.ReadFile(p.loose); err == nil && !bytes.Equal(got, p.third) {
		t.Error("what was moved is wrong")
	}
	clean(t, s)
	for _, data := range [][]byte{p.copied, p.shared, p.first, p.second, p.third} {
		created(t, s, "again", data)
		src := newSource(data)
		for i := range src.tree.Blocks() {
			sent(t, s, src, i)
		}
		if err := s.Sync(src.tree.Root()); err != nil {
			t.Fatal(err)
		}
		holds(t, s, data)
	}
	clean(t, s)
	closed(t, s)
}

// abandon ends a store as the end of the process does.
func abandon(s *Store) {
	s.mu.Lock()
	s.closed = true
	items := s.all()
	s.mu.Unlock()
	close(s.stop)
	<-s.done
	for _, it := range items {
		it.mu.Lock()
		it.close()
		it.mu.Unlock()
	}
	s.index.close()
}

// points returns the operations that shall fail.
func points(t *testing.T, some int) []int {
	d := &badDisk{}
	p := newPlay(t)
	s, err := p.run(d)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	p.check(t)
	if d.ops < 60 {
		t.Fatalf("the whole play has %d operations", d.ops)
	}
	all := rand.New(rand.NewPCG(1, uint64(some))).Perm(d.ops)
	if !*everyFault {
		all = all[:some]
	}
	for i := range all {
		all[i]++
	}
	return all
}

// An operation that fails gives one clear error, and nothing is corrupt, neither
// at once nor later.
func TestFailingDisk(t *testing.T) {
	for _, kind := range []struct {
		err  error
		want error
	}{{syscall.ENOSPC, ErrFull}, {syscall.EROFS, syscall.EROFS}, {syscall.EIO, syscall.EIO}} {
		for _, at := range points(t, 8) {
			t.Run(fmt.Sprintf("%v at %d", kind.err, at), func(t *testing.T) {
				d := &badDisk{failAt: at, err: &os.PathError{Op: "write", Path: "x", Err: kind.err}}
				p := newPlay(t)
				s, err := p.run(d)
				// Where it does not matter, as when a temporary file is removed, all may
				// be well; else the error says what it was.
				if err != nil && !errors.Is(err, kind.want) {
					t.Errorf("got %v", err)
				}
				if s != nil {
					for _, in := range s.List() {
						if _, damaged, err := s.Verify(ctx, in.Manifest.Hash, nil); damaged != 0 || err != nil {
							t.Errorf("%q: %d blocks damaged, %v", in.Manifest.Name, damaged, err)
						}
					}
					closed(t, s)
				}
				p.check(t)
			})
		}
	}
}

// Whenever the power goes, what was durable is there, and the rest is either
// there as it was or not at all.
func TestPowerLoss(t *testing.T) {
	for _, at := range points(t, 25) {
		t.Run(fmt.Sprintf("at %d", at), func(t *testing.T) {
			d := &badDisk{failAt: at, err: errPower, power: true, rand: rand.New(rand.NewPCG(3, uint64(at)))}
			p := newPlay(t)
			s, err := p.run(d)
			if err != nil && !errors.Is(err, errPower) {
				t.Errorf("got %v", err)
			}
			if s != nil {
				abandon(s)
			}
			if err := d.cut(p.dir, p.files); err != nil {
				t.Fatal(err)
			}
			p.check(t)
		})
	}
}

// The end of the process loses no block that was written.
func TestAbandoned(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{noSync: true, SyncInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	src := newSource(randomData(1, 9*65536+1))
	h := created(t, s, "x", src.data).Manifest.Hash
	sent(t, s, src, 3, 7)
	if err := s.Sync(h); err != nil {
		t.Fatal(err)
	}
	sent(t, s, src, 9, 2)
	abandon(s)
	s = opened(t, dir, Options{})
	want := []Range{{2, 4}, {7, 8}, {9, 10}}
	if got, err := s.Have(h); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("have %v, %v; want %v", got, err, want)
	}
	// Also if the session before ended well.
	closed(t, s)
	if s, err = Open(dir, Options{noSync: true, SyncInterval: time.Hour}); err != nil {
		t.Fatal(err)
	}
	sent(t, s, src, 0)
	abandon(s)
	s = opened(t, dir, Options{})
	want = append([]Range{{0, 1}}, want...)
	if got, err := s.Have(h); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("have %v, %v; want %v", got, err, want)
	}
	for _, r := range want {
		for i := r.From; i < r.To; i++ {
			if got, _, err := s.ReadBlock(h, i, 0, nil); err != nil || !bytes.Equal(got, block(src.data, i)) {
				t.Errorf("block %d: %v", i, err)
			}
		}
	}
}
