package multicast

import (
	"testing"
	"time"
)

// Ten nodes in a full mesh, joining one after the other, as the ten processes
// of the end-to-end test do.
func TestMeshOfTen(t *testing.T) {
	w := newNetwork(t, 1)
	intro := w.add(Config{RelayAll: true}, true)
	_ = intro
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
	w.run(28 * time.Second)
	st := src.pub.Stats()
	t.Logf("publisher: %d fragments, copies pushed %.2f pulled %.2f", st.Fragments, float64(st.FragmentsPushedToPeers)/float64(st.Fragments), float64(st.FragmentsRequestedByPeers)/float64(st.Fragments))
	for _, n := range w.nodes[2:] {
		f := n.figures(0)
		s := n.sub.Stats()
		t.Logf("node %d: %v; dup %d pushed %d pulled %d copies up %.2f replaced %d moved %d ctl in %.1f%%", n.no, f, s.Duplicates, s.FragmentsPushedFromPeers, s.FragmentsRequestedFromPeers,
			float64(s.FragmentsPushedToPeers)/float64(s.Fragments), s.ParentsReplaced, s.ParentsMoved, 100*float64(s.ControlBytesReceived)/float64(s.BytesReceived))
	}
}
