package simulations

import (
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node"
)

// introducerScript has one introducer and one member that calls it under the
// given number of URLs, and counts what the member's core reports.
func introducerScript(t *testing.T, urls int) (net *Network, member *node.GroupCore, count map[node.CoreEventKind]int) {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "door", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	net, count = New(Config{Seed: 1}), map[node.CoreEventKind]int{}
	for i := range 2 {
		n, err := net.AddNode(node.CoreConfig{Introduce: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		net.Do(n, func(now clock.Time) {
			first := net.Nodes()[0].Addr
			for range i * urls {
				n.Core.AddBootstrap(now, "rtmfp://"+first.String(), addrs(first))
			}
			member = n.Core.Join(now, spec)
		})
	}
	n := net.Nodes()[1]
	n.OnTurn = func(clock.Time) {
		for ev, ok := n.Core.NextEvent(); ok; ev, ok = n.Core.NextEvent() {
			count[ev.Kind]++
		}
	}
	return net, member, count
}

// An introducer that has two names is one neighbor, reached once under both.
func TestIntroducerWithTwoNames(t *testing.T) {
	net, member, count := introducerScript(t, 2)
	net.Run(30 * time.Second)
	if got := member.Group().NeighborCount(); got != 1 {
		t.Errorf("neighbors: got %d, want 1", got)
	}
	if count[node.EventBootstrapUp] != 2 || count[node.EventBootstrapFailed] != 0 {
		t.Errorf("got %d introducers up and %d failures, want 2 and none",
			count[node.EventBootstrapUp], count[node.EventBootstrapFailed])
	}
}

// A member notices within seconds that its introducer is gone, and finds it
// again when it is back at the same address.
func TestIntroducerComesBack(t *testing.T) {
	net, member, count := introducerScript(t, 1)
	net.Run(5 * time.Second)
	first := net.Nodes()[0]
	net.Stop(first)
	net.Run(5 * time.Second)
	if got := member.Group().NeighborCount(); got != 0 {
		t.Errorf("neighbors 5 s after the only one died: got %d, want 0", got)
	}
	again, err := net.AddNode(node.CoreConfig{Introduce: true})
	if err != nil {
		t.Fatal(err)
	}
	net.Move(again, first.Addr)
	net.Do(again, func(now clock.Time) { again.Core.Join(now, member.Spec()) })
	net.Run(30 * time.Second)
	if got := member.Group().NeighborCount(); got != 1 {
		t.Errorf("neighbors 30 s after the introducer came back: got %d, want 1 (%v)", got, count)
	}
}
