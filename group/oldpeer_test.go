package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// script is a set of links whose far ends are played by the test.
type script struct {
	quietLinks
	said []string
}

func (s *script) say(format string, a ...any) { s.said = append(s.said, fmt.Sprintf(format, a...)) }

func (s *script) HangUp(_ clock.Time, id LinkID) { s.say("hang up %d", id) }

func (s *script) OpenFlow(_ clock.Time, id LinkID, metadata []byte, reply RecvID, _ Class) FlowID {
	s.next++
	s.say("open %d on %d: %x reply %d", s.next, id, metadata, reply)
	return s.next
}

func (s *script) CloseFlow(_ clock.Time, f FlowID)  { s.say("close %d", f) }
func (s *script) RejectFlow(_ clock.Time, r RecvID) { s.say("reject %d", r) }
func (s *script) LastHeard(LinkID) clock.Time       { return clock.Never - 1 }
func (s *script) Send(_ clock.Time, f FlowID, msg []byte, _ clock.Time) {
	s.say("send %d: %02x, %d bytes", f, msg[0], len(msg))
}

// want compares what was said since the last call.
func (s *script) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if !slices.Equal(s.said, want) {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", when, strings.Join(s.said, "\n\t"), strings.Join(want, "\n\t"))
	}
	s.said = nil
}

func scripted() (*Group, *script) {
	s := &script{}
	return New(Config{Spec: testSpec, Self: PeerID{1}, Rand: rand.New(rand.NewPCG(1, 1))}, s), s
}

// A member of old opens a peering. It gets the messages that it knows, and
// none of ours; reports don't go back and forth for ever.
func TestOldMember(t *testing.T) {
	g, s := scripted()
	g.Start(0)
	g.LinkUp(0, 7, PeerID{2}, true)
	s.want(t, "an incoming link")
	if d := g.FlowOpened(0, 7, 70, MetadataSession, 0); d != InOrder {
		t.Fatalf("session flow: %v", d)
	}
	g.Message(0, 70, []byte{msgBegin})
	s.want(t, "a begin before the proof")
	init := initMessage{group: testSpec.ID(), receiver: PeerID{1}, proof: testSpec.proofFor([32]byte{})}
	g.Message(0, 70, init.append(nil))
	s.want(t, "its init", "open 1 on 7: 0047521c reply 0", "send 1: 01, 145 bytes", "send 1: 02, 1 bytes", "send 1: 0e, 1 bytes")
	g.Message(0, 70, []byte{msgAccepted})
	g.Message(0, 70, []byte{msgBeginNearest})
	s.want(t, "its begin", "send 1: 0a, 13 bytes")
	if e, ok := g.NextEvent(); !ok || e.Kind != NeighborUp || e.Session != 70 || e.Features != 0 {
		t.Errorf("event %+v, %v; want NeighborUp without features", e, ok)
	}
	var h reportHeader
	report := h.append(nil)
	g.Message(0, 70, report)
	s.want(t, "its answer to our report")
	g.Message(0, 70, report)
	s.want(t, "a report of its own", "send 1: 0a, 13 bytes")
	g.Message(0, 70, []byte{0x55, 1, 2})
	g.Message(0, 70, report[:1])
	if got := g.Stats().MessagesIgnored; got != 3 {
		t.Errorf("%d messages ignored, want 3", got)
	}
	g.Message(0, 70, []byte{msgCloseRequest})
	s.want(t, "a close request that does not suit us")
	// News for it are a full report, which it will answer.
	g.LinkUp(0, 8, PeerID{3}, true)
	g.FlowOpened(0, 8, 80, MetadataSession, 0)
	g.Message(0, 80, init.append(nil))
	g.Message(0, 80, []byte{msgBegin})
	s.said = nil
	g.Advance(clock.Time(0).Add(300 * time.Millisecond))
	if len(s.said) != 1 || !strings.HasPrefix(s.said[0], "send 1: 0a") {
		t.Errorf("news: %q", s.said)
	}
	s.said = nil
	g.Leave(clock.Time(time.Second))
	s.want(t, "leaving", "close 1", "close 2")
	g.FlowClosed(clock.Time(time.Second), 70)
	s.want(t, "it has heard", "hang up 7")
	g.Advance(clock.Time(3 * time.Second))
	s.want(t, "the other never answers", "hang up 8")
	if !g.Left() || g.Deadline() != clock.Never {
		t.Errorf("left %v, deadline %v", g.Left(), g.Deadline())
	}
}

// A member that leaves and comes back on the same link, its new flow
// overtaking the end of the old one, is a new neighbor.
func TestComeBackOnSameLink(t *testing.T) {
	g, s := scripted()
	g.Start(0)
	init := initMessage{group: testSpec.ID(), receiver: PeerID{1}, proof: testSpec.proofFor([32]byte{}), features: FeatureBase}
	g.LinkUp(0, 7, PeerID{2}, true)
	for _, recv := range []RecvID{70, 71} {
		g.FlowOpened(0, 7, recv, MetadataSession, 0)
		g.Message(0, recv, init.append(nil))
		g.Message(0, recv, []byte{msgBegin})
	}
	g.FlowClosed(0, 70)
	var kinds []EventKind
	for e, ok := g.NextEvent(); ok; e, ok = g.NextEvent() {
		kinds = append(kinds, e.Kind)
	}
	if want := []EventKind{NeighborUp, Joined, NeighborDown, NeighborUp}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	if g.NeighborCount() != 1 || g.peerings != 1 || g.lingering != 0 {
		t.Errorf("%d neighbors, %d peerings, %d lingering; want 1, 1, 0", g.NeighborCount(), g.peerings, g.lingering)
	}
	if slices.Contains(s.said, "hang up 7") {
		t.Error("the link was hung up")
	}
}

// A proof that is not valid is refused, and the peer is left alone for a while.
func TestBan(t *testing.T) {
	g, s := scripted()
	g.Start(0)
	g.LinkUp(0, 7, PeerID{2}, true)
	g.FlowOpened(0, 7, 70, MetadataSession, 0)
	init := initMessage{group: testSpec.ID(), receiver: PeerID{1}, proof: [32]byte{1}}
	g.Message(0, 70, init.append(nil))
	s.want(t, "a forged proof", "reject 70")
	if d := g.FlowOpened(0, 7, 71, MetadataSession, 0); d != Reject {
		t.Errorf("its next flow: %v, want Reject", d)
	}
	g.AddHint(0, PeerID{2}, nil, 0)
	if g.book.get(PeerID{2}) != nil {
		t.Error("a banned peer is taken for a member")
	}
	g.Advance(clock.Time(2 * time.Second))
	s.want(t, "a second later", "hang up 7")
	later := clock.Time(2 * banTime)
	g.LinkUp(later, 8, PeerID{2}, true)
	if d := g.FlowOpened(later, 8, 80, MetadataSession, 0); d != InOrder {
		t.Errorf("after the ban: %v, want InOrder", d)
	}
}
