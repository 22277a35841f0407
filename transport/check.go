package transport

import (
	"fmt"

	"rtmfp/internal/clock"
)

// Check returns the first invariant of the endpoint that does not hold, nil if
// all do. It reads everything, and is meant for simulations and tests.
func (e *Endpoint) Check(now clock.Time) error {
	sessions := 0
	for i := range e.sessions.slots {
		s := e.sessions.slots[i].s
		if s == nil {
			continue
		}
		sessions++
		if err := s.check(); err != nil {
			return fmt.Errorf("session %x: %w", s.id, err)
		}
	}
	switch {
	case sessions != e.sessions.n:
		return fmt.Errorf("session count: %d counted, %d there", e.sessions.n, sessions)
	case sessions > e.cfg.MaxSessions:
		return fmt.Errorf("limit: %d sessions, at most %d", sessions, e.cfg.MaxSessions)
	case e.opening < 0 || e.opening > e.cfg.MaxOpening:
		return fmt.Errorf("limit: %d sessions opening, at most %d", e.opening, e.cfg.MaxOpening)
	case e.outbox.n > e.cfg.MaxOutbox:
		return fmt.Errorf("limit: %d datagrams in the outbox, at most %d", e.outbox.n, e.cfg.MaxOutbox)
	}
	return nil
}

func (s *Session) check() error {
	c := &s.congestion
	if c.window < 0 || c.outstanding < 0 || c.threshold < 0 {
		return fmt.Errorf("negative window: window %d, outstanding %d, threshold %d", c.window, c.outstanding, c.threshold)
	}
	outstanding := int32(0)
	for i := range s.send {
		f := s.send[i].flow
		if f == nil {
			continue
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("sending flow %d: %w", f.id, err)
		}
		outstanding += f.outstanding
	}
	if s.state == StateOpen && outstanding != c.outstanding {
		return fmt.Errorf("window: %d bytes of flows outstanding, %d counted", outstanding, c.outstanding)
	}
	buffered := 0
	for _, f := range s.recv {
		if err := f.check(); err != nil {
			return fmt.Errorf("receiving flow %d: %w", f.id, err)
		}
		buffered += f.buffer.bytes
	}
	if s.state == StateOpen && buffered != s.buffered {
		return fmt.Errorf("receive buffer: %d bytes of flows, %d counted", buffered, s.buffered)
	}
	return nil
}

func (f *SendFlow) check() error {
	switch {
	case f.outstanding < 0 || f.queued < 0 || f.buffered < 0 || f.lost < 0:
		return fmt.Errorf("negative window: outstanding %d, queued %d, buffered %d, lost %d", f.outstanding, f.queued, f.buffered, f.lost)
	case int(f.buffered) > f.s.e.cfg.MaxSendBuffer: // the window that allowed it may have shrunk
		return fmt.Errorf("limit: %d bytes buffered, at most %d", f.buffered, f.s.e.cfg.MaxSendBuffer)
	case f.cumulative >= f.nextSN && f.nextSN > 0:
		return fmt.Errorf("window: %d acknowledged, the next to be queued is %d", f.cumulative, f.nextSN)
	}
	return nil
}

func (f *RecvFlow) check() error {
	if f.buffer.bytes < 0 {
		return fmt.Errorf("negative window: %d bytes buffered", f.buffer.bytes)
	}
	if limit := 2 * (f.s.e.cfg.MaxRecvBuffer + f.s.e.cfg.MaxMessage); f.buffer.bytes > limit {
		return fmt.Errorf("limit: %d bytes buffered, at most %d", f.buffer.bytes, limit)
	}
	last := uint64(0)
	for i := range f.buffer.n() {
		p := f.buffer.at(i)
		if p.seq <= last {
			return fmt.Errorf("fragment %d stands behind %d", p.seq, last)
		}
		if f.ordered && f.state == recvOpen && p.seq <= f.last {
			return fmt.Errorf("fragment %d outside its window: up to %d was delivered", p.seq, f.last)
		}
		last = p.seq
	}
	return nil
}
