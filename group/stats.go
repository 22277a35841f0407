package group

import (
	"iter"
	"time"

	"rtmfp/ring"
)

// Stats counts what a group has done since it was made.
type Stats struct {
	NeighborsUp      uint64
	NeighborsDown    uint64
	NeighborsSilent  uint64 // of those down: nothing was heard of them
	Dials            uint64
	DialsFailed      uint64
	TrialsInVain     uint64 // links to members that were no better fingers after all
	SeedsCalled      uint64 // members to begin with that were called, again and again
	SeedsForgotten   uint64 // because there were more than are remembered
	PeeringsTimedOut uint64 // the far end did not prove itself in time
	PeeringsRefused  uint64 // members that asked to be neighbors when there was no room
	Pins             uint64 // members that a service asked for a link with
	PinsRefused      uint64 // because of Config.MaxPinned
	HoldsRefused     uint64 // links in use that may be given up, because too many are
	LinksTrimmed     uint64 // given up because there were too many
	LinksRefused     uint64 // not tracked, Config.MaxLinks was reached
	FlowsRefused     uint64 // flows that should not have been opened, or were too many
	InitsStale       uint64 // session flows that belonged to peerings which had ended
	ProofsFailed     uint64 // from nodes that do not know the groupspec, or lied
	RevokesRefused   uint64 // forged, malformed, or too many
	EvictedRefused   uint64 // evicted members that wanted to be neighbors
	JoinsServed      uint64 // questions of clients that were answered
	JoinsRefused     uint64 // questions without proof, for other groups, or too often
	MembersEvicted   uint64 // forgotten because of Config.MaxKnown
	CloseRequests    uint64
	ReportsSent      uint64
	NoticesSent      uint64
	ReportsTaken     uint64
	MessagesSent     uint64
	BytesSent        uint64 // in messages of this package
	MessagesIgnored  uint64 // malformed, unknown, or out of place
	Suspicions       uint64 // neighbors that were silent for too long
	TablesSent       uint64
	WantsSent        uint64
	Finds            uint64 // questions for the members around a place
	GhostsCalled     uint64 // members that were lost and called again
	GhostsBack       uint64 // of these, that answered
	Heals            uint64 // of these, that showed that parts of the group had met
	RoutesPassed     uint64 // routed messages handed to a neighbor
	RoutesDelivered  uint64 // that arrived here
	RoutesAgain      uint64 // own ones that were sent anew
	RoutesBack       uint64 // handed back to where they came from, a dead end
	RoutesRefused    uint64 // for want of room
	HopsFailed       uint64 // neighbors that did not take a routed message
	ResultsDropped   uint64 // of routed messages, that nobody drained
	RouteBytesSent   uint64
	RouteBytesTaken  uint64
}

// Stats returns the counters.
func (g *Group) Stats() Stats { return g.stats }

// Spec returns the groupspec.
func (g *Group) Spec() *Spec { return g.cfg.Spec }

// Joined reports whether this node has been let in.
func (g *Group) Joined() bool { return g.joined }

// Neighbor describes a neighbor.
type Neighbor struct {
	Link     LinkID
	Peer     PeerID
	Address  ring.Addr
	Session  RecvID   // its session flow
	Features Features // what it offers
	RTT      time.Duration
	Wanted   bool // this end wants the link; otherwise only the far end does
}

// Neighbors yields the neighbors in the order in which they came. Nothing else
// may be called on the group meanwhile.
func (g *Group) Neighbors() iter.Seq[Neighbor] {
	return func(yield func(Neighbor) bool) {
		for _, l := range g.neighbors {
			n := Neighbor{l.id, l.peer, l.addr, l.in, l.features, g.links.RTT(l.id), l.member.wanted}
			if !yield(n) {
				return
			}
		}
	}
}

// Knows reports whether a node is taken to be a member, linked with or not.
func (g *Group) Knows(p PeerID) bool { return g.book.get(p) != nil }

// NeighborCount returns the number of neighbors.
func (g *Group) NeighborCount() int { return len(g.neighbors) }

// Clients returns the number of nodes that this one serves as an introducer.
func (g *Group) Clients() int { return g.clients }

// Limit returns the number of neighbors above which links are given up.
func (g *Group) Limit() int { return g.limit }
