package live

import (
	"cmp"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rtmfp/simulations/figure"
	"rtmfp/simulations/geography"
)

var (
	large        = flag.Bool("large", false, "run the measurements at the size of their rows, which takes minutes")
	largePackets = flag.Bool("packets", false, "with the whole transport instead of messages")
	largeMembers = flag.Int("members", 0, "members, instead of what each row has by default")
	largePicture = flag.Int("pictures", 0, "messages a second, instead of one for each fragment")
	largeRate    = flag.Int("rate", 0, "kbit/s of the stream, instead of what each row has")
	largeSeeds   = flag.Int("seeds", 10, "runs of each")
	largeSettle  = flag.Duration("settle", 20*time.Second, "time before a steady row is measured")
	largeDoors   = flag.Int("introducers", 1, "introducers of a group, which newcomers call at once")
	largeJoin    = flag.Duration("join", 20*time.Millisecond, "time between two members of the group that is made before the stream begins")
	largeFirst   = flag.Int("first", 0, "the first seed of them")
)

// row is a measurement: with -large as its row in the documentation asks for,
// otherwise so small that it takes a second or two.
type row struct {
	*testing.T
	members int
	seeds   int
	rate    int // bit/s
	names   []string
	values  map[string][]float64
}

func newRow(t *testing.T, small, big int) *row {
	if !*large {
		return &row{T: t, members: small, seeds: 1, rate: 300_000}
	}
	return &row{T: t, members: cmp.Or(*largeMembers, big), seeds: *largeSeeds, rate: cmp.Or(*largeRate*1000, 2_000_000)}
}

// each calls f for every seed.
func (r *row) each(f func(seed uint64)) {
	for seed := *largeFirst; seed < *largeFirst+r.seeds; seed++ {
		f(uint64(seed))
	}
	r.tell()
}

func (r *row) add(name string, v float64) {
	if r.values == nil {
		r.values = map[string][]float64{}
	}
	if r.values[name] == nil {
		r.names = append(r.names, name)
	}
	r.values[name] = append(r.values[name], v)
}

// addFigures adds what every steady row tells.
func (r *row) addFigures(f *Figures) {
	r.add("mean delay / direct", f.Ratio())
	r.add("the same once signed", f.RatioSigned())
	r.add("p99 delay / direct", f.Ratio99())
	r.add("mean delay, ms", f.Mean)
	r.add("mean direct delay, ms", f.Direct)
	r.add("wait to be signed, ms", f.Wait)
	r.add("signatures / payload", f.Digests)
	r.add("digests twice", f.DigestsTwice)
	r.add("digests pulled", f.DigestsPulled)
	r.add("came before their digest", f.Waited)
	r.add("wait for digests, ms", f.WaitedFor)
	r.add("p99 delay, ms", f.P99)
	r.add("viewers without a picture", f.Blank)
	r.add("late or lost at 500 ms", 1-f.OnTime)
	r.add("duplicates / payload", f.Duplicates)
	r.add("pulled", f.Pulled)
	r.add("control / payload", f.Control)
	r.add("wire overhead / payload", f.Wire)
	r.add("publisher's copies", f.Copies)
	r.add("busiest viewer's copies", f.BusiestCopies)
	r.add("best way over the links / direct", f.Links/f.Direct)
	r.add("links", f.Degree)
	r.add("depth", f.Depth)
	r.add("parents", f.Parents)
	r.add("moves of a viewer", f.Moved)
	r.add("parents lost", f.Replaced)
	if *large {
		r.Logf("seed %d: %+v", *largeFirst+len(r.values["depth"])-1, *f) // should it not come to its end
	}
}

// tell logs mean and 95 % confidence interval, and the least and most.
func (r *row) tell() {
	for _, name := range r.names {
		s := figure.Summarize(r.values[name])
		r.Logf("%-28s %10.4g ± %.2g (%.4g to %.4g, %d seeds)", name, s.Mean, s.CI95, s.Min, s.Max, s.N)
	}
}

// atMost fails if the mean over the seeds exceeds a bound.
func (r *row) atMost(name string, limit float64) {
	r.Helper()
	if mean := figure.Summarize(r.values[name]).Mean; mean > limit || math.IsNaN(mean) || len(r.values[name]) == 0 {
		r.Errorf("%s: %.4g, want at most %.4g", name, mean, limit)
	}
}

// planetLab returns the places of the measurement that RTMFP_PLANETLAB names,
// files of round-trip times of different slices of time, or stands in for it.
func planetLab(t *testing.T) *geography.Map {
	return load(t, "RTMFP_PLANETLAB")
}

func load(t *testing.T, variable string) *geography.Map {
	t.Helper()
	files := filepath.SplitList(os.Getenv(variable))
	if len(files) == 0 {
		if *large {
			t.Logf("without %s: cities of the world", variable)
		}
		return geography.Synthetic()
	}
	m, err := geography.Load(files...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// start makes an audience that watches for some time before it is measured.
func (r *row) start(cfg Config, settle time.Duration) *Audience {
	r.Helper()
	cfg.Packets = cfg.Packets || *largePackets
	cfg.Rate = cmp.Or(cfg.Rate, r.rate)
	cfg.KeyEvery = time.Second
	cfg.Pictures = *largePicture
	cfg.Introducers = *largeDoors
	a, err := New(cfg)
	if err != nil {
		r.Fatal(err)
	}
	a.Run(time.Second)
	if err := a.Fill(r.members, time.Duration(r.members)**largeJoin); err != nil {
		r.Fatal(err)
	}
	a.Run(2 * time.Second)
	a.Begin()
	for left := settle; left > 0; left -= 10 * time.Second {
		if *large {
			r.Logf("%d members at %v: %v until it is measured", len(a.Living()), time.Duration(a.Now()), left)
		}
		a.Run(min(left, 10*time.Second))
	}
	return a
}

// steady measures for a while.
func (a *Audience) steady(d time.Duration) *Figures {
	a.Measure()
	a.Run(d)
	a.End()
	a.Run(time.Second)
	return a.Figures()
}

// The trees of a group that stays together: 490 members at the places of
// PlanetLab, each of which passes on at most four copies, and 1 ms for every
// hop.
func TestRowSteady(t *testing.T) {
	r := newRow(t, 40, 490)
	places := planetLab(t)
	r.each(func(seed uint64) {
		a := r.start(Config{Seed: seed, Map: places, Hop: time.Millisecond, Copies: 4}, r.settle())
		r.addFigures(a.steady(r.length()))
	})
	r.atMost("duplicates / payload", 0.02)
	r.atMost("publisher's copies", 5)
	if !*large {
		r.atMost("mean delay / direct", 1.6) // the trees are young
		r.atMost("late or lost at 500 ms", 0.01)
		return
	}
	r.atMost("p99 delay / direct", 1.5)
	r.atMost("late or lost at 500 ms", 0.001)
	r.atMost("mean delay / direct", 1.15)
	r.atMost("control / payload", 0.05)
	r.atMost("busiest viewer's copies", 4)
}
