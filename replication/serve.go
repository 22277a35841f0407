package replication

import (
	"errors"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// RequestID names a request of a neighbor until it is answered.
type RequestID uint64

// ErrNoRequest says that a request was answered before, or taken back.
var ErrNoRequest = errors.New("no such request; its neighbor may have gone or taken it back")

// ErrTooLarge says that an object is larger than Config.MaxObject.
var ErrTooLarge = errors.New("the object is too large")

// request is one that a neighbor has made.
type request struct {
	n      *neighbor
	c      *Collection
	index  uint64
	serial uint64
	id     RequestID // once the application has it
	size   int       // that it was taken to have
}

// serving is what this node owes a neighbor.
type serving struct {
	waiting []*request // not handed to the application yet
	open    []*request // handed to it
	sending []shipment // objects that have been sent and have not arrived

	wants     bool   // it is keen on something
	granted   uint64 // serial up to which it may ask
	used      uint64 // up to which it has, or has passed
	grantedAt clock.Time
	turn      uint64 // before which others are given credit
	owed      bool   // it was not told of the last
	hinted    []hinted
	sole      int // objects that it was the first to ask for, and that no other neighbor has

	rate    float64 // objects per second that it took lately
	since   clock.Time
	arrived int
}

// shipment is an object on its way to a neighbor.
type shipment struct {
	number uint64
	done   func() // nil if nobody waits for it
}

// busy reports whether a neighbor takes up a slot.
func (n *neighbor) busy() bool {
	return n.granted > n.used || len(n.waiting)+len(n.open)+len(n.sending) > 0
}

// hinted is an object that a neighbor was told to ask for.
type hinted struct {
	c     *Collection
	index uint64
	told  bool
	fresh bool // it had been sent to nobody
}

// onRequest takes requests for objects.
func (s *Service) onRequest(now clock.Time, n *neighbor, number uint64, b []byte) bool {
	var c *Collection
	if it := n.byOur(s, number); it != nil {
		c = it
	}
	var denied []byte
	for k := 0; len(b) > 0; k++ {
		serial, i := element.ConsumeVLU(b)
		index, j := element.ConsumeVLU(b[i:])
		if i == 0 || j == 0 || index > MaxIndex || k == maxBatch {
			return false
		}
		b = b[i+j:]
		s.stats.Requests++
		n.used = max(n.used, serial)
		if c == nil || !c.have.Has(index) {
			denied = element.AppendVLU(denied, serial)
			continue
		}
		if len(n.waiting)+len(n.open) >= s.cfg.MaxWaiting {
			s.stats.Refused.Requests++
			s.deny(now, n, denyFull, serial)
			continue
		}
		n.waiting = append(n.waiting, &request{n: n, c: c, index: index, serial: serial})
		c.fresh.Remove(Range{index, index + 1})
		n.unhint(c, index)
		if c.Copies(index) == 0 && c.first[index] == nil {
			c.first[index] = n
			n.sole++
		}
	}
	if len(denied) > 0 {
		s.sendControl(now, n, append(append(s.scratch[:0], msgDeny, denyByApplication), denied...))
	}
	s.hungry = true
	return true
}

// byOur returns the collection that has one of our numbers.
func (n *neighbor) byOur(s *Service, number uint64) *Collection {
	for _, it := range n.interests {
		if it.c != nil && it.c.number == number {
			return it.c
		}
	}
	return nil
}

func (s *Service) deny(now clock.Time, n *neighbor, reason byte, serial uint64) {
	s.sendControl(now, n, element.AppendVLU(append(s.scratch[:0], msgDeny, reason), serial))
}

// onCancel takes requests back, unless the answer is on its way.
func (s *Service) onCancel(n *neighbor, b []byte) bool {
	for len(b) > 0 {
		serial, i := element.ConsumeVLU(b)
		if i == 0 {
			return false
		}
		b = b[i:]
		gone := func(r *request) bool {
			if r.serial != serial {
				return false
			}
			s.giveBack(r)
			s.hungry = true
			return true
		}
		n.waiting = slices.DeleteFunc(n.waiting, gone)
		n.open = slices.DeleteFunc(n.open, gone)
	}
	return true
}

// onKeen takes that a neighbor could use something.
func (s *Service) onKeen(n *neighbor) {
	n.serving.wants = true
	n.serving.turn = max(n.serving.turn, s.turns)
	s.hungry = true
}

// onPass takes that a neighbor will not use its credit.
func (s *Service) onPass(n *neighbor, b []byte) bool {
	serial, i := element.ConsumeVLU(b)
	if i == 0 {
		return false
	}
	n.used = max(n.used, min(serial, n.granted))
	n.serving.wants = false
	n.unhint(nil, 0)
	s.hungry = true
	return true
}

// unhint ends the oldest hint, which a request has answered, or all: an object
// that was not asked for may be hinted at to others.
func (n *neighbor) unhint(c *Collection, index uint64) {
	for len(n.hinted) > 0 {
		h := n.hinted[0]
		n.hinted = n.hinted[1:]
		if h.c == c && h.index == index {
			return
		}
		if h.fresh && h.c.have.Has(h.index) {
			h.c.fresh.Add(Range{h.index, h.index + 1})
		}
		if c != nil {
			return
		}
	}
}

// spread notes that a neighbor has objects: those of which another was the
// first to get a copy have been passed on.
func (it *interest) spread(r Range) {
	c := it.c
	if uint64(len(c.first)) > r.End-r.Start {
		for i := r.Start; i < r.End; i++ {
			c.passedOn(i, it.n)
		}
		return
	}
	for i := range c.first { // order-free: each is looked at on its own
		if r.Start <= i && i < r.End {
			c.passedOn(i, it.n)
		}
	}
}

func (c *Collection) passedOn(i uint64, to *neighbor) {
	if n := c.first[i]; n != nil && n != to {
		n.sole--
		delete(c.first, i)
	}
}

// soleGone makes the objects fresh again that were sent to a neighbor alone,
// which has no more to do with the collection; nil stands for all neighbors.
func (c *Collection) soleGone(n *neighbor) {
	for i, m := range c.first { // order-free: sets have no order
		if n == nil || m == n {
			m.sole--
			delete(c.first, i)
			if c.have.Has(i) {
				c.fresh.Add(Range{i, i + 1})
			}
		}
	}
}

// hint chooses an object for a neighbor that has not been sent to anybody. When
// there is none, who has everything chooses what the fewest neighbors have: who
// got it first may not have passed it on.
func (s *Service) hint(n *neighbor) {
	for _, it := range n.interests {
		c := it.c
		if c == nil || !it.wants {
			continue
		}
		from := &c.fresh
		if from.Empty() && c.want.Empty() {
			from = &c.have
		}
		if from.Empty() {
			continue
		}
		lo, _ := from.Next(0)
		hi := from.end()
		best, least, found := uint64(0), 0, false
		for range candidates {
			i, ok := from.Next(lo + s.cfg.Rand.Uint64N(hi-lo))
			if !ok || it.has.Has(i) {
				continue
			}
			if copies := c.Copies(i); !found || copies < least {
				best, least, found = i, copies, true
			}
		}
		if found {
			n.hinted = append(n.hinted, hinted{c: c, index: best, fresh: from == &c.fresh})
			c.fresh.Remove(Range{best, best + 1})
			return
		}
	}
}

// serve gives credit to neighbors that can use something, so that what they
// ask for next is chosen when it can be sent soon, and hands their requests to
// the application as fast as they take the answers.
func (s *Service) serve(now clock.Time) {
	for len(s.events)-s.head <= s.cfg.MaxEvents {
		n := s.nextServed()
		if n == nil {
			break
		}
		if !s.up.Ready(now) {
			s.arm(&s.refill, s.up.When(now))
			break
		}
		s.handOver(n)
	}
	s.grant(now)
	s.sendCredit(now)
}

// handOver gives a request to the application.
func (s *Service) handOver(n *neighbor) {
	at := slices.IndexFunc(n.waiting, ready)
	r := n.waiting[at]
	n.waiting = slices.Delete(n.waiting, at, at+1)
	s.stats.Served++
	s.lastRequest++
	r.id = s.lastRequest
	s.requests[r.id] = r
	n.open = append(n.open, r)
	r.size = r.c.size
	s.up.Spend(r.size)
	s.emit(Event{Kind: Requested, Collection: r.c, Index: r.index, Request: r.id, Link: n.link, Peer: n.Peer})
}

// ready reports whether the application takes a request.
func ready(r *request) bool { return !r.c.paused }

// nextServed returns a neighbor that waits and has room on the way to it: the
// one that was given credit the longest ago.
func (s *Service) nextServed() *neighbor {
	var best *neighbor
	for _, n := range s.neighbors {
		if best != nil && best.turn <= n.turn || !slices.ContainsFunc(n.waiting, ready) {
			continue
		}
		backlog := 0
		for _, r := range n.open {
			backlog += r.c.size
		}
		if n.objects != 0 {
			backlog += s.flows.Backlog(n.objects)
		}
		if backlog < feedBytes {
			best = n
		}
	}
	return best
}

// ahead returns how many objects a neighbor may ask for and has asked for, those
// that the application takes none of left out.
func (n *neighbor) ahead() int {
	k := int(n.granted - n.used)
	for _, r := range n.waiting {
		if ready(r) {
			k++
		}
	}
	return k
}

// turnLength is how long a neighbor waits after it was given credit: longer for
// each object of which it got the only copy and has not passed it on, and
// longer than one that lags behind.
func (n *neighbor) turnLength() uint64 {
	length := uint64(turnUsual)
	for _, it := range n.interests {
		if it.wants && it.c != nil && n.sole <= 1 && it.has.Count()*16 < it.c.have.Count()*15 {
			length = 1
		}
	}
	return length * (1 + uint64(n.sole))
}

// pace is how fast objects leave, as their receipts tell.
type pace struct {
	rate  float64 // objects per second, 0 if it is not known
	count int
	since clock.Time
}

// arrived counts an object.
func (p *pace) arrived(now clock.Time, rtt time.Duration) {
	elapsed := now.Sub(p.since)
	if elapsed > paceIdle { // there was nothing to send
		p.since, p.count = now, 0
		return
	}
	p.count++
	if elapsed < max(rtt, paceTime) {
		return
	}
	rate := float64(p.count) / elapsed.Seconds()
	if rate < p.rate {
		rate = (rate + p.rate) / 2
	}
	p.rate, p.since, p.count = rate, now, 0
}

// slots returns how many neighbors are served at the same time, and how many
// objects each of them may ask for before its rate is known: the fewer, the
// sooner an object is whole and can be passed on, and the less waits in the
// uplink when the last ones are asked for. But an object for which a connection
// has to find its speed again takes some round trips, and in these the others
// have to fill the uplink. Without a limit it is not known whose speed is the
// measured one, and round trips tell mostly of the uplink's own queue.
func (s *Service) slots(size int) (slots, first int) {
	if s.up.rate == 0 {
		if s.pace.rate == 0 {
			return s.cfg.UploadSlots, 1
		}
		pipe := int(s.pace.rate * (slotMost + slotLeast).Seconds())
		slots = min(max(pipe, leastSlots), s.cfg.UploadSlots)
		return slots, min(max(pipe/slots, 1), freely)
	}
	var sum time.Duration
	k := 0
	for _, n := range s.neighbors {
		if n.serving.wants {
			sum += s.flows.RTT(n.link)
			k++
		}
	}
	trips := min(slotTrips*sum/time.Duration(max(k, 1)), slotMost) + slotLeast
	pipe := int(float64(s.up.rate) / float64(max(size, 1)) * trips.Seconds())
	return min(max(pipe, leastSlots), s.cfg.UploadSlots), 1
}

// grant gives credit: to as many neighbors as there are slots, to each for as
// many objects as keep it busy, and in all for no more than the upload limit
// lets through until their requests are here.
func (s *Service) grant(now clock.Time) {
	busy, ahead, size := 0, 0, 0
	for _, n := range s.neighbors {
		if n.granted > n.used && now.Sub(n.grantedAt) > creditTime+s.flows.RTT(n.link) {
			n.used, n.serving.wants = n.granted, false // it sleeps on it
		}
		if n.busy() {
			busy++
		}
		ahead += n.ahead()
		for _, it := range n.interests {
			if it.c != nil {
				size = max(size, it.c.size)
			}
		}
	}
	slots, first := s.slots(size)
	for {
		var best *neighbor
		for _, n := range s.neighbors {
			if !n.serving.wants || n.banned > now || best != nil && best.turn <= n.turn || busy >= slots && !n.busy() {
				continue
			}
			d := (s.flows.RTT(n.link) + rateSlack).Seconds()
			if n.ahead() >= min(first+int(1.5*n.rate*d), s.cfg.MaxAsked) {
				continue
			}
			if s.up.rate > 0 && ahead > int(d*float64(s.up.rate)/float64(max(size, 1))) {
				continue
			}
			best = n
		}
		if best == nil {
			return
		}
		if !best.busy() {
			busy++
			best.since, best.arrived = now, 0
		}
		ahead++
		s.turns = max(s.turns, best.turn)
		best.turn = s.turns + best.turnLength()
		best.grantedAt = now
		best.granted++
		best.owed = true
		s.hint(best)
	}
}

// sendCredit tells neighbors what they were given.
func (s *Service) sendCredit(now clock.Time) {
	for _, n := range s.neighbors {
		if n.owed {
			n.owed = false
			b := element.AppendVLU(append(s.scratch[:0], msgCredit), n.granted)
			for i := range n.hinted {
				if h := &n.hinted[i]; !h.told {
					h.told = true
					b = element.AppendVLU(element.AppendVLU(b, h.c.number), h.index)
				}
			}
			s.sendControl(now, n, b)
		}
	}
}

// Answer sends an object that was requested. It is copied.
func (s *Service) Answer(now clock.Time, id RequestID, data []byte) error {
	return s.AnswerShared(now, id, append(make([]byte, HeadRoom, HeadRoom+len(data)), data...), nil)
}

// HeadRoom is how much room AnswerShared needs before an object.
const HeadRoom = 1 + element.MaxVLU

// AnswerShared is Answer for an object that is not copied, in memory that begins
// with HeadRoom bytes for the Service: nobody else may use it
// until done is called, from within a later call, or for good if that does not
// happen because the neighbor has gone. With an error done is not called.
func (s *Service) AnswerShared(now clock.Time, id RequestID, memory []byte, done func()) error {
	data := memory[HeadRoom:]
	if len(data) > s.cfg.MaxObject {
		return ErrTooLarge
	}
	r := s.close(id)
	if r == nil {
		return ErrNoRequest
	}
	n := r.n
	s.up.Spend(len(data) - r.size)
	r.c.size = len(data)
	if n.objects == 0 {
		if n.objects = s.flows.OpenFlow(now, n.link, metaObjects, n.Session, group.ClassBulk); n.objects == 0 {
			s.up.Spend(-len(data))
			return ErrNoRequest
		}
		s.byFlow[n.objects] = n
	}
	s.flows.Hold(now, n.link)
	s.shipped++
	n.sending = append(n.sending, shipment{s.shipped, done})
	s.stats.Sent++
	s.stats.ObjectsOut += uint64(len(data))
	head := element.AppendVLU(append(s.scratch[:0], msgObject), r.serial)
	s.scratch = head[:0]
	msg := memory[HeadRoom-len(head):]
	copy(msg, head)
	s.flows.SendReceipt(now, n.objects, msg, s.shipped)
	return nil
}

// Deny tells a neighbor that it will not get what it requested. It may ask
// again after a while.
func (s *Service) Deny(now clock.Time, id RequestID) error {
	r := s.close(id)
	if r == nil {
		return ErrNoRequest
	}
	s.up.Spend(-r.size)
	s.stats.DeniedOut++
	s.deny(now, r.n, denyByApplication, r.serial)
	return nil
}

// close ends a request that the application has.
func (s *Service) close(id RequestID) *request {
	r := s.requests[id]
	if r == nil {
		return nil
	}
	delete(s.requests, id)
	r.n.open = slices.DeleteFunc(r.n.open, func(x *request) bool { return x == r })
	s.hungry = true
	return r
}

// Receipt tells that an object has arrived, or will not, by the number that it
// was sent with.
func (s *Service) Receipt(now clock.Time, flow group.FlowID, number uint64) {
	n := s.byFlow[flow]
	if n == nil {
		return
	}
	if i := slices.IndexFunc(n.sending, func(x shipment) bool { return x.number == number }); i >= 0 {
		done := n.sending[i].done
		n.sending = slices.Delete(n.sending, i, i+1)
		if done != nil {
			done()
		}
		s.hungry = true
		s.pace.arrived(now, s.flows.RTT(n.link))
		n.arrived++
		if elapsed := now.Sub(n.since); elapsed >= max(s.flows.RTT(n.link), rateTime) {
			if now := float64(n.arrived) / elapsed.Seconds(); now > n.rate {
				n.rate = now // as fast as it can, until that is known
			} else {
				n.rate = (n.rate + now) / 2
			}
			n.since, n.arrived = now, 0
		}
	}
}

// giveBack forgets a request that will not be answered, and what was spent for
// it if the application has it.
func (s *Service) giveBack(r *request) {
	delete(s.requests, r.id)
	s.up.Spend(-r.size)
}

// dropRequests forgets what a neighbor waits for.
func (s *Service) dropRequests(n *neighbor) {
	for _, r := range n.open {
		s.giveBack(r)
	}
	n.unhint(nil, 0)
	n.serving = serving{}
}

// denyAll denies what waits of a collection that is closed.
func (s *Service) denyAll(now clock.Time, c *Collection) {
	for _, n := range s.neighbors {
		drop := func(r *request) bool {
			if r.c != c {
				return false
			}
			s.giveBack(r)
			s.deny(now, n, denyByApplication, r.serial)
			return true
		}
		n.waiting = slices.DeleteFunc(n.waiting, drop)
		n.open = slices.DeleteFunc(n.open, drop)
	}
}
