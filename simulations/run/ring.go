package run

import (
	"slices"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// ringShare returns the share of the nodes' neighbors on the ring, one on
// either side of each, to which they have links. Nodes count that have been
// members for a while.
func (r *run) ringShare(now clock.Time) float64 {
	type point struct {
		addr ring.Addr
		m    *member
	}
	var points []point
	for _, m := range r.living {
		if m.joined && now.Sub(m.born) >= leastStay {
			points = append(points, point{ring.OfPeer(m.peer), m})
		}
	}
	if len(points) < 3 {
		return 1
	}
	slices.SortFunc(points, func(a, b point) int { return a.addr.Compare(b.addr) })
	linked := 0
	for i, p := range points {
		before := group.PeerID(points[(i+len(points)-1)%len(points)].m.peer)
		after := group.PeerID(points[(i+1)%len(points)].m.peer)
		for n := range p.m.group.Group().Neighbors() {
			if n.Peer == before {
				linked++
			}
			if n.Peer == after {
				linked++
			}
		}
	}
	return float64(linked) / float64(2*len(points))
}
