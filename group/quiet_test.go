package group

import (
	"encoding/binary"
	"math/rand/v2"
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
func (q *quietLinks) SlowStart(LinkID) bool                       { return false }
func (q *quietLinks) RTT(LinkID) time.Duration                    { return 10 * time.Millisecond }
func (q *quietLinks) LastHeard(LinkID) clock.Time                 { return 0 }
func (q *quietLinks) Nonces(LinkID) (near, far [32]byte)          { return near, far }
func (q *quietLinks) FarAddr(LinkID) netip.AddrPort               { return netip.MustParseAddrPort("192.0.2.1:1935") }

func randomPeer(rng *rand.Rand) (p PeerID) {
	for i := 0; i < len(p); i += 8 {
		binary.BigEndian.PutUint64(p[i:], rng.Uint64())
	}
	return p
}

// settled returns a member with 16 neighbors and as many other members in its
// book as it may have.
func settled(rng *rand.Rand) *Group {
	g := New(Config{Spec: testSpec, Self: randomPeer(rng), Rand: rand.New(rand.NewPCG(1, rng.Uint64())), MaxNeighbors: 40}, &quietLinks{})
	g.Start(0)
	init := initMessage{group: testSpec.ID(), receiver: g.cfg.Self, proof: testSpec.proofFor([32]byte{}), features: FeatureBase}
	for i := range 16 {
		link, recv := LinkID(i+1), RecvID(i+1)
		g.LinkUp(0, link, randomPeer(rng), true)
		g.FlowOpened(0, link, recv, MetadataSession, 0)
		g.Message(0, recv, init.append(nil))
		g.Message(0, recv, []byte{msgBegin})
		var h reportHeader
		msg := h.append(nil)
		for range 10 {
			var addrs []byte
			for j := range 3 {
				addrs = element.AppendAddress(addrs, element.Address{
					AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i), byte(j), 1}), 1935)})
			}
			r := reported{peer: randomPeer(rng), addresses: addrs}
			msg = r.append(msg)
		}
		g.Message(0, recv, msg)
	}
	for _, ok := g.NextEvent(); ok; _, ok = g.NextEvent() {
	}
	return g
}
