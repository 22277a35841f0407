package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"rtmfp/replication/content"
)

// Reader reads a file of the store. What it returns is checked. Only ReadAt may
// be called by several goroutines at once.
type Reader struct {
	s    *Store
	it   *item
	info Info
	wait func(i int) error

	at    int64
	buf   []byte // a block, or what is there of room for one
	block []byte // the block that was read last
	index int    // its number
}

// OpenReader returns a reader of a file, which need not be complete. Where a
// block is missing, the reader calls wait and then looks again; without wait,
// or when that returns an error, reading fails. The file does not make room for
// others until Close.
func (s *Store) OpenReader(h content.Hash, wait func(i int) error) (*Reader, error) {
	it, err := s.acquire(h)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	info := it.info()
	s.mu.Unlock()
	if info.Broken {
		s.release(it)
		return nil, fmt.Errorf("%w: %s", ErrChanged, info.Path)
	}
	return &Reader{s: s, it: it, info: info, wait: wait, index: -1}, nil
}

// Info returns what was known of the file when it was opened.
func (r *Reader) Info() Info { return r.info }

// Size returns the size of the file.
func (r *Reader) Size() int64 { return r.info.Manifest.Size }

// Close ends the use of the file.
func (r *Reader) Close() error {
	if r.it == nil {
		return ErrClosed
	}
	r.s.release(r.it)
	r.it = nil
	return nil
}

// get returns a block, in buf if that has room.
func (r *Reader) get(i int, buf []byte) ([]byte, error) {
	if r.it == nil {
		return nil, ErrClosed
	}
	for {
		data, _, err := r.s.readBlock(r.it, i, 0, buf)
		if r.wait == nil || !errors.Is(err, ErrMissing) && !errors.Is(err, ErrCorrupt) {
			return data, err
		}
		if err := r.wait(i); err != nil {
			return nil, err
		}
	}
}

// Read reads what follows.
func (r *Reader) Read(p []byte) (int, error) {
	if r.at >= r.Size() {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	i := int(r.at / content.BlockSize)
	if i != r.index {
		r.index = -1
		if r.buf == nil {
			r.buf = make([]byte, 0, content.BlockSize)
		}
		data, err := r.get(i, r.buf)
		if err != nil {
			return 0, err
		}
		r.block, r.index = data, i
	}
	n := copy(p, r.block[r.at%content.BlockSize:])
	r.at += int64(n)
	return n, nil
}

// Seek is that of io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.Size()
	}
	if offset < 0 {
		return r.at, errors.New("store: seek before the beginning")
	}
	r.at = offset
	return offset, nil
}

// ReadAt is that of io.ReaderAt.
func (r *Reader) ReadAt(p []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, errors.New("store: read before the beginning")
	}
	buf := make([]byte, 0, content.BlockSize)
	for len(p) > 0 {
		if at >= r.Size() {
			return n, io.EOF
		}
		data, err := r.get(int(at/content.BlockSize), buf)
		if err != nil {
			return n, err
		}
		k := copy(p, data[at%content.BlockSize:])
		p, at, n = p[k:], at+int64(k), n+k
	}
	return n, nil
}

// Verify reads all blocks of a file that are there and checks them. Blocks that
// are damaged are dropped, and have to be downloaded again. The error wraps
// ErrChanged if the file is shared in place and has changed.
func (s *Store) Verify(ctx context.Context, h content.Hash, progress func(done, total int64)) (checked, damaged int, err error) {
	it, err := s.acquire(h)
	if err != nil {
		return 0, 0, err
	}
	defer s.release(it)
	return s.verify(ctx, it, progress)
}

func (s *Store) verify(ctx context.Context, it *item, progress func(done, total int64)) (checked, damaged int, err error) {
	it.mu.Lock()
	if err := s.load(it); err != nil {
		it.mu.Unlock()
		return 0, 0, err
	}
	ranges, size := it.here.ranges(it.tree.Blocks()), it.tree.Size()
	it.mu.Unlock()
	buf := make([]byte, 0, content.BlockSize)
	done := int64(0)
	for _, r := range ranges {
		for i := r.From; i < r.To; i++ {
			if err := ctx.Err(); err != nil {
				return checked, damaged, err
			}
			data, _, err := s.readBlock(it, i, 0, buf)
			switch {
			case errors.Is(err, ErrCorrupt):
				damaged++
			case err != nil:
				return checked, damaged, err
			}
			checked++
			done += int64(len(data))
			if progress != nil {
				progress(done, size)
			}
		}
	}
	return checked, damaged, nil
}
