package transport

import (
	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// recvState is what a receiving flow does with data. Whether the flow is
// complete (RFC 7016 §3.6.3.8) is apart from it, since a flow may be complete
// on the wire before its owner has accepted it.
type recvState uint8

const (
	recvPending  recvState = iota // RF_OPEN; the owner has not answered FlowOpen
	recvOpen                      // RF_OPEN
	recvRejected                  // RF_REJECTED
	recvClosed                    // everything was delivered, or the session has ended
)

// RecvFlow is a flow of messages from the far end. It belongs to its session's
// endpoint and is dead with the session.
type RecvFlow struct {
	// User is for the owner; the endpoint does not look at it.
	User any

	s        *Session
	id       uint64
	metadata []byte
	reply    *SendFlow // the sending flow that this one answers, nil if none

	received sequenceSet // SEQUENCE_SET
	finalSN  uint64      // RF_FINAL_SN, 0 if it has none
	buffer   recvBuffer  // RECV_BUFFER
	last     uint64      // sequence number of the last fragment delivered in order
	code     uint64      // EXCEPTION_CODE
	lingerAt clock.Time  // end of RF_COMPLETE_LINGER, Never before
	nextAck  *RecvFlow   // in the session's queue of flows to be acknowledged
	window   recvWindow

	state     recvState
	ordered   bool
	held      bool
	gather    bool  // messages in several fragments go to buffers of the owner's
	shouldAck bool  // SHOULD_ACK: in the queue
	told      uint8 // PREV_RWND as far as it matters: 0, 1, or 2 for more or none
	stats     FlowStats
}

// Session returns the session of the flow.
func (f *RecvFlow) Session() *Session { return f.s }

// ID returns the flow's identifier on the wire, chosen by the far end.
func (f *RecvFlow) ID() uint64 { return f.id }

// Metadata returns the far end's name for the flow. The caller must not change it.
func (f *RecvFlow) Metadata() []byte { return f.metadata }

// Reply returns the sending flow to which the far end made this one the return
// flow, nil if there is none.
func (f *RecvFlow) Reply() *SendFlow { return f.reply }

// Window returns the receive window in bytes, of which a part may be full.
func (f *RecvFlow) Window() int { return int(f.window.size) }

// Stats returns the flow's counters.
func (f *RecvFlow) Stats() FlowStats { return f.stats }

// Accept answers FlowOpen: messages are delivered in the order in which they
// were queued, or as they come.
func (f *RecvFlow) Accept(now clock.Time, ordered bool) {
	f.s.e.input(now)
	if f.state != recvPending {
		return
	}
	f.state, f.ordered = recvOpen, ordered
	f.deliver()
}

// Gather has messages of several fragments put together in buffers that
// Config.Buffer makes, as far as their fragments come in turn: such a message is
// the owner's for good (Event.Own).
func (f *RecvFlow) Gather() { f.gather = f.s.e.cfg.Buffer != nil }

// Reject refuses the flow with an application's exception code, now or at any
// time later. Nothing of it is delivered any more.
func (f *RecvFlow) Reject(now clock.Time, code uint64) {
	f.s.e.input(now)
	f.reject(now, code)
}

// reject does it (RFC 7016 §3.6.3.7).
func (f *RecvFlow) reject(now clock.Time, code uint64) {
	if f.state != recvPending && f.state != recvOpen {
		return
	}
	f.state, f.code = recvRejected, code
	f.discard()
	f.s.ackSoon(f, true)
}

// Hold suspends the delivery of messages, or resumes it. What comes in
// meanwhile is kept as far as the receive window goes; then the far end waits.
func (f *RecvFlow) Hold(now clock.Time, hold bool) {
	f.s.e.input(now)
	if f.held == hold {
		return
	}
	f.held = hold
	if !hold && f.state == recvOpen {
		f.deliver()
		f.s.ackSoon(f, true) // the window is open again
	}
}

// AsReceived makes an accepted flow deliver messages as they come from now on,
// whatever is missing before them.
func (f *RecvFlow) AsReceived(now clock.Time) {
	f.s.e.input(now)
	if f.state != recvOpen || !f.ordered {
		return
	}
	f.ordered = false
	f.deliver()
}

// discard empties the RECV_BUFFER.
func (f *RecvFlow) discard() {
	for i := range f.buffer.n() {
		f.s.freePart(f.buffer.at(i))
	}
	f.s.hold(-int(f.buffer.bytes))
	f.buffer = recvBuffer{}
}

// available returns the window to advertise, in blocks (RFC 7016 §3.6.3.5). A
// message that is longer than the buffer may fill it up to MaxMessage beyond,
// so that it comes through at full speed.
func (f *RecvFlow) available() uint64 {
	cfg := &f.s.e.cfg
	window := int(f.window.size)
	if f.state == recvRejected || f.state == recvClosed {
		return uint64(window+windowBlock-1) / windowBlock
	}
	limit := window + cfg.MaxMessage
	if f.held {
		limit = window
	}
	n := min(limit-int(f.buffer.bytes), window, cfg.SessionBuffer-f.s.buffered, cfg.EndpointBuffer-f.s.e.buffered)
	if n > 0 {
		return uint64(n+windowBlock-1) / windowBlock
	}
	// "the flow receiver MUST advertise at least one buffer block … if it is
	// not suspended"
	if f.held {
		return 0
	}
	return 1
}

// receive takes one fragment (RFC 7016 §3.6.3.2 steps 3 to 16).
func (f *RecvFlow) receive(now clock.Time, u wire.UserData) {
	s := f.s
	urgent := f.state == recvRejected || f.state == recvClosed || f.told < 2 ||
		u.Flags.Abandon() || f.received.gaps()
	duplicate := f.received.contains(u.Sequence)
	fresh := !duplicate && (f.finalSN == 0 || u.Sequence <= f.finalSN)
	keep := fresh && !u.Flags.Abandon() && (f.state == recvPending || f.state == recvOpen)
	direct := false
	if keep {
		direct = f.direct(u)
		switch {
		case direct || f.room(u):
		case f.state == recvOpen && !f.held && u.Sequence == f.received.upTo+1 && !s.e.crowded(len(u.Data)):
			// No room for the very next fragment: the message is longer than all
			// that a flow or a session may hold. Without a word the far end would
			// try forever.
			s.e.drop(s.addr, DropBuffer)
			f.reject(now, 0)
			keep = false
		default:
			// Not received, as far as anybody can tell: the far end sends it again.
			s.e.drop(s.addr, DropBuffer)
			s.ackSoon(f, true)
			f.forward(u.ForwardSequence())
			return
		}
	}
	if fresh && !f.received.mayAdd(u.Sequence) {
		s.e.drop(s.addr, DropBuffer)
		s.ackSoon(f, true)
		f.forward(u.ForwardSequence())
		return
	}
	if fresh && u.Flags.Final() && f.finalSN == 0 {
		f.finalSN = u.Sequence
		urgent = true
	}
	if keep && !direct {
		f.keep(u)
	}
	before := f.received.upTo
	if fsn := u.ForwardSequence(); fsn > before {
		f.received.addUpTo(fsn)
	}
	if fresh {
		f.received.add(u.Sequence)
	}
	if direct {
		f.deliverDirect(u)
	}
	s.ackSoon(f, urgent || duplicate || f.received.gaps())
	if f.state == recvOpen && !f.buffer.empty() {
		f.deliver()
	}
	f.window.tune(now, s, f.stats.Bytes)
	f.checkComplete(now)
}

// forward acts on the forward sequence number of a fragment that is not taken.
func (f *RecvFlow) forward(fsn uint64) {
	if fsn <= f.received.upTo {
		return
	}
	f.received.addUpTo(fsn)
	if f.state == recvOpen {
		f.deliver()
	}
}

// checkComplete moves the flow on when every sequence number up to the final
// one is received (RFC 7016 §3.6.3.8), and tells the owner once everything is
// delivered.
func (f *RecvFlow) checkComplete(now clock.Time) {
	if f.finalSN == 0 || f.received.upTo < f.finalSN {
		return
	}
	if f.lingerAt == clock.Never {
		f.lingerAt = now.Add(recvFlowLinger)
		f.s.armFlows(f.lingerAt)
		f.s.ackSoon(f, true)
	}
	f.checkDone()
}

func (f *RecvFlow) checkDone() {
	if f.state == recvOpen && f.lingerAt != clock.Never && f.buffer.empty() {
		f.state = recvClosed
		f.s.e.emit(Event{Kind: FlowDone, Session: f.s, Recv: f})
	}
}
