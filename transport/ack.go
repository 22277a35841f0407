package transport

import (
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// ackTally is what the acknowledgements of one packet amount to.
type ackTally struct {
	any    bool
	before int32         // PRE_ACK_OUTSTANDING
	acked  int32         // ACKED_BYTES_THIS_PACKET
	packet uint64        // the highest number of a packet of ours that is acknowledged, 0 if none is
	lag    time.Duration // since that was sent, 0 if it is not known for sure
	marked bool          // more packets met congestion, as the far end says
}

// handleAck takes an acknowledgement (RFC 7016 §3.6.2.4).
func (s *Session) handleAck(now clock.Time, from netip.AddrPort, a wire.Ack, t *ackTally) {
	f := s.sendFlow(a.FlowID)
	if f == nil {
		return // a late one, most likely
	}
	if a.Cumulative >= f.unsent {
		s.e.drop(from, DropFlow)
		return
	}
	t.any = true
	f.startup = nil
	f.window = a.BufferBytes()
	f.cumulative = max(f.cumulative, a.Cumulative)
	s.take(now, f, f.queue.base, a.Cumulative, t)
	for c := a.Ranges(); ; {
		r, ok := c.Next()
		if !ok {
			break
		}
		if r.Last >= f.unsent {
			s.e.drop(from, DropFlow)
			break
		}
		s.take(now, f, r.First, r.Last, t)
	}
	if f.queue.n == 0 {
		if f.state == sendClosing && f.cumulative >= f.finalSN {
			f.finish(now)
			return
		}
		f.refresh()
	}
	if f.armProbe(now) {
		return
	}
	if f.queue.n > 0 {
		s.makeReady(f)
	}
}

// take removes the entries from first to last from a SEND_QUEUE. The RFC does so
// for entries in flight; one that was sent and is taken for lost has arrived
// just as well.
func (s *Session) take(now clock.Time, f *SendFlow, first, last uint64, t *ackTally) {
	first = max(first, f.queue.base)
	for seq := first; seq <= last && seq < f.queue.end(); seq++ {
		fr := f.queue.at(seq)
		if fr == nil || !fr.everSent {
			continue
		}
		if fr.marked && !fr.resent {
			s.ecn.arrived(fr.packet)
		}
		if fr.inFlight {
			t.acked += fr.size
			s.bigArrived(fr)
			lag := now.Sub(fr.sentAt)
			switch {
			case fr.packet < t.packet:
			case !fr.resent:
				t.packet, t.lag = fr.packet, max(lag, 1)
			case lag >= s.rtt.least:
				// Sooner than ever possible, it is the acknowledgement of an
				// earlier try, and tells nothing of the packet that it was in last.
				t.packet, t.lag = fr.packet, 0
			}
		}
		f.remove(fr)
	}
}

// acknowledged acts on all acknowledgements of a packet together.
func (s *Session) acknowledged(now clock.Time, t *ackTally) {
	s.maxAcked = max(s.maxAcked, t.packet)
	if t.lag != 0 {
		s.rtt.acknowledged(t.lag)
	}
	r := s.report(now, t.before)
	r.acked, r.lag = t.acked, t.lag
	r.lost = s.detectLoss(now)
	r.naks = s.flightHead != nil && s.flightHead.packet < s.maxAcked
	s.congestion.acknowledged(r)
	if r.lost {
		s.traceWindow(now)
	}
	s.pacer.acknowledged(t.acked)
	if t.acked > 0 {
		s.tailProbe = 0
		s.rtt.erto = max(s.rtt.mrto, minERTO)
		if s.rtt.srtt == 0 {
			s.rtt.erto = initialERTO
		}
	}
	// "On receiving a packet containing at least one acknowledgement, reset
	// TIMEOUT_ALARM (if already set) to fire in ERTO." (RFC 7016 §3.6.2.6)
	if s.timeout != clock.Never {
		s.timeout = now.Add(s.rtt.erto)
		s.arm(s.timeout)
	}
	s.armTail(now)
	if t := s.e.cfg.Trace; t != nil && t.Acknowledged != nil {
		t.Acknowledged(now, s)
	}
	if s.anyReady() {
		s.wake()
	}
}

// ackSoon puts a flow among those to be acknowledged, at once if it is urgent.
func (s *Session) ackSoon(f *RecvFlow, urgent bool) {
	if !f.shouldAck {
		f.shouldAck = true
		f.nextAck = nil
		if s.ackTail == nil {
			s.ackHead = f
		} else {
			s.ackTail.nextAck = f
		}
		s.ackTail = f
	}
	if urgent {
		s.ackNow = true
		s.wake()
	}
}

// appendAcks appends the acknowledgements that are due, each in full, up to end.
// If the packet is sent for their sake, the first is truncated to fit instead
// (RFC 7016 §3.6.3.4.2).
//
// Flows that were in the last such packet and are not due come along again: if
// that packet was lost, their fragments would otherwise look lost to a sender
// that hears of later ones on other flows.
func (s *Session) appendAcks(b []byte, end int, obligatory bool) []byte {
	again := s.acked
	n := 0
	without := len(b)
	b = s.appendReport(b, end)
	reported := len(b) > without
	for f := s.ackHead; f != nil; f = s.ackHead {
		whole := false
		mark := len(b)
		if b, whole = f.appendAck(b, end); len(b) == mark || !whole && !obligatory {
			if n == 0 {
				return b[:without]
			}
			b = b[:mark]
			if reported {
				s.ecn.news = false
			}
			return b
		}
		obligatory = false
		f.shouldAck = false
		if s.ackHead = f.nextAck; s.ackHead == nil {
			s.ackTail = nil
		}
		f.nextAck = nil
		s.acked[n%len(s.acked)] = f
		n++
		for i := range again {
			if again[i] == f {
				again[i] = nil
			}
		}
	}
	for i := n; i < len(s.acked); i++ {
		s.acked[i] = nil
	}
	for _, f := range again {
		if f == nil {
			continue
		}
		mark := len(b)
		var whole bool
		if b, whole = f.appendAck(b, end); !whole {
			b = b[:mark]
			break
		}
	}
	if !s.ackNow {
		s.lone = 0 // it goes with something else
	}
	s.ackNow, s.rxData, s.ackAt = false, 0, clock.Never
	if n == 0 {
		return b[:without] // nothing was due
	}
	if reported {
		s.ecn.news = false
	}
	return b
}

// appendAck appends the acknowledgement of one flow, truncated to end, and an
// exception before it if the flow is rejected (RFC 7016 §3.6.3.4.3). It appends
// nothing if not even the least fits.
func (f *RecvFlow) appendAck(b []byte, end int) (out []byte, whole bool) {
	mark := len(b)
	if f.state == recvRejected {
		b = wire.FlowException{FlowID: f.id, Code: f.code}.Append(b)
	}
	blocks := f.available()
	start := len(b)
	b, whole = wire.AppendAck(b, end-start, f.id, blocks, f.received.upTo, f.received.ranges)
	if len(b) == start || len(b) > end {
		return b[:mark], false
	}
	f.told = uint8(min(blocks, 2))
	return b, whole
}
