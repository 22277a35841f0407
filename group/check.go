package group

import "fmt"

// Check returns the first invariant of the group that does not hold, nil if all
// do. It reads everything, and is meant for simulations and tests.
func (g *Group) Check() error {
	peerings := 0
	// order-free: of several things that are wrong any one may be told
	for id, l := range g.byLink {
		if l.id != id {
			return fmt.Errorf("link %x is kept as %x", l.id, id)
		}
		if l.active() {
			peerings++
		}
	}
	switch {
	case len(g.byLink) > g.cfg.MaxLinks:
		return fmt.Errorf("limit: %d links, at most %d", len(g.byLink), g.cfg.MaxLinks)
	case g.dialing < 0 || g.dialing > g.cfg.MaxDialing:
		return fmt.Errorf("limit: %d dials under way, at most %d", g.dialing, g.cfg.MaxDialing)
	case g.clients < 0 || g.clients > g.cfg.MaxClients:
		return fmt.Errorf("limit: %d clients, at most %d", g.clients, g.cfg.MaxClients)
	case peerings != g.peerings:
		return fmt.Errorf("%d peerings counted, %d there", g.peerings, peerings)
	}
	for i, l := range g.neighbors {
		if g.byLink[l.id] != l || !l.up {
			return fmt.Errorf("neighbor without a session: %x", l.peer[:4])
		}
		for _, m := range g.neighbors[:i] {
			if m.peer == l.peer {
				return fmt.Errorf("two neighbors have one ring address: %x", l.peer[:4])
			}
		}
	}
	return nil
}
