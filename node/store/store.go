package store

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"rtmfp/replication/content"
)

// Store is a store that is open.
type Store struct {
	dir  string
	opt  Options
	disk disk

	index *index

	// births is held while files are put in their places or taken away, and until
	// the index says so. It is taken before item.mu.
	births sync.Mutex

	mu       sync.Mutex // taken last
	items    map[content.Hash]*item
	used     int64  // bytes on disk, of files in the index
	reserved int64  // bytes of files that are about to come
	clock    uint64 // the largest record.Used
	loaded   map[*item]bool
	trees    int64 // bytes of the trees of those that are loaded
	temps    int   // temporary files that were made
	closed   bool

	kick chan struct{} // a file has SyncBytes that are not durable
	stop chan struct{}
	done chan struct{}
}

// Places in a store.
const (
	nameIndex = "index.db"
	dirData   = "data"  // files by hash, in a folder for each first byte
	dirTrees  = "trees" // their pairs, likewise, of those that have any
	dirNew    = "new"   // manifests of files that are not in the index yet
	dirTemp   = "temp"  // files that are being written; empty when nobody is
)

// Open opens the store in a directory, and makes it if there is none. The error
// wraps ErrLocked if another process has it.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("open", err)
	}
	s := &Store{dir: dir, opt: o, disk: o.disk, items: make(map[content.Hash]*item), loaded: make(map[*item]bool),
		kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	for _, sub := range []string{"", dirData, dirTrees, dirNew, dirTemp} {
		if err := s.disk.Mkdir(filepath.Join(dir, sub)); err != nil {
			return nil, failed("open", err)
		}
	}
	if s.index, err = openIndex(filepath.Join(dir, nameIndex), o.noSync); err != nil {
		return nil, err
	}
	err = s.index.each(func(h content.Hash, r *record, m *content.Manifest, have int) {
		it := &item{hash: h, size: m.Size, record: *r, manifest: *m, have: have}
		if r.State == stateDone {
			it.have = content.BlocksOf(m.Size)
		}
		s.items[h] = it
		s.used += it.cost()
		s.clock = max(s.clock, r.Used)
	})
	if err == nil {
		err = s.adopt()
	}
	if err == nil {
		err = s.settleMoves()
	}
	if err == nil {
		_, err = s.sweep(dirData, dirTrees, dirNew, dirTemp)
	}
	if err != nil {
		s.index.close()
		return nil, failed("open "+dir, err)
	}
	go s.syncer()
	return s, nil
}

// Close makes everything durable and gives the store up. Calls that are under
// way come to an end, perhaps with ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	items := s.all()
	s.mu.Unlock()
	close(s.stop)
	<-s.done
	var errs []error
	for _, it := range items {
		it.mu.Lock()
		errs = append(errs, s.unload(it))
		it.mu.Unlock()
		errs = append(errs, s.tighten(it), s.confirm(it))
	}
	errs = append(errs, s.keepUse(items), s.index.close())
	return errors.Join(errs...)
}

// all returns the items in the order of their hashes; s.mu is held.
func (s *Store) all() []*item {
	items := make([]*item, 0, len(s.items))
	for _, it := range s.items {
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b *item) int { return slices.Compare(a.hash[:], b.hash[:]) })
	return items
}

// List returns all files, those that were used last at the beginning.
func (s *Store) List() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := s.all()
	slices.SortStableFunc(items, func(a, b *item) int { return cmp.Compare(b.record.Used, a.record.Used) })
	infos := make([]Info, 0, len(items))
	for _, it := range items {
		infos = append(infos, it.info())
	}
	return infos
}

// Info returns what is known of a file. The error is ErrNotFound if there is
// none.
func (s *Store) Info(h content.Hash) (Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[h]
	if it == nil {
		return Info{}, ErrNotFound
	}
	return it.info(), nil
}

// Used returns how many bytes the store has on disk, and the quota, 0 if there
// is none.
func (s *Store) Used() (bytes, quota int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used + s.reserved, s.opt.Quota
}

// Pin says whether a file is kept when room is needed for others.
func (s *Store) Pin(h content.Hash, pinned bool) error {
	return s.change(h, func(r *record) { r.Pinned = pinned })
}

// change changes the record of a file, on disk and then in memory.
func (s *Store) change(h content.Hash, f func(r *record), more ...change) error {
	it, err := s.acquire(h)
	if err != nil {
		return err
	}
	defer s.release(it)
	return s.changeItem(it, f, more...)
}

func (s *Store) changeItem(it *item, f func(r *record), more ...change) error {
	it.recordMu.Lock()
	defer it.recordMu.Unlock()
	s.mu.Lock()
	r := it.record
	gone := it.removed
	s.mu.Unlock()
	if gone {
		return ErrNotFound
	}
	f(&r)
	if err := s.apply(it, append(more, putRecord(it.hash, r))...); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Used = max(r.Used, it.record.Used)
	cost := it.cost()
	it.record = r
	if m, err := content.ParseManifest([]byte(r.Manifest)); err == nil {
		it.manifest = *m
	}
	if !it.removed {
		s.used += it.cost() - cost
	}
	return nil
}

// apply changes what the index says of a file, unless the file is out of the
// store: another of its hash may have come since, with other blocks on the disk.
// Whether it is out is asked within the transaction, as the other comes in with
// a later one. A file that was only announced comes in with the first change.
func (s *Store) apply(it *item, changes ...change) error {
	present := func(tx *bbolt.Tx) error {
		s.mu.Lock()
		r, removed := it.record, it.removed
		s.mu.Unlock()
		if removed {
			return ErrNotFound
		}
		if tx.Bucket(bucketFiles).Get(it.hash[:]) != nil {
			return nil
		}
		if err := deleteBlocks(it.hash)(tx); err != nil {
			return err
		}
		return putRecord(it.hash, r)(tx)
	}
	return s.index.apply(append([]change{present}, changes...)...)
}

// keepUse writes which files were used when.
func (s *Store) keepUse(items []*item) error {
	var changes []change
	s.mu.Lock()
	for _, it := range items {
		if it.touched && !it.removed {
			it.touched = false
			changes = append(changes, putUse(it.hash, it.record.Used))
		}
	}
	s.mu.Unlock()
	if changes == nil {
		return nil
	}
	return s.index.apply(changes...)
}

// dataPath, treePath are where the parts of a file are in the store.
func (s *Store) dataPath(h content.Hash) string {
	text := h.String()
	return filepath.Join(s.dir, dirData, text[:2], text)
}

func (s *Store) treePath(h content.Hash) string {
	text := h.String()
	return filepath.Join(s.dir, dirTrees, text[:2], text)
}

// removeFile removes a file that may be gone already.
func (s *Store) removeFile(name string) error {
	if err := s.disk.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return failed("remove "+name, err)
	}
	return nil
}

// syncDirs makes the name of a file in the store durable.
func (s *Store) syncDirs(name string) error {
	for _, dir := range []string{filepath.Dir(name), filepath.Dir(filepath.Dir(name))} {
		if err := s.disk.SyncDir(dir); err != nil {
			return failed("sync "+dir, err)
		}
	}
	return nil
}
