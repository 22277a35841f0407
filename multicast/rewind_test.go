package multicast

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// no is the number that the source gave to a frame.
func (f *playedFrame) no() int { return int(binary.BigEndian.Uint32(f.Data)) }

// unbroken reports whether frames are numbered one by one, and where not.
func unbroken(t *testing.T, n *testNode, frames []playedFrame) {
	t.Helper()
	for i := range frames {
		if i > 0 && frames[i].no() != frames[i-1].no()+1 || frames[i].Lost > 0 {
			t.Errorf("node %d: frame %d after %d, lost %d", n.no, frames[i].no(), frames[max(i-1, 0)].no(), frames[i].Lost)
			return
		}
	}
}

// pastWorld is a publisher and members that have watched for a while: signed or not.
func pastWorld(t *testing.T, seed uint64, signed bool, members int) (w *network, src *source) {
	w = newNetwork(t, seed)
	w.latency = func(a, b *testNode) time.Duration { return time.Duration(3+a.no%4+b.no%4) * time.Millisecond }
	w.loss, w.jitter = 0.01, 2*time.Millisecond
	add := func() *testNode {
		if signed {
			return w.addSigning(Config{})
		}
		return w.add(Config{}, true)
	}
	pub := add()
	src = w.publish(pub, "cam", StreamConfig{RelayMargin: defaultRelayMargin}, 940, 10*time.Millisecond, 100) // a key frame a second, and the publisher holds no more than others
	for range members {
		n := add()
		n.play("cam")
		w.mesh(n)
	}
	w.run(12 * time.Second)
	return w, src
}

// A viewer that comes and wants to see what was six seconds ago gets it from members: of the
// publisher nobody asks for the past, and it sends no more than for one that comes for
// the live stream.
func TestPlayTheRecentPast(t *testing.T) {
	for _, signed := range []bool{false, true} {
		var sent [2]uint64
		for i, back := range []time.Duration{0, 6 * time.Second} {
			w, src := pastWorld(t, 1, signed, 6)
			pub := src.node
			n := w.add(Config{}, true)
			if signed {
				n = w.addSigning(Config{})
			}
			at, now := w.now, int64(w.now)/1000
			sub, err := n.svc.Play(w.now, "cam", PlayConfig{Back: back})
			if err != nil {
				t.Fatal(err)
			}
			n.sub, n.started = sub, w.now
			before := pub.sentBytes
			w.mesh(n)
			w.run(3 * time.Second)
			sent[i] = pub.sentBytes - before
			if back == 0 {
				continue
			}
			if len(n.frames) == 0 {
				t.Fatalf("signed %v: no frame", signed)
			}
			first := n.frames[0]
			went, ok := sub.Sought()
			t.Logf("signed %v: begins %v back, told %v, after %v; %d frames; recalled %d; publisher sent %d, %d for a viewer of the live stream", signed,
				time.Duration(now-first.SentAt)*time.Microsecond, went, first.at.Sub(at), len(n.frames), sub.Stats().Recalled, sent[1], sent[0])
			if !first.Key || !first.Seek || now-first.SentAt < 6e6-5e4 || now-first.SentAt > 7.1e6 || !ok || went < 6*time.Second || went > 7100*time.Millisecond {
				t.Errorf("signed %v: first frame %d key %v was sent %d us before; told %v %v", signed, first.no(), first.Key, now-first.SentAt, went, ok)
			}
			unbroken(t, n, n.frames)
			if last := n.frames[len(n.frames)-1]; w.now.Sub(last.at) > 200*time.Millisecond || int64(w.now)/1000-last.SentAt > 3e5 {
				t.Errorf("signed %v: has not caught up: the last frame is %d us old", signed, int64(w.now)/1000-last.SentAt)
			}
			if got := pub.svc.Streams()[0].RecalledByPeers; got != 0 {
				t.Errorf("signed %v: the publisher was asked for %d fragments of the past", signed, got)
			}
			if sent[1] > sent[0]+sent[0]/20 {
				t.Errorf("signed %v: the publisher sent %d bytes, and %d for a viewer of the live stream", signed, sent[1], sent[0])
			}
			if got := sub.Stats().Recalled; got < 450 {
				t.Errorf("signed %v: %d fragments came from members, want those of six seconds", signed, got)
			}
			if sub.behind != nil {
				t.Errorf("signed %v: what was needed for the past is kept", signed)
			}
			for _, m := range w.nodes[1:] {
				if c := m.svc.Counters(); c.Bans+c.Malformed+c.Unexpected > 0 {
					t.Errorf("signed %v: node %d: %+v", signed, m.no, c)
				}
			}
		}
	}
}

// A viewer goes back in what it holds itself, and nobody is asked.
func TestRewindInTheOwnWindow(t *testing.T) {
	w, src := pastWorld(t, 2, true, 5)
	n := w.nodes[3]
	n.frames = nil
	now := int64(w.now) / 1000
	n.sub.Seek(w.now, 4*time.Second)
	n.turn()
	w.run(2 * time.Second)
	if len(n.frames) == 0 || !n.frames[0].Seek || !n.frames[0].Key || now-n.frames[0].SentAt < 4e6-5e4 || now-n.frames[0].SentAt > 51e5 {
		t.Fatalf("%d frames after the seek, want them from four seconds before on", len(n.frames))
	}
	unbroken(t, n, n.frames)
	if got := n.sub.Stats().Recalled; got != 0 {
		t.Errorf("%d fragments were asked for that are in the window", got)
	}
	n.frames = nil
	n.sub.Seek(w.now, 0)
	n.turn()
	w.run(time.Second)
	if len(n.frames) == 0 || !n.frames[0].Key || int64(w.now)/1000-n.frames[0].SentAt > 21e5 {
		t.Errorf("%d frames after going back to the live stream", len(n.frames))
	}
	_ = src
}

// A viewer stops for less than the window and misses nothing; one that stops for longer
// goes on with the oldest that somebody holds, and is told what it missed.
func TestPauseAndResume(t *testing.T) {
	w, src := pastWorld(t, 3, true, 5)
	n, m := w.nodes[2], w.nodes[4]
	n.frames, m.frames = nil, nil
	n.sub.Pause(w.now)
	m.sub.Pause(w.now)
	w.run(7 * time.Second)
	if len(n.frames)+len(m.frames) > 0 {
		t.Fatalf("%d and %d frames in a pause", len(n.frames), len(m.frames))
	}
	n.sub.Resume(w.now)
	n.turn()
	w.run(15 * time.Second)
	m.sub.Resume(w.now)
	m.turn()
	w.run(6 * time.Second)
	unbroken(t, n, n.frames)
	if len(n.frames) < 2700 {
		t.Errorf("%d frames in 28 s", len(n.frames))
	}
	if len(m.frames) == 0 || m.frames[0].Lost == 0 || !m.frames[0].Key || !m.frames[0].Seek {
		t.Fatalf("after a pause of 22 s: %d frames", len(m.frames))
	}
	unbroken(t, m, m.frames[1:])
	if got := src.node.svc.Streams()[0].RecalledByPeers; got != 0 {
		t.Errorf("the publisher was asked for %d fragments of the past", got)
	}
	if old := m.frames[0].at.Sub(0) - time.Duration(m.frames[0].SentAt)*1000; old < 6*time.Second {
		t.Errorf("it goes on with what was sent %v before, though members hold ten seconds", old)
	}
}

// A viewer that keeps its distance, as a player does, is served by others from when it
// leaves its own window, and misses nothing of what they hold.
func TestPlayBehind(t *testing.T) {
	w, src := pastWorld(t, 4, true, 3)
	keeper := w.addSigning(Config{KeepWindow: time.Minute})
	keeper.play("cam")
	w.mesh(keeper)
	w.run(20 * time.Second)
	n := w.addSigning(Config{})
	sub, err := n.svc.Play(w.now, "cam", PlayConfig{Back: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.mesh(n)
	var frames []playedFrame
	var pull func()
	pull = func() { // at the pace of the stream
		if f, ok := sub.NextFrame(); ok {
			frames = append(frames, playedFrame{f, w.now})
		}
		n.turn()
		w.after(10*time.Millisecond, pull)
	}
	pull()
	w.run(12 * time.Second)
	if len(frames) < 1100 {
		t.Fatalf("%d frames in 12 s", len(frames))
	}
	unbroken(t, n, frames)
	for _, f := range frames {
		if old := f.at.Sub(0) - time.Duration(f.SentAt)*1000; old < 19*time.Second || old > 22*time.Second {
			t.Fatalf("frame %d is played %v late", f.no(), old)
		}
	}
	if got := keeper.svc.Streams()[0].RecalledByPeers; got < 1000 {
		t.Errorf("the member that holds it sent %d fragments", got)
	}
	if got := src.node.svc.Streams()[0].RecalledByPeers; got != 0 {
		t.Errorf("the publisher was asked for %d fragments of the past", got)
	}
}

// Nobody holds what is asked for: playing begins with the oldest there is, and says so.
func TestSeekTooFar(t *testing.T) {
	w, _ := pastWorld(t, 5, false, 4)
	n := w.nodes[1]
	n.frames = nil
	n.sub.Seek(w.now, time.Hour)
	n.turn()
	w.run(2 * time.Second)
	back, ok := n.sub.Sought()
	if !ok || back < 8*time.Second || back > 11*time.Second || len(n.frames) == 0 || !n.frames[0].Key {
		t.Fatalf("went back %v (%v), %d frames", back, ok, len(n.frames))
	}
}

// One that sends something else as the past is cut off, and its part is had of others.
func TestPollutedPast(t *testing.T) {
	w, _ := pastWorld(t, 6, true, 5)
	bad := w.nodes[2]
	n := w.addSigning(Config{})
	sub, err := n.svc.Play(w.now, "cam", PlayConfig{Back: 6 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	n.sub = sub
	bad.alter = func(msg []byte) {
		if len(msg) > 500 {
			msg[len(msg)-1] ^= 1
		}
	}
	w.link(bad, n)
	w.run(200 * time.Millisecond)
	for _, m := range w.nodes {
		if m != n && m != bad {
			w.link(m, n)
		}
	}
	w.run(3 * time.Second)
	if c := n.svc.Counters(); c.Altered == 0 || c.Bans != 1 {
		t.Errorf("altered %d, cut off %d", c.Altered, c.Bans)
	}
	if len(n.frames) < 700 {
		t.Errorf("%d frames", len(n.frames))
	}
	unbroken(t, n, n.frames)
	for _, f := range n.frames {
		if slices.ContainsFunc(f.Data[4:], func(b byte) bool { return b != 0 }) {
			t.Fatalf("frame %d is not as it was written", f.no())
		}
	}
}

// A message of a signed stream may have more pieces than a run.
func TestLongSignedMessage(t *testing.T) {
	w := newNetwork(t, 7)
	pub, n := w.addSigning(Config{}), w.addSigning(Config{})
	w.publish(pub, "cam", StreamConfig{}, 200<<10, 200*time.Millisecond, 5)
	n.play("cam")
	w.mesh(n)
	w.run(3 * time.Second)
	if len(n.frames) < 13 {
		t.Errorf("%d frames of 15", len(n.frames))
	}
	unbroken(t, n, n.frames)
	n.frames = nil
	n.sub.Seek(w.now, 2*time.Second)
	n.turn()
	w.run(time.Second)
	if len(n.frames) < 13 || len(n.frames[0].Data) != 200<<10 {
		t.Errorf("%d frames after going back", len(n.frames))
	}
	unbroken(t, n, n.frames)
}

// A stream ends while a viewer plays its past: it sees all of it, and then the stream is
// left as ever. What the viewer holds itself is not cut short by others that hold less.
func TestPastOfAStreamThatEnds(t *testing.T) {
	w, src := pastWorld(t, 8, true, 3)
	n := w.nodes[2]
	sub := n.sub
	n.sub = nil // pulled at the pace of the stream
	sub.Seek(w.now, 7*time.Second)
	late := w.addSigning(Config{}) // holds only what was since a moment ago
	late.play("cam")
	w.mesh(late)
	w.run(time.Second)
	sub.Seek(w.now, 20*time.Second)
	n.turn()
	w.run(time.Second)
	if back, ok := sub.Sought(); !ok || back < 8*time.Second {
		t.Errorf("went %v back (%v), and holds ten seconds itself", back, ok)
	}
	var frames []playedFrame
	var pull func()
	pull = func() {
		if f, ok := sub.NextFrame(); ok {
			frames = append(frames, playedFrame{f, w.now})
		}
		n.turn()
		w.after(10*time.Millisecond, pull)
	}
	sub.Seek(w.now, 6*time.Second)
	n.turn()
	w.run(500 * time.Millisecond)
	pull()
	w.run(time.Second)
	src.stopped = true
	src.pub.Close(w.now)
	src.node.turn()
	w.run(9 * time.Second)
	unbroken(t, n, frames)
	if len(frames) < 700 || frames[len(frames)-1].no() != src.written-1 || !sub.Ended() {
		t.Errorf("%d frames, up to %d of %d, ended: %v", len(frames), frames[len(frames)-1].no(), src.written, sub.Ended())
	}
	w.run(12 * time.Second)
	if sub.st.active {
		t.Error("the stream is carried on long after its end")
	}
}

// A window of more ids than a map tells of is found by a seek, from its beginning.
func TestSeekBelowTheMap(t *testing.T) {
	w := newNetwork(t, 9)
	pub := w.add(Config{}, true)
	keeper := w.add(Config{KeepWindow: time.Hour, MaxWindowFragments: 1 << 17}, true)
	p, err := pub.svc.Publish(w.now, "cam", StreamConfig{})
	if err != nil {
		t.Fatal(err)
	}
	keeper.play("cam")
	keeper.sub.Pause(w.now) // which costs nothing to play
	w.mesh(keeper)
	const messages = maxTold + 5000
	for i := range messages {
		data := make([]byte, 4)
		binary.BigEndian.PutUint32(data, uint32(i))
		if err := p.Write(w.now, Message{Data: data, Key: i%500 == 0, SentAt: int64(w.now)/1000 + 1}); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			pub.turn()
			w.run(5 * time.Millisecond)
		}
	}
	st := keeper.svc.streams[0]
	if m := st.current(w.now); m.newest-m.oldest != maxTold || st.win.low != 1 {
		t.Fatalf("tells of %d to %d, holds from %d on", m.oldest, m.newest, st.win.low)
	}
	n := w.add(Config{}, true)
	sub, err := n.svc.Play(w.now, "cam", PlayConfig{Back: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	n.sub = sub
	w.mesh(n)
	w.run(2 * time.Second)
	if len(n.frames) < 1000 || n.frames[0].no() != 0 {
		t.Fatalf("%d frames", len(n.frames))
	}
	unbroken(t, n, n.frames)
	if got := pub.svc.Streams()[0].RecalledByPeers; got != 0 {
		t.Errorf("the publisher was asked for %d fragments of the past", got)
	}
}

// Where playing can begin is told rightly wherever fragments lie in the window: who looks a
// second one up may overwrite the first.
func TestSeekAmongPages(t *testing.T) {
	w := newNetwork(t, 7)
	pub := w.addSigning(Config{})
	w.publish(pub, "cam", StreamConfig{}, 700, 5*time.Millisecond, 2)
	w.run(9 * time.Second)
	st := pub.svc.streams[0]
	now := w.now
	crossing := 0
	last := place{id: st.win.top + 1}
	for back := uint64(0); back < 8000; back += 5 {
		at := st.startBefore(now, back)
		if at.id == 0 || at.id > last.id || at.age < back || at.age > back+60 {
			t.Fatalf("%d ms back: fragment %d, %d ms old, after %d", back, at.id, at.age, last.id)
		}
		if at.id != last.id && len(st.win.joined) > 0 {
			crossing++
		}
		last = at
	}
	if crossing < 100 {
		t.Errorf("%d places only", crossing)
	}
}

// A publisher whose window is full lets go of the oldest only, and not of all that the stream
// does not ask for.
func TestFullWindowOfPublisher(t *testing.T) {
	w := newNetwork(t, 3)
	const limit = 1_500_000 // bytes: half a minute
	pub := w.add(Config{KeepWindow: time.Hour, MaxWindowBytes: limit}, true)
	w.publish(pub, "cam", StreamConfig{}, 500, 10*time.Millisecond, 100)
	w.run(35 * time.Second)
	if st := pub.svc.streams[0]; st.win.bytes > limit || st.win.bytes < limit*95/100 {
		t.Errorf("%d bytes are held, of %d", st.win.bytes, limit)
	}
}
