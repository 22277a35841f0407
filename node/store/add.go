package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"rtmfp/replication/content"
)

// AddOptions say how a file is added. Zero fields take the defaults that their
// comments give.
type AddOptions struct {
	// InPlace shares the file where it lies instead of copying it.
	InPlace bool

	// Name, MediaType, and Origins are those of the manifest. Default: the name
	// of the file as it can be on any system, and none.
	Name      string
	MediaType string
	Origins   []string

	Pin bool

	// Hash is what the file must have: the error wraps ErrInvalid if it has
	// another, and nothing is kept. Zero: any.
	Hash content.Hash

	// Progress is told how much is done, if it is not nil. The total is -1 if it
	// is not known.
	Progress func(done, total int64)
}

// Add takes a file from the disk into the store. When it returns, the file
// survives the loss of power. The error wraps ErrChanged if the file changes
// meanwhile.
func (s *Store) Add(ctx context.Context, path string, o AddOptions) (Info, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Info{}, failed("add "+path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return Info{}, failed("add", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return Info{}, failed("add", err)
	}
	if !fi.Mode().IsRegular() {
		return Info{}, fmt.Errorf("store: add %s: not a file", path)
	}
	if o.Name == "" {
		o.Name = content.CleanName(filepath.Base(path))
	}
	unchanged := func() error {
		now, err := f.Stat()
		if err != nil {
			return failed("add", err)
		}
		if placeOf(path, now) != placeOf(path, fi) {
			return fmt.Errorf("%w: %s, while it was read", ErrChanged, path)
		}
		return nil
	}
	if !o.InPlace {
		return s.add(ctx, f, fi.Size(), o, unchanged)
	}
	var b content.Builder
	if err := copyTo(ctx, f, fi.Size(), o.Progress, func(p []byte, _ int64) error {
		_, err := b.Write(p)
		return err
	}); err != nil {
		return Info{}, failed("add "+path, err)
	}
	if err := unchanged(); err != nil {
		return Info{}, err
	}
	p := placeOf(path, fi)
	if b.Size() != p.Size {
		return Info{}, fmt.Errorf("%w: %s, while it was read", ErrChanged, path)
	}
	tree, err := b.Tree()
	if err != nil {
		return Info{}, err
	}
	return s.finish(tree, "", &p, o)
}

// AddReader takes what r has to the end into the store, size bytes, or -1 if
// that is not known. The name must be given.
func (s *Store) AddReader(ctx context.Context, r io.Reader, size int64, o AddOptions) (Info, error) {
	o.InPlace = false
	return s.add(ctx, r, size, o, func() error { return nil })
}

// AddBytes is AddReader for what is in memory, such as a directory.
func (s *Store) AddBytes(b []byte, o AddOptions) (Info, error) {
	return s.AddReader(context.Background(), &sliceReader{b}, int64(len(b)), o)
}

type sliceReader struct{ b []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// add copies r into the store, and asks check at the end whether all is well.
func (s *Store) add(ctx context.Context, r io.Reader, size int64, o AddOptions, check func() error) (Info, error) {
	if err := content.CheckName(o.Name); err != nil {
		return Info{}, err
	}
	if size > content.MaxSize {
		return Info{}, fmt.Errorf("%w: %d bytes, but a file has up to %d", content.ErrSize, size, int64(content.MaxSize))
	}
	room := max(size, 0)
	if err := s.reserve(room); err != nil {
		return Info{}, err
	}
	defer func() { s.unreserve(room) }()
	f, name, err := s.temp()
	if err != nil {
		return Info{}, err
	}
	defer s.untemp(name)
	var b content.Builder
	err = copyTo(ctx, r, size, o.Progress, func(p []byte, at int64) error {
		if at+int64(len(p)) > content.MaxSize {
			return fmt.Errorf("%w: more than %d bytes", content.ErrSize, int64(content.MaxSize))
		}
		if more := at + int64(len(p)) - room; more > 0 {
			if err := s.reserve(more); err != nil {
				return err
			}
			room += more
		}
		if _, err := f.WriteAt(p, at); err != nil {
			return failed("write "+name, err)
		}
		_, err := b.Write(p)
		return err
	})
	if err == nil {
		err = check()
	}
	if err == nil && size >= 0 && b.Size() != size {
		err = fmt.Errorf("store: add %q: %d bytes came, not %d: %w", o.Name, b.Size(), size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		if err = f.Sync(); err != nil {
			err = failed("sync "+name, err)
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return Info{}, err
	}
	tree, err := b.Tree()
	if err != nil {
		return Info{}, err
	}
	// The pairs are a thousandth more, but the quota is a bound all the same.
	pairs := int64(tree.Pairs()) * content.PairSize
	if err := s.reserve(pairs); err != nil {
		return Info{}, err
	}
	room += pairs
	return s.finish(tree, name, nil, o)
}

// copyTo calls f with all that r has, in pieces of some blocks, each with how
// many bytes were before it.
func copyTo(ctx context.Context, r io.Reader, total int64, progress func(done, total int64), f func(p []byte, at int64) error) error {
	buf := make([]byte, 8*content.BlockSize)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if err := f(buf[:n], at); err != nil {
				return err
			}
			at += int64(n)
			if progress != nil {
				progress(at, total)
			}
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// finish takes a file into the index of which everything is known: it is in a
// temporary file of the store, or where p says.
func (s *Store) finish(tree *content.Tree, temp string, p *place, o AddOptions) (Info, error) {
	h := tree.Root()
	if o.Hash != (content.Hash{}) && h != o.Hash {
		return Info{}, fmt.Errorf("%w: the hash of %q is %s, not %s", ErrInvalid, o.Name, h, o.Hash)
	}
	m := content.Manifest{Name: o.Name, Size: tree.Size(), MediaType: o.MediaType, Hash: h, Origins: o.Origins}
	encoded, err := m.Append(nil)
	if err != nil {
		return Info{}, err
	}
	s.births.Lock()
	defer s.births.Unlock()
	placed := false
	put := func() error {
		if placed {
			return nil
		}
		err := s.putFiles(tree, temp)
		placed = err == nil
		return err
	}
	for {
		it, err := s.acquire(h)
		if errors.Is(err, ErrNotFound) {
			if err = put(); err == nil {
				err = s.insert(&item{hash: h, size: m.Size, manifest: m,
					record: record{Manifest: string(encoded), State: stateDone, Pinned: o.Pin, Place: p, Added: now().Unix()}}, s.register)
			}
		} else if err == nil {
			err = s.replace(it, put, p, o.Pin, string(encoded))
			s.release(it)
			if errors.Is(err, ErrNotFound) {
				continue // it was removed just now
			}
		}
		if err != nil {
			return Info{}, err
		}
		return s.Info(h)
	}
}

// replace completes a file that is in the store already, and gives it the name
// it was added with now.
func (s *Store) replace(it *item, put func() error, p *place, pin bool, encoded string) error {
	it.mu.Lock()
	defer it.mu.Unlock()
	s.mu.Lock()
	r := it.record
	complete := it.info().Complete
	s.mu.Unlock()
	rename := func(r *record) {
		r.Manifest = encoded
		r.Pinned = r.Pinned || pin
	}
	if complete && r.Place == nil {
		return s.changeItem(it, rename) // a second copy is of no use
	}
	if complete && p != nil && *p == *r.Place {
		return s.changeItem(it, rename)
	}
	s.forget(it)
	if err := put(); err != nil {
		return err
	}
	err := s.changeItem(it, func(r *record) {
		rename(r)
		r.State, r.Place, r.Loose = stateDone, p, false
	}, deleteBlocks(it.hash))
	if err != nil {
		return err
	}
	s.mu.Lock()
	it.have = it.blocks()
	s.mu.Unlock()
	if p != nil {
		return s.removeFile(s.dataPath(it.hash)) // of a download that is not needed any more
	}
	return nil
}

// putFiles puts the tree of a file, and the file itself unless temp is "", in
// their places, durably.
func (s *Store) putFiles(tree *content.Tree, temp string) error {
	if err := s.writeTree(tree); err != nil || temp == "" {
		return err
	}
	return s.moveIn(temp, s.dataPath(tree.Root()))
}

func (s *Store) moveIn(temp, name string) error {
	if err := s.disk.Mkdir(filepath.Dir(name)); err != nil {
		return failed("make "+filepath.Dir(name), err)
	}
	if err := s.disk.Rename(temp, name); err != nil {
		return failed("rename "+temp, err)
	}
	return s.syncDirs(name)
}

// writeTree writes the pairs of a tree of which all is known.
func (s *Store) writeTree(tree *content.Tree) error {
	if tree.Pairs() == 0 {
		return nil
	}
	f, name, err := s.temp()
	if err != nil {
		return err
	}
	defer s.untemp(name)
	const step = 4096
	for from := 0; from < tree.Pairs() && err == nil; from += step {
		_, err = f.WriteAt(tree.AppendPairs(nil, from, min(from+step, tree.Pairs())), int64(from)*content.PairSize)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return failed("write "+name, err)
	}
	return s.moveIn(name, s.treePath(tree.Root()))
}

// emptyFile puts a file without bytes in its place.
func (s *Store) emptyFile(h content.Hash) error {
	f, name, err := s.temp()
	if err != nil {
		return err
	}
	defer s.untemp(name)
	if err := f.Close(); err != nil {
		return failed("write "+name, err)
	}
	return s.moveIn(name, s.dataPath(h))
}

// temp makes a temporary file, which untemp removes unless it was moved.
func (s *Store) temp() (file, string, error) {
	s.mu.Lock()
	s.temps++
	name := filepath.Join(s.dir, dirTemp, strconv.Itoa(s.temps))
	s.mu.Unlock()
	f, err := s.disk.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, "", failed("make "+name, err)
	}
	return f, name, nil
}

// untemp leaves what cannot be removed to the sweep when the store is opened.
func (s *Store) untemp(name string) { s.disk.Remove(name) }
