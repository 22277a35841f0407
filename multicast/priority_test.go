package multicast

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// testClasses are those of nine messages in a row: one of sound, three that can be done
// without, and five that are plain.
var testClasses = [9]Class{First, Plain, Spare, Plain, Spare, Plain, Spare, Plain, Plain}

// shareByClass lets a viewer watch a publisher that may send only a share of its stream,
// and returns what of each class came.
func shareByClass(t *testing.T, pieces int, room float64, blind bool) (share [3]float64) {
	w := newNetwork(t, 11)
	w.latency = func(a, b *testNode) time.Duration { return 10 * time.Millisecond }
	const every = 10 * time.Millisecond
	size := 930 * pieces
	limit := int(room * float64(size) * float64(time.Second/every))
	pub, n := w.add(Config{UploadLimit: limit}, true), w.add(Config{}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	n.play("cam")
	w.link(pub, n)
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
			share := shareByClass(t, pieces, room, false)
			blind := shareByClass(t, pieces, room, true)
			t.Logf("%d pieces, room for %.1f: plain %.2f, first %.2f, spare %.2f; without classes %.2f, %.2f, %.2f",
				pieces, room, share[Plain], share[First], share[Spare], blind[Plain], blind[First], blind[Spare])
			if share[First] < share[Plain]+0.03 || share[Plain] < share[Spare]+0.02 || share[First] < blind[First]+0.03 {
				t.Errorf("%d pieces, room for %.1f: plain %.2f, first %.2f, spare %.2f", pieces, room, share[Plain], share[First], share[Spare])
			}
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
