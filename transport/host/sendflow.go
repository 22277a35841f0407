package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// errFlowClosed is for what is sent on a flow after Close.
var errFlowClosed = fmt.Errorf("host: flow is closed: %w", net.ErrClosed)

// Sizes in bytes. What waits for the loop and what the endpoint has not sent
// yet are both large enough for the largest write, and small enough to stay in
// the processor's cache: four times as much costs a tenth more CPU in all.
const (
	handOver = 64 << 10 // of messages that wait for the loop
	feed     = 64 << 10 // of messages that the endpoint holds unsent
)

// SendOptions describes a message to be sent.
type SendOptions struct {
	// Deadline is when the message is given up, whatever was sent of it. The
	// zero Time makes it fully reliable.
	Deadline time.Time
	// Receipt, if it is not nil, tells what became of the message.
	Receipt *Receipt
}

// SendFlow is a flow of messages to the far end.
type SendFlow struct {
	s        *Session
	finished chan struct{}

	mu      sync.Mutex
	bell    bell
	pending outbound // for the loop
	listed  bool     // the loop knows that there is something for it
	closing bool
	aborted bool
	err     error // why nothing can be sent any more

	// Guarded by the session's mutex.
	replies  []*RecvFlow
	answered bell

	// The loop's own.
	core     *transport.SendFlow
	taken    outbound // from pending, on the way to the endpoint
	next     int      // message of taken that is next
	stalled  bool     // the endpoint had no room
	full     bool     // not even for what it has sent
	receipts map[uint64]*Receipt
	numbers  uint64 // receipts asked for
	over     bool
}

// outbound is messages end to end.
type outbound struct {
	bytes    []byte
	messages []letter
}

type letter struct {
	end      int // in bytes
	deadline clock.Time
	receipt  *Receipt
}

func (o *outbound) size() int { return len(o.bytes) + overhead*len(o.messages) }

func (o *outbound) reset() {
	clear(o.messages)
	o.bytes, o.messages = o.bytes[:0], o.messages[:0]
}

// Session returns the flow's session.
func (f *SendFlow) Session() *Session { return f.s }

// Send queues a copy of msg. If the flow's queue is full it waits until there
// is room or ctx ends. Errors: the context's; transport.ErrTooLong for more
// than Config.MaxMessage; a RejectedError; why the session ended; one that
// unwraps to net.ErrClosed after Close.
func (f *SendFlow) Send(ctx context.Context, msg []byte, o SendOptions) error {
	if len(msg) > f.s.h.cfg.MaxMessage {
		return transport.ErrTooLong
	}
	l := letter{deadline: clock.Never, receipt: o.Receipt}
	if !o.Deadline.IsZero() {
		l.deadline = max(f.s.h.driver.Instant(o.Deadline), 1)
	}
	f.mu.Lock()
	for {
		if f.err != nil {
			defer f.mu.Unlock()
			return f.err
		}
		if size := f.pending.size(); size == 0 || size+len(msg)+overhead <= handOver {
			break
		}
		if err := f.bell.wait(ctx, &f.mu); err != nil {
			f.mu.Unlock()
			return err
		}
	}
	f.pending.bytes = append(f.pending.bytes, msg...)
	l.end = len(f.pending.bytes)
	f.pending.messages = append(f.pending.messages, l)
	f.enlist()
	return nil
}

// enlist tells the loop that there is something for it, and unlocks.
func (f *SendFlow) enlist() {
	known := f.listed
	f.listed = true
	f.mu.Unlock()
	if !known {
		f.s.h.enlist(f)
	}
}

// Close says that nothing more is sent. It does not wait: Done is closed when
// everything is acknowledged or given up.
func (f *SendFlow) Close() error {
	f.mu.Lock()
	if f.err != nil {
		f.mu.Unlock()
		return nil
	}
	f.closing, f.err = true, errFlowClosed
	f.bell.ring()
	f.enlist()
	return nil
}

// Abort gives up everything that is queued and closes the flow.
func (f *SendFlow) Abort() {
	f.mu.Lock()
	f.closing, f.aborted = true, true
	if f.err == nil {
		f.err = errFlowClosed
	}
	f.listed = true
	f.bell.ring()
	f.mu.Unlock()
	f.s.h.enlist(f) // at once, however much the endpoint can't take yet
}

// Done is closed when the flow has ended: after Close or Abort, when everything
// is acknowledged or given up; or with a rejection, or the session.
func (f *SendFlow) Done() <-chan struct{} { return f.finished }

// AcceptReply returns the next flow that the far end has opened in reply to
// this one, which must not be closed before. It fails when this flow has ended.
func (f *SendFlow) AcceptReply(ctx context.Context) (*RecvFlow, error) {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if r, ok := takeFirst(&f.replies); ok {
			return r, nil
		}
		select {
		case <-f.finished:
			return nil, f.reason()
		default:
		}
		if err := f.answered.wait(ctx, &s.mu); err != nil {
			return nil, err
		}
	}
}

func (f *SendFlow) reason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Stats returns the flow's counters, zero once its session has ended.
func (f *SendFlow) Stats() (st transport.FlowStats) {
	_ = f.s.do(func(clock.Time) { st = f.core.Stats() })
	return st
}

// perform hands messages to the endpoint as far as it has room, on the loop.
func (f *SendFlow) perform(now clock.Time) {
	for !f.over {
		if f.abort(now) {
			return
		}
		for f.next < len(f.taken.messages) {
			if !f.hand(now) {
				return
			}
		}
		f.taken.reset()
		f.next = 0
		f.mu.Lock()
		if f.pending.size() == 0 {
			f.listed = false
			closing := f.closing
			f.mu.Unlock()
			if closing {
				f.core.Close(now)
			}
			return
		}
		f.pending, f.taken = f.taken, f.pending
		f.bell.ring()
		f.mu.Unlock()
	}
}

// abort gives everything up if the owner wants that, and reports whether.
func (f *SendFlow) abort(now clock.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.aborted {
		return false
	}
	f.taken.settle(f.next, ErrAbandoned)
	f.pending.settle(0, ErrAbandoned)
	f.taken, f.pending, f.next = outbound{}, outbound{}, 0
	f.core.Abort(now)
	return true
}

// hand gives the endpoint the next message. It reports false if that has to
// wait.
func (f *SendFlow) hand(now clock.Time) bool {
	m := &f.taken.messages[f.next]
	start := 0
	if f.next > 0 {
		start = f.taken.messages[f.next-1].end
	}
	if f.core.Queued() > feed {
		f.stall(false)
		return false
	}
	o := transport.SendOptions{Deadline: m.deadline}
	if m.receipt != nil {
		o.Receipt = f.numbers + 1
	}
	switch err := f.core.Send(now, f.taken.bytes[start:m.end], o); {
	case errors.Is(err, transport.ErrFull):
		f.stall(true)
		return false
	case err != nil:
		m.receipt.settle(err)
	case m.receipt != nil:
		f.numbers++
		if f.receipts == nil {
			f.receipts = map[uint64]*Receipt{}
		}
		f.receipts[f.numbers] = m.receipt
	}
	f.next++
	return true
}

// stall has the loop try again: when the endpoint has sent what it holds, or in
// the next turn if it is full of what is not acknowledged.
func (f *SendFlow) stall(full bool) {
	f.full = full
	if !f.stalled {
		f.stalled = true
		l := &f.s.h.loop
		l.stalled = append(l.stalled, f)
	}
}

// hungry reports whether a stalled flow's endpoint has sent most of what it held.
func (f *SendFlow) hungry() bool { return !f.full && f.core.Queued() <= feed/2 }

// receipt settles the receipt with a number.
func (f *SendFlow) receipt(number uint64, delivered bool) {
	r := f.receipts[number]
	delete(f.receipts, number)
	if delivered {
		r.settle(nil)
	} else {
		r.settle(ErrAbandoned)
	}
}

// end ends the flow with its last word, on the loop.
func (f *SendFlow) end(err error) {
	if f.over {
		return
	}
	f.over = true
	delete(f.s.send, f)
	var rejected *RejectedError
	lost := err
	if errors.As(err, &rejected) || err == errFlowClosed {
		lost = ErrAbandoned
	}
	for _, r := range f.receipts {
		r.settle(lost)
	}
	f.receipts = nil
	f.taken.settle(f.next, lost)
	f.taken = outbound{}
	f.mu.Lock()
	f.pending.settle(0, lost)
	f.pending = outbound{}
	f.listed = true // nothing is for the loop any more
	if f.err == nil {
		f.err = err
	}
	f.bell.ring()
	f.mu.Unlock()
	close(f.finished)
	f.s.mu.Lock()
	f.answered.ring()
	f.s.mu.Unlock()
}

// settle tells the receipts of the messages from one on.
func (o *outbound) settle(from int, err error) {
	for _, m := range o.messages[min(from, len(o.messages)):] {
		m.receipt.settle(err)
	}
}
