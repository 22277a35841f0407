//go:build !race

package simulations

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"rtmfp/multicast"
)

// The budgets of the design, in bytes, for a member with 16 sessions under real
// cryptography. Apart from them are the payload in the window, and the ciphers
// of sessions on which packets flow: two AES keys with their schedules and hash
// tables, which go when the session rests.
//
// Idle is held to its own budget, and watching only to the sum of both: what it
// adds is more than the design gives it, as docs/performance.md shows.
const (
	budgetIdle     = 110 << 10
	budgetWatching = 32 << 10 // more

	// Members that watch have a link or two more, which streams asked for. For each
	// session beyond the 16, what one of them may take.
	budgetSession = budgetIdle / 16

	cipherSize = 2 * (768 + 48)

	// What a network needs for itself: the days of its calendar, the list of what
	// is in flight, and a buffer.
	networkSize = yearDays*4 + yearDays/8 + transmitSize + int64(unsafe.Sizeof(Network{}))
	nodeSize    = int64(unsafe.Sizeof(Node{}))
)

func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A member of one group with sessions to 16 others fits its budget, both idle
// and while it watches a stream of 1 Mbit/s that has filled its window.
func TestMemoryPerMember(t *testing.T) {
	const size = 49
	startBroadcast(t, 1, 2).net.Run(time.Second) // what all members share is there from now on
	before := liveHeap()
	b := startBroadcast(t, 0, size)
	b.net.Run(45 * time.Second)
	sessions := 0
	for _, m := range b.members {
		sessions += m.Group().NeighborCount()
	}
	if got := sessions / size; got < 16 {
		t.Fatalf("members have %d sessions on average, want 16 for the measurement to mean something", got)
	}
	b.net.Slim()
	idle := (liveHeap()-before-networkSize-inFlight(b.net))/size - nodeSize
	t.Logf("idle: %d bytes for each member, with %d sessions", idle, sessions/size)
	if idle > budgetIdle {
		t.Errorf("idle member: got %d bytes, budget %d", idle, budgetIdle)
	}

	b.play(t)
	b.publishAt(t, 133, 11*time.Second)
	b.net.Run(3 * time.Second) // what is on its way is not the members'
	payload := 0
	for _, m := range b.members {
		held := heldBytes(m.Streams())
		if held < 850_000 {
			t.Errorf("a member holds %d bytes, want the window of the stream", held)
		}
		payload += held
	}
	b.net.Slim()
	watching := (liveHeap()-before-networkSize-inFlight(b.net)-int64(payload))/size - nodeSize
	sessions = 0
	for _, m := range b.members {
		sessions += m.Group().NeighborCount()
	}
	ciphers := int64(sessions/size+1) * cipherSize // one more for the introducer's
	t.Logf("watching: %d bytes for each member beside %d of payload and %d of ciphers, with %.1f sessions, %d more than idle",
		watching-ciphers, payload/size, ciphers, float64(sessions)/size, watching-ciphers-idle)
	if budget := int64(budgetIdle + budgetWatching + (sessions-16*size)*budgetSession/size); watching-ciphers > budget {
		t.Errorf("watching member: got %d bytes, budget %d", watching-ciphers, budget)
	}
	runtime.KeepAlive(b)
}

// inFlight returns the bytes of a network's blocks of datagrams in flight.
func inFlight(w *Network) int64 {
	return int64(w.flights.n) * int64(unsafe.Sizeof([flightBlock]flight{}))
}

// heldBytes returns the payload that a member caches of its streams.
func heldBytes(s *multicast.Service) int {
	held := 0
	for _, st := range s.Streams() {
		held += st.HeldBytes
	}
	return held
}
