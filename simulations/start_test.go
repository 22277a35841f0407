//go:build !race

package simulations

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// A newcomer has its first picture three round trips after it called the member that
// takes it in, two of them the handshake, and is with the others soon, though that
// member has viewers to feed meanwhile: the start does not give way to them.
func TestStartGivesWayToNobody(t *testing.T) {
	const way = 40 * time.Millisecond
	c := newCrowd(t, Config{Seed: 3, Link: func(int, int) Link { return Link{Latency: way} }}, 8, 50, MemberOptions{})
	c.w.Run(5 * time.Second)
	c.play(t)
	c.publish(t, 5*time.Second)
	door := c.w.Nodes()[0]
	n, err := c.w.Add(NodeConfig{Core: node.CoreConfig{SimulatedCrypto: true}})
	if err != nil {
		t.Fatal(err)
	}
	v := &crowdViewer{node: n}
	n.OnTurn = func(clock.Time) { drainEvents(n); v.drain() }
	called, started := c.w.Now(), clock.Never
	c.w.Do(n, func(now clock.Time) {
		n.Core.AddBootstrap(now, "rtmfp://"+door.Addr.String(), addrs(door.Addr))
		if v.sub, err = n.Core.Join(now, c.spec).Streams().Play(now, "cam", multicast.PlayConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	for range 100 {
		c.publish(t, 10*time.Millisecond)
		if v.count > 0 {
			started = min(started, c.w.Now())
		}
	}
	if err := c.w.Err(); err != nil {
		t.Fatal(err)
	}
	if took, most := started.Sub(called), 3*2*way+20*time.Millisecond; took > most {
		t.Errorf("the first picture came after %v, want %v at most", took, most)
	}
	if behind := c.sent - int(v.next); v.lost > 0 || behind > 40 {
		t.Errorf("after a second the newcomer lacks %d messages and is %d behind, of 133 in a second", v.lost, behind)
	}
}
