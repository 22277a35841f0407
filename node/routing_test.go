package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"rtmfp/group"
	"rtmfp/node"
	"rtmfp/ring"
)

// Real nodes route messages to whoever is nearest, get replies, and refuse
// what nobody takes.
func TestRoutingOnSockets(t *testing.T) {
	s, err := group.NewSpec(group.SpecFields{Name: "route", Routing: true, ServerChannel: true})
	if err != nil {
		t.Fatal(err)
	}
	first, g0 := start(t, s.String())
	groups := map[node.PeerID]*node.Group{first.ID(): g0}
	for range 4 {
		n, g := start(t, s.String(), urlOf(first))
		groups[n.ID()] = g
	}
	ctx := testContext(t)
	if _, err := g0.SendToNearest(ctx, ring.Hash("x"), nil); !errors.Is(err, node.ErrRouteRefused) {
		t.Errorf("nobody listens: %v", err)
	}
	listening, stop := context.WithCancel(ctx)
	defer stop()
	got := make(chan node.PeerID, 64)
	for id, g := range groups {
		messages := g.Receive(listening)
		go func() {
			for m, err := range messages {
				if err != nil {
					return
				}
				if err := m.Reply(append([]byte("re: "), m.Data...)); err != nil {
					t.Error(err)
				}
				got <- id
			}
		}()
	}
	for i := range 20 {
		to := ring.Hash(fmt.Sprint("room/", i))
		d, err := g0.SendToNearest(ctx, to, []byte("hello"), node.RouteOptions{Request: true})
		if err != nil {
			t.Fatal(err)
		}
		if at := <-got; at != d.Peer || string(d.Reply) != "re: hello" {
			t.Errorf("message %d: got %+v, it arrived at %v", i, d, at)
		}
	}
	var long *node.TooLongError
	if _, err := g0.SendToNearest(ctx, ring.Hash("x"), make([]byte, node.MaxRouted+1)); !errors.As(err, &long) || long.Limit != node.MaxRouted {
		t.Errorf("a message that is too long: %v", err)
	}
	if _, err := g0.SendToNearest(ctx, ring.Hash("nowhere"), nil, node.RouteOptions{Exact: true}); !errors.Is(err, node.ErrNoRoute) {
		t.Errorf("to an address that nobody has: %v", err)
	}
	if d, err := g0.SendToNeighbor(ctx, node.NextIncreasing, nil, node.RouteOptions{Request: true}); err != nil || d.Hops != 1 {
		t.Errorf("to the next member: %+v, %v", d, err)
	}
}
