//go:build e2e && reality && linux

package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rtmfp/simulations/figure"
	simrun "rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

// simDraws is how often the same is simulated: processes have other keys each
// time, and other trees come of it.
const simDraws = 6

// maxApart is by how much the simulator may be off reality, as a part of it, and
// maxNoise how much of the delay a machine may add that has other work
// to do, and maxStall for how many ms it may do nothing for us: after longer ones
// timeouts begin. A run of which that can't be said says nothing, and is made
// again, realityTries times in all.
const (
	maxApart     = 0.15
	maxNoise     = 0.05
	maxStall     = 150
	realityTries = 4
)

// realityRuns returns how often reality is run, each time with other lines:
// once, or as often as RTMFP_REALITY_RUNS says. A run takes a minute, and shows
// something only on a machine that has nothing else to do, hence the build tag.
func realityRuns(t *testing.T) int {
	t.Helper()
	given := os.Getenv("RTMFP_REALITY_RUNS")
	if given == "" {
		return 1
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 {
		t.Fatalf("RTMFP_REALITY_RUNS is %q, want a number from 1 on", given)
	}
	return n
}

// Ten processes on a network that this test makes, and the same simulated: the
// same nodes on the same lines, who come in the same order, and the same stream.
// Delays agree.
func TestSimulatorAgainstReality(t *testing.T) {
	runs := realityRuns(t)
	name, src := source(t)
	j := listenJitter(t)
	var real50, real95, sim50, sim95 []float64
	noisy := 0
	for i := range runs {
		seed := uint64(i) + 1
		for try := 1; ; try++ {
			real := runReality(t, seed, j, name, src)
			busy := real.noise > maxNoise*real.p50 || real.stall > maxStall
			show(t, "  the machine adds %.1f %%, and stood still for %.0f ms at most", 100*real.noise/real.p50, real.stall)
			if busy && try < realityTries {
				show(t, "seed %d: the machine has too much else to do, once more", seed)
				continue
			}
			if busy {
				noisy++
			}
			var sim swarmDelays
			for draw := range uint64(simDraws) {
				s := simulate(t, seed, draw, len(src), real.message)
				sim.p50 += s.p50 / simDraws
				sim.p95 += s.p95 / simDraws
			}
			show(t, "seed %d, simulator: p50 %6.1f ms, p95 %6.1f ms", seed, sim.p50, sim.p95)
			real50, real95 = append(real50, real.p50), append(real95, real.p95)
			sim50, sim95 = append(sim50, sim.p50), append(sim95, sim.p95)
			break
		}
	}
	wrong := apart(t, "delay p50", real50, sim50) + apart(t, "delay p95", real95, sim95)
	switch {
	case noisy > 0:
		t.Fatalf("not decided: in %d of %d runs the machine had so much else to do that it added more than %.0f %% to the delay, or stood still for more than %d ms",
			noisy, runs, 100*maxNoise, maxStall)
	case wrong != "":
		t.Error(wrong)
	}
}

// swarmDelays is what came of a swarm: means over the viewers, in ms.
type swarmDelays struct{ p50, p95 float64 }

// reality is what came of ten processes.
type reality struct {
	swarmDelays
	message int     // mean size
	noise   float64 // ms that the machine adds to a delay that it need not
	stall   float64 // ms for which it did nothing for us, at most
}

// hops is over how many nodes most messages go, the viewer included.
const hops = 2

// runReality runs the processes on the lines that the simulator gives a seed.
func runReality(t *testing.T, seed uint64, j *jitter, name string, src []byte) reality {
	t.Helper()
	// Messages are not known before there were some; they have no influence
	// on where nodes are.
	where := simulate(t, seed, 0, len(src), 1316).where
	l := newLab(t, len(where), func(from, to int) time.Duration {
		a, b := where[from], where[to]
		return realityLatency + a.LastMile + b.LastMile
	})
	j.take()
	all := realSwarm(t, l, name, src)
	woken := j.take()
	interfaces, sockets := l.dropped()
	l.close()
	var r reality
	var bytes, messages uint64
	for _, f := range all {
		r.p50 += f.DelayMS.P50 / float64(len(all))
		r.p95 += f.DelayMS.P95 / float64(len(all))
		bytes, messages = bytes+f.Bytes, messages+f.Messages
	}
	r.message = int(bytes / max(messages, 1))
	r.stall = max(percentile(l.late, 1), percentile(woken, 1))
	r.noise = hops * (percentile(l.late, 0.95) + percentile(woken, 0.95))
	show(t, "seed %d, reality:   p50 %6.1f ms, p95 %6.1f ms; messages of %d bytes", seed, r.p50, r.p95, r.message)
	show(t, "  %d packets carried, %.2f ms late (p50), %.2f (p95), %.2f (p99); a thread is woken %.2f ms late (p50), %.2f (p95), %.2f (p99)",
		l.carried, percentile(l.late, 0.5), percentile(l.late, 0.95), percentile(l.late, 0.99),
		percentile(woken, 0.5), percentile(woken, 0.95), percentile(woken, 0.99))
	show(t, "  dropped: %d by the carrier, %d by interfaces, %d by sockets", l.lost, interfaces, sockets)
	return r
}

// Times of both, in reality from the start of the publisher.
const (
	realityLatency  = 20 * time.Millisecond // one way, beside what each node's line adds
	realityArrivals = 3 * time.Second
	realityWarmup   = 8 * time.Second
	realityLength   = 35 * time.Second // of the source
)

// simulatedSwarm is what came of a simulation.
type simulatedSwarm struct {
	swarmDelays
	where []simrun.Where
}

func simulate(t *testing.T, seed, draw uint64, size, message int) simulatedSwarm {
	t.Helper()
	// As "rtmfp-node run", the introducer relays whatever its groups carry, and as
	// "rtmfp-node publish", the publisher announces the stream before its input begins.
	s, err := scenario.Parse("reality.toml", fmt.Sprintf(`
nodes = %d
warmup = "%v"
duration = "%v"
drain = "3s"
crypto = "simulated"
[network]
geography = "flat"
latency = "%v"
last_mile = ["1ms", "10ms"]
[arrivals]
over = "%v"
[live]
publisher_class = "server"
announced = true
bitrate = %d
message = %d
[[class]]
name = "server"
share = 0
relay_all = true
[[class]]
name = "viewer"
share = 1
`, viewerCount+2, realityWarmup, realityLength, realityLatency, realityArrivals, int64(float64(size)*8/realityLength.Seconds()), message), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Map()
	if err != nil {
		t.Fatal(err)
	}
	delays := map[int]*figure.Histogram{}
	res, err := simrun.Run(t.Context(), s, m, seed, simrun.Options{Draw: draw, Delivered: func(node int, delay time.Duration) {
		if delays[node] == nil {
			delays[node] = new(figure.Histogram)
		}
		delays[node].Add(uint64(delay/time.Microsecond), 1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Breach != nil {
		t.Fatal(res.Breach)
	}
	if len(delays) != viewerCount {
		t.Errorf("simulator: %d viewers got the stream, want %d", len(delays), viewerCount)
	}
	swarm := simulatedSwarm{where: res.Where}
	for _, h := range delays {
		swarm.p50 += h.Quantile(0.5) / 1000 / viewerCount
		swarm.p95 += h.Quantile(0.95) / 1000 / viewerCount
	}
	return swarm
}

// realSwarm runs the processes on a lab and returns the viewers' figures.
func realSwarm(t *testing.T, l *lab, name string, src []byte) []figures {
	t.Helper()
	dir := t.TempDir()
	spec, stderr, err := command(t, 10*time.Second, nodeProgram, "group", "new", "--name", "reality", "--multicast")
	if err != nil {
		t.Fatalf("group new: %v\n%s", err, stderr)
	}
	spec = strings.TrimSpace(spec)
	listen := func(host int) string { return l.hosts[host].addr.String() + ":1935" }
	introducer := l.start(t, 0, "introducer", "run", "--group", spec, "--identity", "none", "--listen", listen(0))
	member := func(host int) []string {
		return []string{"--group", spec, "--stream", "cam", "--identity", "none", "--listen", listen(host), "--bootstrap", "rtmfp://" + listen(0)}
	}
	introducer.line(t, &introducer.out, "rtmfp://", 10*time.Second)

	// The publisher is a member like the others, until its input begins.
	input := filepath.Join(dir, "input.ts")
	if err := unix.Mkfifo(input, 0o600); err != nil {
		t.Fatal(err)
	}
	feed, err := os.OpenFile(input, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The simulated publisher comes when the introducer is up, and the others at
	// their times from then on. Who is there when decides about the trees.
	began := time.Now()
	publisher := l.start(t, 1, "publisher", append([]string{"publish", "--linger", "3s", input}, member(1)...)...)
	var viewers []*process
	var files []string
	for i := range viewerCount {
		host := i + 2
		time.Sleep(time.Until(began.Add(realityArrivals * time.Duration(i+1) / (viewerCount + 1))))
		file := filepath.Join(dir, fmt.Sprintf("viewer%d.json", i+1))
		files = append(files, file)
		viewers = append(viewers, l.start(t, host, fmt.Sprintf("viewer%d", i+1), append([]string{"play", "--wait", "60s",
			"-o", filepath.Join(dir, fmt.Sprintf("viewer%d.ts", i+1)), "--stats", file}, member(host)...)...))
	}
	time.Sleep(time.Until(began.Add(realityWarmup)))
	// An encoder's output, evenly; what comes from a pipe is published as it comes.
	from := time.Now()
	for at := 0; at < len(src); at += 7 * 188 {
		time.Sleep(time.Until(from.Add(realityLength * time.Duration(at/188) / time.Duration(len(src)/188))))
		if _, err := feed.Write(src[at:min(at+7*188, len(src))]); err != nil {
			t.Fatal(err)
		}
	}
	feed.Close()
	if code := publisher.wait(t, 2*time.Minute); code != 0 {
		t.Fatalf("publisher: exit code %d", code)
	}
	var all []figures
	for i, v := range viewers {
		if code := v.wait(t, 30*time.Second); code != 0 {
			t.Errorf("%s: exit code %d", v.name, code)
			continue
		}
		var f figures
		readJSON(t, files[i], &f)
		all = append(all, f)
	}
	introducer.signal(t, unix.SIGTERM)
	introducer.wait(t, 10*time.Second)
	return all
}

// apart compares the means over the runs, and returns what is wrong.
func apart(t *testing.T, what string, reality, simulator []float64) string {
	t.Helper()
	real, sim := mean(reality), mean(simulator)
	off := sim/real - 1
	show(t, "%s: reality %.1f ms, simulator %.1f ms, %+.1f %%", what, real, sim, 100*off)
	if math.Abs(off) <= maxApart {
		return ""
	}
	return fmt.Sprintf("%s: got %.1f ms simulated, %.1f ms in reality: %+.1f %% apart, want at most %.0f %%\n", what, sim, real, 100*off, 100*maxApart)
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// take returns what was measured since the time before.
func (j *jitter) take() []float64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	late := j.late
	j.late = nil
	return late
}
