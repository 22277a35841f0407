package group

import (
	"cmp"
	"math"
	"slices"

	"flag"
	"fmt"
	"rtmfp/internal/clock"
	"testing"
	"time"

	"rtmfp/ring"
)

var (
	large        = flag.Bool("large", false, "run the measurements of large groups, which take minutes")
	largeMembers = flag.Int("members", 0, "members of them, instead of what each has by default")
	largeMedian  = flag.Duration("median", 84*time.Second, "median session of TestRowChurn")
	largeSeeds   = flag.Int("seeds", 10, "runs of each")
	largeFirst   = flag.Int("first", 0, "the first seed of them")
)

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

// rowSize returns the members and seeds of a measurement: as many as its row
// asks for with -large, otherwise so few that it takes a second or two.
func rowSize(small, big int) (members, seeds int) {
	if !*large {
		return small, 1
	}
	return cmp.Or(*largeMembers, big), *largeSeeds
}

// rowSeeds yields the seeds of a measurement.
func rowSeeds(count int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for seed := *largeFirst; seed < *largeFirst+count && yield(seed); seed++ {
		}
	}
}

// figures are those of several seeds.
type figures struct {
	t      *testing.T
	names  []string
	values map[string][]float64
}

func (f *figures) add(name string, v float64) {
	if f.values == nil {
		f.values = map[string][]float64{}
	}
	if f.values[name] == nil {
		f.names = append(f.names, name)
	}
	f.values[name] = append(f.values[name], v)
	if *large {
		f.t.Logf("%d. %s: %.5g", len(f.values[name]), name, v) // should it not come to its end
	}
}

// tell logs mean and 95 % confidence interval, and the worst and best.
func (f *figures) tell() {
	for _, name := range f.names {
		v := f.values[name]
		mean, ss := 0.0, 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			ss += (x - mean) * (x - mean)
		}
		half := 0.0
		if n := float64(len(v)); n > 1 {
			half = student(len(v)-1) * math.Sqrt(ss/(n-1)/n)
		}
		f.t.Logf("%-40s %10.4g ± %.2g (%.4g to %.4g, %d seeds)", name, mean, half, slices.Min(v), slices.Max(v), len(v))
	}
}

// student is the quantile of Student's t for a two-sided 95 % interval.
func student(free int) float64 {
	table := []float64{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13}
	if free <= len(table) {
		return table[free-1]
	}
	return 2
}

func (f *figures) atMost(name string, limit float64) {
	f.t.Helper()
	if v := slices.Max(f.values[name]); v > limit {
		f.t.Errorf("%s: %.4g, want at most %.4g", name, v, limit)
	}
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

// Ways are short: in hops, and compared with the direct way. All members' size
// estimates are good. Without churn a link costs little.
func TestRowRouting(t *testing.T) {
	members, seeds := rowSize(200, 10_000)
	warm := 5 * time.Minute
	if *large {
		warm = 11 * time.Minute // as with churn
	}
	f := &figures{t: t}
	for seed := range rowSeeds(seeds) {
		n := settledNet(t, seed, members, warm)
		b0, _ := n.traffic()
		n.bill(time.Minute)
		n.run(time.Minute)
		b, _ := n.traffic()
		if testing.Verbose() {
			t.Logf("%v\n%s", n, n.bill(time.Minute))
		}
		f.add("upkeep, bytes/s", float64(b-b0)/60/float64(members))
		hops, stretch, wrong := n.routes(10 * min(members, 1000))
		f.add("hops", hops)
		f.add("stretch", stretch)
		f.add("not delivered to the nearest", float64(wrong))
		f.add("members lacking a ring neighbor", float64(n.wrongRing(ringSide)))
		links, most := 0, 0
		var off []float64
		for _, x := range n.live {
			links += x.g.NeighborCount()
			most = max(most, x.g.NeighborCount())
			off = append(off, math.Abs(float64(x.g.Estimate())/float64(members)-1))
		}
		slices.Sort(off)
		f.add("links", float64(links)/float64(members))
		f.add("most links", float64(most))
		f.add("size estimate, median error in %", 100*off[len(off)/2])
		if *large {
			n.halfDies(f) // to grow another large group for it takes longer than the rest
		}
	}
	f.tell()
	f.atMost("hops", 4.5)
	f.atMost("stretch", 1.8)
	f.atMost("not delivered to the nearest", 0)
	f.atMost("members lacking a ring neighbor", 0)
	f.atMost("size estimate, median error in %", 25)
	f.atMost("links", float64(linksFor(members)))
	if *large {
		f.halfDied()
	}
}

// Members live for 1.4 minutes in the median, half of them die without a word,
// and messages get to the nearest all the same, at a bounded cost. With
// -median 30m the cost is that of a common group.
func TestRowChurn(t *testing.T) {
	members, seeds := rowSize(60, 1000)
	f := &figures{t: t}
	warm, measured := 4*time.Minute, 3*time.Minute
	switch {
	case !*large:
		warm, measured = time.Minute, time.Minute
	case *largeMedian >= 30*time.Minute:
		warm = 12 * time.Minute // for better fingers, which those who have come at once look for one after the other
	}
	for seed := range rowSeeds(seeds) {
		n := settledNet(t, seed, members, 20*time.Second)
		n.churn(*largeMedian, 0.5)
		n.run(warm)
		n.bill(time.Minute)
		b0, d0 := n.traffic()
		at := n.now
		n.run(measured / 3)
		b, d := n.traffic()
		per := func(x uint64) float64 { return float64(x) / n.now.Sub(at).Seconds() / float64(members) }
		f.add("upkeep, bytes/s", per(b-b0))
		f.add("of this for opening sessions", per(d-d0))
		if testing.Verbose() {
			t.Logf("%v\n%s", n, n.bill(n.now.Sub(at)))
			n.why()
		}
		res := n.messages(measured, 50)
		t.Log("seed", seed, res)
		f.add("delivered to the nearest, %", 100*float64(res.right)/float64(res.sent))
		f.add("hops", float64(res.hops)/float64(res.right))
		f.add("largest component, %", 100*float64(n.largest())/float64(len(n.live)))
	}
	f.tell()
	// A short run of a small group is more a matter of chance.
	least := 99.5
	if *large {
		least = 99.9
	}
	for _, v := range f.values["delivered to the nearest, %"] {
		if v < least {
			t.Errorf("%.3f %% delivered, want at least %v in each run", v, least)
		}
	}
	upkeep := 1500.0
	if *largeMedian >= 30*time.Minute {
		upkeep = 200
	}
	f.atMost("upkeep, bytes/s", upkeep)
}

// Half of the members die at once: how long until all that are left have their
// ring neighbors again.
func TestRowHalfDies(t *testing.T) {
	members, seeds := rowSize(200, 10_000)
	f := &figures{t: t}
	for seed := range rowSeeds(seeds) {
		settledNet(t, seed, members, 2*time.Minute).halfDies(f)
	}
	f.tell()
	f.halfDied()
}

func (n *simNet) halfDies(f *figures) {
	for range len(n.live) / 2 {
		n.kill(n.live[n.rng.IntN(len(n.live))])
	}
	died := n.now
	f.add("near sets right after, s", n.ringAfter(f.t, died, 30*time.Second, 1))
	f.add("three on either side after, s", n.ringAfter(f.t, died, 30*time.Second, ringSide))
	f.add("components beyond the first", float64(len(n.live)-n.largest()))
}

func (f *figures) halfDied() {
	f.atMost("near sets right after, s", 15)
	f.atMost("three on either side after, s", 15)
	f.atMost("components beyond the first", 0)
}

// ringAfter runs until every member is linked with so many on either side, and
// returns the seconds since an instant.
func (n *simNet) ringAfter(t *testing.T, start clock.Time, limit time.Duration, side int) float64 {
	for n.now.Sub(start) < limit {
		if n.wrongRing(side) == 0 {
			break
		}
		n.run(250 * time.Millisecond)
	}
	if wrong := n.wrongRing(side); wrong > 0 {
		t.Errorf("after %v %d members lack one of the next %d on either side", limit, wrong, side)
	}
	return n.now.Sub(start).Seconds()
}

// A group that was cut in two is one again soon after the cut is mended.
func TestRowPartition(t *testing.T) {
	members, seeds := rowSize(120, 2000)
	f := &figures{t: t}
	for seed := range rowSeeds(seeds) {
		n := settledNet(t, seed, members, time.Minute)
		for _, x := range n.live {
			x.island = x.index % 2
		}
		n.run(2 * time.Minute)
		if n.largest() > members/2 {
			t.Error("the cut does not part the group")
		}
		for _, x := range n.live {
			x.island = 0
		}
		mended := n.now
		f.add("one ring after, s", n.ringAfter(t, mended, 60*time.Second, 1))
		f.add("three on either side after, s", n.ringAfter(t, mended, 60*time.Second, ringSide))
		f.add("not in the largest component", float64(len(n.live)-n.largest()))
		if testing.Verbose() {
			n.why()
		}
	}
	f.tell()
	f.atMost("one ring after, s", 20)
	f.atMost("not in the largest component", 0)
}

// Many seeds of a small group under heavy churn: when it is quiet again, there
// is one ring, and nothing is left over. -seeds says how many with -large.
func TestRowSeeds(t *testing.T) {
	_, count := rowSize(32, 32)
	list := slices.Collect(rowSeeds(count))
	if !*large {
		// In the last two, members parted from ring neighbors in favor of one that had died.
		list = []int{0, 1, 2, 3, 4, 2673, 3358}
	}
	const lasting = time.Minute // of what is wrong for so long, nothing mends itself
	var took []time.Duration
	for _, seed := range list {
		n := newSimNet(t, uint64(seed))
		n.config = func(c *Config) { c.Introduce = len(n.nodes)%introducerIn == 0 }
		grow(n, 32, 200*time.Millisecond)
		n.loss = 0.01
		n.churn(20*time.Second, 0.5)
		n.run(40 * time.Second)
		n.still = true
		since := n.now
		whole := func() bool { return n.wrongRing(ringSide) == 0 && n.largest() == len(n.live) }
		for n.run(time.Second); !whole() && n.now.Sub(since) < lasting; {
			n.run(time.Second)
		}
		took = append(took, n.now.Sub(since))
		n.run(5 * time.Second)
		if !whole() {
			t.Errorf("seed %d: %d members lack a ring neighbor, %d of %d in one component", seed, n.wrongRing(ringSide), n.largest(), len(n.live))
		}
		for _, x := range n.live {
			checkCounts(t, x.index, x.g)
		}
	}
	slices.Sort(took)
	t.Logf("%d seeds from %d on: one ring, three neighbors on either side, after %v in the median, %v in 99 of 100, %v at the latest",
		len(took), *largeFirst, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
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
