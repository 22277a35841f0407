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
	for seed := range uint64(20) {
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
		for _, n := range viewers {
			if n.dead {
				continue
			}
			f := n.figures(at.Add(-time.Second))
			if f.lost+f.outOfOrder > 0 || f.max > 400*time.Millisecond || w.now.Sub(n.frames[len(n.frames)-1].at) > time.Second {
				t.Errorf("seed %d: node %d after the deaths: %v", seed, n.no, f)
			}
			if seed == 0 {
				s := n.sub.Stats()
				t.Logf("node %d: %v; dup %d pushed %d pulled %d replaced %d moved %d", n.no, f, s.Duplicates, s.FragmentsPushedFromPeers, s.FragmentsRequestedFromPeers, s.ParentsReplaced, s.ParentsMoved)
			}
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
	w.run(30 * time.Second)
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
		t.Logf("node %d: %v; dup %d pulled %d replaced %d moved %d refused %d", n.no, f, s.Duplicates, s.FragmentsRequestedFromPeers, s.ParentsReplaced, s.ParentsMoved, s.SlicesRefused)
		if f.lost > 0 || f.outOfOrder > 0 {
			t.Errorf("node %d: %v", n.no, f)
		}
	}
	st := src.pub.Stats()
	t.Logf("dup %.2f%% pulled %.2f%% control %.2f%% depths %v; publisher copies %.2f+%.2f", 100*float64(dup)/float64(got), 100*float64(pulled)/float64(got), 100*float64(ctl)/float64(bytes), depths,
		float64(st.FragmentsPushedToPeers)/float64(st.Fragments), float64(st.FragmentsRequestedByPeers)/float64(st.Fragments))
}
