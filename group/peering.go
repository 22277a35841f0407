package group

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
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

// openPeering opens our session flow and proves membership on it. The far end
// need not answer one round trip for each message, so all three go at once.
func (g *Group) openPeering(now clock.Time, l *link) {
	if l.out != 0 || g.cfg.Spec.NoPeerToPeer {
		return
	}
	g.endLinger(l)
	if !l.active() {
		g.peerings++
	}
	m := g.book.get(l.peer)
	if m == nil {
		m = g.addMember(l.peer, now)
	}
	g.attach(m, l)
	l.out = g.links.OpenFlow(now, l.id, MetadataSession, 0, ClassControl)
	if l.out == 0 {
		// The link is going down, or is full of flows.
		if !l.active() {
			g.peerings--
			g.detach(l)
			g.refused(now, m)
		}
		return
	}
	g.byFlow[l.out] = flowRef{l, flowSession}
	_, far := g.links.Nonces(l.id)
	l.number = g.nextNumber()
	init := initMessage{
		group:    g.cfg.Spec.ID(),
		proof:    g.cfg.Spec.proofFor(far),
		receiver: l.peer,
		features: g.cfg.Features,
		number:   l.number,
		seen:     l.seen,
		answers:  l.in != 0 && l.seen != 0,
	}
	g.send(now, l.out, init.append(g.buf[:0]))
	g.send(now, l.out, append(g.buf[:0], msgAccepted))
	g.send(now, l.out, append(g.buf[:0], g.beginMessage()))
	if !l.up {
		g.timers.Set(&l.deadline, now.Add(g.cfg.PeeringTimeout))
	}
}

// send sends a message that was built in g.buf, reliably.
func (g *Group) send(now clock.Time, flow FlowID, msg []byte) {
	if cap(msg) <= keepBuffer {
		g.buf = msg[:0]
	}
	g.stats.MessagesSent++
	g.stats.BytesSent += uint64(len(msg))
	if l := g.byFlow[flow].l; l != nil {
		g.sent(now, l)
	}
	g.links.Send(now, flow, msg, clock.Never)
}

// attach binds a member to the link of its peering.
func (g *Group) attach(m *member, l *link) {
	if m.dialing {
		g.endDial(m)
	}
	if m.link == nil {
		g.fasten(m)
	}
	m.link, l.member = l, m
}

// detach gives the member of a peering that is over back to the book.
func (g *Group) detach(l *link) {
	m := l.member
	l.member = nil
	if m == nil || m.link != l {
		return
	}
	m.link = nil
	m.random = false
	g.loosen(m)
	g.dirty = true
}

// sessionOpened takes the far end's session flow on trust, for a while.
func (g *Group) sessionOpened(now clock.Time, l *link, recv RecvID) Delivery {
	if l.pending != 0 || g.cfg.Spec.NoPeerToPeer || g.banned(now, l.peer) {
		return Reject
	}
	g.endLinger(l)
	if !l.active() {
		g.peerings++
	}
	if l.in == 0 || l.up {
		g.timers.Set(&l.deadline, now.Add(g.cfg.PeeringTimeout))
	}
	l.pending = recv
	g.byRecv[recv] = recvRef{l, recvSession}
	return InOrder
}

// sessionMessage takes a message on a session flow.
func (g *Group) sessionMessage(now clock.Time, l *link, recv RecvID, msg []byte) {
	if recv == l.pending {
		// Nothing counts before the proof.
		if msg[0] == msgInit {
			g.takeInit(now, l, recv, msg)
		} else {
			g.stats.MessagesIgnored++
		}
		return
	}
	switch msg[0] {
	case msgAccepted:
		// It says nothing that the init did not.
	case msgBegin, msgBeginNearest:
		l.takes = msg[0] == msgBeginNearest
		g.begin(now, l)
	case msgReport:
		if l.up {
			g.takeReport(now, l, msg)
		}
	case msgTable:
		g.takeTable(now, l, msg)
	case msgWant:
		g.takeWant(now, l, msg)
	case msgGone:
		g.takeGone(now, l, msg)
	case msgHeal:
		g.takeHeal(now, l)
	case msgCloseRequest:
		g.takeCloseRequest(now, l)
	case msgRevocations:
		if l.up && l.offers(FeatureRevoke) {
			g.takeRevocations(now, l, msg)
		}
	case msgBye:
		if r, ok := parseBye(msg); ok {
			g.endPeering(now, l, r)
			g.release(now, l)
		}
	default:
		g.stats.MessagesIgnored++
	}
}

// takeInit checks the proof of the far end.
func (g *Group) takeInit(now clock.Time, l *link, recv RecvID, msg []byte) {
	m, ok := parseInit(msg)
	near, _ := g.links.Nonces(l.id)
	if !ok || m.receiver != g.cfg.Self || m.group != g.cfg.Spec.ID() || !g.cfg.Spec.proves(m.proof, near) {
		g.stats.ProofsFailed++
		g.refuse(now, l, ReasonUnproven)
		return
	}
	if g.cfg.Authority.Evicted(l.peer) {
		g.stats.EvictedRefused++
		g.refuse(now, l, ReasonUnproven) // the peer is left alone for a while
		return
	}
	if !l.takesFlow(&m) {
		g.stats.InitsStale++
		g.passOver(now, l, recv)
		return
	}
	known := g.book.get(l.peer)
	if known != nil && known.link != nil && known.link != l {
		// The member is back on another link, and has proven that it is that
		// member, so the former link is of the past.
		old := known.link
		g.endPeering(now, old, ReasonReplaced)
		g.release(now, old)
	}
	if keep := l.keepsFlow(&m); l.in != 0 || l.out != 0 && !keep {
		g.endFormer(now, l, recv, keep)
	}
	member := g.book.get(l.peer)
	if member == nil {
		member = g.addMember(l.peer, now)
	}
	g.book.tombs.Remove(l.peer)
	member.heard, member.proven = now, true
	g.attach(member, l)
	l.pending, l.in, l.features = 0, recv, m.features
	if !g.room(now, l) {
		g.refuse(now, l, ReasonFull)
		return
	}
	g.openPeering(now, l)
}

// endFormer ends a peering that the far end has ended: it came back on the same
// link, and its new session flow overtook the end of the former one. Our flow
// belonged to that peering too, unless it is to be kept.
func (g *Group) endFormer(now clock.Time, l *link, recv RecvID, keep bool) {
	out, number, seen := l.out, l.number, l.seen
	if keep {
		l.out = 0
	}
	delete(g.byRecv, l.in)
	l.pending = 0
	g.endPeering(now, l, ReasonLeft)
	l.pending = recv
	g.byRecv[recv] = recvRef{l, recvSession}
	g.peerings++
	l.seen = seen
	if keep {
		l.out, l.number = out, number
		g.timers.Set(&l.deadline, now.Add(g.cfg.PeeringTimeout))
	}
}

// passOver leaves a session flow alone that belongs to a peering which has
// ended here: the far end hears of that, and closes it.
func (g *Group) passOver(now clock.Time, l *link, recv RecvID) {
	l.pending = 0
	delete(g.byRecv, recv)
	if !l.active() {
		g.peerings--
		g.linger(now, l, 0)
	}
}

// refuse ends a peering that was not made, telling the far end so.
func (g *Group) refuse(now clock.Time, l *link, r Reason) {
	m, in := l.member, l.in
	g.endPeering(now, l, r) // rejects one that is pending
	if in != 0 {
		delete(g.byRecv, in)
		g.links.RejectFlow(now, in)
	}
	g.linger(now, l, 0)
	if r == ReasonUnproven {
		if m == nil {
			m = g.book.get(l.peer)
		}
		if m != nil && m.link == nil {
			g.bury(now, m, banTime)
		} else {
			g.book.tombs.Add(l.peer, tombstone{at: now, banned: now.Add(banTime)})
		}
	}
	g.release(now, l)
}

// begin makes the far end, which has proven itself, a neighbor.
func (g *Group) begin(now clock.Time, l *link) {
	if l.up || l.out == 0 {
		return
	}
	l.up, l.upSince = true, now
	g.timers.Stop(&l.deadline)
	m := l.member
	m.heard, m.lost, m.fails, m.refusals, m.notBefore = now, 0, 0, 0, 0
	if a := g.links.FarAddr(l.id); a.IsValid() {
		// The way by which it came is the first to try should the link break.
		here := element.AppendAddress(nil, element.Address{AddrPort: a, Origin: element.OriginObserved})
		m.addresses = mergeAddresses(here, m.addresses)
	}
	g.neighbors = append(g.neighbors, l)
	l.rtt = g.links.RTT(l.id)
	g.reach.Add(l.addr, l)
	g.checkBy(now, now.Add(g.silence(l)))
	g.asks = 0
	g.restSeeds()
	g.stats.NeighborsUp++
	g.dirty = true
	g.emit(Event{Kind: NeighborUp, Link: l.id, Peer: l.peer, Session: l.in, Features: l.features})
	g.joinedNow(l)
	if l.offers(FeatureRevoke) {
		g.sendRevocations(now, l, g.cfg.Authority.Revocations())
	}
	g.tableChanged(now, l, false)
	if l.routes() {
		g.send(now, l.out, g.reportHeader(l, true)) // only the addresses
		g.sendTable(now, l)
	} else {
		g.sendReport(now, l, true)
	}
	g.spread(now, m)
	if m.ghost {
		m.ghost = false
		g.healed(now, l)
	}
}

// endPeering ends whatever there is of a peering on l, from either side. The
// link stays, lingering if the far end is still to hear of it; see release.
func (g *Group) endPeering(now clock.Time, l *link, r Reason) {
	if !l.active() {
		return
	}
	g.peerings--
	g.timers.Stop(&l.deadline)
	g.endChat(l)
	l.awaiting = false
	l.table, l.tableAt, l.span = nil, 0, 0
	l.settled, l.full, l.told, l.watched = false, false, false, false
	l.suspected, l.sentAt, l.silentAt = 0, 0, 0
	if l.out != 0 {
		if l.offers(FeatureBase) && (r == ReasonLeaving || r == ReasonParted || r == ReasonFull) {
			g.send(now, l.out, appendBye(g.buf[:0], r))
		}
		g.links.CloseFlow(now, l.out)
		delete(g.byFlow, l.out)
		l.out = 0
	}
	l.number = 0
	if r == ReasonLeft {
		l.seen = 0 // it may come back as another
	}
	if l.route != 0 {
		g.links.CloseFlow(now, l.route)
		delete(g.byFlow, l.route)
	}
	delete(g.byRecv, l.routeIn)
	l.route, l.routeIn, l.takes = 0, 0, false
	if _, open := g.byRecv[l.pending]; open {
		delete(g.byRecv, l.pending)
		g.links.RejectFlow(now, l.pending)
	}
	if _, open := g.byRecv[l.in]; open {
		if r == ReasonLost || r == ReasonSilent {
			delete(g.byRecv, l.in)
		} else {
			// Once the far end has closed its flow too, it has heard of the end
			// of ours, and nothing is lost when the link is hung up.
			g.linger(now, l, l.in)
		}
	}
	l.in, l.pending = 0, 0
	m := l.member
	up, mended := l.up, l.up && m.forRing
	l.up, l.features = false, 0
	g.detach(l)
	if up {
		g.removeNeighbor(l)
		g.stats.NeighborsDown++
		g.emit(Event{Kind: NeighborDown, Reason: r, Link: l.id, Peer: l.peer})
		g.tableChanged(now, l, true)
		g.rerouteFrom(now, l.id)
		g.callSeeds(now)
	}
	if m != nil && m.link == nil && !g.left {
		g.afterPeering(now, l, m, r, up)
	}
	if mended && !g.left {
		g.mendRing(now, l)
	}
}

// afterPeering decides when, if ever, a former peer is to be dialed again.
func (g *Group) afterPeering(now clock.Time, l *link, m *member, r Reason, up bool) {
	switch r {
	case ReasonLeft:
		g.bury(now, m, 0)
	case ReasonLost, ReasonSilent:
		// Until somebody hears of it again it counts as gone, but a path that
		// broke may come back.
		m.heard = max(m.heard, g.links.LastHeard(l.id))
		m.lost = max(now, 1)
		if up { // the far end of another may just have hung up
			g.addGhost(now, m)
		}
		if m.forRing || g.upkeep == nil {
			g.blame(now, m)
		} else {
			g.bury(now, m, 0) // it may come back as a ghost
		}
	case ReasonRefused, ReasonUnproven:
		if r == ReasonRefused {
			g.leaveAlone(now, topOf(m.addr), fullFor)
		}
		g.refused(now, m)
	case ReasonParted:
		g.postpone(now, m, g.cfg.ReportInterval)
	}
}

func (g *Group) removeNeighbor(l *link) {
	for i, n := range g.neighbors {
		if n == l {
			g.neighbors = append(g.neighbors[:i], g.neighbors[i+1:]...)
			break
		}
	}
	if !l.served {
		g.reach.Remove(l.addr)
	}
	g.dirty = true
}

// sessionClosed takes the end of the far end's session flow, which ends the
// peering.
func (g *Group) sessionClosed(now clock.Time, l *link, recv RecvID) {
	if recv == l.closing {
		g.endLinger(l)
		g.release(now, l)
		return
	}
	if recv == l.pending && l.up {
		l.pending = 0
		return
	}
	r := ReasonParted
	if recv == l.pending {
		r = ReasonUnproven
	}
	g.endPeering(now, l, r)
	g.release(now, l)
}

// sessionRejected takes the far end's refusal of our session flow.
func (g *Group) sessionRejected(now clock.Time, l *link, flow FlowID) {
	if flow != l.out {
		return
	}
	l.out, l.number = 0, 0
	if l.in == 0 && l.pending == 0 {
		g.peerings--
		g.timers.Stop(&l.deadline)
		m := l.member
		g.detach(l)
		switch {
		case m == nil || g.left:
		case l.introducer && !m.proven:
			g.forget(m) // it introduces members without being one
		default:
			g.leaveAlone(now, topOf(m.addr), fullFor) // as likely as not
			g.refused(now, m)
		}
	} else {
		g.endPeering(now, l, ReasonRefused)
	}
	g.joinRejected(now, l)
	g.release(now, l)
}

// peeringTimeout ends a peering that was not made in time, and the wait for a
// far end that does not answer a parting.
func (g *Group) peeringTimeout(now clock.Time, l *link) {
	if l.lingering {
		g.endLinger(l)
		g.release(now, l)
		return
	}
	if l.up {
		// Only a second session flow was not proven.
		if recv := l.pending; recv != 0 {
			l.pending = 0
			delete(g.byRecv, recv)
			g.links.RejectFlow(now, recv)
		}
		return
	}
	g.stats.PeeringsTimedOut++
	m := l.member
	g.endPeering(now, l, ReasonParted)
	if m != nil && m.link == nil && !g.left {
		g.blame(now, m)
	}
	g.release(now, l)
}

// release gives up the interest in a link that serves nothing any more.
func (g *Group) release(now clock.Time, l *link) {
	if l.active() || l.lingering || l.client != 0 || (l.introducer && !g.left) || g.byLink[l.id] != l {
		return
	}
	g.forgetLink(l)
	g.links.HangUp(now, l.id)
}

// forgetLink drops the record of a link.
func (g *Group) forgetLink(l *link) {
	g.timers.Stop(&l.deadline)
	g.endChat(l)
	g.endLinger(l)
	delete(g.byLink, l.id)
}

// linger keeps a link that has no use any more until the far end has closed a
// flow in answer, or for a second if there is none: a refusal or a farewell
// would be lost if the session were closed over it.
func (g *Group) linger(now clock.Time, l *link, closing RecvID) {
	if !l.lingering {
		l.lingering = true
		g.lingering++
	}
	l.closing = closing
	g.timers.Set(&l.deadline, now.Add(partingTime))
}

// endLinger ends that.
func (g *Group) endLinger(l *link) {
	if !l.lingering {
		return
	}
	delete(g.byRecv, l.closing)
	l.closing, l.lingering = 0, false
	g.lingering--
	g.timers.Stop(&l.deadline)
}
