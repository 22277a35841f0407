package group

import (
	"testing"
	"time"

	"rtmfp/ring"
)

// stepAside finds a member, a target, and a neighbor farther from it than the
// member itself to which the member would hand a message.
func (n *simNet) stepAside() (x, y *simNode, to ring.Addr) {
	for range 100_000 {
		x, to = n.live[n.rng.IntN(len(n.live))], ring.Addr{byte(n.rng.Uint32()), byte(n.rng.Uint32()), byte(n.rng.Uint32())}
		if l, _ := x.g.nextHop(&relay{target: to}); l != nil && to.Nearer(x.g.self, l.addr) {
			return x, n.byPeer[l.peer], to
		}
	}
	n.t.Fatal("nobody steps aside")
	return nil, nil, to
}

func (x *simNode) linkTo(y *simNode) *link { return x.g.book.get(y.peer).link }

// Who is handed a message in a step aside passes it on only to members nearer to
// the target than both, or hands it back.
func TestStepAside(t *testing.T) {
	n := settledNet(t, 5, 120, 90*time.Second)
	for range 50 {
		x, y, to := n.stepAside()
		r := relay{target: to, from: y.linkTo(x).id}
		for {
			l, dead := y.g.nextHop(&r)
			if l == nil {
				if !dead {
					t.Fatalf("node %d takes itself for the nearest to %v, node %d is nearer", y.index, to, x.index)
				}
				break
			}
			if !to.Nearer(l.addr, x.g.self) {
				t.Fatalf("node %d passes on to one that is no nearer to %v than node %d", y.index, to, x.index)
			}
			r.tried = append(r.tried, l.id)
		}
		if len(r.tried) == 0 {
			t.Errorf("node %d knows nobody nearer to %v than node %d, which says so", y.index, to, x.index)
		}
	}
	if _, _, wrong := n.routes(500); wrong > 0 {
		t.Errorf("%d of 500 messages did not get to the nearest", wrong)
	}
}

// A step aside that leads nowhere, because who is nearer has just died, costs
// time, but no message.
func TestStepAsideInVain(t *testing.T) {
	n := settledNet(t, 6, 120, 90*time.Second)
	back := uint64(0)
	for range 8 {
		x, y, to := n.stepAside()
		for _, l := range y.g.neighbors {
			if z := n.byPeer[l.peer]; z.alive && to.Nearer(l.addr, x.g.self) {
				n.kill(z)
			}
		}
		it, _ := n.sorted().Nearest(to)
		arrived := false
		n.onSim = func(at *simNode, m Routed) { arrived = arrived || at == it.Value && m.Target == to }
		if _, err := x.g.SendToNearest(n.now, to, []byte("x"), RouteOptions{Service: ServiceRecords}); err != nil {
			t.Fatal(err)
		}
		x.turn()
		n.run(4 * time.Second)
		if !arrived {
			t.Errorf("a message from node %d by way of node %d did not get to the nearest", x.index, y.index)
		}
		back += y.g.Stats().RoutesBack
		n.run(20 * time.Second)
		if n.largest() < len(n.live) {
			t.Fatal("the group fell apart")
		}
	}
	if back == 0 {
		t.Error("nothing was ever handed back")
	}
}

// A member with a better round-trip time is worth a link, one that turns out to
// be no better is hung up on and left alone.
func TestTrialInVain(t *testing.T) {
	n := settledNet(t, 7, 120, 90*time.Second)
	var trials int
	for _, x := range n.live {
		for _, y := range n.live {
			if x == y || x.g.book.get(y.peer) != nil || x.links[y.peer] != nil {
				continue
			}
			r, above := x.g.rangeOf(y.g.self.Top())
			best := time.Hour
			for _, l := range x.g.neighbors {
				if r2, above2 := x.g.rangeOf(l.addr.Top()); r2 == r && above2 == above {
					best = min(best, l.rtt)
				}
			}
			if best == time.Hour {
				continue
			}
			m := x.g.addMember(y.peer, n.now)
			m.trial = true
			l := &link{id: LinkID(len(n.ends) + 1), addr: m.addr}
			n.ends = append(n.ends, &simEnd{node: x, far: &simEnd{node: y}, pair: &simPair{rtt: 2 * n.delay(x, y)}})
			if got, want := x.g.inVain(l, m), !better(2*n.delay(x, y), best); got != want {
				t.Fatalf("%v where there is %v: in vain %v, want %v", 2*n.delay(x, y), best, got, want)
			}
			x.g.forget(m)
			n.ends[len(n.ends)-1] = nil
			if trials++; trials == 500 {
				return
			}
		}
	}
	t.Errorf("%d pairs only", trials)
}
