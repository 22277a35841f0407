package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
)

// PeerID names an endpoint: the fingerprint of its certificate.
type PeerID = crypto.PeerID

// Endpoint is one RTMFP endpoint with all its sessions. Whoever calls it owns
// it until the call returns.
type Endpoint struct {
	cfg         Config
	now         clock.Time // the latest instant that was given
	defaultKeys *crypto.SessionKeys
	cookies     cookieJar
	mobility    [32]byte // MOB_SECRET (RFC 7016 §3.5.4.2)

	sessions table
	peers    map[PeerID]*Session   // one session for each peer, opening or open; looked up, never walked
	pending  map[keyingID]*Session // answered IIKeyings whose initiator has not spoken yet; likewise
	opening  int                   // sessions of which nothing is proven yet
	begun    map[netip.Prefix]int  // those of them that were begun from a network; likewise

	assembler assembler
	unpadded  allowances

	timers   clock.Queue[*Session]
	sendable sessionQueue
	outbox   outbox
	packetID uint64 // of the last fragmented packet
	work     []*Work
	workHead int

	events     events
	unanswered *RecvFlow // reported by FlowOpen, not answered yet

	pool     pool
	buffered int        // bytes in the RECV_BUFFERs of all sessions
	busyAt   clock.Time // of the last user data in either direction, 0 after a rest
	critical criticalState
	stats    EndpointStats
}

// New returns an endpoint. It fails if the Config is impossible or its Rand
// gives nothing.
func New(cfg Config) (*Endpoint, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("transport: Config.Policy: %w", err)
	}
	e := &Endpoint{
		cfg:         cfg,
		defaultKeys: crypto.DefaultKeys(),
		peers:       make(map[PeerID]*Session),
		pending:     make(map[keyingID]*Session),
		begun:       make(map[netip.Prefix]int),
		pool:        pool{limit: cfg.PoolKeep},
	}
	e.sessions.limit = cfg.MaxSessions
	e.outbox.limit = cfg.MaxOutbox
	if _, err := io.ReadFull(cfg.Rand, e.mobility[:]); err != nil {
		return nil, fmt.Errorf("transport: Config.Rand: %w", err)
	}
	if err := e.cookies.init(cfg.Rand); err != nil {
		return nil, fmt.Errorf("transport: Config.Rand: %w", err)
	}
	e.unpadded.init(e.mobility[:], cfg.UnpaddedBudget)
	e.assembler.init(cfg.FragmentBuffer)
	e.packetID = e.cookies.offset >> 36 // 28 bits: not to be guessed, and 4 bytes on the wire
	return e, nil
}

// PeerID returns the endpoint's own name.
func (e *Endpoint) PeerID() PeerID { return e.cfg.Identity.PeerID() }

// Session returns the session with peer that is open or opening, nil if there
// is none.
func (e *Endpoint) Session(peer PeerID) *Session { return e.peers[peer] }

// Stats returns the endpoint's counters.
func (e *Endpoint) Stats() EndpointStats {
	st := e.stats
	st.Sessions, st.Opening, st.OutboxFull, st.Buffered = e.sessions.n, e.opening, e.outbox.refused, e.buffered
	return st
}

// Arrival is how a datagram came.
type Arrival struct {
	From netip.AddrPort

	// Local is the own address that it came to, by a number of the driver's
	// choice; 0 if it can't tell, or need not. Answers name it.
	Local uint8

	// ECN is the datagram's congestion mark.
	ECN ECN
}

// HandleDatagram is HandleArrival where nothing but the sender's address is known.
func (e *Endpoint) HandleDatagram(now clock.Time, from netip.AddrPort, b []byte) {
	e.HandleArrival(now, Arrival{From: from}, b)
}

// HandleArrival takes a UDP payload. b is decrypted in place and not kept.
func (e *Endpoint) HandleArrival(now clock.Time, a Arrival, b []byte) {
	e.input(now)
	e.events.recycle()
	e.stats.DatagramsReceived++
	e.stats.BytesReceived += uint64(len(b))
	if a.From.Addr().Is4In6() {
		a.From = netip.AddrPortFrom(a.From.Addr().Unmap(), a.From.Port())
	}
	if e.cfg.NoECN {
		a.ECN = NotECT
	}
	e.outbox.asked = a
	e.dispatch(now, a, b)
	e.outbox.asked = Arrival{}
}

// dispatch finds out whom a datagram is for.
func (e *Endpoint) dispatch(now clock.Time, a Arrival, b []byte) {
	from := a.From
	if len(b) < minDatagram {
		e.drop(from, DropSize)
		return
	}
	id := crypto.SessionID(b)
	if id == 0 {
		if len(b) > maxStartupDatagram { // to decrypt it costs more than it may
			e.drop(from, DropSize)
			return
		}
		e.handleStartup(now, from, b)
		return
	}
	s := e.sessions.find(id)
	if s == nil {
		e.drop(from, DropSession)
		return
	}
	s.handle(now, a, b)
}

// slim gives back the memory of busier times, if no session was busy of late.
func (e *Endpoint) slim() {
	if e.now.Sub(e.busyAt) < e.cfg.Keepalive/2 || e.busyAt == 0 {
		return
	}
	e.busyAt = 0
	e.events.slim()
	e.pool = pool{limit: e.pool.limit}
	if len(e.pending) == 0 && len(e.begun) == 0 { // a map never shrinks
		e.pending, e.begun = make(map[keyingID]*Session), make(map[netip.Prefix]int)
	}
}

// minDatagram is the size of the smallest datagram that can be a packet: a
// session id, and a header.
const minDatagram = 5

// Advance runs the timers that are due at now.
func (e *Endpoint) Advance(now clock.Time) {
	e.input(now)
	e.unpadded.slim(now)
	e.events.recycle()
	e.outbox.advance(now)
	e.assembler.expire(e, now)
	for {
		t := e.timers.Pop(now)
		if t == nil {
			return
		}
		t.Owner.tick(now)
	}
}

// Deadline returns the instant at which the endpoint wants to be called again
// without another input: the past, while there is something to drain, or
// clock.Never.
func (e *Endpoint) Deadline() clock.Time {
	if e.outbox.n > 0 || e.sendable.head != nil || e.workHead < len(e.work) || e.events.head < len(e.events.queue) {
		return e.now
	}
	return min(e.nextAlarm(), e.outbox.next(), e.assembler.next())
}

// nextAlarm returns when the first alarm of a session is due. Most alarms are
// put off or taken back before their time, while their session's timer stays
// where it was; the first timer is set right here, so that nobody is woken for
// nothing.
func (e *Endpoint) nextAlarm() clock.Time {
	for {
		t := e.timers.First()
		if t == nil {
			return clock.Never
		}
		s := t.Owner
		at := s.nextAlarm()
		if at <= t.When() && s.aliveAt <= t.When() {
			s.putOffAlive()
			at = s.nextAlarm()
		}
		if at <= t.When() {
			return t.When()
		}
		e.timers.Set(t, at)
	}
}

func (e *Endpoint) drop(from netip.AddrPort, why Drop) {
	e.stats.Dropped[why]++
	if t := e.cfg.Trace; t != nil && t.Dropped != nil {
		t.Dropped(e.now, from, why)
	}
}

// random fills b from Config.Rand. A generator that fails later on would make
// predictable secrets, so that is the end.
func (e *Endpoint) random(b []byte) {
	if _, err := io.ReadFull(e.cfg.Rand, b); err != nil {
		panic("BUG: transport: Config.Rand failed: " + err.Error())
	}
}

// table finds sessions by the receive session id: 20 bits of slot and 12 bits
// of a generation that counts the slot's uses, never 0, so that a late packet
// for a session does not reach its successor.
type table struct {
	slots []slot
	free  []uint32 // slots in the order in which they were freed
	n     int
	limit int
}

type slot struct {
	s          *Session
	generation uint32
}

const (
	slotBits    = 20
	slotMask    = 1<<slotBits - 1
	generations = 1<<(32-slotBits) - 1
)

func (t *table) find(id uint32) *Session {
	i := id & slotMask
	if int(i) >= len(t.slots) {
		return nil
	}
	if s := t.slots[i].s; s != nil && t.slots[i].generation == id>>slotBits {
		return s
	}
	return nil
}

// add gives s an id, 0 if the table is full.
func (t *table) add(s *Session) uint32 {
	if t.n == t.limit {
		return 0
	}
	t.n++
	var i uint32
	if len(t.slots) < t.limit && len(t.free) < 64 {
		// Fresh slots first, so that ids rest before they are used again.
		i = uint32(len(t.slots))
		t.slots = append(t.slots, slot{})
	} else {
		i = t.free[0]
		t.free = t.free[1:]
	}
	sl := &t.slots[i]
	sl.s = s
	sl.generation = sl.generation%generations + 1
	return sl.generation<<slotBits | i
}

// rebind gives an id to another session.
func (t *table) rebind(id uint32, s *Session) { t.slots[id&slotMask].s = s }

// remove frees an id.
func (t *table) remove(id uint32) {
	i := id & slotMask
	if t.slots[i].s == nil || t.slots[i].generation != id>>slotBits {
		panic("BUG: transport: a session id that is not in use was freed")
	}
	t.slots[i].s = nil
	t.free = append(t.free, i)
	t.n--
}

// sessionQueue is the sessions that may have something to send, in turn.
type sessionQueue struct{ head, tail *Session }

// wake puts the session at the end of the queue, if it is not in it.
func (s *Session) wake() {
	if s.sending {
		return
	}
	s.sending = true
	q := &s.e.sendable
	s.sendPrev, s.sendNext = q.tail, nil
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.sendNext = s
	}
	q.tail = s
}

// rest takes the session out of the queue.
func (s *Session) rest() {
	if !s.sending {
		return
	}
	s.sending = false
	q := &s.e.sendable
	if s.sendPrev == nil {
		q.head = s.sendNext
	} else {
		s.sendPrev.sendNext = s.sendNext
	}
	if s.sendNext == nil {
		q.tail = s.sendPrev
	} else {
		s.sendNext.sendPrev = s.sendPrev
	}
	s.sendPrev, s.sendNext = nil, nil
}

// criticalState remembers time-critical packets across sessions
// (RFC 7016 §3.5.2.1, appendix A.2).
type criticalState struct {
	sentUntil clock.Time // "sent on ANY session" counts until then
	heard     [2]heard   // the latest two sessions on which some came
}

type heard struct {
	s     *Session
	until clock.Time
}

// hear notes a time-critical packet on s.
func (c *criticalState) hear(s *Session, now clock.Time) {
	if c.heard[0].s != s {
		c.heard[1] = c.heard[0]
		c.heard[0].s = s
	}
	c.heard[0].until = now.Add(criticalHold)
}

// elsewhere reports whether time-critical packets come in on another session.
func (c *criticalState) elsewhere(s *Session, now clock.Time) bool {
	for _, h := range c.heard {
		if h.s != nil && h.s != s && now < h.until {
			return true
		}
	}
	return false
}

// forget drops a session that is going away.
func (c *criticalState) forget(s *Session) {
	for i := range c.heard {
		if c.heard[i].s == s {
			c.heard[i] = heard{}
		}
	}
}

// mobilityProof is the hash of RFC 7016 §3.5.4.2 over a check's message so far,
// the address that it is sent to, and MOB_SECRET.
func (e *Endpoint) mobilityProof(message []byte, id uint32, to netip.AddrPort) []byte {
	h := hmac.New(sha256.New, e.mobility[:])
	h.Write(message)
	h.Write([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
	h.Write(element.AppendAddress(nil, element.Address{AddrPort: to}))
	return h.Sum(nil)[:16]
}
