package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// Members come, leave, and die at random with loss and uneven latency; when it
// is quiet again everything is as it should be. RTMFP_SEEDS runs more seeds.
func TestChurn(t *testing.T) {
	seeds := 10
	if n, err := strconv.Atoi(os.Getenv("RTMFP_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			net := newTestNet(t, uint64(seed), rtt)
			net.loss = 0.02
			net.latency = func(a, b *testNode) time.Duration {
				return time.Duration(5+(a.index*7+b.index*7)%40) * time.Millisecond
			}
			rng := rand.New(rand.NewPCG(uint64(seed), 7))
			first := net.add(func(c *Config) { c.Introduce = true })
			for range 120 {
				net.run(time.Duration(rng.IntN(300)) * time.Millisecond)
				list := net.members()
				switch x := list[rng.IntN(len(list))]; {
				case len(list) < 20 || rng.IntN(2) == 0:
					net.add(nil).bootstrap(first)
				case x == first:
				case rng.IntN(2) == 0:
					x.kill()
				default:
					x.input(func(g *Group, now clock.Time) { g.Leave(now) })
				}
			}
			net.run(15 * time.Second)
			net.check()
			for _, x := range net.members() {
				if g := x.g; g.dialing > g.cfg.MaxDialing || g.book.loose.Len() > g.cfg.MaxKnown {
					t.Errorf("node %d: %d dials, %d members known; limits %d, %d",
						x.index, g.dialing, g.book.loose.Len(), g.cfg.MaxDialing, g.cfg.MaxKnown)
				}
				checkInvariants(t, x)
				checkUse(t, x)
			}
		})
	}
}

// checkInvariants compares what a group keeps twice.
func checkInvariants(t *testing.T, x *testNode) {
	t.Helper()
	for _, l := range x.g.byLink {
		if x.ends[l.id] == nil {
			t.Errorf("node %d: keeps link %d, which has gone", x.index, l.id)
		}
	}
	checkCounts(t, x.index, x.g)
}

func checkCounts(t *testing.T, index int, g *Group) {
	t.Helper()
	peerings, dialing, lingering := 0, 0, 0
	for _, l := range g.byLink {
		if l.active() {
			peerings++
		}
		if l.lingering {
			lingering++
		}
	}
	for i := range g.book.known.Len() {
		m := g.book.known.At(i).Value
		if m.dialing {
			dialing++
		}
		if loose := g.book.loose.Contains(m); loose == (m.link != nil || m.dialing) {
			t.Errorf("node %d: a member is loose: %v, but has link %v, dialing %v", index, loose, m.link != nil, m.dialing)
		}
	}
	if peerings != g.peerings || dialing != g.dialing || lingering != g.lingering {
		t.Errorf("node %d: counted %d peerings, %d dials, %d lingering; it has %d, %d, %d",
			index, g.peerings, g.dialing, g.lingering, peerings, dialing, lingering)
	}
}

// checkUse complains about links that have served nothing for long: somebody
// forgot to hang up.
func checkUse(t *testing.T, x *testNode) {
	t.Helper()
	for id := range x.ends {
		l := x.g.byLink[id]
		if l == nil || l.active() || l.lingering || l.introducer || l.client != 0 {
			continue
		}
		if x.net.now.Sub(l.upSince) > 15*time.Second {
			t.Errorf("node %d: link %d serves nothing", x.index, id)
		}
	}
}
