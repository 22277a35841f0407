package multicast

import (
	"testing"
	"time"
)

// Nodes that take each other for old peers only speak what old peers know.
func TestOldNeighborsOnly(t *testing.T) {
	w := newNetwork(t, 4)
	w.latency = func(a, b *testNode) time.Duration { return 5 * time.Millisecond }
	w.loss = 0.01
	pub := w.add(Config{}, false)
	w.publish(pub, "cam", StreamConfig{}, 900, 10*time.Millisecond, 0)
	w.run(time.Second)
	for range 6 {
		n := w.add(Config{}, false)
		n.play("cam")
		w.mesh(n)
		w.run(150 * time.Millisecond)
	}
	w.run(5 * time.Second)
	at := w.now
	w.run(10 * time.Second)
	w.kill(w.nodes[1], 3*time.Second)
	w.run(10 * time.Second)
	for _, n := range w.nodes[2:] {
		f, s := n.figures(at), n.sub.Stats()
		t.Logf("node %d: %v; dup %d pushed %d pulled %d", n.no, f, s.Duplicates, s.FragmentsPushedFromPeers, s.FragmentsRequestedFromPeers)
		if f.lost+f.outOfOrder > 0 || f.frames < 2400 {
			t.Errorf("node %d: %v", n.no, f)
		}
		// The fetch period bounds what the want of a good parent can cost.
		if f.startup > time.Second || f.max > 3*time.Second {
			t.Errorf("node %d: delays %v", n.no, f)
		}
	}
	if c := pub.svc.Counters(); c.Malformed+c.Unexpected > 0 {
		t.Errorf("the publisher's counters: %+v", c)
	}
}

// One old viewer among modern ones is served like them, and passes things on.
func TestOldViewerAmongModern(t *testing.T) {
	w := newNetwork(t, 4)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 900, 5*time.Millisecond, 200)
	old := w.add(Config{}, false)
	old.play("cam")
	w.mesh(old)
	far := w.add(Config{}, true)
	far.play("cam")
	w.link(old, far) // its only neighbor
	for range 4 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.link(pub, n)
		w.link(old, n)
	}
	w.run(10 * time.Second)
	for _, n := range w.nodes[1:] {
		f, s := n.figures(0), n.sub.Stats()
		t.Logf("node %d: %v; dup %d pushed %d pulled %d", n.no, f, s.Duplicates, s.FragmentsPushedFromPeers, s.FragmentsRequestedFromPeers)
		if f.lost+f.outOfOrder > 0 || f.frames < 1900 {
			t.Errorf("node %d: %v", n.no, f)
		}
	}
}
