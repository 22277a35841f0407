package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node/store"
	"rtmfp/replication/content"
)

// File is a file of a group that is open here: it is being fetched until it is
// complete, read at the same time or not. It is an io.ReadSeekCloser, whose
// reads wait for what is not there yet, and an io.ReaderAt, which several
// goroutines may use at once.
type File struct {
	swarm    *fileSwarm
	manifest Manifest
	began    time.Time
	reader   *store.Reader
	ctx      context.Context
	cancel   context.CancelFunc
	close    sync.Once
}

var (
	_ io.ReadSeekCloser = (*File)(nil)
	_ io.ReaderAt       = (*File)(nil)
)

// Open opens the file of a link and fetches it from the members that have it.
// What is in the store already is not fetched again. The context bounds the
// call only.
func (o *Objects) Open(ctx context.Context, link string) (*File, error) {
	l, err := content.ParseLink(link)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	if l.Group != "" {
		spec, err := group.ParseSpec(l.Group)
		if err != nil {
			return nil, fmt.Errorf("open file: the link's groupspec: %w", err)
		}
		if spec.ID() != o.g.spec.ID() {
			return nil, fmt.Errorf("open file: %w, %q", ErrOtherGroup, spec.Name)
		}
	}
	return o.OpenManifest(ctx, l.Manifest())
}

// OpenManifest is Open for a file of which the manifest is known.
func (o *Objects) OpenManifest(ctx context.Context, m Manifest) (*File, error) {
	f, err := o.files()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	info, err := f.store.Create(m)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	if len(m.Origins) == 0 {
		m.Origins = info.Manifest.Origins
	}
	s, err := f.swarm(m.Hash)
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	file := &File{swarm: s, manifest: m, began: time.Now()}
	file.ctx, file.cancel = context.WithCancel(f.ctx)
	if file.reader, err = f.store.OpenReader(m.Hash, file.waitFor); err != nil {
		file.cancel()
		return nil, fmt.Errorf("open file: %w", err)
	}
	s.mu.Lock()
	s.users++
	s.mu.Unlock()
	if err := f.do(func(now clock.Time) error {
		if s.blocks == 0 {
			return nil
		}
		defer f.g.core.FileChanged(now, s.core)
		return s.core.AddWant(now, Range{Start: 0, End: uint64(s.blocks)})
	}); err != nil {
		file.Close()
		return nil, fmt.Errorf("open file: %w", err)
	}
	s.useOrigins(m)
	return file, nil
}

// Manifest returns what is known of the file.
func (f *File) Manifest() Manifest { return f.manifest }

// Size returns the file's size in bytes.
func (f *File) Size() int64 { return f.manifest.Size }

// Read, Seek, and ReadAt are those of io. Reads wait for blocks that have not
// come, which are then fetched in order from there, until Close.
func (f *File) Read(p []byte) (int, error) { return f.reader.Read(p) }

// Seek sets where Read goes on.
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.reader.Seek(offset, whence) }

// ReadAt reads at an offset.
func (f *File) ReadAt(p []byte, at int64) (int, error) { return f.reader.ReadAt(p, at) }

// Prefer has what follows an offset fetched first, as reading there would.
func (f *File) Prefer(at int64) {
	s := f.swarm
	_ = s.f.do(func(clock.Time) error {
		s.core.SetStrategy(LowestFirst)
		s.core.SetReader(uint64(max(at, 0)) / content.BlockSize)
		return nil
	})
}

// waitFor waits until a block may be there.
func (f *File) waitFor(i int) error {
	s := f.swarm
	s.mu.Lock()
	arrived, err, have := s.arrived, s.err, s.here.Has(uint64(i))
	s.mu.Unlock()
	if err != nil || have {
		return err
	}
	if err := s.f.do(func(clock.Time) error {
		s.core.SetStrategy(LowestFirst)
		s.core.SetReader(uint64(i))
		return nil
	}); err != nil {
		return err
	}
	select {
	case <-arrived:
		return nil
	case <-f.ctx.Done():
		return ErrClosed
	}
}

// Wait waits until the whole file is here. The error is that of ctx, of the
// disk, or ErrClosed.
func (f *File) Wait(ctx context.Context) error {
	s := f.swarm
	for {
		s.mu.Lock()
		missing, arrived, err := s.missing(), s.arrived, s.err
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("fetch %q: %w", f.manifest.Name, err)
		}
		if missing == 0 {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return fmt.Errorf("fetch %q: %w", f.manifest.Name, ctx.Err())
		case <-f.ctx.Done():
			return fmt.Errorf("fetch %q: %w", f.manifest.Name, ErrClosed)
		}
	}
}

// WaitSource waits until something of the file can come, or all of it is here: a
// neighbor has some of it, or a web server sends some. The error is that of ctx,
// of the disk, or ErrClosed.
func (f *File) WaitSource(ctx context.Context) error {
	const look = 20 * time.Millisecond // at what no block tells of
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		s := f.swarm
		s.mu.Lock()
		arrived, err := s.arrived, s.err
		s.mu.Unlock()
		st := f.Stats()
		switch {
		case err != nil:
			return fmt.Errorf("fetch %q: %w", f.manifest.Name, err)
		case st.Complete || st.Holders > 0 || st.AtOrigin || st.FromOrigins > 0:
			return nil
		}
		select {
		case <-arrived:
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("fetch %q: %w", f.manifest.Name, ctx.Err())
		case <-f.ctx.Done():
			return fmt.Errorf("fetch %q: %w", f.manifest.Name, ErrClosed)
		}
	}
}

// FileStats is a snapshot of a file that is being fetched.
type FileStats struct {
	Size, Have   int64 // bytes; the last block counts whole
	Blocks       int
	Missing      int
	Holders      int    // neighbors that have some of it
	Wanters      int    // neighbors that want some of it
	Received     uint64 // bytes of blocks, since the exchange began
	FromOrigins  uint64 // bytes that came from web servers
	AtOrigin     bool   // a web server is being asked
	BadBlocks    uint64 // that were not what they should be
	Elapsed      time.Duration
	Complete     bool
	DiskFailures error
}

// Stats returns a snapshot.
func (f *File) Stats() FileStats {
	s := f.swarm
	s.mu.Lock()
	st := FileStats{
		Size: f.manifest.Size, Blocks: s.blocks, Missing: s.missing(), Received: s.received, FromOrigins: s.fetched, AtOrigin: s.asking.Load(), BadBlocks: s.bad,
		Elapsed: time.Since(f.began), Complete: s.missing() == 0, DiskFailures: s.err,
	}
	s.mu.Unlock()
	st.Have = min(st.Size, int64(st.Blocks-st.Missing)*content.BlockSize)
	_ = s.f.do(func(clock.Time) error { st.Holders, st.Wanters = s.core.Sources(); return nil })
	return st
}

// Export writes the complete file to a path, all of it or nothing.
func (f *File) Export(ctx context.Context, path string, o store.ExportOptions) error {
	if err := f.swarm.f.store.Export(ctx, f.manifest.Hash, path, o); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Close ends reading. If nobody else has the file open, fetching ends, too;
// what is here is kept in the store, and given to others.
func (f *File) Close() error {
	var err error
	f.close.Do(func() {
		f.cancel()
		s := f.swarm
		s.mu.Lock()
		s.users--
		last := s.users == 0
		s.mu.Unlock()
		if last && s.blocks > 0 {
			derr := s.f.do(func(now clock.Time) error {
				if s.wanted() {
					return nil
				}
				s.core.SetStrategy(RarestFirst)
				defer s.f.g.core.FileChanged(now, s.core)
				return s.core.RemoveWant(now, Range{Start: 0, End: uint64(s.blocks)})
			})
			if derr != nil && !errors.Is(derr, ErrClosed) {
				err = derr
			}
		}
		err = errors.Join(err, f.reader.Close())
	})
	return err
}
