//go:build e2e && linux

package e2e

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// jitter measures what the machine itself adds to every delay: by how much a
// sleeping process is woken too late. On a machine with other work to do, the
// swarm can't be better than that.
type jitter struct {
	mu   sync.Mutex
	late []float64 // ms
}

// listenJitter measures until the test's end.
func listenJitter(t *testing.T) *jitter {
	const nap = 5 * time.Millisecond
	j := &jitter{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		runtime.LockOSThread() // which sleeps itself: the runtime's timers have a grain of 1 ms
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			ts := unix.NsecToTimespec(nap.Nanoseconds())
			_ = unix.Nanosleep(&ts, nil)
			late := time.Since(began) - nap
			j.mu.Lock()
			j.late = append(j.late, float64(late.Microseconds())/1000)
			j.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return j
}

// show prints what was measured so far.
func (j *jitter) show(t *testing.T) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	show(t, "the machine wakes a process late by %.1f ms (p50), %.1f ms (p99), %.1f ms (max)",
		percentile(j.late, 0.5), percentile(j.late, 0.99), percentile(j.late, 1))
}
