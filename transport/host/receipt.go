package host

import (
	"context"
	"sync"
)

// Receipt tells what became of a message. The zero Receipt is ready to be put
// into SendOptions, of one message only.
type Receipt struct {
	mu      sync.Mutex
	bell    bell
	settled bool
	err     error
}

// Wait returns nil once the far end has acknowledged the whole message,
// ErrAbandoned when it was given up, or why its session ended before either.
func (r *Receipt) Wait(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.settled {
		if err := r.bell.wait(ctx, &r.mu); err != nil {
			return err
		}
	}
	return r.err
}

// settle tells the outcome; nil is a receipt that nobody asked for.
func (r *Receipt) settle(err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled {
		return
	}
	r.settled, r.err = true, err
	r.bell.ring()
}
