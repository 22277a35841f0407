package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
	"rtmfp/simulations/figure"
	"rtmfp/simulations/scenario"
)

// routing is what becomes of messages to places on the ring.
type routing struct {
	pattern pattern
	buf     []byte

	sent   []parcelTo
	byID   map[group.RouteID]int // of those whose sender was not told yet
	oldest int                   // nobody before waits to be told

	delay    figure.Histogram // µs
	answer   figure.Histogram // µs
	hops     uint64
	first    int // arrivals
	more     int // at another member
	wrong    int
	told     int
	failures int
}

// parcelTo is a message to a place.
type parcelTo struct {
	from    *member
	at      clock.Time
	id      group.RouteID
	target  ring.Addr
	arrived []*member
	request bool
	told    bool
}

func (t *routing) init(s *scenario.Scenario) {
	if s.Routing != nil {
		size := int(s.Routing.Size)
		t.pattern, t.buf = newPattern(size), make([]byte, size)
		t.byID = map[group.RouteID]int{}
	}
}

// chance draws whether something happens that does with a probability.
func (r *run) chance(p scenario.Ratio) bool { return float64(r.rng.Uint64()>>11)/(1<<53) < float64(p) }

// target draws a place on the ring.
func (r *run) target() (a ring.Addr) {
	for i := 0; i < len(a); i += 8 {
		binary.BigEndian.PutUint64(a[i:], r.rng.Uint64())
	}
	switch {
	case r.chance(r.s.Routing.Seam):
		// Some members at most are nearer to it.
		edge := byte(0)
		if a[0] >= 0x80 {
			edge = 0xff
		}
		a[0], a[1], a[2] = edge, edge, edge
	case r.chance(1. / 3):
		a = ring.OfPeer(group.PeerID(r.living[r.rng.Uint64()%uint64(len(r.living))].peer))
	}
	return a
}

// route has a member send a message to a place.
func (r *run) route() {
	from := r.draw()
	if from == nil || from.evil {
		return
	}
	t := &r.routing
	p := parcelTo{from: from, at: r.net.Now(), target: r.target(), request: r.chance(r.s.Routing.Requests)}
	number := len(t.sent)
	t.pattern.fill(t.buf, uint64(number))
	r.net.Do(from.node, func(now clock.Time) {
		var err error
		p.id, err = from.group.Group().SendToNearest(now, p.target, t.buf, group.RouteOptions{Request: p.request})
		if err != nil {
			if !errors.Is(err, group.ErrRouteBusy) {
				r.net.Fail(from.node, "route", err.Error())
			}
			p.told = true
			t.failures++
		} else {
			t.byID[p.id] = number
		}
		t.sent = append(t.sent, p)
	})
}

// routed takes a message that has come to a member.
func (r *run) routed(m *member, msg *group.Routed) {
	t := &r.routing
	now := r.net.Now()
	number, err := t.pattern.read(msg.Data, len(t.buf))
	if err != nil {
		r.net.Fail(m.node, "bytes", "routed: "+err.Error())
		return
	}
	if number >= uint64(len(t.sent)) {
		r.net.Fail(m.node, "route", "a message came that nobody sent")
		return
	}
	p := &t.sent[number]
	switch {
	case msg.Target != p.target || msg.Origin != group.PeerID(p.from.peer) || msg.Request != p.request:
		r.net.Fail(m.node, "route", fmt.Sprintf("message %d came with another target, origin, or wish than it was sent with", number))
		return
	case msg.Hops == 0 && m != p.from || msg.Hops != 0 && m == p.from:
		r.net.Fail(m.node, "route", fmt.Sprintf("message %d of node %d came over %d links, as it says", number, p.from.node.Number(), msg.Hops))
		return
	}
	for _, o := range p.arrived {
		if o == m {
			r.net.Fail(m.node, "route", fmt.Sprintf("message %d came twice", number))
			return
		}
	}
	p.arrived = append(p.arrived, m)
	if len(p.arrived) == 1 {
		t.first++
		t.hops += uint64(msg.Hops)
		t.delay.Add(uint64(now.Sub(p.at)/time.Microsecond), 1)
	} else {
		t.more++
	}
	if o := r.nearer(m, p.target); o != nil {
		t.wrong++
		r.tell(m, "route_wrong", "message %d, node %d is nearer", number, o.node.Number())
		if r.quiet(p.at) {
			r.net.Fail(m.node, "route", fmt.Sprintf("message %d came here, but node %d is nearer to its target, and nobody has come or gone for %v",
				number, o.node.Number(), time.Duration(r.s.Checks.Quiet)))
			return
		}
	}
	if p.request {
		reply := append([]byte(nil), msg.Data...)
		r.net.After(0, func() {
			if m.gone {
				return
			}
			r.net.Do(m.node, func(now clock.Time) {
				if err := m.group.Group().Reply(now, msg.ID, reply); err != nil {
					r.net.Fail(m.node, "route", fmt.Sprintf("message %d asks for a reply, which fails: %v", number, err))
				}
			})
		})
	}
}

// nearer returns a member that is nearer to a place than m, and has been there
// for a while; nil if none is.
func (r *run) nearer(m *member, a ring.Addr) *member {
	mine := ring.OfPeer(group.PeerID(m.peer))
	for _, o := range r.living {
		if o != m && o.joined && r.net.Now().Sub(o.born) >= leastStay && a.Nearer(ring.OfPeer(group.PeerID(o.peer)), mine) {
			return o
		}
	}
	return nil
}

// routeResult takes what a sender is told.
func (r *run) routeResult(m *member, res *group.RouteResult) {
	t := &r.routing
	number, known := t.byID[res.ID]
	if !known {
		r.net.Fail(m.node, "route", "a result came of a message that was not sent, or a second one")
		return
	}
	p := &t.sent[number]
	delete(t.byID, res.ID)
	p.told = true
	if p.from != m {
		r.net.Fail(m.node, "route", "a result came to somebody who did not send the message")
		return
	}
	if res.Status != group.RouteSent {
		t.told++
		t.failures++
		r.tell(m, "route_failed", "message %d: %v", number, res.Status)
		return
	}
	t.told++
	t.answer.Add(uint64(r.net.Now().Sub(p.at)/time.Microsecond), 1)
	has := false
	for _, o := range p.arrived {
		has = has || group.PeerID(o.peer) == res.Peer
	}
	switch {
	case !has:
		r.net.Fail(m.node, "route", fmt.Sprintf("message %d is said to have come to a member that does not have it", number))
	case p.request:
		if n, err := t.pattern.read(res.Reply, len(t.buf)); err != nil || n != uint64(number) {
			r.net.Fail(m.node, "route", fmt.Sprintf("the reply to message %d is that to %d, %v", number, n, err))
		}
	}
}

// routePatience is how long after sending a message the sender must know what
// came of it: the timeout of routed messages is 10 s.
const routePatience = 15 * time.Second

// lookAtRoutes finds messages of which the sender is told nothing.
func (r *run) lookAtRoutes(now clock.Time) error {
	t := &r.routing
	for ; t.oldest < len(t.sent); t.oldest++ {
		p := &t.sent[t.oldest]
		if p.told || p.from.gone {
			continue
		}
		if now.Sub(p.at) < routePatience || p.from.node.Stalled() {
			return nil
		}
		return fmt.Errorf("node %d sent message %d %v ago and was never told what came of it", p.from.node.Number(), t.oldest, routePatience)
	}
	return nil
}

func (r *run) routeFigures(res *Result) {
	t := &r.routing
	if r.s.Routing == nil {
		return
	}
	due, lost := 0, 0
	for i := range t.sent {
		if p := &t.sent[i]; !p.from.gone {
			due++
			if len(p.arrived) == 0 {
				lost++
			}
		}
	}
	res.set("route_lost_ratio", float64(lost)/float64(due))
	res.set("route_failed_ratio", float64(t.failures)/float64(t.told))
	res.set("route_wrong_ratio", float64(t.wrong)/float64(t.first+t.more))
	res.set("route_twice_ratio", float64(t.more)/float64(t.first+t.more))
	res.set("route_delay_p50_ms", t.delay.Quantile(0.5)/1000)
	res.set("route_delay_p99_ms", t.delay.Quantile(0.99)/1000)
	res.set("route_answer_p50_ms", t.answer.Quantile(0.5)/1000)
	res.set("route_answer_p99_ms", t.answer.Quantile(0.99)/1000)
	res.set("route_mean_hops", float64(t.hops)/float64(t.first))
}
