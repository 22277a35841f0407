package group

import (
	"flag"
	"math"
	"slices"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

var (
	large        = flag.Bool("large", false, "run the measurements of large groups, which take minutes")
	largeMembers = flag.Int("members", 0, "members of them, instead of what each has by default")
	largeMedian  = flag.Duration("median", 84*time.Second, "median session of TestRowChurn")
	largeSeeds   = flag.Int("seeds", 10, "runs of each")
	largeFirst   = flag.Int("first", 0, "the first seed of them")
)

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
		// In the last three, members parted from ring neighbors in favor of one that had died.
		list = []int{0, 1, 2, 3, 4, 2673, 3358, 2147}
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
