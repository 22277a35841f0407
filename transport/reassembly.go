package transport

import "rtmfp/transport/wire"

// part is an entry of a RECV_BUFFER (RFC 7016 §3.6.3): a fragment that waits
// for others, or several of one message that were put together.
type part struct {
	seq   uint64 // of its first fragment
	last  uint64 // and its last
	data  []byte
	place wire.Flags
	own   bool // data is a buffer of Config.Buffer's
}

// recvBuffer is the RECV_BUFFER of a flow, by rising sequence number.
type recvBuffer struct {
	*partList     // nil: there are none, as in most flows most of the time
	bytes     int // BUFFERED_SIZE: data and fragOverhead of each part
}

type partList struct {
	parts     []part
	head      int  // parts before it are gone
	gathering bool // one of them is in an own buffer
}

func (b *recvBuffer) empty() bool    { return b.n() == 0 }
func (b *recvBuffer) at(i int) *part { return &b.parts[b.head+i] }

func (b *recvBuffer) n() int {
	if b.partList == nil {
		return 0
	}
	return len(b.parts) - b.head
}

// find returns the index of the first part whose sequence number is not below seq.
func (b *recvBuffer) find(seq uint64) int {
	n := b.n()
	if n == 0 || b.at(n-1).seq < seq {
		return n
	}
	lo, hi := 0, n
	for lo < hi {
		if mid := (lo + hi) / 2; b.at(mid).seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// insert puts p in its place; its sequence number is not in the buffer.
func (b *recvBuffer) insert(p part) {
	if b.partList == nil {
		b.partList = new(partList)
	}
	i := b.find(p.seq)
	if len(b.parts) == cap(b.parts) && b.head > 0 {
		n := copy(b.parts, b.parts[b.head:])
		clear(b.parts[n:])
		b.parts, b.head = b.parts[:n], 0
	}
	b.parts = append(b.parts, part{})
	copy(b.parts[b.head+i+1:], b.parts[b.head+i:])
	b.parts[b.head+i] = p
	b.bytes += len(p.data) + fragOverhead
}

// cut removes parts i to j, whose data the caller has freed.
func (b *recvBuffer) cut(i, j int) {
	for k := i; k < j; k++ {
		b.bytes -= len(b.at(k).data) + fragOverhead
	}
	if i == 0 {
		clear(b.parts[b.head : b.head+j])
		b.head += j
	} else {
		n := b.head + i + copy(b.parts[b.head+i:], b.parts[b.head+j:])
		clear(b.parts[n:])
		b.parts = b.parts[:n]
	}
	if b.empty() {
		b.parts, b.head = b.parts[:0], 0
	}
}

// direct reports whether a fragment is a message that can be delivered at once,
// without a stop in the buffer.
func (f *RecvFlow) direct(u wire.UserData) bool {
	if f.state != recvOpen || f.held || u.Flags.Fragment() != wire.FragmentWhole {
		return false
	}
	// Nothing before it can come any more: it is next, or skips to its own
	// forward sequence number past what was never received.
	return !f.ordered || f.buffer.empty() && u.Sequence == max(f.received.upTo, u.ForwardSequence())+1
}

// deliverDirect hands a whole message to the owner.
func (f *RecvFlow) deliverDirect(u wire.UserData) {
	ev := &f.s.e.events
	start := ev.begin()
	ev.bytes = append(ev.bytes, u.Data...)
	f.hand(ev.end(start), false, u.Sequence, u.Sequence)
}

// hand queues the event of a message that spans first to last.
func (f *RecvFlow) hand(data []byte, own bool, first, last uint64) {
	skipped := false
	if f.ordered {
		skipped = first != f.last+1
		f.last = last
		if skipped {
			f.stats.Abandoned++
		}
	}
	f.stats.Messages++
	f.stats.Bytes += uint64(len(data))
	f.s.e.emit(Event{Kind: Message, Session: f.s, Recv: f, Data: data, Own: own, Skipped: skipped})
}

// room reports whether the window holds the fragment. A flow that is held still
// takes what its window allowed before, or the far end would take it for lost
// and slow down. The very next one is always taken: "deadlock can occur"
// otherwise (RFC 7016 §3.6.3.5), unless delivery is suspended or the message
// grows beyond MaxMessage.
func (f *RecvFlow) room(u wire.UserData) bool {
	s, cfg := f.s, &f.s.e.cfg
	size := len(u.Data) + fragOverhead
	limit := int(f.window.size) + cfg.MaxMessage
	if f.buffer.bytes+size <= limit && s.buffered+size <= cfg.SessionBuffer && s.e.buffered+size <= cfg.EndpointBuffer {
		return true
	}
	return !f.held && u.Sequence == f.received.upTo+1 &&
		f.buffer.bytes+size <= 2*limit && s.buffered+size <= 2*cfg.SessionBuffer && !s.e.crowded(len(u.Data))
}

// crowded reports whether the endpoint can't hold n more bytes, not even of the
// very next fragment of a flow.
func (e *Endpoint) crowded(n int) bool { return e.buffered+n+fragOverhead > 2*e.cfg.EndpointBuffer }

// hold counts n more bytes in RECV_BUFFERs, or less if n is negative.
func (s *Session) hold(n int) {
	s.buffered += n
	s.e.buffered += n
}

// keep puts a copy of the fragment in the buffer.
func (f *RecvFlow) keep(u wire.UserData) {
	s, before := f.s, f.buffer.bytes
	if !f.gather || !f.gathered(u) {
		data := s.e.pool.block(len(u.Data), s.e.cfg.MaxMTU)
		copy(data, u.Data)
		f.buffer.insert(part{seq: u.Sequence, last: u.Sequence, data: data, place: u.Flags.Fragment()})
	}
	s.hold(f.buffer.bytes - before)
}

// gathered puts a fragment in an own buffer if its message has one or is the
// one to have it, and behind it what waited for it. One message at a time has
// such a buffer, which may be much larger than what is in it.
func (f *RecvFlow) gathered(u wire.UserData) bool {
	b := &f.buffer
	i := b.find(u.Sequence)
	switch place := u.Flags.Fragment(); {
	case place == wire.FragmentBegin && (b.partList == nil || !b.gathering):
		b.insert(part{seq: u.Sequence, last: u.Sequence, data: append(f.s.e.cfg.Buffer(f)[:0], u.Data...), place: place, own: true})
		b.gathering = true
	case place != wire.FragmentBegin && place != wire.FragmentWhole && i > 0 && b.at(i-1).continued(u.Sequence):
		i--
		b.bytes += len(u.Data)
		b.at(i).extend(u.Data, u.Sequence, place)
	default:
		return false
	}
	for i+1 < b.n() {
		p, next := b.at(i), b.at(i+1)
		if !p.continued(next.seq) || next.place == wire.FragmentBegin || next.place == wire.FragmentWhole {
			break
		}
		p.extend(next.data, next.last, next.place)
		b.bytes += len(next.data)
		f.s.freePart(next)
		b.cut(i+1, i+2)
	}
	return true
}

// continued reports whether p is a message in an own buffer that goes on with
// the fragment seq.
func (p *part) continued(seq uint64) bool {
	return p.own && p.place == wire.FragmentBegin && p.last+1 == seq
}

// extend appends the next fragment, or fragments, of the message.
func (p *part) extend(data []byte, last uint64, place wire.Flags) {
	p.data = append(p.data, data...)
	p.last = last
	if place == wire.FragmentEnd {
		p.place = wire.FragmentWhole
	}
}

// take removes parts i to j from the buffer, handing them to the owner as one
// message if whole is set.
func (f *RecvFlow) take(i, j int, whole bool) {
	s := f.s
	if p := f.buffer.at(i); whole && p.own { // all of it, or its rest would be behind it in its buffer
		f.hand(p.data, true, p.seq, p.last)
	} else if whole {
		ev := &s.e.events
		start := ev.begin()
		for k := i; k < j; k++ {
			ev.bytes = append(ev.bytes, f.buffer.at(k).data...)
		}
		f.hand(ev.end(start), false, p.seq, f.buffer.at(j-1).last)
	} else if !f.ordered {
		f.stats.Abandoned++
	}
	before := f.buffer.bytes
	for k := i; k < j; k++ {
		if f.buffer.at(k).own {
			f.buffer.gathering = false
		}
		s.freePart(f.buffer.at(k))
	}
	f.buffer.cut(i, j)
	s.hold(f.buffer.bytes - before)
}

// freePart returns the bytes of a part to the pool. The slice stays in the part
// for its length.
func (s *Session) freePart(p *part) {
	if !p.own {
		s.e.pool.free(p.data, s.e.cfg.MaxMTU)
	}
}

// segment returns the end of the run of parts from i on that belong to one
// message, and whether they are all of it.
func (f *RecvFlow) segment(i int) (end int, whole bool) {
	b := &f.buffer
	p := b.at(i)
	if p.place == wire.FragmentWhole {
		return i + 1, true
	}
	begins := p.place == wire.FragmentBegin
	for end = i; ; end++ {
		p := b.at(end)
		if p.place == wire.FragmentEnd {
			return end + 1, begins
		}
		if end+1 == b.n() {
			return end + 1, false
		}
		next := b.at(end + 1)
		if next.seq != p.last+1 || next.place == wire.FragmentBegin || next.place == wire.FragmentWhole {
			return end + 1, false
		}
	}
}

// deliver hands over what can be handed over and drops what can never be
// completed (RFC 7016 §3.6.3.3).
func (f *RecvFlow) deliver() {
	if f.state != recvOpen || f.held {
		return
	}
	upTo := f.received.upTo
	for i := 0; i < f.buffer.n(); {
		first := f.buffer.at(i)
		if f.ordered && first.seq > upTo {
			break
		}
		end, whole := f.segment(i)
		last := f.buffer.at(end - 1)
		switch {
		case whole && (!f.ordered || last.last <= upTo):
			f.take(i, end, true)
		case first.seq <= upTo && first.place != wire.FragmentBegin,
			// "The sequence number of the segment's last fragment is less than
			// the CSN", or its end is there and its beginning is not.
			last.last < upTo:
			f.take(i, end, false)
		case f.ordered:
			f.checkDone()
			return // in progress: nothing behind it may pass
		default:
			i = end
		}
	}
	f.checkDone()
}
