package group

import (
	"bytes"
	"testing"
	"time"
)

// A wish reaches one neighbor at a time, with the event that makes the newcomer one,
// and goes to another when that one has gone.
func TestWish(t *testing.T) {
	n := newTestNet(t, 1, 20*time.Millisecond)
	in := n.add(func(c *Config) { c.Introduce = true })
	for range 4 {
		n.add(nil).bootstrap(in)
	}
	n.run(3 * time.Second)
	wish := []byte("eight of")
	x := n.add(func(c *Config) { c.Wish = func() []byte { return wish } })
	x.bootstrap(in)
	n.run(3 * time.Second)
	heard := func() (who []*testNode) {
		for _, y := range n.nodes {
			for _, e := range y.events {
				if len(e.Wish) == 0 {
					continue
				}
				if e.Kind != NeighborUp || e.Peer != x.peer || !bytes.Equal(e.Wish, wish) {
					t.Errorf("node %d: event %+v", y.index, e)
				}
				who = append(who, y)
			}
		}
		return who
	}
	if who := heard(); len(who) != 1 || who[0] != in {
		t.Fatalf("%d heard of the wish, want the introducer alone", len(who))
	}
	in.kill()
	n.run(20 * time.Second)
	n.add(nil).bootstrap(n.nodes[1]) // links with all, x among them
	n.nodes[len(n.nodes)-1].g.AddSeed(n.now, x.peer, addressOf(x))
	n.run(5 * time.Second)
	if who := heard(); len(who) != 2 {
		t.Errorf("%d heard of the wish, want another one when the first has gone", len(who))
	}
	for _, y := range n.nodes {
		if len(y.g.wishes) > 0 {
			t.Errorf("node %d still holds %d wishes", y.index, len(y.g.wishes))
		}
	}
}

// A wish that is too long, or of nothing, is none.
func TestWishBounds(t *testing.T) {
	m := initMessage{group: [32]byte{1}, proof: [32]byte{2}, receiver: PeerID{3}, features: FeatureBase}
	for size, want := range map[int]int{0: 0, 1: 1, maxWish: maxWish, maxWish + 1: 0} {
		m.wish = make([]byte, size)
		if got, ok := parseInit(m.append(nil)); !ok || len(got.wish) != want {
			t.Errorf("of %d bytes: %d, %v", size, len(got.wish), ok)
		}
	}
}
