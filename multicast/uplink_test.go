package multicast

import (
	"slices"
	"testing"
	"time"
)

// A publisher whose line carries one and a half copies pushes two at first. It finds
// that out, and its viewers have the rest from each other.
func TestUplinkIsFoundOut(t *testing.T) {
	w := newNetwork(t, 3)
	w.latency = func(a, b *testNode) time.Duration { return 10 * time.Millisecond }
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 4700*time.Microsecond, 100) // 200 kB/s
	for range 6 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
	}
	w.run(3 * time.Second)
	if l := pub.svc.uploadLimit(); l != 0 {
		t.Fatalf("a limit of %d was found where nothing waits", l)
	}
	pub.line = 300_000
	w.run(4 * time.Second)
	from := w.now
	w.run(20 * time.Second)
	if l := pub.svc.uploadLimit(); l < 225_000 || l > 300_000 {
		t.Errorf("of a line of 300000 bytes a second %d were found", l)
	}
	if l := pub.svc.Streams()[0].UploadLimit; l != pub.svc.uploadLimit() {
		t.Errorf("%d is told", l)
	}
	for _, n := range w.nodes[1:] {
		if f := n.figures(from); f.lost+f.outOfOrder > 0 || f.p99 > 250*time.Millisecond {
			t.Errorf("node %d: %v", n.no, f)
		}
		if l := n.svc.uploadLimit(); l != 0 {
			t.Errorf("node %d: a limit of %d where nothing waits", n.no, l)
		}
	}

	// That it carries no more is tried once, and then left alone for minutes.
	tried, over := 0, false
	for range 3 * 60 * 5 {
		w.run(200 * time.Millisecond)
		if now := pub.svc.uploadLimit() > 300_000; now != over {
			if over = now; now {
				tried++
			}
		}
	}
	if tried > 1 {
		t.Errorf("in three minutes %d limits were tried that the line does not carry", tried)
	}

	pub.line = 0
	w.run(8 * time.Minute)
	if l := pub.svc.uploadLimit(); l != 0 && l < 320_000 {
		t.Errorf("a line that has become wide is still taken for one of %d bytes a second", l)
	}
}

// A limit that was found far too low comes up again where more is wanted.
func TestLimitComesUpAgain(t *testing.T) {
	w := newNetwork(t, 5)
	pub, n := w.add(Config{}, true), w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 4700*time.Microsecond, 100)
	n.play("cam")
	w.mesh(n)
	w.run(2 * time.Second)
	u := &pub.svc.uplink
	u.limit, u.since, u.tooMuch, u.until = 1, w.now, 200_000, w.now.Add(uplinkPatience)
	w.run(2 * uplinkRaise)
	if l := pub.svc.uploadLimit(); l < 20_000 {
		t.Errorf("after a minute the limit is %d bytes a second, of a stream of 200000", l)
	}
}

// threeFedByOne makes a publisher of 200 kB/s and three viewers that have it all from there.
func threeFedByOne(t *testing.T) (*network, *testNode) {
	w := newNetwork(t, 4)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{PushLimit: 3}, 940, 4700*time.Microsecond, 100)
	for range 3 {
		n := w.add(Config{PushLimit: -1}, true) // it has to get everything here
		n.play("cam")
		w.mesh(n)
	}
	return w, pub
}

// That little gets through to one neighbor says nothing of the line.
func TestOneSlowNeighborIsNoSlowLine(t *testing.T) {
	w, pub := threeFedByOne(t)
	w.run(3 * time.Second)
	var slow *testLink
	for _, l := range pub.order {
		if l.to == w.nodes[2] {
			slow = l
		}
	}
	slow.rate = 5000
	waitsWithoutLimit(t, w, pub)
}

// waitsWithoutLimit lets three seconds pass in which much waits at a publisher, and no limit
// may be found.
func waitsWithoutLimit(t *testing.T, w *network, pub *testNode) {
	t.Helper()
	most := 0
	for range 30 {
		w.run(100 * time.Millisecond)
		for _, f := range pub.flows {
			most = max(most, f.backlog)
		}
	}
	if most < 4*uplinkBurst {
		t.Fatalf("%d bytes waited at most, too few to say anything", most)
	}
	if l := pub.svc.uploadLimit(); l != 0 {
		t.Errorf("a limit of %d was found", l)
	}
}

// When all viewers are back after an outage they want what they missed, more than new
// sessions carry: that too says nothing of the line.
func TestOutageIsNoSlowLine(t *testing.T) {
	w := newNetwork(t, 6)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 4700*time.Microsecond, 100)
	for range 4 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.link(pub, n)
	}
	w.run(3 * time.Second)
	for _, l := range slices.Clone(pub.order) {
		far := l.to
		w.down(pub, l.id)
		for _, back := range slices.Clone(far.order) {
			if back.to == pub {
				w.down(far, back.id)
			}
		}
	}
	w.run(8 * time.Second)
	for _, n := range w.nodes[1:] {
		w.link(pub, n)
	}
	for _, l := range pub.order {
		l.rate = 100_000 // half of the stream, and much of the past is wanted
	}
	waitsWithoutLimit(t, w, pub)
}

// Sessions that have not found out yet what they carry say nothing of the line.
func TestSlowStartIsNoSlowLine(t *testing.T) {
	w, pub := threeFedByOne(t)
	for _, l := range pub.order {
		l.rate, l.slowStart = 100_000, true
	}
	waitsWithoutLimit(t, w, pub)
	for _, l := range pub.order {
		l.slowStart = false
	}
	w.run(2 * time.Second)
	if pub.svc.uploadLimit() == 0 {
		t.Error("no limit was found once the sessions had found out")
	}
}
