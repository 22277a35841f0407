package run

import (
	"fmt"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/simulations"
	"rtmfp/simulations/figure"
)

// churn is what members know of each other while some come and go.
type churn struct {
	changed clock.Time       // when somebody last came or went, or something else was mended
	graves  []grave          // of those who went lately
	settle  figure.Histogram // µs
	known   uint64           // members known that are gone, over all samples
	asked   uint64           // members, over all samples
}

type grave struct {
	peer group.PeerID
	at   clock.Time
}

// Of those who are gone this many are asked for, from goneAfter to goneUntil
// after they went.
const (
	maxGraves = 64
	goneAfter = 10 * time.Second
	goneUntil = 5 * time.Minute
)

// left notes that a member has gone.
func (c *churn) left(now clock.Time, m *member) {
	c.changed = max(c.changed, now)
	if len(c.graves) == maxGraves {
		c.graves = append(c.graves[:0], c.graves[1:]...)
	}
	c.graves = append(c.graves, grave{group.PeerID(m.peer), now})
}

// quiet reports whether nobody has come, gone, or been cut off for as long as
// the ring may take to be whole again, as of an instant.
func (r *run) quiet(at clock.Time) bool {
	return r.s.Checks.Ring && at.Sub(r.churn.changed) >= time.Duration(r.s.Checks.Quiet)
}

// watchRing adds the invariants of membership.
func (r *run) watchRing() {
	if r.s.Routing != nil {
		r.net.Check("route", r.lookAtRoutes)
	}
	c := &r.s.Checks
	if !c.Ring {
		return
	}
	watch := simulations.RingWatch{Grace: time.Duration(c.Grace), Quiet: time.Duration(c.Quiet), Near: c.Near}
	r.net.Check("ring", func(now clock.Time) error {
		members := make([]simulations.RingMember, 0, len(r.living))
		for _, m := range r.living {
			members = append(members, simulations.RingMember{Number: m.node.Number(), Peer: group.PeerID(m.peer), Group: m.group.Group()})
		}
		watch.Disturbed = r.churn.changed
		if err := watch.Check(now, members); err != nil {
			return err
		}
		if !r.quiet(now) {
			return nil
		}
		for _, m := range r.living {
			if g := m.group.Group(); g.NeighborCount() > g.Limit()+linksBeyond {
				return fmt.Errorf("node %d has %d neighbors, its limit is %d, and nobody has come or gone for %v",
					m.node.Number(), g.NeighborCount(), g.Limit(), watch.Quiet)
			}
		}
		return nil
	})
}

// linksBeyond is how many neighbors a member may have beyond its limit, for the
// ring.
const linksBeyond = 6

// lookAtBooks looks at what members know of each other.
func (r *run) lookAtBooks(now clock.Time) {
	c := &r.churn
	for _, g := range c.graves {
		if age := now.Sub(g.at); age < goneAfter || age > goneUntil {
			continue
		}
		for _, m := range r.living {
			if m.group.Group().Knows(g.peer) {
				c.known++
			}
		}
	}
	c.asked += uint64(len(r.living))
}

// settledNow notes that a member is linked with those next to it.
func (r *run) settledNow(now clock.Time, m *member) {
	if m.settled {
		return
	}
	m.settled = true
	if m.born > r.began {
		r.churn.settle.Add(uint64(now.Sub(m.born)/time.Microsecond), 1)
	}
}

func (r *run) churnFigures(res *Result) {
	c := &r.churn
	for _, m := range r.living {
		if stay := r.ended.Sub(m.born); !m.settled && m.born > r.began && stay >= leastStay {
			c.settle.Add(uint64(stay/time.Microsecond), 1) // as if it did now
		}
	}
	res.set("settled_p50_s", c.settle.Quantile(0.5)/1e6)
	res.set("settled_p95_s", c.settle.Quantile(0.95)/1e6)
	res.set("gone_known_mean_count", float64(c.known)/float64(c.asked))
}
