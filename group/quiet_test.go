package group

import (
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// quietLinks are links that swallow what is sent.
type quietLinks struct{ next FlowID }

func (q *quietLinks) Dial(clock.Time, PeerID, []element.Address, []LinkID) {}
func (q *quietLinks) HangUp(clock.Time, LinkID)                            {}
func (q *quietLinks) OpenFlow(clock.Time, LinkID, []byte, RecvID, Class) FlowID {
	q.next++
	return q.next
}
func (q *quietLinks) CloseFlow(clock.Time, FlowID)                {}
func (q *quietLinks) RejectFlow(clock.Time, RecvID)               {}
func (q *quietLinks) Send(clock.Time, FlowID, []byte, clock.Time) {}
func (q *quietLinks) Backlog(FlowID) int                          { return 0 }
func (q *quietLinks) RTT(LinkID) time.Duration                    { return 10 * time.Millisecond }
func (q *quietLinks) LastHeard(LinkID) clock.Time                 { return 0 }
func (q *quietLinks) Nonces(LinkID) (near, far [32]byte)          { return near, far }
func (q *quietLinks) FarAddr(LinkID) netip.AddrPort               { return netip.MustParseAddrPort("192.0.2.1:1935") }
