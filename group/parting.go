package group

import "rtmfp/internal/clock"

// Links are few: who is let in as a neighbor, and which of them go when there are
// too many.

// room reports whether the member behind l, which has proven itself, may
// become a neighbor.
func (g *Group) room(now clock.Time, l *link) bool {
	g.choose(now)
	limit := g.limit + guests // a foothold for newcomers, until they have others
	if g.cfg.Introduce {
		limit += guestsToo
	}
	g.endHolds(now)
	limit += min(len(g.held), heldGuest)
	if g.peerings <= limit || l.member.forRing {
		return true
	}
	g.stats.PeeringsRefused++
	return false
}

// askToPart asks neighbors that are not wanted here whether they agree to
// part. A link survives while either end wants it.
func (g *Group) askToPart(now clock.Time) {
	for _, l := range g.neighbors {
		if l.member.wanted || l.introducer || now.Sub(l.upSince) < partingGrace || g.holds(l) || len(g.neighbors) <= g.limit-spare {
			continue
		}
		if l.asked != 0 && now.Sub(l.asked) < g.cfg.CloseInterval {
			continue
		}
		l.asked = max(now, 1)
		g.stats.CloseRequests++
		g.send(now, l.out, append(g.buf[:0], msgCloseRequest))
	}
}

// takeCloseRequest answers a request to part: yes, if the asker is not wanted
// here and there are more neighbors than are wanted; otherwise by silence.
func (g *Group) takeCloseRequest(now clock.Time, l *link) {
	if !l.up || l.member.wanted || g.holds(l) || len(g.neighbors) <= g.wanted {
		return
	}
	g.endPeering(now, l, ReasonParted)
	g.release(now, l)
}

// trim gives up links above the limit that are not wanted here, those with the
// highest latency first. Guests may stay for a while and do not count until then:
// most of them go by themselves, and a link that is given up for one is likely to
// be somebody's finger, who has to find another. Who exchanges something stays as
// long as that goes on. The ring may need some more than the limit.
func (g *Group) trim(now clock.Time) {
	g.endHolds(now)
	grace := guestTime
	if g.cfg.Introduce {
		grace = partingGrace // it has many
	}
	for len(g.neighbors) > g.limit {
		var worst *link
		settled := 0
		for _, l := range g.neighbors {
			if now.Sub(l.upSince) < grace {
				continue
			}
			settled++
			if !l.member.wanted && !g.holds(l) && (worst == nil || l.rtt > worst.rtt) {
				worst = l
			}
		}
		if worst == nil || settled <= g.limit {
			return
		}
		g.stats.LinksTrimmed++
		g.endPeering(now, worst, ReasonFull)
		g.release(now, worst)
	}
}
