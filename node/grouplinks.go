package node

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport"
)

// groupLinks is what the group and its streams see of the transport.
type groupLinks struct {
	g    *GroupCore
	kind flowKind
}

func (l groupLinks) Dial(now clock.Time, peer group.PeerID, addrs []element.Address, via []group.LinkID) {
	c := l.g.core
	if s := c.ep.Session(PeerID(peer)); s != nil && c.links.get(handle(s.User)) != nil {
		c.ready = append(c.ready, dial{peer, l.g})
		return
	}
	candidates := addresses(addrs)
	for _, id := range via {
		if k := c.links.get(uint32(id)); k != nil {
			candidates = append(candidates, k.session.FarAddr())
		}
	}
	if _, err := c.ep.DialSparing(now, PeerID(peer), candidates); err != nil {
		c.ready = append(c.ready, dial{peer, l.g}) // answered as failed on the next turn
		return
	}
	c.dials = append(c.dials, dial{peer, l.g})
}

// SetKeepalive implements group.Upkeep.
func (l groupLinks) SetKeepalive(now clock.Time, id group.LinkID, d time.Duration) {
	k := l.g.core.links.get(uint32(id))
	if k == nil {
		return
	}
	i := slices.IndexFunc(k.keep, func(x keepalive) bool { return x.owner == l.g })
	if i < 0 {
		k.keep = append(k.keep, keepalive{l.g, d})
	} else {
		k.keep[i].d = d
	}
	k.tune(now)
}

// CancelDial implements group.Upkeep.
func (l groupLinks) CancelDial(now clock.Time, peer group.PeerID) {
	c := l.g.core
	others := false
	mine := func(d dial) bool {
		others = others || d.peer == peer && d.owner != l.g
		return d.peer == peer && d.owner == l.g
	}
	c.dials = slices.DeleteFunc(c.dials, mine)
	c.ready = slices.DeleteFunc(c.ready, mine)
	if s := c.ep.Session(PeerID(peer)); s != nil && !others && s.State() == transport.StateIHelloSent {
		s.Close(now)
	}
}

func (l groupLinks) HangUp(now clock.Time, id group.LinkID) {
	c := l.g.core
	k := c.links.get(uint32(id))
	if k == nil {
		return
	}
	for i, u := range k.users {
		if u == l.g {
			k.users = append(k.users[:i:i], k.users[i+1:]...)
			break
		}
	}
	k.keep = slices.DeleteFunc(k.keep, func(x keepalive) bool { return x.owner == l.g })
	k.tune(now)
	if len(k.users) == 0 && !k.boot {
		c.orphaned(now, id, hungUpGrace)
	}
}

// Priorities and urgency of the classes (RFC 7016 §1.1: eight priorities, the
// upper half of them time critical).
var classOptions = [...]transport.FlowOptions{
	group.ClassControl: {Priority: 6},
	group.ClassMedia:   {Priority: 5, TimeCritical: true},
	group.ClassBulk:    {Priority: 2, Background: true},
	group.ClassPrompt:  {Priority: 6, TimeCritical: true},
}

func (l groupLinks) OpenFlow(now clock.Time, id group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID {
	c := l.g.core
	k := c.links.get(uint32(id))
	if k == nil {
		return 0
	}
	o := classOptions[class]
	o.Metadata = metadata
	if reply != 0 {
		r := c.recvs.get(uint32(reply))
		if r == nil {
			return 0
		}
		o.Reply = r.flow
	}
	f, err := k.session.OpenFlow(now, o)
	if err != nil {
		return 0
	}
	h := c.flows.add(sendFlow{flow: f, link: id, owner: l.g, kind: l.kind})
	f.User = h
	return group.FlowID(h)
}

func (l groupLinks) CloseFlow(now clock.Time, id group.FlowID) {
	if f := l.g.core.flows.get(uint32(id)); f != nil {
		flow := f.flow
		l.g.core.flows.remove(uint32(id))
		flow.Close(now)
	}
}

func (l groupLinks) RejectFlow(now clock.Time, id group.RecvID) {
	if r := l.g.core.recvs.get(uint32(id)); r != nil {
		flow := r.flow
		l.g.core.recvs.remove(uint32(id))
		flow.Reject(now, rejectByMember)
	}
}

func (l groupLinks) Send(now clock.Time, id group.FlowID, msg []byte, deadline clock.Time) {
	l.send(now, id, msg, transport.SendOptions{Deadline: deadline})
}

// SendReceipt is of replication.Flows.
func (l groupLinks) SendReceipt(now clock.Time, id group.FlowID, msg []byte, number uint64) {
	if !l.send(now, id, nil, transport.SendOptions{Receipt: number, Shared: msg}) {
		l.g.unsent = append(l.g.unsent, unsent{id, number}) // told on the next turn
	}
}

// unsent is a message of an object that transport did not take.
type unsent struct {
	flow   group.FlowID
	number uint64
}

// Hold is of replication.Flows.
func (l groupLinks) Hold(now clock.Time, id group.LinkID) { l.g.group.Hold(now, id) }

func (l groupLinks) send(now clock.Time, id group.FlowID, msg []byte, o transport.SendOptions) bool {
	f := l.g.core.flows.get(uint32(id))
	if f == nil {
		return false
	}
	if l.kind != flowGroup {
		l.g.group.Sent(now, f.link)
	}
	if alter := l.g.core.cfg.Alter; alter != nil && l.kind == flowStream {
		msg = alter(msg)
	}
	// What a full send buffer refuses, the receiver gets from others.
	if f.flow.Send(now, msg, o) != nil {
		l.g.core.counters.MessagesRefused++
		return false
	}
	l.g.traffic[l.kind].Sent += uint64(cmp.Or(len(o.Shared), len(msg)))
	if w := l.g.core.cfg.Watch; w != nil {
		w.sent(f.flow, slices.Concat(msg, o.Shared)) // one of them is empty
	}
	return true
}

func (l groupLinks) Backlog(id group.FlowID) int {
	if f := l.g.core.flows.get(uint32(id)); f != nil {
		return f.flow.Queued()
	}
	return 0
}

func (l groupLinks) RTT(id group.LinkID) time.Duration {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.SRTT()
	}
	return 0
}

func (l groupLinks) SlowStart(id group.LinkID) bool {
	k := l.g.core.links.get(uint32(id))
	return k != nil && k.session.SlowStart()
}

func (l groupLinks) LastHeard(id group.LinkID) clock.Time {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.LastHeard()
	}
	return 0
}

func (l groupLinks) Nonces(id group.LinkID) (near, far [32]byte) {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.Nonces()
	}
	return near, far
}

func (l groupLinks) FarAddr(id group.LinkID) netip.AddrPort {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.FarAddr()
	}
	return netip.AddrPort{}
}
