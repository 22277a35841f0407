package group

import (
	"encoding/binary"
	"slices"
	"time"

	"rtmfp/internal/clock"
)

// Who is dead is found out in three ways. The two members next to each other
// on the ring say something every RingKeepalive, by themselves or in answer to
// pings of the link. All other links are pinged rarely; but where something is
// sent, a sign of life is due a few round trips later. And who loses a member
// asks and tells others that are linked with it, as tables show, who then try
// their own links: nobody is declared dead on somebody else's word.

// Upkeep is implemented by Links whose upkeep can be tuned. Where it is not,
// links are taken to be pinged often enough for Config.Silence.
type Upkeep interface {
	// SetKeepalive has the link's far end pinged after it was silent for d.
	SetKeepalive(now clock.Time, link LinkID, d time.Duration)

	// CancelDial gives up a dial of this group; nothing answers it then.
	CancelDial(now clock.Time, peer PeerID)
}

// Codes of gone messages.
const (
	goneAsk  = 0 // is it heard of?
	goneDead = 1 // it is dead, as far as the sender's link shows
)

// Limits of failure detection that are not worth a setting.
const (
	probeInterval = 400 * time.Millisecond // of pings on a link under suspicion
	checkAhead    = 3 * time.Second        // how long before its time a silence is looked at
	confirmTime   = 900 * time.Millisecond // beyond two round trips: silence that proves it
	certainFor    = time.Second            // whoever was heard of so lately is alive
	askOthers     = 3                      // members that are asked about a suspect
)

// keepFor returns how often the far end of l is to be heard of.
func (g *Group) keepFor(l *link) time.Duration {
	if g.upkeep == nil {
		return 0
	}
	if l.suspected != 0 {
		return probeInterval
	}
	if l.watched {
		return g.cfg.RingKeepalive
	}
	return g.cfg.Keepalive
}

// tune passes on what is wanted of a link.
func (g *Group) tune(now clock.Time, l *link) {
	if d := g.keepFor(l); d != l.keep {
		l.keep, l.silentAt = d, 0
		g.upkeep.SetKeepalive(now, l.id, d)
	}
}

// watch has the nearest neighbors on either side pinged often: they are the
// ones that watch this member, and it them.
func (g *Group) watch(now clock.Time) {
	if g.upkeep == nil {
		return
	}
	above, below := g.nextNeighbor(NextIncreasing), g.nextNeighbor(NextDecreasing)
	for _, l := range g.neighbors {
		l.watched = l == above || l == below || len(g.neighbors) < 2*ringSide
		g.tune(now, l)
	}
	if len(g.neighbors) > 0 {
		for _, l := range g.introducers {
			g.tune(now, l) // those that are no neighbors wait until they are needed
		}
	}
	g.checkBy(now, now.Add(g.cfg.RingKeepalive))
}

func (g *Group) checkBy(now, at clock.Time) { g.timers.Set(&g.check, earlier(g.check.When(), at)) }

// silence is how long nothing may come from the far end of l.
func (g *Group) silence(l *link) time.Duration {
	if g.upkeep == nil {
		return g.cfg.Silence
	}
	return l.keep + 2*g.links.RTT(l.id) + hopPatience
}

// Sent tells that a service has sent something on a link, so that a sign of
// life is due.
func (g *Group) Sent(now clock.Time, id LinkID) {
	if l := g.byLink[id]; l != nil && l.up {
		g.sent(now, l)
	}
}

func (g *Group) sent(now clock.Time, l *link) {
	if g.upkeep == nil || l.sentAt != 0 || !l.up || l.suspected != 0 {
		return
	}
	l.sentAt = now
	g.checkBy(now, now.Add(g.hopWait(l)))
}

// checkLinks looks for neighbors that are silent: suspects them, acquits them,
// or ends the peering.
func (g *Group) checkLinks(now clock.Time) {
	g.timers.Stop(&g.check)
	next := clock.Never
	for i := 0; i < len(g.neighbors); {
		l := g.neighbors[i]
		if l.sentAt == 0 && l.suspected == 0 && now.Add(checkAhead) < l.silentAt {
			// Most links are quiet, and asking each whether it was heard of would be
			// a fifth of all that a member does.
			next = earlier(next, l.silentAt)
			i++
			continue
		}
		heard := max(g.links.LastHeard(l.id), l.upSince)
		if l.sentAt != 0 && heard >= l.sentAt {
			l.sentAt = 0
		}
		due := heard.Add(g.silence(l))
		l.silentAt = due
		if l.sentAt != 0 {
			due = earlier(due, l.sentAt.Add(g.hopWait(l)))
		}
		switch {
		case l.suspected != 0 && heard > l.suspected:
			g.acquit(now, l)
			continue
		case l.suspected != 0:
			due = l.suspected.Add(confirmTime + 2*g.links.RTT(l.id))
			if due <= now {
				g.lose(now, l) // takes it out of the list
				continue
			}
		case due <= now && g.upkeep == nil:
			g.lose(now, l)
			continue
		case due <= now:
			g.suspect(now, l)
			continue
		}
		next = earlier(next, due)
		i++
	}
	g.checkBy(now, next)
}

// suspect has a neighbor pinged that was silent for too long, and others asked
// about it.
func (g *Group) suspect(now clock.Time, l *link) {
	if !l.up || l.suspected != 0 || g.upkeep == nil {
		return
	}
	l.suspected, l.sentAt = max(now, 1), 0
	g.stats.Suspicions++
	g.tune(now, l)
	g.checkBy(now, now.Add(confirmTime+2*g.links.RTT(l.id)))
	g.sayGone(now, l, goneAsk, askOthers)
}

// acquit ends a suspicion, and tells those who share it.
func (g *Group) acquit(now clock.Time, l *link) {
	l.suspected = 0
	g.tune(now, l)
	if l.chat == nil {
		return
	}
	for _, id := range l.chat.askers {
		if to := g.byLink[id]; to != nil && to.up {
			g.sayAlive(now, to, l.member)
		}
	}
	l.chat.askers = nil
	g.restChat(l)
}

// lose ends the peering with a neighbor that is silent.
func (g *Group) lose(now clock.Time, l *link) {
	g.stats.NeighborsSilent++
	g.sayGone(now, l, goneDead, len(g.neighbors))
	g.noteLoss(now)
	g.endPeering(now, l, ReasonSilent)
	g.endClient(l)
	if l.introducer {
		g.endIntroducer(now, l)
	}
	g.release(now, l)
}

// sayGone tells or asks neighbors that are, or may be, linked with the far end of
// l too, those who asked about it not.
func (g *Group) sayGone(now clock.Time, l *link, code byte, most int) {
	top := topOf(l.addr)
	for _, to := range g.neighbors {
		if most == 0 {
			return
		}
		if to == l || !to.routes() || to.suspected != 0 || code == goneAsk && l.chat != nil && slices.Contains(l.chat.askers, to.id) {
			continue
		}
		// A table is told up to two minutes late. Whoever is near on the ring is
		// likely to be linked with it since, and counts on it there.
		if !to.lists(top) && !(code == goneDead && l.member.forRing && to.member.forRing) {
			continue
		}
		most--
		b := append(g.buf[:0], msgGone, code)
		g.send(now, to.out, binary.BigEndian.AppendUint32(b, top))
	}
}

// sayAlive tells a neighbor that a member was heard of just now.
func (g *Group) sayAlive(now clock.Time, to *link, m *member) {
	b := g.newsHeader()
	g.send(now, to.out, g.appendReported(now, b, m))
}

// takeGone takes a neighbor's question or word about a member that it can't
// reach: this member's own link, if it has one, decides.
func (g *Group) takeGone(now clock.Time, l *link, msg []byte) {
	if !l.up || len(msg) != 6 || msg[1] > goneDead {
		g.stats.MessagesIgnored++
		return
	}
	top := binary.BigEndian.Uint32(msg[2:])
	if msg[1] == goneDead {
		l.removeEntry(top)
	}
	m := g.book.byTop(top)
	switch {
	case m == nil || m.link == l:
	case m.link == nil || !m.link.up:
		if msg[1] == goneDead && m.link == nil && now.Sub(m.heard) > certainFor {
			m.lost = max(now, 1)
			g.dirty = true
		}
	case now.Sub(g.links.LastHeard(m.link.id)) <= certainFor:
		g.sayAlive(now, l, m)
	default:
		if c := m.link.open(); len(c.askers) < askOthers {
			c.askers = append(c.askers, l.id)
		}
		g.suspect(now, m.link)
	}
}
