package group

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// seeded makes a node without an introducer that knows some members to begin with.
func (n *testNet) seeded(seeds ...*testNode) *testNode {
	x := n.add(nil)
	x.input(func(g *Group, now clock.Time) {
		for _, s := range seeds {
			g.AddSeed(now, s.peer, addressOf(s))
		}
	})
	return x
}

// Several ways into a group are tried at once; the first that works is enough,
// and the others are left alone.
func TestSeeds(t *testing.T) {
	net := start(t, 21, 20, 10*time.Millisecond)
	net.run(20 * time.Second)
	dead := []*testNode{net.nodes[4], net.nodes[5], net.nodes[6]}
	for _, y := range dead {
		y.kill()
	}
	net.run(20 * time.Second)
	x := net.seeded(append(dead, net.nodes[8], net.nodes[9])...)
	took := net.until(5*time.Second, "a neighbor by a seed", func() bool { return x.g.NeighborCount() > 0 })
	if took > 4*rtt {
		t.Errorf("in the group after %v, want %v or less", took, 4*rtt)
	}
	net.run(2 * time.Minute)
	net.check()
	for _, y := range dead {
		if x.g.book.get(y.peer) != nil {
			t.Errorf("node %d, which is dead, is still believed in", y.index)
		}
	}
	if got := x.g.Stats().SeedsCalled; got != 5 {
		t.Errorf("%d calls of seeds, want one to each of the five", got)
	}
	if all, untried := x.g.Seeds(); all != 5 || untried != 5 {
		t.Errorf("%d seeds, %d untried since there were neighbors; want 5 of both", all, untried)
	}
	// Who loses everybody begins anew.
	for _, y := range net.members() {
		if e := x.endTo(y); e != nil {
			far := e.far
			e.down()
			far.down()
		}
	}
	if x.g.NeighborCount() != 0 {
		t.Fatalf("%d neighbors are left", x.g.NeighborCount())
	}
	net.until(5*time.Second, "back in the group", func() bool { return x.g.NeighborCount() > 3 })
}

// Seeds that do not answer are dialed less and less often, and found when they
// are back; there may be more of them than are remembered.
func TestSeedsBackOff(t *testing.T) {
	net := newTestNet(t, 22, rtt)
	var absent []*testNode
	for range maxSeeds + 6 {
		y := net.add(nil)
		y.alive = false
		absent = append(absent, y)
	}
	x := net.seeded(absent...)
	if all, untried := x.g.Seeds(); all != maxSeeds || untried == 0 {
		t.Errorf("%d seeds of which %d untried, want %d", all, untried, maxSeeds)
	}
	if got := x.g.Stats().SeedsForgotten; got != 6 {
		t.Errorf("%d seeds forgotten, want 6", got)
	}
	net.run(time.Minute)
	if _, untried := x.g.Seeds(); untried != 0 {
		t.Errorf("%d untried after a minute", untried)
	}
	net.run(9 * time.Minute)
	before := x.g.Stats().Dials
	net.run(10 * time.Minute)
	if got := (x.g.Stats().Dials - before) / maxSeeds; got > 24 {
		t.Errorf("each was dialed %d times in ten minutes, want at most two in a row ten or twelve times", got)
	}
	back := absent[len(absent)-1]
	back.alive = true
	back.wake = clock.Never
	back.turn()
	net.until(2*time.Minute, "the one that is back is found", func() bool { return x.g.NeighborCount() == 1 })
}

// The groupspec alone is enough where it says where bootstrap peers are.
func TestBootstrapAddr(t *testing.T) {
	net := newTestNet(t, 23, rtt)
	first := net.add(nil)
	f := testSpec.SpecFields
	f.BootstrapAddrs = []BootstrapAddr{{Peer: first.peer}}
	for _, a := range addressOf(first) {
		f.BootstrapAddrs[0].Addrs = append(f.BootstrapAddrs[0].Addrs, a.AddrPort)
	}
	spec := mustSpec(f)
	if spec.ID() != testSpec.ID() {
		t.Error("an address of a bootstrap peer makes another group")
	}
	for range 5 {
		net.add(func(c *Config) { c.Spec = spec })
	}
	net.until(5*time.Second, "a full mesh", func() bool { return net.fullMesh() })
	net.check()

	for _, text := range []string{"", "12", "x@1.2.3.4:5", first.peerText() + "@nowhere", first.peerText() + "@0.0.0.0:1", first.peerText() + "@1.2.3.4:0"} {
		if _, err := ParseBootstrapAddr(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	b, err := ParseBootstrapAddr(first.peerText() + "@1.2.3.4:5,[2001:db8::1]:7")
	if err != nil || len(b.Addrs) != 2 || b.String() != first.peerText()+"@1.2.3.4:5,[2001:db8::1]:7" {
		t.Errorf("got %v, %v", b, err)
	}
}

func (x *testNode) peerText() string { return BootstrapAddr{Peer: x.peer}.String()[:64] }
