package transport

import (
	"rtmfp/transport/wire"
)

// ECN is a congestion mark in the header of IP (RFC 3168 §5).
type ECN uint8

// Congestion marks.
const (
	NotECT ECN = iota // the sender does not understand marks
	ECT1              // it does
	ECT0              // likewise; what we send
	CE                // the packet met congestion
)

// ECNState tells what a session knows of marks on its path (RFC 9000 §13.4.2).
type ECNState uint8

// States of ECN.
const (
	ECNOff     ECNState = iota // the far end does not report marks, or little was sent
	ECNTesting                 // the first packets are marked, to see what becomes of that
	ECNCapable                 // all packets are marked
	ECNFailed                  // the path, or one end's system, loses or changes marks
)

// String returns a word for s.
func (s ECNState) String() string {
	return [...]string{"off", "testing", "capable", "failed"}[s&3]
}

// ECNStats is what a session knows of congestion marks. Packets are those with
// user data, counted modulo 2^32.
type ECNStats struct {
	State        ECNState
	Sent         uint64 // packets sent with a mark
	Congested    uint64 // of them met congestion, as the far end says
	Heard        uint64 // packets received with any mark
	HeardCongest uint64 // of them met congestion
}

// ecn is the state of the extension that docs/ecn.md specifies, as far as a
// session has need of it. Counters are of packets with user data, since those
// are what acknowledgements, which bring the reports, answer. They and packet
// numbers are kept modulo 2^32: many sessions of a node have one of these.
type ecn struct {
	heard marks // packets received
	far   marks // packets sent, as the far end says
	base  marks // the same when this path began

	sent  uint32 // packets that were marked
	acked uint32 // packets marked on this path that have arrived for sure
	last  uint32 // number of the last of these
	from  uint32 // packets below are of another path

	state    ECNState // for sending
	tested   uint8    // packets that were marked on this path, while it is tested
	silent   uint8    // timeouts since anything was acknowledged
	news     bool     // what was heard is not all reported
	reported bool     // the far end has sent a report on this path
	long     bool     // both ends have the long form
}

// marks counts packets by their mark.
type marks struct{ ect1, ect0, ce uint32 }

func (m marks) all() uint32 { return m.ect1 + m.ect0 + m.ce }

// since returns what was counted after b.
func (m marks) since(b marks) marks { return marks{m.ect1 - b.ect1, m.ect0 - b.ect0, m.ce - b.ce} }

// before reports whether a counter is below another, modulo 2^32.
func before(a, b uint32) bool { return int32(a-b) < 0 }

const (
	ecnAfter  = 16 // packets with user data until marks are tried, so that sessions that say little need no memory for it; our choice
	ecnTest   = 10 // packets that are marked to test a path (RFC 9000 §13.4.2)
	ecnSlack  = 2  // packets by which counts may differ from what acknowledgements tell; our choice
	ecnSilent = 2  // timeouts in a row until a path is tested anew; our choice
	ecnShort  = 32 // reports in the short form may come so many late, of 256; our choice
)

// ECN returns what the session knows of congestion marks.
func (s *Session) ECN() ECNStats {
	e := s.ecn
	if e == nil {
		return ECNStats{}
	}
	return ECNStats{
		State: e.state, Sent: uint64(e.sent), Congested: uint64(e.far.ce),
		Heard: uint64(e.heard.all()), HeardCongest: uint64(e.heard.ce),
	}
}

func (s *Session) ecnMemory() *ecn {
	if s.ecn == nil {
		s.ecn = &ecn{long: s.longECN}
	}
	return s.ecn
}

// heardMark counts a packet with user data that came with a mark.
func (s *Session) heardMark(mark ECN) {
	e := s.ecnMemory()
	e.news = true
	switch mark {
	case ECT1:
		e.heard.ect1++
	case ECT0:
		e.heard.ect0++
	case CE:
		e.heard.ce++
		s.ackNow = true // its sender should know at once (RFC 9000 §13.2.1)
	}
}

// report returns the report that a packet with acknowledgements should carry. In
// the long form it is in all of them, since every acknowledgement is checked
// against it; in the short form, when there is news.
func (s *Session) ecnReport() (r wire.ECNReport, due bool) {
	e := s.ecn
	if e == nil || s.e.cfg.NoECN {
		return r, false
	}
	if !e.news && (!e.long || e.heard == marks{}) {
		return r, false
	}
	h := e.heard
	return wire.ECNReport{CE: uint64(h.ce), ECT0: uint64(h.ect0), ECT1: uint64(h.ect1), Long: e.long}, true
}

// appendReport appends the report that is due, if it leaves room for more.
func (s *Session) appendReport(b []byte, end int) []byte {
	r, due := s.ecnReport()
	if !due || len(b)+r.Size()+minAck > end {
		return b
	}
	return r.Append(b)
}

// minAck is room for an acknowledgement without ranges, in bytes.
const minAck = wire.ChunkHeaderSize + 3*10

// mark returns the mark of the packets that are sent now, and remembers it for
// what they carry.
func (s *Session) mark() ECN {
	s.marking = s.mayMark()
	if s.marking {
		return ECT0
	}
	return NotECT
}

func (s *Session) mayMark() bool {
	e := s.ecn
	if s.e.cfg.NoECN || s.nextPacket < ecnAfter {
		return false
	}
	if e == nil || e.state == ECNOff {
		// One that marks its own packets wants to be answered, and so
		// understands answers, whether it knows our option or not.
		if !s.longECN && (e == nil || e.heard == marks{}) {
			return false
		}
		e = s.ecnMemory()
		e.state = ECNTesting
	}
	return e.state == ECNCapable || e.state == ECNTesting && e.tested < ecnTest
}

// launched counts a packet that is sent with a mark.
func (e *ecn) launched() {
	e.sent++
	if e.state == ECNTesting {
		e.tested++
	}
}

// handleReport takes an ECN Report, and reports whether more packets met
// congestion than it was known.
func (e *ecn) handleReport(r wire.ECNReport) (congested bool) {
	e.reported = true
	if !r.Long || !e.long {
		delta := uint8(r.CE) - uint8(e.far.ce)
		if delta == 0 || delta >= 256-ecnShort { // nothing new, or an older report
			return false
		}
		e.far.ce += uint32(delta)
		return true
	}
	m := marks{uint32(r.ECT1), uint32(r.ECT0), uint32(r.CE)}
	if before(m.ce, e.far.ce) || before(m.ect0, e.far.ect0) || before(m.ect1, e.far.ect1) {
		return false // an older report; counts only ever rise
	}
	congested = m.ce != e.far.ce
	e.far = m
	return congested
}

// arrived counts a marked packet that has arrived for sure: a fragment that was
// sent once, in that packet, is acknowledged.
func (e *ecn) arrived(packet uint64) {
	e.silent = 0
	if n := uint32(packet); n != e.last && !before(n, e.from) {
		e.acked++
		e.last = n
	}
}

// validate compares what the far end says with what acknowledgements tell, after
// both (RFC 9000 §13.4.2.1). Who changes marks makes the session send none.
func (e *ecn) validate() {
	if e.state != ECNTesting && e.state != ECNCapable {
		return
	}
	here := e.far.since(e.base)
	switch {
	case !e.reported:
		// Marks that nobody reports have not arrived.
		if e.acked > ecnSlack {
			e.state = ECNFailed
		}
	case !e.long: // nothing but congestion is told
		e.state = ECNCapable
	case here.ect1 != 0, // we never send that one
		before(e.sent, e.far.all()),                   // nor more than we did
		before(here.all()+ecnSlack, e.acked),          // marks are erased
		here.ect0 == 0 && here.ce >= ecnTest-ecnSlack: // the whole test met congestion: that tells nothing
		e.state = ECNFailed
	case here.ect0 > 0 && e.acked > 0:
		e.state = ECNCapable
	}
}

// lost notes a timeout. Where nothing that was marked has arrived the path may
// drop it; where it did, and nothing comes back twice, the path may have become
// another, which is tested anew.
func (e *ecn) lost(next uint64) {
	e.silent++
	switch {
	case e.state == ECNTesting && e.acked == 0:
		e.state = ECNFailed
	case e.state == ECNCapable && e.silent >= ecnSilent:
		e.moved(next)
	}
}

// moved starts over on a new path, with packets from a number on. What is under
// way on the old one may be reported or not, and is not counted.
func (e *ecn) moved(next uint64) {
	e.state, e.reported = ECNOff, false
	e.base, e.from, e.acked, e.tested = e.far, uint32(next), 0, 0
}
