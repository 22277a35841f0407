package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"rtmfp/replication/content"
)

// ExportOptions say how a file leaves the store.
type ExportOptions struct {
	// Move gives the file away without copying it, if it can: from then on it
	// is shared where it lies, and counts no longer against the quota. A file that
	// is on another disk, or shared in place already, is copied. What was not
	// durable becomes so with the next Sync, which happens by itself; if the power
	// goes before, the next Open takes back into the store what is left of it.
	Move bool

	// Overwrite replaces what is at the path.
	Overwrite bool

	// Progress is told how much is copied, if it is not nil.
	Progress func(done, total int64)
}

// Export puts a complete file at a path, all of it or nothing, and every byte
// checked. A file that is shared from that very path is only checked. The error wraps ErrPartial if the file is not complete, ErrCorrupt if
// it was damaged, and os.ErrExist if something is at the path.
func (s *Store) Export(ctx context.Context, h content.Hash, path string, o ExportOptions) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return failed("export to "+path, err)
	}
	it, err := s.acquire(h)
	if err != nil {
		return err
	}
	defer s.release(it)
	s.mu.Lock()
	complete := it.info().Complete
	s.mu.Unlock()
	if !complete {
		return fmt.Errorf("%w: %s", ErrPartial, h)
	}
	s.mu.Lock()
	already := it.record.Place != nil && it.record.Place.Path == path
	s.mu.Unlock()
	if already {
		_, _, err := s.verify(ctx, it, o.Progress)
		return err
	}
	if !o.Overwrite {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("store: export to %s: %w", path, os.ErrExist)
		}
	}
	if o.Move {
		if moved, err := s.moveOut(ctx, it, path); moved || err != nil {
			return err
		}
	}
	return s.copyOut(ctx, it, path, o.Progress)
}

// copyOut writes a copy beside the path and renames it when it is durable.
func (s *Store) copyOut(ctx context.Context, it *item, path string, progress func(done, total int64)) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".rtmfp-*.part")
	if err != nil {
		return failed("export to "+path, err)
	}
	defer os.Remove(f.Name()) // which fails when it was renamed
	size := it.size
	buf := make([]byte, 0, content.BlockSize)
	write := func() error {
		for i := range it.blocks() {
			if err := ctx.Err(); err != nil {
				return err
			}
			data, _, err := s.readBlock(it, i, 0, buf)
			if err != nil {
				return err
			}
			if _, err := f.Write(data); err != nil {
				return failed("export to "+path, err)
			}
			if progress != nil {
				progress(min(int64(i+1)*content.BlockSize, size), size)
			}
		}
		if err := f.Chmod(0o644); err != nil {
			return failed("export to "+path, err)
		}
		if err := f.Sync(); err != nil {
			return failed("export to "+path, err)
		}
		return nil
	}
	if err := errors.Join(write(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return failed("export to "+path, err)
	}
	if err := s.disk.SyncDir(filepath.Dir(path)); err != nil {
		return failed("export to "+path, err)
	}
	return nil
}

// moveOut renames the file and shares it in place. It reports false, without
// an error, if the file can only be copied.
func (s *Store) moveOut(ctx context.Context, it *item, path string) (moved bool, err error) {
	if err := s.makeSure(ctx, it); err != nil {
		return false, err
	}
	s.births.Lock()
	defer s.births.Unlock()
	it.mu.Lock()
	defer it.mu.Unlock()
	if err := s.load(it); err != nil {
		return false, err
	}
	s.mu.Lock()
	own := it.record.Place == nil && it.have == it.blocks()
	done := it.record.State == stateDone
	s.mu.Unlock()
	if !own {
		return false, nil
	}
	if err := s.savePairs(it); err != nil {
		return false, err
	}
	if err := s.changeItem(it, func(r *record) { r.Moving = path }); err != nil {
		return false, err
	}
	s.forget(it) // some systems rename no file that is open
	if err := s.disk.Rename(s.dataPath(it.hash), path); err != nil {
		return false, s.changeItem(it, func(r *record) { r.Moving = "" })
	}
	if done {
		err = s.disk.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		err = failed("export to "+path, err)
	}
	return true, errors.Join(err, s.settle(it, path))
}

// makeSure checks the blocks of a file that were not checked since it was
// opened.
func (s *Store) makeSure(ctx context.Context, it *item) error {
	it.mu.Lock()
	err := s.load(it)
	blocks, sure := it.blocks(), slices.Clone(it.sure)
	it.mu.Unlock()
	if err != nil {
		return err
	}
	buf := make([]byte, 0, content.BlockSize)
	for i := range blocks {
		if sure.has(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, _, err := s.readBlock(it, i, 0, buf); err != nil {
			return err
		}
	}
	return nil
}
