package multicast

import (
	"encoding/binary"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// A viewer that joins late starts with the newest key frame, at once, and
// misses nothing from there on.
func TestLateJoinStartsAtNewestKeyFrame(t *testing.T) {
	for _, rtt := range []time.Duration{200 * time.Microsecond, 20 * time.Millisecond, 80 * time.Millisecond} {
		w := newNetwork(t, 2)
		w.latency = func(a, b *testNode) time.Duration { return rtt / 2 }
		pub := w.add(Config{}, true)
		w.publish(pub, "cam", StreamConfig{}, 940, 3760*time.Microsecond, 266)
		relay := w.add(Config{RelayAll: true}, true)
		w.mesh(relay)
		w.run(6900 * time.Millisecond)
		n := w.add(Config{}, true)
		n.play("cam")
		w.link(relay, n)
		w.run(3 * time.Second)
		if len(n.frames) == 0 {
			t.Fatalf("rtt %v: no frame", rtt)
		}
		first := n.frames[0]
		newest := int(6900*time.Millisecond/(3760*time.Microsecond)) / 266 * 266
		if no := int(binary.BigEndian.Uint32(first.Data)); !first.Key || no != newest {
			t.Errorf("rtt %v: first frame %d, key %v, want %d", rtt, no, first.Key, newest)
		}
		f := n.figures(w.now.Add(-time.Second))
		t.Logf("rtt %v: %v", rtt, f)
		if f.startup > 10*time.Millisecond+3*rtt || f.lost+f.outOfOrder > 0 || f.max > 50*time.Millisecond+2*rtt {
			t.Errorf("rtt %v: %v", rtt, f)
		}
	}
}

// The neighbors are there before the application asks to play.
func TestPlayAfterNeighbors(t *testing.T) {
	w := newNetwork(t, 2)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 100)
	n := w.add(Config{}, true)
	w.mesh(n)
	w.run(5*time.Second + 250*time.Millisecond)
	if e, ok := n.svc.NextEvent(); !ok || e.Kind != StreamAnnounced || e.Name != "cam" {
		t.Errorf("event: got %+v, %v, want cam announced", e, ok)
	}
	if n.svc.streams[0].active {
		t.Errorf("a stream that nobody plays is carried")
	}
	before := pub.sentBytes
	n.play("cam")
	w.run(2 * time.Second)
	if before != 0 {
		t.Errorf("%d bytes of media were sent to a node that does not play", before)
	}
	if f := n.figures(0); f.startup > 10*time.Millisecond || !n.frames[0].Key || f.lost > 0 {
		t.Errorf("figures: %v, first key %v", f, n.frames[0].Key)
	}
	n.sub.Close(w.now)
	n.turn()
	w.run(time.Second)
	before = pub.sentBytes
	w.run(2 * time.Second)
	if pub.sentBytes != before || n.svc.streams[0].active {
		t.Errorf("after Close: %d more bytes were sent", pub.sentBytes-before)
	}
}

// A publisher that is killed and starts again is followed to its new stream.
func TestPublisherRestarts(t *testing.T) {
	w := newNetwork(t, 6)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 100)
	for range 4 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
	}
	w.run(5 * time.Second)
	w.kill(pub, 4*time.Second)
	w.run(2 * time.Second)
	again := w.add(Config{}, true)
	w.mesh(again)
	w.publish(again, "cam", StreamConfig{}, 940, 5*time.Millisecond, 100)
	at := w.now
	w.run(8 * time.Second)
	for _, n := range w.nodes[1:5] {
		resets := 0
		for _, f := range n.frames {
			if f.Reset {
				resets++
				if late := f.at.Sub(at); late > time.Second || !f.Key {
					t.Errorf("node %d: the new stream began %v after it was there, key %v", n.no, late, f.Key)
				}
			}
		}
		if resets != 1 {
			t.Errorf("node %d: got %d resets, want 1", n.no, resets)
		}
		if f := n.figures(at.Add(time.Second)); f.lost+f.outOfOrder > 0 || f.max > 100*time.Millisecond {
			t.Errorf("node %d: %v", n.no, f)
		}
		if got := n.sub.Stats().Fragments; got < uint64(len(n.frames)) {
			t.Errorf("node %d: got %d fragments in the figures of two publications, want the %d delivered at least", n.no, got, len(n.frames))
		}
	}
	w.run(time.Minute)
	for _, n := range w.nodes[1:5] {
		if len(n.svc.streams) != 1 {
			t.Errorf("node %d still knows %d streams", n.no, len(n.svc.streams))
		}
	}
}

// The end of a stream reaches everybody, with everything before it.
func TestEndOfStream(t *testing.T) {
	w := newNetwork(t, 8)
	w.loss = 0.05
	pub := w.add(Config{}, true)
	src := w.publish(pub, "cam", StreamConfig{}, 2500, 10*time.Millisecond, 50)
	for range 5 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
	}
	w.run(3 * time.Second)
	src.stopped = true
	src.pub.Close(w.now)
	pub.turn()
	if err := src.pub.Write(w.now, Message{}); err != ErrClosed {
		t.Errorf("Write after Close: got %v, want ErrClosed", err)
	}
	w.run(time.Second)
	for _, n := range w.nodes[1:] {
		last := n.frames[len(n.frames)-1]
		if no := int(binary.BigEndian.Uint32(last.Data)); no != src.written-1 || !n.sub.Ended() {
			t.Errorf("node %d: last frame %d of %d, ended %v", n.no, no, src.written, n.sub.Ended())
		}
		if len(last.Data) != 2500 {
			t.Errorf("node %d: got a frame of %d bytes, want 2500", n.no, len(last.Data))
		}
		ended := false
		for e, ok := n.svc.NextEvent(); ok; e, ok = n.svc.NextEvent() {
			ended = ended || e.Kind == StreamEnded
		}
		if !ended {
			t.Errorf("node %d: no event of the end", n.no)
		}
	}
	w.run(30 * time.Second)
	for _, n := range w.nodes {
		if len(n.svc.inflows)+len(n.svc.outflows) != 0 || n.svc.Deadline() != clock.Never {
			t.Errorf("node %d after the end: %d flows in, %d out, %d streams, deadline %v", n.no, len(n.svc.inflows), len(n.svc.outflows), len(n.svc.streams), n.svc.Deadline())
		}
	}
}

// Two streams in one group, of which nodes watch one, the other, or both.
func TestTwoStreams(t *testing.T) {
	w := newNetwork(t, 9)
	a, b := w.add(Config{}, true), w.add(Config{}, true)
	w.mesh(b)
	w.publish(a, "one", StreamConfig{}, 940, 5*time.Millisecond, 100)
	w.publish(b, "two", StreamConfig{}, 940, 5*time.Millisecond, 100)
	names := []string{"one", "two", "one", "two", "one"}
	for _, name := range names {
		n := w.add(Config{}, true)
		n.play(name)
		w.mesh(n)
	}
	w.run(5 * time.Second)
	for i, n := range w.nodes[2:] {
		f, s := n.figures(0), n.sub.Stats()
		if f.lost+f.outOfOrder > 0 || f.frames < 900 || s.Name != names[i] {
			t.Errorf("node %d: %v of %q", n.no, f, s.Name)
		}
	}
}

// A stream that pauses costs next to nothing, and goes on at once.
func TestPause(t *testing.T) {
	w := newNetwork(t, 10)
	pub := w.add(Config{}, true)
	src := w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 100)
	for range 4 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
	}
	w.run(3 * time.Second)
	src.stopped = true
	w.run(20 * time.Second)
	before := pub.controlBytes
	w.run(20 * time.Second)
	if rate := (pub.controlBytes - before) / 20; rate > 400 {
		t.Errorf("a paused stream costs %d bytes of control a second", rate)
	}
	src.stopped = false
	at := w.now
	src.next()
	w.run(5 * time.Second)
	for _, n := range w.nodes[1:] {
		if f := n.figures(at); f.lost+f.outOfOrder > 0 || f.max > 150*time.Millisecond {
			t.Errorf("node %d after the pause: %v", n.no, f)
		}
	}
}

// A player that does not ask for frames loses the oldest, is told so, and
// resumes at a key frame.
func TestSlowPlayer(t *testing.T) {
	w := newNetwork(t, 11)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{Window: 2 * time.Second, RelayMargin: 500 * time.Millisecond}, 940, 5*time.Millisecond, 100)
	n := w.add(Config{}, true)
	sub, err := n.svc.Play(w.now, "cam", PlayConfig{})
	if err != nil {
		t.Fatal(err)
	}
	w.mesh(n)
	w.run(500 * time.Millisecond)
	first, ok := sub.NextFrame()
	if !ok || !first.Key || first.ID != 1 {
		t.Fatalf("first frame: %+v, %v", first.ID, ok)
	}
	w.run(20 * time.Second)
	f, ok := sub.NextFrame()
	if !ok || !f.Key || f.Lost == 0 {
		t.Fatalf("after a stall: ok %v, key %v, lost %d", ok, f.Key, f.Lost)
	}
	if want := int(binary.BigEndian.Uint32(f.Data)) - 1; f.Lost != want {
		t.Errorf("lost: got %d, want %d", f.Lost, want)
	}
}

// UploadLimit is obeyed, and the others carry the stream nevertheless.
func TestUploadLimit(t *testing.T) {
	w := newNetwork(t, 12)
	pub := w.add(Config{UploadLimit: 400_000}, true) // of a stream of 200 kB/s
	w.publish(pub, "cam", StreamConfig{}, 940, 4700*time.Microsecond, 100)
	for range 6 {
		n := w.add(Config{UploadLimit: 400_000}, true)
		n.play("cam")
		w.mesh(n)
		w.run(100 * time.Millisecond)
	}
	w.run(6 * time.Second)
	var before [7]uint64
	for i, n := range w.nodes {
		before[i] = n.sentBytes
	}
	at := w.now
	w.run(20 * time.Second)
	for i, n := range w.nodes {
		// An eighth of a second's bytes may go out at once.
		if rate := (n.sentBytes - before[i]) / 20; rate > 402_500 {
			t.Errorf("node %d sent %d bytes a second, over 400000", i, rate)
		}
		if i > 0 {
			if f := n.figures(at); f.lost+f.outOfOrder > 0 || f.p99 > 200*time.Millisecond {
				t.Errorf("node %d: %v", i, f)
			}
		}
	}
}

// A node that uploads nothing still gets everything.
func TestLeechIsServed(t *testing.T) {
	w := newNetwork(t, 13)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 100)
	for i := range 6 {
		cfg := Config{}
		if i%2 == 0 {
			cfg.PushLimit = -1
		}
		n := w.add(cfg, true)
		n.play("cam")
		w.mesh(n)
		w.run(100 * time.Millisecond)
	}
	at := w.now.Add(time.Second)
	w.run(10 * time.Second)
	for i, n := range w.nodes[1:] {
		f, s := n.figures(at), n.sub.Stats()
		if f.lost+f.outOfOrder > 0 || f.p99 > 150*time.Millisecond {
			t.Errorf("node %d: %v", n.no, f)
		}
		if i%2 == 0 && s.FragmentsPushedToPeers > 0 {
			t.Errorf("node %d pushed %d fragments", n.no, s.FragmentsPushedToPeers)
		}
	}
}

// Two runs of one seed are the same to the last message.
func TestSameSeedSameTrace(t *testing.T) {
	sum := func() uint64 {
		w, _ := graph64(t, 21)
		w.run(scaled(4 * time.Second))
		w.kill(w.nodes[5], time.Second)
		w.run(2 * time.Second)
		return w.hash.Sum64()
	}
	if a, b := sum(), sum(); a != b {
		t.Errorf("trace hashes of one seed: %x and %x", a, b)
	}
}
