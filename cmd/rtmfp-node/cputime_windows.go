package main

import (
	"time"

	"golang.org/x/sys/windows"
)

// cpuTime returns the CPU time, user and system, that the process has taken.
func cpuTime() time.Duration {
	var began, ended, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &began, &ended, &kernel, &user) != nil {
		return 0
	}
	ticks := int64(kernel.HighDateTime)<<32 + int64(kernel.LowDateTime) +
		int64(user.HighDateTime)<<32 + int64(user.LowDateTime)
	return time.Duration(ticks * 100) // a tick is 100 ns
}
