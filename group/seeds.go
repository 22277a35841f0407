package group

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// Seeds are members that a node knows of before anybody in the group told it:
// bootstrap peers of the groupspec, members that it was linked with in an
// earlier life, members that announce themselves on the LAN. As long as there
// is no neighbor they are dialed, several at once, and those that do not answer
// again and again, less and less often. The first neighbor ends that: from then
// on the group itself knows whom to dial. Should all neighbors be lost, it
// begins anew.

// seed is one such member.
type seed struct {
	peer      PeerID
	addresses []byte // as on the wire
	tries     uint8  // since there was a neighbor
	next      clock.Time
}

// Limits of seeds.
const (
	maxSeeds  = 64
	seedsOnce = 8 // that are dialed at once
)

// AddSeed tells of a member to begin with, and where it may be reached; the
// addresses may be none if somebody else can introduce it. At most 64 are
// remembered, the latest.
func (g *Group) AddSeed(now clock.Time, peer PeerID, addrs []element.Address) {
	if peer == g.cfg.Self || g.left || g.cfg.Spec.NoPeerToPeer {
		return
	}
	var packed []byte
	for _, a := range addrs {
		packed = element.AppendAddress(packed, a)
	}
	i := 0
	for i < len(g.seeds) && g.seeds[i].peer != peer {
		i++
	}
	switch {
	case i < len(g.seeds):
		s := &g.seeds[i]
		s.addresses = mergeAddresses(mergeAddresses(nil, packed), s.addresses)
		// It is there: who says so may have come just now.
		s.tries, s.next = 0, min(s.next, now)
	case len(g.seeds) < maxSeeds:
		g.seeds = append(g.seeds, seed{peer: peer, addresses: mergeAddresses(nil, packed), next: now})
	default:
		g.stats.SeedsForgotten++
		copy(g.seeds, g.seeds[1:])
		g.seeds[maxSeeds-1] = seed{peer: peer, addresses: mergeAddresses(nil, packed), next: now}
	}
	if len(g.neighbors) > 0 {
		// Somebody to know, and perhaps of a part of the group that has lost us.
		g.learn(now, peer, now, packed, 0)
		return
	}
	g.callSeeds(now)
}

// Seeds returns how many members to begin with are known, and how many of them
// were not yet tried in vain since there was a neighbor.
func (g *Group) Seeds() (all, untried int) {
	for i := range g.seeds {
		if g.seeds[i].tries < 2 {
			untried++
		}
	}
	return len(g.seeds), untried
}

// callSeeds dials the seeds that are due, and sets the instant of the next.
func (g *Group) callSeeds(now clock.Time) {
	if len(g.seeds) == 0 || len(g.neighbors) > 0 || g.left || !g.started {
		g.timers.Stop(&g.seeding)
		return
	}
	called := 0
	next := clock.Never
	for i := range g.seeds {
		s := &g.seeds[i]
		if s.next <= now && called < seedsOnce {
			called++
			g.callSeed(now, s)
		}
		next = min(next, s.next)
	}
	if next <= now { // there were more than are called at once
		next = now.Add(seedPause)
	}
	g.timers.Set(&g.seeding, next)
}

// seedPause is the time between two flocks of seeds.
const seedPause = 250 * time.Millisecond

func (g *Group) callSeed(now clock.Time, s *seed) {
	g.stats.SeedsCalled++
	s.tries = min(s.tries+1, 100)
	s.next = now.Add(jitter(g.cfg.Rand, g.seedBackOff(s.tries)))
	if g.banned(now, s.peer) {
		return
	}
	m := g.book.get(s.peer)
	if m == nil {
		// Nobody has heard of it lately, as far as we know, and nobody is told so.
		m = g.addMember(s.peer, now.Add(-seedAge))
	}
	m.addresses = mergeAddresses(m.addresses, s.addresses)
	if m.link == nil && !m.dialing && g.dialing < g.cfg.MaxDialing {
		g.dial(now, m)
	}
}

// seedAge is how long ago a seed is taken to have been heard of: long enough
// not to count on it.
const seedAge = time.Minute

// seedBackOff is the time until a seed is dialed again: first as long as a dial
// takes, then twice that, up to RetryMax.
func (g *Group) seedBackOff(tries uint8) time.Duration {
	d := g.cfg.DialTimeout / 2
	for ; tries > 1 && d < g.cfg.RetryMax; tries-- {
		d *= 2
	}
	return min(d, g.cfg.RetryMax)
}

// restSeeds ends the calls once there is a neighbor.
func (g *Group) restSeeds() {
	g.timers.Stop(&g.seeding)
	for i := range g.seeds {
		g.seeds[i].tries, g.seeds[i].next = 0, 0
	}
}
