package group

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// What goes on in the large groups that are measured: members come, live for some
// time, and route messages.

func grow(n *simNet, members int, every time.Duration) {
	for len(n.live) < members {
		var contacts []*simNode
		if len(n.live) > 0 {
			contacts = append(contacts, n.introducer())
		}
		n.add(contacts...)
		n.run(every)
	}
}

// routes sends messages between random members and returns the mean hops, and
// the mean time over that of the direct way.
func (n *simNet) routes(count int) (hops, stretch float64, wrong int) {
	type sent struct {
		at   time.Duration
		from *simNode
		want *simNode
	}
	under := map[RouteID]sent{}
	sum, direct, total := time.Duration(0), time.Duration(0), 0
	n.onSim = func(x *simNode, m Routed) {
		s, ok := under[m.ID]
		if !ok {
			return
		}
		delete(under, m.ID)
		if x != s.want {
			wrong++
			return
		}
		sum += time.Duration(n.now) - s.at
		direct += n.delay(s.from, x)
		total += m.Hops
	}
	set := n.sorted()
	for range count {
		x := n.live[n.rng.IntN(len(n.live))]
		var to ring.Addr
		for i := range to {
			to[i] = byte(n.rng.Uint32())
		}
		it, _ := set.Nearest(to)
		if it.Value == x {
			continue
		}
		id, err := x.g.SendToNearest(n.now, to, nil, RouteOptions{Service: ServiceRecords})
		if err != nil {
			n.t.Fatal(err)
		}
		under[id] = sent{time.Duration(n.now), x, it.Value}
		x.turn()
		n.run(time.Millisecond)
	}
	n.run(10 * time.Second)
	wrong += len(under)
	n.onSim = nil
	return float64(total) / float64(count), float64(sum) / float64(direct), wrong
}

// churn replaces members: each lives for a time that is exponential with the
// given median, then dies without a word or, if orderly, leaves; another comes
// at once, so that there are always as many.
func (n *simNet) churn(median time.Duration, orderly float64) {
	var one func(x *simNode)
	one = func(x *simNode) {
		life := time.Duration(float64(median) / math.Ln2 * n.rng.ExpFloat64())
		n.after(life, func() {
			if !x.alive || n.still {
				return
			}
			if n.rng.Float64() < orderly {
				n.leave(x)
			} else {
				n.kill(x)
			}
			one(n.add(n.introducer(), n.introducer()))
		})
	}
	for _, x := range n.live {
		one(x)
	}
}

// anybody returns a member that is settled, if there is one.
func (n *simNet) anybody(not *simNode) *simNode {
	for range 100 {
		if x := n.live[n.rng.IntN(len(n.live))]; x != not && x.g.Settled() {
			return x
		}
	}
	return n.live[n.rng.IntN(len(n.live))]
}

// introducerIn is how many members there are for each that introduces others.
const introducerIn = 50

// introducer returns a member that newcomers may come to.
func (n *simNet) introducer() *simNode {
	for range 20 * introducerIn {
		if x := n.live[n.rng.IntN(len(n.live))]; x.g.cfg.Introduce && (x.g.Settled() || len(n.live) < 20) {
			return x
		}
	}
	return n.anybody(nil)
}

// delivery is what came of messages that random members routed to random
// addresses.
type delivery struct {
	sent, right, wrong, lost, orphans int
	hops                              int
	took                              []time.Duration
}

// traffic routes messages for a while at a rate, and counts those that came to
// the member that was the nearest at that moment among those that have settled.
// Messages whose senders died before they knew are orphans.
func (n *simNet) messages(d time.Duration, perSecond float64) *delivery {
	type sent struct {
		at    clock.Time
		from  *simNode
		to    ring.Addr
		state int // 1: right, 2: wrong
		hops  int
		done  clock.Time
	}
	res := &delivery{}
	under := map[RouteID]*sent{}
	n.onSim = func(x *simNode, m Routed) {
		s := under[m.ID]
		if s == nil {
			return
		}
		if s.state == 0 {
			s.done, s.hops = n.now, m.Hops
		}
		best := x
		for _, y := range n.live {
			if y.g.Settled() && m.Target.Nearer(y.g.self, best.g.self) {
				best = y
			}
		}
		if best == x {
			s.state = 1
		} else if s.state == 0 {
			s.state = 2
			if testing.Verbose() {
				m, back := x.g.book.get(best.peer), best.g.book.get(x.peer)
				n.t.Logf("wrong: node %d, born %v ago, settled %v, %d neighbors; nearest %d, born %v ago, %d neighbors; known %v, linked %v; back %v, %v", x.index,
					n.now.Sub(x.born), x.g.Settled(), x.g.NeighborCount(), best.index, n.now.Sub(best.born), best.g.NeighborCount(),
					m != nil, m != nil && m.link != nil && m.link.up, back != nil, back != nil && back.link != nil && back.link.up)
			}
		}
	}
	order := []RouteID{}
	stop := n.now.Add(d)
	for n.now < stop {
		x := n.anybody(nil)
		var to ring.Addr
		for i := range to {
			to[i] = byte(n.rng.Uint32())
		}
		id, err := x.g.SendToNearest(n.now, to, nil, RouteOptions{Service: ServiceRecords})
		if err != nil {
			n.t.Fatal(err)
		}
		under[id] = &sent{at: n.now, from: x, to: to}
		order = append(order, id)
		x.turn()
		n.run(time.Duration(float64(time.Second) / perSecond))
	}
	n.run(12 * time.Second)
	n.onSim = nil
	for _, id := range order {
		s := under[id]
		if s.state == 0 && !s.from.alive {
			res.orphans++
			continue
		}
		res.sent++
		switch s.state {
		case 1:
			res.right++
			res.hops += s.hops
			res.took = append(res.took, s.done.Sub(s.at))
		case 2:
			res.wrong++
		default:
			res.lost++
		}
	}
	slices.Sort(res.took)
	return res
}

func (d *delivery) String() string {
	p := func(q float64) time.Duration {
		if len(d.took) == 0 {
			return 0
		}
		return d.took[int(q*float64(len(d.took)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d sent, %.4f %% right, %d wrong, %d lost, %d orphans, %.2f hops, p50 %v p99 %v max %v", d.sent,
		100*float64(d.right)/float64(d.sent), d.wrong, d.lost, d.orphans, float64(d.hops)/float64(max(d.right, 1)), p(0.5), p(0.99), p(1))
}

// settledNet returns a network of members that came within 20 seconds and had
// some time to choose their neighbors.
func settledNet(t *testing.T, seed, members int, d time.Duration) *simNet {
	n := newSimNet(t, uint64(seed))
	n.config = func(c *Config) { c.Introduce = len(n.nodes)%introducerIn == 0 }
	grow(n, members, 20*time.Second/time.Duration(members))
	n.run(d)
	return n
}

// why sums the counters of all members.
func (n *simNet) why() {
	var s Stats
	var ups uint64
	var downs [16]uint64
	for _, x := range n.nodes {
		t := x.g.Stats()
		s.Dials += t.Dials
		s.TrialsInVain += t.TrialsInVain
		s.WantsSent += t.WantsSent
		s.RoutesBack += t.RoutesBack
		s.DialsFailed += t.DialsFailed
		s.PeeringsRefused += t.PeeringsRefused
		s.LinksTrimmed += t.LinksTrimmed
		s.Suspicions += t.Suspicions
		s.NeighborsSilent += t.NeighborsSilent
		s.Finds += t.Finds
		s.GhostsCalled += t.GhostsCalled
		s.GhostsBack += t.GhostsBack
		s.Heals += t.Heals
		s.RoutesAgain += t.RoutesAgain
		s.HopsFailed += t.HopsFailed
		ups += x.ups
		for i, d := range x.downs {
			downs[i] += d
		}
	}
	fmt.Printf("  since the start: dials %d failed %d, trials in vain %d, wants %d, peerings refused %d, trimmed %d, suspicions %d silent %d, finds %d, ghosts %d back %d heals %d, again %d hops failed %d back %d; ups %d downs %v\n",
		s.Dials, s.DialsFailed, s.TrialsInVain, s.WantsSent, s.PeeringsRefused, s.LinksTrimmed, s.Suspicions, s.NeighborsSilent, s.Finds, s.GhostsCalled, s.GhostsBack, s.Heals, s.RoutesAgain, s.HopsFailed, s.RoutesBack, ups, downs)
}
