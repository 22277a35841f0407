package replication

import (
	"errors"
	"slices"

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
}

// serving is what this node owes a neighbor.
type serving struct {
	waiting  []*request // not handed to the application yet
	open     []*request // handed to it
	sending  int        // objects that have been sent and have not arrived
	servedAt uint64     // turn in which it was served last
}

// busy reports whether a neighbor takes up a slot.
func (v *serving) busy() bool { return len(v.open)+v.sending > 0 }

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
			delete(s.requests, r.id)
			s.hungry = true
			return true
		}
		n.waiting = slices.DeleteFunc(n.waiting, gone)
		n.open = slices.DeleteFunc(n.open, gone)
	}
	return true
}

// serve hands requests to the application as fast as the neighbors take the
// answers.
func (s *Service) serve(now clock.Time) {
	for len(s.events)-s.head <= s.cfg.MaxEvents {
		n := s.nextServed()
		if n == nil {
			return
		}
		if !s.up.ready(now) {
			s.arm(&s.refill, s.up.when(now))
			return
		}
		s.stats.Served++
		n.servedAt = s.stats.Served
		r := n.take()
		s.lastRequest++
		r.id = s.lastRequest
		s.requests[r.id] = r
		n.open = append(n.open, r)
		s.up.spend(r.c.size)
		s.emit(Event{Kind: Requested, Collection: r.c, Index: r.index, Request: r.id, Link: n.link, Peer: n.Peer})
	}
}

// nextServed returns the neighbor whose turn it is: of those who wait and have
// room on their way, that which was served the longest ago; in a slot that is
// free, or in one that it has.
func (s *Service) nextServed() *neighbor {
	busy := 0
	for _, n := range s.neighbors {
		if n.busy() {
			busy++
		}
	}
	var best *neighbor
	for _, n := range s.neighbors {
		if len(n.waiting) == 0 || busy >= s.cfg.UploadSlots && !n.busy() {
			continue
		}
		if best != nil && best.servedAt <= n.servedAt {
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

// take removes the request of a neighbor for what the fewest others have, the
// first of those.
func (n *neighbor) take() *request {
	best, least := 0, 0
	for i, r := range n.waiting {
		if copies := r.c.Copies(r.index); i == 0 || copies < least {
			best, least = i, copies
		}
		if least == 0 {
			break
		}
	}
	r := n.waiting[best]
	n.waiting = slices.Delete(n.waiting, best, best+1)
	return r
}

// Answer sends an object that was requested. It is copied.
func (s *Service) Answer(now clock.Time, id RequestID, data []byte) error {
	if len(data) > s.cfg.MaxObject {
		return ErrTooLarge
	}
	r := s.close(id)
	if r == nil {
		return ErrNoRequest
	}
	n := r.n
	s.up.spend(len(data) - r.c.size)
	r.c.size = len(data)
	if n.objects == 0 {
		if n.objects = s.flows.OpenFlow(now, n.link, metaObjects, n.Session, group.ClassBulk); n.objects == 0 {
			return ErrNoRequest
		}
		s.byFlow[n.objects] = n
	}
	n.sending++
	s.stats.Sent++
	s.stats.ObjectsOut += uint64(len(data))
	b := element.AppendVLU(append(s.scratch[:0], msgObject), r.serial)
	b = append(b, data...)
	s.scratch = b[:0]
	s.flows.SendReceipt(now, n.objects, b)
	return nil
}

// Deny tells a neighbor that it will not get what it requested. It may ask
// again after a while.
func (s *Service) Deny(now clock.Time, id RequestID) error {
	r := s.close(id)
	if r == nil {
		return ErrNoRequest
	}
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

// Receipt tells that an object has arrived, or will not.
func (s *Service) Receipt(now clock.Time, flow group.FlowID) {
	if n := s.byFlow[flow]; n != nil && n.sending > 0 {
		n.sending--
		s.hungry = true
	}
}

// dropRequests forgets what a neighbor waits for.
func (s *Service) dropRequests(n *neighbor) {
	for _, r := range n.open {
		delete(s.requests, r.id)
	}
	n.waiting, n.open, n.sending = nil, nil, 0
}

// denyAll denies what waits of a collection that is closed.
func (s *Service) denyAll(now clock.Time, c *Collection) {
	for _, n := range s.neighbors {
		drop := func(r *request) bool {
			if r.c != c {
				return false
			}
			delete(s.requests, r.id)
			s.deny(now, n, denyByApplication, r.serial)
			return true
		}
		n.waiting = slices.DeleteFunc(n.waiting, drop)
		n.open = slices.DeleteFunc(n.open, drop)
	}
}
