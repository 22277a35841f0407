// Package gossip compares a group of our nodes with GossipSub: both carry the
// same messages to the same members on the same virtual network, and a table
// says how long it took, how often everything was sent, and what it cost.
//
// docs/performance.md has the results and says what they mean.
package gossip

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options say what to compare: every combination of the lists.
type options struct {
	systems   []string
	nodes     []int
	access    []float64 // Mbit/s
	latencies []string
	sizes     []int
	rate      float64 // Mbit/s
	posts     float64 // each second, instead of a stream; 0 = a stream
	length    time.Duration
	warmup    time.Duration
	drain     time.Duration
	seeds     int
	json      bool
	self      []string // the command that runs one scenario, without the system's name
}

// joining is the time between two nodes that join.
const joining = 20 * time.Millisecond

// Main runs the command with its arguments.
func Main(args []string, out, progress io.Writer) error {
	if len(args) == 2 && args[0] == "-worker" {
		return work(args[1], os.Stdin, out)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o := options{self: []string{self, "gossip", "-worker"}}
	f := flag.NewFlagSet("gossip", flag.ContinueOnError)
	f.SetOutput(progress)
	systems := f.String("systems", "rtmfp,gossipsub", "what to compare; ratios are of the first to the second")
	nodes := f.String("nodes", "100", "sizes of the group")
	access := f.String("access", "100,20", "speeds of every node's uplink and downlink, Mbit/s")
	latencies := f.String("latency", "50ms", "one-way latencies: a duration, \"synthetic\", or a file of round-trip times")
	sizes := f.String("size", "", "sizes of the messages, bytes (default 65536,8333, of posts 1000)")
	f.Float64Var(&o.rate, "rate", 2, "the stream's rate, Mbit/s")
	f.Float64Var(&o.posts, "posts", 0, "posts a second, from random members, instead of a stream")
	f.DurationVar(&o.length, "length", 10*time.Second, "of the stream, or of posting")
	f.DurationVar(&o.warmup, "warmup", 30*time.Second, "between the last node's joining and the first message")
	f.DurationVar(&o.drain, "drain", 10*time.Second, "after the last message")
	f.IntVar(&o.seeds, "seeds", 3, "runs of each; the table shows medians and the range")
	f.BoolVar(&o.json, "json", false, "print every run as a JSON object instead of the table")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("gossip: %q means nothing here", f.Arg(0))
	}
	o.systems, o.latencies = strings.Split(*systems, ","), strings.Split(*latencies, ",")
	if o.nodes, err = list(*nodes, strconv.Atoi); err != nil {
		return fmt.Errorf("-nodes: %w", err)
	}
	if *sizes == "" {
		*sizes = "65536,8333"
		if o.posts != 0 {
			*sizes = "1000"
		}
	}
	if o.sizes, err = list(*sizes, strconv.Atoi); err != nil {
		return fmt.Errorf("-size: %w", err)
	}
	number := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	if o.access, err = list(*access, number); err != nil {
		return fmt.Errorf("-access: %w", err)
	}
	return compare(&o, out, progress)
}

func list[T any](text string, parse func(string) (T, error)) (all []T, err error) {
	for s := range strings.SplitSeq(text, ",") {
		v, err := parse(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// entry is one run with what it was a run of.
type entry struct {
	Scenario Scenario
	Result   Result
}

// compare runs everything and prints the table.
func compare(o *options, out, progress io.Writer) error {
	for _, name := range o.systems {
		if systems[name] == nil {
			return fmt.Errorf("no such system: %q; there are rtmfp and gossipsub", name)
		}
	}
	if o.seeds < 1 || o.rate <= 0 || o.posts < 0 {
		return errors.New("-seeds and -rate must be positive, and -posts not negative")
	}
	kinds := o.scenarios()
	for i := range kinds {
		if err := kinds[i].settle(); err != nil {
			return err
		}
	}
	t := newTable(out, o.systems)
	for _, kind := range kinds {
		var all []entry
		for seed := range o.seeds {
			for _, name := range o.systems {
				e := entry{Scenario: kind}
				e.Scenario.Seed = uint64(seed) + 1
				fmt.Fprintf(progress, "%s, seed %d: %s\n", kind.title(), seed+1, name)
				if err := o.run(name, &e); err != nil {
					e.Result = Result{System: name, Error: err.Error()}
				}
				if e.Result.Error != "" {
					fmt.Fprintf(progress, "%s: %s\n", name, e.Result.Error)
				}
				all = append(all, e)
				if o.json {
					if err := json.NewEncoder(out).Encode(e); err != nil {
						return err
					}
				}
			}
		}
		if !o.json {
			t.print(kind, all)
		}
	}
	return t.failed
}

// scenarios returns every combination, of the first seed.
func (o *options) scenarios() (all []Scenario) {
	for _, latency := range o.latencies {
		for _, nodes := range o.nodes {
			for _, access := range o.access {
				for _, size := range o.sizes {
					every := time.Duration(float64(size) * 8e3 / o.rate)
					if o.posts > 0 {
						every = time.Duration(float64(time.Second) / o.posts)
					}
					all = append(all, Scenario{
						Nodes: nodes, Seed: 1, Access: access * 1e6, Latencies: latency,
						Live: o.posts == 0, Size: size, Every: every,
						Length: o.length, Warmup: o.warmup, Drain: o.drain, Joining: joining,
					})
				}
			}
		}
	}
	return all
}

// title names a scenario in a line.
func (s *Scenario) title() string {
	what := "messages"
	if !s.Live {
		what = fmt.Sprintf("%.3g posts a second", 1/s.Every.Seconds())
	}
	return fmt.Sprintf("%d nodes, %s, %g Mbit/s access, %s of %d bytes",
		s.Nodes, strings.TrimSuffix(filepath.Base(s.Latencies), ".txt.gz"), s.Access/1e6, what, s.Size)
}

// run carries out a scenario in a process of its own.
func (o *options) run(system string, e *entry) error {
	text, err := json.Marshal(e.Scenario)
	if err != nil {
		return err
	}
	var complaints bytes.Buffer
	cmd := exec.Command(o.self[0], append(slices.Clone(o.self[1:]), system)...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &complaints
	result, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, tail(complaints.Bytes(), 2000))
	}
	return json.Unmarshal(result, &e.Result)
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
