//go:build !race

package simulations

import (
	"testing"
	"time"
)

// Nodes that run ahead of each other, and beside each other, see and do the same
// as nodes that do not, also when one of them dies, to which others go on
// sending.
func TestLookahead(t *testing.T) {
	const size = 3 * leastShare
	run := func(lookahead time.Duration, lanes int) (*crowd, map[int][2]uint64) {
		link := func(from, to int) Link {
			l := planet(from, to)
			l.Jitter, l.Loss, l.Duplicate = 3*time.Millisecond, 0.01, 0.01
			return l
		}
		c := newCrowd(t, Config{Seed: 7, Link: link, Lookahead: lookahead, Lanes: lanes, Checks: Checks{Turns: 16}}, size, 50, MemberOptions{Access: Access{Up: 8_000_000, Down: 8_000_000}})
		c.play(t)
		c.publish(t, time.Second)
		c.w.Stop(c.viewers[size/2].node)
		c.publish(t, time.Second)
		c.w.Run(time.Second)
		if err := c.w.Err(); err != nil {
			t.Fatal(err)
		}
		sums := map[int][2]uint64{}
		for _, n := range c.w.Nodes() {
			sums[n.Number()] = [2]uint64{n.Sent, n.Received}
		}
		return c, sums
	}
	one, want := run(0, 1)
	two, got := run(planetLatency, 1)
	three, _ := run(planetLatency, 3)
	if one.w.Stats() != two.w.Stats() || two.w.Stats() != three.w.Stats() {
		t.Errorf("one by one: %+v\nwith lookahead: %+v\nwith three lanes: %+v", one.w.Stats(), two.w.Stats(), three.w.Stats())
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("node %d sent and received %d with lookahead, want %d", i, got[i], want[i])
		}
	}
	for i, v := range one.viewers {
		o := two.viewers[i]
		if v.count < 200 && !v.node.Stopped() || v.count != o.count || v.lost != o.lost || v.wrong != "" || o.wrong != "" {
			t.Errorf("viewer %d: %d messages, %d lost, %q; with lookahead %d, %d, %q", i, v.count, v.lost, v.wrong, o.count, o.lost, o.wrong)
		}
		for k := range v.late {
			if v.late[k] != o.late[k] {
				t.Fatalf("viewer %d: message %d came after %v, with lookahead after %v", i, k, v.late[k], o.late[k])
			}
		}
	}
	if one, two, three := one.w.Trace(), two.w.Trace(), three.w.Trace(); one != two || two != three {
		t.Errorf("the same seed gave the traces %x, %x with lookahead, and %x with three lanes", one, two, three)
	}
}

// A datagram that is faster than was promised is told.
func TestLookaheadTooFar(t *testing.T) {
	c := newCrowd(t, Config{Seed: 7, Lookahead: 30 * time.Millisecond, Link: planet}, 6, 50, MemberOptions{})
	c.w.Run(time.Second)
	var b *Breach
	if err := c.w.Err(); err == nil {
		t.Fatal("nobody noticed")
	} else if b, _ = err.(*Breach); b == nil || b.Name != "lookahead" {
		t.Errorf("got %v", err)
	}
}
