package group

import (
	"encoding/binary"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// What a node of the message-level network has for links: sessions, flows on them
// in order, and dials.

type simDial struct {
	began       clock.Time
	direct, via int // addresses
}

type simEnd struct {
	node      *simNode
	far       *simEnd
	id        LinkID
	near      [32]byte
	open      bool
	lastHeard clock.Time
	since     clock.Time
	keep      time.Duration // what this end asks for
	pair      *simPair
	coming    [2]clock.Time // acknowledgements on their way here
	lastSent  clock.Time
	lastAck   clock.Time
	ackDue    clock.Time // of one packet that has come
}

type simFlow struct {
	from, to *simEnd
	id       FlowID
	metadata []byte
	reply    FlowID
	last     clock.Time
	told     bool // its metadata
	started  bool
	closed   bool
	accepted bool
}

func (n *simNet) down(e *simEnd) {
	if !e.open {
		return
	}
	e.settleLast()
	e.open = false
	if e.node.links[e.far.node.peer] == e {
		delete(e.node.links, e.far.node.peer)
	}
	n.ends[e.id-1] = nil
	if e.node.alive {
		e.node.g.LinkDown(n.now, e.id)
		e.node.turn()
	}
}

// connect opens a session that x initiates and calls up when x has it.
func (n *simNet) connect(x, y *simNode, up func(*simEnd)) {
	lat := n.delay(x, y)
	n.spend(spentOpening, costIHello)
	n.after(3*lat, func() {
		if !x.alive || !y.alive || n.cut(x, y) {
			return
		}
		n.spend(spentOpening, costRHello+costOpened)
		if e := x.links[y.peer]; e != nil && e.open {
			n.after(lat, func() {
				if x.alive && e.open {
					up(e)
				}
			})
			return
		}
		a := &simEnd{node: x, open: true, since: n.now, lastHeard: n.now.Add(lat)}
		b := &simEnd{node: y, open: true, since: n.now, lastHeard: n.now}
		a.far, b.far = b, a
		a.pair = &simPair{n.now, 2 * lat}
		b.pair = a.pair
		n.ends = append(n.ends, a, b)
		a.id, b.id = LinkID(len(n.ends)-1), LinkID(len(n.ends))
		for i := range 4 {
			binary.BigEndian.PutUint64(a.near[8*i:], n.rng.Uint64())
			binary.BigEndian.PutUint64(b.near[8*i:], n.rng.Uint64())
		}
		x.links[y.peer], y.links[x.peer] = a, b
		n.after(lat, func() {
			if x.alive && a.open {
				up(a)
			}
		})
		y.g.LinkUp(n.now, b.id, x.peer, true)
		y.turn()
	})
}

// Dial implements Links.
func (x *simNode) Dial(now clock.Time, peer PeerID, addrs []element.Address, via []LinkID) {
	n := x.net
	y := n.byPeer[peer]
	if e := x.links[peer]; e != nil && e.open {
		n.push(simEvent{at: now, kind: simLinkUp, node: x, end: e})
		return
	}
	reachable := len(addrs) > 0 // they are right while the node lives
	for _, id := range via {
		if e := n.end(id); e != nil && e.far.node.links[peer] != nil {
			reachable = true
		}
	}
	if old := x.dials[peer]; old != nil {
		x.CancelDial(now, peer)
	}
	d := &simDial{began: now, direct: len(addrs), via: len(via)}
	x.dials[peer] = d
	if y == nil || !y.alive || !reachable || n.cut(x, y) {
		n.after(dialNeverOpen, func() {
			if x.dials[peer] == d {
				x.CancelDial(n.now, peer)
				n.push(simEvent{at: n.now, kind: simDialFailed, node: x, peer: peer})
			}
		})
		return
	}
	d.charge(n, spentMore, 2*n.delay(x, y)) // beside the one that is answered
	n.connect(x, y, func(e *simEnd) {
		delete(x.dials, peer)
		x.g.LinkUp(n.now, e.id, peer, false)
		x.turn()
	})
	n.after(dialNeverOpen, func() {
		if x.dials[peer] == d {
			delete(x.dials, peer)
			n.push(simEvent{at: n.now, kind: simDialFailed, node: x, peer: peer})
		}
	})
}

// CancelDial charges for what a dial has sent in vain.
func (x *simNode) CancelDial(now clock.Time, peer PeerID) {
	if d := x.dials[peer]; d != nil {
		delete(x.dials, peer)
		d.charge(x.net, spentFailed, now.Sub(d.began))
	}
}

// SetKeepalive implements Upkeep.
func (x *simNode) SetKeepalive(now clock.Time, id LinkID, d time.Duration) {
	if e := x.net.end(id); e != nil && e.keep != d {
		e.settle()
		e.far.settle()
		e.keep = d
		// One that is overdue by the new interval is sent now.
		e.pair.quiet = max(e.pair.quiet, now.Add(-e.keeping()-e.pair.rtt))
	}
}

func (n *simNet) end(id LinkID) *simEnd {
	if id == 0 || int(id) > len(n.ends) {
		return nil
	}
	return n.ends[id-1]
}

// HangUp implements Links.
func (x *simNode) HangUp(now clock.Time, id LinkID) {
	n := x.net
	e := n.end(id)
	if e == nil || !e.open {
		return
	}
	e.settleLast()
	e.open = false
	if x.links[e.far.node.peer] == e {
		delete(x.links, e.far.node.peer)
	}
	n.ends[id-1] = nil
	n.spend(spentClose, 2*costClose)
	if n.cut(x, e.far.node) {
		n.push(simEvent{at: now.Add(sessionDead), kind: simLinkDown, end: e.far})
		return
	}
	n.push(simEvent{at: now.Add(n.delay(x, e.far.node)), kind: simLinkDown, end: e.far})
}

// OpenFlow implements Links.
func (x *simNode) OpenFlow(now clock.Time, id LinkID, metadata []byte, reply RecvID, class Class) FlowID {
	n := x.net
	e := n.end(id)
	if e == nil || !e.open {
		return 0
	}
	f := &simFlow{from: e, to: e.far, metadata: metadata, reply: FlowID(reply)}
	n.flows = append(n.flows, f)
	f.id = FlowID(len(n.flows))
	return f.id
}

// Send implements Links.
func (x *simNode) Send(now clock.Time, id FlowID, msg []byte, deadline clock.Time) {
	n := x.net
	f := n.flows[id-1]
	if f == nil || f.closed || !f.from.open {
		return
	}
	f.from.packed(f, msg)
	n.deliver(f, simEvent{kind: simMessage, flow: f, msg: append([]byte(nil), msg...)})
}

// deliver lets an event come at the far end of a flow, in order. What is cut
// off is lost with its link.
func (n *simNet) deliver(f *simFlow, e simEvent) {
	a, b := f.from.node, f.to.node
	if n.cut(a, b) {
		return
	}
	d := f.from.pair.rtt / 2
	for n.loss > 0 && n.rng.Float64() < n.loss {
		d += retransmit + 2*n.delay(a, b)
	}
	f.last = max(f.last, n.now.Add(d))
	e.at = f.last
	n.push(e)
}

func (n *simNet) arrive(f *simFlow, msg []byte) {
	y := f.to.node
	if !f.to.open || !y.alive {
		return
	}
	f.to.acknowledge()
	if !f.started {
		f.started = true
		f.accepted = y.g.FlowOpened(n.now, f.to.id, RecvID(f.id), f.metadata, f.reply) != Reject
		if !f.accepted {
			n.push(simEvent{at: n.now.Add(n.delay(f.from.node, y)), kind: simRejected, flow: f})
		}
	}
	if f.accepted {
		y.g.Message(n.now, RecvID(f.id), msg)
	}
	y.turn()
}

// CloseFlow implements Links.
func (x *simNode) CloseFlow(now clock.Time, id FlowID) {
	n := x.net
	if f := n.flows[id-1]; f != nil && !f.closed && f.from.node == x {
		f.closed = true
		n.deliver(f, simEvent{kind: simFlowEnd, flow: f})
	}
}

// RejectFlow implements Links.
func (x *simNode) RejectFlow(now clock.Time, recv RecvID) {
	if f := x.net.flows[recv-1]; f != nil && f.accepted {
		f.accepted = false
		x.net.push(simEvent{at: now.Add(x.net.delay(x, f.from.node)), kind: simRejected, flow: f})
	}
}

// Backlog implements Links.
func (x *simNode) Backlog(FlowID) int { return 0 }

// RTT implements Links.
func (x *simNode) SlowStart(LinkID) bool { return false }

func (x *simNode) RTT(id LinkID) time.Duration {
	if e := x.net.end(id); e != nil {
		return e.pair.rtt
	}
	return 0
}

// LastHeard implements Links.
func (x *simNode) LastHeard(id LinkID) clock.Time {
	if e := x.net.end(id); e != nil {
		return e.heard()
	}
	return 0
}

// Nonces implements Links.
func (x *simNode) Nonces(id LinkID) (near, far [32]byte) {
	if e := x.net.end(id); e != nil {
		return e.near, e.far.near
	}
	return near, far
}

// FarAddr implements Links.
func (x *simNode) FarAddr(id LinkID) netip.AddrPort {
	if e := x.net.end(id); e != nil {
		return e.far.node.addr
	}
	return netip.AddrPort{}
}
