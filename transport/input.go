package transport

import (
	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
	"rtmfp/transport/wire"
)

// handle takes a datagram for the session's id.
func (s *Session) handle(now clock.Time, a Arrival, b []byte) {
	e, from := s.e, a.From
	switch s.state {
	case StateOpen, StateNearClose, StateFarCloseLinger:
	case StateKeyingSent:
		s.handleKeying(now, from, b)
		return
	default:
		e.drop(from, DropState)
		return
	}
	size := len(b)
	p, err := s.keys.Open(b)
	if err != nil {
		e.drop(from, DropCrypto)
		return
	}
	h, n := wire.ConsumeHeader(p)
	mode := wire.ModeInitiator
	if s.initiator {
		mode = wire.ModeResponder
	}
	if n == 0 || h.Mode != mode {
		e.drop(from, DropHeader)
		return
	}
	e.packetReceived(now, s, from, size, s.id, p)
	if !s.confirmed {
		if s = s.confirm(now); s == nil {
			e.drop(from, DropGlare)
			return
		}
	}
	s.stats.PacketsReceived++
	s.stats.BytesReceived += uint64(size)
	s.heard(now)
	if h.TimeCritical {
		e.critical.hear(s, now)
	}
	if h.TimeCriticalReverse {
		s.congestion.reverseUntil = now.Add(criticalHold)
	}
	if from == s.addr && !s.initiator {
		s.local = a.Local
	}
	s.handleChunks(now, a, p[n:], h)
	if s.dormant && s.keys != nil {
		s.keys.Rest()
	}
	// "after processing all chunks in the packet: if the session is still in
	// the S_OPEN state, AND the source address of the packet does not match
	// DESTADDR" (RFC 7016 §3.5.4.2)
	if s.state == StateOpen && from != s.addr {
		s.checkMobility(now, from)
	}
}

// handleChunks processes the chunks of a packet.
func (s *Session) handleChunks(now clock.Time, arrival Arrival, p []byte, h wire.Header) {
	from := arrival.From
	var (
		acks  = ackTally{before: s.congestion.outstanding}
		data  wire.UserData
		after bool // data is the chunk before
		any   bool // the packet holds user data
		n     int
	)
	for ; ; p = p[n:] {
		typ, payload, m := wire.ConsumeChunk(p)
		if m == 0 {
			break
		}
		n = m
		ok := true
		switch s.state {
		case StateOpen:
		case StateNearClose, StateFarCloseLinger:
			if typ != wire.ChunkClose && typ != wire.ChunkCloseAck {
				continue
			}
		default:
			return
		}
		switch typ {
		case wire.ChunkUserData:
			if data, ok = wire.ParseUserData(payload); ok {
				s.handleData(now, data)
				any = true
			}
			after = ok
		case wire.ChunkNextUserData:
			var next wire.NextUserData
			if next, ok = wire.ParseNextUserData(payload); ok && after {
				if data, ok = next.After(data); ok {
					s.handleData(now, data)
				}
			}
			after = after && ok
		case wire.ChunkRangeAck, wire.ChunkBitmapAck:
			var a wire.Ack
			if typ == wire.ChunkRangeAck {
				a, ok = wire.ParseRangeAck(payload)
			} else {
				a, ok = wire.ParseBitmapAck(payload)
			}
			if ok {
				s.handleAck(now, from, a, &acks)
			}
		case wire.ChunkException:
			var c wire.FlowException
			if c, ok = wire.ParseFlowException(payload); ok {
				if f := s.sendFlow(c.FlowID); f != nil {
					f.rejected(now, c.Code)
				}
			}
		case wire.ChunkBufferProbe:
			var c wire.BufferProbe
			if c, ok = wire.ParseBufferProbe(payload); ok {
				if f, _ := s.recvFlow(c.FlowID); f != nil {
					s.ackSoon(f, true)
				}
			}
		case wire.ChunkPing:
			if len(payload) <= s.maxPacket()-wire.MaxHeader-wire.ChunkHeaderSize {
				s.pongDue = true
				if len(payload) > 0 || s.seldom != nil {
					r := s.rare()
					r.pong = append(r.pong[:0], payload...)
				}
				s.wake()
			}
		case wire.ChunkPingReply:
			s.handlePongFrom(now, from, payload)
		case wire.ChunkFIHello:
			var c wire.FIHello
			if c, ok = wire.ParseFIHello(payload); ok {
				s.handleFIHello(now, c)
			}
		case wire.ChunkECNReport:
			var c wire.ECNReport
			if c, ok = wire.ParseECNReport(payload); ok && s.ecn != nil && s.ecn.handleReport(c) {
				acks.marked = true
			}
		case wire.ChunkClose:
			s.handleClose(now)
		case wire.ChunkCloseAck:
			s.handleCloseAck(now)
		}
		if !ok {
			s.e.drop(from, DropChunk)
		}
	}
	if s.state != StateOpen {
		return
	}
	if any {
		if arrival.ECN != NotECT {
			s.heardMark(arrival.ECN)
		}
		s.busy(now)
		s.countData(now, h.TimeCritical)
	}
	s.rtt.heard(now, h, acks.lag)
	if acks.any {
		s.acknowledged(now, &acks)
		if acks.marked {
			s.congestionMarked(now)
		}
		if s.ecn != nil {
			s.ecn.validate()
		}
	}
}

// handleData takes a fragment (RFC 7016 §3.6.3.2).
func (s *Session) handleData(now clock.Time, u wire.UserData) {
	f, at := s.recvFlow(u.FlowID)
	if f == nil {
		if f = s.startRecv(u, at); f == nil {
			s.e.drop(s.addr, DropLimit)
			return
		}
		s.ackSoon(f, true) // "On receipt of a User Data chunk that starts a new flow"
	} else if len(u.Options) > 0 && (f.state == recvPending || f.state == recvOpen) {
		if o, ok := wire.ParseFlowOptions(u.Options); !ok || o.Unknown {
			f.reject(now, 0)
		}
	}
	f.receive(now, u)
}

// countData schedules acknowledgements after a packet with user data.
func (s *Session) countData(now clock.Time, critical bool) {
	s.streamed(now)
	s.rxData = min(s.rxData+1, ackEvery)
	if s.rxData >= ackEvery {
		s.ackNow = true
		s.lone = 0
	}
	if critical && s.lone >= loneAcks {
		// Time-critical packets come one at a time here: what delays their
		// acknowledgements costs an alarm and saves nothing. Now and then it is
		// tried again.
		if s.lone++; s.lone < loneAcks+loneTrial {
			s.ackNow = true
		} else {
			s.lone = loneAcks - 1
		}
	}
	if s.ackNow || s.e.cfg.Rare.Hit(rare.AckAtOnce) {
		s.ackNow = true
		s.wake()
		return
	}
	wait := delayedAck
	if critical {
		wait = criticalAck
	}
	if at := now.Add(wait); at < s.ackAt {
		s.ackAt = at
		s.arm(at)
	}
}
