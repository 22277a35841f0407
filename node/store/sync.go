package store

import (
	"errors"
	"slices"
	"time"

	"rtmfp/replication/content"
)

// now is the time for what is shown to people.
func now() time.Time { return time.Now() }

// checkpoint is what of a partial file is about to become durable.
type checkpoint struct {
	hash        content.Hash
	data, pairs file
	here        bitset
	dirty       int64
	last        bool // nothing is written any more
	complete    bool
	named       bool
	err         error
}

// begin takes down what there is to make durable, nil if there is nothing;
// it.mu is held.
func (s *Store) begin(it *item, last bool) *checkpoint {
	if it.tree == nil || !it.own {
		return nil
	}
	s.mu.Lock()
	part, gone := it.record.State == statePart, it.removed
	complete := it.have == it.tree.Blocks()
	s.mu.Unlock()
	if gone || !part || it.dirty == 0 && !complete && (!last || it.exact) {
		return nil
	}
	return &checkpoint{hash: it.hash, data: it.data, pairs: it.pairs, here: slices.Clone(it.here), dirty: it.dirty,
		last: last, complete: complete, named: it.named, err: s.savePairs(it)}
}

// flush waits until the disk has it. Nothing needs to be held.
func (s *Store) flush(c *checkpoint) error {
	if err := c.data.Sync(); err != nil {
		return failed("sync "+s.dataPath(c.hash), err)
	}
	if c.pairs != nil {
		if err := c.pairs.Sync(); err != nil {
			return failed("sync "+s.treePath(c.hash), err)
		}
	}
	if c.named {
		return nil
	}
	if err := s.syncDirs(s.dataPath(c.hash)); err != nil || c.pairs == nil {
		return err
	}
	return s.syncDirs(s.treePath(c.hash))
}

// end lets the index know; it.mu is held.
func (s *Store) end(it *item, c *checkpoint, err error) error {
	if it.data != c.data {
		return ErrClosed // it was moved or added meanwhile
	}
	it.fresh.dropAll(c.here)
	switch {
	case err != nil:
		return err
	case c.complete && it.here.count() == it.tree.Blocks():
		err = s.changeItem(it, func(r *record) { r.State = stateDone }, deleteBlocks(it.hash))
		if err == nil && it.pairs != nil {
			it.pairs.Close()
			it.pairs = nil
		}
	default:
		err = s.apply(it, putBlocks(it.hash, c.here, c.last))
		it.exact = c.last && err == nil
	}
	if err == nil {
		it.dirty -= c.dirty
		it.named = true
	}
	return err
}

// Sync makes the blocks that were written to a file survive the loss of power.
func (s *Store) Sync(h content.Hash) error {
	it, err := s.acquire(h)
	if err != nil {
		return err
	}
	defer s.release(it)
	return s.settleDown(it)
}

// settleDown makes all of a file durable, wherever it is.
func (s *Store) settleDown(it *item) error {
	err := s.sync(it)
	for range 3 {
		if !errors.Is(err, ErrClosed) {
			break
		}
		err = s.sync(it)
	}
	if err == nil {
		err = s.tighten(it)
	}
	if err == nil {
		err = s.confirm(it)
	}
	return err
}

// sync makes the blocks of a partial file durable.
func (s *Store) sync(it *item) error {
	it.syncMu.Lock()
	defer it.syncMu.Unlock()
	it.mu.Lock()
	c := s.begin(it, false)
	it.mu.Unlock()
	if c == nil {
		return nil
	}
	err := c.err
	if err == nil {
		err = s.flush(c)
	}
	it.mu.Lock()
	defer it.mu.Unlock()
	return s.end(it, c, err)
}

// syncer makes blocks durable from time to time, and writes which files were
// used.
func (s *Store) syncer() {
	defer close(s.done)
	tick := time.NewTicker(s.opt.SyncInterval)
	defer tick.Stop()
	for {
		all := false
		select {
		case <-s.stop:
			return
		case <-s.kick:
		case <-tick.C:
			all = true
		}
		for _, it := range s.syncable(all) {
			it.mu.Lock()
			due := all || it.dirty >= s.opt.SyncBytes
			it.mu.Unlock()
			if due {
				if err := s.settleDown(it); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotFound) {
					it.mu.Lock()
					it.failure = err
					it.mu.Unlock()
				}
			}
			s.release(it)
		}
		if all {
			s.mu.Lock()
			items := s.all()
			s.mu.Unlock()
			s.keepUse(items) // what is lost is the order in which files make room
		}
	}
}

// syncable returns the partial files that are open, acquired, and if all is set
// the others that are not durable.
func (s *Store) syncable(all bool) (items []*item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for it := range s.loaded {
		if it.record.State == statePart {
			it.users++
			items = append(items, it)
		}
	}
	if !all {
		return items
	}
	for _, it := range s.items {
		if it.record.Loose || it.noted && !s.loaded[it] {
			it.users++
			items = append(items, it)
		}
	}
	return items
}
