package group

import (
	"fmt"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// Revoke takes a revocation, from the application, and spreads it. The member
// that it names is parted from. Errors wrap those of Authority.Revoke.
func (g *Group) Revoke(now clock.Time, encoded []byte) error {
	if _, err := g.revoke(now, encoded, nil); err != nil {
		return fmt.Errorf("revocation refused: %w", err)
	}
	return nil
}

// revoke takes a revocation that came on a link, or from the application.
func (g *Group) revoke(now clock.Time, encoded []byte, from *link) (fresh bool, err error) {
	r, fresh, err := g.cfg.Authority.Revoke(encoded)
	if err != nil || !fresh {
		return fresh, err
	}
	for _, l := range g.neighbors {
		if l != from && l.offers(FeatureRevoke) {
			g.sendRevocations(now, l, [][]byte{r.encoded})
		}
	}
	for i := 0; i < len(g.neighbors); i++ {
		if l := g.neighbors[i]; l.peer == r.Subject {
			g.endPeering(now, l, ReasonEvicted) // takes it out of the list
			g.release(now, l)
			i--
		}
	}
	return true, nil
}

// sendRevocations tells a neighbor of them.
func (g *Group) sendRevocations(now clock.Time, l *link, list [][]byte) {
	msg := []byte{msgRevocations}
	for _, r := range list {
		msg = element.AppendField(msg, r)
	}
	if len(list) > 0 {
		g.send(now, l.out, msg)
	}
}

// takeRevocations learns what a neighbor knows.
func (g *Group) takeRevocations(now clock.Time, l *link, msg []byte) {
	for b, count := msg[1:], 0; len(b) > 0 && count < maxRevocations; count++ {
		v, n := element.ConsumeField(b)
		if n == 0 {
			g.stats.MessagesIgnored++
			return
		}
		b = b[n:]
		if _, err := g.revoke(now, v, l); err != nil {
			g.stats.RevokesRefused++
		}
	}
}
