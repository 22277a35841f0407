package multicast

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// Ten nodes in a full mesh, joining one after the other, as the ten processes
// of the end-to-end test do: 2 Mbit/s in pieces of five TS packets.
func TestMeshOfTen(t *testing.T) {
	w := newNetwork(t, 1)
	w.add(Config{RelayAll: true}, true)
	pub := w.add(Config{}, true)
	w.mesh(pub)
	src := w.publish(pub, "cam", StreamConfig{}, 940, 3760*time.Microsecond, 266)
	w.run(1300 * time.Millisecond)
	for range 8 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
		w.run(230 * time.Millisecond)
	}
	w.run(20 * time.Second)

	st := src.pub.Stats()
	copies := float64(st.FragmentsPushedToPeers+st.FragmentsRequestedByPeers) / float64(st.Fragments)
	if copies > 2.2 {
		t.Errorf("the publisher sent %.2f copies", copies)
	}
	relaying := 0
	for _, n := range w.nodes[2:] {
		f, s := n.figures(clock.Time(4*time.Second)), n.sub.Stats()
		if f.lost+f.outOfOrder > 0 || f.startup > 20*time.Millisecond || f.p99 > 20*time.Millisecond || f.max > 100*time.Millisecond || !n.frames[0].Key {
			t.Errorf("node %d: %v", n.no, f)
		}
		if s.Duplicates*100 > s.Fragments || s.ControlBytesReceived*50 > s.BytesReceived {
			t.Errorf("node %d: %d duplicates of %d, %d bytes of control beside %d", n.no, s.Duplicates, s.Fragments, s.ControlBytesReceived, s.BytesReceived)
		}
		if s.Fragments != s.FragmentsPushedFromPeers+s.FragmentsRequestedFromPeers {
			t.Errorf("node %d: %d fragments, %d pushed, %d pulled", n.no, s.Fragments, s.FragmentsPushedFromPeers, s.FragmentsRequestedFromPeers)
		}
		for i, sl := range s.Slices {
			if !sl.Fed || sl.Depth < 1 || sl.Depth > 4 {
				t.Errorf("node %d: slice %d: %+v", n.no, i, sl)
			}
		}
		if s.FragmentsPushedToPeers > 0 {
			relaying++
		}
	}
	if relaying < 4 {
		t.Errorf("only %d of 8 viewers pass anything on", relaying)
	}
}
