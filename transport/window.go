package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// recvWindow is the window of a receiving flow. RFC 7016 §3.6.3.5 leaves its size
// to the receiver. A fixed one caps a flow at one window in a round trip, and one
// that is large enough for every path lets every peer fill as much memory. So it
// starts small and follows what the flow's owner takes: twice what was handed over
// in a round trip is enough for a sender whose own window doubles in the next.
//
// An owner that takes nothing, or holds the flow, makes no window grow, and data
// behind a gap does not count either: only what has left the buffer does.
type recvWindow struct {
	size  int32  // in bytes
	since uint32 // when the last round trip began, in µs modulo 2^32: 71 minutes
	taken uint32 // FlowStats.Bytes then, modulo 2^32
}

// tune grows the window once in a round trip. taken is FlowStats.Bytes.
func (w *recvWindow) tune(now clock.Time, s *Session, taken uint64) {
	at := uint32(int64(now) / int64(time.Microsecond))
	most, elapsed := int64(s.e.cfg.MaxRecvBuffer), int64(at-w.since)
	trip := int64(s.rtt.srtt / time.Microsecond)
	if elapsed < trip || elapsed == 0 || trip == 0 || int64(w.size) >= most {
		return
	}
	// Below 2^32 bytes and 10^7 µs, nothing overflows.
	if want := 2 * int64(uint32(taken)-w.taken) * min(trip, 1e7) / elapsed; want > int64(w.size) {
		w.size = int32(min(want, most))
	}
	w.since, w.taken = at, uint32(taken)
}

// rest forgets what a busy flow needed.
func (w *recvWindow) rest(s *Session) { w.size = int32(s.e.cfg.RecvBuffer) }

// sendBuffer is how many bytes a flow of the session may queue: more than the
// path holds, or the window could not be filled from one acknowledgement to the
// next.
func (s *Session) sendBuffer() int {
	cfg := &s.e.cfg
	return max(cfg.SendBuffer, min(2*int(s.congestion.window), cfg.MaxSendBuffer))
}
