package simulations

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/node"
	"rtmfp/ring"
)

// gathering is a group on a network, and who of its members still runs.
type gathering struct {
	t       *testing.T
	net     *Network
	spec    *group.Spec
	members map[*Node]*node.GroupCore
	large   int // node.CoreConfig.LargeGroup
}

func newGathering(t *testing.T, seed uint64, f group.SpecFields) *gathering {
	t.Helper()
	f.Name = "gathering"
	spec, err := group.NewSpec(f)
	if err != nil {
		t.Fatal(err)
	}
	return &gathering{t: t, net: New(Config{Seed: seed}), spec: spec, members: map[*Node]*node.GroupCore{}}
}

// join adds a node that calls these as introducers.
func (g *gathering) join(introduce bool, lan bool, introducers ...*Node) *Node {
	g.t.Helper()
	n, err := g.net.AddNode(node.CoreConfig{Introduce: introduce, SimulatedCrypto: true, LargeGroup: g.large})
	if err != nil {
		g.t.Fatal(err)
	}
	if lan {
		n.Core.EnableLAN(n.Addr.Port())
	}
	g.net.Do(n, func(now clock.Time) {
		for _, i := range introducers {
			n.Core.AddBootstrap(now, "rtmfp://"+i.Addr.String(), addrs(i.Addr))
		}
		g.members[n] = n.Core.Join(now, g.spec)
	})
	return n
}

// stop ends nodes without a word.
func (g *gathering) stop(nodes ...*Node) {
	for _, n := range nodes {
		g.net.Stop(n)
		delete(g.members, n)
	}
}

// rings returns why the members are not one ring, "" if they are: each must be
// linked with the next on either side.
func (g *gathering) rings() string {
	var all ring.Set[*Node]
	for n := range g.members {
		all.Add(ring.OfPeer(n.Core.ID()), n)
	}
	for i := range all.Len() {
		n := all.At(i).Value
		views := g.members[n].Group().ViewNeighbors()
		if len(views) == 0 {
			return fmt.Sprintf("node %d has no neighbors", n.Number())
		}
		if up, down := views[0], views[len(views)-1]; up.Address != all.At(i+1).Addr || down.Address != all.At(i-1).Addr {
			return fmt.Sprintf("node %d is not linked with the next on either side", n.Number())
		}
	}
	return ""
}

// until runs until there is one ring, and returns how long that took.
func (g *gathering) until(limit time.Duration, what string) time.Duration {
	g.t.Helper()
	began := g.net.Now()
	for why := g.rings(); why != ""; why = g.rings() {
		if g.net.Now().Sub(began) >= limit {
			g.t.Fatalf("%s: not within %v: %s", what, limit, why)
		}
		g.net.Run(50 * time.Millisecond)
	}
	return g.net.Now().Sub(began)
}

// Introducers are members like others: several of them serve one group, a
// member stays in touch with a few, a running group does not notice that all of
// them die, and one that comes back knowing nobody is found by the group.
func TestIntroducersCooperate(t *testing.T) {
	g := newGathering(t, 31, group.SpecFields{Multicast: true, ServerChannel: true})
	var doors []*Node
	for range 5 {
		doors = append(doors, g.join(true, false, doors...))
		g.net.Run(time.Second)
	}
	for range 12 {
		g.join(false, false, doors...)
		g.net.Run(100 * time.Millisecond)
	}
	g.until(5*time.Second, "one ring of all")
	g.net.Run(time.Minute)
	for n := range g.members {
		if got := n.Core.Introducers(); got > 3 || got == 0 && n != doors[0] {
			t.Errorf("node %d is in touch with %d introducers, want 1 to 3", n.Number(), got)
		}
	}
	if why := g.rings(); why != "" {
		t.Errorf("after the introducers were let go: %s", why)
	}

	g.stop(doors...)
	g.until(15*time.Second, "one ring without the introducers")
	g.net.Run(2 * time.Minute)
	if why := g.rings(); why != "" {
		t.Errorf("without introducers: %s", why)
	}

	// It knows nobody, and has another identity than before.
	back := g.join(true, false)
	g.net.Move(back, doors[2].Addr)
	took := g.until(90*time.Second, "the introducer that is back finds its group")
	t.Logf("found after %v", took)
	g.join(false, false, back)
	g.until(10*time.Second, "a newcomer comes in through it")
}

// Members of a large group do not stay in touch with the introducer, which could not
// serve them all, but come back from time to time, and for good when few are left.
func TestLargeGroupSparesIntroducers(t *testing.T) {
	g := newGathering(t, 33, group.SpecFields{Multicast: true, ServerChannel: true})
	g.large = 20
	door := g.join(true, false)
	inTouch := func() (n int) {
		for m := range g.members {
			n += m.Core.Introducers()
		}
		return n
	}
	for range 39 {
		g.join(false, false, door)
		g.net.Run(100 * time.Millisecond)
	}
	g.until(5*time.Second, "one ring of all")
	if got := inTouch(); got != 39 {
		t.Errorf("at first %d of 39 are in touch with the introducer", got)
	}
	g.net.Run(65 * time.Second)
	if got := inTouch(); got != 0 {
		t.Errorf("a minute later %d are", got)
	}
	if why := g.rings(); why != "" {
		t.Error(why)
	}
	most := 0
	for range 25 {
		g.net.Run(30 * time.Second)
		most = max(most, inTouch())
	}
	if most == 0 || most > 20 {
		t.Errorf("in the next 12 minutes up to %d at a time, want some, and not all at once", most)
	}

	g.stop(g.net.Nodes()[1:31]...)
	g.until(15*time.Second, "one ring of those who are left")
	g.net.Run(time.Minute)
	if got := inTouch(); got != 9 {
		t.Errorf("when the group is small again %d of 9 are in touch", got)
	}
}

// A node tries all ways into a group at once: an introducer that does not
// answer, one that refuses, and members that it knows from before, some of whom
// are gone. The first that works is enough.
func TestSeveralWaysIn(t *testing.T) {
	g := newGathering(t, 32, group.SpecFields{Multicast: true, ServerChannel: true})
	first := g.join(true, false)
	var others []*Node
	for range 8 {
		others = append(others, g.join(false, false, first))
	}
	g.until(5*time.Second, "one ring")
	other := newGathering(t, 32, group.SpecFields{Multicast: true, ServerChannel: true, Unique: []byte("another group")})
	other.net = g.net
	stranger := other.join(true, false)
	gone := others[:3]
	g.stop(append(gone, first)...)
	g.until(15*time.Second, "one ring without them")

	x := g.join(false, false, first, stranger)
	g.net.Do(x, func(now clock.Time) {
		for _, y := range append(gone, others[5], others[6]) {
			g.members[x].Group().AddSeed(now, group.PeerID(y.Core.ID()), []element.Address{{AddrPort: y.Addr, Origin: element.OriginObserved}})
		}
	})
	took := g.until(5*time.Second, "in by the members that are left")
	t.Logf("in after %v", took)
	g.net.Run(time.Minute)
	if why := g.rings(); why != "" {
		t.Error(why)
	}
}

// Without any introducer members find each other on the local network, and only
// those of their own network and group. Packets show nothing of the group.
func TestLANGroup(t *testing.T) {
	g := newGathering(t, 33, group.SpecFields{Multicast: true, MemberUpdates: true})
	cable := func(n *Node, network string, on map[*Node]string) {
		on[n] = network
		n.OnTurn = func(now clock.Time) {
			for b, ok := n.Core.NextLAN(now, nil); ok; b, ok = n.Core.NextLAN(now, nil) {
				id := g.spec.ID()
				if bytes.Contains(b, id[:]) || bytes.Contains(b, []byte("gathering")) {
					t.Errorf("a packet shows the group: %x", b)
				}
				g.net.After(time.Millisecond, func() {
					for _, y := range g.net.Nodes() { // the sender hears itself, too
						if on[y] == on[n] && !y.Stopped() {
							g.net.Do(y, func(now clock.Time) { y.Core.HandleLAN(now, n.Addr.Addr(), bytes.Clone(b)) })
						}
					}
				})
			}
		}
	}
	on := map[*Node]string{}
	for i := range 12 {
		cable(g.join(false, true), "home", on)
		if i%4 == 3 {
			g.net.Run(2 * time.Second)
		}
	}
	g.until(5*time.Second, "one ring on the LAN")
	away := g.join(false, true)
	cable(away, "elsewhere", on)
	g.net.Run(time.Minute)
	if got := g.members[away].Group().NeighborCount(); got != 0 {
		t.Errorf("a node of another network has %d neighbors", got)
	}
	// It moves in, and asks within a minute.
	on[away] = "home"
	g.until(90*time.Second, "the one that moved in")
	packets := uint64(0)
	g.net.Run(time.Minute)
	for n := range g.members {
		packets -= n.Core.LANStats().Sent
	}
	g.net.Run(10 * time.Minute)
	for n := range g.members {
		packets += n.Core.LANStats().Sent
	}
	if each := float64(packets) / 10 / float64(len(g.members)); each > 1.5 {
		t.Errorf("%.1f packets a minute from each, want about 1", each)
	}
}
