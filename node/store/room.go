package store

import (
	"errors"
	"fmt"
	"path/filepath"

	"rtmfp/replication/content"
)

// reserve makes room for so many bytes, which unreserve gives back when they
// are in the index, or not coming.
func (s *Store) reserve(n int64) error {
	for {
		s.mu.Lock()
		if s.opt.Quota <= 0 || s.used+s.reserved+n <= s.opt.Quota {
			s.reserved += n
			s.mu.Unlock()
			return nil
		}
		victim := s.victim()
		if n > s.opt.Quota || victim == nil {
			used := s.used + s.reserved
			s.mu.Unlock()
			return fmt.Errorf("%w: %d bytes needed, %d of %d used", ErrQuota, n, used, s.opt.Quota)
		}
		s.drop(victim)
		s.mu.Unlock()
		if err := s.discard(victim); err != nil {
			return err
		}
	}
}

func (s *Store) unreserve(n int64) {
	s.mu.Lock()
	s.reserved -= n
	s.mu.Unlock()
}

// victim returns the file that was not used for longest of those that may make
// room, nil if there is none; s.mu is held.
func (s *Store) victim() (victim *item) {
	for _, it := range s.items {
		if it.users == 0 && !it.record.Pinned && it.record.Place == nil && (victim == nil || it.record.Used < victim.record.Used) {
			victim = it
		}
	}
	return victim
}

// Remove takes a file out of the store. A file that is shared in place is no
// longer shared, and stays where it is. Readers that have it open may fail.
func (s *Store) Remove(h content.Hash) error {
	s.mu.Lock()
	it := s.items[h]
	switch {
	case s.closed:
		s.mu.Unlock()
		return ErrClosed
	case it == nil:
		s.mu.Unlock()
		return ErrNotFound
	}
	s.drop(it)
	s.mu.Unlock()
	return s.discard(it)
}

// discard removes a file that was dropped from the disk. The index goes first:
// files that it does not name are swept away.
func (s *Store) discard(it *item) error {
	s.births.Lock()
	defer s.births.Unlock()
	it.mu.Lock()
	defer it.mu.Unlock()
	s.forget(it)
	s.mu.Lock()
	again := s.items[it.hash] != nil // it came back in the meantime
	s.mu.Unlock()
	if again {
		return nil
	}
	it.recordMu.Lock() // a change that is under way comes before
	defer it.recordMu.Unlock()
	s.mu.Lock()
	noted := it.noted
	s.mu.Unlock()
	if noted {
		if err := s.removeFile(s.newPath(it.hash)); err != nil {
			return err
		}
	}
	if err := s.index.apply(deleteRecord(it.hash)); err != nil {
		return err
	}
	return errors.Join(s.removeFile(s.dataPath(it.hash)), s.removeFile(s.treePath(it.hash)))
}

// GC removes what is of no use: files on the disk that the index does not name,
// files that were shared in place and have changed, and, if the quota is smaller
// than it was, what does not fit. It returns how many bytes became free.
func (s *Store) GC() (freed int64, err error) {
	s.mu.Lock()
	var broken []content.Hash
	for _, it := range s.all() {
		if it.record.State == stateBroken {
			broken = append(broken, it.hash)
		}
	}
	before := s.used
	s.mu.Unlock()
	var errs []error
	for _, h := range broken {
		if err := s.Remove(h); err != nil && !errors.Is(err, ErrNotFound) {
			errs = append(errs, err)
		}
	}
	if err := s.reserve(0); err != nil && !errors.Is(err, ErrQuota) {
		errs = append(errs, err)
	}
	s.mu.Lock()
	freed = max(before-s.used, 0)
	s.mu.Unlock()
	swept, err := s.sweep(dirData, dirTrees, dirNew)
	return freed + swept, errors.Join(append(errs, err)...)
}

// sweep removes the files in folders of the store that the index does not name.
func (s *Store) sweep(folders ...string) (freed int64, err error) {
	s.births.Lock()
	defer s.births.Unlock()
	var errs []error
	for _, top := range folders {
		dirs := []string{filepath.Join(s.dir, top)}
		for n := 0; n < len(dirs); n++ {
			entries, err := s.disk.ReadDir(dirs[n])
			if err != nil {
				return freed, failed("sweep "+dirs[n], err)
			}
			for _, e := range entries {
				name := filepath.Join(dirs[n], e.Name())
				if e.IsDir() {
					if n == 0 {
						dirs = append(dirs, name)
					}
					continue
				}
				if h, err := content.ParseHash(e.Name()); err == nil && s.keeps(h, top) {
					continue
				}
				if fi, err := e.Info(); err == nil {
					freed += fi.Size()
				}
				errs = append(errs, s.removeFile(name))
			}
		}
	}
	return freed, errors.Join(errs...)
}

// keeps reports whether a file of the store belongs there.
func (s *Store) keeps(h content.Hash, top string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[h]
	switch {
	case it == nil:
		return false
	case top == dirNew:
		return it.noted
	}
	return top == dirTrees || it.record.Place == nil
}
