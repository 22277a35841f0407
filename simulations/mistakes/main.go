package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

func main() {
	scenarios := flag.String("scenarios", "", "scenarios to run in turn: names or files, with commas between them; those of simulations/mistakes/hunt if empty")
	seeds := flag.String("seeds", "1-6", "seeds of each scenario, as in rtmfp-node simulate --seeds")
	only := flag.String("only", "", "plant only the mistakes whose names match this regular expression")
	cpu := flag.Duration("cpu", 10*time.Minute, "processor time for each mistake")
	jobs := flag.Int("jobs", 2, "mistakes at a time")
	file := flag.String("json", "", "write the verdicts to this file")
	list := flag.Bool("list", false, "print the mistakes and plant none")
	least := flag.Float64("least", 0, "fail if a smaller share is caught, from 0 to 1")
	bounds := flag.Bool("bounds", false, "set the bounds of the scenarios anew, and plant no mistake")
	flag.Parse()
	if err := command(os.Stdout, options{
		scenarios: strings.FieldsFunc(*scenarios, func(r rune) bool { return r == ',' }), seeds: *seeds, only: *only, cpu: *cpu, jobs: *jobs, json: *file, list: *list, least: *least, bounds: *bounds,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "mistakes:", err)
		os.Exit(1)
	}
}

type options struct {
	scenarios []string
	seeds     string
	only      string
	cpu       time.Duration
	jobs      int
	json      string
	list      bool
	least     float64
	bounds    bool
}

func command(out io.Writer, o options) error {
	pattern, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	var mistakes []Mistake
	for _, m := range all() {
		if pattern.MatchString(m.Name) {
			mistakes = append(mistakes, m)
		}
	}
	if len(mistakes) == 0 {
		return fmt.Errorf("-only %q: no mistake has such a name; -list prints them", o.only)
	}
	if o.list {
		for _, m := range mistakes {
			fmt.Fprintf(out, "%-32s %-28s %s\n", m.Name, m.File, m.Why)
		}
		return nil
	}
	top, err := module()
	if err != nil {
		return err
	}
	if len(o.scenarios) == 0 {
		if o.scenarios, err = filepath.Glob(filepath.Join(top, "simulations", "mistakes", "hunt", "*.toml")); err != nil {
			return err
		}
	}
	if o.bounds {
		for _, file := range o.scenarios {
			if err := setBounds(out, file); err != nil {
				return err
			}
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "mistakes")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, err := buildAll(top, dir, mistakes)
	if err != nil {
		return err
	}
	h := hunter{program: program, scenarios: o.scenarios, cpu: o.cpu, seeds: o.seeds, normal: map[string]time.Duration{}}
	if err := control(out, &h); err != nil {
		return err
	}
	return sum(out, huntAll(out, &h, mistakes, o.jobs), o)
}

// control runs the scenarios without a mistake: all of them must pass.
func control(out io.Writer, h *hunter) error {
	for _, s := range h.scenarios {
		failed, sign, took := h.run("", s, h.cpu)
		if failed || sign == "" && took >= h.cpu {
			return fmt.Errorf("scenario %s fails without a mistake: %s", s, sign)
		}
		h.normal[s] = took
		fmt.Fprintf(out, "without a mistake  %-32s passes in %.1f s of CPU\n", s, took.Seconds())
	}
	return nil
}

func huntAll(out io.Writer, h *hunter, mistakes []Mistake, jobs int) []verdict {
	verdicts := make([]verdict, len(mistakes))
	next := make(chan int)
	var group sync.WaitGroup
	var printing sync.Mutex
	for range max(jobs, 1) {
		group.Go(func() {
			for i := range next {
				verdicts[i] = h.hunt(mistakes[i])
				printing.Lock()
				fmt.Fprintln(out, verdicts[i])
				printing.Unlock()
			}
		})
	}
	for i := range mistakes {
		next <- i
	}
	close(next)
	group.Wait()
	return verdicts
}

// String is the line of the table.
func (v verdict) String() string {
	switch {
	case v.Caught:
		sign := v.Sign
		if len(sign) > 110 {
			sign = sign[:110] + "…"
		}
		return fmt.Sprintf("caught     %-32s %5.1f s  %s: %s", v.Name, v.CPU, v.By, sign)
	case v.Spent:
		return fmt.Sprintf("missed     %-32s %5.1f s  its time is over", v.Name, v.CPU)
	}
	return fmt.Sprintf("missed     %-32s %5.1f s", v.Name, v.CPU)
}

func sum(out io.Writer, verdicts []verdict, o options) error {
	caught, cpu := 0, 0.0
	for _, v := range verdicts {
		cpu += v.CPU
		if v.Caught {
			caught++
		}
	}
	share := float64(caught) / float64(len(verdicts))
	fmt.Fprintf(out, "%d of %d mistakes caught (%.0f %%) in %.0f s of CPU\n", caught, len(verdicts), 100*share, cpu)
	if o.json != "" {
		b, err := json.MarshalIndent(struct {
			Share    float64   `json:"share"`
			CPU      float64   `json:"cpu_seconds"`
			Verdicts []verdict `json:"verdicts"`
		}{share, cpu, verdicts}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if share < o.least {
		return fmt.Errorf("%.0f %% of the mistakes were caught, fewer than %.0f %%", 100*share, 100*o.least)
	}
	return nil
}
