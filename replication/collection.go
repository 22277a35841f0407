package replication

import (
	"errors"
	"fmt"
	"slices"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// CollectionID names a collection. The zero id is the application's own.
type CollectionID [32]byte

// Strategy says which of the objects that could be fetched is fetched first.
type Strategy uint8

// Strategies.
const (
	// RarestFirst fetches what the fewest neighbors have, so that it spreads.
	RarestFirst Strategy = iota
	// LowestFirst fetches the lowest index from the reader's position on, so
	// that it can be used while the rest is on its way.
	LowestFirst
)

// ErrRange says that a range has indexes above MaxIndex, or no end behind its
// start.
var ErrRange = errors.New("indexes are whole numbers from 0 to 2^53")

// ErrTooMany says that there are as many collections as there may be.
var ErrTooMany = errors.New("too many collections are open")

// ErrOpen says that a collection is open already.
var ErrOpen = errors.New("the collection is open already")

// Collection is a set of numbered objects that this node has, wants, or both.
type Collection struct {
	s        *Service
	id       CollectionID
	number   uint64
	strategy Strategy
	reader   uint64

	have, want Set
	free       Set // wanted and not asked for
	fresh      Set // of have, not sent to anybody yet
	came, went Set // of have, not told yet
	listed     bool
	closed     bool
	paused     bool

	first   map[uint64]*neighbor  // to whom the only copy of an object went
	sources []*interest           // of neighbors, in the order in which they came
	told    map[group.LinkID]bool // neighbors that know of it
	asked   map[uint64]*ask
	size    int // of the object that came last
}

// Open opens a collection with nothing in it.
func (s *Service) Open(now clock.Time, id CollectionID, strategy Strategy) (*Collection, error) {
	if s.collections[id] != nil {
		return nil, ErrOpen
	}
	if len(s.collections) >= s.cfg.MaxCollections {
		s.stats.Refused.Collections++
		return nil, fmt.Errorf("%w, %d at most", ErrTooMany, s.cfg.MaxCollections)
	}
	s.lastNumber++
	c := &Collection{s: s, id: id, number: s.lastNumber, strategy: strategy,
		told: map[group.LinkID]bool{}, asked: map[uint64]*ask{}, first: map[uint64]*neighbor{}}
	s.collections[id] = c
	for _, n := range s.neighbors {
		if it := n.interestOf(id); it != nil {
			it.c = c
			c.sources = append(c.sources, it)
		}
	}
	return c, nil
}

// ID returns the collection's name.
func (c *Collection) ID() CollectionID { return c.id }

// Has, Wants, Have, and Want tell what is in the sets.
func (c *Collection) Has(i uint64) bool { return c.have.Has(i) }

// Wants reports whether an object is wanted.
func (c *Collection) Wants(i uint64) bool { return c.want.Has(i) }

// Have returns the number of objects that this node has.
func (c *Collection) Have() uint64 { return c.have.Count() }

// Want returns the number of objects that are wanted.
func (c *Collection) Want() uint64 { return c.want.Count() }

// Sources returns the number of neighbors that have some of what is wanted,
// and of those who want something.
func (c *Collection) Sources() (have, want int) {
	for _, it := range c.sources {
		if !it.has.Empty() {
			have++
		}
		if it.wants {
			want++
		}
	}
	return have, want
}

// Copies returns how many neighbors have an object.
func (c *Collection) Copies(i uint64) int {
	n := 0
	for _, it := range c.sources {
		if it.has.Has(i) {
			n++
		}
	}
	return n
}

func (r Range) check() error {
	if r.Start >= r.End || r.End > MaxIndex+1 {
		return fmt.Errorf("%w: [%d, %d) is none", ErrRange, r.Start, r.End)
	}
	return nil
}

// SetStrategy changes what is fetched first from now on.
func (c *Collection) SetStrategy(strategy Strategy) { c.strategy = strategy }

// SetSize tells how large an object is taken to be before the first has come.
func (c *Collection) SetSize(n int) { c.size = max(c.size, n) }

// Reader returns where the reader is.
func (c *Collection) Reader() uint64 { return c.reader }

// SetReader tells where the reader is, for LowestFirst.
func (c *Collection) SetReader(i uint64) { c.reader = i }

// Pause says whether the collection's events are to wait: nothing is asked for,
// and no request is handed to the application.
func (c *Collection) Pause(now clock.Time, on bool) {
	if c.paused == on || c.closed {
		return
	}
	c.paused = on
	c.s.hungry = true
	for _, n := range c.s.neighbors {
		if c.told[n.link] {
			c.s.tellOpen(now, n, c)
		}
	}
	if !on {
		c.useful(now)
	}
}

// useful tells neighbors that have something that is wanted.
func (c *Collection) useful(now clock.Time) {
	for _, it := range c.sources {
		if it.useful() {
			c.s.beKeen(now, it.n)
		}
	}
}

// useful reports whether the neighbor has something that may be asked for.
func (it *interest) useful() bool {
	_, ok := nextBoth(&it.has, &it.c.free, 0)
	return ok && !it.paused && !it.c.paused
}

// AddHave tells that this node has objects, those that it has fetched among
// them, and will answer requests for them. They are wanted no more.
func (c *Collection) AddHave(now clock.Time, r Range) error {
	if err := r.check(); err != nil {
		return err
	}
	if c.closed {
		return nil
	}
	first := c.have.Empty()
	c.have.Add(r)
	c.fresh.Add(r)
	c.went.Remove(r)
	c.came.Add(r)
	c.dropWant(now, r)
	c.changed(now)
	if first { // somebody waits to hear whether there is anything
		c.s.arm(&c.s.news, now)
	}
	return nil
}

// RemoveHave tells that this node has objects no more.
func (c *Collection) RemoveHave(now clock.Time, r Range) error {
	if err := r.check(); err != nil {
		return err
	}
	if c.closed {
		return nil
	}
	for at := r.Start; ; {
		run, ok := c.have.NextRange(at)
		if !ok || run.Start >= r.End {
			break
		}
		run.End = min(run.End, r.End)
		c.went.Add(run)
		at = run.End
	}
	c.came.Remove(r)
	c.have.Remove(r)
	c.fresh.Remove(r)
	c.changed(now)
	return nil
}

// AddWant has objects fetched that this node does not have.
func (c *Collection) AddWant(now clock.Time, r Range) error {
	if err := r.check(); err != nil {
		return err
	}
	if c.closed {
		return nil
	}
	began := c.want.Empty()
	for at := r.Start; at < r.End; {
		gap := c.have.nextGap(at)
		end := r.End
		if next, ok := c.have.Next(gap); ok {
			end = min(end, next)
		}
		if gap < end {
			c.want.Add(Range{gap, end})
			c.free.Add(Range{gap, end})
		}
		at = max(end, gap)
	}
	for i, ok := c.free.Next(r.Start); ok && i < r.End && len(c.asked) > 0; i, ok = c.free.Next(i + 1) {
		if c.asked[i] != nil {
			c.free.Remove(Range{i, i + 1})
		}
	}
	if began && !c.want.Empty() {
		c.changed(now)
		for _, n := range c.s.neighbors {
			c.s.tellOpen(now, n, c)
		}
	}
	c.useful(now)
	return nil
}

// RemoveWant has objects not fetched. What is on its way is not delivered.
func (c *Collection) RemoveWant(now clock.Time, r Range) error {
	if err := r.check(); err != nil {
		return err
	}
	c.dropWant(now, r)
	return nil
}

func (c *Collection) dropWant(now clock.Time, r Range) {
	if c.want.Empty() {
		return
	}
	for at := r.Start; at < r.End; {
		i, ok := c.want.Next(at)
		if !ok || i >= r.End {
			break
		}
		if a := c.asked[i]; a != nil {
			c.s.cancel(now, a)
		} else if len(c.asked) == 0 {
			break
		}
		at = i + 1
	}
	c.want.Remove(r)
	c.free.Remove(r)
	if c.want.Empty() {
		for _, n := range c.s.neighbors {
			if c.told[n.link] {
				c.s.tellOpen(now, n, c)
			}
		}
	}
}

// changed has neighbors told soon.
func (c *Collection) changed(now clock.Time) {
	s := c.s
	if !c.listed {
		c.listed = true
		s.wanting = append(s.wanting, c)
	}
	if c.came.Count()+c.went.Count() >= haveBatch {
		s.arm(&s.news, now)
	} else {
		s.arm(&s.news, now.Add(haveDelay))
	}
}

// Close closes the collection. Requests that wait for an answer are denied.
func (c *Collection) Close(now clock.Time) {
	s := c.s
	if c.closed {
		return
	}
	c.dropWant(now, Range{0, MaxIndex + 1})
	c.closed = true
	c.soleGone(nil)
	delete(s.collections, c.id)
	s.wanting = slices.DeleteFunc(s.wanting, func(x *Collection) bool { return x == c })
	for _, it := range c.sources {
		it.c = nil
	}
	for _, n := range s.neighbors {
		if c.told[n.link] {
			s.sendControl(now, n, element.AppendVLU(append(s.scratch[:0], msgClose), c.number))
		}
	}
	c.sources = nil
	s.denyAll(now, c)
}

func (c *Collection) removeSource(it *interest) {
	c.sources = slices.DeleteFunc(c.sources, func(x *interest) bool { return x == it })
}
