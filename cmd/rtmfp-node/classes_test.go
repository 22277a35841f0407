package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"rtmfp/cmd/rtmfp-node/demo"
	"rtmfp/cmd/rtmfp-node/mpegts"
	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/simulations"
)

// narrowed is what a viewer gets whole of a stream whose publisher may not send all of it.
type narrowed struct {
	sound, key, reference, spare float64       // of the units that were published
	behind                       time.Duration // the largest delay of a message
}

func (n narrowed) String() string {
	return fmt.Sprintf("sound %.3f, key %.3f, reference %.3f, spare %.3f, up to %v late", n.sound, n.key, n.reference, n.spare, n.behind.Round(time.Millisecond))
}

// unit is a picture or some sound, as one PES packet holds it.
type unit struct {
	messages []int
	kind     int // 0 sound, or else 1 and the class
}

// watchNarrowed publishes the clip over and over, with the upload limited to a part of its
// rate, to one viewer.
func watchNarrowed(t *testing.T, part float64, classes bool) narrowed {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "narrow", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	w := simulations.New(simulations.Config{Seed: 5, Link: func(int, int) simulations.Link { return simulations.Link{Latency: 50 * time.Microsecond} }})
	rate := float64(len(demo.Clip)) / 20
	var groups [2]*node.GroupCore
	var nodes [2]*simulations.Node
	for i, limit := range []int{int(part * rate), 0} {
		n, err := w.Add(simulations.NodeConfig{Core: node.CoreConfig{Introduce: i == 0, UploadLimit: limit}})
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = n
		w.Do(n, func(now clock.Time) {
			if i > 0 {
				n.Core.AddBootstrap(now, "rtmfp://"+nodes[0].Addr.String(), []netip.AddrPort{nodes[0].Addr})
			}
			groups[i] = n.Core.Join(now, spec)
		})
	}
	w.Run(3 * time.Second)

	var pub *multicast.Publication
	w.Do(nodes[0], func(now clock.Time) {
		if pub, err = groups[0].Streams().Publish(now, "cam", multicast.StreamConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	var sub *multicast.Subscription
	w.Do(nodes[1], func(now clock.Time) {
		if sub, err = groups[1].Streams().Play(now, "cam", multicast.PlayConfig{}); err != nil {
			t.Fatal(err)
		}
	})
	var res narrowed
	came := map[int]bool{}
	var sentAt []time.Duration
	var began clock.Time
	nodes[1].OnTurn = func(now clock.Time) {
		for _, ok := nodes[1].Core.NextEvent(); ok; {
			_, ok = nodes[1].Core.NextEvent()
		}
		for f, ok := sub.NextFrame(); ok; f, ok = sub.NextFrame() {
			came[int(f.SentAt)] = true
			res.behind = max(res.behind, w.Now().Sub(began)-sentAt[f.SentAt])
		}
	}

	src, err := mpegts.NewSource(bytes.NewReader(demo.Clip), mpegts.SourceOptions{Loop: true})
	if err != nil {
		t.Fatal(err)
	}
	began = w.Now()
	units := map[uint16]*unit{} // by PID, that are not whole yet
	var all []*unit
	const length = 60 * time.Second
	for {
		m, err := src.Next()
		if err != nil {
			t.Fatal(err)
		}
		if m.Due >= length {
			break
		}
		w.Run(m.Due - w.Now().Sub(began))
		no := len(sentAt)
		sentAt = append(sentAt, m.Due)
		for at := 0; at < len(m.Data); at += mpegts.PacketSize {
			p := m.Data[at:]
			pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
			if pid != 0x100 && pid != 0x101 {
				continue
			}
			if p[1]&0x40 != 0 {
				u := &unit{kind: 1 + int(m.Class)}
				if pid == 0x101 {
					u.kind = 0
				}
				units[pid] = u
				if m.Due < length-10*time.Second && m.Due > 0 {
					all = append(all, u)
				}
			}
			if u := units[pid]; u != nil {
				u.messages = append(u.messages, no)
			}
		}
		class := multicast.Plain
		if classes {
			class = classOf(m.Class)
		}
		w.Do(nodes[0], func(now clock.Time) {
			if err := pub.Write(now, multicast.Message{Data: m.Data, Key: m.Key, Class: class, Timestamp: uint32(m.PTS.Milliseconds()), SentAt: int64(no)}); err != nil {
				t.Fatal(err)
			}
		})
	}
	var total, whole [4]float64
	for _, u := range all {
		total[u.kind]++
		ok := true
		for _, no := range u.messages {
			ok = ok && came[no]
		}
		if ok {
			whole[u.kind]++
		}
	}
	share := func(kind int) float64 { return whole[kind] / total[kind] }
	res.sound, res.key = share(0), share(1+int(mpegts.First))
	res.reference, res.spare = share(1+int(mpegts.Plain)), share(1+int(mpegts.Spare))
	return res
}

// Where a publisher may not send all of its stream, sound and key frames come to viewers
// rather than other pictures, and those that others need rather than those that none does.
func TestClassesWhereRoomIsScarce(t *testing.T) {
	for _, part := range []float64{1.2, 0.9, 0.7, 0.5} {
		got, blind := watchNarrowed(t, part, true), watchNarrowed(t, part, false)
		t.Logf("room for %.1f: %v", part, got)
		t.Logf("   no classes: %v", blind)
		if got.sound < 0.97 || got.key < 0.85 || got.reference < blind.reference {
			t.Errorf("room for %.1f: %v; without classes %v", part, got, blind)
		}
		if part >= 0.9 && got.reference < 0.95 || part > 1 && got.spare < 0.98 {
			t.Errorf("room for %.1f: %v", part, got)
		}
	}
}
