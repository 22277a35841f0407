package node

import (
	"slices"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// BareGroup is a group of a node without transport: membership and services as
// in a GroupCore, over links that somebody else makes. Simulations use it for
// sizes where packets are too many. It is driven like a Core: hand in what
// happened, then call Turn, and come back at Deadline.
//
// Calls about links go to Group: LinkUp, LinkDown, DialFailed, AddIntroducer.
type BareGroup struct {
	*GroupCore
}

// NewBareGroup makes the member of a group that has not started yet: see
// Group.Start. Links gives what flows of a kind go by; kinds are this package's
// own, and go along with a flow to FlowOpened and what follows. Identity and
// Rand of cfg are required.
func NewBareGroup(now clock.Time, cfg CoreConfig, spec *group.Spec, links func(kind uint8) group.Links) *BareGroup {
	core := newCore(cfg)
	core.bare = links
	return &BareGroup{newGroupCore(now, core, spec)}
}

// Self returns the member's name.
func (b *BareGroup) Self() group.PeerID { return group.PeerID(b.core.ID()) }

// FlowKind returns the kind of a flow that the far end opened with metadata.
func FlowKind(metadata []byte) uint8 { return uint8(kindOf(metadata)) }

// Ready reports whether flows of a kind may be offered yet: those of services
// have to wait until the member at the far end was greeted.
func (b *BareGroup) Ready(kind uint8, link group.LinkID) bool {
	return flowKind(kind) == flowGroup || slices.Contains(b.greeted, link)
}

// FlowOpened tells of a flow that the far end opened, and of the sending flow
// that it answers, if any.
func (b *BareGroup) FlowOpened(now clock.Time, kind uint8, link group.LinkID, recv group.RecvID, metadata []byte, reply group.FlowID) group.Delivery {
	return b.flowOpened(now, flowKind(kind), link, recv, metadata, reply)
}

// Message takes a message from a flow that was accepted.
func (b *BareGroup) Message(now clock.Time, kind uint8, recv group.RecvID, msg []byte) {
	b.receiver(flowKind(kind)).Message(now, recv, msg)
}

// FlowClosed tells that a receiving flow has ended.
func (b *BareGroup) FlowClosed(now clock.Time, kind uint8, recv group.RecvID) {
	b.receiver(flowKind(kind)).FlowClosed(now, recv)
}

// FlowRejected tells that the far end refused a sending flow.
func (b *BareGroup) FlowRejected(now clock.Time, kind uint8, flow group.FlowID) {
	b.receiver(flowKind(kind)).FlowRejected(now, flow)
}

// Receipt tells that a message that was sent with SendReceipt has arrived, or
// will not.
func (b *BareGroup) Receipt(now clock.Time, flow group.FlowID, number uint64) {
	if b.objects != nil {
		b.objects.Receipt(now, flow, number)
	}
}

// Turn does what is due and passes on what came of it.
func (b *BareGroup) Turn(now clock.Time) {
	for b.routeOne(now) {
	}
	b.advance(now)
	for b.routeOne(now) {
	}
}

// Deadline returns when Turn is wanted next.
func (b *BareGroup) Deadline() clock.Time { return b.deadline() }

// NextEvent returns the oldest event that was not drained yet.
func (b *BareGroup) NextEvent() (CoreEvent, bool) { return b.core.NextEvent() }
