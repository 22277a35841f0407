package node

import (
	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/transport"
)

// earlyFlow is a flow of a service that came before its sender was greeted
// here. A neighbor describes its streams right behind its greeting, on another
// flow, and flows overtake each other; refused, it would not do so again.
type earlyFlow struct {
	flow  *transport.RecvFlow
	link  group.LinkID
	owner *GroupCore
}

// maxEarlyFlows bounds the flows of one link that wait for the greeting.
const maxEarlyFlows = 16

// keepEarly lets a flow wait for the greeting of its sender. It is held: what
// comes on it stays in the transport, within its window.
func (c *Core) keepEarly(now clock.Time, f earlyFlow) {
	waiting := 0
	for _, e := range c.early {
		if e.link == f.link {
			waiting++
		}
	}
	if waiting >= maxEarlyFlows {
		f.flow.Reject(now, rejectByMember)
		return
	}
	f.flow.Hold(now, true)
	f.flow.Accept(now, true)
	c.early = append(c.early, f)
}

// takeEarly offers the flows that waited for the greeting on a link to the
// group that has greeted, in the order in which they came.
func (c *Core) takeEarly(now clock.Time, link group.LinkID, g *GroupCore) {
	var take []earlyFlow
	c.early = filterEarly(c.early, func(e earlyFlow) bool {
		if e.link != link || e.owner != g {
			return true
		}
		take = append(take, e)
		return false
	})
	for _, e := range take {
		c.offerFlow(now, e.flow, link)
		e.flow.Hold(now, false)
	}
}

// forgetEarly drops what waits of a link that has gone.
func (c *Core) forgetEarly(link group.LinkID) {
	c.early = filterEarly(c.early, func(e earlyFlow) bool { return e.link != link })
}

// endEarly drops a flow that its sender has closed.
func (c *Core) endEarly(f *transport.RecvFlow) {
	c.early = filterEarly(c.early, func(e earlyFlow) bool { return e.flow != f })
}

// filterEarly keeps some of a list and gives its memory back when none is left.
func filterEarly(list []earlyFlow, keep func(earlyFlow) bool) []earlyFlow {
	kept := list[:0]
	for _, e := range list {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	clear(list[len(kept):])
	if len(kept) == 0 {
		return nil
	}
	return kept
}
