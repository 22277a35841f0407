package talk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// End is one of two endpoints, as a network drives it.
type End struct {
	*transport.Endpoint

	pair   *Pair
	number int
	flows  []*flow    // that it sends on
	heard  []*flow    // that it receives
	due    clock.Time // when it does something next
	sendAt clock.Time
	flowAt clock.Time // when it closes a flow
	holdAt clock.Time // when it holds one
	pour   *flow      // to be sent a burst on
	turns  int
}

// begin begins to talk on a session.
func (e *End) begin(now clock.Time, s *transport.Session) {
	e.flows, e.heard = e.flows[:0], e.heard[:0]
	for k := range kind(kinds) {
		if f := e.pair.open(now, e, s, k); f != nil {
			e.flows = append(e.flows, f)
		}
	}
	p := e.pair
	e.sendAt, e.due = now, now
	e.flowAt = now.Add(p.exponential(p.cfg.Flow))
	e.holdAt = now.Add(p.exponential(2 * p.cfg.Flow))
}

// Deadline returns when the end wants to be called.
func (e *End) Deadline() clock.Time { return min(e.Endpoint.Deadline(), e.due) }

// Advance does what is due.
func (e *End) Advance(now clock.Time) {
	e.Endpoint.Advance(now)
	e.drain(now)
	e.act(now)
	e.drain(now)
	if e.turns++; e.turns%e.pair.cfg.Turns == 0 {
		if err := e.Endpoint.Check(now); err != nil {
			e.pair.fail(e.number, fmt.Errorf("core: %w", err))
		}
	}
}

// act talks, and plans when to talk again. The first end looks after sessions.
func (e *End) act(now clock.Time) {
	p := e.pair
	if e.number == 0 {
		p.act(now)
	}
	for _, f := range slices.Clone(e.heard) {
		if f.held && now >= f.heldTo && !f.over {
			f.held = false
			f.recv.Hold(now, false)
			e.drain(now) // before it may be held again
		}
	}
	if p.opened && len(e.flows) > 0 {
		e.talk(now)
	}
	e.due = clock.Never
	if e.number == 0 {
		switch {
		case p.opened:
			e.due = p.ending
		case p.dialed == 0:
			e.due = p.dialAt
		}
	}
	if p.opened && len(e.flows) > 0 {
		e.due = min(e.due, e.sendAt, e.flowAt, e.holdAt)
	}
	for _, f := range e.heard {
		if f.held && !f.over {
			e.due = min(e.due, f.heldTo)
		}
	}
}

func (e *End) talk(now clock.Time) {
	p := e.pair
	if f := e.pour; f != nil && !f.over && f.closing == 0 {
		for range burst {
			p.say(now, f)
		}
	}
	e.pour = nil
	if now >= e.sendAt {
		f := e.flows[p.draw(len(e.flows))]
		count := 1
		if p.draw(64) == 0 {
			count = burst
		}
		for range count {
			p.say(now, f)
		}
		e.sendAt = now.Add(p.exponential(time.Duration(1e6/p.cfg.Rate) * time.Microsecond))
	}
	if now >= e.flowAt {
		e.flowAt = now.Add(p.exponential(p.cfg.Flow))
		i := p.draw(len(e.flows))
		f := e.flows[i]
		if p.draw(2) == 0 {
			p.say(now, f) // its last words
		}
		f.closing = max(now, 1)
		f.send.Close(now)
		if len(f.sent) == 0 { // the far end never hears of it
			f.done = true
		}
		if next := p.open(now, e, f.session, f.kind); next != nil {
			e.flows[i] = next
		}
	}
	if now >= e.holdAt {
		e.holdAt = now.Add(p.exponential(2 * p.cfg.Flow))
		if len(e.heard) > 0 {
			f := e.heard[p.draw(len(e.heard))]
			if !f.held && !f.over && !f.done && f.got >= 3 {
				f.held, f.heldTo = true, now.Add(holdFor)
				f.recv.Hold(now, true)
				f.from.pour = f // more than its window takes
				p.cfg.Wake(f.from.number)
			}
		}
	}
}

// drain takes what has happened.
func (e *End) drain(now clock.Time) {
	p := e.pair
	for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
		switch ev.Kind {
		case transport.SessionOpen:
			p.sessionOpen(now, e.number, ev.Session)
		case transport.SessionClosed:
			p.sessionClosed(now, e.number, ev.Session, ev.Err)
		case transport.SessionFailed:
			if p.dialing[e.number] == ev.Session && !errors.Is(ev.Err, transport.ErrDuplicate) {
				p.fail(e.number, fmt.Errorf("a session can't be opened: %w", ev.Err))
			}
		case transport.FlowOpen:
			e.flowOpen(now, ev.Recv)
		case transport.Message:
			f := ev.Recv.User.(*flow)
			if !f.over {
				p.fail(e.number, p.book.delivered(now, f, ev.Data, ev.Skipped))
			}
		case transport.FlowDone:
			f := ev.Recv.User.(*flow)
			e.heard = slices.DeleteFunc(e.heard, func(have *flow) bool { return have == f })
			if !f.over {
				p.fail(e.number, p.book.ended(f))
			}
		case transport.Receipt:
			f := ev.Send.User.(*flow)
			if !f.over {
				p.fail(e.number, p.book.receipt(now, f, ev.Receipt, ev.Delivered))
			}
		case transport.SendFlowClosed:
			if f := ev.Send.User.(*flow); !f.over {
				f.closed = true
				p.book.closeTime.Add(us(now.Sub(f.closing)), 1)
			}
		case transport.SendFlowRejected:
			p.fail(e.number, fmt.Errorf("a flow was refused with code %d", ev.Code))
		}
	}
}

// flowOpen takes a flow of the far end.
func (e *End) flowOpen(now clock.Time, r *transport.RecvFlow) {
	p := e.pair
	number := uint64(len(p.book.flows))
	if name := r.Metadata(); len(name) == 8 {
		number = binary.BigEndian.Uint64(name)
	}
	if number >= uint64(len(p.book.flows)) || p.book.flows[number].from == e || p.book.flows[number].recv != nil {
		p.fail(e.number, errors.New("a flow was opened that the far end did not open, or not again"))
		return
	}
	f := p.book.flows[number]
	f.recv, r.User = r, f
	r.Accept(now, f.kind&ordered != 0)
	if !f.over {
		e.heard = append(e.heard, f)
	}
}
