package simulations

import (
	"runtime"
	"testing"
	"time"
)

// The budgets of the design, in bytes.
const (
	budgetIdleMember = 64 << 10 // simulated, one group, 16 sessions
	budgetWatching   = 32 << 10 // more, payload apart
)

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A member of one group with sessions to 16 others fits its budget, idle and
// while it watches a stream.
func TestMemoryPerMember(t *testing.T) {
	const networks, size = 2, 48
	before := liveHeap()
	var all []*broadcast
	sessions := 0
	for seed := range networks {
		b := startBroadcast(t, uint64(seed), size)
		b.net.Run(20 * time.Second)
		for _, m := range b.members {
			sessions += m.Group().NeighborCount()
		}
		all = append(all, b)
	}
	if got := sessions / (networks * size); got < 16 {
		t.Fatalf("members have %d sessions on average, want 16 for the measurement to mean something", got)
	}
	idle := liveHeap()
	perMember := (idle - before) / (networks * size)
	t.Logf("idle member: %d bytes with %d sessions", perMember, sessions/(networks*size))
	if perMember > budgetIdleMember {
		t.Errorf("idle member: got %d bytes, budget %d", perMember, budgetIdleMember)
	}

	payload := 0
	for _, b := range all {
		b.play(t)
		b.publish(t, 5*time.Second)
		for _, v := range b.viewers {
			payload += v.sub.Stats().HeldBytes
		}
	}
	// What the publisher caches counts as payload as well.
	payload += networks * payload / (networks * (size - 2))
	watching := (int64(liveHeap()) - int64(idle) - int64(payload)) / (networks * size)
	t.Logf("watching member: %d bytes more, beside %d of payload", watching, payload/(networks*size))
	if watching > budgetWatching {
		t.Errorf("watching member: got %d bytes more, budget %d", watching, budgetWatching)
	}
	runtime.KeepAlive(all)
}
