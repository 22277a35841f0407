package host

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// FlowOptions describes a flow to be opened.
type FlowOptions struct {
	// Metadata names the flow to the far end; at most 512 bytes, copied.
	Metadata []byte
	// Reply makes the flow the return flow of one that is received on the same
	// session: the far end gets it from SendFlow.AcceptReply.
	Reply *RecvFlow
	// Priority orders the flows of a session, 0 to 7, the highest first.
	// Flows of one priority take turns.
	Priority uint8
	// TimeCritical marks the flow's packets as real-time (RFC 7016 §2.2.4):
	// others yield to them, the far end acknowledges them sooner, and the
	// session's congestion window gives way more gently.
	TimeCritical bool
	// Background makes the flow give way to everything else on its path, as
	// long as its session carries nothing but such flows. It is for copies that
	// nobody waits for.
	Background bool
}

// Session is the relationship with one far end.
type Session struct {
	h    *Host
	done chan struct{}
	open chan struct{}

	waiting atomic.Int64 // bytes of messages that wait for Receive

	mu      sync.Mutex
	bell    bell
	backlog []*RecvFlow // for AcceptFlow
	refused uint64      // flows beyond the backlog
	ended   bool
	err     error
	last    SessionStats // when it ended

	// Set before open is closed.
	peer      PeerID
	suite     string
	initiator bool

	// The loop's own.
	core    *transport.Session
	send    map[*SendFlow]struct{} // nil before the first
	recv    map[*RecvFlow]struct{} // likewise
	isOpen  bool
	dialers int      // that wait for it to be open
	other   *Session // the one that remains, if this was a duplicate
}

func newSession(h *Host, core *transport.Session) *Session {
	return &Session{h: h, core: core, done: make(chan struct{}), open: make(chan struct{})}
}

// Peer returns the far end's name.
func (s *Session) Peer() PeerID { return s.peer }

// Suite names the cryptography of the session, like "AES-128-GCM/X25519".
func (s *Session) Suite() string { return s.suite }

// Initiator reports whether this end opened the session.
func (s *Session) Initiator() bool { return s.initiator }

// FarAddr returns the far end's address as it is seen here; it may change.
func (s *Session) FarAddr() netip.AddrPort { return s.Stats().FarAddr }

// Nonces returns the session's secret nonces, from which both ends may derive
// what proves something about this session. The near nonce of one end is the
// far nonce of the other.
func (s *Session) Nonces() (near, far [32]byte, err error) {
	err = s.do(func(clock.Time) { near, far = s.core.Nonces() })
	return near, far, err
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended, nil if it has not.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// SessionStats are the figures of a session.
type SessionStats struct {
	transport.SessionStats
	FarAddr      netip.AddrPort
	SRTT, RTTVar time.Duration // smoothed round trip and its mean deviation
	FlowsRefused uint64        // flows of the far end beyond Config.Backlog
}

// Stats returns the session's figures, the last ones if it has ended.
func (s *Session) Stats() SessionStats {
	var st SessionStats
	err := s.do(func(clock.Time) { st = s.readStats() })
	if err != nil {
		<-s.done // soon, if the host has ended
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		st = s.last
	}
	st.FlowsRefused = s.refused
	return st
}

func (s *Session) readStats() SessionStats {
	return SessionStats{SessionStats: s.core.Stats(), FarAddr: s.core.FarAddr(), SRTT: s.core.SRTT(), RTTVar: s.core.RTTVar()}
}

// OpenFlow opens a flow to the far end, which learns of it with its first
// message. Errors: why the session ended, transport.ErrTooManyFlows,
// transport.ErrTooLong, or transport.ErrClosed if the flow to reply to has
// ended.
func (s *Session) OpenFlow(o FlowOptions) (*SendFlow, error) {
	opts := transport.FlowOptions{Metadata: o.Metadata, Priority: o.Priority, TimeCritical: o.TimeCritical, Background: o.Background}
	if o.Reply != nil {
		opts.Reply = o.Reply.core
	}
	f := &SendFlow{s: s, finished: make(chan struct{})}
	var err error
	if e := s.do(func(now clock.Time) {
		if f.core, err = s.core.OpenFlow(now, opts); err == nil {
			f.core.User = f
			if s.send == nil {
				s.send = map[*SendFlow]struct{}{}
			}
			s.send[f] = struct{}{}
		}
	}); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// AcceptFlow returns the next flow that the far end has opened, return flows
// excepted (SendFlow.AcceptReply). Flows that were there before the session
// ended are returned first.
func (s *Session) AcceptFlow(ctx context.Context) (*RecvFlow, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if f, ok := takeFirst(&s.backlog); ok {
			return f, nil
		}
		if s.ended {
			return nil, s.err
		}
		if err := s.bell.wait(ctx, &s.mu); err != nil {
			return nil, err
		}
	}
}

// Close ends the session in an orderly way. What was not acknowledged is lost:
// close the flows first and wait for their Done. It does not wait for the far
// end.
func (s *Session) Close() error {
	_ = s.do(s.close)
	return nil
}

// close does it, on the loop.
func (s *Session) close(now clock.Time) {
	s.end(transport.ErrClosed)
	if s.core.Close(now); s.core.State() != transport.StateClosed {
		l := &s.h.loop
		l.closing = append(l.closing, s.core)
	}
}

// do runs f on the loop, unless the session has ended.
func (s *Session) do(f func(now clock.Time)) (err error) {
	e := s.h.do(func(now clock.Time) {
		if s.ended { // only the loop sets it
			err = s.err
			return
		}
		f(now)
	})
	if e != nil {
		return e
	}
	return err
}

// nowOpen tells those who wait, the first time.
func (s *Session) nowOpen() {
	if s.isOpen {
		return
	}
	s.isOpen = true
	s.peer, s.suite, s.initiator = s.core.Peer(), s.core.Suite(), s.core.Initiator()
	close(s.open)
}

// end ends the session and its flows, on the loop.
func (s *Session) end(err error) {
	if s.ended {
		return
	}
	delete(s.h.loop.sessions, s)
	last := s.readStats()
	s.mu.Lock()
	s.ended, s.err, s.last = true, err, last
	s.bell.ring()
	s.mu.Unlock()
	for f := range s.send {
		f.end(err)
	}
	for f := range s.recv {
		f.end(err)
	}
	close(s.done)
}

// offer queues a flow for AcceptFlow or AcceptReply. It reports false if too
// many wait already.
func (s *Session) offer(f *RecvFlow) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue, bell := &s.backlog, &s.bell
	if f.reply != nil {
		queue, bell = &f.reply.replies, &f.reply.answered
	}
	if len(*queue) >= s.h.cfg.Backlog {
		s.refused++
		return false
	}
	*queue = append(*queue, f)
	bell.ring()
	return true
}

func takeFirst[T any](queue *[]*T) (*T, bool) {
	q := *queue
	if len(q) == 0 {
		return nil, false
	}
	first := q[0]
	q[0] = nil
	*queue = q[1:]
	return first, true
}
