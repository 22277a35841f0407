package host

import (
	"context"
	"sync"
)

// bell wakes goroutines that wait for a change of what a mutex guards. The zero
// bell is ready.
type bell struct{ ch chan struct{} }

// ring wakes all who wait. The mutex is held.
func (b *bell) ring() {
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// wait unlocks the mutex until the bell rings or ctx ends, whose error it then
// returns. The mutex is held before and after.
func (b *bell) wait(ctx context.Context, mu *sync.Mutex) error {
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	ch := b.ch
	mu.Unlock()
	defer mu.Lock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
