package transport

import (
	"cmp"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/internal/rare"
	"rtmfp/transport/wire"
)

// sendState is the state of a sending flow (RFC 7016 §3.6.2). F_COMPLETE_LINGER
// needs no flow: its id rests in the session's table.
type sendState uint8

const (
	sendOpen    sendState = iota // F_OPEN
	sendClosing                  // F_CLOSING
	sendClosed                   // F_COMPLETE_LINGER, F_CLOSED, or the session has ended
)

// FlowOptions describes a flow to be opened.
type FlowOptions struct {
	// Metadata names the flow to the far end; at most 512 bytes, copied.
	Metadata []byte
	// Reply makes the flow the return flow of one that is received on the same
	// session (RFC 7016 §2.3.11.1.2).
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

// SendOptions describes a message to be sent.
type SendOptions struct {
	// Deadline is the instant at which the message is given up, whatever was
	// sent of it. The zero Time and clock.Never make it fully reliable.
	Deadline clock.Time
	// Receipt, if it is not 0, asks for a Receipt event with this number.
	Receipt uint64
	// Shared, if it is not empty, is the message, which is not copied: nobody may
	// change it before the Receipt event, or the end of the flow. It is not the
	// argument of Send, as that of all others would escape to the heap with it.
	Shared []byte
}

// SendFlow is a flow of messages to the far end. It belongs to its session's
// endpoint and is dead with the session.
type SendFlow struct {
	// User is for the owner; the endpoint does not look at it.
	User any

	s          *Session
	id         uint64
	startup    []byte    // STARTUP_OPTIONS; nil once the flow is acknowledged
	queue      fragments // SEND_QUEUE
	nextSN     uint64    // NEXT_SN
	unsent     uint64    // no entry from here on was ever sent
	lostFrom   uint64    // no entry below here is lost
	finalSN    uint64    // F_FINAL_SN, 0 if it has none
	cumulative uint64    // the highest cumulative acknowledgement
	window     uint64    // RX_BUFFER_SIZE, in bytes
	messages   messageList
	expiry     clock.Time // no deadline of a queued message is before; Never if none has one
	probeAt    clock.Time // of the next buffer probe; Never if the flow is not suspended
	nextReady  *SendFlow  // in the session's ring of flows that may have something to send

	outstanding int32 // F_OUTSTANDING_BYTES
	queued      int32 // bytes of user data never sent
	buffered    int32 // bytes of user data queued, with the overhead of messages
	lost        int32 // entries to be sent again that are not abandoned
	probes      uint8 // buffer probes sent since the flow was suspended
	priority    uint8 // 0 to 7
	state       sendState
	critical    bool
	background  bool
	exception   bool // EXCEPTION
	ready       bool // in the session's ring
	stats       FlowStats
}

// fragment is an entry of a SEND_QUEUE (RFC 7016 §3.6.2).
type fragment struct {
	flow       *SendFlow
	msg        *message  // nil for an entry that was made abandoned
	prev, next *fragment // in the session's order of transmission, while in flight
	data       []byte
	seq        uint64
	packet     uint64 // number of the packet that last carried it: the RFC's TSN
	sentAt     clock.Time
	size       int32      // TRANSMIT_SIZE
	place      wire.Flags // FRA

	inFlight      bool
	marked        bool // the packet that last carried it had a congestion mark
	everSent      bool
	resent        bool
	abandoned     bool
	sentAbandoned bool
	shared        bool // data is the application's: see SendOptions.Shared
}

// message is a queued message, until all its fragments are out of the queue.
type message struct {
	prev, next *message
	deadline   clock.Time
	receipt    uint64
	first      uint64 // sequence number of the first fragment
	count      int32  // fragments
	left       int32  // fragments still in the queue
	abandoned  bool
}

// messageList is the messages of a flow that are neither delivered nor given
// up, oldest first.
type messageList struct{ head, tail *message }

func (l *messageList) push(m *message) {
	m.prev, m.next = l.tail, nil
	if l.tail == nil {
		l.head = m
	} else {
		l.tail.next = m
	}
	l.tail = m
}

func (l *messageList) remove(m *message) {
	if m.prev == nil {
		l.head = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		l.tail = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.prev, m.next = nil, nil
}

// Session returns the session of the flow.
func (f *SendFlow) Session() *Session { return f.s }

// ID returns the flow's identifier on the wire.
func (f *SendFlow) ID() uint64 { return f.id }

// Queued returns the bytes of messages that were queued and never sent.
func (f *SendFlow) Queued() int { return int(f.queued) }

// Buffered returns the bytes of messages that were queued and neither
// acknowledged nor given up, with an overhead for each; Config.SendBuffer
// bounds it.
func (f *SendFlow) Buffered() int { return int(f.buffered) }

// Stats returns the flow's counters.
func (f *SendFlow) Stats() FlowStats { return f.stats }

// Send queues a copy of msg, or o.Shared. It returns ErrFull if it does not fit in
// Config.SendBuffer, ErrTooLong if it is over Config.MaxMessage, ErrRejected or
// ErrClosed if the flow takes nothing any more. Messages may be queued before
// the session is open.
func (f *SendFlow) Send(now clock.Time, msg []byte, o SendOptions) error {
	e := f.s.e
	e.input(now)
	size := cmp.Or(len(o.Shared), len(msg))
	switch {
	case f.exception:
		return ErrRejected
	case f.state != sendOpen:
		return ErrClosed
	case size > e.cfg.MaxMessage:
		return ErrTooLong
	case int(f.buffered)+size+fragOverhead > f.s.sendBuffer():
		return ErrFull
	case o.Deadline != 0 && o.Deadline != clock.Never && e.cfg.Rare.Hit(rare.SendFull):
		return ErrFull
	}
	if o.Deadline == 0 {
		o.Deadline = clock.Never
	}
	m := e.pool.message()
	m.deadline, m.receipt, m.first = o.Deadline, o.Receipt, f.nextSN
	for rest := size; ; {
		// "Each fragment MUST be small enough so that, if assembled into a
		// packet … with a maximum-size common header, User Data chunk header,
		// and, if not empty, this flow's STARTUP_OPTIONS, the packet will not
		// exceed the path MTU." (RFC 7016 §3.6.2.2)
		n := min(rest, f.fragmentSize())
		fr := e.pool.fragment()
		fr.flow, fr.msg, fr.seq = f, m, f.nextSN
		if len(o.Shared) > 0 {
			fr.data, fr.shared, o.Shared = o.Shared[:n], true, o.Shared[n:]
		} else {
			fr.data = e.pool.block(n, e.cfg.MaxMTU)
			msg = msg[copy(fr.data, msg):]
		}
		rest -= n
		switch {
		case m.count == 0 && rest == 0:
			fr.place = wire.FragmentWhole
		case m.count == 0:
			fr.place = wire.FragmentBegin
		case rest == 0:
			fr.place = wire.FragmentEnd
		default:
			fr.place = wire.FragmentMiddle
		}
		f.enqueue(fr)
		m.count++
		if rest == 0 {
			break
		}
	}
	m.left = m.count
	f.messages.push(m)
	f.queued += int32(size)
	f.buffered += int32(size + fragOverhead)
	f.stats.Messages++
	f.stats.Bytes += uint64(size)
	if o.Deadline < f.expiry {
		f.expiry = o.Deadline
		f.s.armFlows(o.Deadline)
	}
	f.s.makeReady(f)
	return nil
}

// fragmentSize returns the most bytes that a fragment may hold which is queued
// now. Offsets to the forward sequence number take at most three bytes, since
// SendBuffer holds fewer than 2^21 fragments.
func (f *SendFlow) fragmentSize() int {
	n := f.s.maxPacket() - wire.MaxHeader - wire.ChunkHeaderSize - 1 -
		element.SizeVLU(f.id) - element.SizeVLU(f.nextSN) - 3
	if len(f.startup) > 0 {
		n -= len(f.startup) + 1
	}
	return n
}

// enqueue appends an entry to the SEND_QUEUE.
func (f *SendFlow) enqueue(fr *fragment) {
	if f.queue.n == 0 {
		f.queue.base = f.nextSN
	}
	f.queue.push(fr)
	f.nextSN++
}

// Close closes the flow after what was queued on it; SendFlowClosed reports
// when all of it is acknowledged or given up.
func (f *SendFlow) Close(now clock.Time) {
	f.s.e.input(now)
	f.close(now)
}

// close closes an open flow (RFC 7016 §3.6.2.11).
func (f *SendFlow) close(now clock.Time) {
	if f.state != sendOpen {
		return
	}
	f.state = sendClosing
	if f.nextSN == 1 { // nothing was ever queued: the far end never hears of the flow
		f.finish(now)
		return
	}
	// A number that was ever sent won't do: a receiver ignores the FINAL flag of
	// what it has already (RFC 7016 §3.6.3.2 step 10). An entry without a message
	// may be a repetition by refresh.
	if tail := f.queue.at(f.nextSN - 1); tail != nil && tail.msg != nil && !tail.everSent {
		f.finalSN = tail.seq
	} else {
		f.finalSN = f.nextSN
		f.pushAbandoned()
	}
	f.s.makeReady(f)
}

// pushAbandoned queues an entry without data that is abandoned from the start.
func (f *SendFlow) pushAbandoned() {
	fr := f.s.e.pool.fragment()
	fr.flow, fr.seq, fr.abandoned = f, f.nextSN, true
	f.enqueue(fr)
}

// Abort gives up everything that is queued and closes the flow.
func (f *SendFlow) Abort(now clock.Time) {
	f.s.e.input(now)
	f.abandonAll()
	f.close(now)
	f.s.makeReady(f)
}

// finish ends the flow for good and lays its id to rest.
func (f *SendFlow) finish(now clock.Time) {
	f.state = sendClosed
	f.startup = nil
	f.probeAt, f.expiry = clock.Never, clock.Never
	f.s.restSend(f, now)
	f.s.e.emit(Event{Kind: SendFlowClosed, Session: f.s, Send: f})
}

// reject acts on a Flow Exception Report (RFC 7016 §3.6.2.10).
func (f *SendFlow) rejected(now clock.Time, code uint64) {
	if f.exception {
		return
	}
	f.exception = true
	f.close(now)
	if f.state == sendClosed {
		return
	}
	f.abandonAll()
	f.s.makeReady(f)
	f.s.e.emit(Event{Kind: SendFlowRejected, Session: f.s, Send: f, Code: code})
}

func (f *SendFlow) abandonAll() {
	for f.messages.head != nil {
		f.abandon(f.messages.head)
	}
	f.expiry = clock.Never
}

// abandon gives up a message (RFC 7016 §3.6.2.7): "When abandoning a message
// fragment, abandon all fragments of the message to which it belongs." Its
// entries stay in the queue for the forward sequence number, its bytes go.
func (f *SendFlow) abandon(m *message) {
	e := f.s.e
	m.abandoned = true
	f.messages.remove(m)
	f.buffered -= fragOverhead
	f.stats.Abandoned++
	for seq := m.first; seq < m.first+uint64(m.count); seq++ {
		fr := f.queue.at(seq)
		if fr == nil {
			continue
		}
		fr.abandoned = true
		f.buffered -= int32(len(fr.data))
		if !fr.everSent {
			f.queued -= int32(len(fr.data))
		} else if !fr.inFlight {
			f.lost--
		}
		fr.freeData()
	}
	if m.receipt != 0 {
		e.emit(Event{Kind: Receipt, Session: f.s, Send: f, Receipt: m.receipt})
	}
}

// expire gives up the messages whose deadline has come.
func (f *SendFlow) expire(now clock.Time) {
	if now < f.expiry {
		return
	}
	f.expiry = clock.Never
	for m := f.messages.head; m != nil; {
		next := m.next
		if m.deadline <= now {
			f.abandon(m)
			f.s.makeReady(f)
		} else if m.deadline < f.expiry {
			f.expiry = m.deadline
		}
		m = next
	}
}

// freeData lets go of the fragment's data.
func (fr *fragment) freeData() {
	if e := fr.flow.s.e; !fr.shared {
		e.pool.free(fr.data, e.cfg.MaxMTU)
	}
	fr.data = nil
}

// remove takes an entry out of the SEND_QUEUE, because it is acknowledged or
// was trimmed, and frees it.
func (f *SendFlow) remove(fr *fragment) {
	e := f.s.e
	if fr.inFlight {
		f.s.land(fr)
	} else if fr.everSent && !fr.abandoned {
		f.lost--
	}
	if fr.data != nil {
		f.buffered -= int32(len(fr.data))
		fr.freeData()
	}
	if m := fr.msg; m != nil {
		if m.left--; m.left == 0 {
			if !m.abandoned {
				f.messages.remove(m)
				f.buffered -= fragOverhead
				if m.receipt != 0 {
					e.emit(Event{Kind: Receipt, Session: f.s, Send: f, Receipt: m.receipt, Delivered: true})
				}
			}
			e.pool.freeMessage(m)
		}
	}
	f.queue.remove(fr.seq)
	f.unsent = max(f.unsent, f.queue.base)
	e.pool.freeFragment(fr)
}

// trim drops abandoned entries from the front (RFC 7016 §3.6.2.3 step 1):
// "While the SEND_QUEUE contains at least two entries, AND the first entry is
// not IN_FLIGHT, AND the first entry is ABANDONED".
func (f *SendFlow) trim() {
	for f.queue.live >= 2 {
		fr := f.queue.front()
		if fr.inFlight || !fr.abandoned {
			return
		}
		f.remove(fr)
	}
}

// forward returns the forward sequence number (RFC 7016 §3.6.2.3 steps 2 to 4)
// of a queue that was trimmed and is not empty.
func (f *SendFlow) forward() uint64 {
	fr := f.queue.front()
	if fr.abandoned && (!fr.inFlight || fr.sentAbandoned) {
		return fr.seq
	}
	return fr.seq - 1
}

// eligible returns the first entry that may be sent (RFC 7016 §3.6.2.3), nil if
// there is none. It trims first.
func (f *SendFlow) eligible() *fragment {
	f.trim()
	front := f.queue.front()
	if front == nil {
		return nil
	}
	if front.abandoned && !front.inFlight {
		return front // "The entry is the first one in the SEND_QUEUE"
	}
	if f.lost > 0 {
		for seq := max(f.lostFrom, f.queue.base); seq < f.unsent; seq++ {
			fr := f.queue.at(seq)
			if fr != nil && fr.everSent && !fr.inFlight && !fr.abandoned {
				f.lostFrom = seq
				return fr
			}
		}
		panic("BUG: transport: a lost fragment is not in its queue")
	}
	for seq := max(f.unsent, f.queue.base); seq < f.queue.end(); seq++ {
		if fr := f.queue.at(seq); fr != nil && !fr.everSent && (!fr.abandoned || seq == f.finalSN) {
			return fr
		}
	}
	if f.finalSN != 0 {
		if fr := f.queue.at(f.finalSN); fr != nil && fr.abandoned && !fr.inFlight {
			return fr
		}
	}
	return nil
}

// suspended reports whether the far end's window forbids sending
// (RFC 7016 §3.6.2.9).
func (f *SendFlow) suspended() bool {
	return uint64(f.outstanding) >= f.window && !f.exception
}

// armProbe reports whether the flow has something to send and no window at all,
// and sees to it that the far end is asked for one.
func (f *SendFlow) armProbe(now clock.Time) bool {
	if f.window > 0 || f.exception || f.queue.n == 0 {
		return false
	}
	if f.probeAt == clock.Never {
		f.probeAt = now.Add(max(probeInterval, f.s.rtt.erto))
		f.s.armFlows(f.probeAt)
	}
	return true
}

// refresh keeps the receiver from waiting for what was given up: if everything
// is out of the queue and the far end has not been seen to have skipped it all,
// the last number is queued again as a Forward Sequence Number Update
// (RFC 7016 §3.6.2.7.1). That is so when the packet that carried the number was
// lost after the only fragment in it had been acknowledged on an earlier try.
func (f *SendFlow) refresh() {
	if f.queue.n > 0 || f.nextSN == 1 || f.cumulative >= f.nextSN-1 {
		return
	}
	f.nextSN--
	f.unsent = f.nextSN
	f.pushAbandoned()
	f.s.makeReady(f)
}

// probe sends a Buffer Probe when its time has come and returns the time of
// the next (RFC 7016 §3.6.2.9.1).
func (f *SendFlow) probe(now clock.Time) clock.Time {
	if f.state == sendClosed || f.window > 0 || f.exception || f.queue.n == 0 {
		f.probeAt, f.probes = clock.Never, 0
		return clock.Never
	}
	if now >= f.probeAt && f.s.probing != nil {
		f.probeAt = now.Add(paceGrain) // a packet asks for one flow
	} else if now >= f.probeAt {
		f.probes = min(f.probes+1, 16)
		wait := min(max(probeInterval, f.s.rtt.erto)*time.Duration(f.probes), max(probeIntervalMax, f.s.rtt.erto))
		f.probeAt = now.Add(wait)
		f.s.probeFlow(f)
	}
	return f.probeAt
}
