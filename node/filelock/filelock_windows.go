package filelock

import (
	"os"

	"golang.org/x/sys/windows"
)

// Try takes an exclusive lock on an open file without waiting. The kernel
// gives it back when the file is closed or the process ends, however it ends.
func Try(f *os.File) (taken bool, err error) {
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, new(windows.Overlapped))
	if err == windows.ERROR_LOCK_VIOLATION {
		return false, nil
	}
	return err == nil, err
}
