package simulations

import (
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node"
)

// Nodes that are run at once share nothing, which the race detector watches
// here, and do the same as nodes that are run in turn.
func TestLanes(t *testing.T) {
	spec, err := group.NewSpec(group.SpecFields{Name: "lanes", ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	run := func(lanes int) *Network {
		const latency = 10 * time.Millisecond
		w := New(Config{Seed: 3, Lookahead: latency, Lanes: lanes, Link: func(int, int) Link {
			return Link{Latency: latency, Jitter: latency, Loss: 0.01, Burst: &Burst{Good: time.Second, Bad: 20 * time.Millisecond}}
		}})
		for i := range 3 * leastShare {
			n, err := w.AddNode(node.CoreConfig{Introduce: i == 0, SimulatedCrypto: true})
			if err != nil {
				t.Fatal(err)
			}
			w.Do(n, func(now clock.Time) {
				if i > 0 {
					door := w.Nodes()[0]
					n.Core.AddBootstrap(now, "rtmfp://"+door.Addr.String(), addrs(door.Addr))
				}
				n.Core.Join(now, spec)
			})
			n.OnTurn = func(clock.Time) { drainEvents(n) }
		}
		w.Run(2 * time.Second)
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
		return w
	}
	one, three := run(1), run(3)
	if one.Trace() != three.Trace() || one.Stats() != three.Stats() {
		t.Errorf("one lane: trace %x, %+v\nthree: trace %x, %+v", one.Trace(), one.Stats(), three.Trace(), three.Stats())
	}
	if s := three.Stats(); s.Delivered < 1000 || s.Lost == 0 {
		t.Errorf("too little happened: %+v", s)
	}
}

// Of several invariants that break in one stretch, the first in virtual time is
// told, however many nodes are run at once.
func TestLanesBreach(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		w := New(Config{Seed: 3, Lookahead: 10 * time.Millisecond, Lanes: lanes})
		for i := range 3 * leastShare {
			n, err := w.AddNode(node.CoreConfig{SimulatedCrypto: true})
			if err != nil {
				t.Fatal(err)
			}
			w.DoAt(n, clock.Time(time.Second)-clock.Time(i*7%41), func(clock.Time) { w.Fail(n, "test", "it is time") })
		}
		w.Run(2 * time.Second)
		b, _ := w.Err().(*Breach)
		if want := clock.Time(time.Second) - 40; b == nil || b.At != want || b.Node*7%41 != 40 {
			t.Errorf("%d lanes: got %v, want the breach at %v", lanes, w.Err(), want)
		}
	}
}
