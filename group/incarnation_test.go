package group

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// Two members end their peering and begin it anew at random, while messages
// are lost, so that flows overtake each other. When nobody does so any more,
// they are neighbors and stay so: nobody waits for the other in vain, and they
// don't end each other's peerings for ever.
func TestPeeringsSettle(t *testing.T) {
	for seed := range 40 {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			n := newTestNet(t, uint64(seed), rtt)
			rng := rand.New(rand.NewPCG(uint64(seed), 11))
			a := n.add(func(c *Config) { c.Introduce = true })
			b := n.add(nil)
			b.bootstrap(a)
			n.run(2 * time.Second)
			n.loss = 0.4
			for range 100 {
				n.run(time.Duration(rng.IntN(100)) * time.Millisecond)
				x := n.nodes[rng.IntN(2)]
				x.input(func(g *Group, now clock.Time) {
					for _, l := range g.byLink {
						switch {
						case l.active():
							g.endPeering(now, l, ReasonParted)
							if rng.IntN(2) == 0 {
								g.openPeering(now, l)
							}
						default:
							g.openPeering(now, l)
						}
					}
				})
			}
			n.loss = 0
			n.run(20 * time.Second)
			before := len(a.events) + len(b.events)
			n.run(20 * time.Second)
			if !n.fullMesh() {
				t.Errorf("they are not neighbors: %v, %v", a.neighbors(), b.neighbors())
			}
			if after := len(a.events) + len(b.events); after != before {
				t.Errorf("%d events although nothing happens", after-before)
			}
			for _, x := range n.nodes {
				checkInvariants(t, x)
				checkUse(t, x)
			}
		})
	}
}
