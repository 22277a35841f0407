package scenario

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every scenario of the library is right in all of its sizes, and each has
// a small one, which CI can run.
func TestLibrary(t *testing.T) {
	entries := Library()
	if len(entries) < 7 {
		t.Errorf("the library has %d scenarios", len(entries))
	}
	for _, e := range entries {
		for _, size := range append([]string{""}, e.Sizes...) {
			what := e.Name
			if size != "" {
				what += "/" + size
			}
			s, err := Load(what)
			if err != nil {
				t.Errorf("%s:\n%v", what, err)
				continue
			}
			if s.Title == "" || s.About == "" || s.FullName() != what {
				t.Errorf("%s: full name %q, title %q, about %q", what, s.FullName(), s.Title, s.About)
			}
			if _, err := s.Map(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		sizes := []string{"small", "large", "stress"}
		if e.Name == "rows" { // it has a size for each row
			sizes = sizes[:1]
		}
		for _, size := range sizes {
			if !strings.Contains(strings.Join(e.Sizes, " "), size) {
				t.Errorf("%s has no size %s", e.Name, size)
			}
		}
	}
}

// Each row of live streams has bounds, and the documentation says how to run it.
func TestRows(t *testing.T) {
	text, err := os.ReadFile("../../docs/multicast.md")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(Library(), func(e Entry) bool { return e.Name == "rows" })
	if i < 0 {
		t.Fatal("there are no rows")
	}
	for _, size := range Library()[i].Sizes {
		if size == "small" {
			continue
		}
		s, err := Load("rows/" + size)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Expect) == 0 {
			t.Errorf("rows/%s has no bounds", size)
		}
		if !strings.Contains(string(text), "`rows/"+size+"`") {
			t.Errorf("docs/multicast.md does not tell of rows/%s", size)
		}
	}
}

// What is wrong with a scenario is told with its line and what was meant.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		name, text string
		settings   []string
		want       string // the whole error
	}{
		{"syntax", "nodes = 10\nwarmup = \n", nil,
			"x.toml:2: expected value but found '\\n' instead"},
		{"unknown key", "nodez = 10\n", nil,
			"x.toml:1: nodez: unknown key; did you mean nodes?"},
		{"unknown key in a table", "nodes = 10\n\n[network]\n# a comment\n  lattency = \"3ms\"\n", nil,
			"x.toml:5: network.lattency: unknown key; did you mean latency?"},
		{"unknown table", "[netwrok]\nloss = 0.1\n", nil,
			"x.toml:1: netwrok: unknown key; did you mean network?"},
		{"unknown key in the second of several", "[[shock]]\nkind = \"crowd\"\n[[shock]]\nkind = \"die\"\nshare = 0.1\nwen = \"3s\"\n", nil,
			"x.toml:6: shock[2].wen: unknown key; known are at, kind, share, region, for, factor, over, loss, packet_cost"},
		{"a time without unit", "warmup = 10\n", nil,
			`x.toml:1: warmup: want a time with its unit, such as "20ms" or "1.5s"`},
		{"a time with a wrong unit", "warmup = \"10 seconds\"\n", nil,
			`x.toml:1: warmup: "10 seconds" is no time; write it with its unit, such as "20ms", "1.5s", or "5m"`},
		{"percent", "[network]\nloss = 2\n", nil,
			"x.toml:2: network.loss: 2 is no share from 0 to 1; for 2 percent write 0.02"},
		{"negative", "[network]\nloss = -0.5\n", nil,
			"x.toml:2: network.loss: -0.5 is no share from 0 to 1"},
		{"a rate", "[live]\nbitrate = \"2 furlongs\"\n", nil,
			`x.toml:2: live.bitrate: "2 furlongs" is no rate; write it with its unit, such as "1.5Mbit/s"`},
		{"too few", "nodes = 2\n", nil,
			"x.toml:1: nodes: 2 is too little: at least 3"},
		{"too few for what they are to be", "nodes = 5\nintroducers = 4\n", nil,
			"x.toml:1: nodes: 5 are too few: an introducer, a publisher, and somebody else make at least 6"},
		{"a word", "[sessions]\ndistribution = \"exponentail\"\n", nil,
			`x.toml:2: sessions.distribution: "exponentail" is none of its values; did you mean exponential?`},
		{"a table that is none", "network = \"flat\"\n", nil,
			"x.toml:1: network: is a table: write [network] and its keys below it"},
		{"one of several", "[class]\nname = \"a\"\n", nil,
			"x.toml:1: class: may be there several times: write [[class]] before the keys of each"},
		{"shares", "[[class]]\nname = \"a\"\nshare = 0.5\n[[class]]\nname = \"b\"\nshare = 0.6\n", nil,
			"x.toml:1: class: the shares of all classes make 1.1, not 1"},
		{"same name", "[[class]]\nname = \"a\"\nshare = 0.5\n[[class]]\nname = \"a\"\nshare = 0.5\n", nil,
			"x.toml:5: class[2].name: two classes are named a"},
		{"shock without", "[[shock]]\nat = \"1s\"\nkind = \"partition\"\nshare = 0.3\n", nil,
			"x.toml:1: shock[1]: partition needs for"},
		{"shock of nobody", "\n[[shock]]\nkind = \"die\"\n", nil,
			"x.toml:2: shock[1]: die needs share or region: whom it meets"},
		{"shock with too much", "[[shock]]\nkind = \"die\"\nshare = 0.3\nfor = \"3s\"\n", nil,
			"x.toml:4: shock[1].for: a shock of kind die has no use for it"},
		{"shock of a stream that is none", "[[shock]]\nkind = \"cut\"\nfor = \"3s\"\n", nil,
			"x.toml:1: shock[1]: cut needs a stream: [live]"},
		{"cut for ever", "[[shock]]\nkind = \"cut\"\n[live]\n", nil,
			"x.toml:1: shock[1]: cut needs for"},
		{"polluters of nothing", "[[shock]]\nkind = \"pollute\"\nshare = 0.1\n", nil,
			"x.toml:1: shock[1]: pollute needs a stream: [live]"},
		{"other latencies of a flat world", "[network]\ngeography = \"flat\"\n[[shock]]\nkind = \"latencies\"\n", nil,
			"x.toml:3: shock[1]: a flat geography has no other latencies"},
		{"other latencies of one file", "[network]\ngeography = \"file\"\nfiles = \"a\"\n[[shock]]\nkind = \"latencies\"\n", nil,
			"x.toml:4: shock[1]: latencies needs the measurement of another time: several network.files"},
		{"stretch", "[measure]\nstretch = 0\n", nil,
			"x.toml:2: measure.stretch: 0 is too little: at least 0.1"},
		{"shock after the end", "duration = \"10s\"\n[[shock]]\nat = \"20s\"\nkind = \"die\"\nshare = 0.3\n", nil,
			"x.toml:3: shock[1].at: 20s is after the end: duration is 10s"},
		{"shock order", "[[shock]]\nat = \"20s\"\nkind = \"die-first-level\"\n[[shock]]\nat = \"10s\"\nkind = \"die-first-level\"\n", nil,
			"x.toml:5: shock[2].at: 10s is before the shock above it, at 20s: write shocks in their order"},
		{"region", "[[shock]]\nkind = \"die-region\"\nregion = \"Eurpe\"\n", nil,
			`x.toml:3: shock[1].region: no region is named "Eurpe"; did you mean Europe?`},
		{"region of a flat world", "[network]\ngeography = \"flat\"\n[[shock]]\nkind = \"die-region\"\nregion = \"Europe\"\n", nil,
			"x.toml:5: shock[1].region: a flat geography has no regions; give a share instead"},
		{"latency of a round world", "[network]\nlatency = \"5ms\"\n", nil,
			`x.toml:2: network.latency: counts only with geography = "flat"`},
		{"files of none", "[network]\ngeography = \"file\"\n", nil,
			"x.toml:2: network.geography: file needs network.files: the matrices to read"},
		{"figure", "[expect]\ndelay_p98_ms = \"<= 3\"\n", nil,
			"x.toml:2: expect.delay_p98_ms: no figure has that name; did you mean delay_p95_ms?"},
		{"figure of a shock", "[expect]\nrecovery_s.dye = \"<= 3\"\n[[shock]]\nkind = \"die\"\nshare = 0.1\n", nil,
			"x.toml:2: expect.recovery_s.dye: no class or shock is named dye; did you mean die?"},
		{"bound", "[expect]\nlost_ratio = 0.1\n", nil,
			`x.toml:2: expect.lost_ratio: want a bound, such as ">= 0.999" or "<= 150"`},
		{"class of the publisher", "[live]\npublisher_class = \"fibre\"\n[[class]]\nname = \"fiber\"\n", nil,
			`x.toml:2: live.publisher_class: no class is named "fibre"; did you mean fiber?`},
		{"lead", "warmup = \"5s\"\n[live]\nlead = \"5s\"\n", nil,
			"x.toml:3: live.lead: 5s is not less than warmup, which is 5s: the publisher has to come first"},
		{"lead that is no time", "[live]\nlead = \"-1s\"\n", nil,
			"x.toml:2: live.lead: -1s is too little: at least 0s"},
		{"hop", "[network]\nhop = \"2s\"\n", nil,
			"x.toml:2: network.hop: 2s is too much: at most 1s"},
		{"adversary", "[[adversary]]\nkind = \"freeloader\"\n", nil,
			`x.toml:2: adversary[1].kind: "freeloader" is no kind of adversary; did you mean freerider?`},
		{"all at once", "nodez = 1\n[network]\nloss = 3\n[live]\nrate = \"1Mbit/s\"\n", nil,
			"x.toml:1: nodez: unknown key; did you mean nodes?\n" +
				"x.toml:3: network.loss: 3 is no share from 0 to 1; for 3 percent write 0.03\n" +
				"x.toml:5: live.rate: unknown key; did you mean bitrate?"},
		{"in a size", "nodes = 10\n[network]\nloss = 0.1\n[sizes.small]\nnetwork.loss = 7\n", nil,
			"x.toml:5: network.loss: 7 is no share from 0 to 1; for 7 percent write 0.07"},
		{"unknown size", "[sizes.smal]\nnodes = 10\n", nil,
			`x.toml: has no size "small"; did you mean smal?`},
		{"setting", "nodes = 10\n[sizes.small]\n", []string{"network.los=0.1"},
			"--set: network.los: unknown key; did you mean loss?"},
		{"setting of one of several", "[sizes.small]\n[[class]]\nname = \"a\"\n", []string{"class.a.up=fast"},
			`--set: class[1].up: "fast" is no rate; write it with its unit, such as "1.5Mbit/s"`},
		{"setting of none of several", "[sizes.small]\n[[class]]\nname = \"a\"\n", []string{"class.b.up=3"},
			"--set: class.b.up: there are 1 of class; write class.1.up for the first"},
		{"no setting", "[sizes.small]\n", []string{"nodes"},
			`--set: "nodes" is no setting; write key=value, such as live.bitrate=2Mbit/s`},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := ""
			if strings.Contains(c.text, "[sizes.") {
				size = "small"
			}
			_, err := Parse("x.toml", c.text, size, c.settings...)
			if err == nil {
				t.Fatalf("got no error, want\n%s", c.want)
			}
			if got := err.Error(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("mine.toml", []byte("title = \"mine\"\n[sizes.big]\nnodes = 77\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"lives":          "did you mean live?",
		"live/smal":      "did you mean small?",
		"absent.toml":    "absent.toml: no such file",
		"mine.toml/huge": `has no size "huge"`,
	} {
		if _, err := Load(what); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", what, err, want)
		}
	}
	s, err := Load("mine.toml/big")
	if err != nil || s.Nodes != 77 || s.Title != "mine" || s.FullName() != "mine/big" {
		t.Errorf("mine.toml/big: got %+v, %v", s, err)
	}
}

func TestValues(t *testing.T) {
	s, err := Parse("dir/x.toml", `
nodes = 30
[network]
geography = "file"
files = "rtt.txt"
last_mile = ["2ms", "4ms"]
loss = "1.5%"
[[class]]
name = "a"
share = "25%"
up = "1.5 Mbit/s"
queue = "64KiB"
[[class]]
name = "b"
share = 0.75
[sessions]
distribution = "weibull"
median = "84s"
[live]
[sizes.small]
nodes = 10
`, "", "live.bitrate=2Mbit/s", "class.b.down=8000", "network.jitter = 3ms")
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("nodes", s.Nodes, 30)
	check("files", s.Network.Files[0], filepath.Join("dir", "rtt.txt"))
	check("last mile", s.Network.LastMile[1], Duration(4*time.Millisecond))
	check("loss", s.Network.Loss, Ratio(0.015))
	check("up", s.Classes[0].Up, Rate(1_500_000))
	check("queue", s.Classes[0].Queue, Size(64<<10))
	check("down", s.Classes[1].Down, Rate(8000))
	check("jitter", s.Network.Jitter, Duration(3*time.Millisecond))
	check("bitrate", s.Live.Bitrate, Rate(2_000_000))
	check("default of message", s.Live.Message, Size(940))
	check("default of deadline", s.Measure.Deadline, Duration(500*time.Millisecond))
	check("rate", Rate(2_500_000).String(), "2.5Mbit/s")
	// Of Weibull with shape 1/2 the mean is 2/ln²2 medians.
	if got, want := s.MeanSession().Seconds(), 84*2/(math.Ln2*math.Ln2); math.Abs(got-want) > 0.01 {
		t.Errorf("mean session: got %.2f s, want %.2f", got, want)
	}
	if got, want := s.ArrivalRate(), 30/s.MeanSession().Seconds(); math.Abs(got-want) > 1e-9 {
		t.Errorf("arrival rate: got %v, want %v", got, want)
	}
	if plain, err := Parse("x.toml", "", ""); err != nil || plain.Network.LastMile[1] != Duration(10*time.Millisecond) || plain.Live != nil {
		t.Errorf("an empty scenario: got %+v, %v", plain, err)
	}
}

// Every key has a sentence, and stands in the documentation.
func TestKeysAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Path)
		}
		if k.Kind == "table" || k.Kind == "tables" {
			continue
		}
		if row := DocRow(k); !strings.Contains(string(text), row) {
			t.Errorf("docs/scenarios.md lacks this row:\n%s", row)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range Library() {
		f.Add(libraryText(e.Name), "small", "live.bitrate=3Mbit/s")
	}
	f.Add("\"a[b\" = 1\n\"c]\" = 2\n\"d[x]e\" = 3\n", "", "")
	f.Add("a.b = '''\nx''' # y\n[[c]]\nd = [1,\n2]\n", "", "class.1.up=3")
	f.Fuzz(func(t *testing.T, text, size, setting string) {
		_, err := Parse("x.toml", text, size, setting)
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
