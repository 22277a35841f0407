package simulations

import (
	"net/netip"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/replication"
)

// memberLinks is what a member's group sees of the network.
type memberLinks struct {
	n    *Member
	kind uint8
}

var (
	_ group.Links       = memberLinks{}
	_ replication.Flows = memberLinks{}
)

func (l memberLinks) Dial(now clock.Time, peer group.PeerID, addrs []element.Address, via []group.LinkID) {
	n, w := l.n, l.n.net
	far := w.byPeer[peer]
	if far == nil {
		far = &Member{peer: peer, stopped: true} // long gone
	}
	if n.toPeer[peer] != nil {
		w.after(0, happening{kind: dialReady, node: n, far: far})
		return
	}
	n.dialing[peer] = true
	w.after(openTimeout, happening{kind: dialOver, node: n, far: far})
	if far.stopped {
		return
	}
	for _, a := range addrs {
		if a.AddrPort == far.Addr {
			w.connect(n, far, 0, nil)
			return
		}
	}
	best := clock.Never
	for _, id := range via {
		if e := n.ends.get(uint32(id)); e != nil && e.up && !e.far.owner.stopped && e.far.owner.toPeer[peer] != nil {
			d, _ := w.latency(n, e.far.owner)
			best = min(best, clock.Time(2*d)) // asked, and redirected
		}
	}
	if best != clock.Never {
		w.connect(n, far, time.Duration(best), nil)
	}
}

func (l memberLinks) HangUp(now clock.Time, id group.LinkID) {
	if e := l.n.ends.get(uint32(id)); e != nil && !e.hungUp {
		for _, b := range l.n.boots {
			if b.peer == e.far.owner.peer && !b.resting {
				return // which the node stays in touch with
			}
		}
		e.hungUp = true
		l.n.net.after(hangUpGrace, happening{kind: sessionClose, end: e})
	}
}

func (l memberLinks) OpenFlow(now clock.Time, id group.LinkID, metadata []byte, reply group.RecvID, _ group.Class) group.FlowID {
	e := l.n.ends.get(uint32(id))
	if e == nil {
		return 0
	}
	f := &messageFlow{from: e, to: e.far, metadata: append([]byte(nil), metadata...), own: l.kind}
	if reply != 0 {
		if f.reply = l.n.recvs.get(uint32(reply)); f.reply == nil {
			return 0
		}
	}
	f.id = group.FlowID(l.n.flows.add(f))
	return f.id
}

func (l memberLinks) CloseFlow(now clock.Time, id group.FlowID) {
	f := l.n.flows.get(uint32(id))
	if f == nil {
		return
	}
	l.n.flows.remove(uint32(id))
	f.closed = true
	d, _ := l.n.net.latency(l.n, f.to.owner)
	f.last = max(f.last, now.Add(d))
	l.n.net.at(f.last, happening{kind: flowEnd, flow: f})
}

func (l memberLinks) RejectFlow(now clock.Time, id group.RecvID) {
	if f := l.n.recvs.get(uint32(id)); f != nil {
		l.n.net.refuse(f)
	}
}

func (l memberLinks) Send(now clock.Time, id group.FlowID, msg []byte, deadline clock.Time) {
	l.send(now, id, msg, deadline)
}

// SendReceipt is of replication.Flows.
func (l memberLinks) SendReceipt(now clock.Time, id group.FlowID, msg []byte, number uint64) {
	at := l.send(now, id, msg, clock.Never)
	if f := l.n.flows.get(uint32(id)); f != nil {
		back, _ := l.n.net.latency(f.to.owner, l.n)
		l.n.net.at(at.Add(back), happening{kind: flowReceipt, flow: f, number: number})
	}
}

// Hold is of replication.Flows.
func (l memberLinks) Hold(now clock.Time, id group.LinkID) { l.n.Group.Group().Hold(now, id) }

// send returns when the message will be there.
func (l memberLinks) send(now clock.Time, id group.FlowID, msg []byte, deadline clock.Time) clock.Time {
	f, n, w := l.n.flows.get(uint32(id)), l.n, l.n.net
	if f == nil || !f.from.up {
		return now
	}
	if n.Alter != nil {
		msg = n.Alter(f.to.owner.peer, f.metadata, msg)
	}
	w.stats.Messages++
	packets := max((len(msg)+messageSize-1)/messageSize, 1)
	d, loss := w.latency(n, f.to.owner)
	size := len(msg) + packets*messageCost
	left, worst := now, 1
	for range packets {
		k := attempts(n, loss)
		w.stats.Lost += uint64(k - 1)
		size += (k - 1) * (len(msg)/packets + messageCost)
		worst = max(worst, k)
	}
	if n.access.Up > 0 {
		var ok bool
		if left, ok = n.up.pass(now, size, n.access.Up, 1<<30, false); !ok {
			return now
		}
		f.queue = append(f.queue, queued{left, len(msg)})
	}
	f.from.pay(uint64(size))
	at := left.Add(d + time.Duration(worst-1)*(f.from.rtt+lossDelay))
	if deadline != 0 && at.Add(-d) > deadline { // its last transmission would be too late
		w.stats.Expired++
		return now
	}
	if deadline == 0 || deadline == clock.Never || f.delivery != group.AsReceived {
		at = max(at, f.last)
	}
	f.last = max(f.last, at)
	f.to.pay(uint64((packets + 1) / 2 * ackCost))
	f.from.upkeep, f.to.upkeep = max(f.from.upkeep, now), max(f.to.upkeep, now)
	w.at(at, happening{kind: flowMessage, flow: f, data: append([]byte(nil), msg...)})
	return at
}

func (l memberLinks) Backlog(id group.FlowID) int {
	f := l.n.flows.get(uint32(id))
	if f == nil {
		return 0
	}
	now, total := l.n.net.now, 0
	for len(f.queue) > 0 && f.queue[0].leaves <= now {
		f.queue = f.queue[1:]
	}
	for _, q := range f.queue {
		total += q.size
	}
	return total
}

func (l memberLinks) RTT(id group.LinkID) time.Duration {
	if e := l.n.ends.get(uint32(id)); e != nil {
		return e.rtt
	}
	return 0
}

// SlowStart is false, as links know at once what they carry.
func (memberLinks) SlowStart(group.LinkID) bool { return false }

// ackDelay is how long an acknowledgement may wait for company.
const ackDelay = 200 * time.Millisecond

// willHear notes that an acknowledgement comes to e then.
func (e *end) willHear(at clock.Time) {
	if e.coming[0] == 0 {
		e.coming[0] = at
	} else {
		e.coming[1] = max(at, e.coming[0])
	}
}

// LastHeard counts acknowledgements, and keepalives, which a far end answers as
// long as it lives.
func (l memberLinks) LastHeard(id group.LinkID) clock.Time {
	e := l.n.ends.get(uint32(id))
	if e == nil {
		return 0
	}
	for e.coming[0] != 0 && e.coming[0] <= l.n.net.now {
		e.heard = max(e.heard, e.coming[0])
		e.coming[0], e.coming[1] = e.coming[1], 0
	}
	until := l.n.net.now
	if far := e.far.owner; far.stopped {
		until = min(until, far.died)
	} else if !e.far.up {
		return e.heard
	}
	return max(e.heard, e.heard.Add(until.Sub(e.heard)/keepalive*keepalive))
}

func (l memberLinks) Nonces(id group.LinkID) (near, far [32]byte) {
	if e := l.n.ends.get(uint32(id)); e != nil {
		return e.near, e.far.near
	}
	return near, far
}

func (l memberLinks) FarAddr(id group.LinkID) (a netip.AddrPort) {
	if e := l.n.ends.get(uint32(id)); e != nil {
		return e.far.owner.Addr
	}
	return a
}
