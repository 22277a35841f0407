package multicast

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// Whoever takes a newcomer in sends what it wishes for: the first picture comes
// with the first word of the stream, and nothing comes twice.
func TestWishIsGranted(t *testing.T) {
	const way = 20 * time.Millisecond
	for _, signed := range []bool{false, true} {
		for _, pieces := range []int{1, 20, 60} {
			t.Run(fmt.Sprintf("signed %v, %d pieces", signed, pieces), func(t *testing.T) {
				w := newNetwork(t, 3)
				w.latency = func(a, b *testNode) time.Duration { return way }
				add := func(cfg Config) *testNode {
					if signed {
						return w.addSigning(cfg)
					}
					return w.add(cfg, true)
				}
				pub, relay := add(Config{}), add(Config{RelayAll: true})
				w.link(pub, relay)
				src := w.publish(pub, "cam", StreamConfig{}, 930*pieces, time.Duration(pieces)*2*time.Millisecond, 10)
				w.run(5*time.Second + 130*time.Millisecond)
				w.wishes = true
				n, other := add(Config{}), add(Config{})
				n.play("cam")
				other.play("another")
				w.link(relay, n)
				w.link(relay, other)
				w.run(2 * time.Second)
				src.stopped = true
				w.run(time.Second)
				want := way
				if pieces*960 > startBytes {
					want = 3 * way // the rest had to be pulled
				}
				f, st := n.figures(0), n.sub.Stats()
				if f.startup != want || !n.frames[0].Key {
					t.Errorf("the first frame came after %v, want %v: %+v", f.startup, want, n.frames[0].Key)
				}
				if f.lost+f.outOfOrder > 0 || st.Duplicates+st.DigestsTwice > 0 || st.Lost > 0 {
					t.Errorf("%v, %d and %d came twice", f, st.Duplicates, st.DigestsTwice)
				}
				if got := other.svc.Streams()[0].BytesReceived; got > 0 {
					t.Errorf("%d bytes went to one who wishes for another stream", got)
				}
				if wish := n.svc.Wish(); len(wish) > 0 {
					t.Errorf("wishes for %x when it has it", wish)
				}
			})
		}
	}
}

// A member that has nothing to spare grants no wish.
func TestWishMindsUploadLimit(t *testing.T) {
	w := newNetwork(t, 4)
	w.wishes = true
	pub := w.add(Config{UploadLimit: 2000}, true)
	src := w.publish(pub, "cam", StreamConfig{}, 930, 10*time.Millisecond, 100)
	w.run(990 * time.Millisecond)
	for range 20 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.link(pub, n)
	}
	w.run(time.Second)
	src.stopped = true
	if most := uint64(2000 + 2000/8 + 1000); src.pub.Stats().BytesSent > most {
		t.Errorf("%d bytes sent in a second, at most %d are allowed", src.pub.Stats().BytesSent, most)
	}
}

// A newcomer begins with the key frame before if the newest is still on its way to
// the one that takes it in.
func TestStartWithWholeKeyFrame(t *testing.T) {
	w := newNetwork(t, 6)
	w.wishes = true
	w.latency = func(a, b *testNode) time.Duration { return 10 * time.Millisecond }
	w.jitter = 5 * time.Millisecond
	pub, relay := w.add(Config{}, true), w.add(Config{RelayAll: true}, true)
	w.link(pub, relay)
	const keyEvery = 10
	src := w.publish(pub, "cam", StreamConfig{}, 5000, 20*time.Millisecond, keyEvery)
	w.run(time.Second)
	n := w.add(Config{}, true)
	n.play("cam")
	st := relay.svc.streams[0]
	key, linked, newest := st.key, false, 0
	w.checks = func() {
		for id := st.key + 1; st.key > key && id <= st.key+5; id++ {
			if !linked && !st.win.has(id) {
				linked, newest = true, (src.written-1)/keyEvery*keyEvery
				w.link(relay, n)
			}
		}
	}
	w.run(time.Second)
	src.stopped = true
	if !linked || len(n.frames) == 0 {
		t.Fatalf("linked %v, %d frames", linked, len(n.frames))
	}
	first := int(binary.BigEndian.Uint32(n.frames[0].Data))
	if f := n.figures(0); !n.frames[0].Key || first != newest-keyEvery || f.lost+f.outOfOrder > 0 {
		t.Errorf("began with frame %d, the newest key frame was %d: %v", first, newest, f)
	}
}
