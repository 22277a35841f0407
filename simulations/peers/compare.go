package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"rtmfp/internal/impair"
	"rtmfp/transport/conformance/proxy"
)

// options are what a comparison is of.
type options struct {
	peers, rows []string
	runs        int
	bytes       int64
	duration    time.Duration
	setups      int
	json        bool
	unpinned    bool
}

// row is one kind of work.
type row struct {
	name   string
	what   string
	path   *impair.Config // each way; nil: none between the two
	setups bool
	timed  bool                              // by duration, not by bytes
	value  func(r *result) (float64, string) // and its unit
	lower  bool                              // a smaller value is better
}

const (
	delay = 20 * time.Millisecond
	rate  = 50_000_000
	queue = 250_000 // one bandwidth-delay product of 40 ms
)

func perCPU(r *result) (float64, string) {
	return float64(r.Sent.Bytes) / 1e9 / (r.Sent.CPU + r.Received.CPU), "GB/CPU-s"
}

func wall(r *result) (float64, string) {
	return 8e-9 * float64(r.Sent.Bytes) / r.Sent.Seconds, "Gbit/s"
}

func goodput(r *result) (float64, string) {
	return 8e-6 * float64(r.Sent.Bytes) / r.Sent.Seconds, "Mbit/s"
}

func firstSecond(r *result) (float64, string) {
	return 8e-6 * float64(r.Received.FirstSecond), "Mbit"
}

func setupTime(r *result) (float64, string) { return median(r.Sent.Setups), "ms" }

func setupCPU(r *result) (float64, string) {
	return 1e6 * r.Received.CPU / float64(len(r.Sent.Setups)), "µs"
}

var allKinds = []row{
	{name: "bulk", what: "loopback, bytes per CPU-second of both ends", value: perCPU},
	{name: "bulk", what: "loopback, wall", value: wall},
	lossy(0), lossy(1), lossy(5),
	{name: "ramp", what: "first second, 20 ms each way, no bottleneck", path: &impair.Config{Delay: delay}, timed: true, value: firstSecond},
	{name: "setup", what: "set-up, median, socket included", setups: true, value: setupTime, lower: true},
	{name: "setup", what: "set-up, CPU of the responder", setups: true, value: setupCPU, lower: true},
}

func lossy(percent int) row {
	return row{
		name: fmt.Sprintf("loss%d", percent), what: fmt.Sprintf("20 ms each way, 50 Mbit/s, %d %% loss, goodput", percent),
		path:  &impair.Config{Delay: delay, Rate: rate, QueueBytes: queue, Loss: float64(percent) / 100},
		timed: true, value: goodput,
	}
}

func allRows() (names []string) {
	for _, r := range allKinds {
		if !slices.Contains(names, r.name) {
			names = append(names, r.name)
		}
	}
	return names
}

// result is one run of one row on one peer.
type result struct {
	Row      string   `json:"row"`
	Peer     string   `json:"peer"`
	Run      int      `json:"run"`
	Sent     sent     `json:"sent"`
	Received received `json:"received"`
	Error    string   `json:"error,omitempty"`
}

// compare runs everything, interleaved, and prints the table.
func compare(o options, out, progress io.Writer) error {
	for _, name := range o.peers {
		if protocolNamed(name) == nil {
			return fmt.Errorf("no such peer: %q; there are %s", name, strings.Join(allPeers(), ", "))
		}
	}
	var kinds []row
	for _, name := range o.rows {
		i := slices.IndexFunc(allKinds, func(r row) bool { return r.name == name })
		if i < 0 {
			return fmt.Errorf("no such row: %q; there are %s", name, strings.Join(allRows(), ", "))
		}
		kinds = append(kinds, allKinds[i])
	}
	if o.runs < 1 || o.setups < o.runs {
		return errors.New("-runs and -setups: at least one set-up per run")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var results []result
	for run := range o.runs {
		for _, k := range kinds {
			for _, name := range o.peers {
				if k.setups && protocolNamed(name).program != "" {
					continue
				}
				fmt.Fprintf(progress, "run %d of %d: %s, %s\n", run+1, o.runs, k.name, name)
				r := result{Row: k.name, Peer: name, Run: run}
				if err := o.run(self, &k, &r); err != nil {
					r.Error = err.Error()
					fmt.Fprintln(progress, err)
				}
				results = append(results, r)
				if o.json {
					if err := emit(out, r); err != nil {
						return err
					}
				}
			}
		}
	}
	if o.json {
		return nil
	}
	return table(o, results, out)
}

// run makes one run of one row on one peer.
func (o *options) run(self string, k *row, r *result) error {
	cores := [2]int{0, 1}
	if o.unpinned {
		cores = [2]int{-1, -1}
	}
	p := protocolNamed(r.Peer)
	receiver := p.receiver(self)
	var complaints bytes.Buffer
	receiver.Stderr = &complaints
	in, err := receiver.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := receiver.StdoutPipe()
	if err != nil {
		return err
	}
	if err := startOn(cores[1], receiver); err != nil {
		return err
	}
	defer func() {
		_ = receiver.Process.Kill() // it has gone already, unless something failed
		_ = receiver.Wait()
	}()
	lines := bufio.NewReader(stdout)
	address, err := lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("receiver: %w: %s", err, &complaints)
	}
	address = strings.TrimSpace(address)
	if k.path != nil {
		target, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		path := proxy.New(*k.path, *k.path, uint64(r.Run)+1)
		defer path.Close()
		proxy, err := path.Serve(target, 1)
		if err != nil {
			return err
		}
		address = proxy.Addrs()[0].String()
	}
	w := workerOptions{to: address}
	switch {
	case k.setups:
		w.setups = o.setups / o.runs
	case k.timed:
		w.duration = o.duration
	default:
		w.bytes = o.bytes
	}
	sender := p.sender(self, w)
	var text bytes.Buffer
	sender.Stdout, sender.Stderr = &text, &complaints
	if err := startOn(cores[0], sender); err != nil {
		return err
	}
	if err := sender.Wait(); err != nil {
		return fmt.Errorf("sender: %w: %s", err, &complaints)
	}
	if err := parse(text.Bytes(), &r.Sent); err != nil {
		return err
	}
	_, _ = io.WriteString(in, "enough\n") // not every loop notices a pipe that just ends
	in.Close()
	rest, err := io.ReadAll(lines)
	if err != nil {
		return err
	}
	if err := parse(rest, &r.Received); err != nil {
		return fmt.Errorf("%w: %s", err, &complaints)
	}
	if r.Received.Bytes != r.Sent.Bytes {
		return fmt.Errorf("%s sent %d bytes, and %d came", r.Peer, r.Sent.Bytes, r.Received.Bytes)
	}
	return nil
}

// table prints the medians with their range, and what the first peer makes of
// each other one: a ratio above 1 is in its favor.
func table(o options, results []result, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	head := []string{"|", "| unit"}
	rule := []string{"|---", "|---"}
	for i, name := range o.peers {
		head, rule = append(head, "| "+name), append(rule, "|---")
		if i > 0 {
			head, rule = append(head, "| "+o.peers[0]+" to it"), append(rule, "|---")
		}
	}
	fmt.Fprintln(w, strings.Join(head, "\t")+"\t|")
	fmt.Fprintln(w, strings.Join(rule, "\t")+"\t|")
	for _, k := range allKinds {
		if !slices.Contains(o.rows, k.name) {
			continue
		}
		var ours float64
		cells := make([]string, 0, 2*len(o.peers))
		unit := ""
		for i, name := range o.peers {
			var values []float64
			failed := 0
			for j := range results {
				if r := &results[j]; r.Row == k.name && r.Peer == name {
					if r.Error != "" {
						failed++
						continue
					}
					v, u := k.value(r)
					values, unit = append(values, v), u
				}
			}
			m := median(values)
			cell := "| –"
			if len(values) > 0 {
				cell = fmt.Sprintf("| %.3g (%.3g–%.3g)", m, slices.Min(values), slices.Max(values))
			}
			if failed > 0 {
				cell += fmt.Sprintf(", %d failed", failed)
			}
			cells = append(cells, cell)
			if i == 0 {
				ours = m
				continue
			}
			ratio := ours / m
			if k.lower {
				ratio = m / ours
			}
			if ours == 0 || m == 0 {
				cells = append(cells, "| –")
			} else {
				cells = append(cells, fmt.Sprintf("| %.2f", ratio))
			}
		}
		fmt.Fprintln(w, strings.Join(append([]string{"| " + k.what, "| " + unit}, cells...), "\t")+"\t|")
	}
	return w.Flush()
}

// median returns the middle one of some values, 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
