package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// Digests have a tree of their own, which the eight others make: each member asks
// one of its parents, whichever slice it brings, for all digests. That is the
// one to whom any slice comes soonest. So a digest is there when the fragments of its run come, or nearly
// always, though it comes by one way and they by eight: nothing waits for the
// slowest of two.
//
// Along the way the time at which the soonest slice comes falls strictly, so that it
// has no loops, but for moments in which what members tell is old. What is
// amiss then is pulled.

// vouching is this node's place in that tree.
type vouching struct {
	voucher    *peer      // who was asked for digests; nil: nobody
	heir       *peer      // who was asked to take over
	heirAt     clock.Time // when
	restAt     clock.Time // until when nobody else is asked
	overlooked int        // digests that had to be pulled since one was pushed
}

const (
	voucherRest   = 2 * time.Second      // between changes for the better
	voucherGain   = 2 * time.Millisecond // that such a one must bring, and an eighth of what there is
	heirTime      = time.Second          // in which the one who takes over has to begin
	maxOverlooked = 1                    // digests in a row that had to be pulled
)

// soonest is when the soonest slice is at a neighbor, by what it told.
func soonest(p *peer) (d time.Duration, ok bool) {
	for s := range p.routes {
		if r := &p.routes[s]; r.depth < maxDepth && (!ok || r.delay.duration() < d) {
			d, ok = r.delay.duration(), true
		}
	}
	return d, ok
}

// planVoucher chooses who is asked for digests.
func (st *stream) planVoucher(now clock.Time) {
	if !st.signed() || st.pub != nil {
		return
	}
	own, fed := time.Duration(0), false
	for s := range st.slices {
		if r := &st.slices[s].route; r.depth < maxDepth && (!fed || r.delay.duration() < own) {
			own, fed = r.delay.duration(), true
		}
	}
	amiss := st.overlooked >= maxOverlooked
	var best *peer
	var bestCost, isCost time.Duration
	is, heir, bestSure := false, false, false
	for _, p := range st.peers {
		if !st.feeds(p) || !p.n.Modern || p.n.suspect {
			continue
		}
		d, ok := soonest(p)
		if !ok {
			continue
		}
		heir = heir || p == st.heir
		cost, sure := d+st.s.flows.RTT(p.n.link)/2+hopDelay, !fed || d < own
		if p == st.voucher {
			is, isCost = true, cost
		}
		if amiss && (p == st.voucher || p == st.heir) {
			continue // it does not bring what it was asked for
		}
		if best == nil || sure && !bestSure || sure == bestSure && cost < bestCost {
			best, bestCost, bestSure = p, cost, sure
		}
	}
	if !heir || now.Sub(st.heirAt) > heirTime {
		st.setHeir(now, nil)
	}
	switch {
	case !is:
		if st.heir != nil {
			best = st.heir
		}
		if st.voucher != nil {
			st.voucher.stale = true
		}
		if st.voucher = best; best != nil {
			best.stale = true
		}
		st.heir, st.overlooked, st.restAt = nil, 0, now.Add(voucherRest)
	case best == nil || best == st.voucher:
	case amiss:
		st.setHeir(now, best)
		st.overlooked = 0
	case st.heir == nil && now >= st.restAt && bestSure && bestCost+max(voucherGain, isCost/8) < isCost:
		st.setHeir(now, best)
	}
}

// feeds reports whether a neighbor is the parent of a slice.
func (st *stream) feeds(p *peer) bool {
	for s := range st.slices {
		if sl := &st.slices[s]; sl.parent == p && !sl.released {
			return true
		}
	}
	return false
}

func (st *stream) setHeir(now clock.Time, p *peer) {
	if st.heir == p {
		return
	}
	if st.heir != nil {
		st.heir.stale = true
	}
	if st.heir = p; p != nil {
		p.stale = true
		st.heirAt, st.restAt = now, now.Add(voucherRest)
	}
}

// digestCame follows up on a digest that p sent.
func (st *stream) digestCame(now clock.Time, p *peer, pulled bool) {
	if pulled {
		st.stats.DigestsPulled++
		if st.overlooked = min(st.overlooked+1, maxOverlooked); st.overlooked == maxOverlooked {
			st.replan = true
			st.wake(now)
		}
		return
	}
	st.overlooked = 0
	if p == st.heir {
		if st.voucher != nil {
			st.voucher.stale = true
		}
		st.voucher, st.heir = p, nil
		st.replan = true
		st.wake(now)
	}
}

// dropVoucher takes a neighbor out of the tree of digests.
func (st *stream) dropVoucher(p *peer) {
	if st.voucher == p {
		st.voucher = nil
		st.replan = true
	}
	if st.heir == p {
		st.heir = nil
	}
}
