package simulations

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/replication"
)

// copies is a group at message level whose members exchange one file.
type copies struct {
	*population
	id     replication.CollectionID
	blocks uint64
	at     map[*Member]*replication.Collection
	done   map[*Member]clock.Time
}

func newCopies(t testing.TB, seed uint64, members int, blocks uint64) *copies {
	c := &copies{
		population: newPopulation(t, seed, group.SpecFields{Replication: true}), id: replication.CollectionID{7},
		blocks: blocks, at: map[*Member]*replication.Collection{}, done: map[*Member]clock.Time{},
	}
	c.gather(members, 100)
	for _, m := range c.alive {
		c.serve(m)
	}
	c.w.Run(30 * time.Second)
	return c
}

// serve has a member answer as the node's workers do.
func (c *copies) serve(m *Member) {
	drain := m.OnTurn
	m.OnTurn = func(now clock.Time) {
		drain(now)
		objects := m.Group.Objects(now)
		for ev, ok := objects.NextEvent(); ok; ev, ok = objects.NextEvent() {
			switch ev.Kind {
			case replication.Requested:
				_ = objects.Answer(now, ev.Request, c.block(ev.Index))
			case replication.Fetched:
				if !bytes.Equal(ev.Data, c.block(ev.Index)) {
					c.t.Errorf("block %d is wrong", ev.Index)
				}
				_ = ev.Collection.AddHave(now, replication.Range{Start: ev.Index, End: ev.Index + 1})
				if ev.Collection.Have() == c.blocks {
					c.done[m] = now
					m.Group.FileChanged(now, ev.Collection)
				}
			}
		}
	}
}

func (c *copies) block(i uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), i)
}

func (c *copies) open(now clock.Time, m *Member) *replication.Collection {
	x, err := m.Group.OpenFile(now, c.id)
	if err != nil {
		c.t.Fatal(err)
	}
	c.at[m] = x
	return x
}

// share gives a member the whole file.
func (c *copies) share(m *Member) {
	c.w.Do(m, func(now clock.Time) {
		if err := c.open(now, m).AddHave(now, replication.Range{Start: 0, End: c.blocks}); err != nil {
			c.t.Fatal(err)
		}
	})
}

// get has a member fetch it.
func (c *copies) get(m *Member) {
	c.w.Do(m, func(now clock.Time) {
		x := c.open(now, m)
		if err := x.AddWant(now, replication.Range{Start: 0, End: c.blocks}); err != nil {
			c.t.Fatal(err)
		}
		m.Group.FileChanged(now, x)
	})
}

func linkedWith(a, b *Member) bool { return a.Group.Group().Linked(b.Group.Self()) }

// far returns members that are no neighbors of any of those given, nor of each
// other.
func (c *copies) far(from *Member, count int) (list []*Member) {
	for _, m := range c.alive {
		if m == from || linkedWith(m, from) || slices.ContainsFunc(list, func(x *Member) bool { return linkedWith(x, m) }) {
			continue
		}
		if list = append(list, m); len(list) == count {
			return list
		}
	}
	c.t.Fatalf("only %d members that are not linked", len(list))
	return nil
}

// In a group of many, a file that one member has is found by others none of
// whose neighbors has it, and then of each other.
func TestFileFarAway(t *testing.T) {
	for seed := range uint64(*flagSeeds) {
		fileFarAway(t, seed+1)
	}
}

func fileFarAway(t *testing.T, seed uint64) {
	c := newCopies(t, seed, max(*flagMembers, 130), 40)
	holder := c.alive[60]
	c.share(holder)
	c.w.Run(5 * time.Second) // it is announced
	if s := holder.Group.SourceStats(); s.Announced != 1 {
		t.Fatalf("holder: %+v", s)
	}
	far := c.far(holder, 3)
	for i, m := range far {
		began := c.w.Now()
		c.get(m)
		for c.done[m] == 0 && c.w.Now().Sub(began) < time.Minute {
			c.w.Run(100 * time.Millisecond)
		}
		if c.done[m] == 0 {
			t.Fatalf("member %d does not have the file after a minute: %+v", m.Number(), m.Group.SourceStats())
		}
		t.Logf("seed %d: member %d of %d has it after %v", seed, m.Number(), len(c.alive), c.done[m].Sub(began).Round(time.Millisecond))
		if took := c.done[m].Sub(began); took > 10*time.Second {
			t.Errorf("member %d took %v", m.Number(), took)
		}
		if i == 1 {
			c.kill(slices.Index(c.alive, holder)) // from then on the others are it
			c.w.Run(10 * time.Second)
		}
	}
}

// Nobody seeks what neighbors have, and nothing is announced of a file that is
// empty here.
func TestFileNearby(t *testing.T) {
	c := newCopies(t, 2, 40, 10)
	holder := c.alive[20]
	var near []*Member
	for _, m := range c.alive {
		if linkedWith(holder, m) {
			near = append(near, m)
		}
	}
	c.share(holder)
	for _, m := range near[:4] {
		c.share(m)
	}
	var reader *Member
	for _, m := range c.alive {
		if n := len(slices.DeleteFunc(slices.Clone(near[:4]), func(x *Member) bool { return !linkedWith(m, x) })); n >= 3 && c.at[m] == nil {
			reader = m
		}
	}
	if reader == nil {
		t.Fatal("nobody has three holders among its neighbors")
	}
	c.get(reader)
	c.w.Run(10 * time.Second)
	if s := reader.Group.SourceStats(); c.done[reader] == 0 || s.Sought != 0 || s.Announced != 1 {
		t.Errorf("done %v, %+v", c.done[reader], s)
	}
	idle := c.far(holder, 1)[0]
	c.w.Do(idle, func(now clock.Time) { c.open(now, idle) })
	c.w.Run(30 * time.Second)
	if s := idle.Group.SourceStats(); s.Announced != 0 || s.Sought != 0 {
		t.Errorf("one that neither has nor wants: %+v", s)
	}
}
