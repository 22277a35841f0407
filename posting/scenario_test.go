package posting

import (
	"compress/gzip"
	"encoding/csv"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

var (
	flagMembers = flag.Int("members", 200, "members in TestSwarm and TestHalfDie")
	flagSeeds   = flag.Int("seeds", 1, "seeds of TestSwarm and TestHalfDie")
	flagSeconds = flag.Int("seconds", 10, "seconds of posting in TestSwarm")
)

// cities reads the matrix that the flag names, nil without.
func cities(t testing.TB) [][]float64 {
	if *flagCities == "" {
		return nil
	}
	f, err := os.Open(*flagCities)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(z)
	r.Comment = '#'
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var m [][]float64
	for _, row := range rows {
		var v []float64
		for _, c := range row {
			if x, err := strconv.ParseFloat(strings.TrimSpace(c), 64); err == nil {
				v = append(v, x)
			}
		}
		if len(v) > 1 {
			m = append(m, v)
		}
	}
	for i := range m {
		m[i] = m[i][len(m[i])-len(m):]
	}
	return m
}

func swarm(t testing.TB, seed uint64, members int) *network {
	w := newNetwork(t, seed)
	for range members {
		w.add(Config{})
	}
	w.geography(cities(t))
	w.meshUp()
	w.run(2 * time.Second)
	return w
}

// Posts reach everybody, soon and once.
func TestSwarm(t *testing.T) {
	for seed := range *flagSeeds {
		w := swarm(t, uint64(seed+1), *flagMembers)
		stop := w.poster(10, 1000)
		w.run(5 * time.Second)
		cold := w.outcome(0, w.now.Add(-time.Second))
		before := w.totals()
		from := w.now
		w.run(time.Duration(*flagSeconds) * time.Second)
		to := w.now
		stop()
		w.run(3 * time.Second)
		o := w.outcome(from, to)
		s := w.totals()
		fresh := float64(s.Received - before.Received)
		t.Logf("seed %d cold %v | %v", seed+1, cold, o)
		t.Logf("extra copies %.3f (cold %.3f), control %.0f B/post, fetched %.4f, switches %d, orphaned %d, claims %d, alarms %d",
			float64(s.Duplicates-before.Duplicates)/fresh, float64(before.Duplicates)/float64(before.Received),
			float64(s.ControlIn-before.ControlIn)/fresh, float64(s.Fetched-before.Fetched)/fresh,
			s.Switches-before.Switches, s.Orphaned-before.Orphaned, s.Claims-before.Claims, s.Alarms-before.Alarms)
		if o.got != o.want {
			t.Errorf("seed %d: %v", seed+1, o)
		}
	}
}

// Half of the members die at once while posts come. Whoever is left gets what
// was posted meanwhile.
func TestHalfDie(t *testing.T) {
	for seed := range *flagSeeds {
		w := swarm(t, uint64(seed+1), *flagMembers)
		stop := w.poster(10, 1000)
		w.run(6 * time.Second)
		from := w.now.Add(-500 * time.Millisecond)
		for _, i := range w.rng.Perm(len(w.nodes))[:len(w.nodes)/2] {
			w.kill(w.nodes[i], w.notice)
		}
		w.run(8 * time.Second)
		to := w.now
		stop()
		w.run(5 * time.Second)
		o := w.outcome(from, to)
		t.Logf("seed %d: %v; alarms %d", seed+1, o, w.totals().Alarms)
		if !w.connected() {
			t.Logf("seed %d: the survivors' links do not hold together", seed+1)
		} else if o.got != o.want || o.max > 5*time.Second {
			t.Errorf("seed %d: %v", seed+1, o)
		}
	}
}

// notice is the time after which a group takes a silent member for dead.
func (w *network) notice() time.Duration {
	return time.Second + time.Duration(w.rng.Int64N(int64(1500*time.Millisecond)))
}

// connected reports whether all who live can reach each other.
func (w *network) connected() bool {
	seen := make([]bool, len(w.nodes))
	var queue []*testNode
	alive := 0
	for _, n := range w.nodes {
		if !n.dead {
			if alive++; alive == 1 {
				queue = append(queue, n)
				seen[n.no] = true
			}
		}
	}
	count := 0
	for ; len(queue) > 0; count++ {
		n := queue[0]
		queue = queue[1:]
		for _, l := range n.links {
			if !l.far.dead && !seen[l.far.no] {
				seen[l.far.no] = true
				queue = append(queue, l.far)
			}
		}
	}
	return count == alive
}

// The same seed gives the same run.
func TestSameSeed(t *testing.T) {
	run := func() uint64 {
		w := swarm(t, 5, 60)
		w.jitter = 5 * time.Millisecond
		stop := w.poster(20, 300)
		w.run(3 * time.Second)
		for i := range 20 {
			w.kill(w.nodes[i*3], w.notice)
		}
		w.run(3 * time.Second)
		stop()
		w.run(time.Second)
		return w.hash.Sum64()
	}
	if a, b := run(), run(); a != b {
		t.Errorf("traces %x and %x of the same seed", a, b)
	}
}

// A member that comes late gets the history, and can have it in order.
func TestLateJoiner(t *testing.T) {
	w := swarm(t, 3, 30)
	stop := w.poster(20, 500)
	w.run(60 * time.Second)
	stop()
	w.run(time.Second)
	late := w.add(Config{})
	late.keep = true
	for _, n := range w.nodes[:8] {
		w.link(late, n)
	}
	w.run(5 * time.Second)
	if got, want := len(late.order), len(w.posts); got != want {
		t.Fatalf("the late one has %d of %d posts", got, want)
	}
	var o Order
	for _, p := range late.order {
		if !p.Old && w.byID[p.ID].at.Add(time.Minute) < w.now {
			t.Errorf("post %v is not marked as old", p.ID)
		}
		o.Add(w.now, p)
	}
	last := map[group.PeerID]uint64{}
	count := 0
	for p, ok := o.Next(w.now); ok; p, ok = o.Next(w.now) {
		if p.Number != last[p.Author]+1 {
			t.Fatalf("post %d of an author came after post %d", p.Number, last[p.Author])
		}
		last[p.Author] = p.Number
		count++
	}
	if count != len(w.posts) {
		t.Errorf("%d posts in order of %d", count, len(w.posts))
	}
	if s := late.svc.Stats(); s.Duplicates > 10 {
		t.Errorf("%d posts came twice while the history was fetched", s.Duplicates)
	}
}

// Two parts that lost each other have all posts of both when they meet again.
func TestPartition(t *testing.T) {
	w := swarm(t, 4, 40)
	stop := w.poster(10, 200)
	w.run(5 * time.Second)
	type pair struct{ a, b *testNode }
	var torn []pair
	for _, n := range w.nodes[:20] {
		for i, l := range n.links {
			if l.up && l.far.no >= 20 {
				torn = append(torn, pair{n, l.far})
				w.cut(n, group.LinkID(i+1))
			}
		}
	}
	from := w.now
	w.run(50 * time.Second)
	stop()
	w.run(2 * time.Second)
	if o := w.outcome(from, w.now); o.got*2 > o.want+len(w.posts) {
		t.Fatalf("the parts are not apart: %v", o)
	}
	for _, p := range torn {
		w.link(p.a, p.b)
	}
	w.run(30 * time.Second)
	if o := w.outcome(0, w.now); o.got != o.want {
		t.Errorf("after the parts met: %v", o)
	}
}

// Members come and go all the time.
func TestChurn(t *testing.T) {
	w := swarm(t, 6, 80)
	stop := w.poster(10, 200)
	w.every(400*time.Millisecond, func() bool {
		for {
			if n := w.nodes[w.rng.IntN(len(w.nodes))]; !n.dead {
				w.kill(n, w.notice)
				break
			}
		}
		n := w.add(Config{})
		n.mile = 2 * time.Millisecond
		for range 12 {
			if m := w.nodes[w.rng.IntN(len(w.nodes)-1)]; !m.dead {
				w.link(n, m)
			}
		}
		return w.now < clock.Time(40*time.Second)
	})
	w.run(45 * time.Second)
	stop()
	w.run(5 * time.Second)
	o := w.outcome(0, w.now)
	t.Logf("%v", o)
	if o.got != o.want || o.max > 5*time.Second {
		t.Errorf("with a member lost and one new every 400 ms: %v", o)
	}
}
