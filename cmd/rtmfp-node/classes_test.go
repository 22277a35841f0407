package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
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
	p50, p99                     time.Duration // of the delays
	decodable                    float64       // of the reference pictures, those of which all before are whole, back to a key frame
}

// narrowing says how a stream is published.
type narrowing struct {
	limit, link float64       // of the clip's rate: what the publisher may send, and its link carries; 0: no bound
	classes     bool          // messages have the classes that publish gives them
	lifetime    time.Duration // of messages; 0: none
}

func (n narrowed) String() string {
	return fmt.Sprintf("sound %.3f, key %.3f, reference %.3f (%.3f with all before), spare %.3f, up to %v late", n.sound, n.key, n.reference, n.decodable, n.spare, n.behind.Round(time.Millisecond))
}

// unit is a picture or some sound, as one PES packet holds it.
type unit struct {
	messages []int
	kind     int // 0 sound, or else 1 and the class
}

// watch publishes the clip over and over to one viewer.
func (o narrowing) watch(t *testing.T) narrowed {
	t.Helper()
	spec, err := group.NewSpec(group.SpecFields{Name: "narrow", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	w := simulations.New(simulations.Config{Seed: 5, Link: func(int, int) simulations.Link { return simulations.Link{Latency: 50 * time.Microsecond} }})
	rate := float64(len(demo.Clip)) / 20
	var groups [2]*node.GroupCore
	var nodes [2]*simulations.Node
	for i := range nodes {
		cfg := simulations.NodeConfig{Core: node.CoreConfig{Introduce: i == 0}}
		if i == 0 {
			cfg.Core.UploadLimit = int(o.limit * rate)
			cfg.Access = simulations.Access{Up: int(o.link * rate * 8)}
		}
		n, err := w.Add(cfg)
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
	var sentAt, delays []time.Duration
	var began clock.Time
	nodes[1].OnTurn = func(now clock.Time) {
		for _, ok := nodes[1].Core.NextEvent(); ok; {
			_, ok = nodes[1].Core.NextEvent()
		}
		for f, ok := sub.NextFrame(); ok; f, ok = sub.NextFrame() {
			came[int(f.SentAt)] = true
			delays = append(delays, w.Now().Sub(began)-sentAt[f.SentAt])
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
		if o.classes {
			class = classOf(m.Class)
		}
		w.Do(nodes[0], func(now clock.Time) {
			if err := pub.Write(now, multicast.Message{Data: m.Data, Key: m.Key, Class: class, Lifetime: o.lifetime, Timestamp: uint32(m.PTS.Milliseconds()), SentAt: int64(no)}); err != nil {
				t.Fatal(err)
			}
		})
	}
	var total, whole [4]float64
	chain, decodable := true, 0.0 // from a key frame on
	for _, u := range all {
		total[u.kind]++
		ok := true
		for _, no := range u.messages {
			ok = ok && came[no]
		}
		if ok {
			whole[u.kind]++
		}
		switch u.kind {
		case 1 + int(mpegts.First):
			chain = ok
		case 1 + int(mpegts.Plain):
			if chain = chain && ok; chain {
				decodable++
			}
		}
	}
	share := func(kind int) float64 { return whole[kind] / total[kind] }
	res.sound, res.key = share(0), share(1+int(mpegts.First))
	res.reference, res.spare = share(1+int(mpegts.Plain)), share(1+int(mpegts.Spare))
	res.decodable = decodable / total[1+int(mpegts.Plain)]
	slices.Sort(delays)
	res.behind, res.p50, res.p99 = delays[len(delays)-1], delays[len(delays)/2], delays[len(delays)*99/100]
	return res
}

// Where a publisher may not send all of its stream, sound and key frames come to viewers
// rather than other pictures, and those that others need rather than those that none does.
func TestClassesWhereRoomIsScarce(t *testing.T) {
	for _, part := range []float64{1.2, 0.9, 0.7, 0.5} {
		got, blind := narrowing{limit: part, classes: true}.watch(t), narrowing{limit: part}.watch(t)
		t.Logf("room for %.1f: %v", part, got)
		t.Logf("   no classes: %v", blind)
		if got.sound < 0.97 || got.key < 0.85 || got.reference < blind.reference || got.decodable < got.reference*3/4 || got.decodable < blind.decodable {
			t.Errorf("room for %.1f: %v; without classes %v", part, got, blind)
		}
		if part >= 0.9 && got.reference < 0.95 || part > 1 && got.spare < 0.98 {
			t.Errorf("room for %.1f: %v", part, got)
		}
	}
}

// Over a link that does not carry the stream, and where a publisher may not send all of it, what
// is stale does not delay what is fresh, if the publisher says how long it is worth anything.
func TestLifetimesWhereRoomIsScarce(t *testing.T) {
	for _, o := range []narrowing{{link: 0.9, classes: true}, {limit: 0.7, classes: true}} {
		for _, lifetime := range []time.Duration{0, 2 * time.Second, 500 * time.Millisecond} {
			o.lifetime = lifetime
			got := o.watch(t)
			t.Logf("link %.1f, limit %.1f, lifetime %v: delay p50 %v, p99 %v; %v", o.link, o.limit, o.lifetime,
				got.p50.Round(time.Millisecond), got.p99.Round(time.Millisecond), got)
			switch {
			case lifetime == 0 && got.p99 < 5*time.Second:
				t.Error("nothing is late without a lifetime")
			case lifetime > 0 && (got.p99 > lifetime+500*time.Millisecond || got.sound < 0.95):
				t.Errorf("lifetime %v: p99 %v, %v", lifetime, got.p99, got)
			}
		}
	}
}
