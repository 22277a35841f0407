//go:build unix

package usage

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// CPUSeconds returns the CPU time, user and system, that the process has taken.
func CPUSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// PeakMemory returns the most bytes of memory that the process had at once, 0
// where the system does not tell.
func PeakMemory() int64 {
	// Linux lets a process inherit what its parent had in ru_maxrss.
	if n, ok := Proc("/proc/self/status", "VmHWM"); ok {
		return n
	}
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	if runtime.GOOS == "darwin" { // the only one that counts in bytes
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}

// Proc returns a figure of one of Linux's files that count in kB, in bytes.
func Proc(path, name string) (bytes int64, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			_, err := fmt.Sscanf(value, "%d kB", &bytes)
			return bytes << 10, err == nil
		}
	}
	return 0, false
}
