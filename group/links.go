package group

import (
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// PeerID names a node: the SHA-256 of its certificate (RFC 7425 §4.3.2).
type PeerID [32]byte

// LinkID names an open session with another node. Zero is no link. The driver
// gives the numbers and does not reuse one while anybody may still hold it.
type LinkID uint32

// FlowID names a flow that this node sends on. Zero is no flow.
type FlowID uint32

// RecvID names a flow that this node receives. Zero is no flow.
type RecvID uint32

// Class says how the driver should treat a flow against its neighbors.
type Class uint8

// Classes of flows.
const (
	ClassControl Class = iota // membership, availability, requests: small, reliable, first
	ClassMedia                // time-critical payload with deadlines
	ClassBulk                 // everything that can wait
	ClassPrompt               // control with payload that somebody waits for: first, and time-critical
)

// Delivery is the answer to a flow that the far end opened.
type Delivery uint8

// Answers to a new receiving flow.
const (
	Reject     Delivery = iota // refuse it: the far end gets an exception
	InOrder                    // deliver messages in the order of queuing
	AsReceived                 // deliver messages as they come
)

// Links is what a group needs of whatever carries it: sessions to other nodes
// and flows of messages on them. node's Core implements it over transport;
// large simulations implement it over plain delays.
//
// The driver reports through the group's LinkUp, LinkDown, DialFailed,
// FlowOpened, Message, and FlowClosed, never from within a call of this
// interface. Messages are copied before Send returns. Calls that name a link
// or flow that has gone are ignored.
type Links interface {
	// Dial asks for a link to peer. It tries the addresses directly and asks
	// the nodes behind the links in via to introduce it. LinkUp or DialFailed
	// answers, LinkUp at once (on the next turn) if a link is there already.
	Dial(now clock.Time, peer PeerID, addrs []element.Address, via []LinkID)

	// HangUp ends this group's interest in a link. The driver closes the
	// session when nobody is left who wants it; no LinkDown follows.
	HangUp(now clock.Time, link LinkID)

	// OpenFlow opens a flow. A reply other than zero makes it the return flow
	// of one that is received on the same link.
	OpenFlow(now clock.Time, link LinkID, metadata []byte, reply RecvID, class Class) FlowID

	// CloseFlow closes a sending flow after what was queued on it.
	CloseFlow(now clock.Time, flow FlowID)

	// RejectFlow refuses a receiving flow that had been accepted.
	RejectFlow(now clock.Time, recv RecvID)

	// Send queues a message; it is given up at the deadline (clock.Never:
	// fully reliable).
	Send(now clock.Time, flow FlowID, msg []byte, deadline clock.Time)

	// Backlog returns the bytes queued on a flow that were not yet sent.
	Backlog(flow FlowID) int

	// RTT returns the smoothed round-trip time, 0 if none was measured.
	RTT(link LinkID) time.Duration

	// SlowStart reports whether the link is still finding out how much it
	// carries, so that what waits for it does not tell.
	SlowStart(link LinkID) bool

	// LastHeard returns when a packet of the link's far end last arrived.
	LastHeard(link LinkID) clock.Time

	// Nonces returns the session's secret near and far nonces
	// (RFC 7425 §4.6.5): each end's far nonce is the other end's near nonce.
	Nonces(link LinkID) (near, far [32]byte)

	// FarAddr returns the far end's socket address as it is seen here.
	FarAddr(link LinkID) netip.AddrPort
}
