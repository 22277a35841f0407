package node

import (
	"bytes"
	"net/netip"
	"slices"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/posting"
	"rtmfp/replication"
	"rtmfp/transport"
)

// flowKind says which core an incoming flow belongs to.
type flowKind uint8

const (
	flowGroup   flowKind = iota // membership and the server channel
	flowStream                  // everything that is associated with those and not listed here: streams
	flowPosts                   // posts
	flowRecords                 // copies of records
	flowObjects                 // numbered objects

	flowKinds = iota
)

// Exception codes that a refused flow carries back.
const (
	rejectUnknown  = 0 // metadata that means nothing here, or a group that we are not in
	rejectByMember = 1 // the group refused it
)

func kindOf(metadata []byte) flowKind {
	if bytes.Equal(metadata, group.MetadataSession) || bytes.Equal(metadata, group.MetadataChannel) ||
		bytes.Equal(metadata, group.MetadataRoute) {
		return flowGroup
	}
	if posting.IsFlow(metadata) {
		return flowPosts
	}
	if records.IsFlow(metadata) {
		return flowRecords
	}
	if replication.IsFlow(metadata) {
		return flowObjects
	}
	return flowStream
}

// handle gives one event of the transport to whom it concerns.
func (c *Core) handle(now clock.Time, ev transport.Event) {
	switch ev.Kind {
	case transport.SessionOpen:
		c.sessionOpen(now, ev.Session)
	case transport.SessionFailed:
		c.sessionFailed(now, ev.Session, ev.Other, ev.Err)
	case transport.SessionClosed:
		c.sessionClosed(now, ev.Session)
	case transport.FlowOpen:
		c.flowOpen(now, ev.Session, ev.Recv)
	case transport.Message:
		c.message(now, ev.Recv, ev.Data, ev.Own)
	case transport.FlowDone:
		c.flowDone(now, ev.Recv)
	case transport.SendFlowRejected:
		c.sendFlowRejected(now, ev.Send)
	case transport.Receipt:
		c.receipt(now, ev.Send, ev.Receipt)
	}
}

func (c *Core) sessionOpen(now clock.Time, s *transport.Session) {
	peer := group.PeerID(s.Peer())
	id := group.LinkID(c.links.add(link{session: s, closeAt: clock.Never}))
	s.User = uint32(id)
	c.bootstrapOpen(now, id, s)
	c.dialsAnswered(now, peer, id)
	if l := c.links.get(uint32(id)); l != nil && len(l.users) == 0 && !l.boot {
		c.orphaned(now, id, unclaimedGrace)
	}
}

// dialsAnswered gives the link to every group that asked for the peer.
func (c *Core) dialsAnswered(now clock.Time, peer group.PeerID, id group.LinkID) {
	for _, d := range c.takeDials(peer) {
		c.use(id, d.owner)
		d.owner.group.LinkUp(now, id, peer, false)
	}
}

// takeDials removes the dials for a peer and returns them.
func (c *Core) takeDials(peer group.PeerID) []dial {
	var taken []dial
	c.dials = slices.DeleteFunc(c.dials, func(d dial) bool {
		if d.peer == peer {
			taken = append(taken, d)
		}
		return d.peer == peer
	})
	return taken
}

// answerDial gives an open session's link to a group that asked for it.
func (c *Core) answerDial(now clock.Time, d dial) {
	s := c.ep.Session(PeerID(d.peer))
	if s == nil || c.links.get(handle(s.User)) == nil {
		d.owner.group.DialFailed(now, d.peer)
		return
	}
	id := group.LinkID(handle(s.User))
	c.use(id, d.owner)
	d.owner.group.LinkUp(now, id, d.peer, false)
}

// use notes that the group holds the link, and reports whether that is new.
func (c *Core) use(id group.LinkID, g *GroupCore) bool {
	l := c.links.get(uint32(id))
	for _, u := range l.users {
		if u == g {
			return false
		}
	}
	l.users = append(l.users, g)
	l.closeAt = clock.Never
	return true
}

// sessionFailed takes the end of a dial. Other is the session that the dial
// turned out to duplicate, nil if it just failed.
func (c *Core) sessionFailed(now clock.Time, s, other *transport.Session, err error) {
	if other != nil {
		c.bootstrapMerged(now, s, other)
	} else {
		c.bootstrapFailed(now, s, err)
	}
	peer := group.PeerID(s.Peer())
	for _, d := range c.takeDials(peer) {
		d.owner.group.DialFailed(now, peer)
	}
}

func (c *Core) sessionClosed(now clock.Time, s *transport.Session) {
	id := group.LinkID(handle(s.User))
	l := c.links.get(uint32(id))
	if l == nil {
		return
	}
	users := l.users
	c.links.remove(uint32(id))
	c.forgetFlows(id)
	for _, g := range users {
		g.group.LinkDown(now, id)
	}
	for _, b := range c.boots {
		if b.link == id {
			c.down(now, b)
		}
	}
}

// forgetFlows removes the handles of a link that has gone.
func (c *Core) forgetFlows(id group.LinkID) {
	c.forgetEarly(id)
	for i := range c.flows.rows {
		if r := &c.flows.rows[i]; r.used && r.value.link == id {
			c.flows.remove(r.gen<<slotBits | uint32(i))
		}
	}
	for i := range c.recvs.rows {
		if r := &c.recvs.rows[i]; r.used && r.value.link == id {
			c.recvs.remove(r.gen<<slotBits | uint32(i))
		}
	}
}

func (c *Core) flowOpen(now clock.Time, s *transport.Session, f *transport.RecvFlow) {
	id := group.LinkID(handle(s.User))
	if c.links.get(uint32(id)) == nil {
		f.Reject(now, rejectUnknown)
		return
	}
	metadata := f.Metadata()
	kind := kindOf(metadata)
	if assoc := f.Reply(); assoc != nil {
		sf := c.flows.get(handle(assoc.User))
		if sf == nil {
			f.Reject(now, rejectUnknown)
			return
		}
		if kind != flowGroup && !slices.Contains(sf.owner.greeted, id) {
			c.keepEarly(now, earlyFlow{f, id, sf.owner})
			return
		}
		c.offerFlow(now, f, id)
		return
	}
	if kind != flowGroup { // these alone say in their first message what they are for
		f.Reject(now, rejectUnknown)
		return
	}
	c.addRecv(f, id, nil, kind)
	f.Accept(now, true)
}

// offerFlow gives a flow that answers one of ours to the group of that one.
func (c *Core) offerFlow(now clock.Time, f *transport.RecvFlow, id group.LinkID) {
	reply := handle(f.Reply().User)
	sf := c.flows.get(reply)
	if sf == nil {
		f.Reject(now, rejectUnknown)
		return
	}
	owner, kind := sf.owner, kindOf(f.Metadata())
	recv := c.addRecv(f, id, owner, kind)
	c.answerFlow(now, f, recv, owner.flowOpened(now, kind, id, recv, f.Metadata(), group.FlowID(reply)))
}

func (c *Core) addRecv(f *transport.RecvFlow, on group.LinkID, owner *GroupCore, kind flowKind) group.RecvID {
	id := c.recvs.add(recvFlow{flow: f, link: on, owner: owner, kind: kind})
	f.User = id
	return group.RecvID(id)
}

func (c *Core) answerFlow(now clock.Time, f *transport.RecvFlow, recv group.RecvID, d group.Delivery) {
	if d == group.Reject {
		c.recvs.remove(uint32(recv))
		f.Reject(now, rejectByMember)
		return
	}
	if r := c.recvs.get(uint32(recv)); r.kind == flowObjects && d == group.AsReceived {
		f.Gather()
	}
	f.Accept(now, d == group.InOrder)
	if d == group.AsReceived {
		c.recvs.get(uint32(recv)).loose = true
		f.AsReceived(now) // one that was held is accepted already
	}
}

// buffer returns one for an object, as only flows with objects gather.
func (c *Core) buffer(f *transport.RecvFlow) []byte {
	if r := c.recvs.get(handle(f.User)); r != nil {
		return r.owner.objects.Buffer()
	}
	return nil
}

func (c *Core) message(now clock.Time, f *transport.RecvFlow, msg []byte, own bool) {
	r := c.recvs.get(handle(f.User))
	if r == nil {
		return
	}
	if r.owner == nil && !c.claim(now, f, r, msg) {
		c.recvs.remove(handle(f.User))
		f.Reject(now, rejectUnknown)
		return
	}
	if r = c.recvs.get(handle(f.User)); r == nil {
		return // claimed and refused
	}
	if w := c.cfg.Watch; w != nil {
		w.delivered(f, !r.loose, msg)
	}
	r.owner.traffic[r.kind].Received += uint64(len(msg))
	if own { // an object's, or there would be no buffer for it
		r.owner.objects.Gathered(now, group.RecvID(handle(f.User)), msg)
		return
	}
	r.owner.receiver(r.kind).Message(now, group.RecvID(handle(f.User)), msg)
}

// claim finds the group that the first message of an unassociated flow names.
func (c *Core) claim(now clock.Time, f *transport.RecvFlow, r *recvFlow, msg []byte) bool {
	parse := group.ParseInitGroupID
	if bytes.Equal(f.Metadata(), group.MetadataChannel) {
		parse = group.ParseJoinGroupID
	}
	id, ok := parse(msg)
	if !ok {
		return false
	}
	for _, g := range c.groups {
		if g.spec.ID() != id {
			continue
		}
		r.owner = g
		link := r.link
		if c.use(link, g) {
			g.group.LinkUp(now, link, group.PeerID(f.Session().Peer()), true)
		}
		if g.flowOpened(now, flowGroup, link, group.RecvID(handle(f.User)), f.Metadata(), 0) == group.Reject {
			return false
		}
		return true
	}
	return false
}

func (c *Core) flowDone(now clock.Time, f *transport.RecvFlow) {
	r := c.recvs.get(handle(f.User))
	if r == nil {
		c.endEarly(f)
		return
	}
	owner, kind := r.owner, r.kind
	c.recvs.remove(handle(f.User))
	if owner != nil {
		owner.receiver(kind).FlowClosed(now, group.RecvID(handle(f.User)))
	}
}

func (c *Core) sendFlowRejected(now clock.Time, f *transport.SendFlow) {
	sf := c.flows.get(handle(f.User))
	if sf == nil {
		return
	}
	owner, kind := sf.owner, sf.kind
	c.flows.remove(handle(f.User))
	owner.receiver(kind).FlowRejected(now, group.FlowID(handle(f.User)))
}

// receipt takes that a message of an object has arrived, or will not.
func (c *Core) receipt(now clock.Time, f *transport.SendFlow, number uint64) {
	if sf := c.flows.get(handle(f.User)); sf != nil && sf.owner.objects != nil {
		sf.owner.objects.Receipt(now, group.FlowID(handle(f.User)), number)
	}
}

// addresses returns the socket addresses of a list, without their origins.
func addresses(list []element.Address) []netip.AddrPort {
	out := make([]netip.AddrPort, len(list))
	for i, a := range list {
		out[i] = a.AddrPort
	}
	return out
}

// handle returns the table handle that was left with a session or flow, 0 if
// none was.
func handle(user any) uint32 {
	h, _ := user.(uint32)
	return h
}
