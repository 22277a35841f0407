//go:build !race

package multicast

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"rtmfp/group"
)

// Watching a stream of 1 Mbit/s among 16 neighbors costs at most 44 KiB beside
// the payload: half of it for the window and the finding of its 1300 fragments,
// half for the neighbors and all else. An idle service costs next to nothing.
func TestMemory(t *testing.T) {
	live := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 8
	var idle [n]*Service
	before := live()
	for i := range idle {
		idle[i] = New(Config{Rand: rand.New(rand.NewPCG(1, 1)), AllowUnsigned: true}, &nowhere{})
		for j := range 16 {
			idle[i].NeighborUp(0, group.LinkID(j+1), Member{Modern: true})
		}
	}
	if each := (live() - before) / n; each > 8<<10 {
		t.Errorf("an idle service with 16 neighbors takes %d bytes", each)
	}
	runtime.KeepAlive(&idle)

	var relays [n]*relay
	before = live()
	payload := uint64(0)
	for i := range relays {
		relays[i] = newRelay(t, 16, 3)
		for range 3000 {
			relays[i].step()
		}
		payload += uint64(relays[i].sub.Stats().HeldBytes)
	}
	each := (live() - before - payload) / n
	t.Logf("%d bytes beside %d of payload", each, payload/n)
	if each > 44<<10 {
		t.Errorf("watching a stream takes %d bytes beside the payload", each)
	}
	runtime.KeepAlive(&relays)
}
