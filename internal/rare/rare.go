// Package rare makes rare things common in simulations. A core has a few points
// at which something happens seldom in practice: a full queue, a refusal, a
// retransmission that was not needed. In production Points is nil and a point
// costs one comparison. In a simulation each point strikes now and then, so that
// what is behind it is walked a thousand times in an hour and not once a year.
//
// A Points belongs to one node. What it does follows from its seed.
package rare

import "math/rand/v2"

// Point names a place in a core. What happens there must be allowed by the
// protocol: whoever runs a simulation may expect everything to end well.
type Point uint8

const (
	// SendFull: a flow's send buffer takes nothing, as if it were full.
	SendFull Point = iota
	// SingleDatagram: a session's turn ends after one datagram.
	SingleDatagram
	// AckAtOnce: an acknowledgement is not delayed.
	AckAtOnce
	// DialNowhere: a dial of a group fails before it begins.
	DialNowhere
	// ReportTwice: a report of members is sent to a neighbor a second time.
	ReportTwice
	// LookAnew: a group looks at its choice of neighbors though nothing has
	// happened.
	LookAnew
	// PushNot: a fragment is not pushed to a child, as if its flow were backed up.
	PushNot
	// AskRefused: a neighbor that asks to be fed is refused, as if there were no
	// room.
	AskRefused
	points
)

var names = [points]string{"send-full", "single-datagram", "ack-at-once", "dial-nowhere", "report-twice", "look-anew", "push-not", "ask-refused"}

// String returns the name of the point.
func (p Point) String() string { return names[p] }

// All lists the points.
func All() (all []Point) {
	for p := range points {
		all = append(all, p)
	}
	return all
}

// Points decides which of a node's points strike.
type Points struct {
	rng  rand.PCG
	one  [points]uint32 // one in so many; 0 never
	hits [points]uint64
}

// New returns the points of a node, each of which strikes once in oneIn times.
func New(seed, node uint64, oneIn int) *Points {
	p := &Points{}
	p.rng.Seed(seed, node^0x72617265)
	for i := range p.one {
		p.one[i] = uint32(max(oneIn, 0))
	}
	return p
}

// Set changes how often one point strikes: once in oneIn times, never if it is 0.
func (p *Points) Set(at Point, oneIn int) { p.one[at] = uint32(max(oneIn, 0)) }

// Hit reports whether the point strikes this time.
func (p *Points) Hit(at Point) bool {
	if p == nil || p.one[at] == 0 {
		return false
	}
	if p.rng.Uint64()%uint64(p.one[at]) != 0 {
		return false
	}
	p.hits[at]++
	return true
}

// Hits returns how often a point has struck.
func (p *Points) Hits(at Point) uint64 {
	if p == nil {
		return 0
	}
	return p.hits[at]
}
