package group

import (
	"math/bits"
	"slices"
	"time"

	"rtmfp/ring"
)

// nextHop returns the neighbor to pass a message on to: of those that are nearer
// to the target than this member, which makes loops impossible, the one that
// promises the shortest time for the rest of the way, going by whom it is linked
// with. nil if this member is the nearest.
//
// It may also be one that is farther, if its table shows a member nearer to the
// target than this one: a step aside. Then dead is true where the neighbor sees
// nobody like that after all, for it takes part in the same rule: whoever is
// handed a message by a member nearer to the target than itself passes it on only
// to one that is nearer than both, and never aside again; so each second step at
// the latest leads nearer. Where a hop has failed, there are no steps aside: what
// tables show there is of the past.
//
// A member that looks for its own place does not count.
func (g *Group) nextHop(r *relay) (best *link, dead bool) {
	target := r.target
	find := r.service == serviceFind
	if target == g.self && !find {
		return nil, false
	}
	limit, aside := g.self, !find && r.fails == 0 && r.again == 0
	if from := g.byLink[r.from]; from != nil && from.up && !find && target.Nearer(from.addr, g.self) {
		limit, aside, dead = from.addr, false, true
	}
	var bestTime time.Duration
	c := g.waysTo(target, limit)
	for _, l := range g.neighbors {
		if !l.routes() || slices.Contains(r.tried, l.id) || find && l.peer == r.origin {
			continue
		}
		nearer := target.Nearer(l.addr, limit) || find && r.own
		if !nearer && (!aside || l.id == r.from) {
			continue
		}
		if l.addr == target {
			return l, false
		}
		t, ok := c.over(l, nearer)
		if !ok {
			continue
		}
		t += l.rtt / 2
		if l.suspected != 0 {
			t += time.Second
		}
		if !l.settled {
			t += time.Hour // it may not know who is nearer than itself
		}
		if best == nil || t < bestTime || t == bestTime && target.Nearer(l.addr, best.addr) {
			best, bestTime = l, t
		}
	}
	return best, dead && best == nil
}

// ways reckons how long messages take to a target.
type ways struct {
	top     uint32 // of the target
	limit   uint32 // how near to it a step aside must lead
	members uint64
	typical time.Duration // latency between any two members
}

func (g *Group) waysTo(target, limit ring.Addr) ways {
	c := ways{top: topOf(target), members: uint64(g.size), typical: g.typical}
	c.limit = c.distance(topOf(limit))
	return c
}

// over returns the time that a message will take from l on: by the best of its
// neighbors, or, if l itself is nearer than the limit, from there if it has none
// that is. ok is false if it leads nowhere.
func (c *ways) over(l *link, nearer bool) (best time.Duration, ok bool) {
	here := c.limit
	if nearer {
		here = c.distance(topOf(l.addr))
		best, ok = c.rest(here), true
	}
	for e := range lines(l.table) {
		if d := c.distance(e.top); d < here {
			if t := unpackRTT(e.rtt)/2 + c.rest(d); !ok || t < best {
				best, ok = t, true
			}
		}
	}
	return best, ok
}

func (c *ways) distance(top uint32) uint32 { return min(top-c.top, c.top-top) }

// rest returns the time that a message is expected to take from a member at a
// distance from the target: the last hop, unless that member is the nearest,
// takes half as long again as between any two members, and the hops before it a
// fifth of that for every halving of the number of members in between. The
// factors are those that gave the shortest ways in groups of 1000 and 10 000
// members.
func (c *ways) rest(distance uint32) time.Duration {
	between := uint64(distance) * c.members >> 23 // times 2^8: on both sides
	last := c.typical * 3 / 2 * time.Duration(between) / time.Duration(between+1<<8)
	return last + c.typical/5*time.Duration(log2(between+1<<8)-8<<8)>>8
}

// log2 returns the binary logarithm of x > 0, times 2^8, by straight lines
// between the powers.
func log2(x uint64) int64 {
	n := bits.Len64(x) - 1
	var part uint64
	if n >= 8 {
		part = x>>(n-8) - 1<<8
	} else {
		part = x<<(8-n) - 1<<8
	}
	return int64(n)<<8 + int64(part)
}

// learnLatency notes what is typical between two members, before any neighbor's
// table has shown more. Those next to each other on the ring are any two: where a
// node is on the ring says nothing about where it is in the network.
func (g *Group) learnLatency() {
	if g.samples > 0 {
		return
	}
	sum, count := time.Duration(0), 0
	for _, l := range g.neighbors {
		if rtt := g.links.RTT(l.id); rtt > 0 && l.member.forRing {
			sum += rtt / 2
			count++
		}
	}
	if g.typical = typicalLatency; count > 0 {
		g.typical = sum / time.Duration(count)
	}
}

// sampleLatency takes the latency between a neighbor and those next to it on the
// ring, as its table shows it, into the mean.
func (g *Group) sampleLatency(l *link) {
	up, down := l.reachOf(g.self)
	at := topOf(l.addr)
	sum, count := time.Duration(0), 0
	for e := range lines(l.table) {
		if e.top-at <= up || at-e.top <= down {
			sum += unpackRTT(e.rtt) / 2
			count++
		}
	}
	if count > 0 {
		if g.samples == 0 {
			g.typical = 0
		}
		g.samples = min(g.samples+1, latencySamples)
		g.typical += (sum/time.Duration(count) - g.typical) / time.Duration(g.samples)
	}
}
