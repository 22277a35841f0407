package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// MaxRouted is the largest routed message, and the largest reply, in bytes.
const MaxRouted = group.MaxRouted

// TooLongError says that a message is longer than may be routed, and what the
// limit is.
type TooLongError = group.TooLongError

// Reasons for which a message was not delivered.
var (
	ErrNoRouting    = group.ErrRouteSpec // the groupspec does not permit directed routing
	ErrNoNeighbor   = group.ErrRouteNone // on that side of the ring
	ErrNoRoute      = errors.New("no route: no member there, or too many hops")
	ErrRouteRefused = errors.New("refused: nobody listens there")
	ErrNoAnswer     = errors.New("no answer; the message may have arrived all the same")
)

// RouteOptions says how a message is routed. The zero options are for one to
// whoever is nearest, without a reply.
type RouteOptions struct {
	Exact    bool          // only to the member that has the very address
	Request  bool          // wait for the receiver's reply
	HopLimit int           // links that it may go over; default 32
	Timeout  time.Duration // for an answer; default 10 s
}

// Delivery tells where a routed message has arrived.
type Delivery struct {
	Peer  PeerID
	Hops  int    // links that it went over; 0: this node is the nearest itself
	Reply []byte // to a request
}

// Direction is a way along the ring.
type Direction = group.Direction

// Directions.
const (
	NextIncreasing = group.NextIncreasing
	NextDecreasing = group.NextDecreasing
)

// SendToNearest sends a message to the member nearest to an address on the
// ring, which may be this node itself, and returns when that has it. Errors:
// ErrNoRouting, ErrNoRoute, ErrRouteRefused, ErrNoAnswer, *TooLongError.
func (g *Group) SendToNearest(ctx context.Context, to ring.Addr, msg []byte, options ...RouteOptions) (Delivery, error) {
	o := groupOptions(options)
	return g.route(ctx, func(now clock.Time) ([]group.RouteID, error) {
		id, err := g.core.group.SendToNearest(now, to, msg, o)
		return []group.RouteID{id}, err
	})
}

// SendToNeighbor sends a message to the next member up or down the ring.
func (g *Group) SendToNeighbor(ctx context.Context, d Direction, msg []byte, options ...RouteOptions) (Delivery, error) {
	o := groupOptions(options)
	return g.route(ctx, func(now clock.Time) ([]group.RouteID, error) {
		id, err := g.core.group.SendToNeighbor(now, d, msg, o)
		return []group.RouteID{id}, err
	})
}

// SendToAllNeighbors sends a message to every neighbor, and returns when one of
// them has it; the others get it about then.
func (g *Group) SendToAllNeighbors(ctx context.Context, msg []byte) (Delivery, error) {
	return g.route(ctx, func(now clock.Time) ([]group.RouteID, error) {
		return g.core.group.SendToAllNeighbors(now, msg, group.RouteOptions{})
	})
}

func groupOptions(options []RouteOptions) (o group.RouteOptions) {
	for _, x := range options {
		o = group.RouteOptions{Exact: x.Exact, Request: x.Request, HopLimit: x.HopLimit, Timeout: x.Timeout}
	}
	return o
}

// route has the loop send something and waits for the first good result, or
// for the last bad one.
func (g *Group) route(ctx context.Context, send func(now clock.Time) ([]group.RouteID, error)) (Delivery, error) {
	var ids []group.RouteID
	var results chan group.RouteResult
	err := ctx.Err()
	if err == nil {
		if derr := g.node.do(func(now clock.Time) {
			if g.isDone() {
				err = ErrClosed
				return
			}
			if ids, err = send(now); err != nil {
				return
			}
			results = make(chan group.RouteResult, len(ids))
			if g.results == nil {
				g.results = map[group.RouteID]chan<- group.RouteResult{}
			}
			for _, id := range ids {
				g.results[id] = results
			}
		}); derr != nil {
			err = derr
		}
	}
	if err != nil {
		return Delivery{}, fmt.Errorf("route: %w", err)
	}
	for range ids {
		select {
		case r := <-results:
			switch r.Status {
			case group.RouteSent:
				return Delivery{Peer: PeerID(r.Peer), Hops: r.Hops, Reply: r.Reply}, nil
			case group.RouteNoRoute:
				err = ErrNoRoute
			case group.RouteRefused:
				err = ErrRouteRefused
			default:
				err = ErrNoAnswer
			}
		case <-ctx.Done():
			_ = g.node.do(func(clock.Time) {
				for _, id := range ids {
					delete(g.results, id)
				}
			})
			return Delivery{}, fmt.Errorf("route: %w", ctx.Err())
		case <-g.done:
			return Delivery{}, fmt.Errorf("route: %w", ErrClosed)
		}
	}
	return Delivery{}, fmt.Errorf("route: %w", err)
}

// takeResult gives a result to whoever waits for it. The loop calls it.
func (g *Group) takeResult(r *group.RouteResult) {
	if c := g.results[r.ID]; c != nil {
		delete(g.results, r.ID)
		c <- *r // it has room for one result of each message
	}
}

// Routed is a message that was routed to this node.
type Routed struct {
	From   PeerID    // who sent it, as the members on the way tell; nothing proves it
	To     ring.Addr // the address that it was sent to
	Hops   int
	Wanted bool   // its sender waits for a Reply
	Data   []byte // the receiver may keep it
	Missed int    // messages lost before this one because the receiver was too slow

	id    group.RouteID
	group *Group
}

// Reply answers a message whose sender waits for a reply.
func (m *Routed) Reply(data []byte) error {
	err := group.ErrNoRequest
	if derr := m.group.node.do(func(now clock.Time) { err = m.group.core.group.Reply(now, m.id, data) }); derr != nil {
		err = derr
	}
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	return nil
}

// ReceiveOptions say which routed messages a listener takes.
type ReceiveOptions struct {
	// Exact leaves out messages to addresses that this node is merely the
	// nearest to: it takes those to its very address, and those that neighbors
	// send one hop.
	Exact bool
}

// Receive yields the messages that are routed to this node, from the call on
// until ctx ends or the group is left; either ends it with an error. While
// nobody receives, such messages are refused, or go to the nearest neighbor
// where somebody does.
func (g *Group) Receive(ctx context.Context, options ...ReceiveOptions) iter.Seq2[Routed, error] {
	l := &listener{nearest: true, box: newMailbox[Routed](listenerQueue, listenerBytes)}
	for _, o := range options {
		l.nearest = !o.Exact
	}
	err := g.node.do(func(now clock.Time) {
		switch {
		case g.isDone():
			l.box.end(ErrClosed)
		case !g.spec.Routing:
			l.box.end(ErrNoRouting)
		default:
			g.listeners = append(g.listeners, l)
			g.setReceiveMode(now)
		}
	})
	if err != nil {
		l.box.end(err)
	}
	stop := context.AfterFunc(ctx, func() { g.unlisten(l, ctx.Err()) })
	return func(yield func(Routed, error) bool) {
		defer g.unlisten(l, ErrClosed)
		defer stop()
		for {
			m, missed, err := l.box.next()
			if err != nil {
				yield(Routed{}, fmt.Errorf("receive: %w", err))
				return
			}
			m.Missed = missed
			if !yield(m, nil) {
				return
			}
		}
	}
}

func (g *Group) unlisten(l *listener, why error) {
	l.box.end(why)
	_ = g.node.do(func(now clock.Time) {
		if i := slices.Index(g.listeners, l); i >= 0 {
			g.listeners = slices.Delete(g.listeners, i, i+1)
			g.setReceiveMode(now)
		}
	})
}

func (g *Group) setReceiveMode(now clock.Time) {
	mode := group.ReceiveNone
	for _, l := range g.listeners {
		if mode == group.ReceiveNone {
			mode = group.ReceiveExact
		}
		if l.nearest {
			mode = group.ReceiveNearest
		}
	}
	g.core.group.SetReceiveMode(now, mode)
}

// takeRouted gives a message to those who listen. The loop calls it.
func (g *Group) takeRouted(m *group.Routed) {
	if m.Service != group.ServiceApp {
		return
	}
	for _, l := range g.listeners {
		if l.nearest || m.Target == g.core.group.Address() {
			l.box.add(Routed{
				From: PeerID(m.Origin), To: m.Target, Hops: m.Hops, Wanted: m.Request,
				Data: slices.Clone(m.Data), id: m.ID, group: g,
			}, len(m.Data))
		}
	}
}

// listener is somebody who receives routed messages.
type listener struct {
	nearest bool
	box     *mailbox[Routed]
}

// A listener's mailbox holds at most this much.
const (
	listenerQueue = 4096
	listenerBytes = 8 << 20
)
