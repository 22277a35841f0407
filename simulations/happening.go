package simulations

import (
	"encoding/binary"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node"
)

// happening is something that happens to a member of a Messages.
type happening struct {
	kind happeningKind
	end  *end
	flow *messageFlow
	node *Member
	far  *Member
	boot *boot
	data []byte

	number uint64 // of a receipt
}

type happeningKind uint8

const (
	sessionAnswered happeningKind = iota // the far end of a dial has the session
	sessionUp                            // and so has the near end
	sessionDown                          // it broke, or was closed by the far end
	sessionClose                         // the grace after a hang-up is over
	dialOver                             // nobody has answered
	dialReady                            // there is a session already
	flowMessage
	flowEnd
	flowRefused
	flowReceipt // a message that wanted one has arrived
	bootAgain
	bootRests // if the group is large
)

func (w *Messages) after(d time.Duration, h happening) { w.at(w.now.Add(d), h) }

func (w *Messages) at(when clock.Time, h happening) {
	w.calendar.add(when, entryMessage, w.events.add(h))
}

func (w *Messages) happen(h *happening) {
	switch h.kind {
	case sessionAnswered:
		w.answered(h)
	case sessionUp:
		w.openedAt(h)
	case sessionDown:
		w.down(h.end)
	case sessionClose:
		if e := h.end; e.hungUp && e.up {
			w.close(e)
		}
	case dialOver:
		if n := h.node; !n.stopped && n.dialing[h.far.peer] {
			delete(n.dialing, h.far.peer)
			n.Group.Group().DialFailed(w.now, h.far.peer)
			w.turn(n)
		}
	case dialReady:
		if n := h.node; !n.stopped {
			if e := n.toPeer[h.far.peer]; e != nil {
				e.hungUp, e.told = false, true
				n.Group.Group().LinkUp(w.now, e.id, h.far.peer, false)
			} else {
				n.Group.Group().DialFailed(w.now, h.far.peer)
			}
			w.turn(n)
		}
	case flowMessage:
		w.message(h.flow, h.data)
	case flowEnd:
		w.ended(h.flow)
	case flowRefused:
		w.refused(h.flow)
	case flowReceipt:
		if n := h.flow.from.owner; !n.stopped && h.flow.from.up {
			n.Group.Receipt(w.now, h.flow.id, h.number)
			w.turn(n)
		}
	case bootAgain:
		if !h.node.stopped {
			w.callBoot(h.node, h.boot)
		}
	case bootRests:
		w.restBoot(h)
	}
}

// latency draws how long a packet takes from one member to another.
func (w *Messages) latency(from, to *Member) (d time.Duration, loss float64) {
	l := w.cfg.Link(from.number, to.number)
	return l.Latency + uniform(&from.rng, l.Jitter), l.Loss
}

// attempts returns how often a packet has to be sent to arrive.
func attempts(n *Member, loss float64) int {
	k := 1
	for loss > 0 && k < 20 && chance(&n.rng, loss) {
		k++
	}
	return k
}

// connect opens a session that n initiates, after two round trips, and extra
// time for an introduction.
func (w *Messages) connect(n, far *Member, extra time.Duration, b *boot) {
	there, loss := w.latency(n, far)
	back, _ := w.latency(far, n)
	wait := extra + 2*there + back
	for range 3 {
		wait += time.Duration(attempts(n, loss)-1) * 1500 * time.Millisecond // as the handshake repeats itself
	}
	w.after(wait, happening{kind: sessionAnswered, node: n, far: far, boot: b})
}

func (w *Messages) answered(h *happening) {
	n, far := h.node, h.far
	if n.stopped || far.stopped {
		return
	}
	there, _ := w.latency(n, far)
	back, _ := w.latency(far, n)
	e := n.toPeer[far.peer]
	if e == nil {
		e = &end{owner: n, rtt: there + back, opened: w.now, heard: w.now, upkeep: w.now, up: true}
		f := &end{owner: far, rtt: there + back, opened: w.now, heard: w.now, upkeep: w.now, up: true}
		e.far, f.far = f, e
		for i := range 4 {
			binary.LittleEndian.PutUint64(e.near[8*i:], n.rng.Uint64())
			binary.LittleEndian.PutUint64(f.near[8*i:], far.rng.Uint64())
		}
		e.id, f.id = group.LinkID(n.ends.add(e)), group.LinkID(far.ends.add(f))
		n.toPeer[far.peer], far.toPeer[n.peer] = e, f
		w.stats.Sessions++
		e.pay(setupCost / 2)
		f.pay(setupCost / 2)
		if far.dialing[n.peer] { // they have called each other
			delete(far.dialing, n.peer)
			f.told = true
			far.Group.Group().LinkUp(w.now, f.id, n.peer, false)
			w.turn(far)
		}
	}
	w.after(back, happening{kind: sessionUp, node: n, far: far, end: e, boot: h.boot})
}

func (w *Messages) openedAt(h *happening) {
	n, e := h.node, h.end
	if n.stopped || !e.up {
		return
	}
	if h.boot != nil {
		h.boot.tries = 0
		e.hungUp, e.told = false, true
		n.Group.Group().AddIntroducer(w.now, e.id, h.far.peer)
		w.after(bootStay, happening{kind: bootRests, node: n, end: e, boot: h.boot})
	}
	if n.dialing[h.far.peer] {
		delete(n.dialing, h.far.peer)
		e.hungUp, e.told = false, true
		n.Group.Group().LinkUp(w.now, e.id, h.far.peer, false)
	}
	w.turn(n)
}

// callBoot calls an introducer.
func (w *Messages) callBoot(n *Member, b *boot) {
	b.resting = false
	far := w.byPeer[b.peer]
	if far == nil || far.stopped {
		w.after(min(bootRetry<<min(b.tries, 10), bootRetryMax), happening{kind: bootAgain, node: n, boot: b})
		b.tries++
		return
	}
	w.connect(n, far, 0, b)
}

// restBoot lets an introducer go if the group is large, as a node does.
func (w *Messages) restBoot(h *happening) {
	n, e := h.node, h.end
	if n.stopped || !e.up {
		return
	}
	if !n.Group.Large() {
		w.after(bootStay, *h)
		return
	}
	h.boot.resting = true
	n.Group.Group().RemoveIntroducer(w.now, e.id)
	w.after(bootRest, happening{kind: bootAgain, node: n, boot: h.boot})
	w.turn(n)
}

// down tells an end's owner that the session is over.
func (w *Messages) down(e *end) {
	if !e.up || e.owner.stopped {
		return
	}
	w.drop(e)
	n := e.owner
	n.Group.Group().LinkDown(w.now, e.id)
	w.turn(n)
	for _, b := range n.boots {
		if b.peer == e.far.owner.peer && !b.resting {
			w.after(bootRetry, happening{kind: bootAgain, node: n, boot: b})
		}
	}
}

// drop forgets an end with its flows.
func (w *Messages) drop(e *end) {
	e.keep(w.now)
	e.up = false
	n := e.owner
	n.ends.remove(uint32(e.id))
	if n.toPeer[e.far.owner.peer] == e {
		delete(n.toPeer, e.far.owner.peer)
	}
	n.flows.each(func(f *messageFlow) {
		if f.from == e {
			n.flows.remove(uint32(f.id))
		}
	})
	n.recvs.each(func(f *messageFlow) {
		if f.to == e {
			n.recvs.remove(uint32(f.recv))
		}
	})
}

// close ends a session from an end that has hung up.
func (w *Messages) close(e *end) {
	d, _ := w.latency(e.owner, e.far.owner)
	w.drop(e)
	e.pay(messageCost)
	w.after(d, happening{kind: sessionDown, end: e.far})
}

// message takes what has arrived on a flow.
func (w *Messages) message(f *messageFlow, data []byte) {
	e := f.to
	n := e.owner
	if n.stopped || !e.up || f.refused {
		return
	}
	e.heard = w.now
	e.far.willHear(w.now.Add(e.rtt/2 + ackDelay))
	w.stats.Delivered++
	w.fingerprint(f, data)
	if f.recv == 0 {
		f.kind = node.FlowKind(f.metadata)
		f.recv = group.RecvID(n.recvs.add(f))
		if !n.Group.Ready(f.kind, e.id) {
			if f.reply == nil {
				w.refuse(f)
				return
			}
			f.waiting = append(f.waiting, data)
			e.held, n.holding = append(e.held, f), true
			return
		}
		if !w.offer(f) {
			w.turn(n)
			return
		}
	} else if f.waiting != nil {
		f.waiting = append(f.waiting, data)
		return
	}
	n.Group.Message(w.now, f.kind, f.recv, data)
	w.turn(n)
}

// offer tells the receiver of a flow, and reports whether it takes it.
func (w *Messages) offer(f *messageFlow) bool {
	e := f.to
	n := e.owner
	if !e.told || e.hungUp {
		e.told, e.hungUp = true, false
		n.Group.Group().LinkUp(w.now, e.id, e.far.owner.peer, true)
	}
	var reply group.FlowID
	if f.reply != nil {
		reply = f.reply.id
	}
	f.delivery = n.Group.FlowOpened(w.now, f.kind, e.id, f.recv, f.metadata, reply)
	if f.delivery == group.Reject {
		w.refuse(f)
		return false
	}
	return true
}

// release offers flows that have waited for their sender to be greeted.
func (e *end) release() {
	w, n := e.owner.net, e.owner
	still := e.held[:0]
	for _, f := range e.held {
		if f.refused {
			continue
		}
		if !n.Group.Ready(f.kind, e.id) {
			still = append(still, f)
			continue
		}
		waiting := f.waiting
		f.waiting = nil
		if w.offer(f) {
			for _, data := range waiting {
				n.Group.Message(w.now, f.kind, f.recv, data)
			}
		}
		n.Group.Turn(w.now)
	}
	clear(e.held[len(still):])
	if e.held = still; len(still) == 0 {
		e.held = nil
	} else {
		n.holding = true
	}
}

// refuse tells the sender of a flow that it is not wanted.
func (w *Messages) refuse(f *messageFlow) {
	f.refused, f.waiting = true, nil
	f.to.owner.recvs.remove(uint32(f.recv))
	d, _ := w.latency(f.to.owner, f.from.owner)
	f.to.pay(messageCost)
	w.after(d, happening{kind: flowRefused, flow: f})
}

func (w *Messages) refused(f *messageFlow) {
	n := f.from.owner
	if n.stopped || !f.from.up || n.flows.get(uint32(f.id)) != f {
		return
	}
	n.flows.remove(uint32(f.id))
	n.Group.FlowRejected(w.now, f.own, f.id)
	w.turn(n)
}

func (w *Messages) ended(f *messageFlow) {
	n := f.to.owner
	if n.stopped || !f.to.up || f.recv == 0 || f.refused {
		return
	}
	n.recvs.remove(uint32(f.recv))
	n.Group.FlowClosed(w.now, f.kind, f.recv)
	w.turn(n)
}
