package report

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rtmfp/simulations/figure"
	"rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		name string
		v    float64
		want string
	}{
		{"delay_p50_ms", 167.04, "167.0 ms"},
		{"delay_p50_ms", 5.25, "5.250 ms"},
		{"recovery_s.die", -1, "-1 s"},
		{"lost_ratio", 0, "0 %"},
		{"lost_ratio", 0.00012, "0.012 %"},
		{"ontime_500ms_ratio", 0.99995, "99.995 %"},
		{"ontime_500ms_ratio", 0.6998, "69.98 %"},
		{"stretch_mean_ratio", 2.543, "2.543"},
		{"upload_mean_bit_per_s.fiber", 2_969_000, "2.969 Mbit/s"},
		{"memory_per_node_bytes", 815_300, "815.3 kB"},
		{"events_count", 7.998e4, "79980"},
		{"neighbors_max_count", 19, "19"},
	} {
		if got := Text(c.name, c.v); got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.name, c.v, got, c.want)
		}
	}
}

func document(values map[string][]float64) *Document {
	d := &Document{Format: Format, Scenario: "x", Figures: map[string]figure.Summary{}}
	for name, v := range values {
		d.Figures[name] = figure.Summarize(v)
	}
	return d
}

// Only what got worse, for sure, by more than the threshold, is worse.
func TestCompare(t *testing.T) {
	a := document(map[string][]float64{
		"delay_p50_ms":             {100, 101, 99},
		"delay_p95_ms":             {100, 140, 60},
		"delay_p99_ms":             {100, 101, 99},
		"ontime_500ms_ratio":       {0.9, 0.9, 0.9},
		"lost_ratio":               {0, 0, 0},
		"recovery_s.die":           {2, 2, 2},
		"recovery_s.crowd":         {-1, -1, -1},
		"events_per_s":             {1000, 1000, 1000},
		"direct_mean_ms":           {50, 50, 50},
		"upload_mean_bit_per_s.up": {1, 1, 1},
	})
	b := document(map[string][]float64{
		"delay_p50_ms":       {110, 111, 109},    // worse
		"delay_p95_ms":       {120, 160, 80},     // perhaps
		"delay_p99_ms":       {90, 91, 89},       // better
		"ontime_500ms_ratio": {0.88, 0.88, 0.88}, // worse, by less than the threshold
		"lost_ratio":         {0.01, 0.01, 0.01}, // worse, from nothing
		"recovery_s.die":     {-1, -1, -1},       // never: worse, though it is less
		"recovery_s.crowd":   {5, 5, 5},          // better, though it is more
		"events_per_s":       {100, 100, 100},    // the machine's
		"direct_mean_ms":     {90, 90, 90},       // neither
	})
	changes := Compare(a, b, 0.05)
	var worse []string
	for _, c := range Worse(changes) {
		worse = append(worse, c.Name)
	}
	if got, want := strings.Join(worse, " "), "delay_p50_ms lost_ratio recovery_s.die"; got != want {
		t.Errorf("worse: got %s, want %s", got, want)
	}
	var text bytes.Buffer
	if err := WriteChanges(&text, changes); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`delay_p50_ms +100 ms +2\.484 ms +110 ms +2\.484 ms +\+10\.0 % +WORSE`,
		`delay_p95_ms .* \+20\.0 % *\n`,
		`delay_p99_ms .* -10\.0 % +better`,
		`lost_ratio +0 % +0 % +1 % +0 % +from 0 +WORSE`,
		`recovery_s\.crowd .*better`,
		`direct_mean_ms .*differs`,
	} {
		if !regexp.MustCompile(want).MatchString(text.String()) {
			t.Errorf("no line like %s in\n%s", want, text.String())
		}
	}
	if onlyA, onlyB := Missing(a, b); len(onlyA) != 1 || len(onlyB) != 0 {
		t.Errorf("missing: got %q and %q", onlyA, onlyB)
	}
}

// A recovery that did not come about in one of the runs is under no bound,
// though it is told as -1.
func TestNeverRecovered(t *testing.T) {
	s, err := scenario.Parse("x.toml", "[[shock]]\nkind = \"die\"\nshare = 0.1\n[expect]\nrecovery_s.die = \"<= 2\"\n", "")
	if err != nil {
		t.Fatal(err)
	}
	for want, values := range map[string][]float64{
		"": {0, 1.5},
		"expected recovery_s.die <= 2, got 2.500":                                             {2, 3},
		"expected recovery_s.die <= 2, but in one of the runs at least it did not come about": {0.5, -1},
	} {
		var results []*run.Result
		for _, v := range values {
			results = append(results, &run.Result{Figures: map[string]float64{"recovery_s.die": v}})
		}
		if got := strings.Join(New(s, nil, 1, results).Failures(), "\n"); got != want {
			t.Errorf("%v: got %q, want %q", values, got, want)
		}
	}
}

// A whole way: run, document, file, page.
func TestReport(t *testing.T) {
	s, err := scenario.Parse("x.toml", `
title = "A <test>"
nodes = 8
warmup = "3s"
duration = "3s"
[[class]]
name = "fast"
up = "5Mbit/s"
[live]
bitrate = "200kbit/s"
[[shock]]
at = "1s"
kind = "die"
share = 0.2
[expect]
delay_p50_ms = "<= 1"
worst_ontime_ratio.die = ">= 0"
startup_p50_ms = "<= 100"
`, "")
	if err != nil {
		t.Fatal(err)
	}
	results, err := run.Seeds(t.Context(), s, []uint64{1, 2}, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := New(s, []string{"a=b"}, 2, results)
	failures := strings.Join(d.Failures(), "\n")
	for _, want := range []string{"expected delay_p50_ms <= 1, got ", "expected startup_p50_ms <= 100, but the runs do not have that figure"} {
		if !strings.Contains(failures, want) {
			t.Errorf("no %q in\n%s", want, failures)
		}
	}
	if strings.Contains(failures, "worst") {
		t.Errorf("a bound that holds failed:\n%s", failures)
	}
	name := filepath.Join(t.TempDir(), "x.json")
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Read(name)
	if err != nil || again.Runs[1].Trace != results[1].Trace || len(again.Figures) != len(d.Figures) ||
		again.Figures["delay_p50_ms"].N != 2 || again.Figures["delay_p50_ms"].CI95 <= 0 {
		t.Errorf("got %+v, %v from the file", again, err)
	}
	if len(Worse(Compare(d, again, 0))) != 0 {
		t.Error("a document is worse than itself")
	}

	b.Reset()
	if err := HTML(&b, s, d, results); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, title := range []string{"A &lt;test&gt;", "<h3>Delay</h3>", "Delay over time", "Messages on time", "Depth of the trees",
		"Upload by class", "Duplicates", "Repair: die", "Ring health", "Neighbors", "delay_p99_ms", "Not as it should be"} {
		if !strings.Contains(page, title) {
			t.Errorf("the page has no %q", title)
		}
	}
	if n := strings.Count(page, "<svg "); n < 10 || n != strings.Count(page, "</svg>") {
		t.Errorf("the page has %d drawings", n)
	}
	for _, outside := range []string{"http:", "https:", "src=", "@import", "url(", "NaN", "Inf"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %q: it is to need nothing beside itself", outside)
		}
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"none.json": "", "other.json": `{"a": 1}`, "old.json": `{"format": "rtmfp-node simulation 0"}`} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "absent.json")); err == nil || strings.Count(err.Error(), "absent.json") != 1 {
		t.Errorf("no file: got %v", err)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct{ low, high, first, step float64 }{
		{0, 100, 0, 20}, {-2, 10, -2, 2}, {0, 0.5, 0, 0.1}, {0.99, 1, 0.99, 0.002},
	} {
		got := ticks(c.low, c.high, 6)
		if len(got) < 3 || math.Abs(got[0]-c.first) > 1e-9 || math.Abs(got[1]-got[0]-c.step) > 1e-9 || got[len(got)-1] > c.high+1e-9 {
			t.Errorf("%v to %v: got %v, want steps of %v from %v", c.low, c.high, got, c.step, c.first)
		}
		for _, v := range got {
			if v == 0 && math.Signbit(v) {
				t.Errorf("%v to %v: a negative zero", c.low, c.high)
			}
		}
	}
}
