package multicast

import (
	"testing"
	"time"

	"rtmfp/group"
)

// stranger gives a node a neighbor that the test speaks for, on link 999.
func stranger(n *testNode, key *description) (ctrl, media group.RecvID) {
	w := n.net
	n.links[999] = &testLink{id: 999, from: n, to: &testNode{net: w, dead: true}, up: true}
	n.svc.NeighborUp(w.now, 999, Member{Peer: group.PeerID{9}, Session: 500, Modern: true})
	ctrl, media = 1000, 1001
	n.svc.FlowOpened(w.now, 999, ctrl, metaControl, 0)
	n.svc.Message(w.now, ctrl, appendDescription(nil, key))
	for _, p := range n.svc.byLink[999].peers {
		n.svc.FlowOpened(w.now, 999, media, metaMedia, p.ctrlOut)
	}
	n.turn()
	return ctrl, media
}

// A neighbor that makes up ids and epochs does not stop those who tell the truth.
func TestMadeUpNumbers(t *testing.T) {
	w := newNetwork(t, 3)
	pub := w.add(Config{}, true)
	src := w.publish(pub, "cam", StreamConfig{}, 940, 5*time.Millisecond, 100)
	n := w.add(Config{}, true)
	n.play("cam")
	w.mesh(n)
	w.run(2 * time.Second)
	ctrl, media := stranger(n, &src.pub.st.desc)
	lie := state{flags: stateTree | stateFull, newest: maxID, oldest: 1, key: maxID - 5, room: 0xff}
	for i := range lie.routes {
		lie.routes[i] = route{epoch: 1 << 60}
	}
	for range 50 {
		n.svc.Message(w.now, ctrl, appendState(nil, &lie))
		n.svc.Message(w.now, media, appendFragment(nil, fragment{id: 1 << 50, start: true, typ: TypeOwn, payload: make([]byte, 20)}))
		n.svc.Message(w.now, ctrl, appendEnd(nil, msgEnd, 1<<40, nil))
		n.svc.Message(w.now, ctrl, appendEnd(nil, msgEnd, n.svc.streams[0].frontier, nil))
		n.turn()
		w.run(100 * time.Millisecond)
	}
	f := n.figures(0)
	if f.lost+f.outOfOrder > 0 || f.frames < 1350 || f.max > 50*time.Millisecond {
		t.Errorf("beside a liar: %v", f)
	}
	if c := n.svc.Counters(); c.OutOfWindow < 100 {
		t.Errorf("counters: %+v", c)
	}
}

// Being led astray at the start costs a bounded effort.
func TestMadeUpStart(t *testing.T) {
	w := newNetwork(t, 3)
	n := w.add(Config{}, true)
	n.play("cam")
	d := describe("cam", Key{1}, StreamConfig{}.withDefaults())
	ctrl, _ := stranger(n, &d)
	lie := state{flags: stateTree | stateFull, newest: maxID - 1, oldest: 1, key: 1}
	n.svc.Message(w.now, ctrl, appendState(nil, &lie))
	n.turn()
	w.run(20 * time.Second)
	if st := n.svc.streams[0]; len(st.missing) > maxGaps {
		t.Errorf("%d gaps", len(st.missing))
	}
}

// Neighbors, streams, and flows are bounded, and what is refused is counted.
func TestLimits(t *testing.T) {
	w := newNetwork(t, 3)
	n := w.add(Config{RelayAll: true, MaxNeighbors: 3, MaxStreams: 2, MaxEvents: 1}, true)
	for i := range 5 {
		n.links[group.LinkID(i+1)] = &testLink{from: n, to: &testNode{net: w, dead: true}, up: true}
		n.svc.NeighborUp(w.now, group.LinkID(i+1), Member{Modern: true})
	}
	for i := range 5 {
		d := describe("cam", Key{byte(i)}, StreamConfig{}.withDefaults())
		n.svc.FlowOpened(w.now, 1, group.RecvID(10+i), metaControl, 0)
		n.svc.Message(w.now, group.RecvID(10+i), appendDescription(nil, &d))
	}
	for i := range 20 {
		n.svc.FlowOpened(w.now, 2, group.RecvID(50+i), metaControl, 0)
	}
	if _, err := n.svc.Publish(w.now, "more", StreamConfig{}); err != ErrTooMany {
		t.Errorf("Publish: got %v, want ErrTooMany", err)
	}
	if _, err := n.svc.Publish(w.now, "", StreamConfig{}); err != ErrName {
		t.Errorf("Publish without a name: got %v, want ErrName", err)
	}
	want := Counters{NeighborsRefused: 2, StreamsRefused: 4, FlowsRefused: 12, EventsDropped: 1}
	if c := n.svc.Counters(); c != want {
		t.Errorf("counters: got %+v, want %+v", c, want)
	}
}
