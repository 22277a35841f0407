//go:build !race

package group

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"rtmfp/internal/element"
)

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

// An idle member with 16 neighbors costs no more than 32 KB, half of
// what a simulated node may have with its sessions: a hundred thousand
// are to fit into one machine.
func TestMemoryPerMember(t *testing.T) {
	const members, budget = 200, 32 << 10
	rng := rand.New(rand.NewPCG(1, 2))
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	all := make([]*Group, 0, members)
	before := heap()
	for range members {
		all = append(all, settled(rng))
	}
	after := heap()
	for _, g := range all {
		if g.NeighborCount() != 16 || g.book.loose.Len() != g.cfg.MaxKnown {
			t.Fatalf("%d neighbors, %d in the book; want 16, %d", g.NeighborCount(), g.book.loose.Len(), g.cfg.MaxKnown)
		}
	}
	each := (after - before) / members
	t.Logf("%d bytes for each member", each)
	if each > budget {
		t.Errorf("%d bytes for each member, want at most %d", each, budget)
	}
	runtime.KeepAlive(all)
}
