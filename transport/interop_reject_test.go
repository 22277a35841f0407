package transport

import (
	"testing"
	"time"
)

// Against rtmfp-cpp, whose flows may be refused after everything was queued and
// the flow closed: the owner must hear that nothing of it was taken, and with
// which code, also if its own Close came first.
func TestInteropRejectedAfterClose(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	b.accept = func(f *RecvFlow) (accept, ordered bool) {
		f.Reject(n.now, 77)
		return false, false
	}
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("reject")})
	for i := range 100 {
		send(t, f, n.now, numbered(i, 5000), SendOptions{Receipt: uint64(i + 1)})
	}
	f.Close(n.now)
	n.run(5 * time.Second)
	if len(a.rejected) != 1 || a.rejected[0] != 77 {
		t.Errorf("rejections %v, want [77]", a.rejected)
	}
	if len(a.ended) != 1 {
		t.Errorf("%d flows ended, want 1", len(a.ended))
	}
	delivered := 0
	for _, ok := range a.receipts {
		if ok {
			delivered++
		}
	}
	// What was acknowledged before the exception came was discarded over there.
	if len(a.receipts) != 100 || delivered > 20 {
		t.Errorf("%d receipts, %d of them delivered; want 100 and few", len(a.receipts), delivered)
	}
}
