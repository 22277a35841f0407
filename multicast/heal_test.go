package multicast

import (
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// mesh10 has ten nodes run a stream until it is steady.
func mesh10(t *testing.T, seed uint64) (*network, *source, []*testNode) {
	w := newNetwork(t, seed)
	w.add(Config{RelayAll: true}, true)
	pub := w.add(Config{}, true)
	w.mesh(pub)
	src := w.publish(pub, "cam", StreamConfig{}, 940, 3760*time.Microsecond, 266)
	w.run(500 * time.Millisecond)
	for range 8 {
		n := w.add(Config{}, true)
		n.play("cam")
		w.mesh(n)
		w.run(100 * time.Millisecond)
	}
	w.run(8 * time.Second)
	return w, src, w.nodes[2:]
}

func TestTwoRelaysDie(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		w, _, viewers := mesh10(t, seed)
		// The two that feed the most.
		var dead [2]*testNode
		for i := range dead {
			most := -1
			for _, n := range viewers {
				if n.dead {
					continue
				}
				children := 0
				for _, s := range n.sub.Stats().Slices {
					children += len(s.Children)
				}
				if children > most {
					most, dead[i] = children, n
				}
			}
			w.kill(dead[i], 5*time.Second)
		}
		at := w.now
		w.run(15 * time.Second)
		silent := uint64(0)
		for _, n := range viewers {
			if n.dead {
				continue
			}
			s := n.sub.Stats()
			silent += s.ParentsSilent
			if s.ParentsSilent > s.ParentsReplaced || s.ParentsAsked > s.ParentsMoved {
				t.Errorf("seed %d: node %d counts more reasons than moves: %+v", seed, n.no, s.StreamCounts)
			}
			f := n.figures(at.Add(-time.Second))
			if f.lost+f.outOfOrder > 0 || f.max > 400*time.Millisecond || w.now.Sub(n.frames[len(n.frames)-1].at) > time.Second {
				t.Errorf("seed %d: node %d after the deaths: %v", seed, n.no, f)
			}
		}
		if silent == 0 {
			t.Errorf("seed %d: nobody says that a parent went silent", seed)
		}
	}
}

// A random graph of 64 with latencies, jitter, and loss.
func graph64(t *testing.T, seed uint64) (*network, *source) {
	w := newNetwork(t, seed)
	geo := rand.New(rand.NewPCG(seed, 99))
	where := [][2]float64{}
	w.latency = func(a, b *testNode) time.Duration {
		for len(where) < len(w.nodes) {
			where = append(where, [2]float64{geo.Float64() * 60, geo.Float64() * 40})
		}
		dx, dy := where[a.no][0]-where[b.no][0], where[a.no][1]-where[b.no][1]
		return time.Duration((2 + max(dx, -dx) + max(dy, -dy)) * float64(time.Millisecond) / 1.5)
	}
	w.jitter = 3 * time.Millisecond
	w.loss = 0.01
	for range 64 {
		w.add(Config{}, true)
	}
	linked := map[[2]int]bool{}
	join := func(a, b int) {
		k := [2]int{min(a, b), max(a, b)}
		if a != b && !linked[k] {
			linked[k] = true
			w.link(w.nodes[a], w.nodes[b])
		}
	}
	for i := range 64 {
		join(i, (i+1)%64)
		for range 7 {
			join(i, w.rng.IntN(64))
		}
	}
	src := w.publish(w.nodes[0], "cam", StreamConfig{}, 940, 7520*time.Microsecond, 133)
	for i := 1; i < 64; i++ {
		i := i
		w.after(time.Duration(500+w.rng.IntN(2000))*time.Millisecond, func() { w.nodes[i].play("cam") })
	}
	return w, src
}

func TestGraphOf64(t *testing.T) {
	w, src := graph64(t, 3)
	w.run(15 * time.Second)
	var dup, got, pulled, ctl, bytes uint64
	depths := map[int]int{}
	for _, n := range w.nodes[1:] {
		f := n.figures(clock.Time(5 * time.Second))
		s := n.sub.Stats()
		dup += s.Duplicates
		got += s.Fragments
		pulled += s.FragmentsRequestedFromPeers
		ctl += s.ControlBytesReceived
		bytes += s.BytesReceived
		for _, sl := range s.Slices {
			depths[sl.Depth]++
		}
		if f.lost+f.outOfOrder > 0 || f.startup > time.Second || f.p99 > 300*time.Millisecond || f.max > 500*time.Millisecond || !n.frames[0].Key {
			t.Errorf("node %d: %v", n.no, f)
		}
		if f.frames < 1600 {
			t.Errorf("node %d: only %d frames", n.no, f.frames)
		}
	}
	st := src.pub.Stats()
	copies := float64(st.FragmentsPushedToPeers+st.FragmentsRequestedByPeers) / float64(st.Fragments)
	duplicates, control := float64(dup)/float64(got), float64(ctl)/float64(bytes)
	t.Logf("duplicates %.2f%%, pulled %.2f%%, control %.2f%%, depths %v, publisher's copies %.2f",
		100*duplicates, 100*float64(pulled)/float64(got), 100*control, depths, copies)
	if duplicates > 0.01 || control > 0.05 || copies > 3 {
		t.Errorf("duplicates %.2f%% (want at most 1), control %.2f%% (5), copies %.2f (3)", 100*duplicates, 100*control, copies)
	}
}

// Members on a busy machine stop for up to a tenth of a second now and then.
// Nothing is lost, little comes twice, and the delay is that of the stops.
func TestStumblingMembers(t *testing.T) {
	w, _, viewers := mesh10(t, 5)
	for _, n := range w.nodes {
		n.stumble(time.Second, 100*time.Millisecond)
	}
	at := w.now
	w.run(15 * time.Second)
	var dup, got uint64
	for _, n := range viewers {
		s := n.sub.Stats()
		dup += s.Duplicates
		got += s.Fragments
		if f := n.figures(at); f.lost+f.outOfOrder > 0 || f.p99 > 150*time.Millisecond || f.max > 400*time.Millisecond {
			t.Errorf("node %d: %v", n.no, f)
		}
	}
	if dup*40 > got {
		t.Errorf("%d duplicates of %d", dup, got)
	}
}

// A parent that refuses when another was asked to take over later: that one does
// so at once.
func TestRefusedBeforeHandover(t *testing.T) {
	w, _, viewers := mesh10(t, 5)
	st := viewers[4].svc.streams[0]
	tried := 0
	for s := range st.slices {
		sl := &st.slices[s]
		for _, p := range st.peers {
			if sl.parent == nil || sl.next != nil || p == sl.parent || !st.canFeed(p, s) {
				continue
			}
			tried++
			parent := sl.parent
			sl.confirmed = false
			sl.next, sl.cut = p, st.frontier+100
			st.onRefuse(w.now, parent, 1<<s, nil)
			st.plan(w.now)
			if sl.parent != p || sl.next != nil || sl.cut != 0 || p.asked&(1<<s) == 0 {
				t.Errorf("slice %d: the one who was to take over has not, or was not asked", s)
			}
			break
		}
	}
	if tried == 0 {
		t.Error("no slice could be tried")
	}
	w.run(3 * time.Second)
}
