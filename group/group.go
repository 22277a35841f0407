package group

import (
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// Metadata of the flows of this package.
var (
	MetadataSession = []byte{0, 'G', 'R', 0x1c} // between members
	MetadataChannel = []byte{0, 'G', 'C'}       // to and from an introducer
)

// Group is one node's part in one group.
type Group struct {
	cfg    Config
	links  Links
	events []Event
}

// New returns a group that waits for Start.
func New(cfg Config, links Links) *Group {
	cfg.setDefaults()
	return &Group{cfg: cfg, links: links}
}

// Start begins: bootstrap peers of the spec are noted.
func (g *Group) Start(now clock.Time) {}

// SetAddresses tells which addresses of this node are reported to members.
func (g *Group) SetAddresses(now clock.Time, addrs []element.Address) {}

// AddIntroducer: a link to an introducer is up.
func (g *Group) AddIntroducer(now clock.Time, link LinkID, peer PeerID) {}

// AddHint: peer may be a member.
func (g *Group) AddHint(now clock.Time, peer PeerID, addrs []element.Address, via LinkID) {}

// LinkUp: a link is open, dialed by this group or not.
func (g *Group) LinkUp(now clock.Time, link LinkID, peer PeerID, incoming bool) {}

// LinkDown: a link broke or was closed by the far end.
func (g *Group) LinkDown(now clock.Time, link LinkID) {}

// DialFailed: a dial of this group came to nothing.
func (g *Group) DialFailed(now clock.Time, peer PeerID) {}

// FlowOpened: the far end opened a flow.
func (g *Group) FlowOpened(now clock.Time, link LinkID, recv RecvID, metadata []byte, reply FlowID) Delivery {
	return Reject
}

// Message: a message came on a flow of this group.
func (g *Group) Message(now clock.Time, recv RecvID, msg []byte) {}

// FlowClosed: a receiving flow has ended.
func (g *Group) FlowClosed(now clock.Time, recv RecvID) {}

// FlowRejected: the far end refused or ended a sending flow.
func (g *Group) FlowRejected(now clock.Time, flow FlowID) {}

// Leave parts from all neighbors in an orderly way.
func (g *Group) Leave(now clock.Time) {}

// Advance does what is due at now.
func (g *Group) Advance(now clock.Time) {}

// Deadline returns when Advance must be called next, clock.Never if not at all.
func (g *Group) Deadline() clock.Time { return clock.Never }

// NextEvent returns the next event.
func (g *Group) NextEvent() (Event, bool) { return Event{}, false }

// ParseInitGroupID returns the group id in a session-init message, the first on
// a flow with MetadataSession, so that a driver finds the group that it is for.
func ParseInitGroupID(msg []byte) (id [32]byte, ok bool) { return id, false }

// ParseJoinGroupID does the same for the first message on a flow with MetadataChannel.
func ParseJoinGroupID(msg []byte) (id [32]byte, ok bool) { return id, false }
