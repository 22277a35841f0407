package transport

import (
	"testing"
	"time"
)

// "If flow.SEQUENCE_SET doesn't contain chunk.sequenceNumber, AND chunk.final is
// true, AND flow.RF_FINAL_SN has no value, then set flow.RF_FINAL_SN to
// chunk.sequenceNumber" (RFC 7016 §3.6.3.2 step 10): the final number of a flow
// that is closed while the last number is queued again, as a Forward Sequence
// Number Update, is a fresh one.
func TestFinalNumberIsFresh(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, []byte("message"), SendOptions{})
	n.until(time.Second, func() bool { return f.queue.n == 0 })
	f.cumulative-- // as if the acknowledgement had come in pieces, and the last one were lost
	f.refresh()
	f.Close(n.now)
	n.until(10*time.Second, func() bool { return len(a.ended) == 1 })
	if len(b.done) != 1 {
		t.Errorf("the receiver does not know that the flow has ended")
	}
	if f.finalSN != 2 {
		t.Errorf("final number: got %d, want 2", f.finalSN)
	}
}
