package group

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// AddIntroducer tells that a link to a node is up that may know members: it is
// asked for them, and if it is a member itself, it becomes a neighbor. The
// proof goes along with the question, so that it answers in one round trip.
func (g *Group) AddIntroducer(now clock.Time, id LinkID, peer PeerID) {
	if g.left {
		g.links.HangUp(now, id)
		return
	}
	l := g.track(now, id, peer)
	if l == nil || l.introducer {
		return
	}
	l.introducer, l.refused = true, false
	g.failed = false
	g.introducers = append(g.introducers, l)
	g.askOne(now, l)
	if m := g.book.get(peer); m == nil || m.link == nil {
		g.openPeering(now, l)
	}
	if !l.active() && l.join == 0 {
		l.refused = true
		g.joinFailed(l)
	}
	g.dirty = true // it may be the way to members that are known by name only
}

// askOne sends the question for members, if the group has a server channel.
func (g *Group) askOne(now clock.Time, l *link) {
	if !g.cfg.Spec.ServerChannel {
		return
	}
	if l.join == 0 {
		l.join = g.links.OpenFlow(now, l.id, MetadataChannel, 0, ClassControl)
		if l.join == 0 {
			return
		}
		g.byFlow[l.join] = flowRef{l, flowJoin}
		if l.patience == nil {
			l.patience = &clock.Timer[alarm]{Owner: alarm{kind: alarmPatience, l: l}}
		}
		// Introducers of old say nothing when they know nobody.
		g.timers.Set(l.patience, now.Add(max(joinPatience, 4*g.links.RTT(l.id))))
	}
	_, far := g.links.Nonces(l.id)
	join := joinMessage{group: g.cfg.Spec.ID(), proof: g.cfg.Spec.proofFor(far), proven: true}
	g.send(now, l.join, join.append(g.buf[:0]))
	g.asked = now
}

// askIntroducers asks all introducers again, because nobody is left to ask.
func (g *Group) askIntroducers(now clock.Time) {
	for _, l := range g.introducers {
		g.askOne(now, l)
		if len(g.neighbors) > 0 && g.cfg.Spec.ServerChannel {
			continue // it tells whom to link with, and has guests enough
		}
		if m := g.book.get(l.peer); !l.active() && (m == nil || m.link == nil && now >= m.notBefore) {
			g.openPeering(now, l)
		}
	}
	g.asked = now
	g.asks++
	g.dirty = true
}

// planQuestion sets the instant of the next question to the introducers: soon
// when there is no neighbor, backing off while that stays so.
func (g *Group) planQuestion(now clock.Time) {
	if len(g.introducers) == 0 || len(g.neighbors) > 0 {
		g.timers.Stop(&g.ask)
		return
	}
	d := g.cfg.AskInterval << min(g.asks, 6)
	g.timers.Set(&g.ask, max(now, g.asked.Add(min(d, g.cfg.RetryMax))))
}

// joinRejected notes that an introducer refused one of our flows.
func (g *Group) joinRejected(now clock.Time, l *link) {
	if !l.introducer || l.join != 0 || l.active() {
		return
	}
	l.refused = true
	if l.patience != nil {
		g.timers.Stop(l.patience)
	}
	g.joinFailed(l)
}

// joinFailed tells once that no introducer takes us in.
func (g *Group) joinFailed(l *link) {
	if g.joined || g.failed {
		return
	}
	for _, other := range g.introducers {
		if !other.refused {
			return
		}
	}
	g.failed = true
	g.emit(Event{Kind: JoinFailed, Reason: ReasonRefused, Link: l.id, Peer: l.peer})
}

// RemoveIntroducer tells that the driver needs the node behind a link no longer
// as an introducer. As a neighbor it stays.
func (g *Group) RemoveIntroducer(now clock.Time, id LinkID) {
	if l := g.byLink[id]; l != nil {
		g.endIntroducer(now, l)
		g.release(now, l)
	}
}

// endIntroducer forgets that the far end of l introduces.
func (g *Group) endIntroducer(now clock.Time, l *link) {
	if !l.introducer {
		return
	}
	l.introducer = false
	for i, other := range g.introducers {
		if other == l {
			g.introducers = append(g.introducers[:i], g.introducers[i+1:]...)
			break
		}
	}
	if l.patience != nil {
		g.timers.Stop(l.patience)
	}
	if l.join != 0 {
		g.links.CloseFlow(now, l.join)
		delete(g.byFlow, l.join)
		l.join = 0
	}
	if l.answers != 0 {
		delete(g.byRecv, l.answers)
		l.answers = 0
	}
	if !g.left {
		g.emit(Event{Kind: IntroducerDown, Link: l.id, Peer: l.peer})
		g.dirty = true
	}
}

// channelOpened takes a channel flow: answers of our introducer, which are
// associated with our question, or a question of a client.
func (g *Group) channelOpened(now clock.Time, l *link, recv RecvID, reply FlowID) Delivery {
	if l.join != 0 && (reply == l.join || !g.cfg.Introduce) {
		if l.answers != 0 {
			return Reject
		}
		l.answers = recv
		g.byRecv[recv] = recvRef{l, recvAnswer}
		return InOrder
	}
	if !g.cfg.Introduce || l.client != 0 || g.clients >= g.cfg.MaxClients || g.banned(now, l.peer) {
		return Reject
	}
	l.client = recv
	g.clients++
	g.byRecv[recv] = recvRef{l, recvJoin}
	return InOrder
}

// joinMessage takes a client's question.
func (g *Group) joinMessage(now clock.Time, l *link, recv RecvID, msg []byte) {
	m, ok := parseJoin(msg)
	if !ok {
		g.stats.MessagesIgnored++
		return
	}
	near, _ := g.links.Nonces(l.id)
	proven := m.proven && g.cfg.Spec.proves(m.proof, near)
	if m.group != g.cfg.Spec.ID() || !proven && (m.proven || !g.cfg.AllowUnproven) {
		if m.proven {
			g.stats.ProofsFailed++
		}
		g.stats.JoinsRefused++
		g.endClient(l)
		g.links.RejectFlow(now, recv)
		if !l.active() {
			g.linger(now, l, 0)
		}
		return
	}
	if l.served && now.Sub(l.servedAt) < g.cfg.AskInterval/2 {
		g.stats.JoinsRefused++
		return
	}
	g.serve(now, l, proven)
}

// serve answers a client with members to link with: those nearest to it on the
// ring, and some at random so that the group can't fall apart into arcs. All
// are behind open links of this node, which can therefore introduce them.
func (g *Group) serve(now clock.Time, l *link, proven bool) {
	if l.answer == 0 {
		l.answer = g.links.OpenFlow(now, l.id, MetadataChannel, l.client, ClassControl)
		if l.answer == 0 {
			return
		}
		g.byFlow[l.answer] = flowRef{l, flowAnswer}
	}
	l.served, l.servedAt = true, now
	g.tune(now, l)
	g.stats.JoinsServed++
	if proven {
		g.send(now, l.answer, element.AppendVLU(append(g.buf[:0], msgServed), uint64(g.Estimate())))
	}
	var room [introduceMost]ring.Item[*link]
	told := g.reach.AppendNearest(room[:0], l.addr, introduceNear, nil)
	for tries := 0; len(told) < introduceMost && len(told) < g.others(l) && tries < 8*introduceMost; tries++ {
		it := g.reach.At(g.cfg.Rand.IntN(g.reach.Len()))
		if it.Value != l && !containsItem(told, it.Addr) {
			told = append(told, it)
		}
	}
	for _, it := range told {
		g.send(now, l.answer, appendMember(g.buf[:0], it.Value.peer))
	}
	g.reach.Add(l.addr, l)
	g.learn(now, l.peer, now, nil, l.id)
}

// others returns the number of reachable members besides the one behind l.
func (g *Group) others(l *link) int {
	n := g.reach.Len()
	if _, found := g.reach.Search(l.addr); found {
		n--
	}
	return n
}

func containsItem(list []ring.Item[*link], a ring.Addr) bool {
	for _, it := range list {
		if it.Addr == a {
			return true
		}
	}
	return false
}

// endClient forgets a client.
func (g *Group) endClient(l *link) {
	if l.client == 0 {
		return
	}
	delete(g.byRecv, l.client)
	delete(g.byFlow, l.answer)
	l.client, l.answer = 0, 0
	g.clients--
	if l.served = false; !l.up {
		g.reach.Remove(l.addr)
	}
}

// answerMessage takes what an introducer tells.
func (g *Group) answerMessage(now clock.Time, l *link, msg []byte) {
	switch msg[0] {
	case msgServed:
		g.joinedNow(l)
	case msgMember:
		p, ok := parseMember(msg)
		if !ok {
			g.stats.MessagesIgnored++
			return
		}
		g.joinedNow(l)
		if l.patience != nil {
			g.timers.Stop(l.patience)
		}
		g.learn(now, p, now, nil, l.id)
	default:
		g.stats.MessagesIgnored++
	}
}

// askRefresh is how often introducers are asked although there are neighbors,
// so that parts of a group that lost each other meet again.
const askRefresh = 5 * time.Minute
