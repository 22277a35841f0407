//go:build e2e && reality && linux

package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rtmfp/simulations/figure"
	simrun "rtmfp/simulations/run"
	"rtmfp/simulations/scenario"
)

// simDraws is how often ten processes are simulated: they have other keys each
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

// setting is a group that is both run and simulated.
type setting struct {
	viewers  int
	network  string                                // of the scenario
	between  func(a, b simrun.Where) time.Duration // one way
	arrivals time.Duration
	warmup   time.Duration // until the stream begins, in reality from the start of the publisher
	length   time.Duration // of the source
	draws    uint64        // how often the same is simulated
}

// Ten processes on a network that this test makes, and the same simulated: the
// same nodes on the same lines, who come in the same order, and the same stream.
// Delays agree.
func TestSimulatorAgainstReality(t *testing.T) {
	const latency = 20 * time.Millisecond // one way, beside what each node's line adds
	g := setting{
		viewers:  viewerCount,
		network:  fmt.Sprintf("geography = \"flat\"\nlatency = \"%v\"\nlast_mile = [\"1ms\", \"10ms\"]", latency),
		between:  func(a, b simrun.Where) time.Duration { return latency + a.LastMile + b.LastMile },
		arrivals: 3 * time.Second, warmup: 8 * time.Second, length: clipLength, draws: simDraws,
	}
	_, src := source(t)
	g.compare(t, src)
}

// compare runs and simulates a setting, and holds the delays against each other.
func (g *setting) compare(t *testing.T, src []byte) {
	t.Helper()
	runs := realityRuns(t)
	j := listenJitter(t)
	var real50, real95, sim50, sim95 []float64
	noisy := 0
	for i := range runs {
		seed := uint64(i) + 1
		for try := 1; ; try++ {
			real := g.run(t, seed, j, src)
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
			for draw := range g.draws {
				s := g.simulate(t, seed, draw, len(src), real.message)
				sim.p50 += s.p50 / float64(g.draws)
				sim.p95 += s.p95 / float64(g.draws)
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

// reality is what came of processes.
type reality struct {
	swarmDelays
	message int     // mean size
	noise   float64 // ms that the machine adds to a delay that it need not
	stall   float64 // ms for which it did nothing for us, at most
}

// hops is over how many nodes most messages go, the viewer included.
const hops = 2

// run runs the processes on the lines that the simulator gives a seed.
func (g *setting) run(t *testing.T, seed uint64, j *jitter, src []byte) reality {
	t.Helper()
	// Messages are not known before there were some; they have no influence
	// on where nodes are.
	where := g.simulate(t, seed, 0, len(src), 1316).where
	l := newLab(t, len(where), func(from, to int) time.Duration { return g.between(where[from], where[to]) })
	j.take()
	all := g.swarm(t, l, src)
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

// simulatedSwarm is what came of a simulation.
type simulatedSwarm struct {
	swarmDelays
	where []simrun.Where
}

func (g *setting) simulate(t *testing.T, seed, draw uint64, size, message int) simulatedSwarm {
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
%s
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
`, g.viewers+2, g.warmup, g.length, g.network, g.arrivals, int64(float64(size)*8/g.length.Seconds()), message), "")
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
	if len(delays) != g.viewers {
		t.Errorf("simulator: %d viewers got the stream, want %d", len(delays), g.viewers)
	}
	swarm := simulatedSwarm{where: res.Where}
	for _, h := range delays {
		swarm.p50 += h.Quantile(0.5) / 1000 / float64(g.viewers)
		swarm.p95 += h.Quantile(0.95) / 1000 / float64(g.viewers)
	}
	return swarm
}

// swarm runs the processes on a lab and returns the viewers' figures.
func (g *setting) swarm(t *testing.T, l *lab, src []byte) []figures {
	t.Helper()
	s := newLabGroup(t, l)
	// The publisher is a member like the others, until its input begins.
	input := filepath.Join(s.dir, "input.ts")
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
	s.publish(t, "--linger", "3s", input)
	for i := range g.viewers {
		time.Sleep(time.Until(began.Add(g.arrivals * time.Duration(i+1) / time.Duration(g.viewers+1))))
		s.play(t)
	}
	time.Sleep(time.Until(began.Add(g.warmup)))
	// An encoder's output, evenly; what comes from a pipe is published as it comes.
	from := time.Now()
	for at := 0; at < len(src); at += 7 * 188 {
		time.Sleep(time.Until(from.Add(g.length * time.Duration(at/188) / time.Duration(len(src)/188))))
		if _, err := feed.Write(src[at:min(at+7*188, len(src))]); err != nil {
			t.Fatal(err)
		}
	}
	feed.Close()
	if code := s.publisher.wait(t, 2*time.Minute); code != 0 {
		t.Fatalf("publisher: exit code %d", code)
	}
	var all []figures
	for _, v := range s.viewers {
		if code := v.wait(t, 30*time.Second); code != 0 {
			t.Errorf("%s: exit code %d", v.name, code)
			continue
		}
		var f figures
		readJSON(t, v.json, &f)
		all = append(all, f)
	}
	s.stop(t)
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
