package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"rtmfp/replication/content"
)

// Options are how a store is kept. Zero fields take the defaults that their
// comments give.
type Options struct {
	// Quota is how many bytes the store may have on disk, beside files that are
	// shared where they lie. Files that are not pinned and not in use make room
	// for new ones, those first that were not used for longest. Default: no limit.
	Quota int64

	// MaxFiles bounds the number of files, at some 500 bytes of memory each.
	// Default 262,144.
	MaxFiles int

	// MaxOpen and MaxTrees bound how many files that nobody uses are kept open,
	// and how many bytes of hashes of theirs are kept in memory. Default 64 and
	// 32 MiB.
	MaxOpen  int
	MaxTrees int64

	// SyncBytes and SyncInterval say when downloaded blocks are made to survive
	// the loss of power: after so many bytes of a file, and after so long.
	// Default 1 GiB and 30 s, as long as most systems leave what was written in
	// memory.
	SyncBytes    int64
	SyncInterval time.Duration

	disk   disk // of tests
	noSync bool // the index need not survive the loss of power, in tests
}

func (o Options) withDefaults() Options {
	if o.MaxFiles <= 0 {
		o.MaxFiles = 1 << 18
	}
	if o.MaxOpen <= 0 {
		o.MaxOpen = 64
	}
	if o.MaxTrees <= 0 {
		o.MaxTrees = 32 << 20
	}
	if o.SyncBytes <= 0 {
		o.SyncBytes = 1 << 30
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = 30 * time.Second
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	return o
}

// Errors. Others are those of the operating system, with the path in them.
var (
	ErrNotFound = errors.New("store: no such file in the store")
	ErrMissing  = errors.New("store: block is not there")
	ErrCorrupt  = errors.New("store: block on disk is damaged and was dropped")
	ErrChanged  = errors.New("store: shared file has changed or is gone; share it again")
	ErrQuota    = errors.New("store: quota is used up by files that are pinned or in use")
	ErrMany     = errors.New("store: too many files")
	ErrFull     = errors.New("store: no space left on the disk")
	ErrLocked   = errors.New("store: another process has it open")
	ErrPartial  = errors.New("store: file is not complete")
	ErrClosed   = fmt.Errorf("store: %w", os.ErrClosed)
)

// ErrInvalid is content.ErrInvalid: a block that WriteBlock refuses because its
// sender is wrong or lies.
var ErrInvalid = content.ErrInvalid

// failed adds to an error of the operating system what it was about.
func failed(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: %s: %w", ErrFull, doing, err)
	}
	return fmt.Errorf("store: %s: %w", doing, err)
}

// Info is what a store knows of a file.
type Info struct {
	Manifest content.Manifest
	Blocks   int       // of the whole file
	Have     int       // blocks that are there
	Complete bool      // all of them are
	Pinned   bool      // it never makes room for others
	Path     string    // where it lies if it is shared in place, else ""
	Broken   bool      // shared in place, and changed or gone
	Added    time.Time // when it came into the store
}
