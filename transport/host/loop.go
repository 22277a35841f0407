package host

import (
	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// loop is the endpoint as the driver sees it, and what belongs to the driver's
// goroutine alone. Once the driver is done it belongs to Host.ended.
type loop struct {
	*transport.Endpoint
	h        *Host
	sessions map[*Session]struct{}
	chores   []chore     // being performed; kept for its memory
	stalled  []*SendFlow // have messages that the endpoint had no room for
	retry    []*SendFlow // being tried again; kept for its memory

	closing []*transport.Session // that the far ends have not confirmed the end of
	empty   chan struct{}        // while the host closes: closed when closing is empty
}

// Advance runs timers, tells the handles what happened, and takes what they
// have for the endpoint, so that it is transmitted in the same turn.
func (l *loop) Advance(now clock.Time) {
	l.Endpoint.Advance(now)
	l.drain(now)

	l.h.mu.Lock()
	l.chores, l.h.chores = l.h.chores, l.chores[:0]
	l.h.mu.Unlock()
	for i, c := range l.chores {
		c.perform(now)
		l.chores[i] = nil
	}
	l.resume(now, func(*SendFlow) bool { return true })
}

// resume goes on with the stalled flows that ok tells of, and reports whether
// there were any.
func (l *loop) resume(now clock.Time, ok func(*SendFlow) bool) (any bool) {
	if len(l.stalled) == 0 {
		return false
	}
	l.retry, l.stalled = l.stalled, l.retry[:0]
	for i, f := range l.retry {
		l.retry[i] = nil
		f.stalled = false
		if !f.over && !ok(f) {
			f.stall(f.full)
			continue
		}
		any = true
		f.perform(now)
	}
	return any
}

// Transmit feeds the endpoint as long as it sends what it gets.
func (l *loop) Transmit(now clock.Time, buf []byte) (transport.Batch, bool) {
	for {
		b, ok := l.Endpoint.Transmit(now, buf)
		if ok || !l.resume(now, (*SendFlow).hungry) {
			return b, ok
		}
	}
}

// afterTurn tells the handles what transmitting brought up.
func (l *loop) afterTurn(now clock.Time) {
	l.drain(now)
	for len(l.closing) > 0 && l.closing[0].State() == transport.StateClosed {
		l.closing = l.closing[1:]
	}
	if l.empty != nil && len(l.closing) == 0 {
		close(l.empty)
		l.empty = nil
	}
}

// closeAll closes every session; empty is closed when the far ends know.
func (l *loop) closeAll(now clock.Time, empty chan struct{}) {
	l.empty = empty
	for s := range l.sessions {
		s.close(now)
	}
}

func (l *loop) drain(now clock.Time) {
	for ev, ok := l.NextEvent(); ok; ev, ok = l.NextEvent() {
		l.event(now, &ev)
	}
}

func (l *loop) event(now clock.Time, ev *transport.Event) {
	switch ev.Kind {
	case transport.Message:
		ev.Recv.User.(*RecvFlow).put(now, ev.Data, ev.Skipped)
	case transport.Receipt:
		if f := sendFlowOf(ev.Send); f != nil {
			f.receipt(ev.Receipt, ev.Delivered)
		}
	case transport.SessionOpen:
		l.opened(now, ev.Session)
	case transport.SessionFailed:
		s := l.session(ev.Session)
		if ev.Other != nil {
			s.other = l.session(ev.Other)
		}
		s.end(ev.Err)
	case transport.SessionClosed:
		l.session(ev.Session).end(ev.Err)
	case transport.FlowOpen:
		l.flowOpen(now, ev.Recv)
	case transport.FlowDone:
		ev.Recv.User.(*RecvFlow).done()
	case transport.SendFlowClosed:
		if f := sendFlowOf(ev.Send); f != nil {
			f.end(errFlowClosed)
		}
	case transport.SendFlowRejected:
		if f := sendFlowOf(ev.Send); f != nil {
			f.end(&RejectedError{ev.Code})
		}
	}
}

// session returns the handle of a session, a new one if it has none.
func (l *loop) session(core *transport.Session) *Session {
	if s, ok := core.User.(*Session); ok {
		return s
	}
	s := newSession(l.h, core)
	core.User = s
	l.sessions[s] = struct{}{}
	return s
}

func (l *loop) opened(now clock.Time, core *transport.Session) {
	s := l.session(core)
	s.nowOpen()
	if core.Initiator() {
		return
	}
	h := l.h
	h.mu.Lock()
	full := len(h.backlog) >= h.cfg.Backlog
	if full {
		h.refused++
	} else {
		h.backlog = append(h.backlog, s)
		h.bell.ring()
	}
	h.mu.Unlock()
	if full {
		s.close(now)
	}
}

func (l *loop) flowOpen(now clock.Time, core *transport.RecvFlow) {
	s := l.session(core.Session())
	f := &RecvFlow{s: s, core: core, id: core.ID(), metadata: core.Metadata()}
	if r := core.Reply(); r != nil {
		f.reply = sendFlowOf(r)
	}
	if !s.offer(f) {
		core.Reject(now, 0)
		return
	}
	core.User = f
	if s.recv == nil {
		s.recv = map[*RecvFlow]struct{}{}
	}
	s.recv[f] = struct{}{}
	core.Accept(now, true)
}

// sendFlowOf returns the handle of a flow, nil if its opening failed.
func sendFlowOf(core *transport.SendFlow) *SendFlow {
	f, _ := core.User.(*SendFlow)
	return f
}
