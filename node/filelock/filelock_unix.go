//go:build unix

package filelock

import (
	"os"

	"golang.org/x/sys/unix"
)

// Try takes an exclusive lock on an open file without waiting. The kernel
// gives it back when the file is closed or the process ends, however it ends.
func Try(f *os.File) (taken bool, err error) {
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}
