//go:build e2e && reality && linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"rtmfp/simulations/geography"
	simrun "rtmfp/simulations/run"
)

// planetViewers is how many processes watch at places all over the world.
const planetViewers = 32

// planet returns where they are: places of the measurement that RTMFP_PLANETLAB
// names, files of round-trip times, of which the first is taken, or cities.
func planet(t *testing.T) (m *geography.Map, network string) {
	t.Helper()
	files := filepath.SplitList(os.Getenv("RTMFP_PLANETLAB"))
	if len(files) == 0 {
		show(t, "without RTMFP_PLANETLAB: cities of the world")
		return geography.Synthetic(), "geography = \"synthetic\"\nlast_mile = [\"0s\", \"0s\"]"
	}
	m, err := geography.Load(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return m, fmt.Sprintf("geography = \"file\"\nfiles = [%q]", files[0])
}

// 32 viewers, an introducer, and a publisher at places all over the world: their
// delays agree with those of the simulator.
func TestPlanetAgainstSimulator(t *testing.T) {
	m, network := planet(t)
	clip, err := smallClip()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	g := setting{
		viewers: planetViewers, network: network,
		between: func(a, b simrun.Where) time.Duration {
			return m.OneWay(a.Place, b.Place) + a.LastMile + b.LastMile
		},
		arrivals: 5 * time.Second, warmup: 12 * time.Second, length: 20 * time.Second, draws: 3,
	}
	g.compare(t, src)
}

// The same group, of which eight are killed, four stand still for a while, one
// changes its port, and the publisher's link is cut for ten seconds.
func TestPlanetThroughFaults(t *testing.T) {
	m, _ := planet(t)
	f := faults{viewers: planetViewers, over: 5 * time.Second, pause: 4 * time.Second, killed: 8, stopped: 4, stop: 6 * time.Second, cut: 10 * time.Second}
	// Every so many of the rows.
	place := func(host int) int { return host * m.Len() / (f.viewers + 2) }
	l := newLab(t, f.viewers+2, func(from, to int) time.Duration { return m.OneWay(place(from), place(to)) })
	f.run(t, l)
}
