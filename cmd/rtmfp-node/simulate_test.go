package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	simrun "rtmfp/simulations/run"
)

const tinyScenario = `title = "tiny"
nodes = 6
warmup = "3s"
duration = "2s"
drain = "1s"
[network]
geography = "flat"
[live]
bitrate = "100kbit/s"
[expect]
lost_ratio = "<= 0.5"
`

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A scenario is run, its result compared with another one, and one of its
// seeds looked at, as a user would.
func TestSimulate(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "tiny.toml", tinyScenario)

	code, stdout, stderr := command(t, "", "simulate", "tiny.toml", "--seeds", "2", "--json", "a.json", "--html", "a.html")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "delay_p99_ms") || !strings.Contains(stdout, "2 runs") {
		t.Fatalf("got exit code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	if page, err := os.ReadFile("a.html"); err != nil || !strings.Contains(string(page), "<h1>tiny</h1>") {
		t.Errorf("the page: %v, %d bytes", err, len(page))
	}

	// The same again is the same; on a slower network it is worse, and fails.
	if code, _, stderr := command(t, "", "simulate", "tiny.toml", "--seeds", "1-2", "--json", "b.json", "-q"); code != exitOK {
		t.Fatalf("got exit code %d, %s", code, stderr)
	}
	code, stdout, _ = command(t, "", "simulate", "compare", "a.json", "b.json")
	// What the machine took may differ, and nothing else.
	if code != exitOK || strings.Contains(stdout, "_ms") || !strings.Contains(stdout, "exactly alike") && !strings.Contains(stdout, "events_per_s") && !strings.Contains(stdout, "real_time_ratio") {
		t.Errorf("compare with the same: got exit code %d\n%s", code, stdout)
	}
	command(t, "", "simulate", "tiny.toml", "--seeds", "2", "--json", "c.json", "-q", "--set", "network.latency=60ms")
	code, stdout, stderr = command(t, "", "simulate", "compare", "a.json", "c.json")
	if code != exitFailure || !strings.Contains(stderr, "delay_p50_ms") || !strings.Contains(stdout, "WORSE") || !strings.Contains(stdout, "not the same scenario") {
		t.Errorf("compare with slower: got exit code %d, stderr %q\n%s", code, stderr, stdout)
	}

	// A bound that does not hold is a failure.
	code, _, stderr = command(t, "", "simulate", "tiny.toml", "--seeds", "1", "-q", "--set", "expect.delay_p50_ms=<= 1")
	if code != exitFailure || !strings.Contains(stderr, "expected delay_p50_ms <= 1, got") {
		t.Errorf("a bound that does not hold: got exit code %d, %q", code, stderr)
	}
}

func TestSimulateReplay(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "tiny.toml", tinyScenario)
	trace := func(args ...string) []map[string]any {
		t.Helper()
		code, stdout, stderr := command(t, "", append([]string{"simulate", "replay", "tiny.toml", "7"}, args...)...)
		if code != exitOK {
			t.Fatalf("got exit code %d, %s", code, stderr)
		}
		var lines []map[string]any
		for line := range strings.Lines(stdout) {
			var one map[string]any
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines = append(lines, one)
		}
		return lines
	}
	joined := func(lines []map[string]any, name string) (n int) {
		last := 0.0
		for _, l := range lines[1:] {
			if at := l["time"].(float64); at < last {
				t.Errorf("%v after %v ms", l, last)
			} else {
				last = at
			}
			if l["name"] == name {
				n++
			}
		}
		return n
	}
	all := trace()
	if joined(all, "simulation:join") != 6 || joined(all, "simulation:first_frame") != 4 || joined(all, "transport:packet_sent") != 0 {
		t.Errorf("got %d joins and %d first frames of 6 nodes", joined(all, "simulation:join"), joined(all, "simulation:first_frame"))
	}
	one := trace("--node", "2", "--until", "2s")
	if joined(one, "simulation:join") != 1 || joined(one, "transport:packet_sent") < 10 || joined(one, "simulation:first_frame") != 0 {
		t.Errorf("node 2 until 2 s: got %d lines", len(one))
	}
	for _, l := range one[1:] {
		if n, of := l["node"]; of && n != 2.0 || l["time"].(float64) > 2000 {
			t.Errorf("a line of another node or a later time: %v", l)
		}
	}
	if !slices.EqualFunc(one, trace("--node", "2", "--until", "2s"), func(a, b map[string]any) bool {
		return fmt.Sprint(a) == fmt.Sprint(b)
	}) {
		t.Error("two replays differ")
	}
}

func TestSimulateMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "bad.toml", "nodes = 10\n\n[live]\nbitrat = \"1Mbit/s\"\n")
	writeFile(t, "none.json", "{}")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"simulate", exitUsage, "--list"},
		{"simulate lives", exitUsage, "did you mean live?"},
		{"simulate live/smal", exitUsage, "did you mean small?"},
		{"simulate bad.toml", exitUsage, "bad.toml:4: live.bitrat: unknown key; did you mean bitrate?"},
		{"simulate absent.toml", exitUsage, "absent.toml: no such file"},
		{"simulate live --nodes 2", exitUsage, "nodes: 2 is too little: at least 3"},
		{"simulate live --set live.bitrate=much", exitUsage, `"much" is no rate`},
		{"simulate live --seeds many", exitUsage, `"many" is no list of seeds`},
		{"simulate live --seeds 0", exitUsage, "from 1 to 10000 seeds"},
		{"simulate live --json absent/x.json", exitUsage, "--json: open absent/x.json: no such file"},
		{"simulate live --show --list", exitUsage, "one of both"},
		{"simulate compare none.json none.json", exitInput, "is no result of a simulation"},
		{"simulate compare absent.json none.json", exitInput, "absent.json: no such file"},
		{"simulate compare none.json none.json --threshold much", exitUsage, `"much" is no part`},
		{"simulate replay live x", exitUsage, "seed"},
		{"simulate replay live 1 --until=-3s", exitUsage, "--until can't be negative"},
		{"simulate replay live 1 --node=-3", exitUsage, "--node -3: nodes are numbered from 0 on"},
		{"simulate replay live 1 --until 1s --trace x.jsonl --node 2,50000", exitUsage, "--node 50000: there was no such node"},
	} {
		code, stdout, stderr := command(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%s: got exit code %d and %q, want %d and %q", c.args, code, stderr, c.code, c.says)
		}
	}
}

func TestSimulateLists(t *testing.T) {
	code, stdout, _ := command(t, "", "simulate", "--list")
	if code != exitOK || !strings.Contains(stdout, "flash-crowd") || !strings.Contains(stdout, "/small") {
		t.Errorf("--list: got exit code %d\n%s", code, stdout)
	}
	code, stdout, _ = command(t, "", "simulate", "--show", "live/small")
	if code != exitOK || !strings.Contains(stdout, "[sizes.small]") {
		t.Errorf("--show: got exit code %d\n%s", code, stdout)
	}
}

func TestSeedList(t *testing.T) {
	for text, want := range map[string][]uint64{"3": {1, 2, 3}, "7-9": {7, 8, 9}, "3,5,8": {3, 5, 8}, "7,": {7}, "1-2,9": {1, 2, 9}} {
		var l seedList
		if err := l.UnmarshalText([]byte(text)); err != nil || !slices.Equal(l, want) {
			t.Errorf("%s: got %v, %v, want %v", text, l, err, want)
		}
	}
	for _, text := range []string{"", "0", "-3", "9-7", "a", "1,,2", "1-99999", "99999"} {
		var l seedList
		if err := l.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v, want an error", text, l)
		}
	}
}

func TestProgressLine(t *testing.T) {
	got := progressLine("live", simrun.Progress{Runs: 10, Done: 3, Simulated: 150 * time.Second, Total: 450 * time.Second,
		Events: 6_000_000, Elapsed: 20 * time.Second})
	if want := "live: 3 of 10 runs, 150 of 450 s simulated, 300 k events/s, 40s left"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
