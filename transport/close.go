package transport

import (
	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// Close ends the session in an orderly way (RFC 7016 §3.5.5): the far end is
// told until it answers or 90 seconds have passed. What is still queued on flows
// is lost: close the flows first. The handle is dead at once; no event follows.
func (s *Session) Close(now clock.Time) {
	s.e.input(now)
	switch s.state {
	case StateIHelloSent, StateKeyingSent, stateResponding:
		s.release(StateClosed)
	case StateOpen:
		s.leave()
		s.endFlows()
		s.become(StateNearClose)
		s.openedAt = now // from here on the time of closing
		s.nearCloseAlarm(now)
	}
}

// Abort ends the session at once; the far end is told once, if that arrives. No
// event follows.
func (s *Session) Abort(now clock.Time) {
	s.e.input(now)
	s.abort(now)
}

func (s *Session) abort(now clock.Time) {
	if s.keys != nil {
		s.post(now, s.addr, wire.CloseAck{})
	}
	s.release(StateClosed)
}

// die ends an open session for a reason that the owner is told.
func (s *Session) die(now clock.Time, err error) {
	told := s.confirmed
	s.abort(now)
	if told {
		s.e.emit(Event{Kind: SessionClosed, Session: s, Err: err})
	}
}

// nearCloseAlarm repeats the Session Close Request: "every 5 seconds thereafter
// while still in the S_NEARCLOSE state", for 90 seconds.
func (s *Session) nearCloseAlarm(now clock.Time) {
	if now >= s.openedAt.Add(nearCloseLimit) {
		s.release(StateClosed)
		return
	}
	s.post(now, s.addr, wire.Close{})
	s.stateAt = now.Add(closeRepeat)
	s.arm(s.stateAt)
}

// handleClose answers a Session Close Request: "send a Session Close
// Acknowledgement chunk; then, if the session is in the S_OPEN state, move to
// the S_FARCLOSE_LINGER state."
func (s *Session) handleClose(now clock.Time) {
	s.post(now, s.addr, wire.CloseAck{})
	if s.state != StateOpen {
		return
	}
	s.leave()
	s.endFlows()
	s.become(StateFarCloseLinger)
	s.stateAt = now.Add(farCloseLinger)
	s.arm(s.stateAt)
	s.e.emit(Event{Kind: SessionClosed, Session: s, Err: ErrFarClosed})
}

// handleCloseAck ends the session, whatever its state.
func (s *Session) handleCloseAck(now clock.Time) {
	open := s.state == StateOpen
	if open {
		// Lets an end that closed in the same moment stop repeating its request.
		s.post(now, s.addr, wire.CloseAck{})
	}
	s.release(StateClosed)
	if open {
		s.e.emit(Event{Kind: SessionClosed, Session: s, Err: ErrFarClosed})
	}
}
