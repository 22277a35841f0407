package group

import (
	"testing"
	"time"
)

// The next three on either side of a member that dies all know it within
// seconds, though only the first of them watches it, and it is in nobody's
// table yet. Who does not know counts it among its next three, and may part
// from one of these.
func TestDeathOnTheRing(t *testing.T) {
	n := settledNet(t, 2673, 40, 30*time.Second)
	for range 10 {
		x := n.add(n.introducer())
		for since := n.now; !x.g.Settled(); n.run(50 * time.Millisecond) {
			if n.now.Sub(since) > 5*time.Second {
				t.Fatal("a newcomer has not found its place after 5 s")
			}
		}
		n.run(3 * time.Second)
		set := n.sorted()
		at, _ := set.Search(x.g.self)
		n.kill(x)
		n.run(6 * time.Second)
		for k := 1; k <= ringSide; k++ {
			for _, y := range []*simNode{set.At(at + k).Value, set.At(at - k).Value} {
				if m := y.g.book.get(x.peer); m != nil && m.link != nil {
					t.Errorf("node %d, %d places from node %d, has not noticed its death", y.index, k, x.index)
				}
			}
		}
	}
	if wrong := n.wrongRing(ringSide); wrong > 0 {
		t.Errorf("%d members lack a ring neighbor", wrong)
	}
}

// A newcomer dies while its next three on either side make a peering with it.
// Until that is given up it keeps none of them from wanting the third of those that
// are there.
func TestDeathWhilePeering(t *testing.T) {
	n := settledNet(t, 2147, 40, 30*time.Second)
	seen := 0
	for range 20 {
		x := n.add(n.introducer())
		set := n.sorted()
		at, _ := set.Search(x.g.self)
		// a begins to peer with it, and z is the third beyond it.
		var a, z *simNode
		for since := n.now; a == nil; n.run(5 * time.Millisecond) {
			if n.now.Sub(since) > 5*time.Second {
				t.Fatal("nobody peers with the newcomer")
			}
			for k := 1; k <= ringSide && a == nil; k++ {
				for _, dir := range []int{1, -1} {
					y := set.At(at + dir*k).Value
					if m := y.g.book.get(x.peer); m != nil && m.link != nil && !m.link.up {
						a, z = y, set.At(at-dir*(ringSide-k+1)).Value
					}
				}
			}
		}
		n.kill(x)
		for since := n.now; n.now.Sub(since) < 8*time.Second; n.run(50 * time.Millisecond) {
			m := a.g.book.get(x.peer)
			if m == nil || m.link == nil || m.link.up {
				break // it was given up, or what came of it after its death made it a neighbor
			}
			seen++
			if m := a.g.book.get(z.peer); m == nil || m.link == nil || !m.link.up || !m.wanted {
				t.Errorf("%v after the death of node %d, node %d does not want node %d any more", n.now.Sub(since), x.index, a.index, z.index)
				break
			}
		}
		n.run(10 * time.Second)
	}
	if seen < 50 {
		t.Errorf("looked at it %d times only", seen)
	}
}

// Where something is sent, a neighbor that gives no sign of life is suspected after
// a few round trips and given up soon after; one that does is kept.
func TestSuspicionWhereSent(t *testing.T) {
	n := settledNet(t, 5, 60, 40*time.Second)
	for i := range 20 {
		dies := i%2 == 0
		x := n.live[n.rng.IntN(len(n.live))]
		var l *link
		for _, other := range x.g.neighbors {
			if !other.watched { // those that are watched are pinged all the time
				l = other
			}
		}
		y := n.byPeer[l.peer]
		if dies {
			n.kill(y)
		}
		wait := x.g.hopWait(l)
		at, rtt, lost := n.now, x.RTT(l.id), x.g.stats.NeighborsSilent
		x.g.Sent(n.now, l.id)
		x.turn()
		n.run(wait - time.Millisecond)
		if !dies && l.suspected != 0 {
			t.Errorf("node %d suspects node %d after %v", x.index, y.index, n.now.Sub(at))
		}
		n.run(2 * time.Millisecond)
		if l.up && l.suspected == 0 {
			t.Errorf("node %d does not suspect node %d after %v, %v round trip", x.index, y.index, n.now.Sub(at), rtt)
		}
		n.run(confirmTime + 2*rtt)
		switch {
		case dies && (l.up || x.g.stats.NeighborsSilent == lost):
			t.Errorf("node %d has not given up node %d after %v", x.index, y.index, n.now.Sub(at))
		case !dies && (!l.up || l.suspected != 0):
			t.Errorf("node %d gave up node %d, which lives", x.index, y.index)
		}
		n.run(10 * time.Second)
	}
}
