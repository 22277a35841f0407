// Package keepdir keeps the past of live streams in files of a folder. What is in them is
// worth nothing to the next process, which removes what one that was killed has left.
//
// A Dir and its Files may be used by several goroutines.
package keepdir

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"rtmfp/multicast"
	"rtmfp/node/filelock"
)

// ErrLocked says that another process has the folder.
var ErrLocked = errors.New("another process keeps streams there")

// DefaultStreams is how many streams are kept at once.
const DefaultStreams = 4

const (
	lockName = "lock"
	prefix   = "stream-"
	suffix   = ".past"
)

// Dir is a folder that belongs to this process until Close.
type Dir struct {
	path  string
	lock  *os.File
	log   *slog.Logger
	limit int

	mu     sync.Mutex
	files  map[*File]bool
	closed bool
	told   bool // that there is no place for more
	stats  Stats
}

// Stats are the figures of a Dir.
type Stats struct {
	Streams int    // that are kept there now
	Bytes   int64  // of their files
	Refused uint64 // streams for which there was no place: they are kept in memory
	Full    uint64 // times that a file could not grow
	Failed  uint64 // reads and writes that went wrong: the stream is kept in memory from then on
}

// Options say how a folder is used. The zero value has the defaults.
type Options struct {
	// Streams is the most that are kept at once. Others are kept in memory. Default 4.
	Streams int

	// Logger is told what goes wrong. Default: discard.
	Logger *slog.Logger
}

// Open takes a folder, makes it if there is none, and removes what
// another process has left there. The error wraps ErrLocked if another process has it.
func Open(path string, o Options) (*Dir, error) {
	if o.Streams <= 0 {
		o.Streams = DefaultStreams
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	taken, err := filelock.Try(lock)
	if err == nil && !taken {
		err = fmt.Errorf("%s: %w", path, ErrLocked)
	}
	d := &Dir{path: path, lock: lock, log: o.Logger, limit: o.Streams, files: make(map[*File]bool)}
	if err == nil {
		err = d.sweep()
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return d, nil
}

// sweep removes the files of a process that was killed.
func (d *Dir) sweep() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) && e.Type().IsRegular() {
			if err := os.Remove(filepath.Join(d.path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Create makes a file for the past of a stream. nil: there are as many as there may be,
// or it can't be made, which is logged.
func (d *Dir) Create(stream string) *File {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	if len(d.files) >= d.limit {
		d.stats.Refused++
		if !d.told {
			d.log.Warn("no more streams are kept on disk: this one is kept in memory", "stream", stream, "streams", d.limit)
		}
		d.told = true // until there is one again
		return nil
	}
	f, err := os.CreateTemp(d.path, prefix+"*"+suffix) // 0600
	if err != nil {
		d.stats.Refused++
		d.log.Warn("a stream can't be kept on disk, but in memory", "stream", stream, "err", err)
		return nil
	}
	file := &File{dir: d, f: f, stream: stream}
	d.files[file] = true
	return file
}

// Stats returns the figures.
func (d *Dir) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Streams = len(d.files)
	for f := range d.files {
		s.Bytes += f.size
	}
	return s
}

// Close removes all files and gives the folder up.
func (d *Dir) Close() error {
	d.mu.Lock()
	d.closed = true
	var files []*File
	for f := range d.files {
		files = append(files, f)
	}
	d.mu.Unlock()
	for _, f := range files {
		f.Close()
	}
	return d.lock.Close()
}

// File is the past of one stream, a multicast.Disk.
type File struct {
	dir    *Dir
	f      *os.File
	stream string
	size   int64 // guarded by dir.mu
	full   bool  // likewise: a Grow has failed, and that was logged
}

var _ multicast.Disk = (*File)(nil)

// Grow allocates an extent, so that nothing that is written there later fails for want of room.
func (f *File) Grow() bool {
	f.dir.mu.Lock()
	size := f.size
	f.dir.mu.Unlock()
	err := allocate(f.f, size, multicast.ExtentSize)
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err != nil {
		f.dir.stats.Full++
		if !f.full {
			f.dir.log.Warn("the disk has no room for more of a stream: its oldest goes earlier than it should", "stream", f.stream, "kept", f.size, "err", err)
		}
		f.full = true
		return false
	}
	f.size += multicast.ExtentSize
	return true
}

// ReadAt fills b from an offset.
func (f *File) ReadAt(b []byte, off int64) bool {
	_, err := f.f.ReadAt(b, off)
	return f.check(err)
}

// WriteAt writes b at an offset.
func (f *File) WriteAt(b []byte, off int64) bool {
	_, err := f.f.WriteAt(b, off)
	return f.check(err)
}

func (f *File) check(err error) bool {
	if err == nil {
		return true
	}
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	f.dir.stats.Failed++
	f.dir.log.Error("what is kept of a stream on disk is lost: it is kept in memory from now on", "stream", f.stream, "err", err)
	return false
}

// Close removes the file.
func (f *File) Close() {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if !f.dir.files[f] {
		return
	}
	delete(f.dir.files, f)
	f.dir.told = false
	f.f.Close()
	if err := os.Remove(f.f.Name()); err != nil {
		f.dir.log.Warn("a file of the past can't be removed", "err", err)
	}
}

// fill allocates by writing.
func fill(f *os.File, off, size int64) error {
	zeros := make([]byte, size)
	_, err := f.WriteAt(zeros, off)
	if err != nil {
		_ = f.Truncate(off) // what could be written, others may have
	}
	return err
}
