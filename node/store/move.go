package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"rtmfp/replication/content"
)

// A file that was moved out before it was durable is loose until it is. When a
// store is opened that was not closed, a loose file is read as a whole: what the
// loss of power has left of it goes back into the store, unless somebody has
// changed it.

// settle makes a file that was moved to a path one that is shared in place.
func (s *Store) settle(it *item, path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return failed("export", err)
	}
	p := placeOf(path, fi)
	return s.changeItem(it, func(r *record) {
		r.Loose = r.State == statePart
		r.State, r.Place, r.Moving = stateDone, &p, ""
	}, deleteBlocks(it.hash))
}

// tighten makes a loose file durable.
func (s *Store) tighten(it *item) error {
	it.syncMu.Lock()
	defer it.syncMu.Unlock()
	s.mu.Lock()
	r, removed := it.record, it.removed
	s.mu.Unlock()
	if !r.Loose || removed {
		return nil
	}
	for _, name := range []string{r.Place.Path, s.treePath(it.hash)} {
		// One that is gone is found out by whoever opens it.
		if err := s.syncFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failed("sync "+name, err)
		}
	}
	if err := s.disk.SyncDir(filepath.Dir(r.Place.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("sync "+filepath.Dir(r.Place.Path), err)
	}
	if it.blocks() > 1 {
		if err := s.syncDirs(s.treePath(it.hash)); err != nil {
			return err
		}
	}
	return s.changeItem(it, func(now *record) {
		if now.Place != nil && *now.Place == *r.Place {
			now.Loose = false
		}
	})
}

// syncFile makes the contents of a file durable.
func (s *Store) syncFile(name string) error {
	f, err := s.disk.Open(name, os.O_RDWR)
	if errors.Is(err, fs.ErrPermission) {
		f, err = s.disk.Open(name, os.O_RDONLY)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// settleMoves finds where files are that were being moved when the process
// ended, and what is left of loose ones.
func (s *Store) settleMoves() error {
	for _, it := range s.all() {
		if err := s.settleMove(it); err != nil {
			return err
		}
		if it.record.Loose {
			if err := s.recover(it); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) settleMove(it *item) error {
	path := it.record.Moving
	if path == "" {
		return nil
	}
	_, err := os.Stat(s.dataPath(it.hash))
	fi, other := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && other == nil && (fi.Size() == it.size || it.record.State == statePart) {
		return s.settle(it, path)
	}
	return s.changeItem(it, func(r *record) { r.Moving = "" })
}

// recover decides what becomes of a loose file.
func (s *Store) recover(it *item) error {
	p := *it.record.Place
	fi, err := os.Stat(p.Path)
	// A disk that lost its power may have an older time than it had told, but no
	// newer one.
	ours := err == nil && fi.Mode().IsRegular() && inode(fi) == p.Inode && fi.ModTime().UnixNano() <= p.MTime
	if ours && fi.Size() == it.size {
		if whole, err := s.whole(it, p.Path); err != nil || whole {
			return err
		}
	}
	data := s.dataPath(it.hash)
	back := false
	if ours {
		if err := s.disk.Mkdir(filepath.Dir(data)); err == nil {
			back = s.disk.Rename(p.Path, data) == nil
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(data) // the new name was lost
		back = err == nil
	}
	if !back {
		// Somebody has changed it, or taken it away, which is found out as with any
		// file that is shared in place.
		return s.changeItem(it, func(r *record) { r.Loose = false })
	}
	if err := s.syncDirs(data); err != nil {
		return err
	}
	it.have = 0 // until it is opened
	return s.changeItem(it, func(r *record) { r.State, r.Place, r.Loose = statePart, nil, false }, deleteBlocks(it.hash))
}

// whole checks a loose file as a whole, and makes it durable if nothing is
// missing.
func (s *Store) whole(it *item, path string) (bool, error) {
	f, err := s.disk.Open(path, os.O_RDONLY)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	var b content.Builder
	if err := readFile(f, it.size, func(p []byte) error {
		_, err := b.Write(p)
		return err
	}); err != nil {
		return false, nil
	}
	tree, err := b.Tree()
	if err != nil || tree.Root() != it.hash {
		return false, err
	}
	fi, err := f.Stat()
	if err != nil {
		return false, nil
	}
	if err := s.syncFile(path); err != nil {
		return false, failed("sync "+path, err)
	}
	if err := s.disk.SyncDir(filepath.Dir(path)); err != nil {
		return false, failed("sync "+filepath.Dir(path), err)
	}
	if err := s.writeTree(tree); err != nil {
		return false, err
	}
	p := placeOf(path, fi)
	return true, s.changeItem(it, func(r *record) { r.Place, r.Loose = &p, false })
}
