package talk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/simulations"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// Config describes what two ends do.
type Config struct {
	Seed     uint64
	Rand     [2]io.Reader              // of the ends' keys
	Addr     [2]func() netip.AddrPort  // where each end is now
	Trace    [2]*transport.Tracer      // of the endpoints, nil for none
	Wake     func(end int)             // is to give an end a turn soon
	Fail     func(end int, why string) // is told what is wrong
	Broken   bool                      // sessions may end because the network does
	Rate     float64                   // messages in a second, of each end
	Size     int                       // of a message, at most; at least 1024
	Session  time.Duration             // mean time until an end closes the session
	Flow     time.Duration             // mean time until an end closes a flow, which it replaces
	Patience time.Duration             // what takes longer is wrong
	Turns    int                       // of so many turns of an end one is followed by a check of its endpoint
}

// Limits of the workload.
const (
	window     = 16 << 10               // of receiving flows: little, so that it matters
	leastLife  = 150 * time.Millisecond // of a deadline
	mostLife   = 600 * time.Millisecond
	burst      = 16                     // messages at once, now and then
	redialWait = 300 * time.Millisecond // after a session
	holdFor    = 1500 * time.Millisecond
)

// Pair is two ends and what they said.
type Pair struct {
	Ends [2]*End

	cfg  Config
	rng  rand.PCG
	book book

	dialing  [2]*transport.Session // under way
	sessions [2]*transport.Session // as either end knows the one that is open
	dialAt   clock.Time            // of the next session
	dialed   clock.Time            // when the present one was asked for; 0: it was not
	both     bool                  // both ends asked for it
	closing  []closing             // sessions that have to end
	ending   clock.Time            // when the present session is to be closed
	opened   bool                  // a session is open at both ends
	addr     [2]netip.AddrPort     // of the ends when it opened, or until then when it was asked for
}

// closing is a session that one end has closed.
type closing struct {
	at   clock.Time
	near *transport.Session // of the end that closed it
	far  *transport.Session // of the other one, nil if that has heard of it
	end  int                // which closed it
	addr [2]netip.AddrPort  // of the ends when it opened
}

// New makes a pair that begins at an instant.
func New(cfg Config, begin clock.Time) (*Pair, error) {
	p := &Pair{cfg: cfg, dialAt: begin}
	p.rng.Seed(cfg.Seed, 0x74616c6b)
	p.book.pattern = make([]byte, cfg.Size+shifts)
	for i := range p.book.pattern {
		p.book.pattern[i] = byte(p.rng.Uint64())
	}
	for i := range p.Ends {
		id, err := crypto.NewSimulatedIdentity(cfg.Rand[i])
		if err != nil {
			return nil, err
		}
		ep, err := transport.New(transport.Config{
			Identity: id, Rand: cfg.Rand[i], Trace: cfg.Trace[i], Policy: crypto.Policy{Simulation: true},
			RecvBuffer: window, MaxRecvBuffer: window, MaxMessage: cfg.Size,
		})
		if err != nil {
			return nil, err
		}
		p.Ends[i] = &End{Endpoint: ep, pair: p, number: i}
	}
	return p, nil
}

func us(d time.Duration) uint64 { return uint64(d / time.Microsecond) }

// draw returns a number below n.
func (p *Pair) draw(n int) int { return int(p.rng.Uint64() >> 32 * uint64(n) >> 32) }

func (p *Pair) exponential(mean time.Duration) time.Duration {
	return max(simulations.Exponential(&p.rng, mean), time.Millisecond)
}

func (p *Pair) fail(end int, err error) {
	if err != nil {
		p.cfg.Fail(end, err.Error())
	}
}

// Check returns what has taken too long: a session that does not open, or does
// not end at either end after one has closed it; a flow that was closed and
// does not end; a message that does not arrive, or of which its sender is not
// told. It is to be called every second or so.
func (p *Pair) Check(now clock.Time) error {
	late := now - min(clock.Time(p.cfg.Patience), now)
	switch {
	case p.dialed == 0 || p.opened || p.dialed >= late:
	case p.addr != p.addresses():
		// It was asked for at an address that is nobody's any more.
		for i, s := range p.dialing {
			if s != nil {
				s.Close(now)
			}
			if s := p.sessions[i]; s != nil {
				s.Close(now)
			}
		}
		p.endSession(now)
		p.cfg.Wake(0)
	default:
		return fmt.Errorf("a session does not open within %v: at the first end %s, at the second %s", p.cfg.Patience, p.state(0), p.state(1))
	}
	kept := p.closing[:0]
	for _, c := range p.closing {
		// Whoever has moved in the meantime may not be found at its address, and
		// answers to it are lost (RFC 7016 §3.5.4.2 is about open sessions only).
		near := c.near.State() != transport.StateClosed && c.addr == p.addresses()
		if (near || c.far != nil) && c.at < late {
			return fmt.Errorf("a session was closed %v ago and has not ended: at the end that closed it %v, at the other %v", p.cfg.Patience, !near, c.far == nil)
		}
		if near || c.far != nil {
			kept = append(kept, c)
		}
	}
	p.closing = kept
	open := p.book.open[:0]
	for _, f := range p.book.open {
		if f.over || f.closed && f.done {
			continue
		}
		open = append(open, f)
		if err := f.overdue(now, clock.Time(p.cfg.Patience)); err != nil {
			return err
		}
	}
	p.book.open = open
	for _, e := range p.Ends {
		if err := e.Endpoint.Check(now); err != nil {
			return fmt.Errorf("core: %w", err)
		}
	}
	return nil
}

func (p *Pair) addresses() [2]netip.AddrPort {
	return [2]netip.AddrPort{p.cfg.Addr[0](), p.cfg.Addr[1]()}
}

// knows reports whether an end still has a session with the other, which may
// not have heard yet that it was closed.
func (p *Pair) knows(i int) bool { return p.Ends[i].Session(p.Ends[1-i].PeerID()) != nil }

// state says how far an end is with the session that is being opened.
func (p *Pair) state(i int) string {
	switch {
	case p.sessions[i] != nil:
		return fmt.Sprintf("open (state %d)", p.sessions[i].State())
	case p.dialing[i] != nil:
		return fmt.Sprintf("asked for (state %d)", p.dialing[i].State())
	}
	return "not known"
}

// act does what the pair as a whole does: sessions.
func (p *Pair) act(now clock.Time) {
	switch {
	case p.dialed == 0 && now >= p.dialAt:
		i := p.draw(2)
		if p.knows(i) {
			i = 1 - i
		}
		if p.knows(i) {
			p.dialAt = now.Add(redialWait)
			return
		}
		p.dialed, p.addr = max(now, 1), p.addresses()
		p.book.sessions++
		p.dial(now, i)
		if p.draw(4) == 0 && !p.knows(1-i) {
			p.both = true
			p.dial(now, 1-i)
		}
	case p.opened && now >= p.ending:
		p.close(now, p.draw(2))
	}
}

func (p *Pair) dial(now clock.Time, i int) {
	s, err := p.Ends[i].Dial(now, p.Ends[1-i].PeerID(), []netip.AddrPort{p.cfg.Addr[1-i]()})
	if err != nil {
		p.fail(i, fmt.Errorf("dial: %w", err))
		return
	}
	p.dialing[i] = s
	p.cfg.Wake(i)
}

// close has an end close the session, one time in four abruptly.
func (p *Pair) close(now clock.Time, i int) {
	near, far := p.sessions[i], p.sessions[1-i]
	if p.draw(4) == 0 {
		near.Abort(now)
	} else {
		near.Close(now)
	}
	p.closing = append(p.closing, closing{now, near, far, i, p.addr})
	p.cfg.Wake(i)
	p.endSession(now)
}

// endSession notes that the session has ended for both.
func (p *Pair) endSession(now clock.Time) {
	p.opened, p.dialed, p.both = false, 0, false
	p.sessions, p.dialing = [2]*transport.Session{}, [2]*transport.Session{}
	p.dialAt = now.Add(p.exponential(redialWait))
	for _, f := range p.book.open {
		f.over = true
	}
	for _, e := range p.Ends {
		e.flows, e.heard = e.flows[:0], e.heard[:0]
	}
}

// sessionOpen takes the news of an end that a session is open.
func (p *Pair) sessionOpen(now clock.Time, i int, s *transport.Session) {
	if p.dialed == 0 {
		s.Close(now) // nobody waits for it any more
		return
	}
	if p.opened { // the other one of two that were begun at once
		s.Close(now)
		return
	}
	p.sessions[i] = s
	if p.sessions[1-i] == nil {
		return
	}
	p.opened, p.addr = true, p.addresses()
	p.book.openTime.Add(us(now.Sub(p.dialed)), 1)
	p.ending = now.Add(p.exponential(p.cfg.Session))
	for _, e := range p.Ends {
		e.begin(now, p.sessions[e.number])
		p.cfg.Wake(e.number)
	}
}

// sessionClosed takes the news of an end that a session is no more.
func (p *Pair) sessionClosed(now clock.Time, i int, s *transport.Session, why error) {
	for k := range p.closing {
		if p.closing[k].far != s {
			continue
		}
		p.closing[k].far = nil
		if !errors.Is(why, transport.ErrFarClosed) {
			// The next session has taken its place before it heard of the end,
			// and nobody answers the other end, which repeats itself for 90 s.
			p.closing = slices.Delete(p.closing, k, k+1)
		}
		return
	}
	if s != p.sessions[i] {
		return
	}
	// The other end has not closed it.
	p.book.broken++
	moved := !p.opened && p.addr != p.addresses()
	replaced := p.both && errors.Is(why, transport.ErrReplaced) // of two that were begun at once
	if !p.cfg.Broken && !moved && !replaced {
		p.fail(i, fmt.Errorf("a session ended that nobody closed: %w", why))
	}
	p.closing = append(p.closing, closing{at: now, near: s, far: p.sessions[1-i], end: i, addr: p.addr})
	p.endSession(now)
}

// open makes a flow of an end.
func (p *Pair) open(now clock.Time, e *End, s *transport.Session, k kind) *flow {
	f := &flow{from: e, kind: k, session: s}
	name := binary.BigEndian.AppendUint64(nil, uint64(len(p.book.flows)))
	var err error
	if f.send, err = s.OpenFlow(now, transport.FlowOptions{Metadata: name, Priority: uint8(p.draw(8)), TimeCritical: k&critical != 0}); err != nil {
		p.fail(e.number, fmt.Errorf("open a flow: %w", err))
		return nil
	}
	f.send.User = f
	p.book.flows = append(p.book.flows, f)
	p.book.open = append(p.book.open, f)
	return f
}

// say sends a message on a flow.
func (p *Pair) say(now clock.Time, f *flow) {
	m := &message{
		flow: f, place: len(f.sent), number: uint64(len(p.book.messages)),
		size: 16 + p.draw(p.cfg.Size-15), at: now, deadline: clock.Never,
	}
	if f.kind&perish != 0 {
		m.deadline = now.Add(leastLife + time.Duration(p.draw(int((mostLife-leastLife)/time.Millisecond)))*time.Millisecond)
	}
	err := f.send.Send(now, p.book.write(m), transport.SendOptions{Deadline: m.deadline, Receipt: m.number + 1})
	if err == transport.ErrFull {
		return
	}
	if err != nil {
		p.fail(f.from.number, fmt.Errorf("send: %w", err))
		return
	}
	f.sent = append(f.sent, m)
	p.book.messages = append(p.book.messages, m)
	if m.deadline != clock.Never {
		p.book.perishable++
	}
}
