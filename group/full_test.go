package group

import (
	"testing"
	"time"

	"rtmfp/internal/element"
)

// Where members come and go, who has no room is not told of to those that want it
// as a finger, but to those next to it on the ring.
func TestFullIsNotToldOf(t *testing.T) {
	n := settledNet(t, 4, 120, 30*time.Second)
	kept, told := 0, 0
	for i, x := range n.live {
		quiet := i%2 == 0 // where nobody was lost, all are told of
		if x.g.lastLoss = n.now; quiet {
			x.g.lastLoss = 0
		}
		for _, asker := range x.g.neighbors {
			for _, l := range x.g.neighbors {
				if l == asker {
					continue
				}
				question := append([]byte{msgWant}, l.addr[:4]...)
				answers := func(full bool) bool {
					before := x.g.stats.NoticesSent
					l.full = full
					x.g.takeWant(n.now, asker, question)
					return x.g.stats.NoticesSent > before
				}
				if !answers(false) {
					t.Fatalf("node %d does not tell of one that has room", x.index)
				}
				if answers(true) {
					if quiet {
						continue
					}
					told++
					if up, down := asker.reachOf(x.g.self); topOf(l.addr)-topOf(asker.addr) > up && topOf(asker.addr)-topOf(l.addr) > down {
						t.Fatalf("node %d tells of one that has no room to one far from it", x.index)
					}
				} else {
					if kept++; quiet {
						t.Fatalf("node %d does not tell of one that has no room, although it never lost anybody", x.index)
					}
				}
			}
		}
	}
	if kept == 0 || told == 0 {
		t.Errorf("%d kept, %d told; want both", kept, told)
	}
}

// A guest that a full member takes in does not drive anybody out, unless it stays.
func TestGuestDrivesNobodyOut(t *testing.T) {
	n := settledNet(t, 8, 120, 60*time.Second)
	trimmed := 0
	for range 20 {
		guest, host := n.strangers()
		if guest.g.cfg.Introduce || host.g.cfg.Introduce {
			continue
		}
		host.g.cfg.MaxNeighbors = host.g.NeighborCount()
		before := host.g.stats.LinksTrimmed
		m := guest.g.addMember(host.peer, n.now)
		m.addresses = element.AppendAddress(nil, element.Address{AddrPort: host.addr, Origin: element.OriginObserved})
		guest.g.dial(n.now, m)
		n.run(8 * time.Second)
		if host.g.stats.LinksTrimmed > before {
			t.Errorf("node %d gave a link up for node %d, which had just come", host.index, guest.index)
		}
		n.run(guestTime)
		trimmed += int(host.g.stats.LinksTrimmed - before)
		old, unwanted := 0, 0
		for _, l := range host.g.neighbors {
			if n.now.Sub(l.upSince) > guestTime+time.Second {
				old++
				if !l.member.wanted {
					unwanted++
				}
			}
		}
		if old > host.g.limit && unwanted > 0 {
			t.Errorf("node %d has %d links for long, %d of them unwanted; at most %d are to be there", host.index, old, unwanted, host.g.limit)
		}
		host.g.cfg.MaxNeighbors = 0
	}
	if trimmed == 0 {
		t.Error("no link was ever one too many")
	}
}

// The link to an introducer that is no neighbor costs as little as any that is
// seldom used, and is not made a neighbor's by asking again.
func TestQuietIntroducers(t *testing.T) {
	n := settledNet(t, 2, 120, 30*time.Second)
	for range 10 {
		in := n.introducer()
		in.g.cfg.MaxNeighbors = -guestsToo // no room for anybody
		n.add(in)
		n.run(2 * time.Second)
		in.g.cfg.MaxNeighbors = 0
	}
	n.run(30 * time.Second)
	quiet := 0
	for _, x := range n.live {
		for _, l := range x.g.introducers {
			if l.up {
				continue
			}
			quiet++
			if e := n.end(l.id); e.keeping() != x.g.cfg.Keepalive || e.far.keep < e.keep {
				t.Errorf("node %d hears of an introducer every %v", x.index, e.keeping())
			}
		}
		x.g.askIntroducers(n.now)
		for _, l := range x.g.introducers {
			if !l.up && l.active() {
				t.Errorf("node %d, which has neighbors, begins a peering with an introducer", x.index)
			}
		}
	}
	if quiet == 0 {
		t.Error("all introducers are neighbors")
	}
}
