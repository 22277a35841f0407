package transport

import (
	"net/netip"

	"rtmfp/internal/clock"
)

// EventKind says what an Event reports, and which of its fields are set.
type EventKind uint8

// Kinds of events.
const (
	// SessionOpen: Session is open and may carry data. For the responder this
	// is when the initiator's first packet under the session keys proved that
	// it holds them. Session.Initiator tells the role.
	SessionOpen EventKind = iota + 1

	// SessionFailed: Session, which Dial had returned, could not be opened;
	// Err says why. If it was a duplicate of another session, Err is
	// ErrDuplicate and Other is the session that remains.
	SessionFailed

	// SessionClosed: Session, which was open, is no more; Err says why. All of
	// its flows ended with it, without events of their own.
	SessionClosed

	// AddressChanged: the far end of Session was verified at Session.FarAddr;
	// From is its address before.
	AddressChanged

	// FlowOpen: the far end opened Recv. It must be answered with Accept
	// before the next call of NextEvent, which rejects it otherwise.
	FlowOpen

	// Message: Data came in on Recv. Skipped is set if Recv is ordered and the
	// far end gave up messages between this one and the one before; Own if
	// Data is a buffer of the owner's (RecvFlow.Gather).
	Message

	// FlowDone: the far end closed Recv and everything was delivered.
	FlowDone

	// SendFlowClosed: everything sent on Send is acknowledged or given up after
	// its Close, or after its rejection. The handle is dead.
	SendFlowClosed

	// SendFlowRejected: the far end refuses Send with the exception Code, maybe
	// after its Close. What was queued is abandoned and nothing more can be sent.
	SendFlowRejected

	// Receipt: the message that was sent on Send with the receipt number
	// Receipt is acknowledged (Delivered) or was given up (not Delivered).
	Receipt
)

// Event is one thing that happened. It is a value; Data alone points into the
// endpoint unless Own is set, and is valid until the next HandleArrival, FinishWork, or Advance.
// Calls of handles leave it alone.
type Event struct {
	Kind      EventKind
	Skipped   bool
	Delivered bool
	Own       bool
	Session   *Session
	Recv      *RecvFlow
	Send      *SendFlow
	Other     *Session
	Data      []byte
	Code      uint64
	Receipt   uint64
	Err       error
	From      netip.AddrPort
}

// events is the queue of what the owner has not seen yet, with the bytes of
// messages beside it. Both keep their memory from turn to turn.
type events struct {
	queue []Event
	head  int
	bytes []byte
}

// Memory that an endpoint keeps between turns, and while it is idle.
const (
	arenaKeep = 1 << 20 // bytes of messages
	queueIdle = 64      // events
)

// slim gives back the memory of busier times.
func (q *events) slim() {
	if q.head == len(q.queue) && cap(q.queue) > queueIdle {
		q.queue, q.head, q.bytes = nil, 0, nil
	}
}

func (q *events) push(ev Event) { q.queue = append(q.queue, ev) }

// recycle forgets the messages that were handed out, if all were.
func (q *events) recycle() {
	if q.head != len(q.queue) {
		return
	}
	q.queue, q.head = q.queue[:0], 0
	if cap(q.bytes) > arenaKeep {
		q.bytes = nil
	}
	q.bytes = q.bytes[:0]
}

// begin starts the bytes of a message and returns their position; end returns
// what was appended to q.bytes since. Growing moves only what comes later:
// slices that were handed out keep the memory that they point to.
func (q *events) begin() int { return len(q.bytes) }

func (q *events) end(start int) []byte { return q.bytes[start:len(q.bytes):len(q.bytes)] }

func (q *events) pop() (Event, bool) {
	if q.head == len(q.queue) {
		return Event{}, false
	}
	ev := q.queue[q.head]
	q.queue[q.head] = Event{}
	q.head++
	return ev, true
}

// NextEvent returns the oldest event that was not returned yet. A flow that was
// reported by FlowOpen and neither accepted nor rejected since is rejected now.
func (e *Endpoint) NextEvent() (Event, bool) {
	if f := e.unanswered; f != nil {
		e.unanswered = nil
		if f.state == recvPending {
			f.reject(e.now, 0)
		}
	}
	ev, ok := e.events.pop()
	if ok && ev.Kind == FlowOpen {
		if ev.Recv.state != recvPending {
			return e.NextEvent() // the session closed before the owner heard of the flow
		}
		e.unanswered = ev.Recv
	}
	return ev, ok
}

func (e *Endpoint) emit(ev Event) { e.events.push(ev) }

// input notes that the endpoint is called at now.
func (e *Endpoint) input(now clock.Time) {
	if now > e.now {
		e.now = now
		e.pool.age(now)
	}
}
