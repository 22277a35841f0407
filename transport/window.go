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
	size  int32 // in bytes
	since clock.Time
	taken uint64 // FlowStats.Bytes then
}

// tune grows the window once in a round trip. taken is FlowStats.Bytes.
func (w *recvWindow) tune(now clock.Time, s *Session, taken uint64) {
	most := int64(s.e.cfg.MaxRecvBuffer)
	elapsed := now.Sub(w.since)
	if elapsed < s.rtt.srtt || elapsed <= 0 || s.rtt.srtt == 0 || int64(w.size) >= most {
		return
	}
	// Both factors are bounded: 2^30 bytes are more than any window, and a
	// round trip is below ten seconds, or the session would end.
	got := int64(min(taken-w.taken, 1<<30))
	trip := min(s.rtt.srtt, 8*time.Second) >> 10
	if want := 2 * (got * int64(trip) / int64(max(elapsed>>10, 1))); want > int64(w.size) {
		w.size = int32(min(want, most))
	}
	w.since, w.taken = now, taken
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
