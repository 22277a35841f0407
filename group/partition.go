package group

import (
	"time"

	"rtmfp/internal/clock"
)

// Members that were lost without a word may be dead, or on the other side of a
// break in the network. Some of them are remembered as ghosts and called now
// and then, more often after many were lost at once. When one answers, parts of
// the group have met: everybody is told to call its ghosts at once, and each
// looks for its place in the part that came back.

// ghost is a member that was lost without a word.
type ghost struct {
	peer      PeerID
	addresses []byte
	until     clock.Time // it is forgotten then
}

// Limits of healing that are not worth a setting.
const (
	maxGhosts      = 16
	ghostLife      = 20 * time.Minute
	hauntSlow      = 8 * time.Minute         // between calls of ghosts
	hauntFast      = 4 * time.Second         // after many were lost at once
	hauntFastFor   = 5 * time.Minute         // for so long
	hauntPatience  = 1600 * time.Millisecond // with a ghost that does not answer
	lossWindow     = 30 * time.Second
	healInterval   = 4 * time.Second // between two alarms that parts have met
	ghostsAtOnce   = 3
	alarmingLosses = 3 // a third of the neighbors, or at least so many
)

// noteLoss counts losses without a word.
func (g *Group) noteLoss(now clock.Time) {
	if now.Sub(g.lossSince) > lossWindow {
		g.lossSince, g.losses = now, 0
	}
	g.losses++
	g.lastLoss = max(now, 1)
	if g.losses >= alarmingLosses && 3*g.losses >= len(g.neighbors)+g.losses {
		g.alarmed = now.Add(hauntFastFor)
		g.planHaunt(now)
	}
}

// addGhost remembers a member that was lost; the oldest gives way.
func (g *Group) addGhost(now clock.Time, m *member) {
	if len(m.addresses) == 0 {
		return
	}
	for i := range g.ghosts {
		if g.ghosts[i].peer == m.peer {
			g.ghosts[i].until = now.Add(ghostLife)
			return
		}
	}
	if len(g.ghosts) == maxGhosts {
		copy(g.ghosts, g.ghosts[1:])
		g.ghosts = g.ghosts[:maxGhosts-1]
	}
	g.ghosts = append(g.ghosts, ghost{m.peer, m.addresses, now.Add(ghostLife)})
	g.planHaunt(now)
}

func (g *Group) planHaunt(now clock.Time) {
	if len(g.ghosts) == 0 {
		g.timers.Stop(&g.haunt)
		return
	}
	d := hauntSlow
	if now < g.alarmed || len(g.neighbors) == 0 {
		d = hauntFast
	}
	if at := now.Add(jitter(g.cfg.Rand, d)); at < g.haunt.When() {
		g.timers.Set(&g.haunt, at)
	}
}

// onHaunt calls a ghost.
func (g *Group) onHaunt(now clock.Time) {
	count := 1
	if len(g.neighbors) == 0 {
		count = ghostsAtOnce
	}
	g.callGhosts(now, count)
	g.planHaunt(now)
}

func (g *Group) callGhosts(now clock.Time, count int) {
	kept := g.ghosts[:0]
	for _, gh := range g.ghosts {
		if m := g.book.get(gh.peer); now < gh.until && (m == nil || m.link == nil) {
			kept = append(kept, gh)
		}
	}
	clear(g.ghosts[len(kept):])
	g.ghosts = kept
	if len(kept) == 0 {
		g.ghosts = nil
		return
	}
	at := g.cfg.Rand.IntN(len(kept))
	for i := range min(count, len(kept)) {
		gh := kept[(at+i)%len(kept)]
		m := g.book.get(gh.peer)
		if m == nil {
			m = g.addMember(gh.peer, now.Add(-g.cfg.MemberTTL/2))
			m.lost = max(now, 1)
			m.addresses = gh.addresses
		}
		if m.link == nil && !m.dialing && g.dialing < g.cfg.MaxDialing {
			m.ghost = true
			g.stats.GhostsCalled++
			g.dial(now, m)
			if m.dialing {
				g.wake(m, now.Add(hauntPatience))
			}
		}
	}
}

// healed acts on the answer of a ghost. A link can break without anything else
// being parted, and to alarm a large group costs more than all else in a minute.
// So it asks first, through the ghost, who is around its own place there.
func (g *Group) healed(now clock.Time, l *link) {
	g.stats.GhostsBack++
	id := g.findVia(now, l)
	switch {
	case len(g.neighbors) == 1:
		// This member was cut off alone, and comes back as a newcomer does.
	case id == 0:
		g.spreadHeal(now, l)
	case g.probing == 0:
		g.probing, g.probed = id, l.peer
	}
}

// probeAnswered alarms the group unless the answer shows that the ghost was
// never in another part: it came from a neighbor, or tells of one that was heard
// of there after the ghost was lost here.
func (g *Group) probeAnswered(now clock.Time, res RouteResult) {
	ghost := g.probed
	g.probing, g.probed = 0, PeerID{}
	lost := clock.Never
	for i := range g.ghosts {
		if g.ghosts[i].peer == ghost {
			lost = g.ghosts[i].until.Add(-ghostLife)
		}
	}
	neighbor := func(p PeerID) bool {
		m := g.book.get(p)
		return p != ghost && m != nil && m.link != nil && m.link.up
	}
	same := res.Status == RouteSent && neighbor(res.Peer)
	for b := res.Reply; len(b) > 0 && !same; {
		r, n := consumeReported(b)
		if n == 0 {
			break
		}
		b = b[n:]
		same = now.Add(-r.age-ageUnit) > lost && neighbor(r.peer)
	}
	if !same {
		g.stats.Heals++
		g.spreadHeal(now, nil)
	}
}

func (g *Group) takeHeal(now clock.Time, l *link) {
	if l.up {
		g.spreadHeal(now, l)
	}
}

// spreadHeal tells the neighbors that parts of the group have met, and calls
// own ghosts.
func (g *Group) spreadHeal(now clock.Time, from *link) {
	if g.healAt != 0 && now.Sub(g.healAt) < healInterval {
		return
	}
	g.healAt = max(now, 1)
	for _, to := range g.neighbors {
		if to != from && to.routes() {
			g.send(now, to.out, append(g.buf[:0], msgHeal))
		}
	}
	g.callGhosts(now, ghostsAtOnce)
}
