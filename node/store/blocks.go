package store

import (
	"errors"
	"fmt"
	"slices"

	"rtmfp/replication/content"
)

// Create makes room for a file that is to be downloaded, or goes on with one of
// which some blocks are there. The blocks come by WriteBlock. A file that is
// complete already is left as it is.
func (s *Store) Create(m content.Manifest) (Info, error) {
	encoded, err := m.Append(nil)
	if err != nil {
		return Info{}, err
	}
	if _, err := content.NewTree(m.Hash, m.Size); err != nil {
		return Info{}, err
	}
	it := &item{hash: m.Hash, size: m.Size, manifest: m,
		record: record{Manifest: string(encoded), State: statePart, Added: now().Unix()}}
	if m.Size == 0 {
		it.record.State = stateDone // nothing of it will come
	}
	cost := it.cost()
	if err := s.reserve(cost); err != nil {
		if in, e := s.Info(m.Hash); e == nil && in.Manifest.Size == m.Size && !in.Broken {
			return in, nil // it has its room already
		}
		return Info{}, err
	}
	defer s.unreserve(cost)
	s.births.Lock()
	defer s.births.Unlock()
	if it, err := s.acquire(m.Hash); !errors.Is(err, ErrNotFound) {
		if err != nil {
			return Info{}, err
		}
		defer s.release(it)
		return s.recreate(it, m)
	}
	if m.Size == 0 {
		if err := s.emptyFile(m.Hash); err != nil {
			return Info{}, err
		}
	}
	put := s.announce
	if m.Size == 0 {
		put = s.register
	}
	if err := s.insert(it, put); err != nil {
		return Info{}, err
	}
	return s.Info(m.Hash)
}

// recreate is Create for a file that is in the store.
func (s *Store) recreate(it *item, m content.Manifest) (Info, error) {
	s.mu.Lock()
	broken := it.record.State == stateBroken
	s.mu.Unlock()
	switch {
	case it.size != m.Size:
		return Info{}, fmt.Errorf("%w: %d bytes, but the store has a file of this hash with %d; if it is a download that does not end, remove it",
			content.ErrSize, m.Size, it.size)
	case broken:
		// What was shared in place is there no more: get it from others.
		if err := s.changeItem(it, func(r *record) { r.State, r.Place, r.Loose = statePart, nil, false }, deleteBlocks(it.hash)); err != nil {
			return Info{}, err
		}
		s.mu.Lock()
		it.have = 0
		s.mu.Unlock()
	}
	return s.Info(m.Hash)
}

// insert takes a new file into the store, where put sees to it that it is there
// when the process has ended; births is held.
func (s *Store) insert(it *item, put func(it *item, r record) error) error {
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return ErrClosed
	case len(s.items) >= s.opt.MaxFiles:
		s.mu.Unlock()
		return fmt.Errorf("%w: %d", ErrMany, s.opt.MaxFiles)
	}
	s.clock++
	it.record.Used = s.clock
	if it.record.State == stateDone {
		it.have = it.blocks()
	}
	it.recordMu.Lock() // whoever finds it waits until it is put there
	defer it.recordMu.Unlock()
	s.items[it.hash] = it
	s.used += it.cost()
	r := it.record
	s.mu.Unlock()
	err := put(it, r)
	if err != nil {
		s.mu.Lock()
		s.drop(it)
		s.mu.Unlock()
	}
	return err
}

// drop takes a file out of memory; s.mu is held.
func (s *Store) drop(it *item) {
	if s.items[it.hash] == it {
		delete(s.items, it.hash)
		s.used -= it.cost()
	}
	it.removed = true
}

// WriteBlock stores a block that came from somebody else, with its proof,
// which must have as many hashes as Need says. An error that wraps ErrInvalid
// means that the sender is wrong; others mean that the block could not be
// written. When it returns nil the block survives the end of the process, and
// the loss of power after the next Sync, which happens by itself
// (Options.SyncBytes, SyncInterval).
func (s *Store) WriteBlock(h content.Hash, i int, data, proof []byte) error {
	it, err := s.acquire(h)
	if err != nil {
		return err
	}
	defer s.release(it)
	it.mu.Lock()
	err = s.load(it)
	tree := it.tree
	it.mu.Unlock()
	if err != nil {
		return err
	}
	sum, err := tree.Sum(i, data)
	if err != nil {
		return err
	}
	for range 3 {
		var f file
		if f, err = s.prepare(it, i, sum, proof); f == nil {
			return err
		}
		if _, err = f.WriteAt(data, int64(i)*content.BlockSize); err == nil {
			s.wrote(it, f, i, len(data))
			return nil
		}
		it.mu.Lock()
		swapped := it.data != f
		it.mu.Unlock()
		if !swapped {
			break
		}
		// It was added or moved meanwhile, and closed for that.
	}
	return failed(fmt.Sprintf("write block %d of %s", i, h), err)
}

// prepare checks a block by its hash and keeps what its proof tells, before the
// block itself is written to the file that is returned, which is nil if there
// is nothing to write.
func (s *Store) prepare(it *item, i int, sum content.Hash, proof []byte) (file, error) {
	it.mu.Lock()
	defer it.mu.Unlock()
	if err := s.load(it); err != nil {
		return nil, err
	}
	learned, err := it.tree.Learn(i, sum, proof)
	if err != nil {
		return nil, err
	}
	it.path = it.tree.AppendPath(it.path[:0], i)
	it.unsaved = append(it.unsaved, it.path[:learned]...)
	if it.here.has(i) || !it.own {
		return nil, nil
	}
	if err := it.failure; err != nil {
		it.failure = nil
		return nil, err
	}
	if it.exact {
		// From now on blocks are there that the index does not know of.
		if err := s.apply(it, putBlocks(it.hash, it.here, false)); err != nil {
			return nil, err
		}
		it.exact = false
	}
	if err := s.savePairs(it); err != nil {
		return nil, err
	}
	return it.data, nil
}

// savePairs writes the pairs that became known; it.mu is held.
func (s *Store) savePairs(it *item) error {
	for len(it.unsaved) > 0 {
		index := it.unsaved[0]
		var pair [content.PairSize]byte
		it.tree.AppendPairs(pair[:0], index, index+1)
		if _, err := it.pairs.WriteAt(pair[:], int64(index)*content.PairSize); err != nil {
			return failed("write "+s.treePath(it.hash), err)
		}
		it.unsaved = it.unsaved[1:]
	}
	it.unsaved = nil
	return nil
}

// wrote notes that a block was written to a file.
func (s *Store) wrote(it *item, f file, i, n int) {
	it.mu.Lock()
	if it.data != f || it.here.has(i) {
		it.mu.Unlock()
		return
	}
	it.here.add(i)
	it.sure.add(i)
	it.fresh.add(i)
	it.dirty += int64(n)
	s.mu.Lock()
	it.have++
	s.mu.Unlock()
	due := it.dirty >= s.opt.SyncBytes
	it.mu.Unlock()
	if due {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
}

// Need returns how many hashes the proof of a block must have.
func (s *Store) Need(h content.Hash, i int) (hashes int, err error) {
	err = s.with(h, func(it *item) error {
		if i < 0 || i >= it.tree.Blocks() {
			return fmt.Errorf("%w: there is no block %d", ErrMissing, i)
		}
		hashes = it.tree.Need(i)
		return nil
	})
	return hashes, err
}

// Have returns which blocks are there.
func (s *Store) Have(h content.Hash) (r []Range, err error) {
	err = s.with(h, func(it *item) error {
		r = it.here.ranges(it.tree.Blocks())
		return nil
	})
	return r, err
}

// with calls f with a file that is open, with it.mu held.
func (s *Store) with(h content.Hash, f func(it *item) error) error {
	it, err := s.acquire(h)
	if err != nil {
		return err
	}
	defer s.release(it)
	it.mu.Lock()
	defer it.mu.Unlock()
	if err := s.load(it); err != nil {
		return err
	}
	return f(it)
}

// ReadBlock returns a block and the first hashes of its proof, checked, in buf if
// that has room, the proof first: content.MaxProof + content.BlockSize is enough for
// any. Whoever asks for a proof checks the block himself: for him that is not done once
// more after WriteBlock until it is durable. The error wraps ErrMissing if the block is not there; ErrCorrupt if the disk
// does not have it any more as it was, in which case it is missing from now
// on; and ErrChanged if the file is shared in place and has changed, in which
// case it is not shared any more.
func (s *Store) ReadBlock(h content.Hash, i, hashes int, buf []byte) (data, proof []byte, err error) {
	it, err := s.acquire(h)
	if err != nil {
		return nil, nil, err
	}
	defer s.release(it)
	return s.readBlock(it, i, hashes, buf)
}

// errSwapped is a read from a file that was closed or replaced meanwhile.
var errSwapped = errors.New("store: file was replaced")

func (s *Store) readBlock(it *item, i, hashes int, buf []byte) (data, proof []byte, err error) {
	for range 3 {
		if data, proof, err = s.tryRead(it, i, hashes, buf); !errors.Is(err, errSwapped) {
			break
		}
	}
	return data, proof, err
}

func (s *Store) tryRead(it *item, i, hashes int, buf []byte) (data, proof []byte, err error) {
	it.mu.Lock()
	if err := s.load(it); err != nil {
		it.mu.Unlock()
		return nil, nil, err
	}
	tree, f := it.tree, it.data
	n := tree.BlockLen(i)
	if n == 0 || !it.here.has(i) {
		it.mu.Unlock()
		return nil, nil, fmt.Errorf("%w: %d of %s", ErrMissing, i, it.hash)
	}
	leaf, _ := tree.Leaf(i)
	checked := hashes > 0 && it.fresh.has(i)
	hashes = min(hashes, content.MaxProof/content.HashSize)
	buf = slices.Grow(buf[:0], n+hashes*content.HashSize)
	proof, err = tree.AppendProof(buf, i, hashes)
	it.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	proof = slices.Clip(proof)
	data = buf[len(proof) : len(proof)+n : len(proof)+n]
	_, err = f.ReadAt(data, int64(i)*content.BlockSize)
	if err == nil {
		if checked {
			return data, proof, nil
		}
		var sum content.Hash
		if sum, err = tree.Sum(i, data); err == nil && sum == leaf {
			return data, proof, nil
		}
		err = fmt.Errorf("block %d has another hash", i)
	}
	return nil, nil, s.spoiled(it, f, i, err)
}

// spoiled notes that a block cannot be read as it was from a file.
func (s *Store) spoiled(it *item, f file, i int, why error) error {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.data != f {
		return fmt.Errorf("%w: block %d of %s: %w", errSwapped, i, it.hash, why)
	}
	if !it.own {
		s.forget(it)
		return s.breakItem(it, why)
	}
	err := fmt.Errorf("%w: %d of %s: %w", ErrCorrupt, i, it.hash, why)
	if !it.here.has(i) {
		return err
	}
	it.here.drop(i)
	it.sure.drop(i)
	it.fresh.drop(i)
	s.mu.Lock()
	it.have--
	done := it.record.State == stateDone
	s.mu.Unlock()
	// All pairs of a file that was complete are on the disk: none will have to be
	// written.
	var e error
	if done {
		e = s.changeItem(it, func(r *record) { r.State = statePart }, putBlocks(it.hash, it.here, false))
	} else {
		e = s.apply(it, putBlocks(it.hash, it.here, false))
	}
	it.exact = it.exact && e != nil
	return errors.Join(err, e)
}
