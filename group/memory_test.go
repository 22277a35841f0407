//go:build !race

package group

import (
	"math/rand/v2"
	"runtime"
	"testing"
)

// An idle member with 16 neighbors costs no more than 32 KB, half of
// what a simulated node may have with its sessions: a hundred thousand
// are to fit into one machine.
func TestMemoryPerMember(t *testing.T) {
	const members, budget = 200, 32 << 10
	rng := rand.New(rand.NewPCG(1, 2))
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	all := make([]*Group, 0, members)
	before := heap()
	for range members {
		all = append(all, settled(rng))
	}
	after := heap()
	for _, g := range all {
		if g.NeighborCount() != 16 || g.book.loose.Len() != g.cfg.MaxKnown {
			t.Fatalf("%d neighbors, %d in the book; want 16, %d", g.NeighborCount(), g.book.loose.Len(), g.cfg.MaxKnown)
		}
	}
	each := (after - before) / members
	t.Logf("%d bytes for each member", each)
	if each > budget {
		t.Errorf("%d bytes for each member, want at most %d", each, budget)
	}
	runtime.KeepAlive(all)
}
