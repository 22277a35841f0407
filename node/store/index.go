package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"rtmfp/replication/content"
)

// index is what the store knows of its files, on disk. A change is durable when
// the call returns.
type index struct{ db *bbolt.DB }

var (
	bucketFiles  = []byte("files")  // hash → record
	bucketBlocks = []byte("blocks") // hash of a partial file → its blocks, see putBlocks
	bucketMeta   = []byte("meta")
	keyVersion   = []byte("version")
	formVersion  = []byte("1")
)

// lockWait is how long another process may still have the index, as when it is
// about to end.
const lockWait = 300 * time.Millisecond

// record is what the index holds of a file.
type record struct {
	Manifest string `json:"manifest"` // encoded
	State    state  `json:"state"`
	Pinned   bool   `json:"pinned,omitempty"`
	Used     uint64 `json:"used"`  // larger for what was used later
	Added    int64  `json:"added"` // seconds since 1970
	Place    *place `json:"place,omitempty"`

	// Moving is where the file is about to be moved to, "" if it is not. It is
	// there only while the two names change.
	Moving string `json:"moving,omitempty"`

	// Loose says that the file was moved to Place before it was durable, and may
	// not be so yet.
	Loose bool `json:"loose,omitempty"`
}

type state string

const (
	statePart   state = "part"   // some blocks are there
	stateDone   state = "done"   // all were
	stateBroken state = "broken" // the file in its place is not the one it was
)

// place is a file that is shared where it lies, as it was when it was hashed.
type place struct {
	Path  string `json:"path"` // absolute
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime"` // nanoseconds since 1970
	Inode uint64 `json:"inode,omitempty"`
}

func openIndex(path string, noSync bool) (*index, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, NoSync: noSync, NoGrowSync: noSync})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s", ErrLocked, filepath.Dir(path))
	}
	if err != nil {
		return nil, failed("open the index "+path, err)
	}
	x := &index{db}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketFiles, bucketBlocks, bucketMeta} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		switch v := meta.Get(keyVersion); {
		case v == nil:
			return meta.Put(keyVersion, formVersion)
		case string(v) != string(formVersion):
			return fmt.Errorf("it has form %q, this program knows %q", v, formVersion)
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, failed("open the index "+path, err)
	}
	return x, nil
}

func (x *index) close() error { return x.db.Close() }

// each calls f for every file, with the number of its blocks that are known to
// be there if it is partial.
func (x *index) each(f func(h content.Hash, r *record, m *content.Manifest, have int)) error {
	return x.db.View(func(tx *bbolt.Tx) error {
		blocks := tx.Bucket(bucketBlocks)
		return tx.Bucket(bucketFiles).ForEach(func(k, v []byte) error {
			r := new(record)
			if len(k) != content.HashSize {
				return fmt.Errorf("a key of %d bytes", len(k))
			}
			h := content.Hash(k)
			if err := json.Unmarshal(v, r); err != nil {
				return fmt.Errorf("%s: %w", h, err)
			}
			m, err := content.ParseManifest([]byte(r.Manifest))
			if err != nil {
				return fmt.Errorf("%s: %w", h, err)
			}
			have := 0
			if b := blocks.Get(k); len(b) > 1 {
				n := content.BlocksOf(m.Size)
				s := newBitset(n)
				s.read(b[1:], n)
				have = s.count()
			}
			f(h, r, m, have)
			return nil
		})
	})
}

// has reports whether a file is in the index.
func (x *index) has(h content.Hash) (there bool, err error) {
	err = x.db.View(func(tx *bbolt.Tx) error {
		there = tx.Bucket(bucketFiles).Get(h[:]) != nil
		return nil
	})
	return there, err
}

// change is one of several changes that become durable together.
type change func(tx *bbolt.Tx) error

func (x *index) apply(changes ...change) error {
	err := x.db.Update(func(tx *bbolt.Tx) error {
		for _, c := range changes {
			if err := c(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return failed("write the index", err)
	}
	return nil
}

func putRecord(h content.Hash, r record) change {
	return func(tx *bbolt.Tx) error {
		b, err := json.Marshal(&r)
		if err != nil {
			return err
		}
		return tx.Bucket(bucketFiles).Put(h[:], b)
	}
}

// putUse changes when a file was used, and nothing else of it.
func putUse(h content.Hash, used uint64) change {
	return func(tx *bbolt.Tx) error {
		files := tx.Bucket(bucketFiles)
		v := files.Get(h[:])
		if v == nil {
			return nil // it was removed
		}
		var r record
		if err := json.Unmarshal(v, &r); err != nil {
			return err
		}
		r.Used = used
		b, err := json.Marshal(&r)
		if err != nil {
			return err
		}
		return files.Put(h[:], b)
	}
}

// putBlocks writes which blocks of a partial file are there. With exact they are
// all; without, others may have been written since.
func putBlocks(h content.Hash, have bitset, exact bool) change {
	return func(tx *bbolt.Tx) error {
		b := make([]byte, 1, 1+8*len(have))
		if exact {
			b[0] = 1
		}
		return tx.Bucket(bucketBlocks).Put(h[:], have.append(b))
	}
}

func deleteBlocks(h content.Hash) change {
	return func(tx *bbolt.Tx) error { return tx.Bucket(bucketBlocks).Delete(h[:]) }
}

func deleteRecord(h content.Hash) change {
	return func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucketBlocks).Delete(h[:]); err != nil {
			return err
		}
		return tx.Bucket(bucketFiles).Delete(h[:])
	}
}

// blocks returns what putBlocks wrote.
func (x *index) blocks(h content.Hash, n int) (have bitset, exact bool, err error) {
	have = newBitset(n)
	err = x.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(bucketBlocks).Get(h[:]); len(b) > 0 {
			exact = b[0] == 1
			have.read(b[1:], n)
		}
		return nil
	})
	return have, exact, err
}
