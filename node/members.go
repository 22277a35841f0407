package node

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Role says what a neighbor is good for.
type Role = group.Role

// Roles of neighbors.
const (
	RoleRing   = group.RoleRing
	RoleNear   = group.RoleNear
	RoleRandom = group.RoleRandom
	RoleFinger = group.RoleFinger
	RoleMesh   = group.RoleMesh
	RoleGuest  = group.RoleGuest
)

// Neighbor is a member that this node holds a link to.
type Neighbor struct {
	Peer     PeerID
	Address  ring.Addr      // on the ring
	Addr     netip.AddrPort // of its socket, as it is seen here
	RTT      time.Duration  // smoothed; 0 if none was measured
	Age      time.Duration  // since it has been a neighbor
	Roles    Role           // what it is good for
	Up, Down int            // its place on the ring among the neighbors: 1 is the next in that direction

	// Of the session, in UDP payload. Groups in which both are share it.
	Bytes Bytes
}

// Neighbors returns the members that this node is linked with, the next one up
// the ring first.
func (g *Group) Neighbors() []Neighbor {
	var out []Neighbor
	_ = g.node.do(func(now clock.Time) {
		for _, v := range g.core.group.ViewNeighbors() {
			l := g.node.core.links.get(uint32(v.Link))
			if l == nil {
				continue
			}
			s := l.session.Stats()
			out = append(out, Neighbor{
				Peer: PeerID(v.Peer), Address: v.Address, Addr: l.session.FarAddr(), RTT: v.RTT,
				Age: now.Sub(v.Since), Roles: v.Roles, Up: v.Up, Down: v.Down,
				Bytes: Bytes{Sent: s.BytesSent, Received: s.BytesReceived},
			})
		}
	})
	return out
}

// Member is what this node knows of another member.
type Member struct {
	Peer     PeerID
	Address  ring.Addr     // on the ring
	Heard    time.Duration // ago, somebody last heard of it, as far as this node was told
	Neighbor bool
	Lost     bool             // it was a neighbor, and nobody has heard of it since it was lost
	Addrs    []netip.AddrPort // where it may be reached
}

// Members returns the members that this node knows, itself left out, the next
// one up the ring first. In a small group these are all; in a large one a node
// knows its neighbors and a few others, and Stats estimates how many there are.
func (g *Group) Members() []Member {
	var out []Member
	_ = g.node.do(func(now clock.Time) {
		for _, v := range g.core.group.ViewMembers(now) {
			out = append(out, Member{
				Peer: PeerID(v.Peer), Address: v.Address, Heard: max(0, now.Sub(v.Heard)),
				Neighbor: v.Neighbor, Lost: v.Lost, Addrs: addresses(v.Addresses),
			})
		}
	})
	return out
}

// Address returns this node's place on the ring: that of its peer id.
func (g *Group) Address() ring.Addr { return ring.OfPeer(g.Self()) }

// Coverage is the part of the ring that a node is nearest to: what lies after
// From up to To, up the ring. If both are the same it is the whole ring.
type Coverage struct{ From, To ring.Addr }

// Contains reports whether an address is in it.
func (c Coverage) Contains(a ring.Addr) bool {
	return c.From == c.To || a != c.From && c.From.Up(a).Compare(c.From.Up(c.To)) <= 0
}

// Coverage returns the part of the ring that this node is nearest to, as far as
// its neighbors show.
func (g *Group) Coverage() Coverage {
	var c Coverage
	_ = g.node.do(func(clock.Time) { c.From, c.To = g.core.group.Coverage() })
	return c
}

// Stats returns the group's figures at this node.
func (g *Group) Stats() GroupStats {
	id := g.spec.ID()
	s := GroupStats{Name: g.Name(), ID: hex.EncodeToString(id[:])}
	_ = g.node.do(func(now clock.Time) {
		s.Joined = g.took
		s.Neighbors = g.core.group.NeighborCount()
		s.Members = g.core.group.Estimate()
		s.Streams = slices.Clone(g.streams)
		s.Refused = g.core.refusals()
		s.Total = g.core.serviceBytes()
		s.PerSecond = g.rates.rate(now, g)
	})
	return s
}

// refusals returns what was refused.
func (g *GroupCore) refusals() Refusals {
	s := g.group.Stats()
	r := Refusals{Proofs: s.ProofsFailed, Joins: s.JoinsRefused, Evicted: s.EvictedRefused, Revocations: s.RevokesRefused}
	m := g.streams.Counters()
	r.Streams = StreamRefusals{Forged: m.Forged, Altered: m.Altered, Unsigned: m.Unsigned, Unpermitted: m.Unpermitted, CutOff: m.Bans}
	if g.posts != nil {
		p := g.posts.Stats().Refused
		r.Forged, r.Unauthorized, r.Untimely = p.BadSignature, p.Unauthorized, p.Old+p.Future
		r.Malformed, r.Flooding = p.Malformed, p.Rate
	}
	return r
}

// serviceBytes returns what the services have sent and received.
func (g *GroupCore) serviceBytes() ServiceBytes {
	s := g.group.Stats()
	routing := Bytes{Sent: s.RouteBytesSent, Received: s.RouteBytesTaken}
	return ServiceBytes{
		Membership: g.traffic[flowGroup].less(routing),
		Routing:    routing,
		Streams:    g.traffic[flowStream],
		Posts:      g.traffic[flowPosts],
		Records:    g.traffic[flowRecords],
		Objects:    g.traffic[flowObjects],
	}
}

func (b Bytes) less(o Bytes) Bytes { return Bytes{b.Sent - o.Sent, b.Received - o.Received} }

func (b Bytes) per(d time.Duration) Bytes {
	s := d.Seconds()
	return Bytes{uint64(float64(b.Sent) / s), uint64(float64(b.Received) / s)}
}

// sampler remembers what the services had sent and received a few seconds ago.
type sampler struct {
	last, before sample
}

type sample struct {
	at    clock.Time
	bytes ServiceBytes
}

const sampleInterval = 3 * time.Second

// sample takes a sample if it is time for one.
func (r *sampler) sample(now clock.Time, g *Group) {
	if now.Sub(r.last.at) >= sampleInterval || r.last.at == 0 {
		r.before, r.last = r.last, sample{now, g.core.serviceBytes()}
		if r.before.at == 0 {
			r.before = r.last
		}
	}
}

// rate returns the bytes per second since the sample before the last.
func (r *sampler) rate(now clock.Time, g *Group) ServiceBytes {
	d := now.Sub(r.before.at)
	if d <= 0 || r.before.at == 0 {
		return ServiceBytes{}
	}
	c, b := g.core.serviceBytes(), r.before.bytes
	return ServiceBytes{
		Membership: c.Membership.less(b.Membership).per(d),
		Routing:    c.Routing.less(b.Routing).per(d),
		Streams:    c.Streams.less(b.Streams).per(d),
		Posts:      c.Posts.less(b.Posts).per(d),
		Records:    c.Records.less(b.Records).per(d),
	}
}
