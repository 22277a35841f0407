package node_test

import (
	"testing"

	"rtmfp/node"
	"rtmfp/ring"
)

// Applications are told of neighbors that come and go, of the part of the ring
// that is theirs, and of the size of the group; and figures say what it costs.
func TestGroupEvents(t *testing.T) {
	spec := testSpec(t, "events")
	first, g := start(t, spec)
	ctx := testContext(t)
	events := g.Events(ctx)
	second, other := start(t, spec, urlOf(first))
	connected := make(chan struct{})
	go func() {
		<-connected
		// It can only say that it leaves when it knows of the link, too.
		for ev, err := range other.Events(ctx) {
			if err != nil || ev.Kind == node.NeighborConnected {
				break
			}
		}
		second.Close()
	}()
	var got []node.GroupEventKind
	was := g.Coverage()
	for ev, err := range events {
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got = append(got, ev.Kind)
		switch ev.Kind {
		case node.NeighborConnected:
			if ev.Peer != second.ID() {
				t.Errorf("connected: got %v, want %v", ev.Peer, second.ID())
			}
		case node.CoverageChanged:
			if was = ev.Coverage; was.From == was.To {
				continue
			}
			if !was.Contains(g.Address()) || was.Contains(other.Address()) {
				t.Errorf("coverage %v does not fit the places %v and %v", was, g.Address(), other.Address())
			}
			s := g.Stats()
			if s.Neighbors != 1 || s.Total.Membership.Sent == 0 || s.Total.Membership.Received == 0 {
				t.Errorf("figures: got %+v", s)
			}
			n := g.Neighbors()
			if len(n) != 1 || n[0].Up != 1 || n[0].Down != 1 || n[0].Roles&node.RoleRing == 0 || n[0].Bytes.Sent == 0 || n[0].Address != ring.OfPeer(second.ID()) {
				t.Errorf("neighbors: got %+v", n)
			}
			if m := g.Members(); len(m) != 1 || !m[0].Neighbor || m[0].Peer != second.ID() {
				t.Errorf("members: got %+v", m)
			}
			close(connected)
		case node.SizeChanged:
			if ev.Members != 1 && ev.Members != 2 {
				t.Errorf("size: got %d", ev.Members)
			}
		case node.NeighborLost:
			if ev.Peer != second.ID() || ev.Reason != "left" && ev.Reason != "leaving" {
				t.Errorf("lost: got %v, %q", ev.Peer, ev.Reason)
			}
			return
		}
	}
}

func TestCoverageContains(t *testing.T) {
	at := func(b byte) (a ring.Addr) { a[0] = b; return a }
	for _, c := range []struct {
		from, to, a byte
		want        bool
	}{
		{10, 20, 10, false}, {10, 20, 11, true}, {10, 20, 20, true}, {10, 20, 21, false},
		{250, 5, 251, true}, {250, 5, 0, true}, {250, 5, 5, true}, {250, 5, 6, false}, {250, 5, 250, false},
		{7, 7, 7, true}, {7, 7, 200, true},
	} {
		if got := (node.Coverage{From: at(c.from), To: at(c.to)}).Contains(at(c.a)); got != c.want {
			t.Errorf("from %d to %d, %d: got %v", c.from, c.to, c.a, got)
		}
	}
}
