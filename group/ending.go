package group

import "rtmfp/internal/clock"

// How peerings end, from either side, and when the links under them are given up.

// endPeering ends whatever there is of a peering on l, from either side. The
// link stays, lingering if the far end is still to hear of it; see release.
func (g *Group) endPeering(now clock.Time, l *link, r Reason) {
	if !l.active() {
		return
	}
	g.peerings--
	g.timers.Stop(&l.deadline)
	g.endChat(l)
	g.endWish(l)
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
	if m != nil && m.forRing {
		// Others may have it for a neighbor, and rely on those next to it to
		// watch it, of which this one would have been.
		g.sayGone(now, l, goneDead, len(g.neighbors))
	}
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
