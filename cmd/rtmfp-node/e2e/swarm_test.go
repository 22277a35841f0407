//go:build e2e && linux

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

// Limits of what ten processes on one machine must show.
const (
	viewerCount   = 8
	maxStartupP95 = 1000.0 // ms
	maxDelayP99   = 150.0  // ms
	maxDuplicates = 0.05   // of the fragments
	maxCopies     = 3.0    // of the stream, sent by its publisher
	maxDelayLoss  = 1000.0 // ms, worst delay when relays die
)

// figures is what play --stats writes, as far as these tests read it.
type figures struct {
	StartupMS  *float64 `json:"startup_ms"`
	Fragments  uint64   `json:"fragments"`
	Lost       uint64   `json:"lost"`
	Duplicates uint64   `json:"duplicates"`
	Pushed     uint64   `json:"pushed"`
	Pulled     uint64   `json:"pulled"`
	DelayMS    struct {
		P50, P95, P99, Max float64
	} `json:"delay_ms"`
	Signed        bool   `json:"signed"`
	Signatures    uint64 `json:"signature_bytes"`
	Neighbors     int    `json:"neighbors"`
	Messages      uint64 `json:"messages"`
	Bytes         uint64 `json:"bytes"`
	UploadBytes   uint64 `json:"upload_bytes"`
	DownloadBytes uint64 `json:"download_bytes"`
}

// startup returns the time to the first frame in ms, never if none came.
func (f *figures) startup() float64 {
	if f.StartupMS == nil {
		return never
	}
	return *f.StartupMS
}

// published is what publish --stats writes, as far as these tests read it.
type published struct {
	SourceBytes uint64 `json:"source_bytes"`
	UploadBytes uint64 `json:"upload_bytes"`
}

// swarm is an introducer, a publisher, and viewers, each a process.
type swarm struct {
	dir        string
	spec       string
	url        string
	introducer *process
	publisher  *process
	pubPort    uint16
	viewers    []*viewer
}

type viewer struct {
	*process
	port       uint16
	file, json string
	killed     bool
	first      chan float64 // ms from the process's start to its first output, as seen from outside
}

// watchFile sends the time at which the viewer's file got its first bytes.
func (v *viewer) watchFile(began time.Time) {
	for {
		if info, err := os.Stat(v.file); err == nil && info.Size() > 0 {
			v.first <- float64(time.Since(began).Microseconds()) / 1000
			return
		}
		select {
		case <-v.done:
			v.first <- never
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// never is a time in ms that is over every limit.
const never = 1e9

// freePort returns a UDP port that nobody uses right now.
func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

// newSwarm starts the introducer.
func newSwarm(t *testing.T) *swarm {
	t.Helper()
	s := &swarm{dir: t.TempDir()}
	out, stderr, err := command(t, 10*time.Second, nodeProgram, "group", "new", "--name", "e2e", "--multicast")
	if err != nil {
		t.Fatalf("group new: %v\n%s", err, stderr)
	}
	s.spec = strings.TrimSpace(out)
	s.introducer = node(t, "introducer", "run", "--group", s.spec, "--identity", "none",
		"--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	s.url = s.introducer.line(t, &s.introducer.out, "rtmfp://", 10*time.Second)
	return s
}

// publish starts the publisher and waits until it sends.
func (s *swarm) publish(t *testing.T, args ...string) {
	t.Helper()
	s.pubPort = freePort(t)
	s.publisher = node(t, "publisher", append([]string{"publish", "--group", s.spec, "--stream", "cam",
		"--bootstrap", s.url, "--identity", "none", "--listen", fmt.Sprintf("127.0.0.1:%d", s.pubPort),
		"--stats", s.path("publisher.json")}, args...)...)
	// Past the join and the first key frames.
	time.Sleep(2 * time.Second)
}

// play starts a viewer.
func (s *swarm) play(t *testing.T, args ...string) *viewer {
	t.Helper()
	name := fmt.Sprintf("viewer%d", len(s.viewers)+1)
	v := &viewer{port: freePort(t), file: s.path(name + ".ts"), json: s.path(name + ".json"), first: make(chan float64, 1)}
	began := time.Now()
	v.process = node(t, name, append([]string{"play", "--group", s.spec, "--stream", "cam", "--bootstrap", s.url,
		"--identity", "none", "--listen", fmt.Sprintf("127.0.0.1:%d", v.port),
		"-o", v.file, "--stats", v.json}, args...)...)
	go v.watchFile(began)
	s.viewers = append(s.viewers, v)
	return v
}

func (s *swarm) path(name string) string { return filepath.Join(s.dir, name) }

// finish waits for the publisher's end and that of every viewer that lives.
func (s *swarm) finish(t *testing.T) {
	t.Helper()
	if code := s.publisher.wait(t, time.Minute); code != 0 {
		t.Fatalf("publisher: exit code %d", code)
	}
	for _, v := range s.viewers {
		if code := v.wait(t, 15*time.Second); code != 0 && !v.killed {
			t.Errorf("%s: exit code %d", v.name, code)
		}
	}
	s.introducer.signal(t, syscall.SIGTERM)
	if code := s.introducer.wait(t, 10*time.Second); code != 0 {
		t.Errorf("introducer: exit code %d after SIGTERM", code)
	}
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, b)
	}
}

// joinedAt checks that a file is the end of the source, byte for byte, and
// returns where in the source it begins.
func joinedAt(t *testing.T, name string, src []byte) int {
	t.Helper()
	got, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return -1
	}
	const packet = 188
	base := filepath.Base(name)
	if len(got) < 100*packet {
		t.Errorf("%s: got %d bytes, want a stream", base, len(got))
		return -1
	}
	at := bytes.Index(src, got[:100*packet])
	switch {
	case at < 0:
		t.Errorf("%s: its first 100 packets are nowhere in the source", base)
	case at%packet != 0:
		t.Errorf("%s: begins at byte %d of the source, within a packet", base, at)
	case !bytes.Equal(got, src[at:]):
		n := 0
		for want := src[at:]; n < min(len(got), len(want)) && got[n] == want[n]; n++ {
		}
		t.Errorf("%s: got %d bytes from byte %d of the source on, want %d; they differ after %d",
			base, len(got), at, len(src)-at, n)
	}
	return at
}

// report checks what each viewer that lives has received and returns their
// figures with those of the publisher.
func (s *swarm) report(t *testing.T, src []byte, sent map[uint16]int64) ([]figures, published) {
	t.Helper()
	var pub published
	readJSON(t, s.path("publisher.json"), &pub)
	var all []figures
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tstartup\tfrom s\tfragments\tlost\tdup\tpushed\tpulled\tp50\tp95\tp99\tmax ms\tneighbors\tsent kB\t")
	for _, v := range s.viewers {
		if v.killed {
			fmt.Fprintf(w, "%s\tkilled\t\t\t\t\t\t\t\t\t\t\t\t%d\t\n", v.name, sent[v.port]/1000)
			continue
		}
		at := joinedAt(t, v.file, src)
		var f figures
		readJSON(t, v.json, &f)
		all = append(all, f)
		if share := float64(f.Signatures) / float64(f.Bytes+f.Signatures); !f.Signed || share > 0.035 {
			t.Errorf("%s: signed: %v, %.4f of the bytes are signatures", v.name, f.Signed, share)
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.1f\t%d\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%d\t\n", v.name, f.startup(),
			35*float64(at)/float64(len(src)), f.Fragments, f.Lost, f.Duplicates, f.Pushed, f.Pulled,
			f.DelayMS.P50, f.DelayMS.P95, f.DelayMS.P99, f.DelayMS.Max, f.Neighbors, sent[v.port]/1000)
	}
	w.Flush()
	show(t, "%s", table.String())
	return all, pub
}

// duplicates returns the share of duplicates among all that the viewers received.
func duplicates(all []figures) float64 {
	var dup, n float64
	for _, f := range all {
		dup += float64(f.Duplicates)
		n += float64(f.Fragments)
	}
	return dup / max(n, 1)
}

// percentile returns the value below or at which p of the values are.
func percentile(values []float64, p float64) float64 {
	slices.Sort(values)
	i := int(p*float64(len(values))+0.999999) - 1
	return values[min(max(i, 0), len(values)-1)]
}

// worst returns the largest value that get finds among the viewers.
func worst(all []figures, get func(*figures) float64) float64 {
	most := 0.0
	for i := range all {
		most = max(most, get(&all[i]))
	}
	return most
}

func atMost(t *testing.T, what string, got, limit float64, unit string) {
	t.Helper()
	if got > limit {
		t.Errorf("%s: got %.2f%s, want at most %.2f%s", what, got, unit, limit, unit)
	}
	show(t, "%-22s %10.2f%s (limit %.2f%s)", what, got, unit, limit, unit)
}

// startViewers starts all of them, one shortly after the other.
func (s *swarm) startViewers(t *testing.T) {
	t.Helper()
	for range viewerCount {
		s.play(t)
		time.Sleep(200 * time.Millisecond)
	}
}

// One introducer, one publisher, and eight viewers, each a process of its own.
func TestTenProcesses(t *testing.T) {
	name, src := source(t)
	w, j := listenWire(t), listenJitter(t)
	s := newSwarm(t)
	s.publish(t, name)
	s.startViewers(t)
	s.finish(t)

	sent := w.sent()
	all, pub := s.report(t, src, sent)
	j.show(t)
	var startups []float64
	for i := range all {
		startups = append(startups, max(all[i].startup(), <-s.viewers[i].first))
		if all[i].Lost > 0 {
			t.Errorf("%s: lost %d fragments", s.viewers[i].name, all[i].Lost)
		}
	}
	// From the start of the process to its first output, as the test sees it.
	atMost(t, "startup p95", percentile(startups, 0.95), maxStartupP95, " ms")
	atMost(t, "delay p99, worst viewer", worst(all, func(f *figures) float64 { return f.DelayMS.P99 }), maxDelayP99, " ms")
	atMost(t, "duplicates", 100*duplicates(all), 100*maxDuplicates, " %")
	if pub.SourceBytes != uint64(len(src)) {
		t.Errorf("publisher: published %d bytes, want %d", pub.SourceBytes, len(src))
	}
	size := float64(len(src))
	atMost(t, "publisher's copies", float64(pub.UploadBytes)/size, maxCopies, "")
	// The same from outside, where headers and sealing count too.
	atMost(t, "same on the wire", float64(sent[s.pubPort])/size, maxCopies, "")
}

// Two viewers that relay are killed in the middle of the stream.
func TestRelaysKilled(t *testing.T) {
	name, src := source(t)
	w, j := listenWire(t), listenJitter(t)
	s := newSwarm(t)
	s.publish(t, name)
	s.startViewers(t)

	// Who relays shows in what it sends: a viewer that doesn't sends only
	// acknowledgments and control, far less than a quarter of the stream.
	time.Sleep(6 * time.Second)
	before := w.sent()
	const span = 4 * time.Second
	time.Sleep(span)
	after := w.sent()
	quarter := int64(float64(len(src)) / 35 * span.Seconds() / 4)
	relays := slices.Clone(s.viewers)
	rate := func(v *viewer) int64 { return after[v.port] - before[v.port] }
	slices.SortFunc(relays, func(a, b *viewer) int { return cmp.Compare(rate(b), rate(a)) })
	for _, v := range relays[:2] {
		if rate(v) < quarter {
			t.Errorf("%s: relays %d bytes in %v, want at least %d", v.name, rate(v), span, quarter)
		}
		show(t, "%s relays %.2f copies of the stream: killed", v.name, float64(rate(v))/float64(4*quarter))
		v.killed = true
		v.signal(t, syscall.SIGKILL)
	}
	s.finish(t)

	all, _ := s.report(t, src, w.sent())
	j.show(t)
	lost := worst(all, func(f *figures) float64 { return float64(f.Lost) })
	atMost(t, "lost, worst viewer", lost, 0, "")
	atMost(t, "delay, worst of all", worst(all, func(f *figures) float64 { return f.DelayMS.Max }), maxDelayLoss, " ms")
}
