package host

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// RecvFlow is a flow of messages from the far end.
type RecvFlow struct {
	s        *Session
	id       uint64
	metadata []byte
	reply    *SendFlow // the flow that this one answers, nil if none

	mu      sync.Mutex
	bell    bell
	queue   inbound // from the loop
	reading inbound // what Receive hands out
	next    int     // message of reading that is next
	skipped bool    // before the one that Receive returned last
	paused  bool    // the endpoint was told to hold the flow
	asked   bool    // the loop knows that it may go on
	err     error   // after what is queued

	core *transport.RecvFlow // the loop's own
}

// inbound is messages end to end.
type inbound struct {
	bytes    []byte
	messages []parcel
}

type parcel struct {
	end     int // in bytes
	skipped bool
}

func (q *inbound) size() int { return len(q.bytes) + overhead*len(q.messages) }

// Session returns the flow's session.
func (f *RecvFlow) Session() *Session { return f.s }

// Metadata returns the far end's name for the flow. The caller must not change it.
func (f *RecvFlow) Metadata() []byte { return f.metadata }

// Reply returns the flow that this one answers, nil if there is none.
func (f *RecvFlow) Reply() *SendFlow { return f.reply }

// Receive returns the next message, which is the caller's until Receive is
// called again, by anybody. It waits until there is one. After the last it returns io.EOF if
// the far end closed the flow, or why the session ended.
//
// Messages come in the order in which they were sent, unless AsReceived was
// called. Those that the far end gave up are missing; Skipped tells.
func (f *RecvFlow) Receive(ctx context.Context) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.next == len(f.reading.messages) {
		if len(f.queue.messages) == 0 {
			if f.err != nil {
				return nil, f.err
			}
			if err := f.bell.wait(ctx, &f.mu); err != nil {
				return nil, err
			}
			continue
		}
		f.refill()
	}
	start := 0
	if f.next > 0 {
		start = f.reading.messages[f.next-1].end
	}
	m := f.reading.messages[f.next]
	f.next++
	f.skipped = m.skipped
	return f.reading.bytes[start:m.end:m.end], nil
}

// refill takes all that the loop has brought, and lets it go on if it had to
// stop.
func (f *RecvFlow) refill() {
	size := f.queue.size()
	f.reading, f.queue = f.queue, inbound{f.reading.bytes[:0], f.reading.messages[:0]}
	f.next = 0
	f.s.waiting.Add(-int64(size))
	if f.paused && !f.asked {
		f.asked = true
		f.s.h.enlist(f)
	}
}

// Skipped reports whether the far end gave up messages between the one that
// Receive returned last and the one before. It is always false after AsReceived.
func (f *RecvFlow) Skipped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.skipped
}

// AsReceived makes Receive return messages as they come, whatever is missing
// before them. It concerns what has not come yet.
func (f *RecvFlow) AsReceived() error {
	return f.s.do(func(now clock.Time) { f.core.AsReceived(now) })
}

// Reject tells the far end that the flow is not wanted, now or any more, with a
// code that means something to both. What is queued is dropped.
func (f *RecvFlow) Reject(code uint64) error {
	return f.s.do(func(now clock.Time) {
		f.core.Reject(now, code)
		f.mu.Lock()
		size := f.queue.size()
		f.queue = inbound{}
		f.next = len(f.reading.messages)
		f.mu.Unlock()
		f.s.waiting.Add(-int64(size))
		f.end(errRejected)
	})
}

var errRejected = fmt.Errorf("host: flow was rejected here: %w", net.ErrClosed)

// Stats returns the flow's counters, zero once its session has ended.
func (f *RecvFlow) Stats() (st transport.FlowStats) {
	_ = f.s.do(func(clock.Time) { st = f.core.Stats() })
	return st
}

// put queues a message for Receive, and holds the flow if too much waits, on
// the loop.
func (f *RecvFlow) put(now clock.Time, data []byte, skipped bool) {
	full := f.s.waiting.Add(int64(len(data)+overhead)) > int64(f.s.h.cfg.SessionBuffer)
	f.mu.Lock()
	f.queue.bytes = append(f.queue.bytes, data...)
	f.queue.messages = append(f.queue.messages, parcel{len(f.queue.bytes), skipped})
	pause := (full || f.queue.size() > f.s.h.cfg.RecvQueue) && !f.paused
	f.paused = f.paused || pause
	f.bell.ring()
	f.mu.Unlock()
	if pause {
		f.core.Hold(now, true)
	}
}

// perform lets the endpoint go on, on the loop.
func (f *RecvFlow) perform(now clock.Time) {
	f.mu.Lock()
	f.paused, f.asked = false, false
	f.mu.Unlock()
	f.core.Hold(now, false)
}

// done notes that everything has come.
func (f *RecvFlow) done() { f.end(io.EOF) }

// end ends the flow, on the loop. What is queued can still be received.
func (f *RecvFlow) end(err error) {
	delete(f.s.recv, f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.bell.ring()
}
