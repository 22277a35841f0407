package group

import (
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

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
	if g.cfg.Wish != nil && g.wished == nil {
		if init.wish = g.cfg.Wish(); len(init.wish) > 0 {
			g.wished = l
		}
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
	g.noteWish(l, m.wish)
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
	g.emit(Event{Kind: NeighborUp, Link: l.id, Peer: l.peer, Session: l.in, Features: l.features, Wish: g.takeWish(l)})
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
