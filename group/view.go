package group

import (
	"cmp"
	"slices"
	"strings"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// Role says what a neighbor is good for; it may be several things at once.
type Role uint8

// Roles.
const (
	RoleRing   Role = 1 << iota // one of the next three up or down the ring: the group is correct by it
	RoleNear                    // one of the six with the lowest latency, for trees
	RoleRandom                  // drawn at random, against partition
	RoleFinger                  // far away on the ring, for short routes
	RoleMesh                    // the group is so small that everybody is linked with everybody
	RoleGuest                   // only the far end wants the link
)

var roleNames = [...]string{"ring", "near", "random", "finger", "mesh", "guest"}

// Names returns the roles as words.
func (r Role) Names() []string {
	var names []string
	for i, name := range roleNames {
		if r&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String returns the roles in one word.
func (r Role) String() string { return strings.Join(r.Names(), "+") }

// NeighborView is what there is to say about a neighbor.
type NeighborView struct {
	Neighbor
	Since clock.Time // it has been a neighbor
	Roles Role
	Up    int // 1: the next neighbor up the ring, 2: the one after it, …
	Down  int // likewise, down the ring
}

// ViewNeighbors returns the neighbors, the next one up the ring first.
func (g *Group) ViewNeighbors() []NeighborView {
	views := make([]NeighborView, 0, len(g.neighbors))
	for n := range g.Neighbors() {
		l := g.byLink[n.Link]
		views = append(views, NeighborView{Neighbor: n, Since: l.upSince})
	}
	nearest := make([]*NeighborView, len(views))
	slices.SortFunc(views, func(a, b NeighborView) int { return g.self.Up(a.Address).Compare(g.self.Up(b.Address)) })
	for i := range views {
		v := &views[i]
		v.Up, v.Down = i+1, len(views)-i
		nearest[i] = v
		if v.Up <= ringSide || v.Down <= ringSide {
			v.Roles |= RoleRing
		}
		if g.byLink[v.Link].member.random {
			v.Roles |= RoleRandom
		}
	}
	slices.SortStableFunc(nearest, func(a, b *NeighborView) int { return cmp.Compare(a.RTT, b.RTT) })
	for _, v := range nearest[:min(nearestByRTT, len(nearest))] {
		v.Roles |= RoleNear
	}
	full := g.book.known.Len()+1 <= g.cfg.FullMesh
	for i := range views {
		switch v := &views[i]; {
		case v.Roles&(RoleRing|RoleRandom) != 0:
		case full:
			v.Roles |= RoleMesh
		case !v.Wanted:
			v.Roles |= RoleGuest
		case v.Roles == 0:
			v.Roles = RoleFinger
		}
	}
	return views
}

// MemberView is what is known of a member.
type MemberView struct {
	Peer      PeerID
	Address   ring.Addr
	Heard     clock.Time // somebody last heard of it, as far as is known; of a neighbor, now
	Neighbor  bool
	Lost      bool // it was a neighbor, was lost without a word, and nobody has heard of it since
	Addresses []element.Address
}

// ViewMembers returns the members that are known, this one left out, the next
// one up the ring first. A member of a large group knows only few of the others.
func (g *Group) ViewMembers(now clock.Time) []MemberView {
	views := make([]MemberView, 0, g.book.known.Len())
	for k := range g.book.known.Len() {
		it, ok := g.book.known.Above(g.self, k)
		if !ok {
			break
		}
		m := it.Value
		v := MemberView{
			Peer: m.peer, Address: m.addr, Heard: m.heard, Lost: m.suspect(),
			Addresses: unpackAddresses(m.addresses),
		}
		if m.link != nil && m.link.up {
			v.Neighbor, v.Lost, v.Heard = true, false, max(m.heard, g.links.LastHeard(m.link.id))
		}
		views = append(views, v)
	}
	return views
}
