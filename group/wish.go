package group

import "bytes"

// A newcomer's services may wish for something of whoever takes it in. What they
// say goes along with the first message of a peering, so that the member at the
// far end, once it has greeted, can send it without having been asked: a round
// trip sooner. So that not several do, only one peering at a time has it.

// receivedWish is that of somebody who has proven itself and has not greeted yet.
type receivedWish struct {
	l    *link
	wish []byte
}

// noteWish keeps a wish until the member that has it is a neighbor.
func (g *Group) noteWish(l *link, wish []byte) {
	g.takeWish(l)
	if len(wish) > 0 && len(g.wishes) < maxWishes {
		g.wishes = append(g.wishes, receivedWish{l, bytes.Clone(wish)})
	}
}

// takeWish returns the wish of a link, which is forgotten.
func (g *Group) takeWish(l *link) []byte {
	for i, w := range g.wishes {
		if w.l != l {
			continue
		}
		if g.wishes = append(g.wishes[:i], g.wishes[i+1:]...); len(g.wishes) == 0 {
			g.wishes = nil
		}
		return w.wish
	}
	return nil
}

// endWish forgets what a peering that is over was to bring.
func (g *Group) endWish(l *link) {
	g.takeWish(l)
	if g.wished == l {
		g.wished = nil
	}
}

// maxWishes bounds the wishes that are held.
const maxWishes = 256
