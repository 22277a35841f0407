package group

// EventKind says what happened.
type EventKind uint8

// Kinds of events.
const (
	// NeighborUp: a member has proven itself on a link. Link, Peer, Session,
	// Features, and Wish are set.
	NeighborUp EventKind = iota + 1

	// NeighborDown: the relation on Link to Peer is over, for Reason.
	NeighborDown

	// Joined: the first neighbor is there, or an introducer took us in. It is
	// given once.
	Joined

	// JoinFailed: the introducer on Link refused, for Reason, and no other way
	// in is being tried. It may be given again, and Joined may still follow.
	JoinFailed

	// IntroducerDown: the link to the introducer Peer is gone; the group goes
	// on. The driver, which knows its name, may bring it back.
	IntroducerDown
)

// Reason says why a relation ended.
type Reason uint8

// Reasons.
const (
	ReasonNone     Reason = iota
	ReasonLeft            // the far end left the group
	ReasonParted          // either end does not need the link any more
	ReasonLost            // the link broke
	ReasonSilent          // nothing was heard for Config.Silence
	ReasonRefused         // the far end is not in this group, or is full
	ReasonUnproven        // the far end could not prove that it knows the groupspec
	ReasonReplaced        // the member came again on another link
	ReasonLeaving         // this node leaves the group
	ReasonFull            // this node has no room
	ReasonEvicted         // the member was evicted
)

var reasonNames = [...]string{"", "left", "parted", "lost", "silent", "refused", "unproven", "replaced", "leaving", "full", "evicted"}

// String returns the reason as a word.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown"
}

// Event is something that services and applications should know.
type Event struct {
	Kind     EventKind
	Reason   Reason
	Link     LinkID
	Peer     PeerID
	Session  RecvID   // the neighbor's session flow, with which services associate theirs
	Features Features // what both ends offer
	Wish     []byte   // what its services want at once; see Config.Wish
}
