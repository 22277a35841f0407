package simulations

import (
	"encoding/binary"
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// Who goes back farther than its neighbors keep finds the member that keeps more, though it is not linked
// with it, and the stream is then there without a gap. Where nobody keeps so much it is told soon.
func TestFindThePast(t *testing.T) {
	spec, err := group.NewSpec(group.SpecFields{Name: "past", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	const size, keeper = 120, 7
	viewers := 4
	if testing.Short() {
		viewers = 2
	}
	w := NewMessages(MessagesConfig{Seed: 3, Spec: spec, Link: func(from, to int) Link {
		return Link{Latency: time.Duration(5+(from*7+to*13)%40) * time.Millisecond}
	}})
	drain := func(n *Member) func(clock.Time) {
		return func(clock.Time) {
			for _, ok := n.Group.NextEvent(); ok; {
				_, ok = n.Group.NextEvent()
			}
		}
	}
	for i := range size {
		cfg := node.CoreConfig{Introduce: i == 0, RelayAll: i == 0 || i == keeper, SimulatedCrypto: true, UnixMilli: 1_700_000_000_000}
		if i == keeper {
			cfg.KeepWindow = time.Hour
		}
		n, err := w.Add(MemberConfig{Core: cfg})
		if err != nil {
			t.Fatal(err)
		}
		n.OnTurn = drain(n)
		if i > 0 {
			w.Bootstrap(n, w.Nodes()[0])
		}
		w.Run(20 * time.Millisecond)
	}
	w.Run(20 * time.Second)
	nodes := w.Nodes()
	subs := make([]*multicast.Subscription, size)
	frames := make([][]multicast.Frame, size)
	first := make([]clock.Time, size) // when the first of these came
	for i, n := range nodes {
		if i == 1 || i == keeper {
			continue
		}
		w.Do(n, func(now clock.Time) {
			if subs[i], err = n.Group.Streams().Play(now, "cam", multicast.PlayConfig{}); err != nil {
				t.Fatal(err)
			}
		})
		events := drain(n)
		n.OnTurn = func(now clock.Time) {
			events(now)
			for f, ok := subs[i].NextFrame(); ok; f, ok = subs[i].NextFrame() {
				if frames[i] = append(frames[i], f); len(frames[i]) == 1 {
					first[i] = now
				}
			}
		}
	}
	var pub *multicast.Publication
	w.Do(nodes[1], func(now clock.Time) { pub, _ = nodes[1].Group.Streams().Publish(now, "cam", multicast.StreamConfig{}) })
	sent := 0
	publish := func(d time.Duration) {
		for range d / (20 * time.Millisecond) {
			w.Do(nodes[1], func(now clock.Time) {
				data := binary.BigEndian.AppendUint32(nil, uint32(sent))
				if err := pub.Write(now, multicast.Message{Data: data, Key: sent%50 == 0, SentAt: w.Unix()}); err != nil {
					t.Fatal(err)
				}
			})
			sent++
			w.Run(20 * time.Millisecond)
		}
	}
	publish(50 * time.Second)

	tried := 0
	for i, n := range nodes[2:] {
		i += 2
		far := false
		w.Do(n, func(clock.Time) { far = !n.Group.Group().Linked(nodes[keeper].Peer()) })
		if i == keeper || !far || tried == viewers {
			continue
		}
		back := 40 * time.Second
		if tried == viewers-1 {
			back = time.Hour
		}
		tried++
		began, start := w.Now(), sent
		w.Do(n, func(now clock.Time) {
			frames[i] = nil
			subs[i].Seek(now, back)
		})
		publish(20 * time.Second)
		got, ok := subs[i].Sought()
		if want := min(back, 39*time.Second); !ok || got < want || len(frames[i]) < 2000 {
			t.Errorf("member %d wants %v, gets %v (%v), %d frames", i, back, got, ok, len(frames[i]))
			continue
		}
		for j, f := range frames[i] {
			if j > 0 && (f.Lost > 0 || binary.BigEndian.Uint32(f.Data) != binary.BigEndian.Uint32(frames[i][j-1].Data)+1) {
				t.Errorf("member %d: lost %d before frame %d", i, f.Lost, j)
				break
			}
		}
		if back == time.Hour { // once more: nobody is found who is no neighbor
			before := w.Now()
			w.Do(n, func(now clock.Time) {
				frames[i] = nil
				subs[i].Seek(now, back)
			})
			publish(3 * time.Second)
			if len(frames[i]) == 0 || first[i].Sub(before) > 2500*time.Millisecond {
				t.Errorf("member %d, which has a link with the one that keeps most: %d frames, the first after %v", i, len(frames[i]), first[i].Sub(before))
			}
			continue
		}
		t.Logf("member %d wants %v: begins %d frames back, after %v", i, back, start-int(binary.BigEndian.Uint32(frames[i][0].Data)), first[i].Sub(began))
	}
	if tried < viewers {
		t.Errorf("only %d members have no link with the one that keeps the past", tried)
	}
}
