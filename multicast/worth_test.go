package multicast

import (
	"testing"
	"time"
)

// Packed numbers keep their order, and lose no more than an eighth.
func TestPacked(t *testing.T) {
	last := byte(0)
	for x := uint64(0); x < 1<<24; x += 1 + x/50 {
		b := packed(x)
		if b < last {
			t.Fatalf("%d is packed as %d, less than what is before it", x, b)
		}
		last = b
		if y := unpacked(b); y > x || x-y > x/8 {
			t.Errorf("%d is packed as %d, which is %d", x, b, y)
		}
	}
	if b := packed(1 << 62); b >= noPlace {
		t.Errorf("a huge worth is packed as %d", b)
	}
}

// A member to whom the publisher is near, and who feeds others that are near to
// it, gets the place of one that is far off, though it comes when all are given.
func TestPlacesGoWhereTheyHelp(t *testing.T) {
	w := newNetwork(t, 31)
	w.latency = func(a, b *testNode) time.Duration {
		far := func(n *testNode) bool { return n.no >= 1 && n.no <= 3 } // those that came first
		if far(a) != far(b) {
			return 80 * time.Millisecond
		}
		return 4 * time.Millisecond
	}
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{PushLimit: 1}, 940, 5*time.Millisecond, 100)
	for i := range 13 {
		n := w.add(Config{PushLimit: 2}, true)
		n.play("cam")
		w.mesh(n)
		if i == 2 {
			w.run(3 * time.Second) // in which they take all places
		}
		w.run(100 * time.Millisecond)
	}
	w.run(20 * time.Second)
	at := w.now
	w.run(5 * time.Second)
	asked := uint64(0)
	for _, n := range w.nodes[1:4] {
		asked += n.sub.Stats().ParentsAsked
	}
	if asked == 0 {
		t.Error("none of those that are far off says that it was asked to leave")
	}
	late := 0
	for _, n := range w.nodes[4:] {
		f := n.figures(at)
		if f.lost+f.outOfOrder > 0 {
			t.Errorf("node %d, near to the publisher: %v", n.no, f)
		}
		if f.p99 > 45*time.Millisecond {
			late++
		}
	}
	if late > 1 {
		t.Errorf("%d of the 10 that are near to the publisher are fed by way of those that are not", late)
	}
	pushed := 0
	for _, sl := range pub.svc.Streams()[0].Slices {
		pushed += len(sl.Children)
	}
	if pushed < numSlices || pushed > numSlices+2 { // two may be about to go
		t.Errorf("%d slices are pushed to somebody, of %d", pushed, numSlices)
	}
}

// A slice that goes over to another parent comes without a gap and not twice.
func TestHandover(t *testing.T) {
	w := newNetwork(t, 32)
	slow := true
	w.latency = func(a, b *testNode) time.Duration {
		if slow {
			return 60 * time.Millisecond
		}
		return 5 * time.Millisecond
	}
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 4*time.Millisecond, 100)
	n := w.add(Config{}, true)
	n.play("cam")
	w.mesh(n)
	w.run(5 * time.Second)
	slow = false
	near := w.add(Config{RelayAll: true}, true) // by which everything comes sooner
	w.mesh(near)
	at := w.now
	w.run(8 * time.Second)
	f, s := n.figures(at), n.sub.Stats()
	if s.ParentsMoved-s.ParentsAsked < 4 || f.lost+f.outOfOrder > 0 || f.max > 150*time.Millisecond {
		t.Errorf("after %d moves: %v", s.ParentsMoved, f)
	}
	if s.Duplicates > s.ParentsMoved/4 || s.ParentsReplaced > 0 {
		t.Errorf("%d moves brought %d duplicates, and %d parents were given up", s.ParentsMoved, s.Duplicates, s.ParentsReplaced)
	}
}
