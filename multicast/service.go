package multicast

import (
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Flows is what multicast needs of whatever carries it, a part of group.Links:
// flows of messages to the neighbors. Messages are copied before Send returns,
// and nothing is reported from within a call. Calls that name a link or flow
// that has gone are ignored.
type Flows interface {
	OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID
	CloseFlow(now clock.Time, flow group.FlowID)
	RejectFlow(now clock.Time, recv group.RecvID)
	Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time)
	Backlog(flow group.FlowID) int
	RTT(link group.LinkID) time.Duration
}

// Member is a neighbor of the group as multicast sees it.
type Member struct {
	Peer    group.PeerID
	Session group.RecvID // the neighbor's group session flow, with which control flows are associated
	Modern  bool         // understands the messages that are ours
}

// Service holds the streams of one group on one node.
type Service struct {
	cfg      Config
	flows    Flows
	events   []Event
	counters Counters
}

// New returns a Service that knows no neighbors and no streams.
func New(cfg Config, flows Flows) *Service {
	return &Service{cfg: cfg.withDefaults(), flows: flows}
}

// NeighborUp tells that the group has a new neighbor. Streams that this node
// carries are described to it at once.
func (s *Service) NeighborUp(now clock.Time, link group.LinkID, m Member) {}

// NeighborDown tells that a neighbor's link has gone, with all its flows.
func (s *Service) NeighborDown(now clock.Time, link group.LinkID) {}

// FlowOpened tells that a neighbor opened a flow, and returns how its messages
// should be delivered. reply is this node's own flow that it answers, if any.
func (s *Service) FlowOpened(now clock.Time, link group.LinkID, recv group.RecvID, metadata []byte, reply group.FlowID) group.Delivery {
	return group.Reject
}

// Message delivers a message on a flow that was accepted. msg is not kept.
func (s *Service) Message(now clock.Time, recv group.RecvID, msg []byte) {}

// FlowClosed tells that the neighbor closed a flow that was accepted.
func (s *Service) FlowClosed(now clock.Time, recv group.RecvID) {}

// FlowRejected tells that the neighbor refused a flow of this node.
func (s *Service) FlowRejected(now clock.Time, flow group.FlowID) {}

// Advance does what is due at now. Call it after every batch of input.
func (s *Service) Advance(now clock.Time) {}

// Deadline returns when Advance has to be called next, clock.Never if only
// input can change anything.
func (s *Service) Deadline() clock.Time { return clock.Never }

// Publish begins a stream. Errors: ErrName, ErrBusy, ErrTooMany.
func (s *Service) Publish(now clock.Time, name string, cfg StreamConfig) (*Publication, error) {
	return nil, ErrClosed
}

// Play begins to receive the streams of a name, whether one is known already
// or not. Errors: ErrName, ErrTooMany.
func (s *Service) Play(now clock.Time, name string, cfg PlayConfig) (*Subscription, error) {
	return nil, ErrClosed
}
