package node

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// bootstrap is one introducer that the node was told of. The node stays in
// touch with it and calls again when it was lost, so that an introducer that
// comes back finds its groups.
type bootstrap struct {
	url     string
	addrs   []netip.AddrPort
	session *transport.Session // while dialing or open
	link    group.LinkID       // while open
	tries   int                // failures in a row
	retryAt clock.Time         // Never while dialing or open
	since   clock.Time         // it has been open
	resting bool               // there are enough others; it is called again at retryAt
}

// An introducer that does not answer is called again after 1 s, 2 s, 4 s … up
// to a minute, give or take a quarter, so that those who lost it together do
// not all come back together. A node stays in touch with three; it calls the
// others once in ten minutes for half a minute, so that an introducer that lost
// everybody is found by the group, and parts of a group that know different
// introducers meet. One that is lost is made good for by one that rests. Where groups
// are so large that an introducer could not serve all who stay, a node treats all of them
// like that, so that there is room for newcomers.
const (
	bootstrapRetry    = time.Second
	bootstrapRetryMax = time.Minute
	bootstrapKeep     = 3
	bootstrapStay     = 30 * time.Second
	bootstrapRest     = 10 * time.Minute
	defaultLargeGroup = 1000
)

// AddBootstrap makes the node call the introducer at url, which was resolved
// to addrs, and stay in touch with it.
func (c *Core) AddBootstrap(now clock.Time, url string, addrs []netip.AddrPort) {
	b := &bootstrap{url: url, addrs: addrs, retryAt: clock.Never}
	c.boots = append(c.boots, b)
	c.callBootstrap(now, b)
	c.route(now)
}

func (c *Core) callBootstrap(now clock.Time, b *bootstrap) {
	s, err := c.ep.DialURL(now, b.url, b.addrs)
	if err != nil {
		c.down(now, b)
		c.report(CoreEvent{Kind: EventBootstrapFailed, URL: b.url, Err: err})
		return
	}
	b.session, b.retryAt, b.resting = s, clock.Never, false
}

// down notes that the introducer is out of reach and plans the next call.
func (c *Core) down(now clock.Time, b *bootstrap) {
	b.session, b.link, b.resting = nil, 0, false
	b.retryAt = now.Add(c.around(min(bootstrapRetry<<min(b.tries, 10), bootstrapRetryMax)))
	b.tries++
	for _, other := range c.boots {
		if other.resting && c.bootsOpen() < c.bootsKept() {
			other.resting, other.retryAt = false, now
			break
		}
	}
}

// around changes d by at most a quarter either way.
func (c *Core) around(d time.Duration) time.Duration {
	if c.spread == nil {
		c.spread = c.seededRand()
	}
	return d*3/4 + time.Duration(c.spread.Int64N(int64(d/2)+1))
}

// bootsOpen counts the introducers that the node is in touch with, or about to be.
func (c *Core) bootsOpen() (n int) {
	for _, b := range c.boots {
		if b.session != nil {
			n++
		}
	}
	return n
}

func (c *Core) retryBootstraps(now clock.Time) {
	for _, b := range c.boots {
		if b.retryAt <= now {
			c.callBootstrap(now, b)
		}
	}
	if now >= c.bootsAt {
		c.lookAtBoots(now)
	}
	if len(c.boots) > c.bootsKept() {
		c.restBootstraps(now)
	}
}

// bootsKept is with how many introducers the node stays in touch.
func (c *Core) bootsKept() int {
	if c.large {
		return 0
	}
	return bootstrapKeep
}

// lookAtBoots finds out whether the groups are large enough to do without introducers,
// and calls those that rest if they have ceased to be.
func (c *Core) lookAtBoots(now clock.Time) {
	c.bootsAt = now.Add(bootstrapStay)
	was := c.large
	c.large = len(c.groups) > 0 && !slices.ContainsFunc(c.groups, func(g *GroupCore) bool { return !g.Large() })
	if !was || c.large {
		return
	}
	open := c.bootsOpen()
	for _, b := range c.boots {
		if b.resting && open < bootstrapKeep {
			b.resting, b.retryAt = false, now
			open++
		}
	}
}

// Large reports whether the group has so many members that this one, which has neighbors,
// does not stay in touch with introducers.
func (g *GroupCore) Large() bool {
	return g.group.NeighborCount() > 1 && g.group.Estimate() >= cmp.Or(g.core.cfg.LargeGroup, defaultLargeGroup)
}

// Introducers returns how many introducers the node is in touch with, of those
// that it was told of.
func (c *Core) Introducers() (n int) {
	for _, b := range c.boots {
		if b.link != 0 {
			n++
		}
	}
	return n
}

// restAt returns when an introducer may be let go, Never if it is needed.
func (c *Core) restAt() clock.Time {
	open, oldest := 0, clock.Never
	for _, b := range c.boots {
		if b.link != 0 {
			open++
			oldest = min(oldest, b.since)
		}
	}
	if open <= c.bootsKept() {
		return clock.Never
	}
	return oldest.Add(bootstrapStay)
}

// restBootstraps lets introducers go that are too many: those that have been
// there for a while, one at random after the other. As members they stay
// neighbors if the group needs them so.
func (c *Core) restBootstraps(now clock.Time) {
	for c.restAt() <= now {
		var long []*bootstrap
		for _, b := range c.boots {
			if b.link != 0 && b.since.Add(bootstrapStay) <= now {
				long = append(long, b)
			}
		}
		c.around(1) // makes the generator
		b := long[c.spread.IntN(len(long))]
		link, shared := b.link, false
		b.session, b.link, b.tries, b.resting = nil, 0, 0, true
		b.retryAt = now.Add(c.around(bootstrapRest))
		for _, other := range c.boots {
			shared = shared || other.link == link // it has two names
		}
		l := c.links.get(uint32(link))
		if l == nil || shared {
			continue
		}
		l.boot = false
		for _, g := range slices.Clone(l.users) {
			g.group.RemoveIntroducer(now, link)
		}
		if l := c.links.get(uint32(link)); l != nil && len(l.users) == 0 {
			c.orphaned(now, link, hungUpGrace)
		}
	}
}

// bootstrapOpen tells every group of an introducer that has answered.
func (c *Core) bootstrapOpen(now clock.Time, id group.LinkID, s *transport.Session) {
	for _, b := range c.boots {
		if b.session != s {
			continue
		}
		b.link, b.tries, b.since = id, 0, now
		c.bootsAt = min(c.bootsAt, now.Add(bootstrapStay))
		l := c.links.get(uint32(id))
		l.boot, l.closeAt = true, clock.Never
		c.report(CoreEvent{Kind: EventBootstrapUp, URL: b.url, Peer: s.Peer()})
		for _, g := range c.groups {
			c.introduce(now, id, g)
		}
	}
}

// bootstrapMerged takes an introducer that turned out to be a node with which
// there is a session already.
func (c *Core) bootstrapMerged(now clock.Time, s, other *transport.Session) {
	for _, b := range c.boots {
		if b.session == s {
			b.session = other
		}
	}
	if id := handle(other.User); c.links.get(id) != nil {
		c.bootstrapOpen(now, group.LinkID(id), other)
	}
}

// introduce gives a group the introducer behind an open link.
func (c *Core) introduce(now clock.Time, id group.LinkID, g *GroupCore) {
	c.use(id, g)
	g.group.AddIntroducer(now, id, group.PeerID(c.links.get(uint32(id)).session.Peer()))
}

func (c *Core) bootstrapFailed(now clock.Time, s *transport.Session, err error) {
	for _, b := range c.boots {
		if b.session == s {
			c.down(now, b)
			c.report(CoreEvent{Kind: EventBootstrapFailed, URL: b.url, Err: err})
		}
	}
}
