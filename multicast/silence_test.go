package multicast

import (
	"testing"
	"time"
)

// What a publisher had given to one viewer and not yet to another when its line
// was cut is there once the line is back, though that takes longer than a window; what
// nobody can have is given up as ever when the publisher only pauses.
func TestCutLinesLoseNothing(t *testing.T) {
	w := newNetwork(t, 9)
	pub := w.add(Config{}, true)
	src := w.publish(pub, "cam", StreamConfig{}, 940, 10*time.Millisecond, 100)
	for range 3 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
	}
	w.run(3 * time.Second)
	from := w.now
	for _, l := range pub.order { // one after the other
		l.rate, l.free = 1_000_000, w.now.Add(10*time.Second)
		w.run(40 * time.Millisecond)
	}
	w.run(8500 * time.Millisecond)
	known := 0
	for _, n := range w.nodes[1:] {
		known += n.sub.Stats().Missing
	}
	if known == 0 {
		t.Fatal("nobody knows of anything that is missing")
	}
	w.run(15 * time.Second)
	for _, n := range w.nodes[1:] {
		f := n.figures(from)
		if st := n.sub.Stats(); f.lost+f.outOfOrder > 0 || st.Lost > 0 || f.frames < src.written-2*100-int(from/1e7) {
			t.Errorf("node %d: %v, %d fragments lost, of %d messages", n.no, f, st.Lost, src.written)
		}
	}

	// What was made up comes from nobody.
	src.stopped = true
	st := w.nodes[1].sub.st
	w.run(500 * time.Millisecond)
	st.learn(w.now, st.frontier+1)
	lost := st.stats.Lost
	w.run(st.desc.window + 2*idleTick)
	if st.stats.Lost != lost+1 {
		t.Errorf("%d fragments were given up of one that there is not while the publisher pauses", st.stats.Lost-lost)
	}
}
