package usage

import "golang.org/x/sys/windows"

// CPUSeconds returns the CPU time, user and system, that the process has taken.
func CPUSeconds() float64 {
	var began, ended, kernel, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &began, &ended, &kernel, &user) != nil {
		return 0
	}
	return float64(int64(kernel.HighDateTime)<<32+int64(kernel.LowDateTime)+
		int64(user.HighDateTime)<<32+int64(user.LowDateTime)) / 1e7 // ticks of 100 ns
}

// PeakMemory returns the most bytes of memory that the process had at once, 0
// where the system does not tell.
func PeakMemory() int64 { return 0 }
