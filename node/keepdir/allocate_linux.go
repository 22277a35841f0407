package keepdir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate sees to it that there is room on the disk for a part of a file.
func allocate(f *os.File, off, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, off, size)
	for err == unix.EINTR {
		err = unix.Fallocate(int(f.Fd()), 0, off, size)
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return fill(f, off, size)
	}
	return err
}
