package multicast

import "rtmfp/internal/clock"

// feasible reports whether a neighbor with route r may be the parent. The
// condition is that of Babel (RFC 8966 §3.5.1): r is of a later epoch than any
// that this node has announced, or of that epoch with less depth than the
// least announced. Along such routes the pairs (epoch, depth) fall strictly,
// so they can't close a loop, whatever order the news takes.
func (sl *slice) feasible(r *route) bool {
	if r.depth >= maxDepth-1 {
		return false
	}
	return !sl.announced || r.epoch > sl.bestEpoch || r.epoch == sl.bestEpoch && r.depth < sl.bestDepth
}

// updateRoutes works out this node's own routes, and sees to it that the
// neighbors are told: at once when depths change, in time otherwise.
func (st *stream) updateRoutes(now clock.Time) {
	if !st.routesDirty {
		return
	}
	st.routesDirty = false
	for s := range st.slices {
		sl := &st.slices[s]
		was := sl.route
		r := route{depth: depthUnfed}
		switch p := sl.parent; {
		case st.pub != nil:
			r = route{epoch: st.pub.epoch}
		case p == nil || !sl.confirmed:
		case !p.n.Modern:
			// There is no telling how far an old neighbor is from the publisher.
			r = route{depth: oldPeerDepth, delay: inMicros(oldPeerCost)}
			if sl.announced && sl.bestEpoch > 0 {
				r.depth = depthUnfed // modern neighbors have better news
			}
		case (sl.moving || now < sl.stayUntil) && was.depth < maxDepth:
			r = was
		case sl.feasible(&p.routes[s]):
			// A parent that moved down within the epoch is no route until the next.
			r = p.routes[s]
			r.depth++
			r.delay = inMicros(r.delay.duration() + st.s.flows.RTT(p.n.link)/2 + hopDelay)
		}
		if d := (r.delay - was.delay).duration(); was.depth == r.depth && d < delayNews && d > -delayNews {
			r.delay = was.delay
		}
		if r.depth < maxDepth && (!sl.announced || r.epoch > sl.bestEpoch || r.depth < sl.bestDepth) {
			sl.announced, sl.bestEpoch, sl.bestDepth = true, r.epoch, r.depth
		}
		if r.depth >= maxDepth && was.depth < maxDepth {
			sl.unfedAt = now
		}
		if r == was {
			continue
		}
		sl.route = r
		st.treeChanged = true
		if r.depth != was.depth {
			st.stateSoon(now)
		}
	}
}

// forgetDepths lets a slice that has been without a route for long start
// afresh. Only where the source gives no epochs can that be needed.
func (st *stream) forgetDepths(now clock.Time) {
	for s := range st.slices {
		sl := &st.slices[s]
		if sl.announced && sl.bestEpoch == 0 && sl.route.depth >= maxDepth && now.Sub(sl.unfedAt) > holdTime {
			sl.announced = false
		}
	}
}
