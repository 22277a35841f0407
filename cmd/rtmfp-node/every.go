package main

import (
	"sync"
	"time"
)

// every calls f now and then again after each interval, on a goroutine of its
// own, until stop is called. When stop has returned f is not called anymore.
func every(interval time.Duration, f func(now time.Time)) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(interval)
		defer t.Stop()
		f(time.Now())
		for {
			select {
			case now := <-t.C:
				f(now)
			case <-quit:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-ended
	})
}

// after calls f once d has gone by, unless stop is called before. Zero is
// never.
func after(d time.Duration, f func()) (stop func()) {
	if d == 0 {
		return func() {}
	}
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}
