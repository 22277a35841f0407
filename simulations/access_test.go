package simulations

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// An access link of 1 Mbit/s passes 972 bytes and their headers in 8 ms, in
// either direction, and what does not fit into its queue is lost.
func TestAccessRate(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to Access
		drop     Drop
	}{
		{"up", Access{Up: 1_000_000, Queue: 10_000}, Access{}, DropUplink},
		{"down", Access{}, Access{Down: 1_000_000, Queue: 10_000}, DropDownlink},
	} {
		w := New(Config{})
		a, b := addScript(t, w, NodeConfig{Access: c.from}), addScript(t, w, NodeConfig{Access: c.to})
		for range 20 {
			a.send(b.node.Addr, 972)
		}
		w.Run(time.Second)
		for i, g := range b.got {
			if want := at(20*ms + time.Duration(i+1)*8*ms); g.at != want {
				t.Fatalf("%s: datagram %d came at %v, want %v", c.name, i, g.at, want)
			}
		}
		if len(b.got) != 10 || w.Stats().Dropped[c.drop] != 10 {
			t.Errorf("%s: %d arrived and %d were dropped, want 10 of each", c.name, len(b.got), w.Stats().Dropped[c.drop])
		}
	}
}

// A sender that takes no notice fills a drop-tail queue to the brim; CoDel
// keeps dropping until it is short, if it is overloaded by little.
func TestCoDel(t *testing.T) {
	wait := func(codel bool) (late time.Duration) {
		w := New(Config{})
		a := addScript(t, w, NodeConfig{Access: Access{Up: 10_000_000, Queue: 250_000, CoDel: codel}})
		b := addScript(t, w, NodeConfig{})
		sent := map[int]clock.Time{}
		for i := range 15_000 { // 2.5 % too much
			size := 1200 + i%2
			sent[i] = w.main.now
			a.send(b.node.Addr, size)
			w.Run(960 * time.Microsecond)
		}
		w.Run(time.Second)
		_ = sent
		last := b.got[len(b.got)-1]
		return last.at.Sub(sent[14_999]) - 20*ms
	}
	if got := wait(false); got < 150*ms {
		t.Errorf("drop-tail: the last waited for %v, want a full queue of 200 ms", got)
	}
	if got := wait(true); got > 30*ms {
		t.Errorf("CoDel: the last waited for %v, want little", got)
	}
}

// A node that takes 1 ms for a datagram takes the next ones late, and loses
// what its socket does not hold; one that stalls takes all of it afterwards.
func TestSlowAndStalled(t *testing.T) {
	w := New(Config{})
	a := addScript(t, w, NodeConfig{})
	b := addScript(t, w, NodeConfig{PacketCost: ms, Socket: 5000})
	for range 8 {
		a.send(b.node.Addr, 1000)
	}
	w.Run(time.Second)
	if len(b.got) != 6 || b.got[5].at != at(25*ms) || w.Stats().Dropped[DropSocket] != 2 {
		t.Errorf("slow: got %v, %d lost in the socket; want 6, the last at 25 ms, and 2", b.got, w.Stats().Dropped[DropSocket])
	}
	c := addScript(t, w, NodeConfig{})
	c.due = w.main.now.Add(100 * ms)
	w.Do(c.node, func(clock.Time) {})
	w.Stall(c.node, 500*ms)
	a.send(c.node.Addr, 100)
	w.Run(100 * ms)
	w.Stall(c.node, 900*ms) // still, and for longer
	w.Run(time.Second)
	if want := at(2 * time.Second); len(c.got) != 1 || c.got[0].at != want || len(c.woke) != 1 || c.woke[0] != want {
		t.Errorf("stalled: datagrams %v, alarms %v, want one of each at 2 s", c.got, c.woke)
	}
}

func TestClocks(t *testing.T) {
	for _, c := range []struct {
		offset time.Duration
		drift  int
	}{{0, 0}, {time.Hour, 0}, {0, 50}, {3 * time.Second, -200}, {time.Minute, 1000}} {
		w := New(Config{})
		s := addScript(t, w, NodeConfig{ClockOffset: c.offset, ClockDrift: c.drift})
		w.Run(100 * time.Second)
		n := s.node
		want := at(100*time.Second + c.offset + 100*time.Microsecond*time.Duration(c.drift))
		if n.Now() != want {
			t.Errorf("%+v: its clock shows %v, want %v", c, n.Now(), want)
		}
		for _, ahead := range []time.Duration{1, 999, ms, time.Second, time.Hour, 1234567891} {
			local := n.Now().Add(ahead)
			g := n.global(local)
			if n.local(g) < local || n.local(g-1) >= local {
				t.Errorf("%+v: %v is at %v, where its clock shows %v and %v before", c, local, g, n.local(g), n.local(g-1))
			}
		}
		s.due = n.Now().Add(time.Second)
		w.Do(n, func(clock.Time) {})
		w.Run(3 * time.Second)
		if len(s.woke) != 1 || n.global(want.Add(time.Second)) != s.woke[0] {
			t.Errorf("%+v: woke at %v, want %v", c, s.woke, n.global(want.Add(time.Second)))
		}
	}
}

// Partitions and one-way faults lose what they should, until they are mended;
// addresses move; who is removed gets nothing any more.
func TestFaultsMovesAndRemoval(t *testing.T) {
	w := New(Config{})
	a, b, c := addScript(t, w, NodeConfig{}), addScript(t, w, NodeConfig{}), addScript(t, w, NodeConfig{})
	round := func() (got [3]int) {
		nodes := []*script{a, b, c}
		for _, s := range nodes {
			for _, to := range nodes {
				if s != to && !s.node.Stopped() {
					s.send(to.node.Addr, 10)
				}
			}
		}
		w.Run(time.Second)
		for i, s := range nodes {
			got[i] = len(s.got)
			s.got = nil
		}
		return got
	}
	want := func(what string, n [3]int) {
		t.Helper()
		if got := round(); got != n {
			t.Errorf("%s: got %v, want %v", what, got, n)
		}
	}
	want("at first", [3]int{2, 2, 2})
	cut := w.Partition(func(n *Node) int { return n.Number() / 2 })
	want("cut", [3]int{1, 1, 0})
	w.Mend(cut)
	one := w.OneWay(a.node, b.node)
	want("one way", [3]int{2, 1, 2})
	w.Mend(one)
	w.Mend(one)
	want("mended", [3]int{2, 2, 2})
	old := b.node.Addr
	w.Renew(b.node)
	a.send(old, 99)
	want("moved", [3]int{2, 2, 2})
	w.Move(c.node, b.node.Addr) // which b has no more
	want("evicted", [3]int{2, 0, 4})
	w.Remove(c.node)
	if c.node.Core != nil {
		t.Error("a removed node keeps its core")
	}
	want("removed", [3]int{1, 0, 0})
	if err := w.conserved(); err != nil {
		t.Error(err)
	}
}
