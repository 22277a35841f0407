package transport

import (
	"net/netip"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// State is the state of a session (RFC 7016 §3.5).
type State uint8

// States of a session.
const (
	StateIHelloSent     State = iota // S_IHELLO_SENT
	StateKeyingSent                  // S_KEYING_SENT
	StateOpen                        // S_OPEN
	StateNearClose                   // S_NEARCLOSE
	StateFarCloseLinger              // S_FARCLOSE_LINGER
	StateClosed                      // S_CLOSED
	StateOpenFailed                  // S_OPEN_FAILED

	stateResponding // an IIKeying's answer is being computed; the RFC takes no time for it
)

// Session is the protocol relationship with one far endpoint. It belongs to its
// endpoint; after the event that reports its end it is dead, and calls have no
// effect.
type Session struct {
	// User is for the owner; the endpoint does not look at it.
	User any

	e    *Endpoint
	keys *crypto.SessionKeys
	peer PeerID
	addr netip.AddrPort // DESTADDR
	id   uint32         // receive session identifier
	far  uint32         // send session identifier

	state        State
	initiator    bool
	confirmed    bool   // the far end has used the session keys
	dormant      bool   // no user data for Config.Keepalive
	sending      bool   // in the endpoint's queue of senders
	nearPrevails bool   // in glare, as a responder knows
	keep         uint16 // of SetKeepalive, in units of keepUnit; 0 for the default

	sendPrev, sendNext *Session

	startup  *startup // while it is being opened
	seldom   *seldom
	keying   keyingID // of the IIKeying that a responder answered
	openedAt clock.Time

	// Receiving.
	recv      []*RecvFlow // by rising id
	recent    *RecvFlow   // the flow of the last user data
	ackHead   *RecvFlow   // flows to be acknowledged
	ackTail   *RecvFlow
	acked     [2]*RecvFlow // flows in the last packet with acknowledgements
	lastHeard clock.Time
	dataAt    clock.Time // of the last user data in either direction
	buffered  int        // bytes in the RECV_BUFFERs
	rxData    uint8      // RX_DATA_PACKETS
	ackNow    bool       // ACK_NOW
	lone      uint8      // acknowledgements that were delayed for nothing, up to loneAcks, and those that were not delayed since

	longECN bool  // both ends have the extension of docs/ecn.md
	marking bool  // what is sent now has a congestion mark
	local   uint8 // own address that the far end uses, as the driver numbers them; 0 for any

	// Chunks that are due.
	pingDue bool
	pongDue bool
	probing *SendFlow // a flow that a Buffer Probe is due for

	// Sending.
	send       []sendSlot
	ready      *[priorities]*SendFlow // tails of rings of flows that may have something to send; nil at rest
	flightHead *fragment              // in flight, by rising packet
	flightTail *fragment
	nextPacket uint64 // number of the next packet with user data
	maxAcked   uint64 // the highest number of a packet that was acknowledged
	congestion congestion
	pacer      pacer
	rtt        rtt
	ecn        *ecn // nil until there is something to know of marks

	// Alarms; the timer is set for the earliest of them or before.
	timer   clock.Timer[*Session]
	stateAt clock.Time // handshake repetitions, close repetitions, lingers
	timeout clock.Time // TIMEOUT_ALARM
	lossAt  clock.Time // a fragment counts as lost by time
	tailAt  clock.Time // tail-loss probe
	ackAt   clock.Time // DELACK_ALARM
	paceAt  clock.Time // the pacer allows more
	aliveAt clock.Time // keepalive and retransmit limit
	flowsAt clock.Time // deadlines of messages, buffer probes, lingers of receiving flows

	waiting   clock.Time // since when an answer of the far end is outstanding, 0 if none is
	pingSent  clock.Time // of the last Ping that is not answered, 0 if there is none
	mtu       uint16     // PLPMTU (RFC 8899): the largest UDP payload that is sent
	mtuBefore uint16     // what it was at most
	tailProbe uint8      // tail-loss probes since the last acknowledgement
	probeNow  bool       // a packet may go whatever the congestion window says
	streak    uint8      // packets with user data since the last Ping, up to streakLength
	pings     uint8      // pings since the last sign of life

	stats sessionCounts
}

const priorities = 8

// seldom is what few sessions need, made on first use.
type seldom struct {
	pong      []byte           // message of a Ping to be replied to
	mobSent   clock.Time       // MOB_TX_TS
	mobHeard  clock.Time       // MOB_RX_TS
	introduce rateLimit        // of introductions
	reported  []netip.AddrPort // where the far end says that it is, too
}

func (s *Session) rare() *seldom {
	if s.seldom == nil {
		s.seldom = &seldom{}
	}
	return s.seldom
}

// sendSlot is an identifier for sending flows: slot i is flow i+firstFlow.
type sendSlot struct {
	flow *SendFlow
	free clock.Time // end of F_COMPLETE_LINGER, 0 if it was never used
}

const firstFlow = 2 // lower ids are avoided as other implementations do

// newSession makes a session in the table, of which nothing is proven yet. It
// returns nil if there are too many.
func (e *Endpoint) newSession(now clock.Time, state State) *Session {
	s := &Session{e: e, state: state, lastHeard: now, nextPacket: 1}
	s.timer.Owner = s
	for _, at := range []*clock.Time{&s.stateAt, &s.timeout, &s.lossAt, &s.tailAt, &s.ackAt, &s.paceAt, &s.aliveAt, &s.flowsAt} {
		*at = clock.Never
	}
	s.rtt.init()
	s.mtu = uint16(e.cfg.MTU)
	if e.opening >= e.cfg.MaxOpening {
		return nil
	}
	if s.id = e.sessions.add(s); s.id == 0 {
		return nil
	}
	e.opening++
	return s
}

// ID returns the receive session identifier, unique among the endpoint's
// sessions. It is fixed from SessionOpen on.
func (s *Session) ID() uint32 { return s.id }

// Peer returns the far end's name; that of a session dialed by URL is known
// when it is open.
func (s *Session) Peer() PeerID { return s.peer }

// State returns the state of the session.
func (s *Session) State() State {
	if s.state == stateResponding {
		return StateKeyingSent
	}
	return s.state
}

// Initiator reports whether this end opened the session.
func (s *Session) Initiator() bool { return s.initiator }

// FarAddr returns the far end's address as it is seen here, the zero AddrPort
// as long as nobody has answered.
func (s *Session) FarAddr() netip.AddrPort { return s.addr }

// SRTT returns the smoothed round-trip time, 0 if none was measured.
func (s *Session) SRTT() time.Duration { return s.rtt.srtt }

// SlowStart reports whether the congestion window still grows as it does until
// the path was first found to be full, or after a timeout: what waits does not
// tell how much the path carries.
func (s *Session) SlowStart() bool { return s.congestion.window < s.congestion.threshold }

// RTTVar returns the mean deviation of the round-trip time.
func (s *Session) RTTVar() time.Duration { return s.rtt.rttvar }

// ERTO returns the effective retransmission timeout (RFC 7016 §3.5.2.2).
func (s *Session) ERTO() time.Duration { return s.rtt.erto }

// LastHeard returns when a valid packet of the far end last came.
func (s *Session) LastHeard() clock.Time { return s.lastHeard }

// Nonces returns the session's secret nonces, zero before it is open. The near
// nonce of one end is the far nonce of the other.
func (s *Session) Nonces() (near, far [32]byte) {
	if s.keys == nil {
		return near, far
	}
	return s.keys.NearNonce, s.keys.FarNonce
}

// Suite names the cryptography of the session, "" before it is open.
func (s *Session) Suite() string {
	if s.keys == nil {
		return ""
	}
	return s.keys.Suite()
}

// Stats returns the session's counters.
func (s *Session) Stats() SessionStats {
	return SessionStats{s.stats, int(s.congestion.window), int(s.congestion.outstanding), s.ECN()}
}

// OpenFlow opens a flow to the far end. It fails with ErrClosed if the session
// is closing or the flow to reply to is not open, ErrTooManyFlows, or
// ErrTooLong. The far end learns of the flow with its first message.
func (s *Session) OpenFlow(now clock.Time, o FlowOptions) (*SendFlow, error) {
	s.e.input(now)
	if s.state > StateOpen {
		return nil, ErrClosed
	}
	if len(o.Metadata) > maxMetadata {
		return nil, ErrTooLong
	}
	options := wire.FlowOptions{Metadata: o.Metadata, HasMetadata: true}
	if r := o.Reply; r != nil {
		if r.s != s || r.state == recvRejected || r.state == recvClosed {
			return nil, ErrClosed
		}
		options.ReturnFlow, options.HasReturnFlow = r.id, true
	}
	i := s.freeSlot(now)
	if i < 0 {
		return nil, ErrTooManyFlows
	}
	f := &SendFlow{
		s: s, id: uint64(i) + firstFlow,
		startup: options.Append(nil),
		nextSN:  1, unsent: 1, window: initialWindow,
		expiry: clock.Never, probeAt: clock.Never,
		priority: min(o.Priority, priorities-1), critical: o.TimeCritical, background: o.Background && !o.TimeCritical,
	}
	s.send[i] = sendSlot{flow: f}
	return f, nil
}

// freeSlot returns the index of an unused flow id, -1 if there is none.
func (s *Session) freeSlot(now clock.Time) int {
	for i := range s.send {
		if s.send[i].flow == nil && s.send[i].free <= now {
			return i
		}
	}
	if len(s.send) == s.e.cfg.MaxFlowsPerSession {
		return -1
	}
	s.send = append(s.send, sendSlot{})
	return len(s.send) - 1
}

// restSend lays the id of a finished flow to rest: "A sending flow MUST remain
// in the F_COMPLETE_LINGER state for at least 130 seconds" (RFC 7016 §3.6.2.11).
// The far end never heard of a flow that sent nothing.
func (s *Session) restSend(f *SendFlow, now clock.Time) {
	slot := &s.send[f.id-firstFlow]
	slot.flow = nil
	if f.nextSN > 1 {
		slot.free = now.Add(sendFlowLinger)
	}
}

// sendFlow returns the sending flow with an id, nil if there is none.
func (s *Session) sendFlow(id uint64) *SendFlow {
	if i := id - firstFlow; id >= firstFlow && i < uint64(len(s.send)) {
		return s.send[i].flow
	}
	return nil
}

// recvFlow returns the receiving flow with an id, and where it is or belongs.
func (s *Session) recvFlow(id uint64) (f *RecvFlow, at int) {
	if r := s.recent; r != nil && r.id == id {
		return r, -1
	}
	lo, hi := 0, len(s.recv)
	for lo < hi {
		if mid := (lo + hi) / 2; s.recv[mid].id < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(s.recv) && s.recv[lo].id == id {
		s.recent = s.recv[lo]
		return s.recent, lo
	}
	return nil, lo
}

// startRecv begins a receiving flow (RFC 7016 §3.6.3.1), nil if there are too
// many.
func (s *Session) startRecv(u wire.UserData, at int) *RecvFlow {
	if len(s.recv) >= s.e.cfg.MaxFlowsPerSession {
		return nil
	}
	f := &RecvFlow{s: s, id: u.FlowID, lingerAt: clock.Never, told: 2}
	f.window.rest(s)
	s.recv = slices.Insert(s.recv, at, f)
	s.recent = f
	o, ok := wire.ParseFlowOptions(u.Options)
	reject := !ok || !o.HasMetadata || o.Unknown
	if ok && o.HasReturnFlow {
		if f.reply = s.sendFlow(o.ReturnFlow); f.reply == nil || f.reply.state != sendOpen {
			f.reply, reject = nil, true
		}
	}
	if reject {
		f.state = recvRejected
		return f
	}
	f.metadata = slices.Clone(o.Metadata)
	s.e.emit(Event{Kind: FlowOpen, Session: s, Recv: f})
	return f
}

// maxPacket returns the size of the largest packet, header and chunks, that
// fits a datagram. Before the keys are known it is a size that fits any suite.
func (s *Session) maxPacket() int {
	if s.keys == nil {
		return s.e.cfg.MTU - crypto.Overhead
	}
	return s.keys.MaxPacket(int(s.mtu))
}

// makeReady puts a flow in the ring of its priority, at the end, and the
// session among the senders.
func (s *Session) makeReady(f *SendFlow) {
	if s.state != StateOpen {
		return
	}
	if !f.ready && f.state != sendClosed {
		f.ready = true
		if s.ready == nil {
			s.ready = new([priorities]*SendFlow)
		}
		tail := s.ready[f.priority]
		if tail == nil {
			f.nextReady = f
		} else {
			f.nextReady = tail.nextReady
			tail.nextReady = f
		}
		s.ready[f.priority] = f
	}
	s.wake()
}

// anyReady reports whether a flow may have something to send.
func (s *Session) anyReady() bool { return s.ready != nil && *s.ready != [priorities]*SendFlow{} }

// probeFlow asks for a Buffer Probe of the flow with the next packet.
func (s *Session) probeFlow(f *SendFlow) {
	s.probing = f
	s.wake()
}

// arm sees to it that the timer fires at the instant at, or before.
func (s *Session) arm(at clock.Time) {
	if at < s.timer.When() {
		s.e.timers.Set(&s.timer, at)
	}
}

// armFlows sets the alarm of the flows for the instant at, or before.
func (s *Session) armFlows(at clock.Time) {
	if at < s.flowsAt {
		s.flowsAt = at
		s.arm(at)
	}
}

// tick acts on the alarms that are due and sets the timer anew.
func (s *Session) tick(now clock.Time) {
	if now >= s.stateAt {
		s.stateAt = clock.Never
		s.stateAlarm(now)
	}
	if s.state == StateOpen {
		if now >= s.lossAt {
			s.lossAlarm(now)
		}
		if now >= s.tailAt {
			s.tailAlarm(now)
		}
		if now >= s.timeout {
			s.timeoutAlarm(now)
		}
		if now >= s.ackAt {
			s.ackAt = clock.Never
			s.ackNow = true
			if s.rxData < ackEvery {
				s.lone = min(s.lone+1, loneAcks)
			}
			s.wake()
		}
		if now >= s.paceAt {
			s.paceAt = clock.Never
			s.wake()
		}
		if now >= s.aliveAt {
			s.aliveAlarm(now)
		}
	}
	if s.state <= StateOpen && now >= s.flowsAt {
		s.flowsAlarm(now) // messages expire while the session opens as well
	}
	if s.state == StateClosed || s.state == StateOpenFailed {
		return
	}
	s.e.timers.Set(&s.timer, s.nextAlarm())
}

// nextAlarm returns the earliest of the session's alarms.
func (s *Session) nextAlarm() clock.Time {
	return min(s.stateAt, s.timeout, s.lossAt, s.tailAt, s.ackAt, s.paceAt, s.aliveAt, s.flowsAt)
}

// flowsAlarm gives up messages whose deadline has come, sends buffer probes,
// and ends lingers.
func (s *Session) flowsAlarm(now clock.Time) {
	next := clock.Never
	for i := range s.send {
		if f := s.send[i].flow; f != nil {
			f.expire(now)
			next = min(next, f.expiry, f.probe(now))
		}
	}
	kept := s.recv[:0]
	for _, f := range s.recv {
		if now >= f.lingerAt && !f.shouldAck && (f.state == recvClosed || f.state == recvRejected) {
			if s.recent == f {
				s.recent = nil
			}
			s.acked = [2]*RecvFlow{}
			continue // RF_CLOSED
		}
		if f.lingerAt != clock.Never {
			next = min(next, max(f.lingerAt, now.Add(time.Second)))
		}
		kept = append(kept, f)
	}
	clear(s.recv[len(kept):])
	s.recv = kept
	s.flowsAt = next
}

// stateAlarm acts on the alarm that belongs to the session's state.
func (s *Session) stateAlarm(now clock.Time) {
	switch s.state {
	case StateIHelloSent, StateKeyingSent:
		s.openAlarm(now)
	case stateResponding, StateOpen:
		if !s.confirmed { // the initiator never used the keys
			s.release(StateClosed)
		}
	case StateNearClose:
		s.nearCloseAlarm(now)
	case StateFarCloseLinger:
		s.release(StateClosed)
	}
}

// release takes the session out of everything and ends its flows. Its handle
// stays with whoever holds it.
func (s *Session) release(state State) {
	if s.state == StateClosed || s.state == StateOpenFailed {
		return
	}
	s.endFlows()
	s.leave()
	s.become(state)
	s.startup = nil
	s.keys = nil
	s.seldom = nil
	s.rest()
	s.e.timers.Stop(&s.timer)
	s.e.sessions.remove(s.id)
}

// leave takes the session out of the maps by which a new one would find it:
// "a session that is closing" must not be taken for one that is open.
func (s *Session) leave() {
	e := s.e
	if e.peers[s.peer] == s {
		delete(e.peers, s.peer)
	}
	if s.keying != (keyingID{}) && e.pending[s.keying] == s {
		delete(e.pending, s.keying)
	}
	e.critical.forget(s)
	s.prove() // there is nothing to prove any more
}

// endFlows ends every flow: "immediately abort and terminate all open or
// closing flows. Flows only exist in S_OPEN sessions" (RFC 7016 §3.5.5).
func (s *Session) endFlows() {
	for i := range s.send {
		f := s.send[i].flow
		if f == nil {
			continue
		}
		for f.queue.n > 0 {
			fr := f.queue.front()
			if m := fr.msg; m != nil {
				m.receipt = 0
			}
			f.remove(fr)
		}
		f.state, f.ready, f.nextReady = sendClosed, false, nil
		f.startup = nil
		f.queued, f.buffered = 0, 0
	}
	for _, f := range s.recv {
		f.discard()
		f.state = recvClosed
		f.received.ranges = nil
	}
	s.send, s.recv, s.recent = nil, nil, nil
	s.ackHead, s.ackTail, s.probing = nil, nil, nil
	s.acked = [2]*RecvFlow{}
	s.ready = nil
	s.timeout, s.lossAt, s.tailAt, s.ackAt = clock.Never, clock.Never, clock.Never, clock.Never
	s.paceAt, s.aliveAt, s.flowsAt = clock.Never, clock.Never, clock.Never
}

// observed is the far end's address as a wire element.
func (s *Session) observed() element.Address {
	return element.Address{AddrPort: s.addr, Origin: element.OriginObserved}
}
