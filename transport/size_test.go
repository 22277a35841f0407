package transport

import (
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// The structs of which a node has thousands stay within what the budget of an
// idle session allows.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, most uintptr
	}{
		{"Session", unsafe.Sizeof(Session{}), 704},
		{"SendFlow", unsafe.Sizeof(SendFlow{}), 288},
		{"RecvFlow", unsafe.Sizeof(RecvFlow{}), 224},
		{"ecn", unsafe.Sizeof(ecn{}), 64},
		{"fragment", unsafe.Sizeof(fragment{}), 96},
		{"message", unsafe.Sizeof(message{}), 64},
		{"Event", unsafe.Sizeof(Event{}), 144},
	} {
		t.Logf("%s: %d bytes", c.name, c.got)
		if c.got > c.most {
			t.Errorf("%s: got %d bytes, want at most %d", c.name, c.got, c.most)
		}
	}
}

// An idle modern session with four flows takes at most 3 KB of live heap at
// each end (the budget of the design): 1000 sessions in a full mesh.
func TestMemoryOfIdleSessions(t *testing.T) {
	const nodes, budget = 46, 3072
	n := newNetwork(t, 1)
	for range nodes {
		n.add("", modern, func(c *Config) { c.PoolKeep = 1 << 16 })
	}
	before := liveHeap()
	for i, a := range n.nodes {
		for _, b := range n.nodes[:i] {
			if _, err := a.Dial(n.now, b.PeerID(), []netip.AddrPort{b.addr}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.run(2 * time.Second)
	ends := 0
	for _, a := range n.nodes {
		for _, b := range n.nodes {
			if a == b {
				continue
			}
			s := a.Session(b.PeerID())
			if s == nil || s.State() != StateOpen {
				t.Fatalf("a session is not open: %s", n.describe())
			}
			ends++
			for i := range 2 {
				f := open(t, s, n.now, FlowOptions{Metadata: []byte{0, 'G', 'R', byte(i)}})
				send(t, f, n.now, numbered(i, 100), SendOptions{})
			}
		}
	}
	n.run(12 * time.Second)
	for _, node := range n.nodes {
		node.messages, node.flows, node.opened = nil, nil, nil
	}
	n.flights = nil
	per := (liveHeap() - before) / ends
	t.Logf("%d bytes for each of %d ends of sessions", per, ends)
	if per > budget {
		t.Errorf("an idle session with 4 flows: got %d bytes, want at most %d", per, budget)
	}
	runtime.KeepAlive(n)
}

func liveHeap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
