package multicast

import (
	"encoding/binary"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// A viewer behind a relay that has nothing yet hears of the first fragments
// from the fragments themselves, in any order. It starts with a key frame
// nevertheless.
func TestFirstFragmentsOvertakeNews(t *testing.T) {
	for seed := range uint64(20) {
		w := newNetwork(t, seed)
		w.jitter = 5 * time.Millisecond
		pub := w.add(Config{}, true)
		p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
		if err != nil {
			t.Fatal(err)
		}
		src := &source{node: pub, pub: p, size: 2000, interval: time.Millisecond, keyEvery: 100}
		relay, n := w.add(Config{RelayAll: true}, true), w.add(Config{}, true)
		w.link(pub, relay)
		n.play("cam")
		if seed%2 == 0 {
			w.run(time.Second)
			w.link(relay, n)
			w.run(time.Second)
		} else {
			w.link(relay, n)
			w.run(time.Millisecond)
		}
		src.next()
		w.run(300 * time.Millisecond)
		if len(n.frames) == 0 || !n.frames[0].Key {
			t.Fatalf("seed %d: %d frames, want the first to be a key frame", seed, len(n.frames))
		}
		if f := n.figures(0); f.lost+f.outOfOrder > 0 {
			t.Errorf("seed %d: %v", seed, f)
		}
	}
}

// A stream that is over in a moment reaches everybody who was there or comes
// while it is held, from a key frame to its end, before it counts as ended.
func TestShortStream(t *testing.T) {
	for seed := range uint64(60) {
		w := newNetwork(t, seed)
		w.jitter = time.Duration(1+seed%20) * time.Millisecond
		w.loss = 0.02
		relay, pub := w.add(Config{RelayAll: true}, true), w.add(Config{}, true)
		w.link(relay, pub)
		const messages, keyEvery = 60, 20
		eof := map[*testNode]int{} // frames that had come when it was said to have ended
		w.checks = func() {
			for _, n := range w.nodes {
				if n.sub == nil || !n.sub.Ended() {
					continue
				}
				if _, known := eof[n]; !known {
					eof[n] = len(n.frames)
				}
			}
		}
		for i := range 6 {
			w.after(time.Duration(w.rng.IntN(1200))*time.Millisecond, func() {
				n := w.add(Config{}, true)
				n.play("cam")
				if w.link(relay, n); i%2 == 0 {
					w.after(time.Duration(w.rng.IntN(200))*time.Millisecond, func() { w.link(pub, n) })
				}
			})
		}
		w.run(time.Second)
		p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
		if err != nil {
			t.Fatal(err)
		}
		pub.turn()
		for i := range messages {
			data := make([]byte, 1500)
			binary.BigEndian.PutUint32(data, uint32(i))
			if err := p.Write(w.now, Message{Data: data, Key: i%keyEvery == 0}); err != nil {
				t.Fatal(err)
			}
			if i%8 == 0 {
				pub.turn()
				w.run(time.Duration(w.rng.IntN(3)) * time.Millisecond)
			}
		}
		p.Close(w.now)
		pub.turn()
		w.run(5 * time.Second)
		for _, n := range w.nodes[2:] {
			got, ended := eof[n]
			if !ended || got == 0 {
				t.Errorf("seed %d: node %d: ended %v after %d frames, later %d", seed, n.no, ended, got, len(n.frames))
				continue
			}
			first := int(binary.BigEndian.Uint32(n.frames[0].Data))
			if f := n.figures(clock.Time(0)); first%keyEvery != 0 || first+got != messages || f.lost+f.outOfOrder > 0 {
				t.Errorf("seed %d: node %d: started with frame %d, %d of them before the end: %v", seed, n.no, first, got, f)
			}
		}
	}
}

// The newest key frame may be thousands of fragments ago.
func TestLateJoinWithRareKeyFrames(t *testing.T) {
	w := newNetwork(t, 2)
	pub := w.add(Config{}, true)
	w.publish(pub, "cam", StreamConfig{}, 940, 2*time.Millisecond, 3500)
	for range 2 {
		relay := w.add(Config{RelayAll: true}, true)
		w.mesh(relay)
	}
	w.run(13900 * time.Millisecond) // 3450 messages after the key frame at 7 s
	n := w.add(Config{}, true)
	n.play("cam")
	w.mesh(n)
	w.run(3 * time.Second)
	if len(n.frames) == 0 {
		t.Fatal("no frame")
	}
	first := int(binary.BigEndian.Uint32(n.frames[0].Data))
	f := n.figures(w.now.Add(-time.Second))
	t.Logf("first frame %d: %v", first, f)
	if first != 3500 || f.lost+f.outOfOrder > 0 || f.startup > 50*time.Millisecond {
		t.Errorf("first frame %d: %v", first, f)
	}
}
