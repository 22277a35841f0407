package replication

import (
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// ask is a request for an object that this node has made.
type ask struct {
	n       *neighbor
	c       *Collection
	index   uint64
	serial  uint64
	at      clock.Time
	size    int // that the object is taken to have
	stalled bool
	came    bool
	next    *ask // for the same object, of another neighbor
}

// fetching is what this node knows of a neighbor that it fetches from.
type fetching struct {
	asked   []*ask        // without an answer, oldest first
	serial  uint64        // of the last request, or the last that was passed
	credit  uint64        // up to which it may ask
	keen    bool          // it was told that something of it could be used
	hints   []hint        // what it would have asked for
	next    int           // of the collections that are fetched from it
	latency time.Duration // of its answers lately

	batch     []byte // request under way
	batchSize int
	batchOf   uint64
}

// hint is an object that a neighbor would rather send than another: it has not
// sent it to anybody, and few have it.
type hint struct{ number, index uint64 }

// denial is an object that a neighbor denied, and until when it is not asked
// for it again.
type denial struct {
	index uint64
	until clock.Time
}

// retry is an object that was denied and may be asked for again.
type retry struct {
	at    clock.Time
	c     *Collection
	index uint64
}

// maxDenials bounds what is remembered of one neighbor and collection.
const maxDenials = 64

// fetch asks neighbors that have given credit for objects that are wanted.
func (s *Service) fetch(now clock.Time) {
	if s.held+s.due > s.cfg.MaxHeld || len(s.events)-s.head > s.cfg.MaxEvents {
		return // NextEvent brings it back
	}
	for _, n := range s.neighbors {
		for n.serial < n.credit {
			if !s.down.Ready(now) {
				s.arm(&s.refill, s.down.When(now))
				s.sendBatch(now, n)
				return
			}
			if s.held+s.due > s.cfg.MaxHeld {
				break
			}
			it, index, ok := s.choose(now, n)
			if !ok {
				// Somebody else may have the credit.
				n.serial, n.keen, n.hints = n.credit, false, nil
				s.sendBatch(now, n)
				s.sendControl(now, n, element.AppendVLU(append(s.scratch[:0], msgPass), n.serial))
				break
			}
			s.ask(now, it, index)
		}
		s.sendBatch(now, n)
	}
}

// beKeen tells a neighbor that something of what it has could be used.
func (s *Service) beKeen(now clock.Time, n *neighbor) {
	if !n.keen && n.banned <= now {
		n.keen = true
		s.sendControl(now, n, append(s.scratch[:0], msgKeen))
	}
}

// onCredit takes that more objects may be asked for.
func (s *Service) onCredit(n *neighbor, b []byte) bool {
	total, i := element.ConsumeVLU(b)
	if i == 0 || total > n.credit && total-n.credit > maxCredit {
		return false
	}
	n.credit = max(n.credit, total)
	for b = b[i:]; len(b) > 0; {
		number, j := element.ConsumeVLU(b)
		index, k := element.ConsumeVLU(b[j:])
		if j == 0 || k == 0 || len(n.hints) == maxCredit {
			return false
		}
		n.hints = append(n.hints, hint{number, index})
		b = b[j+k:]
	}
	s.hungry = true
	return true
}

// choose returns what to ask a neighbor for.
func (s *Service) choose(now clock.Time, n *neighbor) (*interest, uint64, bool) {
	for len(n.hints) > 0 {
		h := n.hints[0]
		n.hints = n.hints[1:]
		it := n.byNumber[h.number]
		if it == nil || it.c == nil || it.c.strategy != RarestFirst || it.paused || it.c.paused || !it.has.Has(h.index) || !it.c.free.Has(h.index) || !it.mayAsk(now, h.index) {
			continue
		}
		return it, h.index, true
	}
	for k := range n.interests {
		it := n.interests[(n.next+k)%len(n.interests)]
		if it.c == nil || it.paused || it.c.paused || it.has.Empty() {
			continue
		}
		if i, ok := it.c.pick(now, it); ok {
			n.next = (n.next + k + 1) % len(n.interests)
			return it, i, true
		}
	}
	for _, it := range n.interests {
		if it.c != nil && !it.paused && !it.c.paused {
			if i, ok := it.c.pickSlow(now, it); ok {
				return it, i, true
			}
		}
	}
	return nil, 0, false
}

// pickSlow chooses, when nothing is left that nobody was asked for, among what
// slower neighbors were asked for and will take longer to send than this one:
// that which will take the longest.
func (c *Collection) pickSlow(now clock.Time, it *interest) (uint64, bool) {
	if it.n.latency == 0 || !c.free.Empty() || c.want.Empty() {
		return 0, false
	}
	best, longest := uint64(0), it.n.latency*3/2
	for _, other := range c.sources {
		for _, a := range other.n.asked {
			left := other.n.latency - now.Sub(a.at)
			if a.c == c && left > longest && a.next == nil && c.asked[a.index] == a && it.has.Has(a.index) && it.mayAsk(now, a.index) {
				best, longest = a.index, left
			}
		}
	}
	return best, longest > it.n.latency*3/2
}

// pick chooses among the objects that a neighbor has and nobody was asked for.
func (c *Collection) pick(now clock.Time, it *interest) (uint64, bool) {
	if c.free.Empty() {
		return 0, false
	}
	if c.strategy == LowestFirst {
		for _, from := range [...]uint64{c.reader, 0} {
			for i, ok := nextBoth(&it.has, &c.free, from); ok; i, ok = nextBoth(&it.has, &c.free, i+1) {
				if it.mayAsk(now, i) {
					return i, true
				}
			}
		}
		return 0, false
	}
	lo, _ := c.free.Next(0)
	hi := c.free.end()
	best, least, found := uint64(0), 0, false
	for range candidates {
		i, ok := nextBoth(&it.has, &c.free, lo+c.s.cfg.Rand.Uint64N(hi-lo))
		if !ok {
			if i, ok = nextBoth(&it.has, &c.free, lo); !ok {
				return 0, false
			}
		}
		if found && i == best || !it.mayAsk(now, i) {
			continue
		}
		if copies := c.Copies(i); !found || copies < least {
			best, least, found = i, copies, true
		}
	}
	return best, found
}

// mayAsk reports whether the neighbor may be asked for an object: it was not
// asked already, and has not denied it lately.
func (it *interest) mayAsk(now clock.Time, i uint64) bool {
	for _, d := range it.denied {
		if d.index == i && d.until > now {
			return false
		}
	}
	for a := it.c.asked[i]; a != nil; a = a.next {
		if a.n == it.n {
			return false
		}
	}
	return true
}

// ask requests an object; sendBatch sends what was collected.
func (s *Service) ask(now clock.Time, it *interest, index uint64) {
	n, c := it.n, it.c
	n.serial++
	a := &ask{n: n, c: c, index: index, serial: n.serial, at: now, size: c.size}
	s.due += a.size
	if first := c.asked[index]; first != nil {
		s.stats.AskedTwice++
		first.next, a.next = a, first.next
	} else {
		c.asked[index] = a
	}
	n.asked = append(n.asked, a)
	c.free.Remove(Range{index, index + 1})
	s.down.Spend(c.size)
	s.stats.Asked++
	if n.batchOf != it.number || n.batchSize == maxBatch {
		s.sendBatch(now, n)
	}
	if n.batchSize == 0 {
		n.batch = element.AppendVLU(append(n.batch[:0], msgRequest), it.number)
		n.batchOf = it.number
	}
	n.batch = element.AppendVLU(element.AppendVLU(n.batch, a.serial), index)
	n.batchSize++
	s.arm(&s.check, now.Add(checkPeriod))
}

func (s *Service) sendBatch(now clock.Time, n *neighbor) {
	if n.batchSize == 0 {
		return
	}
	n.batchSize = 0
	s.sendControl(now, n, append(s.scratch[:0], n.batch...))
}

// onObject takes an object that was asked for. It keeps msg only if that is the
// Service's own.
func (s *Service) onObject(now clock.Time, n *neighbor, msg []byte, own bool) (ok, kept bool) {
	serial, i := element.ConsumeVLU(msg[1:])
	if msg[0] != msgObject || i == 0 || len(msg)-1-i > s.cfg.MaxObject {
		return false, false
	}
	data := msg[1+i:]
	s.hungry = true
	at := slices.IndexFunc(n.asked, func(a *ask) bool { return a.serial == serial })
	if at < 0 {
		if serial > n.serial {
			return false, false
		}
		// It was on its way when it was not wanted any more.
		s.stats.Duplicates++
		s.stats.DuplicateBytes += uint64(len(data))
		return true, false
	}
	a := n.asked[at]
	c := a.c
	s.flows.Hold(now, n.link)
	s.down.Spend(len(data) - a.size)
	a.came = true
	if d := now.Sub(a.at); n.latency == 0 {
		n.latency = d
	} else {
		n.latency += (d - n.latency) / 8
	}
	s.unaskOne(now, a)
	for other := c.asked[a.index]; other != nil; other = c.asked[a.index] {
		s.cancel(now, other)
	}
	c.size = len(data)
	c.want.Remove(Range{a.index, a.index + 1})
	c.free.Remove(Range{a.index, a.index + 1})
	s.stats.Fetched++
	s.stats.ObjectsIn += uint64(len(data))
	s.held += len(data)
	s.large = max(len(msg), s.large-s.large/largeFades)
	if !own {
		msg = append(s.buffer(len(data)), data...)
		data = msg
	}
	s.emit(Event{Kind: Fetched, Collection: c, Index: a.index, Data: data, Memory: msg, Link: n.link, Peer: n.Peer})
	if c.want.Empty() {
		for _, m := range s.neighbors {
			if c.told[m.link] {
				s.tellOpen(now, m, c)
			}
		}
	}
	return true, true
}

const (
	// spares is how many buffers of objects are kept to be used again.
	spares = 32
	// largeFades is in how many objects what is known of the largest fades away,
	// so that one large object does not make all buffers as large.
	largeFades = 64
)

// Recycle takes back the memory of an event that nobody needs any more. It need
// not be called, but new memory costs more than all else that is done with it.
func (s *Service) Recycle(memory []byte) {
	if len(s.spare) < spares {
		s.spare = append(s.spare, memory)
	}
}

// Buffer returns a buffer in which a message with an object is put together. One
// that is too small after all is replaced by who does that.
func (s *Service) Buffer() []byte {
	if len(s.spare) > 0 {
		return s.buffer(0)
	}
	const step = 8 << 10 // so that messages of about a size fit in each other's
	return s.buffer((s.large + step - 1) / step * step)
}

// buffer returns an empty buffer for n bytes.
func (s *Service) buffer(n int) []byte {
	if last := len(s.spare) - 1; last >= 0 {
		b := s.spare[last]
		s.spare[last] = nil
		s.spare = s.spare[:last]
		if cap(b) >= n {
			return b[:0]
		}
	}
	return make([]byte, 0, n)
}

// onDeny takes that requests are not answered.
func (s *Service) onDeny(now clock.Time, n *neighbor, b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for b = b[1:]; len(b) > 0; {
		serial, i := element.ConsumeVLU(b)
		if i == 0 {
			return false
		}
		b = b[i:]
		at := slices.IndexFunc(n.asked, func(a *ask) bool { return a.serial == serial })
		if at < 0 {
			continue
		}
		a := n.asked[at]
		s.stats.Denied++
		if it := n.interestOf(a.c.id); it != nil {
			it.deny(a.index, now.Add(denyTime))
		}
		c, index := a.c, a.index
		s.unaskOne(now, a)
		if c.asked[index] == nil {
			s.emit(Event{Kind: Failed, Collection: c, Index: index, Link: n.link, Peer: n.Peer})
			s.retry = append(s.retry, retry{now.Add(denyTime), c, index})
			s.arm(&s.check, now.Add(denyTime))
		}
		s.hungry = true
	}
	return true
}

func (it *interest) deny(i uint64, until clock.Time) {
	if len(it.denied) >= maxDenials {
		it.denied = slices.Delete(it.denied, 0, 1)
	}
	it.denied = append(it.denied, denial{i, until})
}

// unaskOne forgets a request. Unless another neighbor was asked for it, too,
// the object may be asked for again if it is still wanted.
func (s *Service) unaskOne(now clock.Time, a *ask) {
	n, c := a.n, a.c
	s.due -= a.size
	if !a.came {
		s.down.Spend(-a.size)
	}
	n.asked = slices.DeleteFunc(n.asked, func(x *ask) bool { return x == a })
	if c.asked[a.index] == a {
		if a.next != nil {
			c.asked[a.index] = a.next
			return
		}
		delete(c.asked, a.index)
		if c.want.Has(a.index) {
			c.release(now, a.index)
		}
		return
	}
	for p := c.asked[a.index]; p != nil; p = p.next {
		if p.next == a {
			p.next = a.next
			return
		}
	}
}

// release has an object asked for of anybody who has it.
func (c *Collection) release(now clock.Time, i uint64) {
	c.free.Add(Range{i, i + 1})
	for _, it := range c.sources {
		if it.has.Has(i) && it.mayAsk(now, i) {
			c.s.beKeen(now, it.n)
		}
	}
}

// unask forgets all requests to a neighbor.
func (s *Service) unask(now clock.Time, n *neighbor) {
	for len(n.asked) > 0 {
		s.unaskOne(now, n.asked[len(n.asked)-1])
	}
	n.fetching = fetching{}
}

// cancel takes a request back.
func (s *Service) cancel(now clock.Time, a *ask) {
	n := a.n
	s.unaskOne(now, a)
	s.sendBatch(now, n)
	s.stats.Canceled++
	s.sendControl(now, n, element.AppendVLU(append(s.scratch[:0], msgCancel), a.serial))
}

// lookForStalls has objects asked for elsewhere that a neighbor owes for far
// longer than its answers use to take.
func (s *Service) lookForStalls(now clock.Time) {
	for len(s.retry) > 0 && s.retry[0].at <= now {
		r := s.retry[0]
		s.retry = s.retry[1:]
		if !r.c.closed && r.c.free.Has(r.index) {
			r.c.release(now, r.index)
		}
	}
	for _, c := range s.wanting {
		if c.free.Empty() && !c.want.Empty() {
			for _, it := range c.sources {
				if _, ok := c.pickSlow(now, it); ok {
					s.beKeen(now, it.n)
				}
			}
		}
	}
	asked := len(s.retry) > 0
	for _, n := range s.neighbors {
		for _, a := range n.asked {
			asked = true
			if a.stalled || a.next != nil || a.c.asked[a.index] != a {
				continue
			}
			patience := stallTime
			if n.latency > 0 {
				patience = max(stallLeast, stallFactor*n.latency)
			}
			if now.Sub(a.at) < min(patience, stallMost) {
				continue
			}
			a.stalled = true
			s.stats.Stalled++
			a.c.release(now, a.index)
		}
	}
	if asked {
		s.arm(&s.check, now.Add(checkPeriod))
	}
}

// EventKind says what happened.
type EventKind uint8

// Kinds of events.
const (
	// Fetched: an object has come. It is wanted no more; call AddHave if it is
	// good, and Bad if not. Data is the receiver's.
	Fetched EventKind = iota + 1

	// Failed: the neighbor denied an object. It is asked for again, of others,
	// and of the same after a while, as long as it is wanted.
	Failed

	// Requested: a neighbor asks for an object that this node has. It must be
	// answered by Answer or Deny, now or later.
	Requested

	// Sought: a neighbor wants something of a collection that is not open here.
	// ID is set. If it is opened now, the neighbor is told.
	Sought
)

// Event is something for the application.
type Event struct {
	Kind       EventKind
	Collection *Collection
	ID         CollectionID
	Index      uint64
	Data       []byte
	Memory     []byte // for Recycle; Data is in it
	Request    RequestID
	Link       group.LinkID
	Peer       group.PeerID // of the neighbor
}

func (s *Service) emit(ev Event) { s.events = append(s.events, ev) }

// NextEvent returns the next event.
func (s *Service) NextEvent() (Event, bool) {
	if s.head == len(s.events) {
		if s.head > 0 {
			s.hungry = true // there may have been no room
		}
		if s.events, s.head = s.events[:0], 0; cap(s.events) > 256 {
			s.events = nil
		}
		return Event{}, false
	}
	ev := s.events[s.head]
	s.events[s.head] = Event{}
	s.head++
	s.held -= len(ev.Data)
	return ev, true
}

// Bad tells that an object was not what it should be. It is wanted again, and
// the neighbor that sent it is left alone for a while.
func (c *Collection) Bad(now clock.Time, index uint64, from group.LinkID) {
	s := c.s
	s.stats.Bad++
	if n := s.byLink[from]; n != nil && n.banned <= now {
		s.ban(now, n)
	}
	if !c.closed {
		_ = c.AddWant(now, Range{index, index + 1}) // it was an index before
	}
}
