package node

import (
	"net/netip"

	"rtmfp/group"
	"rtmfp/group/lan"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// EnableLAN makes the node announce itself on the local network, and find
// others there, in those groups that are joined from now on and whose groupspec
// permits it. The port is that of the node's socket. Its owner drains NextLAN
// after each turn, sends the packets to the multicast address, and hands in
// what comes from there.
func (c *Core) EnableLAN(port uint16) {
	c.beacon = lan.New(lan.Config{Self: c.ID(), Port: port, Rand: c.seededRand()})
}

// HandleLAN takes a packet that came from the multicast address.
func (c *Core) HandleLAN(now clock.Time, from netip.Addr, data []byte) {
	if c.beacon == nil {
		return
	}
	c.beacon.Handle(now, from, data)
	c.routeFound(now)
}

// NextLAN appends the next packet for the multicast address to buf.
func (c *Core) NextLAN(now clock.Time, buf []byte) ([]byte, bool) {
	if c.beacon == nil {
		return nil, false
	}
	return c.beacon.NextPacket(now, buf)
}

// LANStats returns what there was on the local network.
func (c *Core) LANStats() lan.Stats {
	if c.beacon == nil {
		return lan.Stats{}
	}
	return c.beacon.Stats()
}

// announce begins to announce a group.
func (c *Core) announce(now clock.Time, spec *group.Spec) {
	if c.beacon != nil && spec.MemberUpdates {
		c.beacon.Add(now, spec.ID(), spec.Canonical())
	}
}

// routeFound tells the groups whom they have in the network.
func (c *Core) routeFound(now clock.Time) {
	for f, ok := c.beacon.NextFound(); ok; f, ok = c.beacon.NextFound() {
		for _, g := range c.groups {
			if g.spec.ID() == f.Group {
				g.group.AddSeed(now, f.Peer, []element.Address{{AddrPort: f.Addr, Origin: element.OriginObserved}})
			}
		}
	}
	c.route(now)
}

// alone tells the local network's part whether a group has a neighbor.
func (g *GroupCore) alone(now clock.Time) {
	if b := g.core.beacon; b != nil {
		b.SetAlone(now, g.spec.ID(), g.group.NeighborCount() == 0)
	}
}
