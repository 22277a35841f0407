package multicast

import (
	"encoding/binary"
	"math"
	"time"

	"rtmfp/internal/clock"
)

// Frame is one message of a stream as it is played.
type Frame struct {
	ID        uint64 // of its first fragment
	Type      byte   // TypeOwn, or an RTMP message type of an old publisher
	Data      []byte // the receiver's own
	Timestamp uint32 // of the media, in milliseconds
	Key       bool   // marked by the publisher: decoding can start here
	SentAt    int64  // the publisher's clock when it was written, Unix microseconds; 0 unless Type is TypeOwn
	Lost      int    // messages that were skipped since the frame before: at most so many
	Reset     bool   // the first frame of another publication of the same name
	Seek      bool   // the first frame after Seek, or after playing had to go on elsewhere
}

// Subscription plays the streams of one name.
type Subscription struct {
	s      *Service
	name   string
	cfg    PlayConfig
	closed bool
	st     *stream      // what is played; nil: nothing of the name is known
	before StreamCounts // of what was played before, less what st counted before it was
	since  clock.Time   // when it was chosen

	placed    bool
	cursor    uint64 // the id that comes next
	checked   uint64 // pieces of the message at cursor that are known to be held end here
	seekKey   bool   // skip to a key frame
	delivered bool   // a frame of st was returned
	reset     bool
	lost      int
	inside    uint64 // digests between the pieces up to checked
	spare     []byte // of Reuse

	paused bool
	jumped bool
	back   time.Duration // how far Seek, or PlayConfig, wants to go back
	sought time.Duration // how far it went, and 1; 0: that is not known yet
	behind *rewind       // nil: the newest is played
}

// NextFrame returns the next frame in the order of publication. It returns
// false when none is ready: the driver asks again after each Advance. A frame
// is skipped, and counted in Lost of the next one, when it could not be had
// within the stream's window, or for as long as it is worth anything, or when the caller is so slow that the window
// has passed it; then playing resumes at a key frame.
func (p *Subscription) NextFrame() (Frame, bool) {
	st := p.st
	if st == nil || !st.active || !p.placed || p.paused || p.behind != nil && p.behind.seeking {
		return Frame{}, false
	}
	if !p.delivered && st.keyed && !p.cfg.AnyFrame {
		p.seekKey = true // which may not have been known when playing was placed
	}
	for {
		if p.behind != nil {
			switch p.look(p.cursor, &p.behind.here) {
			case piecesWanted:
				return Frame{}, false
			case piecesLost:
				if p.cursor > st.frontier {
					return Frame{}, false
				}
				p.lost++
				p.cursor++
				continue
			}
		} else if !st.win.empty() && p.cursor < st.win.low && !st.pending(p.cursor) {
			p.overrun()
			continue
		} else if !st.win.has(p.cursor) {
			if p.cursor > st.frontier || st.pending(p.cursor) {
				return Frame{}, false
			}
			p.skip()
			continue
		}
		msg := p.fragmentAt(p.cursor)
		f, ok := consumeFragment(msg)
		if !ok && p.behind != nil {
			return Frame{}, false // the disk can't be read any more: others are asked
		}
		if !ok {
			panic("BUG: the multicast window holds what is no fragment")
		}
		if st.signed() && f.isDigest() {
			if p.behind != nil {
				p.behind.here.set(p.cursor, msg)
			}
			p.cursor++
			continue
		}
		if !f.start {
			// The rest of a message whose beginning was skipped.
			p.cursor++
			continue
		}
		end := f.id + uint64(f.pieces)
		if p.seekKey && !f.isKey() {
			if p.delivered {
				p.lost++
			}
			p.cursor++
			continue
		}
		end, state := p.collect(end)
		switch state {
		case piecesWanted:
			return Frame{}, false
		case piecesLost:
			p.lost++
			p.cursor = end + 1
			continue
		}
		if f, ok = consumeFragment(p.fragmentAt(p.cursor)); !ok && p.behind != nil {
			return Frame{}, false
		} else if !ok {
			panic("BUG: a multicast fragment is gone that was there")
		}
		fr, ok := p.assemble(&f, end)
		p.passed(end)
		p.cursor = end + 1
		if !ok {
			st.s.counters.Malformed++
			p.lost++
			continue
		}
		fr.Lost, fr.Reset, fr.Seek = p.lost, p.reset, p.jumped
		p.lost, p.reset, p.jumped, p.seekKey, p.delivered = 0, false, false, false, true
		return fr, true
	}
}

// placeAt makes playing begin at an id, where a key frame begins or not.
func (p *Subscription) placeAt(id uint64, key bool) {
	p.placed, p.cursor, p.checked = true, id, 0
	p.seekKey = (!key || p.st.signed()) && p.st.keyed && !p.cfg.AnyFrame
}

// place makes playing begin in a stream that is carried already: at the newest
// key frame, or where that will be, or with the newest fragment.
func (p *Subscription) place() {
	st := p.st
	switch {
	case p.cfg.AnyFrame && !st.win.empty():
		p.placeAt(st.win.top, true)
	case st.key != 0 && st.win.has(st.key):
		p.placeAt(st.key, true)
	case st.startKey && st.pending(st.start):
		p.placeAt(st.start, true)
	case !st.win.empty():
		p.placeAt(st.win.top, false)
	default:
		p.placeAt(st.frontier+1, false)
	}
}

// overrun skips what the window has lost before it was asked for.
func (p *Subscription) overrun() {
	low := p.st.win.low
	p.lost += int(min(low-p.cursor, maxLost))
	p.cursor = low
	p.seekKey = p.st.keyed && !p.cfg.AnyFrame
}

// skip goes on to the next id that is held or may still come.
func (p *Subscription) skip() {
	st := p.st
	next := st.frontier + 1
	if at, _ := st.findGap(p.cursor); at < len(st.missing) {
		next = min(next, st.missing[at].id)
	}
	for id := max(p.cursor, st.win.low); id <= st.win.top && id < next; id++ {
		if st.win.has(id) {
			next = id
		}
	}
	p.lost += int(min(next-p.cursor, maxLost))
	p.cursor = next
}

// pending reports whether a fragment may still come.
func (st *stream) pending(id uint64) bool {
	_, gap := st.findGap(id)
	return gap
}

// pieceState says what became of the pieces of a message.
type pieceState uint8

const (
	piecesHeld   pieceState = iota
	piecesWanted            // one may still come
	piecesLost              // one never will
)

// collect looks at the pieces of the message at the cursor, up to end.
// It returns where the message ends: there may be digests between its pieces.
func (p *Subscription) collect(end uint64) (uint64, pieceState) {
	st := p.st
	if p.behind != nil {
		return p.lookAhead(end)
	}
	if p.checked <= p.cursor {
		p.inside = 0
	}
	end += p.inside
	for id := max(p.checked, p.cursor) + 1; id <= end; id++ {
		switch {
		case st.win.has(id):
			if p.checked = id; st.signed() {
				if f, _ := consumeFragment(st.win.get(id)); f.isDigest() {
					p.inside++
					end++
				}
			}
		case id > st.frontier && !(st.ended && id > st.last) || st.pending(id):
			return end, piecesWanted
		default:
			return end, piecesLost
		}
	}
	return end, piecesHeld
}

// passed keeps the last digest between the pieces of a message that was played.
func (p *Subscription) passed(end uint64) {
	if p.behind == nil || !p.st.signed() {
		return
	}
	for id := p.cursor + 1; id <= end; id++ {
		p.behind.here.set(id, p.fragmentAt(id))
	}
}

// assemble copies a message out of the window. It returns false for one that
// was made wrong.
func (p *Subscription) assemble(f *fragment, end uint64) (Frame, bool) {
	st := p.st
	fr := Frame{ID: f.id, Type: f.typ, Timestamp: f.timestamp, Key: f.isKey()}
	payload := f.payload
	if f.typ == TypeOwn {
		if len(payload) < ownHeadSize {
			return Frame{}, false
		}
		fr.SentAt = int64(binary.BigEndian.Uint64(payload[1:]))
		payload = payload[ownHeadSize:]
	}
	if end == f.id {
		fr.Data = append(p.room(len(payload)), payload...)
		return fr, true
	}
	head := len(f.payload) - len(payload)
	size := len(payload)
	for id := f.id + 1; id <= end; id++ {
		piece, ok := consumeFragment(p.fragmentAt(id))
		if ok && st.signed() && piece.isDigest() {
			continue
		}
		if !ok || piece.start {
			return Frame{}, false
		}
		size += len(piece.payload)
	}
	fr.Data = p.room(size)
	for id := f.id; id <= end; id++ {
		piece, _ := consumeFragment(p.fragmentAt(id))
		if st.signed() && piece.isDigest() {
			continue
		}
		fr.Data = append(fr.Data, piece.payload[head:]...)
		head = 0
	}
	return fr, true
}

// Reuse gives the data of a frame back, for the next one. Whoever looks at
// frames one by one makes no garbage that way.
func (p *Subscription) Reuse(data []byte) { p.spare = data[:0] }

// room returns an empty slice for size bytes.
func (p *Subscription) room(size int) []byte {
	if b := p.spare; cap(b) >= size {
		p.spare = nil
		return b
	}
	return make([]byte, 0, size)
}

// Ended reports whether the publisher ended the stream and all of it that
// could be had was returned by NextFrame. Another publication of the same name
// makes it false again.
func (p *Subscription) Ended() bool {
	st := p.st
	switch {
	case st == nil || !st.ended:
		return false
	case !st.active || st.last == 0:
		return true
	case !p.delivered && !st.settled:
		return false // a neighbor may yet name a key frame to start with
	}
	return !p.placed || p.cursor > st.last
}

// Key identifies the publication that is played, zero if none is known.
func (p *Subscription) Key() Key {
	if p.st == nil {
		return Key{}
	}
	return p.st.desc.key
}

// Close ends the subscription.
func (p *Subscription) Close(now clock.Time) {
	if p.closed {
		return
	}
	p.closed = true
	p.s.subs = without(p.s.subs, p)
	p.play(now, nil)
}

// Stats returns a snapshot of the stream that is played. What it counts began
// with the subscription, and includes the publications of the same name that
// were played before.
func (p *Subscription) Stats() StreamStats {
	v := StreamStats{Name: p.name}
	if p.st != nil {
		v = p.st.snapshot()
	}
	v.add(&p.before, 1)
	return v
}

// play changes what is played.
func (p *Subscription) play(now clock.Time, st *stream) {
	old := p.st
	if old == st {
		return
	}
	if p.reset = old != nil; p.reset {
		p.before.add(&old.stats, 1)
	}
	if st != nil {
		p.before.add(&st.stats, math.MaxUint64) // what it counted before it was played here
	}
	p.st, p.since = st, now
	p.placed, p.delivered, p.cursor, p.checked = false, false, 0, 0
	p.dropPast()
	if st != nil {
		st.subs = append(st.subs, p)
		st.review(now)
		if st.started {
			p.place()
		}
		if p.back > 0 && old == nil {
			p.seek(now)
		}
	}
	if old != nil {
		old.subs = without(old.subs, p)
		old.review(now)
	}
}

// reviewSubscriptions chooses what is played: of the publications of a name
// the one that became known last, once the one before has fallen silent or
// was ended and played to its end.
func (s *Service) reviewSubscriptions(now clock.Time) {
	for _, p := range append([]*Subscription(nil), s.subs...) {
		if p.st != nil && now.Sub(p.since) < switchAfter || p.lives(now) {
			continue
		}
		for i := len(s.streams) - 1; i >= 0; i-- {
			st := s.streams[i]
			if st.desc.name == p.name && !st.ended && st != p.st {
				p.play(now, st)
				break
			}
		}
	}
}

// lives reports whether there is more to expect of what is played.
func (p *Subscription) lives(now clock.Time) bool {
	st := p.st
	switch {
	case st == nil:
		return false
	case p.behind != nil && st.active:
		return !p.Ended()
	case st.ended:
		return !p.Ended() && now.Sub(st.lastNew) < switchAfter
	case st.lastSign.Sub(st.lastNew) > busyFor:
		return now.Sub(st.lastSign) < switchAfterPaused
	}
	return now.Sub(st.lastSign) < switchAfter
}
