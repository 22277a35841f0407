package node

import (
	"net/netip"
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
}

// An introducer that does not answer is called again after 1 s, 2 s, 4 s … up
// to a minute.
const (
	bootstrapRetry    = time.Second
	bootstrapRetryMax = time.Minute
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
		b.down(now)
		c.report(CoreEvent{Kind: EventBootstrapFailed, URL: b.url, Err: err})
		return
	}
	b.session, b.retryAt = s, clock.Never
}

// down notes that the introducer is out of reach and plans the next call.
func (b *bootstrap) down(now clock.Time) {
	b.session, b.link = nil, 0
	b.retryAt = now.Add(min(bootstrapRetry<<min(b.tries, 10), bootstrapRetryMax))
	b.tries++
}

func (c *Core) retryBootstraps(now clock.Time) {
	for _, b := range c.boots {
		if b.retryAt <= now {
			c.callBootstrap(now, b)
		}
	}
}

// bootstrapOpen tells every group of an introducer that has answered.
func (c *Core) bootstrapOpen(now clock.Time, id group.LinkID, s *transport.Session) {
	for _, b := range c.boots {
		if b.session != s {
			continue
		}
		b.link, b.tries = id, 0
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
			b.down(now)
			c.report(CoreEvent{Kind: EventBootstrapFailed, URL: b.url, Err: err})
		}
	}
}
