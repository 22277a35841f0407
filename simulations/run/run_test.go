package run

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/scenario"
)

func load(t *testing.T, what string, settings ...string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Load(what, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// parse reads a scenario from text.
func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.toml", text, "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func once(t *testing.T, s *scenario.Scenario, seed uint64, opts Options) *Result {
	t.Helper()
	m, err := s.Map()
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(t.Context(), s, m, seed, opts)
	if err != nil {
		t.Fatal(err)
	}
	if res.Breach != nil {
		t.Fatal(res.Breach)
	}
	return res
}

// Viewers of a stream that was announced have their places when it begins, and
// nobody waits for the first message longer than it takes to get there.
func TestAnnounced(t *testing.T) {
	worst := func(announced string) (worst time.Duration) {
		s := parse(t, `nodes = 8
warmup = "4s"
duration = "2s"
drain = "1s"
[network]
geography = "flat"
[live]
bitrate = "100kbit/s"
announced = `+announced)
		once(t, s, 1, Options{Delivered: func(_ int, delay time.Duration) { worst = max(worst, delay) }})
		return worst
	}
	if yes, no := worst("true"), worst("false"); yes > 100*time.Millisecond || no <= yes {
		t.Errorf("longest delay: got %v of an announced stream and %v of another, want at most 100ms and more", yes, no)
	}
}

// Every scenario of the library runs in its small size without breaking an
// invariant, everybody gets in, and viewers see the stream.
func TestSmallScenarios(t *testing.T) {
	for _, e := range scenario.Library() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			s := load(t, e.Name+"/small")
			res := once(t, s, 1, Options{})
			f := res.Figures
			if f["joined_ratio"] < 1 || f["neighbors_mean_count"] < 2 {
				t.Errorf("joined %v, neighbors %v", f["joined_ratio"], f["neighbors_mean_count"])
			}
			if s.Posts != nil && !(f["post_lost_ratio"] == 0 && f["post_delay_p50_ms"] > 5) {
				t.Errorf("lost %v of the posts, in %v ms", f["post_lost_ratio"], f["post_delay_p50_ms"])
			}
			if s.Routing != nil && !(f["route_lost_ratio"] < 0.01 && f["route_wrong_ratio"] < 0.05 && f["route_mean_hops"] > 1) {
				t.Errorf("lost %v of the routed messages, %v came to the wrong member, over %v hops", f["route_lost_ratio"], f["route_wrong_ratio"], f["route_mean_hops"])
			}
			if s.Files != nil && !(f["file_done_ratio"] == 1 && f["file_time_max_s"] > 0.5 && f["file_holder_copies_ratio"] >= 1) {
				t.Errorf("%v have their file, the last after %v s, of which the holders sent %v copies", f["file_done_ratio"], f["file_time_max_s"], f["file_holder_copies_ratio"])
			}
			if s.Live == nil {
				if s.Posts != nil || s.Routing != nil || s.Files != nil {
					return
				}
				if v := f["maintenance_bytes_per_s"]; !(v > 10 && v < 5000) {
					t.Errorf("an idle node sends %v bytes per second", v)
				}
				return
			}
			if f["not_started_ratio"] > 0 || !(f["delay_p50_ms"] > 5 && f["delay_p50_ms"] < 2000) || !(f["ontime_1000ms_ratio"] > 0.5) {
				t.Errorf("not started %v, median delay %v ms, on time within 1 s %v",
					f["not_started_ratio"], f["delay_p50_ms"], f["ontime_1000ms_ratio"])
			}
			if len(res.Shocks) != len(s.Shocks) {
				t.Errorf("got %d shocks, want %d", len(res.Shocks), len(s.Shocks))
			}
			for _, sh := range res.Shocks {
				if sh.Hit == 0 {
					t.Errorf("the shock %s met nobody", sh.Name)
				}
			}
		})
	}
}

const tiny = `
nodes = 8
warmup = "3s"
duration = "3s"
drain = "2s"
[network]
geography = "flat"
latency = "30ms"
[live]
bitrate = "200kbit/s"
`

// A seed does the same every time, also beside others, and other seeds do not.
func TestRepeats(t *testing.T) {
	s := parse(t, tiny+"[sessions]\ndistribution = \"weibull\"\nmedian = \"10s\"\n")
	results, err := Seeds(t.Context(), s, []uint64{7, 8, 7}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := results[0], results[1], results[2]
	if a.Trace != c.Trace || a.Trace == b.Trace || a.Seed != 7 || b.Seed != 8 {
		t.Errorf("traces of the seeds 7, 8, 7: %s %s %s", a.Trace, b.Trace, c.Trace)
	}
	for name, v := range a.Figures {
		if f, w := name, c.Figures[name]; v != w && f != "events_per_s" && f != "real_time_ratio" && f != "memory_per_node_bytes" {
			t.Errorf("%s: got %v and %v from the same seed", f, v, w)
		}
	}
	if population.Load() != 0 {
		t.Errorf("%d nodes are still counted after all runs", population.Load())
	}
}

// On a flat network with nothing in the way the figures are known beforehand.
func TestFiguresOfAFlatNetwork(t *testing.T) {
	res := once(t, parse(t, tiny), 3, Options{})
	f := res.Figures
	near := func(name string, want, part float64) {
		t.Helper()
		if got, ok := f[name]; !ok || math.Abs(got-want) > part*want {
			t.Errorf("%s: got %v (%v), want %v within %v %%", name, got, ok, want, 100*part)
		}
	}
	near("direct_mean_ms", 30, 0.01)
	near("ontime_200ms_ratio", 1, 1e-9)
	near("nodes_mean_count", 8, 1e-9)
	near("ring_ratio", 1, 1e-9)
	near("fragment_ontime_ratio", 1, 1e-9)
	if f["lost_ratio"] != 0 || f["lost_datagrams_ratio"] != 0 {
		t.Errorf("lost: got %v of messages and %v of datagrams, want none", f["lost_ratio"], f["lost_datagrams_ratio"])
	}
	// Every hop takes 30 ms, and nothing takes less than one or more than a few.
	if f["delay_p50_ms"] < 29.9 || f["delay_max_ms"] > 200 {
		t.Errorf("delay: got %v ms in the middle, %v at most", f["delay_p50_ms"], f["delay_max_ms"])
	}
	// 6 viewers of 200 kbit/s, 3 s.
	if got, want := float64(res.Delay.Count()), 6*200e3*3/8/940; math.Abs(got-want) > 0.1*want {
		t.Errorf("got %v deliveries, want some %.0f", got, want)
	}
}

// A stream that goes on before it is measured is seen from its beginning, and
// nothing of that is in the figures.
func TestLead(t *testing.T) {
	var first time.Duration
	alone := once(t, parse(t, tiny), 3, Options{})
	res := once(t, parse(t, tiny+"lead = \"1500ms\"\n"), 3, Options{Tell: func(h Happening) {
		if h.What == "first_frame" && first == 0 {
			first = h.At
		}
	}})
	if first < 1500*time.Millisecond || first > 2*time.Second {
		t.Errorf("the first message is seen at %v, want soon after 1.5s", first)
	}
	f, was := res.Figures, alone.Figures
	if got, want := res.Delay.Count(), uint64(6*80); got != want { // 3 s in messages of 37.6 ms
		t.Errorf("got %d deliveries, want %d", got, want)
	}
	if short, ok := f["short_ratio"]; !ok || short > 0.01 { // but for what is on its way
		t.Errorf("short of the rate by %v (%v)", short, ok)
	}
	if f["lost_ratio"] != 0 || f["ontime_200ms_ratio"] != 1 || f["not_started_ratio"] != 0 {
		t.Errorf("lost %v, on time %v, not started %v", f["lost_ratio"], f["ontime_200ms_ratio"], f["not_started_ratio"])
	}
	if got, want := f["publisher_copies_ratio"], was["publisher_copies_ratio"]; got < 1 || got > 1.2*want {
		t.Errorf("%v copies of the publisher, %v without a lead", got, want)
	}
	// Trees are there when measuring begins, so nothing has to be pulled.
	if f["pulled_ratio"] >= was["pulled_ratio"] {
		t.Errorf("pulled: %v, %v without a lead", f["pulled_ratio"], was["pulled_ratio"])
	}
	if len(res.OnTime) != 30 || len(res.Seconds) != 3 {
		t.Errorf("%d tenths of a second and %d seconds were measured, want 30 and 3", len(res.OnTime), len(res.Seconds))
	}
}

// Uploads that are half of what is needed are short of the rate by about half.
func TestShort(t *testing.T) {
	f := once(t, parse(t, `nodes = 12
warmup = "6s"
duration = "6s"
drain = "1s"
[network]
geography = "flat"
[live]
bitrate = "500kbit/s"
lead = "4s"
publisher_class = "source"
[[class]]
name = "source"
share = 0
upload_limit = "1Mbit/s"
[[class]]
name = "others"
upload_limit = "200kbit/s"
`), 1, Options{}).Figures
	if short := f["short_ratio"]; short < 0.3 || short > 0.7 {
		t.Errorf("short of the rate by %v, want about half", short)
	}
}

// What nodes do with a datagram takes time at each hop, and none of the direct
// way. A fragment alone waits for nothing but its signature; a message that is
// played waits for those before it.
func TestHops(t *testing.T) {
	f := once(t, parse(t, strings.Replace(tiny, "latency", "hop = \"10ms\"\nlatency", 1)+"lead = \"1500ms\"\n"), 3, Options{}).Figures
	if math.Abs(f["direct_mean_ms"]-30) > 0.5 {
		t.Errorf("direct: got %v ms, want 30", f["direct_mean_ms"])
	}
	if least := 40 * f["depth_mean_hops"]; f["fragment_delay_mean_ms"] < least || f["delay_mean_ms"] < f["fragment_delay_mean_ms"] {
		t.Errorf("delay of fragments: got %v ms, want %v ms at least and at most the delay of messages, %v", f["fragment_delay_mean_ms"], least, f["delay_mean_ms"])
	}
	if got, want := f["fragment_stretch_mean_ratio"], f["fragment_delay_mean_ms"]/30; math.Abs(got-want) > 0.02*want {
		t.Errorf("stretch of fragments: got %v, want %v", got, want)
	}
}

// Fragments are told from digests, which have numbers of their own, and long
// streams are not remembered for ever.
func TestFragments(t *testing.T) {
	var f fragments
	f.init(2000)
	if f.each != 3 {
		t.Errorf("2000 bytes make %d fragments, want 3", f.each)
	}
	f.wrote(10)
	f.wrote(20)
	for _, id := range []uint64{2, 3, 4, 6} {
		f.out(id)
	}
	for id, want := range []clock.Time{0, 0, 10, 10, 10, 0, 20, 0} {
		if got := f.written(uint64(id)); got != want {
			t.Errorf("fragment %d: written at %v, want %v", id, got, want)
		}
	}
	for id := uint64(7); id < 4*fragmentsKept; id++ {
		f.wrote(30)
		f.out(id)
	}
	if len(f.at) > 2*fragmentsKept || f.written(6) != 0 || f.written(3*fragmentsKept) != 30 {
		t.Errorf("%d are remembered, the sixth at %v and a late one at %v", len(f.at), f.written(6), f.written(3*fragmentsKept))
	}
}

func TestShocks(t *testing.T) {
	type came struct{ what, text string }
	for _, c := range []struct {
		name, shock string
		hit         int
		check       func(r *Result) bool
	}{
		{"die", "kind = \"die\"\nshare = 0.5", 3, func(r *Result) bool { return r.Samples[len(r.Samples)-1].Nodes == 5 }},
		{"die-first-level", "kind = \"die-first-level\"", -1, func(r *Result) bool { return r.Samples[len(r.Samples)-1].Nodes < 8 }},
		{"die-introducers", "kind = \"die-introducers\"", 1, func(r *Result) bool { return r.Figures["lost_ratio"] == 0 }},
		{"crowd", "kind = \"crowd\"\nfactor = 2\nover = \"500ms\"", 8, func(r *Result) bool {
			f := r.Figures
			return r.Samples[len(r.Samples)-1].Nodes == 16 && f["startup_p50_ms"] > 30 && f["startup_max_ms"] >= f["startup_p99_ms"] &&
				math.Abs(f["startup_p95_ms"]-60-f["startup_less_join_p95_ms"]) < 5 // a round trip to the introducer
		}},
		{"partition", "kind = \"partition\"\nshare = 0.5\nfor = \"800ms\"", 3, func(r *Result) bool {
			return r.Figures["worst_ontime_ratio.partition"] < 0.9 && r.Figures["lost_datagrams_ratio"] > 0
		}},
		{"one-way", "kind = \"one-way\"\nshare = 0.34\nfor = \"500ms\"", 2, func(r *Result) bool { return r.Figures["lost_datagrams_ratio"] > 0 }},
		{"loss", "kind = \"loss\"\nloss = 0.3\nfor = \"500ms\"", 0, func(r *Result) bool { return r.Figures["lost_datagrams_ratio"] > 0.01 }},
		{"cut", "kind = \"cut\"\nfor = \"800ms\"", 1, func(r *Result) bool {
			return r.Figures["worst_ontime_ratio.cut"] < 0.9 && r.Figures["lost_ratio"] == 0 && r.Figures["delay_max_ms"] > 800
		}},
		{"pollute", "kind = \"pollute\"\nshare = 0.5", 3, func(r *Result) bool {
			return r.Figures["fragment_ontime_ratio"] > 0.9 && r.Delay.Count() < 6*80*3/4 // what they see themselves does not count
		}},
		{"stall", "kind = \"stall\"\nshare = 0.34\nfor = \"800ms\"", 2, func(r *Result) bool {
			return r.Figures["worst_ontime_ratio.stall"] < 0.9 && r.Figures["delay_max_ms"] > 500
		}},
		{"slow", "kind = \"slow\"\nshare = 0.34\nfor = \"1s\"\npacket_cost = \"20ms\"", 2, func(r *Result) bool { return r.Figures["delay_max_ms"] > 100 }},
		{"move", "kind = \"move\"\nshare = 0.34", 2, func(r *Result) bool { return r.Figures["delay_max_ms"] > 150 && r.Figures["lost_ratio"] == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var told []came
			res := once(t, parse(t, tiny+"[[shock]]\nat = \"1s\"\n"+c.shock+"\n"), 5, Options{Tell: func(h Happening) {
				told = append(told, came{h.What, h.Text})
			}})
			if len(res.Shocks) != 1 || c.hit >= 0 && res.Shocks[0].Hit != c.hit {
				t.Errorf("got %+v, want one that met %d", res.Shocks, c.hit)
			}
			if !c.check(res) {
				t.Errorf("it did not do what it is there for: %v", res.Figures)
			}
			if !slices.ContainsFunc(told, func(k came) bool { return k.what == "shock" }) {
				t.Errorf("nobody was told of the shock")
			}
			if cut := slices.ContainsFunc(told, func(k came) bool { return k.what == "cut_off" }); cut != (c.name == "pollute") {
				t.Errorf("somebody was cut off: %v", cut)
			}
		})
	}
}

// An honest member that is cut off breaks an invariant, one that pollutes does
// not.
func TestCutOff(t *testing.T) {
	var r *run
	once(t, parse(t, tiny+"[[shock]]\nat = \"1s\"\nkind = \"pollute\"\nshare = 0.2\n"), 5, Options{made: func(made *run) { r = made }})
	for _, evil := range []bool{true, false} { // in this order: the first breach ends the run
		i := slices.IndexFunc(r.members, func(m *member) bool { return m.role == viewer && m.evil == evil })
		r.cutOff(r.members[0], r.members[i].peer)
		if b, _ := r.net.Err().(*simulations.Breach); (b != nil && b.Name == "ban") == evil {
			t.Errorf("somebody was cut off, evil: %v; got breach %v", evil, b)
		}
	}
}

// Latencies that change are those that delays are compared with from then on,
// and delays follow.
func TestLatenciesChange(t *testing.T) {
	text := strings.Replace(tiny, "geography = \"flat\"\nlatency = \"30ms\"", "last_mile = [\"0s\", \"0s\"]", 1) +
		"lead = \"1500ms\"\n[measure]\nstretch = 3\n"
	was := once(t, parse(t, text), 1, Options{}).Figures
	f := once(t, parse(t, text+"[[shock]]\nkind = \"latencies\"\n"), 1, Options{}).Figures
	if math.Abs(f["direct_mean_ms"]-was["direct_mean_ms"]) < 0.5 || math.Abs(f["fragment_delay_mean_ms"]-was["fragment_delay_mean_ms"]) < 0.5 {
		t.Errorf("direct %v ms, and %v before; delays %v ms, and %v", f["direct_mean_ms"], was["direct_mean_ms"], f["fragment_delay_mean_ms"], was["fragment_delay_mean_ms"])
	}
	if got, ok := f["stretch_recovery_s.latencies"]; !ok || got < 0 || got > 1 {
		t.Errorf("stretch below 3 after %v s (%v), want at once", got, ok)
	}
}

func TestStretchRecovery(t *testing.T) {
	var f fragments
	for i := range 60 { // three times the direct latency from 2 s to 3 s, otherwise one and a half
		d := delays{150, 100}
		if i >= 20 && i < 30 {
			d.delay = 300
		}
		f.bins = append(f.bins, d)
	}
	for _, c := range []struct {
		to      int
		stretch float64
		want    time.Duration
		ok      bool
	}{
		{60, 3, 0, true},
		{60, 1.5, 2 * time.Second, true},
		{60, 2, 1700 * time.Millisecond, true}, // a window may have three bad tenths
		{60, 1.4, 0, false},
		{35, 1.5, 0, false}, // it is not over by then
	} {
		if got, ok := f.recovery(10, c.to, c.stretch); ok != c.ok || ok && got != c.want {
			t.Errorf("below %v until %d: got %v, %v, want %v, %v", c.stretch, c.to, got, ok, c.want, c.ok)
		}
	}
}

// A region is where it is, and one that does not exist is refused.
func TestRegions(t *testing.T) {
	text := "nodes = 30\nwarmup = \"3s\"\nduration = \"3s\"\n[[shock]]\nat = \"1s\"\nkind = \"die-region\"\nregion = \"Asia\"\n"
	dead := 0
	res := once(t, parse(t, text), 2, Options{Tell: func(h Happening) {
		if h.What == "die" {
			dead++
		}
	}})
	if dead == 0 || dead != res.Shocks[0].Hit || dead > 28 {
		t.Errorf("%d nodes died in Asia, the shock met %d", dead, res.Shocks[0].Hit)
	}
	s := parse(t, text)
	flat := parse(t, "[network]\ngeography = \"flat\"\n")
	m, _ := flat.Map()
	if _, err := Run(t.Context(), s, m, 1, Options{}); err == nil {
		t.Error("a region that the geography does not have: got no error")
	}
}

// Adversaries change what they are there to change, and the others still get
// the stream.
func TestAdversaries(t *testing.T) {
	for _, kind := range scenario.AdversaryKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			plain := once(t, parse(t, tiny), 4, Options{})
			res := once(t, parse(t, tiny+"[[adversary]]\nkind = \""+kind+"\"\nshare = 0.4\n"), 4, Options{})
			if res.Trace == plain.Trace {
				t.Error("the run is the same as without adversaries")
			}
			if f := res.Figures; f["ontime_1000ms_ratio"] < 0.9 || f["not_started_ratio"] > 0 {
				t.Errorf("on time within 1 s: %v, not started: %v", f["ontime_1000ms_ratio"], f["not_started_ratio"])
			}
		})
	}
}

func TestSessions(t *testing.T) {
	for _, distribution := range []string{"exponential", "weibull"} {
		s := parse(t, "[sessions]\ndistribution = \""+distribution+"\"\nmedian = \"84s\"\n")
		r := &run{s: s}
		r.seed(1)
		var all []time.Duration
		sum := 0.0
		for range 20_000 {
			d := r.session()
			all = append(all, d)
			sum += d.Seconds()
		}
		slices.Sort(all)
		if median := all[len(all)/2].Seconds(); math.Abs(median-84) > 4 {
			t.Errorf("%s: got a median of %.1f s, want 84", distribution, median)
		}
		if mean, want := sum/float64(len(all)), s.MeanSession().Seconds(); math.Abs(mean-want) > 0.06*want {
			t.Errorf("%s: got a mean of %.1f s, want %.1f", distribution, mean, want)
		}
	}
}

// A population with sessions stays as large as it was, as those who come
// replace those who leave.
func TestChurnKeepsTheSize(t *testing.T) {
	s := parse(t, "nodes = 40\nwarmup = \"4s\"\nduration = \"20s\"\n[network]\ngeography = \"flat\"\n[sessions]\ndistribution = \"exponential\"\nmedian = \"10s\"\norderly = 0.5\n")
	left, died := 0, 0
	res := once(t, s, 1, Options{Tell: func(h Happening) {
		switch h.What {
		case "leave":
			left++
		case "die":
			died++
		}
	}})
	if n := res.Figures["nodes_mean_count"]; n < 30 || n > 50 {
		t.Errorf("got %v nodes on average, want some 40", n)
	}
	if all := left + died; all < 30 || left < all/4 || died < all/4 {
		t.Errorf("%d left and %d died, want half of some 55 each", left, died)
	}
}

func TestWindows(t *testing.T) {
	w := windows{each: 3}
	for i := range 100 { // ten seconds; the second from 3 to 4 is bad, and 4.5 a little
		w.published(time.Duration(i)*bin + 1)
		got := [columns]uint16{1, 1, 1, 3}
		if i >= 30 && i < 40 {
			got = [columns]uint16{0, 0, 1, 2}
		}
		if i == 45 {
			got[1] = 0
		}
		w.add(i, &got)
	}
	if d, ok := w.recovery(30, 100, 1); !ok || d != 1600*time.Millisecond {
		t.Errorf("recovery within 500 ms: got %v, %v, want 1.6s", d, ok)
	}
	if d, ok := w.recovery(30, 100, 2); !ok || d != 0 {
		t.Errorf("recovery within 1 s: got %v, %v, want none needed", d, ok)
	}
	if d, ok := w.recovery(30, 60, 1); ok {
		t.Errorf("recovery that is not over: got %v", d)
	}
	if d, ok := w.recovery(120, 200, 1); ok {
		t.Errorf("recovery where nothing was due: got %v", d)
	}
	if got := w.worst(30, 100, 1); got != 0 {
		t.Errorf("the worst second: got %v, want 0", got)
	}
	if d, ok := w.recovery(30, 100, single); !ok || d != time.Second {
		t.Errorf("recovery of fragments: got %v, %v, want 1s", d, ok)
	}
	if got, _ := w.total(single); math.Abs(got-(1-10.0/300)) > 1e-12 {
		t.Errorf("fragments on time in all: got %v, want 290 of 300", got)
	}
	if got, _ := w.total(1); got != 0.89 {
		t.Errorf("on time in all: got %v, want 0.89", got)
	}
}

// A run ends with its context, and says so.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := parse(t, tiny)
	m, _ := s.Map()
	_, err := Run(ctx, s, m, 1, Options{Tell: func(h Happening) {
		if h.What == "publish" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if population.Load() < 0 {
		t.Error("nodes were counted out twice")
	}
}

// A run that is cut short has the figures of what it saw.
func TestUntil(t *testing.T) {
	res := once(t, parse(t, tiny), 1, Options{Until: 5 * time.Second})
	if res.Figures["delay_p50_ms"] < 29 || len(res.Seconds) != 2 {
		t.Errorf("got %v and %d seconds", res.Figures["delay_p50_ms"], len(res.Seconds))
	}
	if res := once(t, parse(t, tiny), 1, Options{Until: time.Second}); len(res.Figures) != 0 {
		t.Errorf("a run that ends in its warm-up: got %v", res.Figures)
	}
}

// What breaks an invariant stops the run, and is told.
func TestBreach(t *testing.T) {
	s := parse(t, tiny)
	m, _ := s.Map()
	res, err := Run(t.Context(), s, m, 1, Options{Watch: func(number int, _ string, cfg *simulations.NodeConfig) {
		if number == 3 {
			cfg.Wrap = breaker
		}
	}})
	if err != nil || res.Breach == nil || res.Breach.Name != "panic" || res.Breach.Seed != 1 {
		t.Errorf("got %v and breach %v, want the panic of node 3", err, res.Breach)
	}
}

// breaker is a core that panics when it is first called.
func breaker(*simulations.Node, *node.Core) simulations.Driven { return broken{} }

type broken struct{ simulations.Driven }

func (broken) Advance(clock.Time) { panic("on purpose") }
