package multicast

import (
	"testing"
	"time"

	"rtmfp/group"
)

// checkLoops follows the routes of every node up to the publisher, and fails
// if one of them comes back. A node without a route may be anywhere: nobody
// whose route it was keeps it longer than the news takes.
func checkLoops(w *network) {
	byPeer := map[group.PeerID]*testNode{}
	for _, n := range w.nodes {
		byPeer[n.peer] = n
	}
	for s := range numSlices {
		for _, n := range w.nodes {
			at := n
			for hops := 0; ; hops++ {
				if hops > len(w.nodes) {
					w.t.Fatalf("slice %d at %v: the route of node %d has a loop", s, time.Duration(w.now), n.no)
				}
				if at.dead || len(at.svc.streams) == 0 {
					break
				}
				sl := &at.svc.streams[0].slices[s]
				if sl.route.depth >= maxDepth || sl.parent == nil {
					break
				}
				at = byPeer[sl.parent.n.Peer]
			}
		}
	}
}

func TestNoLoops(t *testing.T) {
	for _, seed := range []uint64{0} {
		w, _ := graph64(t, seed)
		steps := 0
		w.checks = func() {
			if steps++; steps%197 == 0 {
				checkLoops(w)
			}
		}
		w.run(4 * time.Second)
		// Deaths and sudden ends of links keep the trees moving.
		deaths := 12
		if testing.Short() {
			deaths = 5
		}
		for range deaths {
			n := w.nodes[1+w.rng.IntN(len(w.nodes)-1)]
			if !n.dead {
				w.kill(n, time.Second)
			}
			a := w.nodes[w.rng.IntN(len(w.nodes))]
			if !a.dead && len(a.order) > 4 {
				l := a.order[w.rng.IntN(len(a.order))]
				far := l.to
				w.down(far, l.farID)
				w.down(a, l.id)
			}
			w.run(400 * time.Millisecond)
		}
		w.run(scaled(10 * time.Second))
		for _, n := range w.nodes[1:] {
			if n.dead || len(n.order) == 0 {
				continue
			}
			last := n.frames[len(n.frames)-1]
			if f := n.figures(0); f.lost > 0 || f.outOfOrder > 0 || w.now.Sub(last.at) > time.Second {
				t.Errorf("seed %d: node %d: %v, last frame %v ago", seed, n.no, f, w.now.Sub(last.at))
			}
		}
	}
}
