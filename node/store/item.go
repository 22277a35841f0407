package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"rtmfp/replication/content"
)

// item is a file of the store.
type item struct {
	hash content.Hash
	size int64

	// Of Store.mu.
	record   record
	manifest content.Manifest
	have     int  // blocks that are there
	users    int  // calls and readers that have it acquired
	touched  bool // record.Used is newer than that of the index
	removed  bool // it is no longer in Store.items
	noted    bool // it is in dirNew, and perhaps not in the index yet

	recordMu sync.Mutex // held while the record changes on disk

	mu sync.Mutex // of what follows; taken before Store.mu
	openFile

	syncMu sync.Mutex // held while its blocks become durable; taken before mu
}

// openFile is what there is of a file while it is open.
type openFile struct {
	tree  *content.Tree // nil if it is not open
	own   bool          // data is in the store, not elsewhere
	data  file
	pairs file // nil if the tree has none, or the file is complete
	here  bitset
	sure  bitset // of here, checked since the file was opened
	fresh bitset // of sure, written since what was written was last made durable
	exact bool   // the index says just which blocks are there

	dirty   int64 // bytes that are not durable
	unsaved []int // pairs that could not be written
	named   bool  // the names of its files are durable
	failure error // why blocks could not be made durable, until it is told
	path    []int // scratch
}

// cost returns how many bytes the file has on disk; Store.mu is held.
func (it *item) cost() int64 {
	n := int64(max(it.blocks()-1, 0)) * content.PairSize
	if it.record.Place == nil {
		n += it.size
	}
	return n
}

func (it *item) blocks() int { return content.BlocksOf(it.size) }

func (it *item) info() Info {
	in := Info{Manifest: it.manifest, Blocks: it.blocks(), Have: it.have, Pinned: it.record.Pinned,
		Broken: it.record.State == stateBroken, Added: time.Unix(it.record.Added, 0)}
	if it.record.Place != nil {
		in.Path = it.record.Place.Path
	}
	if in.Broken {
		in.Have = 0
	}
	in.Complete = !in.Broken && in.Have == in.Blocks
	return in
}

// acquire returns a file for use: it is not removed to make room before as many
// calls of release.
func (s *Store) acquire(h content.Hash) (*item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	it := s.items[h]
	if it == nil {
		return nil, ErrNotFound
	}
	s.use(it)
	return it, nil
}

// use is acquire with Store.mu held.
func (s *Store) use(it *item) {
	it.users++
	s.clock++
	it.record.Used, it.touched = s.clock, true
}

// release ends the use of a file, and closes those that were not used for
// longest if too many are open.
func (s *Store) release(it *item) {
	s.mu.Lock()
	it.users--
	var close *item
	if len(s.loaded) > s.opt.MaxOpen || s.trees > s.opt.MaxTrees {
		for other := range s.loaded {
			if other.users == 0 && (close == nil || other.record.Used < close.record.Used) {
				close = other
			}
		}
		if close != nil {
			close.users++
		}
	}
	s.mu.Unlock()
	if close == nil {
		return
	}
	close.mu.Lock()
	s.mu.Lock()
	alone := close.users == 1
	s.mu.Unlock()
	if alone { // else somebody came, who wants it open
		s.unload(close)
	}
	close.mu.Unlock()
	s.mu.Lock()
	close.users--
	s.mu.Unlock()
}

// load opens a file; it.mu is held. What the disk holds of the tree is checked,
// and so is every block of a partial file of which the index does not know
// for sure whether it is there.
func (s *Store) load(it *item) error {
	if it.tree != nil {
		return nil
	}
	s.mu.Lock()
	r, removed, closed := it.record, it.removed, s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case removed:
		return ErrNotFound
	case r.State == stateBroken:
		return fmt.Errorf("%w: %s", ErrChanged, r.Place.Path)
	}
	tree, err := content.NewTree(it.hash, it.size)
	if err != nil {
		return err
	}
	o := openFile{tree: tree, own: r.Place == nil, here: newBitset(tree.Blocks()), sure: newBitset(tree.Blocks()), fresh: newBitset(tree.Blocks())}
	if err := s.openFiles(it, &o, &r); err != nil {
		o.close()
		return err
	}
	if r.State == stateDone {
		err = s.loadDone(it, &o)
	} else {
		err = s.loadPart(it, &o)
	}
	if err != nil {
		o.close()
		return err
	}
	it.openFile = o
	s.mu.Lock()
	s.loaded[it] = true
	it.have = o.here.count()
	s.trees += int64(tree.Pairs()) * content.PairSize
	s.mu.Unlock()
	return nil
}

func (s *Store) openFiles(it *item, o *openFile, r *record) (err error) {
	if !o.own {
		if o.data, err = s.disk.Open(r.Place.Path, os.O_RDONLY); err == nil {
			var fi os.FileInfo
			if fi, err = o.data.Stat(); err == nil && placeOf(r.Place.Path, fi) != *r.Place {
				err = errors.New("it has another size, time, or inode")
			}
		}
		if err != nil {
			return s.breakItem(it, err)
		}
	} else {
		name := s.dataPath(it.hash)
		flag := os.O_RDWR
		if r.State == statePart && r.Moving == "" {
			// The file may be gone after a loss of power, and its blocks with it.
			if err = s.disk.Mkdir(filepath.Dir(name)); err != nil {
				return failed("make "+filepath.Dir(name), err)
			}
			flag |= os.O_CREATE
		}
		o.data, err = s.disk.Open(name, flag)
		if errors.Is(err, os.ErrPermission) && r.State == stateDone {
			o.data, err = s.disk.Open(name, os.O_RDONLY)
		}
		if errors.Is(err, os.ErrNotExist) && r.Moving != "" {
			// It was moved, and then the index could not be written; or it is gone.
			if s.settle(it, r.Moving) != nil {
				if err := s.changeItem(it, func(r *record) { r.Moving = "" }); err != nil {
					return err
				}
			}
			s.mu.Lock()
			*r = it.record
			s.mu.Unlock()
			o.own = r.Place == nil
			return s.openFiles(it, o, r)
		}
		if errors.Is(err, os.ErrNotExist) && r.State == stateDone {
			// Somebody removed it: it can be downloaded again.
			if err := s.changeItem(it, func(r *record) { r.State = statePart }); err != nil {
				return err
			}
			r.State = statePart
			return s.openFiles(it, o, r)
		}
		if err != nil {
			return failed("open "+name, err)
		}
		if r.State == statePart {
			if err := o.data.Truncate(o.tree.Size()); err != nil {
				return failed("open "+name, err)
			}
			allocate(o.data, o.tree.Size())
		}
	}
	return s.openPairs(it, o, r)
}

// openPairs opens and reads what there is of the tree.
func (s *Store) openPairs(it *item, o *openFile, r *record) (err error) {
	if o.tree.Pairs() == 0 {
		return nil
	}
	name := s.treePath(it.hash)
	flag := os.O_RDONLY
	if r.State == statePart {
		if err := s.disk.Mkdir(filepath.Dir(name)); err != nil {
			return failed("make "+filepath.Dir(name), err)
		}
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := s.disk.Open(name, flag)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it is made anew
	}
	if err != nil {
		return failed("open "+name, err)
	}
	if r.State == statePart {
		o.pairs = f
	} else {
		defer f.Close()
	}
	buf := make([]byte, min(o.tree.Pairs(), 4096)*content.PairSize)
	for from := 0; from < o.tree.Pairs(); {
		n := min(len(buf), (o.tree.Pairs()-from)*content.PairSize)
		got, err := f.ReadAt(buf[:n], int64(from)*content.PairSize)
		if err != nil && err != io.EOF {
			return failed("read "+name, err)
		}
		got -= got % content.PairSize
		if _, err := o.tree.LoadPairs(from, buf[:got]); err != nil {
			return err
		}
		if got < n {
			break
		}
		from += got / content.PairSize
	}
	return nil
}

// loadDone makes the tree anew from the file if it was lost or damaged.
func (s *Store) loadDone(it *item, o *openFile) error {
	if o.tree.Known() == o.tree.Pairs() {
		o.here.fill(o.tree.Blocks())
		o.exact = true
		return nil
	}
	var b content.Builder
	err := readFile(o.data, o.tree.Size(), func(p []byte) error {
		_, err := b.Write(p)
		return err
	})
	if err == nil {
		var tree *content.Tree
		if tree, err = b.Tree(); err == nil && tree.Root() == it.hash {
			o.tree = tree
			o.here.fill(tree.Blocks())
			o.exact = true
			return s.writeTree(tree)
		}
	}
	if !o.own {
		return s.breakItem(it, errors.New("its contents are others"))
	}
	if err := s.changeItem(it, func(r *record) { r.State = statePart }, putBlocks(it.hash, o.here, false)); err != nil {
		return err
	}
	r := record{State: statePart}
	if err := s.openPairs(it, o, &r); err != nil {
		return err
	}
	return s.loadPart(it, o)
}

// loadPart finds out which blocks are there. Those that the index has are
// durable since, and checked when they are read. Others may have been written
// before the process ended: they are read and checked now, where their hashes
// are known.
func (s *Store) loadPart(it *item, o *openFile) error {
	known, exact, err := s.index.blocks(it.hash, o.tree.Blocks())
	if err != nil {
		return failed("read the index", err)
	}
	buf := make([]byte, content.BlockSize)
	for i := range o.tree.Blocks() {
		leaf, ok := o.tree.Leaf(i)
		if !ok {
			continue
		}
		if known.has(i) {
			o.here.add(i)
		} else if !exact {
			b := buf[:o.tree.BlockLen(i)]
			if _, err := o.data.ReadAt(b, int64(i)*content.BlockSize); err != nil {
				continue // what can't be read is not there
			}
			if sum, err := o.tree.Sum(i, b); err == nil && sum == leaf {
				o.here.add(i)
				o.sure.add(i)
				o.dirty += int64(len(b))
			}
		}
	}
	o.exact = exact
	return nil
}

// unload makes a file durable and closes it; it.mu is held.
func (s *Store) unload(it *item) error {
	if it.tree == nil {
		return nil
	}
	var err error
	if c := s.begin(it, true); c != nil {
		if err = c.err; err == nil {
			err = s.flush(c)
		}
		err = s.end(it, c, err)
	}
	s.forget(it)
	return err
}

// forget closes a file as it is; it.mu is held.
func (s *Store) forget(it *item) {
	if it.tree == nil {
		return
	}
	pairs := it.tree.Pairs()
	it.close()
	it.openFile = openFile{}
	s.mu.Lock()
	delete(s.loaded, it)
	s.trees -= int64(pairs) * content.PairSize
	s.mu.Unlock()
}

func (o *openFile) close() {
	if o.data != nil {
		o.data.Close()
	}
	if o.pairs != nil {
		o.pairs.Close()
	}
}

// breakItem notes that a file that is shared in place is not what it was.
func (s *Store) breakItem(it *item, why error) error {
	s.mu.Lock()
	path := it.record.Place.Path
	s.mu.Unlock()
	err := fmt.Errorf("%w: %s: %w", ErrChanged, path, why)
	return errors.Join(err, s.changeItem(it, func(r *record) { r.State, r.Loose = stateBroken, false }))
}

// placeOf describes a file where it lies.
func placeOf(path string, fi os.FileInfo) place {
	return place{Path: path, Size: fi.Size(), MTime: fi.ModTime().UnixNano(), Inode: inode(fi)}
}

// readFile calls f with all of a file's bytes in order, in pieces of some
// blocks.
func readFile(r io.ReaderAt, size int64, f func(p []byte) error) error {
	buf := make([]byte, min(size, 8*content.BlockSize))
	for at := int64(0); at < size; {
		p := buf[:min(int64(len(buf)), size-at)]
		if n, err := r.ReadAt(p, at); n < len(p) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := f(p); err != nil {
			return err
		}
		at += int64(len(p))
	}
	return nil
}
