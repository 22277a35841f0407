package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
)

// badDisk is the real disk until its operation number failAt, counted from 1,
// which fails with err. What comes after fails too if power is set: the power
// is gone. Then cut undoes some of what was not synced, as a disk may that lost
// its power.
type badDisk struct {
	osDisk
	failAt int
	err    error
	power  bool
	rand   *rand.Rand

	mu     sync.Mutex
	ops    int
	undo   []undo
	opened []*os.File
}

// undo is one change that is not durable.
type undo struct {
	file *os.File // the file that was written, under whatever name it has now
	at   int64
	old  []byte

	from, to string // or a file that was renamed, or made if from is ""
}

var errPower = errors.New("no power")

// step counts an operation and returns whether it fails.
func (d *badDisk) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	if d.failAt > 0 && (d.ops == d.failAt || d.ops > d.failAt && d.power) {
		return d.err
	}
	return nil
}

func (d *badDisk) note(u undo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.undo = append(d.undo, u)
}

// synced forgets the changes that became durable.
func (d *badDisk) synced(is func(u undo) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.undo[:0]
	for _, u := range d.undo {
		if !is(u) {
			left = append(left, u)
		}
	}
	d.undo = left
}

// cut takes back some of what is not durable, the last of it first. Files below
// the roots get no newer times by that.
func (d *badDisk) cut(roots ...string) error {
	var before []os.FileInfo
	for _, u := range d.undo {
		if u.file == nil {
			continue
		}
		fi, err := u.file.Stat()
		if err != nil {
			return err
		}
		before = append(before, fi)
	}
	for i := len(d.undo) - 1; i >= 0; i-- {
		u := d.undo[i]
		switch {
		case u.file != nil:
			// The disk writes pages in any order.
			for at := 0; at < len(u.old); at += 4096 {
				if d.rand.IntN(2) == 0 {
					if _, err := u.file.WriteAt(u.old[at:min(at+4096, len(u.old))], u.at+int64(at)); err != nil {
						return err
					}
				}
			}
		case d.rand.IntN(2) == 0:
			if u.from == "" {
				os.Remove(u.to)
			} else if err := os.Rename(u.to, u.from); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	for _, f := range d.opened {
		f.Close()
	}
	for _, root := range roots {
		if err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			now, err := e.Info()
			if err != nil {
				return err
			}
			for _, old := range before {
				if os.SameFile(old, now) {
					return os.Chtimes(path, old.ModTime(), old.ModTime())
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (d *badDisk) Open(name string, flag int) (file, error) {
	if flag&os.O_CREATE != 0 {
		if err := d.step(); err != nil {
			return nil, err
		}
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			defer d.note(undo{to: name})
		}
	}
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err
	}
	shadow := f
	if flag&os.O_RDWR != 0 {
		if shadow, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
			return nil, err
		}
		d.mu.Lock()
		d.opened = append(d.opened, shadow)
		d.mu.Unlock()
	}
	return &badFile{f, shadow, d}, nil
}

func (d *badDisk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d.note(undo{from: from, to: to})
	return nil
}

func (d *badDisk) Remove(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return os.Remove(name)
}

func (d *badDisk) Mkdir(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.Mkdir(name)
}

func (d *badDisk) SyncDir(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.synced(func(u undo) bool { return u.file == nil && filepath.Dir(u.to) == name })
	return d.osDisk.SyncDir(name)
}

type badFile struct {
	*os.File
	shadow *os.File // stays open to undo what was written
	disk   *badDisk
}

func (f *badFile) WriteAt(p []byte, at int64) (int, error) {
	old := make([]byte, len(p))
	f.shadow.ReadAt(old, at) // zeros beyond the end
	f.disk.note(undo{file: f.shadow, at: at, old: old})
	if err := f.disk.step(); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], at)
		return n, err
	}
	return f.File.WriteAt(p, at)
}

func (f *badFile) Truncate(size int64) error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *badFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	mine, err := f.shadow.Stat()
	if err != nil {
		return err
	}
	f.disk.synced(func(u undo) bool {
		if u.file == nil {
			return false
		}
		other, err := u.file.Stat()
		return err == nil && os.SameFile(mine, other)
	})
	return nil
}

// fastDisk makes nothing durable, for tests that neither end the process nor
// take the power away.
type fastDisk struct{ osDisk }

func (d fastDisk) Open(name string, flag int) (file, error) {
	f, err := d.osDisk.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return fastFile{f}, nil
}

func (fastDisk) SyncDir(string) error { return nil }

type fastFile struct{ file }

func (fastFile) Sync() error { return nil }
