package multicast

import (
	"bytes"
	"testing"
	"time"
)

// A lifetime is rounded up, and takes bits that tell nothing else.
func TestLifetimeBits(t *testing.T) {
	for _, c := range []struct {
		of   time.Duration
		want byte
	}{{-time.Second, 0}, {0, 0}, {1, 1}, {125 * time.Millisecond, 1}, {126 * time.Millisecond, 2}, {2 * time.Second, 9}, {16 * time.Second, 15}, {16*time.Second + 1, 0}, {1 << 62, 0}} {
		if got := lifeCode(c.of); got != c.want {
			t.Errorf("%v: got %d, want %d", c.of, got, c.want)
		}
	}
	for c := 2; c < len(lifetimes); c++ {
		if r := float64(lifetimes[c]) / float64(lifetimes[c-1]); r < 1.36 || r > 1.46 {
			t.Errorf("lifetime %d is %.2f times the one before, want half an octave", c, r)
		}
	}
	w := newNetwork(t, 1)
	pub := w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(m Message) fragment {
		t.Helper()
		if err := p.Write(w.now, m); err != nil {
			t.Fatal(err)
		}
		f, ok := consumeFragment(bytes.Clone(p.st.win.get(p.st.win.top)))
		if !ok {
			t.Fatal("not read")
		}
		return f
	}
	for _, m := range []Message{{Data: []byte("abc")}, {Data: []byte("abc"), Key: true}, {Data: []byte("abc"), Class: First}, {Data: []byte("abc"), Class: Spare}} {
		bare := write(m)
		m.Lifetime = 2 * time.Second
		f := write(m)
		if f.payload[0] != bare.payload[0]|0x90 || !bytes.Equal(f.payload[1:], bare.payload[1:]) {
			t.Errorf("got %x with a lifetime, %x without", f.payload, bare.payload)
		}
		if f.isKey() != m.Key || f.tellsKeys() != bare.tellsKeys() || p.st.classOf(&f) != p.st.classOf(&bare) {
			t.Errorf("%x tells something else than %x", f.payload, bare.payload)
		}
	}
}

// Whatever a message says, it is not waited for longer than the window, nor sent for longer
// than others of its class, and it has a moment.
func TestLifetimesAreBounded(t *testing.T) {
	w := newNetwork(t, 2)
	n := w.add(Config{}, true)
	for _, window := range []time.Duration{time.Second, 8 * time.Second, maxWindow} {
		for code := range byte(16) {
			st := newStream(n.svc, description{window: window})
			f := fragment{id: 9, start: true, typ: TypeOwn, pieces: 1, payload: append([]byte{code << ownLifeShift}, make([]byte, 8)...)}
			st.noteClass(&f)
			st.noteLife(w.now, &f)
			for slice := range st.slices {
				st.slices[slice].route = route{depth: 3, delay: 1<<31 - 1}
			}
			for _, id := range []uint64{9, 10, 11} {
				if got := st.patience(&gap{id: id}); got > window || got < leastLeft {
					t.Errorf("window %v, code %d: fragment %d is waited for for %v", window, code, id, got)
				} else if code == 0 && got != window {
					t.Errorf("window %v, without a lifetime fragment %d is waited for for %v", window, id, got)
				}
			}
			for class := Plain; class <= Spare; class++ {
				for _, g := range []fragment{f, {id: 10, payload: f.payload}, {id: 11, payload: f.payload}} {
					if got := st.sendLife(appendFragment(nil, g), class); got > st.life(class) || got < leastLeft/4 {
						t.Errorf("window %v, code %d: sent for %v", window, code, got)
					}
				}
			}
		}
	}
}

// What is left of a lifetime is less by the way from the publisher, and what is not known of
// a message is taken from others of late.
func TestLifetimeOnTheWay(t *testing.T) {
	w := newNetwork(t, 3)
	n := w.add(Config{}, true)
	st := newStream(n.svc, description{window: 8 * time.Second})
	start := func(id uint64, life time.Duration, pieces int) *fragment {
		f := &fragment{id: id, start: true, typ: TypeOwn, pieces: pieces, payload: append([]byte{lifeCode(life) << ownLifeShift}, make([]byte, 8)...)}
		st.noteClass(f)
		st.noteLife(w.now, f)
		return f
	}
	want := func(what string, got, want time.Duration) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	f := start(8, time.Second, 3)
	want("no route", st.sendLife(appendFragment(nil, *f), Plain), time.Second)
	for s := range st.slices {
		st.slices[s].route = route{depth: 2, delay: 100_000}
	}
	want("100 ms away", st.sendLife(appendFragment(nil, *f), Plain), 900*time.Millisecond)
	want("another piece", st.sendLife(appendFragment(nil, fragment{id: 10}), Plain), 900*time.Millisecond)
	want("a missing piece", st.patience(&gap{id: 11}), 900*time.Millisecond)
	want("a missing message", st.patience(&gap{id: 12}), 900*time.Millisecond)
	start(13, 4*time.Second, 0)
	want("a missing message where others live longer", st.patience(&gap{id: 12}), 3900*time.Millisecond)
	start(14, 0, 0)
	want("a missing message where others have no lifetime", st.patience(&gap{id: 12}), 8*time.Second)
	want("a missing piece even then", st.patience(&gap{id: 11}), 900*time.Millisecond)
	for i := range 3 { // the others are long ago
		w.now = w.now.Add(lifeSpan)
		start(uint64(20+i), 500*time.Millisecond, 0)
	}
	want("a missing message later", st.patience(&gap{id: 30}), 400*time.Millisecond)
	want("what a newcomer begins with", st.patience(&gap{id: 30, early: true}), 2400*time.Millisecond)
	st.classed = true
	f = start(32, time.Second, 0)
	want("plain beside what is first", st.sendLife(appendFragment(nil, *f), Plain), 450*time.Millisecond)
	want("first", st.sendLife(appendFragment(nil, *f), First), 900*time.Millisecond)
}

// lateness returns the delays of a stream of which its publisher may send half, sorted or not.
func lateness(t *testing.T, lifetime time.Duration) (most time.Duration, frames, lost int, relayed time.Duration) {
	w := newNetwork(t, 5)
	w.latency = func(a, b *testNode) time.Duration { return 20 * time.Millisecond }
	pub, relay, viewer := w.add(Config{UploadLimit: 46_000}, true), w.add(Config{}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	relay.play("cam")
	viewer.play("cam")
	w.link(pub, relay)
	w.link(relay, viewer)
	for i := range 2000 {
		m := Message{Data: make([]byte, 930), Key: i%100 == 0, SentAt: int64(w.now) / 1000, Lifetime: lifetime, Timestamp: uint32(i)}
		if err := p.Write(w.now, m); err != nil {
			t.Fatal(err)
		}
		pub.turn()
		w.run(10 * time.Millisecond)
	}
	late := func(n *testNode) (most time.Duration) {
		for _, f := range n.frames {
			if f.Timestamp > 500 {
				most = max(most, time.Duration(int64(f.at)/1000-f.SentAt)*time.Microsecond)
			}
		}
		return most
	}
	for _, f := range viewer.frames {
		lost += f.Lost
	}
	return late(viewer), len(viewer.frames), lost, late(relay)
}

// What is past its lifetime is not waited for, at a relay and behind it, and counts as lost.
func TestStaleIsGivenUp(t *testing.T) {
	without, _, _, _ := lateness(t, 0)
	if without < 5*time.Second {
		t.Errorf("without a lifetime the latest is %v late: nothing is put to the test", without)
	}
	for _, life := range []time.Duration{500 * time.Millisecond, 2 * time.Second} {
		most, frames, lost, relayed := lateness(t, life)
		t.Logf("lifetime %v: at most %v late behind a relay, %v at the relay, %d frames, %d lost; without %v", life, most, relayed, frames, lost, without)
		if limit := life + 2*defaultAvailabilityPeriod + 2*pullDelayMax; most > limit || relayed > limit {
			t.Errorf("a frame is %v late, %v at the relay, want %v at most", most, relayed, limit)
		}
		if frames < 500 || lost < 300 || frames+lost > 2000 {
			t.Errorf("%d frames were played, %d lost", frames, lost)
		}
	}
}

// A lifetime is for what is late, and not for what a newcomer begins with: that comes from the
// newest key frame on, however old it is.
func TestNewcomerGetsWhatIsStale(t *testing.T) {
	w := newNetwork(t, 6)
	w.latency = func(a, b *testNode) time.Duration { return 20 * time.Millisecond }
	pub, n := w.add(Config{}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 350 {
		m := Message{Data: make([]byte, 930), Key: i == 50, Lifetime: 250 * time.Millisecond, Timestamp: uint32(i)}
		if err := p.Write(w.now, m); err != nil {
			t.Fatal(err)
		}
		pub.turn()
		w.run(10 * time.Millisecond)
		if i == 300 {
			n.play("cam")
			w.link(pub, n)
		}
	}
	w.run(time.Second)
	for i, f := range n.frames {
		if int(f.Timestamp) != 50+i || f.Lost != 0 {
			t.Fatalf("frame %d is message %d, %d lost before it", i, f.Timestamp, f.Lost)
		}
	}
	if len(n.frames) != 300 {
		t.Errorf("got %d frames, want 300", len(n.frames))
	}
}

// The deadline of a fragment in the transport is no later than its message is worth anything, at
// the publisher and at a relay.
func TestLifetimeIsDeadline(t *testing.T) {
	w := newNetwork(t, 7)
	w.latency = func(a, b *testNode) time.Duration { return 50 * time.Millisecond }
	pub, relay, viewer := w.add(Config{}, true), w.add(Config{}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	relay.play("cam")
	viewer.play("cam")
	w.link(pub, relay)
	w.link(relay, viewer)
	life := time.Duration(0)
	seen := map[*testNode]time.Duration{}
	for _, n := range []*testNode{pub, relay} {
		n.alter = func([]byte) { seen[n] = n.deadline.Sub(w.now) }
	}
	for i := range 300 {
		if i == 200 {
			life = 500 * time.Millisecond
		}
		if err := p.Write(w.now, Message{Data: make([]byte, 1800), Key: i%50 == 0, Lifetime: life}); err != nil {
			t.Fatal(err)
		}
		pub.turn()
		w.run(20 * time.Millisecond)
		switch {
		case i == 199 && (seen[pub] != maxPushLife || seen[relay] != maxPushLife):
			t.Errorf("without a lifetime: sent for %v, and %v by the relay, want %v", seen[pub], seen[relay], maxPushLife)
		case i == 299 && (seen[pub] != life || seen[relay] > life-50*time.Millisecond || seen[relay] < life-60*time.Millisecond):
			t.Errorf("with %v: sent for %v, and %v by the relay, 50 ms away", life, seen[pub], seen[relay])
		}
	}
}
