package replication

import (
	"flag"
	"math"
	"slices"
	"testing"
	"time"
)

var (
	swarmNodes  = flag.Int("swarm.nodes", 64, "leechers in TestSwarm")
	swarmBlocks = flag.Int("swarm.blocks", 64, "blocks of the file")
	swarmDegree = flag.Int("swarm.degree", 16, "neighbors of a node")
	swarmDelay  = flag.Duration("swarm.delay", 0, "one-way delay of every link")
)

// A swarm of equal uplinks with one seed takes little longer than the best
// plan for it that there is (Mundinger, Weber, Weiss 2008): F/C (1 + ⌊log2 N⌋/M).
func TestSwarm(t *testing.T) {
	const uplink = 1 << 20
	w := newNetwork(t, 1)
	w.delay = *swarmDelay
	nodes := *swarmNodes
	blocks := uint64(*swarmBlocks)
	for range nodes + 1 {
		w.add(Config{UploadLimit: uplink / weight * objectSize}, uplink)
	}
	all := Range{0, blocks}
	seed := w.nodes[0]
	must(t, seed.open(CollectionID{1}, RarestFirst).AddHave(0, all))
	w.mesh(*swarmDegree)
	for _, n := range w.nodes[1:] {
		must(t, n.open(CollectionID{1}, RarestFirst).AddWant(0, all))
		n.turn()
	}
	bound := float64(blocks) * weight / uplink * (1 + math.Floor(math.Log2(float64(nodes)))/float64(blocks))
	w.run(time.Duration(10*bound*1e9), func() bool {
		return !slices.ContainsFunc(w.nodes[1:], func(n *testNode) bool { return n.c.Want() > 0 })
	})
	var last time.Duration
	dup := uint64(0)
	for _, n := range w.nodes[1:] {
		if n.c.Want() > 0 {
			t.Fatalf("node %d still wants %d", n.no, n.c.Want())
		}
		last = max(last, time.Duration(n.finished))
		dup += n.svc.Stats().Duplicates
	}
	ratio := last.Seconds() / bound
	copies := float64(seed.svc.Stats().Sent) / float64(blocks)
	t.Logf("last after %v, %.3f of the bound; the seed sent %.2f copies; %.3f duplicates", last, ratio, copies, float64(dup)/float64(blocks)/float64(nodes))
	if copies > 1.5 {
		t.Errorf("the seed sent %.2f copies", copies)
	}
	// Latency and the rounding of a small file are not in the bound.
	if most := 1.2 + 10*w.delay.Seconds()*math.Log2(float64(nodes))/bound; ratio > most {
		t.Errorf("%.3f of the bound, want at most %.3f", ratio, most)
	}
}
