package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"rtmfp/replication/content"
)

// A file that is to be downloaded comes into the store without waiting for the
// disk: nothing of it has to survive the loss of power yet. That it is there
// after the end of the process, and its blocks with it, a file in dirNew sees to
// until the index has it, which is with its first change, or the next sync.

// register takes a new file into the index. One of its hash may just have been
// removed, of which the index tells yet though the disk may not have it any
// more. What the disk has is found by load.
func (s *Store) register(it *item, r record) error {
	return s.index.apply(deleteBlocks(it.hash), putRecord(it.hash, r))
}

// announce is register for a file of which nothing has come; births is held.
func (s *Store) announce(it *item, r record) error {
	if known, err := s.index.has(it.hash); err != nil {
		return failed("read the index", err)
	} else if known {
		return s.register(it, r)
	}
	name := s.newPath(it.hash)
	f, err := s.disk.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return failed("make "+name, err)
	}
	_, err = f.WriteAt([]byte(r.Manifest), 0)
	if err = errors.Join(err, f.Close()); err != nil {
		s.disk.Remove(name)
		return failed("write "+name, err)
	}
	s.mu.Lock()
	it.noted = true
	s.mu.Unlock()
	return nil
}

// confirm has the index know of a file that was announced.
func (s *Store) confirm(it *item) error {
	s.mu.Lock()
	noted := it.noted && !it.removed
	s.mu.Unlock()
	if !noted {
		return nil
	}
	known, err := s.index.has(it.hash)
	if err == nil && !known {
		err = s.apply(it)
	}
	if err != nil {
		return failed("write the index", err)
	}
	s.births.Lock()
	defer s.births.Unlock()
	s.mu.Lock()
	noted = it.noted && !it.removed // else the file in dirNew may be another's
	it.noted = false
	s.mu.Unlock()
	if noted {
		return s.removeFile(s.newPath(it.hash))
	}
	return nil
}

// adopt takes in the files that were announced when the process ended. The
// sweep removes what tells of no file.
func (s *Store) adopt() error {
	dir := filepath.Join(s.dir, dirNew)
	entries, err := s.disk.ReadDir(dir)
	if err != nil {
		return failed("read "+dir, err)
	}
	for _, e := range entries {
		h, err := content.ParseHash(e.Name())
		if err != nil || s.items[h] != nil {
			continue
		}
		text, err := s.readSmall(s.newPath(h))
		if err != nil {
			return err
		}
		m, err := content.ParseManifest(text)
		if err != nil || m.Hash != h {
			continue // the power was lost before it was on the disk
		}
		s.clock++
		it := &item{hash: h, size: m.Size, manifest: *m, noted: true,
			record: record{Manifest: string(text), State: statePart, Added: now().Unix(), Used: s.clock}}
		s.items[h] = it
		s.used += it.cost()
	}
	return nil
}

// readSmall reads a file with a manifest.
func (s *Store) readSmall(name string) ([]byte, error) {
	f, err := s.disk.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, failed("open "+name, err)
	}
	defer f.Close()
	b := make([]byte, content.MaxManifest)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return nil, failed("read "+name, err)
	}
	return b[:n], nil
}

func (s *Store) newPath(h content.Hash) string { return filepath.Join(s.dir, dirNew, h.String()) }
