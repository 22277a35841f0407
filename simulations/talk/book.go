package talk

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"rtmfp/internal/clock"
	"rtmfp/simulations/figure"
	"rtmfp/transport"
)

// kind is what is asked of a flow.
type kind uint8

const (
	ordered  kind = 1 << iota // messages are delivered in their order
	perish                    // messages have deadlines
	critical                  // it is time critical
	kinds    = 1 << iota
)

// flow is a flow of one end as the book has it.
type flow struct {
	from    *End
	kind    kind
	send    *transport.SendFlow
	recv    *transport.RecvFlow // nil until the far end has it
	session *transport.Session  // of the sending end
	sent    []*message
	got     int // messages delivered
	next    int // ordered: place of the message that may be delivered next
	waits   int // no message before this place waits for anything
	closing clock.Time
	closed  bool // everything was acknowledged or given up after closing
	done    bool // the far end has it all
	over    bool // the session has ended under it
	heldTo  clock.Time
	held    bool
}

// message is a message as the book has it.
type message struct {
	flow     *flow
	place    int
	number   uint64
	size     int
	at       clock.Time
	deadline clock.Time // clock.Never: none
	arrived  bool
	told     bool // there was a receipt
	received bool // which said that it was delivered
	skipped  bool // a later one was delivered in order
}

// book is what was said.
type book struct {
	pattern  []byte
	flows    []*flow
	messages []*message
	open     []*flow // that have not ended

	// What came of it.
	delay           figure.Histogram // µs, of messages without a deadline
	closeTime       figure.Histogram // µs, from closing a flow until it has ended
	openTime        figure.Histogram // µs, of sessions
	perishable, out int              // messages with a deadline; those that were given up
	broken          int              // sessions that ended for another reason than that an end closed them
	sessions        int
	payload         uint64 // bytes delivered
}

const shifts = 251 // a prime

// write makes the bytes of a message: its number, and a piece of the pattern
// that depends on it, so that a piece of another message shows.
func (b *book) write(m *message) []byte {
	data := make([]byte, m.size)
	binary.BigEndian.PutUint64(data, m.number)
	copy(data[8:], b.pattern[m.number%shifts:])
	return data
}

// read returns the message that data is.
func (b *book) read(data []byte) (*message, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("a message of %d bytes was not sent", len(data))
	}
	number := binary.BigEndian.Uint64(data)
	if number >= uint64(len(b.messages)) {
		return nil, fmt.Errorf("message %d was not sent", number)
	}
	m := b.messages[number]
	if len(data) != m.size || !bytes.Equal(data[8:], b.pattern[number%shifts:][:m.size-8]) {
		return nil, fmt.Errorf("message %d came with %d other bytes than the %d that were sent", number, len(data), m.size)
	}
	return m, nil
}

// delivered notes a message that an end got on a flow.
func (b *book) delivered(now clock.Time, f *flow, data []byte, skipped bool) error {
	m, err := b.read(data)
	switch {
	case err != nil:
		return err
	case m.flow != f:
		return fmt.Errorf("message %d came on another flow", m.number)
	case m.arrived:
		return fmt.Errorf("message %d came twice", m.number)
	case f.held:
		return fmt.Errorf("message %d (place %d of a flow of kind %b, next %d, skipped %v) was delivered at %d while its flow was held until %d", m.number, m.place, f.kind, f.next, skipped, now, f.heldTo)
	}
	m.arrived = true
	f.got++
	b.payload += uint64(m.size)
	if m.deadline == clock.Never {
		b.delay.Add(us(now.Sub(m.at)), 1)
	}
	if f.kind&ordered == 0 {
		return nil
	}
	if m.place < f.next {
		return fmt.Errorf("message %d was delivered after its successor", m.number)
	}
	if skips := m.place > f.next; skips != skipped {
		return fmt.Errorf("message %d is the first after %d that were given up, and is marked %v", m.number, m.place-f.next, skipped)
	}
	for ; f.next < m.place; f.next++ {
		lost := f.sent[f.next]
		if lost.deadline == clock.Never {
			return fmt.Errorf("message %d was skipped, which has no deadline", lost.number)
		}
		if lost.skipped = true; lost.received {
			return fmt.Errorf("message %d was skipped, of which the sender was told that it was delivered", lost.number)
		}
	}
	f.next++
	return nil
}

// receipt notes what a sender was told of a message.
func (b *book) receipt(now clock.Time, f *flow, number uint64, delivered bool) error {
	if number == 0 || number > uint64(len(b.messages)) || b.messages[number-1].flow != f {
		return fmt.Errorf("a receipt for message %d, which was not sent on that flow", number-1)
	}
	m := b.messages[number-1]
	switch {
	case m.told:
		return fmt.Errorf("two receipts for message %d", m.number)
	case !delivered && now < m.deadline:
		return fmt.Errorf("message %d was given up before its deadline", m.number)
	case delivered && m.skipped:
		return fmt.Errorf("message %d is said to be delivered, but was skipped", m.number)
	case delivered && !m.arrived && f.kind&ordered == 0 && !f.held:
		return fmt.Errorf("message %d is said to be delivered, but was not", m.number)
	}
	m.told, m.received = true, delivered
	if m.deadline != clock.Never && !delivered {
		b.out++
	}
	return nil
}

// ended notes that the far end has everything of a flow that will come.
func (b *book) ended(f *flow) error {
	f.done = true
	for _, m := range f.sent {
		if !m.arrived && (m.received || m.deadline == clock.Never) {
			return fmt.Errorf("a flow has ended, and message %d of it, which was not given up, has not come", m.number)
		}
	}
	return nil
}

// overdue returns what an open flow has owed for too long.
func (f *flow) overdue(now clock.Time, patience clock.Time) error {
	late := now - min(patience, now)
	if f.held || f.heldTo > late {
		late = 0 // it can't be blamed for what is held back
	}
	for ; f.waits < len(f.sent); f.waits++ {
		m := f.sent[f.waits]
		due := m.at
		if m.deadline != clock.Never {
			due = m.deadline
		}
		if m.told && (m.arrived || !m.received) {
			continue
		}
		if due > late {
			break
		}
		return fmt.Errorf("message %d of a flow of kind %b: arrived %v, receipt %v (delivered %v), which took too long",
			m.number, f.kind, m.arrived, m.told, m.received)
	}
	if f.closing != 0 && f.closing < late && (!f.closed || !f.done) {
		return fmt.Errorf("a flow of %d messages was closed and does not end: for its sender %v, for its receiver %v", len(f.sent), f.closed, f.done)
	}
	return nil
}
