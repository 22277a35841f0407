package group

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
)

const rtt = 20 * time.Millisecond

// start makes an introducer and n-1 members, that come at a given interval.
func start(t testing.TB, seed uint64, n int, interval time.Duration) *testNet {
	net := newTestNet(t, seed, rtt)
	first := net.add(func(c *Config) { c.Introduce = true })
	for range n - 1 {
		net.run(interval)
		net.add(nil).bootstrap(first)
	}
	return net
}

func (n *testNet) check() {
	n.t.Helper()
	if got, want := n.component(), len(n.members()); got != want {
		n.t.Errorf("at %v: one component has %d of %d members", time.Duration(n.now), got, want)
	}
	// A relation may be in the making.
	for tries := 0; tries < 20 && n.asymmetric() != ""; tries++ {
		n.run(rtt)
	}
	for _, problem := range []string{n.asymmetric(), n.wrongRing(), n.tooMany()} {
		if problem != "" {
			n.t.Errorf("at %v: %s", time.Duration(n.now), problem)
		}
	}
}

// Two members meet in one round trip after the introducer's link is up.
func TestTwoMembers(t *testing.T) {
	net := start(t, 1, 2, 0)
	x := net.nodes[1]
	net.until(time.Second, "neighbors", func() bool { return net.fullMesh() })
	_, at, ok := x.find(NeighborUp)
	if got := at.Sub(x.introducer); !ok || got > rtt {
		t.Errorf("first neighbor after %v, want at most one round trip, %v", got, rtt)
	}
	if _, _, ok := x.find(Joined); !ok {
		t.Error("no Joined event")
	}
	for nb := range x.g.Neighbors() {
		if want := FeatureBase | FeatureIntroduce | FeatureRouting; nb.Features != want {
			t.Errorf("features of the introducer: got %b, want %b", nb.Features, want)
		}
	}
	net.check()
}

// Ten members that come at once are a full mesh soon after.
func TestFullMeshOfTen(t *testing.T) {
	net := start(t, 2, 10, 0)
	took := net.until(time.Second, "full mesh", func() bool { return net.fullMesh() })
	if took > 200*time.Millisecond {
		t.Errorf("full mesh took %v, want at most 200 ms", took)
	}
	net.run(time.Minute)
	net.check()
	if !net.fullMesh() {
		t.Error("the mesh is not full after a minute")
	}
	for _, x := range net.nodes {
		if got := x.g.Estimate(); got != 10 {
			t.Errorf("node %d: size estimate %d, want 10", x.index, got)
		}
	}
}

func TestLargeGroups(t *testing.T) {
	for _, c := range []struct {
		members  int
		interval time.Duration
		loss     float64
	}{{64, 0, 0}, {64, 30 * time.Millisecond, 0.02}, {300, 5 * time.Millisecond, 0.01}} {
		net := newTestNet(t, uint64(c.members), rtt)
		net.loss = c.loss
		first := net.add(func(c *Config) { c.Introduce = true })
		for range c.members - 1 {
			net.run(c.interval)
			net.add(nil).bootstrap(first)
		}
		took := net.until(10*time.Second, "one component", func() bool { return net.component() == c.members })
		ringTook := net.until(20*time.Second, "ring", func() bool { return net.wrongRing() == "" })
		net.run(40 * time.Second)
		net.check()
		sum, most := 0, 0
		for _, x := range net.nodes {
			have := x.g.NeighborCount()
			sum += have
			most = max(most, have)
			_, at, ok := x.find(NeighborUp)
			if !ok {
				t.Fatalf("node %d never had a neighbor", x.index)
			}
			if x.index > 0 && c.loss == 0 && at.Sub(x.introducer) > 3*rtt {
				t.Errorf("node %d: first neighbor after %v", x.index, at.Sub(x.introducer))
			}
		}
		before := sent(net)
		net.run(time.Minute)
		net.check()
		perSecond := float64(sent(net)-before) / 60 / float64(c.members)
		t.Logf("%d members: connected %v after the last, ring right %v later, links per member mean %.1f, most %d, %.0f bytes/s quiet",
			c.members, took, ringTook, float64(sum)/float64(c.members), most, perSecond)
		if perSecond > 1000 {
			t.Errorf("%d members: %.0f bytes/s per member when quiet", c.members, perSecond)
		}
	}
}

func sent(n *testNet) (bytes uint64) {
	for _, x := range n.nodes {
		bytes += x.g.Stats().BytesSent
	}
	return bytes
}

// An orderly leave is known to all neighbors half a round trip later, with its
// reason, and leaves no link behind.
func TestLeave(t *testing.T) {
	net := start(t, 3, 10, 0)
	net.run(2 * time.Second)
	x := net.nodes[4]
	at := net.now
	x.input(func(g *Group, now clock.Time) { g.Leave(now) })
	net.until(rtt, "everybody knows", func() bool {
		for _, y := range net.members() {
			if y.neighbors()[x.peer] {
				return false
			}
		}
		return true
	})
	if took := net.now.Sub(at); took > rtt/2 {
		t.Errorf("the last neighbor knew after %v, want %v", took, rtt/2)
	}
	for _, y := range net.members() {
		last := y.events[len(y.events)-1]
		if last.Kind != NeighborDown || last.Reason != ReasonLeft || last.Peer != x.peer {
			t.Errorf("node %d: last event %+v, want that node %d left", y.index, last, x.index)
		}
	}
	net.until(2*rtt, "Left", x.g.Left)
	net.run(30 * time.Second)
	if len(x.ends) != 0 {
		t.Errorf("%d links remain of the one that left", len(x.ends))
	}
	for _, y := range net.members() {
		if y.g.book.get(x.peer) != nil {
			t.Errorf("node %d still knows the one that left", y.index)
		}
	}
	net.check()
}

// Who dies without a word is noticed within three seconds, and the group heals.
func TestSilentDeath(t *testing.T) {
	net := start(t, 4, 64, 10*time.Millisecond)
	net.run(30 * time.Second)
	dead := map[PeerID]bool{}
	for _, i := range []int{5, 17, 40, 41, 60} {
		net.nodes[i].kill()
		dead[net.nodes[i].peer] = true
	}
	net.until(3*time.Second, "all deaths noticed", func() bool {
		for _, y := range net.members() {
			for p := range y.neighbors() {
				if dead[p] {
					return false
				}
			}
		}
		return true
	})
	net.until(2*time.Second, "ring healed", func() bool { return net.wrongRing() == "" })
	net.run(time.Minute)
	net.check()
	for _, y := range net.members() {
		for i, e := range y.events {
			if e.Kind == NeighborUp && dead[e.Peer] && y.at[i] > clock.Time(31*time.Second) {
				t.Errorf("node %d: a dead neighbor came up again", y.index)
			}
		}
	}
}

// The group does not need its introducer.
func TestIntroducerDeath(t *testing.T) {
	net := start(t, 5, 30, 10*time.Millisecond)
	net.run(20 * time.Second)
	net.nodes[0].kill()
	net.run(20 * time.Second)
	net.check()
	down := 0
	for _, x := range net.members() {
		if _, _, ok := x.find(IntroducerDown); ok {
			down++
		}
	}
	if down != 29 {
		t.Errorf("%d members told of the loss, want 29", down)
	}
	// A newcomer that knows any member gets in through it.
	x := net.add(nil)
	x.connect(net.nodes[7], func(e *testEnd) {
		x.input(func(g *Group, now clock.Time) { g.AddIntroducer(now, e.id, net.nodes[7].peer) })
	})
	net.run(10 * time.Second)
	net.check()
	if x.g.NeighborCount() < 6 {
		t.Errorf("newcomer has %d neighbors, want at least 6", x.g.NeighborCount())
	}
}

// A member that loses everybody comes back through the introducer.
func TestRejoin(t *testing.T) {
	net := start(t, 6, 8, 0)
	net.run(5 * time.Second)
	x := net.nodes[3]
	keep := x.endTo(net.nodes[0])
	for _, y := range net.nodes {
		if e := x.endTo(y); e != nil && e != keep {
			far := e.far
			e.down()
			far.down()
		}
	}
	net.until(3*time.Second, "full mesh again", func() bool { return net.fullMesh() })
	net.run(10 * time.Second)
	net.check()
}

func TestForgedProof(t *testing.T) {
	net := start(t, 7, 5, 0)
	net.run(2 * time.Second)
	// The intruder knows the group's id but not its text.
	forged := *testSpec
	forged.canonical = "G:0000"
	intruder := net.add(func(c *Config) { c.Spec = &forged })
	intruder.bootstrap(net.nodes[0])
	for _, y := range net.nodes[1:5] {
		intruder.connect(y, func(e *testEnd) {
			intruder.input(func(g *Group, now clock.Time) { g.AddHint(now, y.peer, nil, e.id) })
		})
	}
	net.run(5 * time.Second)
	if n := intruder.g.NeighborCount(); n != 0 {
		t.Errorf("the intruder has %d neighbors", n)
	}
	for _, e := range intruder.events {
		if e.Kind == Joined {
			t.Error("the intruder was let in")
		}
	}
	if e, _, ok := intruder.find(JoinFailed); !ok || e.Reason != ReasonRefused {
		t.Errorf("JoinFailed: got %+v, %v, want a refusal", e, ok)
	}
	failed := uint64(0)
	for _, y := range net.nodes[:5] {
		failed += y.g.Stats().ProofsFailed
		if y.g.book.get(intruder.peer) != nil {
			t.Errorf("node %d took the intruder for a member", y.index)
		}
	}
	if failed == 0 {
		t.Error("no failed proof was counted")
	}
	if y := intruder.g.book.known.Len(); y > 5 {
		t.Errorf("the intruder was told of members: it knows %d", y)
	}
}

// Old members ask without proof; whether they are answered is a switch.
func TestUnprovenJoin(t *testing.T) {
	for _, allow := range []bool{false, true} {
		net := newTestNet(t, 8, rtt)
		first := net.add(func(c *Config) { c.Introduce, c.AllowUnproven = true, allow })
		net.add(nil).bootstrap(first)
		net.run(time.Second)
		old := net.add(nil)
		var flow FlowID
		old.connect(first, func(e *testEnd) {
			flow = old.OpenFlow(net.now, e.id, MetadataChannel, 0, ClassControl)
			join := joinMessage{group: testSpec.ID()}
			old.Send(net.now, flow, join.append(nil), clock.Never)
		})
		before := first.g.Stats()
		net.run(time.Second)
		after := first.g.Stats()
		if served := after.JoinsServed > before.JoinsServed; served != allow {
			t.Errorf("AllowUnproven %v: served %v", allow, served)
		}
		if refused := after.JoinsRefused > before.JoinsRefused; refused == allow {
			t.Errorf("AllowUnproven %v: refused %v", allow, refused)
		}
	}
}

// A different groupspec is a different group, even of the same name.
func TestOtherSpec(t *testing.T) {
	net := start(t, 9, 3, 0)
	other := mustSpec(SpecFields{Name: "test", Multicast: true, ServerChannel: true, Posting: true})
	x := net.add(func(c *Config) { c.Spec = other })
	x.bootstrap(net.nodes[0])
	net.run(2 * time.Second)
	if _, _, ok := x.find(JoinFailed); !ok || x.g.NeighborCount() != 0 {
		t.Errorf("JoinFailed %v, neighbors %d; want true, 0", ok, x.g.NeighborCount())
	}
}

// Both ends dial each other at the same instant: one relation comes of it.
func TestSimultaneousDial(t *testing.T) {
	net := newTestNet(t, 10, rtt)
	a, b := net.add(nil), net.add(nil)
	hint := func(x, y *testNode) {
		x.input(func(g *Group, now clock.Time) {
			g.AddHint(now, y.peer, addressOf(y), 0)
		})
	}
	hint(a, b)
	hint(b, a)
	net.run(time.Second)
	for _, x := range []*testNode{a, b} {
		if x.g.NeighborCount() != 1 || len(x.ends) != 1 || x.g.Stats().NeighborsUp != 1 {
			t.Errorf("node %d: %d neighbors, %d links, %d relations; want 1 of each",
				x.index, x.g.NeighborCount(), len(x.ends), x.g.Stats().NeighborsUp)
		}
	}
}

// The same seed gives the same run.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) uint64 {
		net := newTestNet(t, seed, rtt)
		net.loss = 0.03
		first := net.add(func(c *Config) { c.Introduce = true })
		for i := range 40 {
			net.run(20 * time.Millisecond)
			net.add(nil).bootstrap(first)
			if i%9 == 8 {
				net.nodes[i-3].kill()
			}
		}
		net.run(30 * time.Second)
		return net.trace.Sum64()
	}
	if a, b := run(1), run(1); a != b {
		t.Errorf("two runs with one seed: trace %x and %x", a, b)
	}
	if a, b := run(1), run(2); a == b {
		t.Errorf("two seeds gave the same trace %x", a)
	}
}
