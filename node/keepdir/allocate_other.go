//go:build !linux

package keepdir

import "os"

// allocate sees to it that there is room on the disk for a part of a file.
func allocate(f *os.File, off, size int64) error { return fill(f, off, size) }
