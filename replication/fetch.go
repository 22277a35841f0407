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
	stalled bool
	next    *ask // for the same object, of another neighbor
}

// fetching is what this node knows of a neighbor that it fetches from.
type fetching struct {
	asked  []*ask // without an answer, oldest first
	serial uint64
	turn   int // of the collections that are fetched from it

	rate      float64 // objects per second lately, while it had requests
	since     clock.Time
	arrived   int
	lastCame  clock.Time
	batch     []byte // request under way
	batchSize int
	batchOf   uint64
}

// denial is an object that a neighbor denied, and until when it is not asked
// for it again.
type denial struct {
	index uint64
	until clock.Time
}

// maxDenials bounds what is remembered of one neighbor and collection.
const maxDenials = 64

// window returns how many requests keep a neighbor busy: one, and those that
// it answers in a round trip and half of one, so that it may become faster.
func (s *Service) window(n *neighbor) int {
	d := (s.flows.RTT(n.link) + rateSlack).Seconds()
	return min(1+int(1.5*n.rate*d), s.cfg.MaxAsked)
}

// fetch asks neighbors for objects that are wanted.
func (s *Service) fetch(now clock.Time) {
	if len(s.wanting) == 0 {
		return
	}
	if s.held > s.cfg.MaxHeld || len(s.events)-s.head > s.cfg.MaxEvents {
		return // NextEvent brings it back
	}
	for _, n := range s.neighbors {
		if n.banned > now || len(n.interests) == 0 {
			continue
		}
		for len(n.asked) < s.window(n) {
			if !s.down.ready(now) {
				s.arm(&s.refill, s.down.when(now))
				s.sendBatch(now, n)
				return
			}
			it, index, ok := s.choose(now, n)
			if !ok {
				break
			}
			s.ask(now, it, index)
		}
		s.sendBatch(now, n)
	}
}

// choose returns what to ask a neighbor for.
func (s *Service) choose(now clock.Time, n *neighbor) (*interest, uint64, bool) {
	for k := range n.interests {
		it := n.interests[(n.turn+k)%len(n.interests)]
		if it.c == nil || it.has.Empty() {
			continue
		}
		if i, ok := it.c.pick(now, it); ok {
			n.turn = (n.turn + k + 1) % len(n.interests)
			return it, i, true
		}
	}
	if len(n.asked) > 0 {
		return nil, 0, false
	}
	// It has nothing to do, and nothing is left to be asked for: what others
	// have been asked for may come sooner from here.
	for _, it := range n.interests {
		if it.c == nil || it.has.Empty() || !it.c.free.Empty() {
			continue
		}
		if i, ok := it.c.pickAsked(now, it); ok {
			return it, i, true
		}
	}
	return nil, 0, false
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

// pickAsked chooses among the objects that others were asked for: that for
// which an answer is due the longest.
func (c *Collection) pickAsked(now clock.Time, it *interest) (uint64, bool) {
	var best *ask
	for _, m := range c.sources {
		for _, a := range m.n.asked {
			if a.c != c || !it.has.Has(a.index) || !it.mayAsk(now, a.index) {
				continue
			}
			first := c.asked[a.index]
			if first.next != nil || now.Sub(first.at) < c.s.flows.RTT(m.n.link)+rateSlack {
				continue
			}
			if best == nil || first.at < best.at {
				best = first
			}
			break
		}
	}
	if best == nil {
		return 0, false
	}
	return best.index, true
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
	a := &ask{n: n, c: c, index: index, serial: n.serial, at: now}
	if first := c.asked[index]; first != nil {
		s.stats.AskedTwice++
		first.next, a.next = a, first.next
	} else {
		c.asked[index] = a
	}
	if len(n.asked) == 0 {
		n.since, n.arrived = now, 0
	}
	n.asked = append(n.asked, a)
	c.free.Remove(Range{index, index + 1})
	s.down.spend(c.size)
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

// onObject takes an object that was asked for.
func (s *Service) onObject(now clock.Time, n *neighbor, msg []byte) bool {
	serial, i := element.ConsumeVLU(msg[1:])
	if msg[0] != msgObject || i == 0 || len(msg)-1-i > s.cfg.MaxObject {
		return false
	}
	data := msg[1+i:]
	s.hungry = true
	at := slices.IndexFunc(n.asked, func(a *ask) bool { return a.serial == serial })
	if at < 0 {
		if serial > n.serial {
			return false
		}
		// It was on its way when it was not wanted any more.
		s.stats.Duplicates++
		s.stats.DuplicateBytes += uint64(len(data))
		return true
	}
	a := n.asked[at]
	c := a.c
	s.came(now, n)
	s.unaskOne(a)
	for other := c.asked[a.index]; other != nil; other = c.asked[a.index] {
		s.cancel(now, other)
	}
	c.size = len(data)
	c.want.Remove(Range{a.index, a.index + 1})
	c.free.Remove(Range{a.index, a.index + 1})
	s.stats.Fetched++
	s.stats.ObjectsIn += uint64(len(data))
	s.held += len(data)
	s.emit(Event{Kind: Fetched, Collection: c, Index: a.index, Data: append([]byte(nil), data...), Link: n.link, Peer: n.Peer})
	if c.want.Empty() {
		for _, m := range s.neighbors {
			if c.told[m.link] {
				s.tellOpen(now, m, c)
			}
		}
	}
	return true
}

// came measures how fast a neighbor answers while it has something to do.
func (s *Service) came(now clock.Time, n *neighbor) {
	n.arrived++
	elapsed := now.Sub(n.since)
	if elapsed < max(s.flows.RTT(n.link), rateTime) && n.arrived < 256 {
		return
	}
	r := float64(n.arrived) / max(elapsed, time.Millisecond).Seconds()
	if n.rate == 0 {
		n.rate = r
	} else {
		n.rate = (n.rate + r) / 2
	}
	n.since, n.arrived = now, 0
}

// onDeny takes that requests are not answered.
func (s *Service) onDeny(now clock.Time, n *neighbor, b []byte) bool {
	if len(b) == 0 {
		return false
	}
	reason := b[0]
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
		if reason == denyFull {
			n.rate /= 2
		}
		c, index := a.c, a.index
		s.unaskOne(a)
		if c.asked[index] == nil {
			s.emit(Event{Kind: Failed, Collection: c, Index: index, Link: n.link, Peer: n.Peer})
			s.arm(&s.refill, now.Add(denyTime)) // it may be asked for here again then
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
func (s *Service) unaskOne(a *ask) {
	n, c := a.n, a.c
	n.asked = slices.DeleteFunc(n.asked, func(x *ask) bool { return x == a })
	if c.asked[a.index] == a {
		if a.next != nil {
			c.asked[a.index] = a.next
			return
		}
		delete(c.asked, a.index)
		if c.want.Has(a.index) {
			c.free.Add(Range{a.index, a.index + 1})
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

// unask forgets all requests to a neighbor.
func (s *Service) unask(n *neighbor) {
	for len(n.asked) > 0 {
		s.unaskOne(n.asked[len(n.asked)-1])
	}
	n.batchSize = 0
}

// cancel takes a request back.
func (s *Service) cancel(now clock.Time, a *ask) {
	n := a.n
	s.unaskOne(a)
	s.sendBatch(now, n)
	s.stats.Canceled++
	s.sendControl(now, n, element.AppendVLU(append(s.scratch[:0], msgCancel), a.serial))
}

// lookForStalls has objects asked for elsewhere that a neighbor owes for far
// longer than its answers use to take.
func (s *Service) lookForStalls(now clock.Time) {
	asked := false
	for _, n := range s.neighbors {
		for _, a := range n.asked {
			asked = true
			if a.stalled || a.next != nil || a.c.asked[a.index] != a {
				continue
			}
			patience := stallTime + s.flows.RTT(n.link)
			if n.rate > 0 {
				patience = max(patience, time.Duration(stallFactor*float64(time.Second)/n.rate))
			}
			patience = min(patience, stallMost)
			if now.Sub(a.at) < patience {
				continue
			}
			a.stalled = true
			n.rate /= 2
			s.stats.Stalled++
			a.c.free.Add(Range{a.index, a.index + 1})
			s.hungry = true
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
)

// Event is something for the application.
type Event struct {
	Kind       EventKind
	Collection *Collection
	Index      uint64
	Data       []byte
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
