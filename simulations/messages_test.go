package simulations

import (
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// joinMessages makes a group of members at message level that have all been
// let in by the first.
func joinMessages(t testing.TB, seed uint64, size int, link func(from, to int) Link) (*Messages, []*Member) {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "messages", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	w := NewMessages(MessagesConfig{Seed: seed, Spec: spec, Link: link})
	for i := range size {
		n, err := w.Add(MemberConfig{Core: node.CoreConfig{Introduce: i == 0, RelayAll: i == 0}})
		if err != nil {
			t.Fatal(err)
		}
		n.OnTurn = func(clock.Time) {
			for _, ok := n.Group.NextEvent(); ok; {
				_, ok = n.Group.NextEvent()
			}
		}
		if i > 0 {
			w.Bootstrap(n, w.Nodes()[0])
		}
		w.Run(20 * time.Millisecond)
	}
	return w, w.Nodes()
}

// A group at message level joins, and a stream reaches all of it although one
// packet in fifty is lost; nobody's relays die unnoticed; it repeats to the bit.
func TestMessages(t *testing.T) {
	size, seconds := 100, 6
	var traces [2]uint64
	for run := range traces {
		w, nodes := joinMessages(t, 7, size, func(from, to int) Link {
			return Link{Latency: time.Duration(5+(from*7+to*13)%40) * time.Millisecond, Jitter: 2 * time.Millisecond, Loss: 0.02}
		})
		w.Run(20 * time.Second)
		counts, lost := make([]int, size), make([]int, size)
		for i, n := range nodes[2:] {
			w.Do(n, func(now clock.Time) {
				sub, err := n.Group.Streams().Play(now, "cam", multicast.PlayConfig{})
				if err != nil {
					t.Fatal(err)
				}
				n.OnTurn = func(clock.Time) {
					for f, ok := sub.NextFrame(); ok; f, ok = sub.NextFrame() {
						counts[i+2]++
						lost[i+2] += f.Lost
					}
				}
			})
		}
		var pub *multicast.Publication
		w.Do(nodes[1], func(now clock.Time) { pub, _ = nodes[1].Group.Streams().Publish(now, "cam", multicast.StreamConfig{}) })
		sent := 0
		for range seconds * 50 {
			w.Do(nodes[1], func(now clock.Time) {
				if err := pub.Write(now, multicast.Message{Data: make([]byte, 900), Key: sent%50 == 0, SentAt: w.Unix()}); err != nil {
					t.Fatal(err)
				}
			})
			sent++
			w.Run(20 * time.Millisecond)
			if sent == seconds*25 { // a fifth of the members dies in the middle
				for i := 5; i < size; i += 5 {
					w.Remove(nodes[i])
				}
			}
		}
		w.Run(10 * time.Second)
		for i, n := range nodes[2:] {
			if n.Stopped() {
				continue
			}
			if counts[i+2] != sent || lost[i+2] != 0 {
				t.Errorf("member %d: got %d of %d messages, %d lost", i+2, counts[i+2], sent, lost[i+2])
			}
		}
		st := w.Stats()
		if st.Lost == 0 || st.Bytes == 0 || st.Delivered > st.Messages {
			t.Errorf("impossible figures: %+v", st)
		}
		if run == 0 {
			t.Logf("%+v; %d bytes sent by member 3, which has %d neighbors", st, nodes[3].Sent, nodes[3].Group.Group().NeighborCount())
		}
		traces[run] = w.Trace()
	}
	if traces[0] != traces[1] {
		t.Errorf("two runs of one seed: got traces %x and %x", traces[0], traces[1])
	}
}
