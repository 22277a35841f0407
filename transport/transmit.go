package transport

import (
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
	"rtmfp/transport/wire"
)

// Batch is one or more datagrams to one address, one behind the other in B.
// All have the size Segment, but for the last, which may be shorter: the form
// in which systems take several datagrams at once.
type Batch struct {
	To      netip.AddrPort
	B       []byte
	Segment int

	// Local is the own address that the datagrams should leave by, as the driver
	// numbered it in an Arrival, 0 for any. ECN is their congestion mark. A
	// driver that can do neither may ignore both.
	Local uint8
	ECN   ECN

	// Probe is set on a single datagram that finds out what the path carries:
	// it must not be fragmented on the way. All others may be.
	Probe bool
}

// Transmit builds datagrams in buf, which should hold many times Config.MTU and
// must hold it once (and Config.LoopbackMTU), and returns them; false if there is nothing to send now.
// The driver calls it until then. Sessions take turns.
func (e *Endpoint) Transmit(now clock.Time, buf []byte) (Batch, bool) {
	e.input(now)
	if len(buf) < e.cfg.LoopbackMTU {
		panic("BUG: transport: Transmit needs a buffer of at least Config.LoopbackMTU")
	}
	if e.outbox.n > 0 {
		out := e.outbox.pop()
		n := copy(buf, out.b)
		e.pool.free(out.b, e.cfg.MaxMTU)
		e.sent(now, out.session, out.to, n, n, 1)
		return Batch{To: out.to, Local: out.local, B: buf[:n], Segment: n}, true
	}
	for s := e.sendable.head; s != nil; s = e.sendable.head {
		switch s.state {
		case StateIHelloSent, StateKeyingSent:
			n, to := s.transmitOpening(now, buf)
			if n == 0 {
				s.rest()
				continue
			}
			e.sent(now, nil, to, n, n, 1)
			return Batch{To: to, B: buf[:n], Segment: n}, true
		case StateOpen:
			if n := s.probeMTU(now, buf); n > 0 {
				e.sent(now, s, s.addr, n, n, 1)
				return Batch{To: s.addr, Local: s.local, B: buf[:n], Segment: n, Probe: true}, true
			}
			mark := s.mark()
			n, segment, more := s.transmit(now, buf)
			s.rest()
			if more {
				s.wake()
			}
			if n > 0 {
				return Batch{To: s.addr, Local: s.local, ECN: mark, B: buf[:n], Segment: segment}, true
			}
		default:
			s.rest()
		}
	}
	return Batch{}, false
}

// sent counts and traces what was built.
func (e *Endpoint) sent(now clock.Time, s *Session, to netip.AddrPort, bytes, segment, datagrams int) {
	e.stats.DatagramsSent += uint64(datagrams)
	e.stats.BytesSent += uint64(bytes)
	if s != nil {
		s.stats.PacketsSent += uint64(datagrams)
		s.stats.BytesSent += uint64(bytes)
	}
	if t := e.cfg.Trace; t != nil && t.Sent != nil {
		for rest := bytes; rest > 0; rest -= segment {
			t.Sent(now, s, to, min(segment, rest))
		}
	}
}

// transmit builds a session's turn. more is set if it may have more to send.
func (s *Session) transmit(now clock.Time, buf []byte) (n, segment int, more bool) {
	limit, count := int(s.mtu), 0
	s.pacer.refill(now, s.rtt.srtt, &s.congestion)
	for count < min(sessionTurn, maxSegments) && len(buf)-n >= limit {
		size := s.build(now, buf[n:], limit, count == 0)
		if size == 0 {
			// Nothing, or nothing as small as the datagrams before.
			more = limit < int(s.mtu) || count > 0 && s.mtu < s.mtuBefore
			break
		}
		n += size
		count++
		more = true
		if segment == 0 {
			segment, limit = size, min(size, limit)
		}
		if size != limit || s.e.cfg.Rare.Hit(rare.SingleDatagram) {
			break
		}
	}
	if count > 0 {
		s.e.sent(now, s, s.addr, n, segment, count)
	}
	return n, segment, more
}

// build builds one datagram of at most limit bytes in buf, and returns its size,
// 0 if there is nothing to send. If it may stretch, it is longer if it must be,
// for a fragment that was made when the path carried more.
func (s *Session) build(now clock.Time, buf []byte, limit int, stretch bool) int {
	start := 4 + s.keys.Headroom()
	end := start + s.keys.MaxPacket(limit)
	if end < start+wire.MaxHeader || end > len(buf) {
		return 0
	}
	h := s.header(now)
	b := wire.AppendHeader(buf[:start], h)
	empty := len(b)
	if s.pongDue {
		b = s.appendPong(b, end)
	}
	if s.pingDue && len(b)+wire.ChunkHeaderSize <= end {
		b = wire.Ping{}.Append(b)
		s.pingDue = false
		s.pings = min(s.pings+1, 2)
		s.pingSent = now
		s.aliveAt = min(s.aliveAt, now.Add(s.rtt.erto))
		s.arm(s.aliveAt)
		s.expectAnswer(now)
	}
	if f := s.probing; f != nil && len(b)+wire.ChunkHeaderSize+10 <= end {
		b = wire.BufferProbe{FlowID: f.id}.Append(b)
		s.probing = nil
		s.expectAnswer(now)
	}
	if s.ackNow {
		b = s.appendAcks(b, end, len(b) == empty)
	}
	data := false
	if f := s.pick(now); f != nil {
		mark := len(b)
		if stretch && s.mtu < s.mtuBefore {
			end = max(end, min(len(b)+f.eligible().chunkSize(), start+s.keys.MaxPacket(len(buf))))
		}
		b = s.appendData(now, f, b, end)
		if data = len(b) > mark; data {
			s.nextPacket++
			if s.marking {
				s.ecn.launched()
			}
			s.busy(now)
			s.probeNow = false
			s.pacer.spend(len(b) - mark)
			s.armTimeout(now)
			s.expectAnswer(now)
			if f.background || s.congestion.bulk != nil {
				s.congestion.sending(now, f.background)
			}
			if f.critical {
				h.TimeCritical = true
				wire.AppendHeader(buf[:start], h)
				until := now.Add(criticalHold)
				s.congestion.criticalUntil, s.e.critical.sentUntil = until, until
			}
		}
	}
	if s.ackHead != nil && len(b) > empty {
		b = s.appendAcks(b, end, false)
	}
	if len(b) == empty {
		return 0
	}
	s.sentHeader(h)
	s.e.packetSent(now, s, s.addr, s.far, b[start:])
	size := len(s.keys.Seal(b, s.far))
	if s.dormant {
		s.keys.Rest()
	}
	return size
}

// appendPong appends the reply to a Ping: "copying the message unaltered"
// (RFC 7016 §3.5.4).
func (s *Session) appendPong(b []byte, end int) []byte {
	var c wire.PingReply
	if s.seldom != nil {
		c.MessageEcho = s.seldom.pong
	}
	if len(b)+wire.ChunkHeaderSize+len(c.MessageEcho) > end {
		return b
	}
	s.pongDue = false
	b = c.Append(b)
	if cap(c.MessageEcho) > smallBlock {
		s.seldom.pong = nil
	}
	return b
}

// pick returns the flow whose data goes next: the highest priority first, those
// of one priority in turn. Flows that have nothing to send leave the rings.
func (s *Session) pick(now clock.Time) *SendFlow {
	allowed := s.probeNow
	for p := priorities - 1; p >= 0 && s.ready != nil; p-- {
		for tail := s.ready[p]; tail != nil; tail = s.ready[p] {
			f := tail.nextReady
			f.expire(now)
			if !f.suspended() && f.eligible() != nil {
				if !allowed && !s.mayTransmit(now, f) {
					return nil
				}
				s.ready[p] = f // its turn is over: it is the last now
				return f
			}
			f.armProbe(now) // the window may have closed when there was nothing to send
			f.ready = false
			if f == tail {
				s.ready[p] = nil
			} else {
				tail.nextReady = f.nextReady
			}
			f.nextReady = nil
		}
	}
	s.probeNow = false
	return nil
}

// mayTransmit reports whether congestion window and pacer allow a packet with
// user data of f; if time is in the way, it sets the alarm.
func (s *Session) mayTransmit(now clock.Time, f *SendFlow) bool {
	c := &s.congestion
	if !c.open() && !s.begin(now, f) {
		return false
	}
	at := s.pacer.next(now, s.rtt.srtt, c)
	if f.background && c.bulk != nil && c.bulk.beside.room != 0 && c.outstanding > 0 && c.outstanding+c.mss > c.bulk.beside.room {
		return false
	}
	if c.bulk != nil && !f.critical && (f.background || c.bulk.critical) {
		at = max(at, c.bulk.pause)
	}
	if at <= now {
		return true
	}
	s.paceAt = at
	s.arm(at)
	return false
}

// appendData appends fragments of a flow (RFC 7016 §3.6.2.3) up to end.
func (s *Session) appendData(now clock.Time, f *SendFlow, b []byte, end int) []byte {
	var last, fsn uint64
	for first := true; first || !f.suspended(); first = false {
		fr := f.eligible()
		if fr == nil {
			break
		}
		flags := fr.place
		if fr.abandoned {
			flags |= wire.FlagAbandon
		}
		if fr.seq == f.finalSN {
			flags |= wire.FlagFinal
		}
		mark := len(b)
		forward := f.forward()
		if !first && fr.seq == last+1 && forward == fsn {
			c := wire.NextUserData{Flags: flags, Data: fr.data}
			if len(b)+c.Size() > end {
				break
			}
			b = c.Append(b)
		} else {
			c := wire.UserData{Flags: flags, FlowID: f.id, Sequence: fr.seq, FSNOffset: fr.seq - forward, Data: fr.data}
			if first {
				c.Options = f.startup
			}
			if len(b)+c.Size() > end {
				break
			}
			b = c.Append(b)
		}
		last, fsn = fr.seq, forward
		s.launch(now, fr, len(b)-mark)
	}
	return b
}
