package simulations

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/posting"
	"rtmfp/simulations/figure"
	"rtmfp/simulations/geography"
)

// The rows about posts and records on groups that really form: the membership,
// topology, and routing of package group under the services. Each has a size
// for every day, and flags for those that the documentation quotes.
var (
	flagMembers = flag.Int("services.members", 60, "members in TestPosts, TestPostsHalfDie, and TestRecords")
	flagSeeds   = flag.Int("services.seeds", 1, "seeds of these")
	flagFirst   = flag.Int("services.first", 1, "the first of them")
	flagCities  = flag.String("services.cities", "", "file of round-trip times between cities; without, the world that comes along")
	flagSeconds = flag.Int("services.seconds", 6, "seconds of posting, and minutes of churn")
)

// population is a group at message level whose members come and go.
type population struct {
	t     testing.TB
	w     *Messages
	rng   *rand.Rand
	cells []int // where the members are
	mile  []time.Duration
	alive []*Member
	born  map[*Member]clock.Time

	posts []*sentPost
	byID  map[posting.ID]*sentPost
	gets  map[*Member]map[records.RequestID]func(records.Result)
}

type sentPost struct {
	at     clock.Time
	author *Member
	got    map[int]clock.Time
}

func newPopulation(t testing.TB, seed uint64, f group.SpecFields) *population {
	t.Helper()
	f.Name, f.ServerChannel, f.Posting = "services", true, true
	spec, err := group.NewSpec(f)
	if err != nil {
		t.Fatal(err)
	}
	world := geography.Synthetic()
	if *flagCities != "" {
		if world, err = geography.Load(*flagCities); err != nil {
			t.Fatal(err)
		}
	}
	p := &population{
		t: t, rng: rand.New(rand.NewPCG(seed, 11)), born: map[*Member]clock.Time{},
		byID: map[posting.ID]*sentPost{}, gets: map[*Member]map[records.RequestID]func(records.Result){},
	}
	p.w = NewMessages(MessagesConfig{Seed: seed, Spec: spec, Link: func(from, to int) Link {
		return Link{Latency: p.mile[from] + p.mile[to] + world.OneWay(p.cells[from], p.cells[to])}
	}})
	place := world.Len()
	for range 1 << 17 {
		p.cells = append(p.cells, p.rng.IntN(place))
		p.mile = append(p.mile, time.Millisecond+time.Duration(p.rng.Int64N(int64(9*time.Millisecond))))
	}
	return p
}

// add makes a member that joins through others.
func (p *population) add(introducer bool) *Member {
	n, err := p.w.Add(MemberConfig{Core: node.CoreConfig{Introduce: introducer, SimulatedCrypto: true, UnixMilli: 1_700_000_000_000}})
	if err != nil {
		p.t.Fatal(err)
	}
	n.Group.Posts().Listen(true)
	n.OnTurn = func(now clock.Time) { p.drain(n, now) }
	p.born[n] = p.w.Now()
	p.alive = append(p.alive, n)
	for i, m := range p.alive[:min(3, len(p.alive)-1)] {
		if i < 3 {
			p.w.Bootstrap(n, m)
		}
	}
	return n
}

// gather lets members come in, some each second.
func (p *population) gather(size, perSecond int) {
	for i := range size {
		p.add(i < 3)
		if i%max(1, perSecond/20) == 0 {
			p.w.Run(50 * time.Millisecond)
		}
	}
}

func (p *population) drain(n *Member, now clock.Time) {
	for _, ok := n.Group.NextEvent(); ok; {
		_, ok = n.Group.NextEvent()
	}
	for post, ok := n.Group.Posts().NextPost(); ok; post, ok = n.Group.Posts().NextPost() {
		if s := p.byID[post.ID]; s != nil {
			if s.got[n.Number()] != 0 {
				p.t.Errorf("member %d got a post twice", n.Number())
			}
			s.got[n.Number()] = now
		}
	}
	if waiting := p.gets[n]; waiting != nil {
		for r, ok := n.Group.NextRecordResult(); ok; r, ok = n.Group.NextRecordResult() {
			if f := waiting[r.ID]; f != nil {
				delete(waiting, r.ID)
				f(r)
			}
		}
	}
}

// kill stops a member without a word.
func (p *population) kill(i int) {
	n := p.alive[i]
	p.alive = slices.Delete(p.alive, i, i+1)
	delete(p.gets, n)
	p.w.Remove(n)
}

// posting posts from random members for a time, so many a second.
func (p *population) posting(d time.Duration, rate, size int) {
	end := p.w.Now().Add(d)
	for p.w.Now() < end {
		n := p.alive[p.rng.IntN(len(p.alive))]
		p.w.Do(n, func(now clock.Time) {
			post, err := n.Group.Posts().Post(now, make([]byte, size))
			if err != nil {
				p.t.Fatal(err)
			}
			s := &sentPost{at: now, author: n, got: map[int]clock.Time{}}
			p.posts = append(p.posts, s)
			p.byID[post.ID] = s
			s.got[n.Number()] = now
			n.Group.Posts().NextPost() // its own
		})
		p.w.Run(time.Second / time.Duration(rate))
	}
}

// reached sums up the posts of a time at those who were there all along.
func (p *population) reached(from, to clock.Time) (want, got int, delays []time.Duration) {
	for _, s := range p.posts {
		if s.at < from || s.at >= to || p.lost(s) {
			continue
		}
		for _, n := range p.alive {
			if n == s.author || p.born[n] > s.at.Add(-10*time.Second) {
				continue
			}
			want++
			if at := s.got[n.Number()]; at != 0 {
				got++
				delays = append(delays, at.Sub(s.at))
			}
		}
	}
	slices.Sort(delays)
	return want, got, delays
}

// lost reports whether a post died with its author and all who had it.
func (p *population) lost(s *sentPost) bool {
	for _, n := range p.alive {
		if s.got[n.Number()] != 0 {
			return false
		}
	}
	return true // an author that lives has it
}

func (p *population) postStats() (s posting.Stats) {
	for _, n := range p.alive {
		m := n.Group.Posts().Stats()
		s.Received += m.Received
		s.Duplicates += m.Duplicates
		s.ControlIn += m.ControlIn
		s.Fetched += m.Fetched
	}
	return s
}

// interval is a mean with its 95 % confidence interval over seeds.
func interval(v []float64) string {
	s := figure.Summarize(v)
	if s.N < 2 {
		return fmt.Sprintf("%.4g", s.Mean)
	}
	return fmt.Sprintf("%.4g ± %.2g (%.4g to %.4g)", s.Mean, s.CI95, s.Min, s.Max)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Posts reach everybody, soon and once, in a group that has formed by itself.
func TestPosts(t *testing.T) {
	var p50, p99, longest, extra, control, share []float64
	for seed := range *flagSeeds {
		p := newPopulation(t, uint64(seed+*flagFirst), group.SpecFields{})
		p.gather(*flagMembers, 100)
		p.w.Run(30 * time.Second)
		p.posting(6*time.Second, 10, 1000) // the trees grow
		before, from := p.postStats(), p.w.Now()
		p.posting(time.Duration(*flagSeconds)*time.Second, 10, 1000)
		to := p.w.Now()
		p.w.Run(5 * time.Second)
		want, got, delays := p.reached(from, to)
		s := p.postStats()
		fresh := float64(s.Received - before.Received)
		p50, p99 = append(p50, millis(delays[len(delays)/2])), append(p99, millis(delays[len(delays)*99/100]))
		longest = append(longest, millis(delays[len(delays)-1]))
		extra = append(extra, float64(s.Duplicates-before.Duplicates)/fresh)
		control = append(control, float64(s.ControlIn-before.ControlIn)/fresh)
		share = append(share, float64(got)/float64(want))
		if got != want {
			t.Errorf("seed %d: %d of %d were reached", seed+*flagFirst, got, want)
		}
		if testing.Verbose() {
			t.Logf("seed %d: p50 %.0f p99 %.0f longest %.0f ms, extra %.4f", seed+*flagFirst, p50[seed], p99[seed], longest[seed], extra[seed])
		}
	}
	t.Logf("%d members, %d seeds: reached %s; p50 %s ms, p99 %s ms, longest %s ms; copies beyond the first %s; control bytes per post and member %s",
		*flagMembers, *flagSeeds, interval(share), interval(p50), interval(p99), interval(longest), interval(extra), interval(control))
}

// Half of the members die at once while posts come.
func TestPostsHalfDie(t *testing.T) {
	var longest, p99 []float64
	for seed := range *flagSeeds {
		p := newPopulation(t, uint64(seed+*flagFirst), group.SpecFields{})
		p.gather(*flagMembers, 100)
		p.w.Run(30 * time.Second)
		p.posting(6*time.Second, 10, 1000)
		from := p.w.Now().Add(-500 * time.Millisecond)
		for range len(p.alive) / 2 {
			p.kill(3 + p.rng.IntN(len(p.alive)-3)) // the introducers stay
		}
		p.posting(8*time.Second, 10, 1000)
		to := p.w.Now()
		p.w.Run(6 * time.Second)
		want, got, delays := p.reached(from, to)
		longest, p99 = append(longest, millis(delays[len(delays)-1])), append(p99, millis(delays[len(delays)*99/100]))
		if got != want || delays[len(delays)-1] > 5*time.Second {
			t.Errorf("seed %d: %d of %d survivors were reached, the last after %v", seed+*flagFirst, got, want, delays[len(delays)-1])
		}
		if testing.Verbose() {
			t.Logf("seed %d: p99 %.0f longest %.0f ms", seed+*flagFirst, p99[seed], longest[seed])
		}
	}
	t.Logf("%d members, %d seeds: p99 %s ms, longest %s ms", *flagMembers, *flagSeeds, interval(p99), interval(longest))
}

// Records are read while members come and go, in sessions of 5 min in the median.
func TestRecords(t *testing.T) {
	var share []float64
	reads := 0
	for seed := range *flagSeeds {
		p := newPopulation(t, uint64(seed+*flagFirst), group.SpecFields{})
		p.gather(*flagMembers, 100)
		p.w.Run(30 * time.Second)
		good, bad := p.readRecords(time.Duration(*flagSeconds) * time.Minute)
		reads += good + bad
		share = append(share, float64(good)/float64(good+bad))
		if float64(bad) > 0.001*float64(good+bad) {
			t.Errorf("seed %d: %d of %d reads failed", seed+*flagFirst, bad, good+bad)
		}
		if testing.Verbose() {
			t.Logf("seed %d: %d reads, %d failed", seed+*flagFirst, good+bad, bad)
		}
	}
	t.Logf("%d members, %d seeds: reads that succeed %s of %d", *flagMembers, *flagSeeds, interval(share), reads)
}

// readRecords puts as many records as there are members, and then reads one
// after the other from random members, five a second, while members are lost
// and come. A read is good if it finds what was put.
func (p *population) readRecords(d time.Duration) (good, bad int) {
	const median = 5 * time.Minute
	count := len(p.alive)
	request := func(n *Member, start func(now clock.Time, s *records.Service) (records.RequestID, error), done func(records.Result)) {
		p.w.Do(n, func(now clock.Time) {
			id, err := start(now, n.Group.Records(now))
			if err != nil {
				p.t.Fatal(err)
			}
			if p.gets[n] == nil {
				p.gets[n] = map[records.RequestID]func(records.Result){}
			}
			p.gets[n][id] = done
		})
	}
	key := func(i int) string { return fmt.Sprint("record ", i) }
	stored := 0
	for i := range count {
		request(p.alive[p.rng.IntN(len(p.alive))], func(now clock.Time, s *records.Service) (records.RequestID, error) {
			return s.Put(now, records.KeyOf(key(i)), []byte(key(i)), 1, records.MaxTTL)
		}, func(r records.Result) {
			if r.Err == nil {
				stored++
			}
		})
		p.w.Run(20 * time.Millisecond)
	}
	p.w.Run(15 * time.Second) // all tries of the last
	if stored != count {
		p.t.Errorf("%d of %d records were put", stored, count)
	}
	// Exponential sessions: the rate at which any of the members ends is
	// count·ln 2 / median.
	mean := time.Duration(float64(median) / math.Ln2 / float64(count))
	next := p.w.Now()
	end := p.w.Now().Add(d)
	for p.w.Now() < end {
		for next <= p.w.Now() {
			next = next.Add(time.Duration(p.rng.ExpFloat64() * float64(mean)))
			p.kill(3 + p.rng.IntN(len(p.alive)-3))
			p.add(false)
		}
		i := p.rng.IntN(count)
		n := p.alive[p.rng.IntN(len(p.alive))]
		if p.born[n] < p.w.Now().Add(-5*time.Second) {
			request(n, func(now clock.Time, s *records.Service) (records.RequestID, error) {
				return s.Get(now, records.KeyOf(key(i)), nil)
			}, func(r records.Result) {
				if r.Err == nil && len(r.Records) == 1 && string(r.Records[0].Value) == key(i) {
					good++
				} else {
					bad++
				}
			})
		}
		p.w.Run(200 * time.Millisecond)
	}
	p.w.Run(15 * time.Second)
	return good, bad
}
