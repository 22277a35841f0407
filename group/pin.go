package group

import (
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Links that a service needs. A pin asks for a link with a certain member,
// wherever on the ring it is, and keeps it for a while; a hold keeps a link that
// is there because something goes over it. Neither end gives such a link up for
// being one too many, so that a copy that takes minutes is not torn off by the
// choice of neighbors, which knows nothing of it.

// pin is a member that is to be a neighbor for a while.
type pin struct {
	peer    PeerID
	until   clock.Time
	askAt   clock.Time // when its place is asked who is there, if it is not known
	asks    uint8
	finding RouteID
}

// hold is a link that something went over lately.
type hold struct {
	l     *link
	until clock.Time
}

const (
	maxHeld   = 32               // links that are held
	heldGuest = 8                // and how many of these don't count against newcomers
	holdTime  = 15 * time.Second // for which a link is kept after it was used
	pinAgain  = 2 * time.Second  // before a member that was not found is looked for again
	pinAsks   = 4                // questions for one that is not found
)

// Pin asks for a link with a member and keeps it for d from now on, though it
// may not be wanted otherwise. A member that is not known is looked for by its
// place on the ring. It returns false if there are as many pins as may be
// (Config.MaxPinned). NeighborUp tells when the link is there; nothing tells if
// it can't be.
func (g *Group) Pin(now clock.Time, peer PeerID, d time.Duration) bool {
	if !g.started || g.left || peer == g.cfg.Self || g.cfg.Spec.NoPeerToPeer {
		return false
	}
	g.endPins(now)
	for i := range g.pins {
		if g.pins[i].peer == peer {
			g.pins[i].until = max(g.pins[i].until, now.Add(d))
			return true
		}
	}
	if len(g.pins) >= g.cfg.MaxPinned {
		g.stats.PinsRefused++
		return false
	}
	g.stats.Pins++
	g.pins = append(g.pins, pin{peer: peer, until: now.Add(d)})
	if m := g.book.get(peer); m != nil && m.link == nil && !m.dialing && m.fails == 0 {
		// It may have had no room some time ago, which says little of now.
		m.refusals, m.notBefore = 0, 0
		g.wake(m, clock.Never)
	}
	g.dirty = true
	return true
}

// Meet is Pin for a member that the far end of a link is linked with.
func (g *Group) Meet(now clock.Time, peer PeerID, via LinkID, d time.Duration) bool {
	if via != 0 {
		g.learn(now, peer, now, nil, via)
	}
	return g.Pin(now, peer, d)
}

// Unpin ends that.
func (g *Group) Unpin(now clock.Time, peer PeerID) {
	g.pins = slices.DeleteFunc(g.pins, func(p pin) bool { return p.peer == peer })
	g.dirty = true
}

// Linked reports whether a member is a neighbor.
func (g *Group) Linked(peer PeerID) bool {
	m := g.book.get(peer)
	return m != nil && m.link != nil && m.link.up
}

// Hold tells that a service exchanges something over a link that is worth
// keeping it: for a while it is not given up for being one too many.
func (g *Group) Hold(now clock.Time, id LinkID) {
	for i := range g.held {
		if h := &g.held[i]; h.l.id == id {
			h.until = now.Add(holdTime)
			return
		}
	}
	l := g.byLink[id]
	if l == nil || !l.up {
		return
	}
	if g.endHolds(now); len(g.held) >= maxHeld {
		g.stats.HoldsRefused++
		return
	}
	g.held = append(g.held, hold{l, now.Add(holdTime)})
}

// holds reports whether a link is held.
func (g *Group) holds(l *link) bool {
	return slices.ContainsFunc(g.held, func(h hold) bool { return h.l == l })
}

// endHolds forgets links that nothing went over for a while, or that are gone.
func (g *Group) endHolds(now clock.Time) {
	if g.held = slices.DeleteFunc(g.held, func(h hold) bool { return h.until <= now || !h.l.up }); len(g.held) == 0 {
		g.held = nil
	}
}

func (g *Group) endPins(now clock.Time) {
	if g.pins = slices.DeleteFunc(g.pins, func(p pin) bool { return p.until <= now }); len(g.pins) == 0 {
		g.pins = nil
	}
}

// choosePins picks the members that are pinned.
func (g *Group) choosePins(now clock.Time) {
	g.endPins(now)
	for i := range g.pins {
		if m := g.book.get(g.pins[i].peer); m != nil {
			m.pinned = true
			g.pick(m)
		}
	}
}

// callPins looks for members that are pinned and not known: who is nearest to
// their places is they themselves, who answer with their addresses.
func (g *Group) callPins(now clock.Time) {
	for i := range g.pins {
		p := &g.pins[i]
		if p.finding != 0 || p.asks == pinAsks || g.book.get(p.peer) != nil {
			continue
		}
		if p.askAt <= now {
			p.askAt = now.Add(pinAgain << p.asks)
			p.asks++
			p.finding = g.find(now, ring.OfPeer(p.peer), nil)
		}
		g.timers.Set(&g.again, earlier(p.askAt, g.again.When()))
	}
}

// pinFound notes that the question for a pinned member was answered.
func (g *Group) pinFound(id RouteID) {
	for i := range g.pins {
		if p := &g.pins[i]; p.finding == id {
			p.finding = 0
		}
	}
}
