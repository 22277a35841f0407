//go:build unix

package main

import "golang.org/x/sys/unix"

// cpuSeconds returns the CPU time, user and system, that the process has taken.
func cpuSeconds() float64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
