package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// Loss detection. A fragment is lost
//
//   - when a packet is acknowledged that was sent three or more after its own.
//     The RFC's three negative acknowledgements (§3.6.2.5) need three later
//     packets to be acknowledged, so this is never later; it is sooner when
//     the packets between were lost as well, as RFC 9002 §6.1.1 has it;
//   - when a later packet is acknowledged and 9/8 of a round trip have passed
//     since it was sent (RFC 9002 §6.1.2), which finds the losses of sparse
//     traffic within a round trip of the next packet;
//   - when it has remained outstanding for ERTO (§3.6.2.6).
//
// The RFC asks that a fragment be considered lost in its cases and leaves the
// sender free to do so in others. Moreover, when nothing is heard for longer
// than acknowledgements take on this path, the last fragment is sent again, up
// to twice, to elicit one (the tail-loss probe of RFC 8985 §7).

// land takes a fragment out of the network.
func (s *Session) land(fr *fragment) {
	if fr.prev == nil {
		s.flightHead = fr.next
	} else {
		fr.prev.next = fr.next
	}
	if fr.next == nil {
		s.flightTail = fr.prev
	} else {
		fr.next.prev = fr.prev
	}
	fr.prev, fr.next = nil, nil
	fr.inFlight = false
	fr.flow.outstanding -= fr.size
	s.congestion.outstanding -= fr.size
}

// launch puts a fragment into the network with the packet that is being built.
func (s *Session) launch(now clock.Time, fr *fragment, size int) {
	f := fr.flow
	if !fr.everSent {
		fr.everSent = true
		f.queued -= int32(len(fr.data))
		f.unsent = max(f.unsent, fr.seq+1)
	} else {
		fr.resent = true
		f.stats.Retransmitted++
		if !fr.abandoned {
			f.lost--
		}
	}
	fr.inFlight = true
	fr.sentAbandoned, fr.marked = fr.abandoned, s.marking
	fr.size, fr.packet, fr.sentAt = int32(size), s.nextPacket, now
	fr.prev, fr.next = s.flightTail, nil
	if s.flightTail == nil {
		s.flightHead = fr
	} else {
		s.flightTail.next = fr
	}
	s.flightTail = fr
	f.outstanding += fr.size
	s.congestion.outstanding += fr.size
	s.stats.DataBytesSent += uint64(size)
}

// lose takes a fragment to be lost.
func (s *Session) lose(now clock.Time, fr *fragment, timeout bool) {
	s.land(fr)
	f := fr.flow
	if !fr.abandoned {
		f.lost++
		f.lostFrom = min(f.lostFrom, fr.seq)
		if f.lost == 1 {
			f.lostFrom = fr.seq
		}
	}
	s.makeReady(f)
	s.congestion.missing += fr.size
	s.bigLost(now, fr)
	s.stats.Lost++
	if t := s.e.cfg.Trace; t != nil && t.Lost != nil {
		t.Lost(now, s, f.id, fr.seq, timeout)
	}
}

// detectLoss finds the fragments that acknowledgements show to be lost, sets the
// alarm for those that may come to be, and reports whether the window is to be
// cut.
func (s *Session) detectLoss(now clock.Time) (cut bool) {
	s.lossAt = clock.Never
	wait := max(s.rtt.srtt, s.rtt.latest)
	wait = max(wait+wait/8, time.Millisecond)
	for fr := s.flightHead; fr != nil && fr.packet < s.maxAcked; fr = s.flightHead {
		at := fr.sentAt.Add(wait)
		if s.maxAcked-fr.packet < packetThreshold && (now < at || s.rtt.srtt == 0) {
			if s.rtt.srtt != 0 {
				s.lossAt = at
				s.arm(at)
			}
			break
		}
		cut = cut || fr.packet >= s.congestion.recovery
		s.lose(now, fr, false)
	}
	return cut
}

// lossAlarm acts when a fragment is lost by time.
func (s *Session) lossAlarm(now clock.Time) {
	before := s.congestion.outstanding
	if s.detectLoss(now) {
		r := s.report(now, before)
		r.lost = true
		s.congested(r)
	}
}

// congestionMarked acts on the far end's word that some of our packets came with
// a congestion mark. It amounts to a loss that was certainly not by chance (RFC
// 3168 §5): the window is cut, once for all marks and losses of a round trip.
// It is to be called after the acknowledgements of the same packet were taken.
func (s *Session) congestionMarked(now clock.Time) {
	if s.maxAcked < s.congestion.recovery {
		return // packets from before the last cut
	}
	r := s.report(now, s.congestion.outstanding)
	r.marked = true
	s.congested(r)
}

// congested acts on a report that is bad news alone.
func (s *Session) congested(r report) {
	r.naks = true
	s.congestion.acknowledged(r)
	s.traceWindow(r.now)
}

// report begins a report.
func (s *Session) report(now clock.Time, before int32) report {
	return report{
		now: now, before: before, srtt: s.rtt.srtt,
		queueing: s.rtt.queueing(), elsewhere: now < s.e.critical.sentUntil,
		highest: s.maxAcked, next: s.nextPacket,
	}
}

// armTimeout sets the alarms that a packet with user data needs: "On sending a
// packet containing at least one User Data chunk, set or reset TIMEOUT_ALARM to
// fire in ERTO." (RFC 7016 §3.6.2.6)
func (s *Session) armTimeout(now clock.Time) {
	s.timeout = now.Add(s.rtt.erto)
	s.arm(s.timeout)
	s.armTail(now)
}

const tailProbes = 2 // between acknowledgements (RFC 9002 §6.2.4)

func (s *Session) armTail(now clock.Time) {
	s.tailAt = clock.Never
	wait := s.rtt.tail()
	if s.flightTail == nil || s.tailProbe >= tailProbes || wait == 0 {
		return
	}
	if s.flightHead.packet == s.flightTail.packet {
		// A single packet may have to wait for its acknowledgement (RFC 8985
		// §7.2 allows the worst case for that).
		if s.flightTail.flow.critical {
			wait = max(wait, s.rtt.srtt+criticalAck+tailMargin)
		} else {
			wait = max(wait, s.rtt.srtt+delayedAck+tailMargin)
		}
	}
	if wait >= s.rtt.erto {
		return
	}
	s.tailAt = max(s.flightTail.sentAt.Add(wait<<s.tailProbe), now)
	s.arm(s.tailAt)
}

// tailAlarm sends the last fragment again.
func (s *Session) tailAlarm(now clock.Time) {
	s.tailAt = clock.Never
	if s.flightTail == nil {
		return
	}
	s.tailProbe++
	s.stats.Probes++
	s.probeNow = true
	s.lose(now, s.flightTail, true)
}

// timeoutAlarm acts on TIMEOUT_ALARM (RFC 7016 §3.6.2.6).
func (s *Session) timeoutAlarm(now clock.Time) {
	s.timeout, s.lossAt, s.tailAt = clock.Never, clock.Never, clock.Never
	loss := s.flightHead != nil
	for s.flightHead != nil {
		s.lose(now, s.flightHead, true)
	}
	if loss {
		s.stats.Timeouts++
		if s.ecn != nil {
			s.ecn.lost(s.nextPacket)
		}
		s.rtt.backOff()
	}
	s.congestion.timeout(loss, s.nextPacket)
	s.pacer.acknowledged(0)
	s.traceWindow(now)
}

func (s *Session) traceWindow(now clock.Time) {
	if t := s.e.cfg.Trace; t != nil && t.Window != nil {
		t.Window(now, s, int(s.congestion.window), int(s.congestion.threshold))
	}
}
