package store

import (
	"io"
	"os"
	"runtime"
)

// disk is what a store does with files, so that tests can let it fail. The index
// is not among it: bbolt opens its own.
type disk interface {
	Open(name string, flag int) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	Mkdir(name string) error
	ReadDir(name string) ([]os.DirEntry, error)
	SyncDir(name string) error
}

type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	Sync() error
}

type osDisk struct{}

func (osDisk) Open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err // no nil *os.File in an interface
	}
	return f, nil
}

func (osDisk) Rename(from, to string) error               { return os.Rename(from, to) }
func (osDisk) Remove(name string) error                   { return os.Remove(name) }
func (osDisk) Mkdir(name string) error                    { return os.MkdirAll(name, 0o755) }
func (osDisk) ReadDir(name string) ([]os.DirEntry, error) { return os.ReadDir(name) }

// SyncDir makes the names in a directory durable. Windows has no such thing
// and does it by itself.
func (osDisk) SyncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
