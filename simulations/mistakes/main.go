package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

func main() {
	scenarios := flag.String("scenarios", "hunt-faults,hunt-live,hunt-ring", "scenarios to run in turn: names or files, with commas between them")
	only := flag.String("only", "", "plant only the mistakes whose names match this regular expression")
	cpu := flag.Duration("cpu", 10*time.Minute, "processor time for each mistake")
	jobs := flag.Int("jobs", 2, "mistakes at a time")
	file := flag.String("json", "", "write the verdicts to this file")
	list := flag.Bool("list", false, "print the mistakes and plant none")
	least := flag.Float64("least", 0, "fail if a smaller share is caught, from 0 to 1")
	flag.Parse()
	if err := run(os.Stdout, options{
		scenarios: strings.Split(*scenarios, ","), only: *only, cpu: *cpu, jobs: *jobs, json: *file, list: *list, least: *least,
	}); err != nil {
		fmt.Fprintln(os.Stderr, "mistakes:", err)
		os.Exit(1)
	}
}

type options struct {
	scenarios []string
	only      string
	cpu       time.Duration
	jobs      int
	json      string
	list      bool
	least     float64
}

func run(out io.Writer, o options) error {
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
	normal, err := control(out, top, o)
	if err != nil {
		return err
	}
	verdicts := huntAll(out, top, mistakes, normal, o)
	return sum(out, verdicts, o)
}

// control runs the scenarios without a mistake: all of them must pass.
func control(out io.Writer, top string, o options) (map[string]time.Duration, error) {
	dir, err := os.MkdirTemp("", "mistakes")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, err := build(top, dir, nil)
	if err != nil {
		return nil, err
	}
	normal := map[string]time.Duration{}
	for _, s := range o.scenarios {
		h := hunter{program: program}
		failed, sign, took := h.run(s, o.cpu)
		if failed || sign == "" && took >= o.cpu {
			return nil, fmt.Errorf("scenario %s fails without a mistake: %s", s, sign)
		}
		normal[s] = took
		fmt.Fprintf(out, "without a mistake    %-12s passes in %.1f s of CPU\n", s, took.Seconds())
	}
	return normal, nil
}

func huntAll(out io.Writer, top string, mistakes []Mistake, normal map[string]time.Duration, o options) []verdict {
	verdicts := make([]verdict, len(mistakes))
	next := make(chan int)
	var group sync.WaitGroup
	var printing sync.Mutex
	for range max(o.jobs, 1) {
		group.Go(func() {
			for i := range next {
				verdicts[i] = huntOne(top, mistakes[i], normal, o)
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

func huntOne(top string, m Mistake, normal map[string]time.Duration, o options) (v verdict) {
	dir, err := os.MkdirTemp("", "mistakes")
	if err == nil {
		defer os.RemoveAll(dir)
		var program string
		if program, err = build(top, dir, &m); err == nil {
			h := hunter{program: program, scenarios: o.scenarios, cpu: o.cpu, normal: normal}
			v = h.hunt()
		}
	}
	if err != nil {
		v.Fault = err.Error()
	}
	v.Name = m.Name
	return v
}

// String is the line of the table.
func (v verdict) String() string {
	switch {
	case v.Fault != "":
		return fmt.Sprintf("not tried  %-32s %s", v.Name, v.Fault)
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
	caught, faults, cpu := 0, 0, 0.0
	for _, v := range verdicts {
		cpu += v.CPU
		if v.Caught {
			caught++
		}
		if v.Fault != "" {
			faults++
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
	if faults > 0 {
		return fmt.Errorf("%d mistakes could not be tried: they must follow the code", faults)
	}
	if share < o.least {
		return fmt.Errorf("%.0f %% of the mistakes were caught, fewer than %.0f %%", 100*share, 100*o.least)
	}
	return nil
}
