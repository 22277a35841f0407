package group

import (
	"testing"
	"time"
)

// strangers returns two members that are not linked with each other.
func (n *simNet) strangers() (a, b *simNode) {
	for {
		a, b = n.anybody(nil), n.anybody(nil)
		if a != b && !a.g.Linked(b.peer) {
			return a, b
		}
	}
}

// A member that is pinned becomes a neighbor wherever it is, and stays one as
// long as the pin holds and something goes over the link, although neither end
// would choose it.
func TestPin(t *testing.T) {
	n := newSimNet(t, 3)
	grow(n, 130, 50*time.Millisecond)
	n.run(30 * time.Second)
	for i := range 20 {
		a, b := n.strangers()
		began := n.now
		if !a.g.Pin(n.now, b.peer, time.Minute) {
			t.Fatalf("pair %d: the pin was refused", i)
		}
		a.turn()
		for n.now.Sub(began) < 10*time.Second && !a.g.Linked(b.peer) {
			n.run(10 * time.Millisecond)
		}
		if !a.g.Linked(b.peer) || !b.g.Linked(a.peer) {
			t.Errorf("pair %d: not linked after 10 s: %d and %d neighbors, limit %d, %d refused, %+v", i, a.g.NeighborCount(), b.g.NeighborCount(), b.g.Limit(), b.g.stats.PeeringsRefused, a.g.pins)
			continue
		}
		if took := n.now.Sub(began); took > 3*time.Second {
			t.Errorf("pair %d: linked after %v", i, took)
		}
		// Something goes over it, the far end is told by its own service.
		for range 50 {
			if m := b.g.book.get(a.peer); m != nil && m.link != nil {
				b.g.Hold(n.now, m.link.id)
			}
			n.run(time.Second)
		}
		if !a.g.Linked(b.peer) {
			t.Errorf("pair %d: the link was given up in use", i)
		}
		if len(b.g.held) > maxHeld {
			t.Errorf("%d links held", len(b.g.held))
		}
	}
	for _, x := range n.live {
		if have := x.g.NeighborCount(); have > x.g.Limit()+2*ringSide+guests+heldGuest {
			t.Errorf("node %d has %d neighbors, limit %d", x.index, have, x.g.Limit())
		}
		checkCounts(t, x.index, x.g)
	}
}

// Pins are bounded, end by themselves, and one of a member that is gone costs
// a few questions.
func TestPinBounds(t *testing.T) {
	n := newSimNet(t, 2)
	grow(n, 60, 50*time.Millisecond)
	n.run(30 * time.Second)
	a := n.live[0]
	before := a.g.stats.Finds
	for i := range a.g.cfg.MaxPinned + 3 {
		if got := a.g.Pin(n.now, PeerID{1, byte(i)}, time.Minute); got != (i < a.g.cfg.MaxPinned) {
			t.Errorf("pin %d: %v", i, got)
		}
	}
	if !a.g.Pin(n.now, PeerID{1, 0}, 2*time.Minute) {
		t.Error("a pin that is there could not be prolonged")
	}
	if a.g.Pin(n.now, a.peer, time.Minute) {
		t.Error("pinned itself")
	}
	a.turn()
	n.run(70 * time.Second)
	if got, most := a.g.stats.Finds-before, uint64(pinAsks*a.g.cfg.MaxPinned+10); got > most {
		t.Errorf("%d questions for members that are not there, want at most %d", got, most)
	}
	if a.g.stats.PinsRefused != 3 {
		t.Errorf("%d refused, want 3", a.g.stats.PinsRefused)
	}
	if !a.g.Pin(n.now, PeerID{2}, time.Minute) || len(a.g.pins) != 2 {
		t.Errorf("%d pins after their time, want that which was prolonged and a new one", len(a.g.pins))
	}
	a.g.Unpin(n.now, PeerID{1, 0})
	a.g.Unpin(n.now, PeerID{2})
	if len(a.g.pins) != 0 {
		t.Errorf("%d pins left", len(a.g.pins))
	}
}

// A member is met by way of one that both are linked with, without a question to the ring.
func TestMeet(t *testing.T) {
	n := newSimNet(t, 4)
	grow(n, 60, 50*time.Millisecond)
	n.run(30 * time.Second)
	met := 0
	for range 10 {
		a, b := n.strangers()
		for _, c := range n.live {
			if !a.g.Linked(c.peer) || !b.g.Linked(c.peer) {
				continue
			}
			before := a.g.stats
			if !a.g.Meet(n.now, b.peer, a.g.book.get(c.peer).link.id, 10*time.Second) {
				t.Fatal("refused")
			}
			a.turn()
			n.run(2 * time.Second)
			if !a.g.Linked(b.peer) || a.g.stats.Finds != before.Finds {
				t.Errorf("linked %v, after %d questions", a.g.Linked(b.peer), a.g.stats.Finds-before.Finds)
			}
			met++
			break
		}
	}
	if met < 5 {
		t.Errorf("only %d had somebody in common", met)
	}
}
