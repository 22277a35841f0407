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
