package group

import (
	"errors"
	"fmt"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// MaxRouted is the most bytes that a routed message or a reply may have.
const MaxRouted = 64 << 10

// RouteID names a routed message. It is random, so that no two members choose
// the same.
type RouteID uint64

// Service says for whom at the receiver a routed message is.
type Service uint64

// Services.
const (
	ServiceApp     Service = iota // applications; the groupspec must permit routing
	ServiceRecords                // put and get of records
	serviceFind                   // members find their place: answered by the group itself
)

// Direction is a way along the ring.
type Direction uint8

// Directions.
const (
	NextIncreasing Direction = iota // to the next member up the ring
	NextDecreasing                  // and down
)

// RouteOptions says how a message is routed. The zero value is for
// applications: with an acknowledgement, and the limits of the Config.
type RouteOptions struct {
	Service  Service
	Exact    bool          // only to the member that has the very address
	Request  bool          // the result waits for the receiver's reply
	HopLimit int           // default Config.HopLimit
	Timeout  time.Duration // default Config.RouteTimeout
}

// RouteStatus is what became of a routed message.
type RouteStatus uint8

// What can become of one.
const (
	RouteSent     RouteStatus = iota + 1 // the member named in the result has it
	RouteNoRoute                         // nobody to pass it on to, or the hop limit was reached
	RouteRefused                         // the member named in the result does not take it
	RouteTimedOut                        // no answer came; it may have arrived all the same
)

var routeStatusNames = [...]string{"", "sent", "no route", "refused", "timed out"}

// String returns the status as Adobe's NetGroupSendResult has it.
func (s RouteStatus) String() string {
	if int(s) < len(routeStatusNames) {
		return routeStatusNames[s]
	}
	return "unknown"
}

// RouteResult tells what became of a message that this node routed.
type RouteResult struct {
	ID      RouteID
	Service Service
	Status  RouteStatus
	Peer    PeerID // who has it, or refused it
	Hops    int    // links that it went over; 0: this node was the nearest
	Reply   []byte // of a request; the receiver owns it
}

// Routed is a message that has arrived here because this member is the nearest
// to its target, or because a neighbor sent it just one hop.
type Routed struct {
	ID      RouteID // for Reply
	Service Service
	Origin  PeerID // who sent it, as those on the way tell; nobody has proven it
	Target  ring.Addr
	Hops    int
	Request bool   // the origin waits for a reply
	Data    []byte // the receiver owns it
}

// Reasons for which a message is not routed at all.
var (
	ErrRouteSpec   = errors.New("the groupspec does not permit directed routing")
	ErrRouteClosed = errors.New("the group is not started, or left")
	ErrRouteBusy   = errors.New("too many routed messages under way")
	ErrRouteNone   = errors.New("no neighbor on that side of the ring")
	ErrNoRequest   = errors.New("no request under this id, or its time is over")
)

// TooLongError says that a message is longer than may be routed.
type TooLongError struct{ Size, Limit int }

// Error implements error.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("message of %d bytes, the limit is %d", e.Size, e.Limit)
}

// SendToNearest sends a message to the member nearest to the address, which
// may be this one. A RouteResult with the id that is returned tells what came
// of it.
func (g *Group) SendToNearest(now clock.Time, to ring.Addr, msg []byte, o RouteOptions) (RouteID, error) {
	r, err := g.newRoute(now, to, msg, &o)
	if err != nil {
		return 0, err
	}
	g.pass(now, r)
	return r.id, nil
}

// SendToNeighbor sends a message to the next member on one side of the ring.
func (g *Group) SendToNeighbor(now clock.Time, d Direction, msg []byte, o RouteOptions) (RouteID, error) {
	l := g.nextUp(d)
	if l == nil {
		return 0, ErrRouteNone
	}
	r, err := g.newRoute(now, l.addr, msg, &o)
	if err != nil {
		return 0, err
	}
	g.oneHop(now, r, l)
	return r.id, nil
}

// SendToAllNeighbors sends a message to every neighbor that takes routed
// messages, and returns the ids of the messages, one for each.
func (g *Group) SendToAllNeighbors(now clock.Time, msg []byte, o RouteOptions) ([]RouteID, error) {
	var ids []RouteID
	for _, l := range g.neighbors {
		if !l.routes() {
			continue
		}
		r, err := g.newRoute(now, l.addr, msg, &o)
		if err != nil {
			return ids, err
		}
		g.oneHop(now, r, l)
		ids = append(ids, r.id)
	}
	if len(ids) == 0 {
		return nil, ErrRouteNone
	}
	return ids, nil
}

// Reply answers a request, along the way that it came; or directly, on a link
// to its origin that is there already.
func (g *Group) Reply(now clock.Time, id RouteID, msg []byte) error {
	if len(msg) > MaxRouted {
		return &TooLongError{len(msg), MaxRouted}
	}
	r := g.routes[id]
	if r == nil || !r.delivered || r.flags&routeRequest == 0 || r.replied {
		return ErrNoRequest
	}
	r.replied = true
	a := answer{id: id, code: answerReply, hops: r.hops, responder: g.cfg.Self, payload: msg}
	if r.own {
		a.payload = append([]byte(nil), msg...)
		g.finish(now, r, &a)
		return nil
	}
	if m := g.book.get(r.origin); m != nil && m.link != nil && m.link.up && m.link.routes() {
		g.sendAnswer(now, m.link, &a)
		return nil
	}
	if l := g.byLink[r.from]; l != nil && l.up {
		g.sendAnswer(now, l, &a)
	}
	return nil
}

// ReceiveMode says which messages of applications this member takes.
type ReceiveMode uint8

// Receive modes. EXACT and NEAREST are Adobe's.
const (
	ReceiveNone    ReceiveMode = iota // none: nobody listens
	ReceiveExact                      // those to its very address, and those of neighbors that go one hop
	ReceiveNearest                    // and those that it is merely nearest to
)

// SetReceiveMode says which messages of applications this member takes, none
// at first. Neighbors are told whether it takes those that it is nearest to.
func (g *Group) SetReceiveMode(now clock.Time, mode ReceiveMode) {
	tell := (g.receive == ReceiveNearest) != (mode == ReceiveNearest)
	g.receive = mode
	for _, l := range g.neighbors {
		if tell && l.out != 0 && l.routes() {
			g.send(now, l.out, append(g.buf[:0], g.beginMessage()))
		}
	}
}

// NextRouted returns the next message that has arrived here. Drain them after
// each turn.
func (g *Group) NextRouted() (Routed, bool) {
	if len(g.routed) == 0 {
		return Routed{}, false
	}
	m := g.routed[0]
	g.routed[0] = Routed{}
	if g.routed = g.routed[1:]; len(g.routed) == 0 {
		g.routed = nil
	}
	return m, true
}

// NextRouteResult returns the next result of a message that this node sent.
// Drain them after each turn.
func (g *Group) NextRouteResult() (RouteResult, bool) {
	if len(g.results) == 0 {
		return RouteResult{}, false
	}
	r := g.results[0]
	g.results[0] = RouteResult{}
	if g.results = g.results[1:]; len(g.results) == 0 {
		g.results = nil
	}
	return r, true
}

// Address returns this node's place on the ring.
func (g *Group) Address() ring.Addr { return g.self }

// Coverage returns the range of addresses that this member is nearest to, as
// far as its neighbors show: from after the first up to the second, up the
// ring. Alone it covers the whole ring: both are its own address then.
func (g *Group) Coverage() (from, to ring.Addr) {
	above, below := g.nextUp(NextIncreasing), g.nextUp(NextDecreasing)
	if above == nil || below == nil {
		return g.self, g.self
	}
	return ring.Middle(below.addr, g.self), ring.Middle(g.self, above.addr)
}

// AppendNearest appends the members nearest to an address, this one included,
// nearest first: those that are up and take routed messages.
func (g *Group) AppendNearest(dst []PeerID, to ring.Addr, k int) []PeerID {
	self := false
	var room [64]ring.Item[*link]
	for _, it := range g.reach.AppendNearest(room[:0], to, k, func(l *link) bool { return !l.up || !l.routes() }) {
		if len(dst) < k && !self && to.Nearer(g.self, it.Addr) {
			dst = append(dst, g.cfg.Self)
			self = true
		}
		if len(dst) < k {
			dst = append(dst, it.Value.peer)
		}
	}
	if len(dst) < k && !self {
		dst = append(dst, g.cfg.Self)
	}
	return dst
}
