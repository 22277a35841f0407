package multicast

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// testClasses are those of nine messages in a row: one of sound, three that can be done
// without, and five that are plain.
var testClasses = [9]Class{First, Plain, Spare, Plain, Spare, Plain, Spare, Plain, Plain}

// shareByClass lets a viewer watch a publisher that may send only a share of its stream, or
// with such a relay between them, and returns what of each class came.
func shareByClass(t *testing.T, pieces int, room float64, blind, relayed bool) (share [3]float64) {
	w := newNetwork(t, 11)
	w.latency = func(a, b *testNode) time.Duration { return 10 * time.Millisecond }
	const every = 10 * time.Millisecond
	size := 930 * pieces
	limit := int(room * float64(size) * float64(time.Second/every))
	first := limit
	if relayed {
		first = 0
	}
	pub, n := w.add(Config{UploadLimit: first}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	n.play("cam")
	if relayed {
		relay := w.add(Config{UploadLimit: limit}, true)
		relay.play("cam")
		w.link(pub, relay)
		w.link(relay, n)
	} else {
		w.link(pub, n)
	}
	var total, came [3]float64
	written := 0
	var next func()
	next = func() {
		class := testClasses[written%len(testClasses)]
		m := Message{Data: make([]byte, size), Class: class, Key: written%90 == 0, SentAt: int64(w.now) / 1000}
		if blind {
			m.Class = Plain
		}
		binary.BigEndian.PutUint32(m.Data, uint32(written))
		if err := p.Write(w.now, m); err != nil {
			t.Fatal(err)
		}
		if written > 0 {
			total[class]++
		}
		written++
		pub.turn()
		if written < 2000 {
			w.after(every, next)
		}
	}
	next()
	w.run(30 * time.Second)
	for _, f := range n.frames[1:] {
		came[testClasses[int(binary.BigEndian.Uint32(f.Data))%len(testClasses)]]++
	}
	for c := range share {
		share[c] = came[c] / total[c]
	}
	return share
}

// Where there is no room for all, what is first comes rather than what is plain, and that
// rather than what is spare, whether messages have one piece or several.
func TestClasses(t *testing.T) {
	for _, pieces := range []int{1, 4} {
		for _, room := range []float64{0.9, 0.7, 0.5} {
			share := shareByClass(t, pieces, room, false, false)
			blind := shareByClass(t, pieces, room, true, false)
			t.Logf("%d pieces, room for %.1f: plain %.2f, first %.2f, spare %.2f; without classes %.2f, %.2f, %.2f",
				pieces, room, share[Plain], share[First], share[Spare], blind[Plain], blind[First], blind[Spare])
			if share[First] < 0.97 || share[Plain] < share[Spare]+0.1 || share[Plain] < blind[Plain]+0.04 || share[First] < blind[First]+0.04 {
				t.Errorf("%d pieces, room for %.1f: plain %.2f, first %.2f, spare %.2f", pieces, room, share[Plain], share[First], share[Spare])
			}
		}
	}
}

// So it is where a relay has too little room for a viewer that has nobody else.
func TestClassesBehindRelay(t *testing.T) {
	for _, room := range []float64{0.9, 0.7} {
		share := shareByClass(t, 4, room, false, true)
		t.Logf("a relay with room for %.1f: plain %.2f, first %.2f, spare %.2f", room, share[Plain], share[First], share[Spare])
		if share[First] < 0.98 || share[Plain] < 0.95 || share[Spare] > share[Plain]-0.1 {
			t.Errorf("a relay with room for %.1f: plain %.2f, first %.2f, spare %.2f", room, share[Plain], share[First], share[Spare])
		}
	}
}

// What is spare is given up sooner, and leaves room in the queue for the others.
func TestClassesInQueue(t *testing.T) {
	w := newNetwork(t, 1)
	pub := w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if spare, plain := p.st.life(Spare), p.st.life(Plain); spare*2 > plain || spare < minPushLife {
		t.Errorf("spare messages live for %v, others for %v", spare, plain)
	}
	for _, c := range []struct {
		backlog int
		want    [3]bool
	}{{0, [3]bool{true, true, true}}, {minBacklog / 2, [3]bool{Plain: true, First: true}}, {minBacklog + minBacklog/8, [3]bool{First: true}}, {2 * minBacklog, [3]bool{}}} {
		n := w.add(Config{}, true)
		n.play("cam")
		w.link(pub, n)
		w.run(time.Second)
		peer := p.st.peers[len(p.st.peers)-1]
		for class, want := range c.want {
			p.st.sendFragment(w.now, peer, 1, []byte{0, 1, 0}, Plain) // opens the flow
			pub.flows[peer.mediaOut].backlog = c.backlog
			if got := p.st.sendFragment(w.now, peer, 1, []byte{0, 1, 0}, Class(class)); got != want {
				t.Errorf("%d bytes are queued: class %d is sent: %v", c.backlog, class, got)
			}
			pub.flows[peer.mediaOut].backlog = 0
		}
	}
}

// What is sent of the window is what is in it, whatever had to be looked up for its
// class: pieces of a message that lie across two pages are put together in one place.
func TestClassLeavesFragmentAlone(t *testing.T) {
	w := newNetwork(t, 2)
	pub, n := w.add(Config{UploadLimit: 1 << 30}, true), w.add(Config{}, true)
	src := w.publish(pub, "cam", StreamConfig{}, 930*12, 20*time.Millisecond, 10)
	n.play("cam")
	w.link(pub, n)
	w.run(time.Second)
	src.stopped = true
	st := src.pub.st
	p := st.peers[0]
	var sent []byte
	pub.alter = func(msg []byte) { sent = bytes.Clone(msg) }
	for id := st.win.low; id <= st.win.top; id++ {
		want := bytes.Clone(st.win.get(id))
		if st.serve(w.now, p, id); !bytes.Equal(sent, want) {
			t.Errorf("fragment %d is sent as another", id)
		}
	}
}

// A key frame that is more than there is room for at that moment goes out in time, and so does
// what comes behind it; of what is spare whole messages are left out.
func TestBurstIsOwed(t *testing.T) {
	w := newNetwork(t, 3)
	w.latency = func(a, b *testNode) time.Duration { return 10 * time.Millisecond }
	const limit = 100_000 // so 12,500 bytes at once
	pub, n := w.add(Config{UploadLimit: limit}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	n.play("cam")
	w.link(pub, n)
	var total, came [3]int
	for second := range 20 {
		for i := range 25 {
			m := Message{Class: Plain, Data: make([]byte, 3600), SentAt: int64(w.now) / 1000}
			switch {
			case i == 0:
				m = Message{Key: true, Data: make([]byte, 30_000)}
			case i%2 == 0:
				m.Class = Spare
			case i%5 == 0:
				m = Message{Class: First, Data: make([]byte, 900)}
			}
			class := m.Class
			if m.Key {
				class = First
			}
			m.Timestamp = uint32(class)
			if second > 1 && second < 10 {
				total[class]++
				m.Timestamp |= 1 << 8
			}
			if err := p.Write(w.now, m); err != nil {
				t.Fatal(err)
			}
			pub.turn()
			w.run(40 * time.Millisecond)
			if sent := float64(p.st.stats.BytesSent); sent > limit*(w.now.Sub(0).Seconds()+0.25) {
				t.Fatalf("%.0f bytes were sent in %v", sent, w.now.Sub(0))
			}
		}
	}
	for _, f := range n.frames {
		if f.Timestamp&(1<<8) != 0 {
			came[f.Timestamp&0xff]++
		}
	}
	t.Logf("plain %d of %d, first %d of %d, spare %d of %d", came[Plain], total[Plain], came[First], total[First], came[Spare], total[Spare])
	if came[First] != total[First] || came[Plain] < total[Plain]*85/100 {
		t.Errorf("got %d of %d first and %d of %d plain messages", came[First], total[First], came[Plain], total[Plain])
	}
	if came[Spare] < total[Spare]/2 || came[Spare] == total[Spare] {
		t.Errorf("got %d of %d spare messages: there is room for some of them, and in whole", came[Spare], total[Spare])
	}
	st := p.st
	for class := range st.owed {
		if len(st.owed[class]) > maxOwed {
			t.Errorf("%d fragments are owed", len(st.owed[class]))
		}
	}
}

// Once a plain fragment was given up for a neighbor, others are of little use to it until the next key
// frame; to others they are.
func TestUselessUntilKey(t *testing.T) {
	w := newNetwork(t, 8)
	st := newStream(w.add(Config{}, true).svc, description{})
	p, other := &peer{}, &peer{}
	check := func(when string, id uint64, want bool) {
		t.Helper()
		if got := st.useless(p, id); got != want {
			t.Errorf("%s: fragment %d is useless: got %v, want %v", when, id, got, want)
		}
		if st.useless(other, id) {
			t.Errorf("%s: fragment %d is useless to another", when, id)
		}
	}
	p.lacks = 40
	check("without key frames", 50, false)
	st.keys = [2]uint64{30, 10}
	check("given up", 41, true)
	check("given up", 39, false)
	check("given up", 29, false)
	st.keys = [2]uint64{60, 30}
	check("the next key frame", 59, true)
	check("the next key frame", 61, false)
	p.lacks = 70
	check("given up again", 71, true)
	check("given up again", 59, false)
	st.keys = [2]uint64{90, 60}
	check("and another", 91, false)
	check("and another", 80, true)
}

// What is owed has a bound, and goes with the child to whom it is owed.
func TestOwedIsBounded(t *testing.T) {
	w := newNetwork(t, 4)
	pub, n := w.add(Config{UploadLimit: 1000}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	n.play("cam")
	w.link(pub, n)
	w.run(time.Second)
	for range 2 * maxOwed {
		if err := p.Write(w.now, Message{Data: make([]byte, 100), Class: First}); err != nil {
			t.Fatal(err)
		}
	}
	st := p.st
	if got := len(st.owed[First]); got != maxOwed {
		t.Errorf("%d fragments are owed, want %d", got, maxOwed)
	}
	dropped := st.stats.PushesDropped
	w.run(20 * time.Second)
	if got := len(st.owed[First]); got != 0 || st.owedAt != clock.Never {
		t.Errorf("%d fragments are owed after their time", got)
	}
	if st.stats.PushesDropped <= dropped {
		t.Error("what was given up is not counted")
	}
	for range 100 {
		if err := p.Write(w.now, Message{Data: make([]byte, 100), Class: First}); err != nil {
			t.Fatal(err)
		}
	}
	if len(st.owed[First]) == 0 {
		t.Fatal("nothing is owed")
	}
	w.down(pub, pub.order[0].id)
	if got := len(st.owed[First]); got != 0 {
		t.Errorf("%d fragments are owed to nobody", got)
	}
}
