package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// aliveAlarm pings a far end that was silent for Config.Keepalive, repeats the
// ping, and gives the session up when nothing came back for
// Config.RetransmitLimit (RFC 7016 §3.5.4.1).
func (s *Session) aliveAlarm(now clock.Time) {
	cfg := &s.e.cfg
	s.aliveAt = clock.Never
	if s.waiting != 0 && now >= s.waiting.Add(cfg.RetransmitLimit) {
		s.die(now, ErrTimeout)
		return
	}
	if s.keys.Worn() {
		s.die(now, ErrCrypto)
		return
	}
	if !s.dormant && now.Sub(s.dataAt) >= cfg.Keepalive {
		s.dormant = true
		s.slim()
	}
	if s.pingSent < s.lastHeard {
		s.pingSent = 0 // whatever else came shows the same
	}
	// "A Keepalive Ping SHOULD NOT be sent more often than once per ERTO. If a
	// corresponding Ping Reply is not received within ERTO of sending the Ping,
	// ERTO SHOULD be increased".
	next := s.lastHeard.Add(s.keepalive())
	if s.streak == streakLength {
		next = min(next, s.lastHeard.Add(s.quiet()))
	}
	if s.pingSent != 0 {
		next = s.pingSent.Add(s.rtt.erto)
	}
	if now >= next {
		if s.pingSent != 0 && s.flightHead == nil { // or TIMEOUT_ALARM sees to it
			s.rtt.backOff()
		}
		s.streak = 0
		s.pingDue = true
		s.wake()
		next = now.Add(s.rtt.erto)
	}
	if s.waiting != 0 {
		next = min(next, s.waiting.Add(cfg.RetransmitLimit))
	}
	s.aliveAt = next
	s.arm(next)
}

// putOffAlive moves the alarm to where aliveAlarm would set it if it has nothing
// to do but that.
func (s *Session) putOffAlive() {
	if s.state != StateOpen || s.waiting != 0 || s.pingSent != 0 || s.keys.Worn() {
		return
	}
	next := s.lastHeard.Add(s.keepalive())
	if s.streak == streakLength {
		next = min(next, s.lastHeard.Add(s.quiet()))
	}
	if !s.dormant {
		next = min(next, s.dataAt.Add(s.e.cfg.Keepalive))
	}
	s.aliveAt = max(s.aliveAt, next)
}

// keepUnit is what keepalives of sessions are kept in, because a session is to
// be small.
const keepUnit = 20 * time.Millisecond

// SetKeepalive has the far end pinged after it was silent for d, from now on;
// 0 is Config.Keepalive. Whoever watches a far end wants it short, and long
// where only the bindings of NATs are to be kept.
func (s *Session) SetKeepalive(now clock.Time, d time.Duration) {
	keep := uint16(min(max(d, 0)/keepUnit, 1<<16-1))
	if s.keep == keep || s.state != StateOpen {
		return
	}
	s.e.input(now)
	s.keep = keep
	if s.aliveAt == clock.Never {
		return
	}
	// A ping that is not answered yet is repeated as it was planned, and so is
	// the end of the session.
	if at := max(now, s.lastHeard.Add(s.keepalive())); at < s.aliveAt || s.pingSent == 0 && s.waiting == 0 {
		s.aliveAt = at
		s.arm(at)
	}
}

func (s *Session) keepalive() time.Duration {
	if s.keep > 0 {
		return time.Duration(s.keep) * keepUnit
	}
	return s.e.cfg.Keepalive
}

// streamed counts a packet with user data for the keepalive. A receiver of many
// such packets says something by itself when they stop, long before the keepalive
// would: if a NAT has given it another address meanwhile, the sender can't find
// it, and has to wait for a packet from there.
func (s *Session) streamed(now clock.Time) {
	if s.streak == streakLength {
		return
	}
	if s.streak++; s.streak < streakLength {
		return
	}
	if at := now.Add(s.quiet()); at < s.aliveAt {
		s.aliveAt = at
		s.arm(at)
	}
}

// quiet is the silence after which a stream is taken to have stopped.
func (s *Session) quiet() time.Duration { return max(s.rtt.erto, streamQuiet) }

// busy notes user data in either direction.
func (s *Session) busy(now clock.Time) {
	s.dataAt, s.e.busyAt, s.dormant = now, now, false
}

// slim gives back what an idle session does not need.
func (s *Session) slim() {
	s.keys.Rest()
	s.e.slim()
	s.congestion.bulk = nil
	if !s.anyReady() {
		s.ready = nil
	}
	for i := range s.send {
		if f := s.send[i].flow; f != nil {
			f.queue.slim()
		}
	}
	for _, f := range s.recv {
		if !f.received.gaps() {
			f.received.ranges = nil
		}
		if f.buffer.empty() {
			f.buffer = recvBuffer{}
			f.window.rest(s)
		}
	}
}

// expectAnswer notes that something was sent which the far end answers.
func (s *Session) expectAnswer(now clock.Time) {
	if s.waiting != 0 {
		return
	}
	s.waiting = now
	if at := now.Add(s.e.cfg.RetransmitLimit); at < s.aliveAt {
		s.aliveAt = at
		s.arm(at)
	}
}

// heard notes a sign of life.
func (s *Session) heard(now clock.Time) {
	s.lastHeard = now
	s.waiting = 0
}

// handlePong takes the reply to a keepalive ping.
func (s *Session) handlePong(now clock.Time) {
	if s.pingSent != 0 && s.pings == 1 {
		s.rtt.sample(now.Sub(s.pingSent))
	}
	s.pingSent, s.pings = 0, 0
}
