package group

import (
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/internal/element"
	"rtmfp/ring"
)

// A newcomer dials few until it is told its place, and has found it only when
// those next to it have it for a neighbor.
func TestNewcomerWaits(t *testing.T) {
	n := settledNet(t, 3, 60, 20*time.Second)
	for range 5 {
		x := n.add(n.introducer())
		most := 0
		for since := n.now; !x.g.Settled(); {
			n.run(5 * time.Millisecond)
			if !x.g.placed {
				most = max(most, len(x.g.introducers)+int(x.g.stats.Dials)) // others may dial it
			}
			if n.now.Sub(since) > 5*time.Second {
				t.Fatal("a newcomer has not found its place after 5 s")
			}
		}
		if most > footholds {
			t.Errorf("%d introducers and dials before it knew its place, want at most %d", most, footholds)
		}
		set := n.sorted()
		at, _ := set.Search(x.g.self)
		for _, next := range []*simNode{set.At(at + 1).Value, set.At(at - 1).Value} {
			if m := next.g.book.get(x.peer); m == nil || m.link == nil || !m.link.up {
				t.Errorf("node %d has settled, but its neighbor %d is not linked with it", x.index, next.index)
			}
		}
		n.run(5 * time.Second)
	}
	if wrong := n.wrongRing(ringSide); wrong > 0 {
		t.Errorf("%d members lack a ring neighbor", wrong)
	}
}

// Who had no room is not chosen for a while.
func TestFullIsLeftAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	g := settled(rng)
	other := func() (m *member) {
		var f fingers
		g.survey(0, &f)
		for s := range f {
			for r := range f[s] {
				if o := f[s][r].other; o != nil {
					return o
				}
			}
		}
		return nil
	}
	m := other()
	if m == nil {
		t.Fatal("nobody to choose")
	}
	g.leaveAlone(0, topOf(m.addr), fullFor)
	g.leaveAlone(0, topOf(m.addr), fullFor)
	var f fingers
	g.survey(0, &f)
	for s := range f {
		for _, p := range f[s] {
			if p.other == m {
				t.Error("a member without room is chosen")
			}
		}
	}
	if len(g.spared) != 1 || g.isSpared(1<<50, topOf(m.addr)) {
		t.Errorf("%d members remembered, want 1, and not forever", len(g.spared))
	}
	for range 2 * maxSpared {
		g.leaveAlone(0, topOf(ring.OfPeer(randomPeer(rng))), fullFor)
	}
	if len(g.spared) != maxSpared {
		t.Errorf("%d members remembered, want %d", len(g.spared), maxSpared)
	}
}

// Neighbors hear of it when the addresses of a member change: notices do not
// repeat them.
func TestAddressesChange(t *testing.T) {
	n := settledNet(t, 1, 16, 10*time.Second)
	x := n.live[3]
	addr := element.Address{AddrPort: n.live[5].addr, Origin: element.OriginLocal}
	x.g.SetAddresses(n.now, []element.Address{addr})
	x.turn()
	n.run(2 * time.Second)
	for _, l := range x.g.neighbors {
		m := n.byPeer[l.peer].g.book.get(x.peer)
		if m == nil || !hasAddress(m.addresses, addr) {
			t.Errorf("node %d has not heard of the new address", n.byPeer[l.peer].index)
		}
	}
}
