package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// verdict is what became of one mistake.
type verdict struct {
	Name   string  `json:"name"`
	Caught bool    `json:"caught"`
	By     string  `json:"by,omitempty"`    // the scenario
	Sign   string  `json:"sign,omitempty"`  // the last line that it printed
	CPU    float64 `json:"cpu_seconds"`     // of the scenarios, the build apart
	Spent  bool    `json:"spent,omitempty"` // its processor time was over before the scenarios were
}

// hunter runs scenarios until one fails.
type hunter struct {
	program   string
	scenarios []string
	seeds     string
	cpu       time.Duration // for one mistake
	normal    map[string]time.Duration
}

// stuck is how many times as long as without a mistake a scenario may take
// before it counts as one that does not come to an end, and stuckLeast the
// least of it.
const (
	stuck      = 8
	stuckLeast = 20 * time.Second
)

// hunt runs the scenarios in turn with a mistake.
func (h *hunter) hunt(m Mistake) (v verdict) {
	v.Name = m.Name
	for _, s := range h.order(m) {
		left := h.cpu - time.Duration(v.CPU*float64(time.Second))
		if left <= 0 {
			v.Spent = true
			return v
		}
		limit := left
		slow := false
		if n, ok := h.normal[s]; ok {
			if most := max(stuck*n, stuckLeast); most < left {
				limit, slow = most, true
			}
		}
		failed, sign, took := h.run(m.Name, s, limit)
		v.CPU += took.Seconds()
		if took >= limit-time.Second/10 && sign == "" {
			if !slow {
				v.Spent = true
				return v
			}
			failed, sign = true, "it does not come to an end"
		}
		if failed {
			v.Caught, v.By, v.Sign = true, base(s), sign
			return v
		}
	}
	return v
}

// rooms says which scenario of ours is likely to catch what, by the folder of
// the code: it comes first.
var rooms = map[string]string{
	"transport": "5-flows", "multicast": "1-calm", "group": "3-ring", "ring": "3-ring", "posting": "4-posts",
}

func (h *hunter) order(m Mistake) []string {
	room, _, _ := strings.Cut(m.File, "/")
	list := slices.Clone(h.scenarios)
	slices.SortStableFunc(list, func(a, b string) int {
		return strings.Compare(first(a, rooms[room]), first(b, rooms[room]))
	})
	return list
}

// first makes the name of a scenario come first in the order of texts.
func first(scenario, likely string) string {
	if base(scenario) == likely {
		return ""
	}
	return scenario
}

// run runs one scenario with a mistake, "" for none, and a limit of processor
// time, and returns whether it failed, its last line, and the time that it took.
func (h *hunter) run(mistake, scenario string, limit time.Duration) (failed bool, sign string, took time.Duration) {
	// A process that waits for nothing takes at least as long as its share.
	ctx, cancel := context.WithTimeout(context.Background(), 20*limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program, "simulate", scenario, "--seeds", h.seeds, "--parallel", "1", "--quiet")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", variable+"="+mistake)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return true, err.Error(), 0
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			took = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			return err != nil, tellingLine(out.String()), took
		case <-tick.C:
			if used := cpuTime(cmd.Process.Pid); used > limit {
				_ = cmd.Process.Kill()
				<-done
				return false, "", max(used, limit)
			}
		}
	}
}

// base returns the name of a scenario without its folder.
func base(scenario string) string { return strings.TrimSuffix(filepath.Base(scenario), ".toml") }

// tellingLine returns the line of a failed run that says what was wrong.
func tellingLine(out string) string {
	last := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.Contains(line, "invariant ") {
			return line
		}
		if line != "" {
			last = line
		}
	}
	return last
}
