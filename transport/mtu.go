package transport

import (
	"encoding/binary"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/wire"
)

// Path MTU discovery in the manner of RFC 8899: a Ping whose packet is padded to
// the size in question finds out whether the path carries it. The padding is a
// chunk that every implementation ignores (RFC 7016 §2.3) and not a part of the
// message, so that the reply is small and only one direction is tested.
//
// Only sessions that carry much data search, since others gain nothing. Ethernet's
// size comes first, then Config.MaxMTU, and halves of what is left between what
// passed and what did not. A probe's loss is no sign of congestion (RFC 8899 §3,
// point 7).
//
// What passed once may stop to (a black hole): then packets over the base size
// are lost and none arrives. The session falls back to Config.MTU. Fragments that
// are queued already keep their sequence numbers and hence their sizes; they are
// sent as they are, and IP fragments them, which all packets but probes allow.
type mtuSearch struct {
	probeAt   clock.Time // of the next probe, or when the present one is given up
	lostSince clock.Time // when the first of the large packets was lost that none has arrived since
	probed    uint16     // the size in question, 0 if no probe is out
	failed    uint16     // the least size that did not pass, 0 if none
	tries     uint8
	largeLost uint8
}

const (
	mtuMark     = 'P' // first byte of the message of a probe
	mtuMessage  = 1 + 2
	mtuTries    = 3                // MAX_PROBES of RFC 8899 §5.1.2
	mtuStep     = 16               // bytes below which a search is not worth another probe; our choice
	mtuRaise    = 10 * time.Minute // PMTU_RAISE_TIMER of RFC 8899 §5.1.1
	mtuRecover  = 30 * time.Second // the same after a black hole, which an outage looks like; our choice
	blackLosses = 4                // large packets in succession that make a black hole, within:
	blackTrips  = 3                // round trips at least, and
	blackTime   = 300 * time.Millisecond

	ethernetIPv4 = 1500 - 20 - 8
	ipv6Extra    = 20
)

// mtuRange returns the common and the largest size to be tried on the path.
func (s *Session) mtuRange() (common, largest int) {
	common, largest = ethernetIPv4, s.e.cfg.MaxMTU
	if s.addr.Addr().IsLoopback() && s.e.cfg.LoopbackMTU > largest {
		common, largest = s.e.cfg.LoopbackMTU, s.e.cfg.LoopbackMTU
	}
	if s.addr.Addr().Is6() {
		common, largest = common-ipv6Extra, max(largest-ipv6Extra, s.e.cfg.MTU)
	}
	return common, largest
}

// candidate returns the next size to be tried, 0 if the search is over.
func (m *mtuSearch) candidate(s *Session) int {
	common, largest := s.mtuRange()
	now, failed := int(s.mtu), int(m.failed)
	switch {
	case failed == 0 && now < common && common <= largest:
		return common
	case failed == 0 && now < largest:
		return largest
	case failed-now > mtuStep:
		return (now + failed) / 2
	}
	return 0
}

// probeMTU builds a probe in buf if one is due and returns its size, else 0.
func (s *Session) probeMTU(now clock.Time, buf []byte) int {
	b := s.congestion.bulk
	if b == nil || now < b.probeAt {
		return 0
	}
	if _, largest := s.mtuRange(); int(s.mtu) >= largest {
		return 0
	}
	m := &b.mtuSearch
	if m.probed != 0 { // nothing came back
		if m.tries >= mtuTries {
			m.failed, m.tries = m.probed, 0
		}
		m.probed = 0
	}
	size := m.candidate(s)
	if size == 0 {
		m.failed, m.probeAt = 0, now.Add(mtuRaise)
		return 0
	}
	m.probed = uint16(size)
	m.tries++
	m.probeAt = now.Add(s.rtt.erto)
	return s.buildProbe(now, buf, size)
}

// buildProbe builds a packet with a Ping, padded so that its datagram has at most
// the given size, less than a cipher block below it.
func (s *Session) buildProbe(now clock.Time, buf []byte, size int) int {
	start := 4 + s.keys.Headroom()
	end := start + s.keys.MaxPacket(size)
	h := s.header(now)
	b := wire.AppendHeader(buf[:start], h)
	message := binary.BigEndian.AppendUint16([]byte{mtuMark}, uint16(size))
	// "The Ping chunk SHOULD come after the Padding chunk, to guard against a
	// false positive response in case the probe packet is truncated."
	// (RFC 7016 §3.5.4.3)
	b = wire.AppendPadding(b, end-len(b)-wire.ChunkHeaderSize-len(message))
	b = wire.Ping{Message: message}.Append(b)
	s.sentHeader(h)
	return len(s.keys.Seal(b, s.far))
}

// mtuProbed takes the reply to a probe.
func (s *Session) mtuProbed(now clock.Time, message []byte) {
	b := s.congestion.bulk
	if len(message) != mtuMessage || b == nil || b.probed == 0 || binary.BigEndian.Uint16(message[1:]) != b.probed {
		return
	}
	s.setMTU(int(b.probed))
	c := &s.congestion
	c.window = max(c.window, 2*c.mss) // as the laws leave it at least: one packet alone is not acknowledged at once
	b.probed, b.tries, b.largeLost = 0, 0, 0
	b.probeAt = now
	s.wake()
}

// setMTU makes packets have at most n bytes from now on.
func (s *Session) setMTU(n int) {
	s.mtuBefore = max(s.mtuBefore, s.mtu)
	s.mtu = uint16(n)
	s.congestion.mss, s.pacer.packet = int32(n), int32(n)
	s.pacer.limit = burstInitial * s.pacer.packet
}

// large reports whether a fragment needed a packet over the base size.
func (s *Session) large(fr *fragment) bool {
	return int(s.mtu) > s.e.cfg.MTU && int(fr.size) > s.keys.MaxPacket(s.e.cfg.MTU)
}

func (s *Session) bigArrived(fr *fragment) {
	if b := s.congestion.bulk; b != nil && b.largeLost > 0 && s.large(fr) {
		b.largeLost = 0
	}
}

// bigLost looks for a black hole.
func (s *Session) bigLost(now clock.Time, fr *fragment) {
	b := s.congestion.bulk
	if b == nil || !s.large(fr) {
		return
	}
	if b.largeLost == 0 {
		b.lostSince = now
	}
	b.largeLost = min(b.largeLost+1, blackLosses)
	if b.largeLost < blackLosses || now.Sub(b.lostSince) < max(blackTrips*s.rtt.srtt, blackTime) {
		return
	}
	s.setMTU(s.e.cfg.MTU)
	b.mtuSearch = mtuSearch{probeAt: now.Add(mtuRecover)}
	s.stats.BlackHoles++
}

// chunkSize returns the size of the largest chunk that the fragment may need.
func (fr *fragment) chunkSize() int {
	n := wire.ChunkHeaderSize + 1 + element.SizeVLU(fr.flow.id) + element.SizeVLU(fr.seq) + 10 + len(fr.data)
	if fr.flow.startup != nil {
		n += len(fr.flow.startup) + 1
	}
	return n
}
