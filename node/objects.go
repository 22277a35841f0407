package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/replication"
)

// MaxObject is the largest object in bytes.
const MaxObject = 1 << 20

// CollectionID names a collection of objects in a group. The zero id is the
// application's own, as in Adobe's API; hashes make good others.
type CollectionID = replication.CollectionID

// Range is the indexes of objects from Start to before End, from 0 to 2^53.
type Range = replication.Range

// Strategy says which object is fetched first.
type Strategy = replication.Strategy

// Strategies.
const (
	RarestFirst = replication.RarestFirst // what the fewest neighbors have
	LowestFirst = replication.LowestFirst // from the reader's position on
)

// Errors of collections.
var (
	// ErrNoReplication says that the groupspec does not permit it.
	ErrNoReplication = errors.New("the groupspec does not permit object replication")
	// ErrIndex says that indexes are out of range.
	ErrIndex = replication.ErrRange
	// ErrNoRequest says that nobody waits for an answer any more.
	ErrNoRequest = replication.ErrNoRequest
)

// ObjectEventKind says what an ObjectEvent reports.
type ObjectEventKind uint8

// Kinds of object events.
const (
	ObjectFetched   ObjectEventKind = iota + 1 // Data has come; call AddHave, or Bad
	ObjectFailed                               // Peer denied it; it is asked for again as long as it is wanted
	ObjectRequested                            // Peer wants it; call Answer or Deny
)

// ObjectEvent is something about one object of a collection.
type ObjectEvent struct {
	Kind  ObjectEventKind
	Index uint64
	Data  []byte // the reader's
	Peer  PeerID // the neighbor

	c       *Collection
	link    group.LinkID
	request replication.RequestID
}

// Collection is a set of numbered objects that this node has, wants, or both.
// Neighbors are told of both; what one of them has and this node wants is
// fetched, and what they want of this node is requested of whoever reads
// Events. See docs/replication.md.
type Collection struct {
	group *Group
	id    CollectionID
	box   *mailbox[ObjectEvent]
	core  *replication.Collection // the loop's
}

// Events of a collection that nobody has read yet: from these on nothing more
// is fetched or requested. What was asked for still comes, of which
// replication.Config.MaxHeld is the bound.
const (
	objectQueue      = 256
	objectQueueBytes = 8 << 20
)

// OpenCollection opens a collection, which nobody else in this process may have
// open in this group.
func (g *Group) OpenCollection(id CollectionID, strategy Strategy) (*Collection, error) {
	c := &Collection{group: g, id: id, box: newMailbox[ObjectEvent](math.MaxInt, math.MaxInt)}
	err := c.do(func(now clock.Time) (err error) {
		s := g.core.Objects(now)
		if s == nil {
			return ErrNoReplication
		}
		if c.core, err = s.Open(now, id, strategy); err == nil {
			g.collections = append(g.collections, c)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open collection: %w", err)
	}
	return c, nil
}

// do has the loop call f.
func (c *Collection) do(f func(now clock.Time) error) (err error) {
	if derr := c.group.node.do(func(now clock.Time) {
		if c.group.isDone() {
			err = ErrClosed
			return
		}
		err = f(now)
	}); derr != nil {
		return derr
	}
	return err
}

// AddHave tells that this node has objects, and will answer requests for them.
func (c *Collection) AddHave(r Range) error {
	return c.do(func(now clock.Time) error { return c.core.AddHave(now, r) })
}

// RemoveHave tells that this node has them no more.
func (c *Collection) RemoveHave(r Range) error {
	return c.do(func(now clock.Time) error { return c.core.RemoveHave(now, r) })
}

// AddWant has objects fetched that this node does not have.
func (c *Collection) AddWant(r Range) error {
	return c.do(func(now clock.Time) error { return c.core.AddWant(now, r) })
}

// RemoveWant has objects not fetched any more.
func (c *Collection) RemoveWant(r Range) error {
	return c.do(func(now clock.Time) error { return c.core.RemoveWant(now, r) })
}

// SetStrategy changes which object is fetched first.
func (c *Collection) SetStrategy(s Strategy) error {
	return c.do(func(clock.Time) error { c.core.SetStrategy(s); return nil })
}

// SetReader tells where the reader is, from which LowestFirst goes on.
func (c *Collection) SetReader(index uint64) error {
	return c.do(func(clock.Time) error { c.core.SetReader(index); return nil })
}

// CollectionStats is a snapshot of a collection at this node.
type CollectionStats struct {
	Have, Want uint64 // objects
	Holders    int    // neighbors that have some
	Wanters    int    // neighbors that want some
}

// Stats returns a snapshot.
func (c *Collection) Stats() CollectionStats {
	var s CollectionStats
	_ = c.do(func(clock.Time) error {
		s.Have, s.Want = c.core.Have(), c.core.Want()
		s.Holders, s.Wanters = c.core.Sources()
		return nil
	})
	return s
}

// Close closes the collection. Requests that wait are denied.
func (c *Collection) Close() error {
	err := c.do(func(now clock.Time) error {
		c.core.Close(now)
		c.group.collections = slices.DeleteFunc(c.group.collections, func(x *Collection) bool { return x == c })
		return nil
	})
	c.box.end(ErrClosed)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return err
}

// Events returns what happens to the collection's objects until ctx ends, the
// collection is closed, or the group is left; either ends it with an error. It
// has one reader. While he is slow nothing more is fetched, and neighbors wait.
func (c *Collection) Events(ctx context.Context) iter.Seq2[ObjectEvent, error] {
	return func(yield func(ObjectEvent, error) bool) {
		for {
			ev, _, err := c.box.wait(ctx)
			if err != nil {
				yield(ObjectEvent{}, fmt.Errorf("objects: %w", err))
				return
			}
			if n, bytes := c.box.size(); n == objectQueue/2 || bytes <= objectQueueBytes/2 && bytes+len(ev.Data) > objectQueueBytes/2 {
				_ = c.do(func(now clock.Time) error { c.core.Pause(now, false); return nil })
			}
			if !yield(ev, nil) {
				return
			}
		}
	}
}

// Answer sends the object that was requested.
func (ev ObjectEvent) Answer(data []byte) error {
	return ev.c.do(func(now clock.Time) error { return ev.c.group.core.objects.Answer(now, ev.request, data) })
}

// Deny tells the neighbor that it will not get it. It may ask again.
func (ev ObjectEvent) Deny() error {
	return ev.c.do(func(now clock.Time) error { return ev.c.group.core.objects.Deny(now, ev.request) })
}

// Bad tells that what was fetched is not what it should be. It is wanted again,
// and not of that neighbor.
func (ev ObjectEvent) Bad() error {
	return ev.c.do(func(now clock.Time) error { ev.c.core.Bad(now, ev.Index, ev.link); return nil })
}

// deliverObjects moves events from the core to those who read them.
func (g *Group) deliverObjects(now clock.Time) {
	if g.core.objects == nil {
		return
	}
	for {
		if g.files != nil && g.files.full() {
			return // the workers bring us back
		}
		ev, ok := g.core.objects.NextEvent()
		if !ok {
			return
		}
		if g.files != nil && g.files.take(ev) {
			continue
		}
		i := slices.IndexFunc(g.collections, func(c *Collection) bool { return c.core == ev.Collection })
		if i < 0 {
			continue
		}
		c := g.collections[i]
		c.box.add(ObjectEvent{
			Kind: ObjectEventKind(ev.Kind), Index: ev.Index, Data: ev.Data, Peer: PeerID(ev.Peer),
			c: c, link: ev.Link, request: ev.Request,
		}, len(ev.Data))
		if n, bytes := c.box.size(); n >= objectQueue || bytes >= objectQueueBytes {
			c.core.Pause(now, true)
		}
	}
}
