package group

import (
	"testing"
	"time"
)

// Links that break by themselves make ghosts, too. When these answer, nobody is
// alarmed, for the group was whole all the time.
func TestBrokenLinksAlarmNobody(t *testing.T) {
	n := settledNet(t, 5, 60, time.Minute)
	type pair struct{ a, b *simNode }
	broken := map[pair]bool{}
	for range 200 {
		x := n.live[n.rng.IntN(len(n.live))]
		l := x.g.neighbors[n.rng.IntN(len(x.g.neighbors))]
		if y := n.byPeer[l.peer]; !l.member.forRing && len(broken) < 20 {
			broken[pair{x, y}], broken[pair{y, x}] = true, true
		}
	}
	n.cut = func(a, b *simNode) bool { return broken[pair{a, b}] }
	n.run(40 * time.Second)
	clear(broken)
	n.run(6 * time.Minute)
	var silent, back, heals uint64
	for _, x := range n.live {
		s := x.g.Stats()
		silent, back, heals = silent+s.NeighborsSilent, back+s.GhostsBack, heals+s.Heals
	}
	if silent == 0 || back == 0 {
		t.Fatalf("%d neighbors lost, %d back: nothing was tried", silent, back)
	}
	if heals > 0 || n.spent[msgHeal] > 0 {
		t.Errorf("%d ghosts came back, and %d times the group was alarmed", back, heals)
	}
}

// After an outage in which nobody reached anybody, each is a part of its own,
// and all find together again.
func TestOutageOfAll(t *testing.T) {
	n := settledNet(t, 6, 60, 20*time.Second)
	out := true
	n.cut = func(a, b *simNode) bool { return out }
	n.run(time.Minute)
	if n.largest() != 1 {
		t.Fatal("some are linked all the same")
	}
	out = false
	since := n.now
	for n.run(time.Second); n.wrongRing(ringSide) > 0; n.run(time.Second) {
		if n.now.Sub(since) > time.Minute {
			t.Fatalf("after %v: %v", n.now.Sub(since), n)
		}
	}
	t.Logf("one ring after %v", n.now.Sub(since))
}
