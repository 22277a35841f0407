package group

// A peering is two session flows, one from either end, and either end may end
// it and begin another on the same link at once. Flows keep no order among each
// other, so a new one can overtake the end of the one before, and both ends can
// begin at the same time: who guesses which flow belongs to which may guess
// wrong, and two who do so end each other's peerings for ever. So each session
// flow has a number, and its init says which one of the receiver the sender has
// taken last, and whether that is the other half of this peering or has ended.
// Members that don't number their flows are guessed about.

// maxNumber is the highest number of a session flow; after it comes 1.
const maxNumber = 1<<13 - 1

// overtaken is how many numbers back a flow is taken for one that was overtaken
// by its successor; what is farther back comes from a member that began anew.
const overtaken = 16

// nextNumber returns the number of the next session flow. The first one is
// random: the far end may remember those of an earlier life of this member.
func (g *Group) nextNumber() uint16 {
	if g.numbers == 0 {
		g.numbers = uint16(g.cfg.Rand.IntN(maxNumber))
	}
	g.numbers = g.numbers%maxNumber + 1
	return g.numbers
}

// takesFlow reports whether the far end's session flow is of the present: not
// one that its successor has overtaken, nor an answer to one that has ended here.
func (l *link) takesFlow(m *initMessage) bool {
	if m.number == 0 {
		l.seen = 0
		return true
	}
	if l.seen != 0 && (l.seen-m.number)&maxNumber < overtaken {
		return false
	}
	l.seen = m.number
	return !m.answers || m.seen == l.number
}

// keepsFlow reports whether our session flow, if there is one, belongs with the
// far end's that m opened and that is of the present.
func (l *link) keepsFlow(m *initMessage) bool {
	switch {
	case m.number == 0:
		return l.in == 0 // of two former ones neither is left
	case m.answers:
		return true
	case m.seen == 0:
		return l.in == 0 // it may have forgotten
	default:
		return m.seen != l.number // it has not seen ours yet, and will take it
	}
}
