package group

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// link is what a group keeps of a link to another node: a peering with it as
// a member, its service to us as an introducer, and ours to it as a client.
type link struct {
	// Fields are in an order that leaves no gaps: a member has many links.
	id   LinkID
	peer PeerID
	addr ring.Addr

	// The peering. Each end opens one session flow and proves itself on it.
	out       FlowID // our session flow
	in        RecvID // the far end's, proven
	pending   RecvID // one that the far end opened and has not proven yet
	closing   RecvID // its end means that the far end has heard of our parting
	route     FlowID // our flow of routed messages, 0 until it is needed
	routeIn   RecvID // the far end's
	tableAt   uint32 // what it was told of our table; 0: nothing
	number    uint16 // of our session flow
	seen      uint16 // the number of the last one of the far end's; 0: none, or it has none
	span      uint16 // how dense the ring is around it
	up        bool
	told      bool // it has told us its table, so it has us for a neighbor too
	awaiting  bool // a report was sent and not answered yet
	lingering bool // parted; the far end has yet to hear it
	settled   bool // it has found its place
	full      bool // it has no room but for those that need it on the ring
	watched   bool // the next on the ring: each end watches the other
	takes     bool // its applications take messages that it is merely nearest to

	// The far end as our introducer, and as our client.
	introducer bool
	refused    bool   // it does not serve this group
	served     bool   // it may be told about members
	join       FlowID // where we ask
	answers    RecvID // where it answers
	client     RecvID // where it asks
	answer     FlowID // where we answer
	patience   *clock.Timer[alarm]
	servedAt   clock.Time

	member    *member
	chat      *chat  // what is about to be said
	table     []byte // whom it is linked with
	features  Features
	upSince   clock.Time // or since when the link is there
	asked     clock.Time
	toldAt    clock.Time
	routedAt  clock.Time    // our flow of routed messages was used
	rtt       time.Duration // as of the last look
	keep      time.Duration
	suspected clock.Time // it was silent for too long then; 0 if not
	sentAt    clock.Time // something was sent, and nothing has come since
	silentAt  clock.Time // if nothing is heard until then, it is silent for too long
	wantAfter clock.Time
	deadline  clock.Timer[alarm]
}

// chat is what is collected for a neighbor until it is told. Most of the time
// there is nothing.
type chat struct {
	news   []*member // of interest to it
	timer  clock.Timer[alarm]
	wants  []uint32 // members of its table to ask it for
	askers []LinkID // who shares a suspicion of it
}

func (l *link) open() *chat {
	if l.chat == nil {
		l.chat = &chat{}
		l.chat.timer.Owner = alarm{kind: alarmNews, l: l}
	}
	return l.chat
}

func (g *Group) endChat(l *link) {
	if l.chat != nil {
		g.timers.Stop(&l.chat.timer)
		l.chat = nil
	}
}

// restChat drops a chat in which all was said.
func (g *Group) restChat(l *link) {
	if c := l.chat; c != nil && len(c.news)+len(c.wants)+len(c.askers) == 0 {
		g.endChat(l)
	}
}

type recvKind uint8

const (
	recvSession recvKind = iota + 1
	recvJoin             // a client's questions
	recvAnswer           // an introducer's answers
	recvRoute            // routed messages of a neighbor
)

type recvRef struct {
	l    *link
	kind recvKind
}

type flowKind uint8

const (
	flowSession flowKind = iota + 1
	flowJoin             // our questions to an introducer
	flowAnswer           // our answers to a client
	flowRoute            // our routed messages
)

type flowRef struct {
	l    *link
	kind flowKind
}

// offers reports whether the far end has proven itself as a member that
// understands all of f.
func (l *link) offers(f Features) bool { return l.in != 0 && l.features&f == f }

// active reports whether a peering is there or being made.
func (l *link) active() bool { return l.out != 0 || l.in != 0 || l.pending != 0 }
