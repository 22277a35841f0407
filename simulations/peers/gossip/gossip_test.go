package gossip

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// The tests' own program is what compare starts for each run.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "gossip" {
		if err := Main(os.Args[2:], os.Stdout, os.Stderr); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func smallOptions(t *testing.T) *options {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &options{
		self: []string{self, "gossip", "-worker"}, systems: []string{"rtmfp", "gossipsub"},
		nodes: []int{8}, access: []float64{50}, latencies: []string{"30ms"}, sizes: []int{8333},
		rate: 2, length: time.Second, warmup: 10 * time.Second, drain: 2 * time.Second, seeds: 1,
	}
}

// Both systems bring every message to every member, no sooner than light does,
// and their figures are about the same run.
func TestSystems(t *testing.T) {
	t.Run("stream", func(t *testing.T) { testSystems(t, smallOptions(t), 30) })
	t.Run("posts", func(t *testing.T) {
		o := smallOptions(t)
		o.posts, o.sizes, o.length = 10, []int{1000}, 3*time.Second
		testSystems(t, o, 30)
	})
}

func testSystems(t *testing.T, o *options, messages int) {
	const nodes = 8
	size, seconds := o.sizes[0], (o.length + o.drain).Seconds()
	o.json = true
	var out bytes.Buffer
	if err := compare(o, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	byName := map[string]Result{}
	for line := range strings.Lines(out.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		byName[e.Result.System] = e.Result
	}
	for _, name := range o.systems {
		r := byName[name]
		if r.Error != "" || r.Delivered != messages*(nodes-1) || r.Delivered != r.Expected {
			t.Errorf("%s: got %d of %d deliveries, %s; want %d", name, r.Delivered, r.Expected, r.Error, messages*(nodes-1))
		}
		if r.Direct.P50 != 30 || r.Direct.Max != 30 {
			t.Errorf("%s: got a direct delay of %+v, want 30 ms", name, r.Direct)
		}
		if r.Delay.P50 < 30 || r.Delay.P50 > r.Delay.P99 || r.Delay.P99 > 2000 {
			t.Errorf("%s: got delays of %+v, want 30 ms and something more", name, r.Delay)
		}
		if r.Copies < 1 || r.Copies > nodes {
			t.Errorf("%s: got %v copies, want 1 to %d", name, r.Copies, nodes)
		}
		if least := float64(messages*size*(nodes-1)) / nodes * r.Copies; r.Sent.Mean < least || r.Sent.Mean > 2*least+150_000 {
			t.Errorf("%s: got %v bytes sent by a node for %v copies, want %v and little more", name, r.Sent.Mean, r.Copies, least)
		}
		if r.CPU <= 0 || r.Heap <= int64(messages*size) || r.Seconds < seconds-.15 || r.Seconds > seconds+.1 {
			t.Errorf("%s: got %v s of CPU, %d bytes of heap in %v s", name, r.CPU, r.Heap, r.Seconds)
		}
	}
	if byName["gossipsub"].Copies < 2 {
		t.Errorf("GossipSub: got %v copies among 8 nodes that are all neighbors, want many: is that a mesh?", byName["gossipsub"].Copies)
	}
}

// Our side repeats, with every choice from the seed.
func TestRepeats(t *testing.T) {
	var got [3]Result
	for i := range got {
		s := smallOptions(t).scenarios()[0]
		s.Latencies, s.Seed = "synthetic", uint64(1+i/2)
		if err := s.settle(); err != nil {
			t.Fatal(err)
		}
		runRTMFP(t, &s, func(r Result) { got[i] = r })
	}
	if got[0].Error != "" || got[0].Delay != got[1].Delay || got[0].Sent != got[1].Sent {
		t.Errorf("two runs of one seed: got %+v and %+v, want them equal", got[0], got[1])
	}
	if got[0].Delay == got[2].Delay || got[0].Direct == got[2].Direct {
		t.Errorf("two seeds: got %+v twice", got[0])
	}
}

// The slower the access, the later everything comes: the limit is there, in
// both systems.
func TestAccess(t *testing.T) {
	o := smallOptions(t)
	o.nodes, o.access, o.sizes, o.json = []int{4}, []float64{100, 10}, []int{65536}, true
	var out bytes.Buffer
	if err := compare(o, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	fast := map[string]float64{}
	for line := range strings.Lines(out.String()) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Result.Error != "" {
			t.Fatal(e.Result.Error)
		}
		if e.Scenario.Access == 100e6 {
			fast[e.Result.System] = e.Result.Delay.P50
			continue
		}
		// 64 KiB take 52 ms at 10 Mbit/s and 5 ms at 100. Much of that goes by
		// while a window opens.
		if slow := e.Result.Delay.P50; slow < fast[e.Result.System]+10 || slow < 82 {
			t.Errorf("%s: got a median of %v ms at 10 Mbit/s and %v at 100, want the difference that the link makes",
				e.Result.System, slow, fast[e.Result.System])
		}
	}
}

func TestTable(t *testing.T) {
	kind := smallOptions(t).scenarios()[0]
	var all []entry
	for seed := range 3 {
		for i, name := range []string{"a", "b"} {
			r := Result{System: name, Expected: 10, Delivered: 10, CPU: 1, Heap: 8e6, Copies: float64(1 + i*(4+seed))}
			r.Delay, r.Direct = Quantiles{60, 50, 70, 90, 100}, Quantiles{30, 30, 30, 30, 30}
			all = append(all, entry{kind, r})
		}
	}
	var out bytes.Buffer
	w := newTable(&out, []string{"a", "b"})
	w.print(kind, all)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || w.failed != nil {
		t.Fatalf("got %d lines, %v, want a head, two systems, and their ratio:\n%s", len(lines), w.failed, &out)
	}
	for i, want := range map[int]string{2: "| 2.00 | 1.000 (1.000–1.000) |", 3: "| 6.000 (5.000–7.000) |", 4: "| 0.17 |"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("got %q, want %q in it", lines[i], want)
		}
	}
	for _, line := range lines {
		if got, want := strings.Count(line, "|"), len(columns)+3; got != want {
			t.Errorf("got %d bars, want %d: %s", got, want, line)
		}
	}
	all[0].Result.Error, all[2].Result.Error, all[4].Result.Error = "x", "x", "x"
	if w.print(kind, all); w.failed == nil {
		t.Error("no run of a system went well: got no error")
	}
}

func TestArguments(t *testing.T) {
	for _, bad := range [][]string{
		{"-nodes", "many"}, {"-nodes", "1"}, {"-access", ""}, {"-size", "7"}, {"-systems", "floodsub"}, {"-seeds", "0"},
		{"-rate", "0"}, {"-posts", "-1"}, {"-posts", "many"}, {"-latency", "no/such/file"}, {"-nonsense"}, {"more"}, {"-worker", "floodsub"},
	} {
		if err := Main(bad, io.Discard, io.Discard); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestMessages(t *testing.T) {
	b := make([]byte, 100)
	fill(b, 7)
	if n, err := check(b, 100, 8); n != 7 || err != nil {
		t.Errorf("got %d, %v, want 7", n, err)
	}
	for _, c := range []struct{ size, messages int }{{99, 8}, {100, 7}} {
		if _, err := check(b, c.size, c.messages); err == nil {
			t.Errorf("%+v: got no error", c)
		}
	}
	b[50]++
	if _, err := check(b, 100, 8); err == nil {
		t.Error("a changed message: got no error")
	}
}
