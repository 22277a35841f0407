package simulations

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// broadcast is a group of cores on a lossy network in which the second node
// publishes a stream that all the others play.
type broadcast struct {
	net      *Network
	members  []*node.GroupCore
	viewers  []*viewer
	messages int
}

type viewer struct {
	node    *Node
	sub     *multicast.Subscription
	next    uint64 // the message number that should come next
	begun   bool
	count   int
	lost    int
	slowest time.Duration // of messages that were published after it joined
	broken  string
}

// message returns the n-th message of the stream: a number, and bytes that
// follow from it.
func message(n uint64) []byte {
	b := make([]byte, 940)
	binary.BigEndian.PutUint64(b, n)
	fill := sha256.Sum256(b[:8])
	for i := 8; i < len(b); i++ {
		b[i] = fill[i%len(fill)]
	}
	return b
}

func startBroadcast(t *testing.T, seed uint64, size int) *broadcast {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "backbone", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := &broadcast{net: New(Config{Seed: seed, Link: func(from, to int) Link {
		return Link{
			Latency: time.Duration(5+(from*7+to*13)%40) * time.Millisecond,
			Jitter:  2 * time.Millisecond,
			Loss:    0.01,
		}
	}})}
	for i := range size {
		n, err := b.net.AddNode(node.CoreConfig{Introduce: i == 0, RelayAll: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		b.net.Do(n, func(now clock.Time) {
			if i > 0 {
				first := b.net.Nodes()[0].Addr
				n.Core.AddBootstrap(now, "rtmfp://"+first.String(), addrs(first))
			}
			b.members = append(b.members, n.Core.Join(now, spec))
		})
		n.OnTurn = func(clock.Time) { drainEvents(n) }
		b.net.Run(20 * time.Millisecond)
	}
	return b
}

func drainEvents(n *Node) {
	for _, ok := n.Core.NextEvent(); ok; {
		_, ok = n.Core.NextEvent()
	}
}

// play makes every node but the introducer and the publisher watch.
func (b *broadcast) play(t *testing.T) {
	t.Helper()
	for i, n := range b.net.Nodes()[2:] {
		v := &viewer{node: n}
		b.net.Do(n, func(now clock.Time) {
			var err error
			if v.sub, err = b.members[i+2].Streams().Play(now, "cam", multicast.PlayConfig{}); err != nil {
				t.Fatal(err)
			}
		})
		n.OnTurn = func(clock.Time) { drainEvents(n); v.drain(b.net.Unix()) }
		b.viewers = append(b.viewers, v)
	}
}

func (v *viewer) drain(unix int64) {
	for f, ok := v.sub.NextFrame(); ok; f, ok = v.sub.NextFrame() {
		n := binary.BigEndian.Uint64(f.Data)
		switch {
		case !bytes.Equal(f.Data, message(n)):
			v.broken = fmt.Sprintf("message %d arrived with other bytes", n)
		case !v.begun && !f.Key:
			v.broken = fmt.Sprintf("started with message %d, which is no key frame", n)
		case v.begun && n != v.next:
			v.broken = fmt.Sprintf("got message %d, want %d", n, v.next)
		}
		if v.begun {
			v.slowest = max(v.slowest, time.Duration(unix-f.SentAt)*time.Microsecond)
		}
		v.begun, v.next = true, n+1
		v.count++
		v.lost += f.Lost
	}
}

// publish sends 266 messages a second, 2 Mbit/s, with a key frame each second,
// and lets the last of them arrive.
func (b *broadcast) publish(t *testing.T, d time.Duration) {
	t.Helper()
	b.publishAt(t, 266, d)
	b.net.Run(3 * time.Second)
}

func (b *broadcast) publishAt(t *testing.T, perSecond int, d time.Duration) {
	t.Helper()
	interval := time.Second / time.Duration(perSecond)
	n := b.net.Nodes()[1]
	var pub *multicast.Publication
	b.net.Do(n, func(now clock.Time) {
		var err error
		if pub, err = b.members[1].Streams().Publish(now, "cam", multicast.StreamConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	for end := b.net.Now().Add(d); b.net.Now() < end; b.messages++ {
		b.net.Do(n, func(now clock.Time) {
			if err := pub.Write(now, multicast.Message{
				Data: message(uint64(b.messages)), Timestamp: uint32(b.messages * 1000 / perSecond),
				Key: b.messages%perSecond == 0, SentAt: b.net.Unix(),
			}); err != nil {
				t.Fatal(err)
			}
		})
		b.net.Run(interval)
	}
}

// All 64 members of a group receive all of a stream inside the window on a
// network that loses one datagram in a hundred, and the run repeats to the bit.
func TestBackboneOnVirtualTime(t *testing.T) {
	seconds := 10 * time.Second
	if testing.Short() {
		seconds = 3 * time.Second
	}
	var traces [2]uint64
	for run := range traces {
		b := startBroadcast(t, 42, 64)
		b.play(t)
		b.net.Run(time.Second)
		b.publish(t, seconds)
		for i, v := range b.viewers {
			if v.broken != "" || v.count != b.messages || v.lost != 0 {
				t.Errorf("viewer %d: got %d of %d messages, %d lost, %s", i, v.count, b.messages, v.lost, v.broken)
			}
			if v.slowest > 8*time.Second {
				t.Errorf("viewer %d: slowest message took %v, outside the window of 8 s", i, v.slowest)
			}
		}
		traces[run] = b.net.Trace()
		t.Logf("run %d: %+v, trace %016x", run, b.net.Stats(), traces[run])
	}
	if traces[0] != traces[1] {
		t.Errorf("two runs of one seed: got traces %016x and %016x, want them equal", traces[0], traces[1])
	}
}

func addrs(a ...netip.AddrPort) []netip.AddrPort { return a }
