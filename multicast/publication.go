package multicast

import (
	"encoding/binary"
	"time"

	"rtmfp/internal/clock"
)

// Message is one unit that the publisher writes, and a player gets whole.
type Message struct {
	Data      []byte        // at most MaxMessage bytes; not kept
	Timestamp uint32        // of the media, in milliseconds
	Key       bool          // a player may start here
	Class     Class         // what becomes of it where not all can be had
	Lifetime  time.Duration // how long it is worth anything, rounded up by half an octave at most; 0, or over 16 s: as long as the window is
	SentAt    int64         // the publisher's clock, Unix microseconds; travels along so that receivers can measure delay
}

// Publication is a stream that this node publishes.
type Publication struct {
	st        *stream
	cfg       StreamConfig
	closed    bool
	epoch     uint64
	renewedAt clock.Time
	buf       []byte // the fragment that is being made
	run       run    // of a signed stream
	head      []byte // the message's head and the data of its first piece
}

// Key identifies this publication among others of the same name.
func (p *Publication) Key() Key { return p.st.desc.key }

// Write sends a message: it is cut into pieces that each fit one packet, kept
// for the window, and pushed at once, or in a signed stream when the run that it
// belongs to is signed. Errors: ErrTooLarge, ErrClosed.
func (p *Publication) Write(now clock.Time, m Message) error {
	if p.closed {
		return ErrClosed
	}
	if len(m.Data) > MaxMessage {
		return ErrTooLarge
	}
	flags := byte(0)
	if m.Key {
		flags |= ownKey
		p.st.keyed = true
	}
	if p.st.keyed {
		flags |= ownKeyed
	}
	switch m.Class {
	case First:
		flags |= ownFirst
	case Spare:
		flags |= ownSpare
	}
	flags |= lifeCode(m.Lifetime) << ownLifeShift
	p.head = append(p.head[:0], flags)
	p.head = binary.BigEndian.AppendUint64(p.head, uint64(m.SentAt))
	n := min(len(m.Data), maxPayload-ownHeadSize)
	p.head = append(p.head, m.Data[:n]...)
	rest := m.Data[n:]
	f := fragment{start: true, typ: TypeOwn, timestamp: m.Timestamp, payload: p.head}
	f.pieces = (len(rest) + maxPayload - 1) / maxPayload
	p.add(now, &f)
	for len(rest) > 0 {
		n := min(len(rest), maxPayload)
		f = fragment{pieces: f.pieces - 1, payload: rest[:n]}
		rest = rest[n:]
		p.add(now, &f)
	}
	if p.st.signed() {
		p.run.wroteOne(now)
		p.planCut(now)
	}
	return nil
}

// add sends a fragment, or has it signed first.
func (p *Publication) add(now clock.Time, f *fragment) {
	if p.st.signed() {
		p.enqueue(now, f)
		return
	}
	f.id = p.st.frontier + 1
	p.buf = appendFragment(p.buf[:0], *f)
	p.send(now, f, p.buf)
}

func (p *Publication) send(now clock.Time, f *fragment, msg []byte) {
	st := p.st
	if !st.win.put(now, f.id, msg) {
		panic("BUG: the publisher's window refused its own fragment")
	}
	st.frontier = f.id
	st.lastNew, st.lastSign = now, now
	if st.win.bytes > st.s.cfg.MaxWindowBytes {
		st.win.evict(now.Add(-st.keep()), st.s.cfg.MaxWindowBytes)
		st.keepPast(now)
	}
	st.hold(now, f, len(msg))
	st.push(now, f, msg, nil)
}

// Close ends the stream: the neighbors are told the last fragment, and what is
// in the window stays available for as long as it lasts.
func (p *Publication) Close(now clock.Time) {
	if p.closed {
		return
	}
	p.closed = true
	if len(p.run.ends) > 0 {
		p.cut(now)
	}
	st := p.st
	if st.signed() {
		sig := st.s.cfg.Keys.Sign(st.endMessage(st.frontier))
		st.ending = sig[:]
	}
	st.end(now, st.frontier)
}

// Stats returns a snapshot of the stream.
func (p *Publication) Stats() StreamStats { return p.st.snapshot() }
