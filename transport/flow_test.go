package transport

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// RFC 7016 §2.3.11.1.2: a flow in return to another, and one in return to that.
func TestReturnFlows(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, sb := n.connect(a, b)
	ask := open(t, sa, n.now, FlowOptions{Metadata: []byte("ask")})
	send(t, ask, n.now, []byte("?"), SendOptions{})
	n.until(time.Second, func() bool { return len(b.flows) == 1 })
	answer := open(t, sb, n.now, FlowOptions{Metadata: []byte("answer"), Reply: b.flows[0]})
	send(t, answer, n.now, []byte("!"), SendOptions{})
	n.until(time.Second, func() bool { return len(a.flows) == 1 })
	if got := a.flows[0].Reply(); got != ask {
		t.Errorf("reply: got %v, want the asking flow", got)
	}
	// "A flow receiver MUST reject a new receiving flow having a return flow
	// association that does not indicate an F_OPEN sending flow."
	ask.Close(n.now)
	late := open(t, sb, n.now, FlowOptions{Metadata: []byte("late"), Reply: b.flows[0]})
	send(t, late, n.now, []byte("!"), SendOptions{})
	n.until(time.Second, func() bool { return len(b.rejected) == 1 })
	if b.rejected[0] != 0 {
		t.Errorf("exception code: got %d, want 0", b.rejected[0])
	}
	if err := late.Send(n.now, []byte("more"), SendOptions{}); !errors.Is(err, ErrRejected) {
		t.Errorf("Send on a rejected flow: got %v, want ErrRejected", err)
	}
}

// RFC 7016 §3.6.3.7: a flow is rejected at once, because nobody accepts it, or
// later, with the application's code.
func TestReject(t *testing.T) {
	n, a, b := pair(t, 1)
	b.accept = func(f *RecvFlow) (bool, bool) { return string(f.Metadata()) != "no", true }
	sa, _ := n.connect(a, b)
	no := open(t, sa, n.now, FlowOptions{Metadata: []byte("no")})
	send(t, no, n.now, numbered(1, 100000), SendOptions{Receipt: 1})
	yes := open(t, sa, n.now, FlowOptions{Metadata: []byte("yes")})
	send(t, yes, n.now, numbered(1, 1000), SendOptions{Receipt: 2})
	n.until(time.Second, func() bool { return len(a.rejected) == 1 && len(b.messages) == 1 })
	b.flows[1].Reject(n.now, 77)
	send(t, yes, n.now, numbered(2, 1000), SendOptions{Receipt: 3})
	n.until(time.Second, func() bool { return len(a.rejected) == 2 && len(a.ended) == 2 })
	if a.rejected[0] != 0 || a.rejected[1] != 77 {
		t.Errorf("codes: got %v, want 0 and 77", a.rejected)
	}
	if a.receipts[1] || !a.receipts[2] || a.receipts[3] {
		t.Errorf("receipts: got %v, want 2 alone delivered", a.receipts)
	}
	if got := sa.Stats().Outstanding; got != 0 {
		t.Errorf("outstanding: got %d, want 0", got)
	}
}

// RFC 7016 §3.6.2.7: messages past their deadline are given up, the receiver
// moves over the gap, and everything else arrives in order.
func TestDeadlines(t *testing.T) {
	for seed := range uint64(30) {
		n, a, b := pair(t, seed)
		n.loss = 0.05
		sa, _ := n.connect(a, b)
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("live"), TimeCritical: true})
		const count = 300
		for i := range count {
			o := SendOptions{Deadline: n.now.Add(60 * time.Millisecond), Receipt: uint64(i + 1)}
			if i%50 == 0 {
				o.Deadline = clock.Never
			}
			send(t, f, n.now, numbered(i, 900+i%3*700), o)
			n.run(5 * time.Millisecond)
		}
		f.Close(n.now)
		n.until(20*time.Second, func() bool { return len(a.ended) == 1 && len(b.done) == 1 })
		r := b.flows[0]
		got := map[int]bool{}
		last := -1
		for _, m := range b.messages[r] {
			var i int
			for _, c := range m[:4] {
				i = i<<8 | int(c)
			}
			if i <= last || !bytes.Equal(m, numbered(i, 900+i%3*700)) {
				t.Fatalf("seed %d: message %d after %d, or damaged", seed, i, last)
			}
			last = i
			got[i] = true
		}
		for i := range count {
			delivered, ok := a.receipts[uint64(i+1)]
			if !ok {
				t.Errorf("seed %d: no receipt for %d", seed, i)
			}
			if delivered && !got[i] {
				t.Errorf("seed %d: message %d has a receipt and did not arrive", seed, i)
			}
			if i%50 == 0 && !got[i] {
				t.Errorf("seed %d: reliable message %d did not arrive", seed, i)
			}
		}
		if len(got) < count*9/10 {
			t.Errorf("seed %d: %d of %d arrived, want nine tenths with time for a repetition", seed, len(got), count)
		}
		if len(got) < count && b.skipped[r] == 0 {
			t.Errorf("seed %d: gaps were not told", seed)
		}
	}
}

// "When the receiver has gaps in the received sequence number space and no
// non-abandoned message fragments remain in the SEND_QUEUE, the sender SHOULD
// transmit a Forward Sequence Number Update" (RFC 7016 §3.6.2.7.1).
func TestForwardSequenceNumberUpdate(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, []byte("first"), SendOptions{})
	n.run(time.Second)
	a.mute = true
	send(t, f, n.now, []byte("lost"), SendOptions{Deadline: n.now.Add(20 * time.Millisecond)})
	n.run(10 * time.Millisecond)
	a.mute = false
	send(t, f, n.now, []byte("held"), SendOptions{})
	n.until(time.Second, func() bool { return len(b.messages[b.flows[0]]) == 2 })
	if got := b.skipped[b.flows[0]]; got != 1 {
		t.Errorf("gaps told: got %d, want 1", got)
	}
	// And with nothing behind it.
	a.mute = true
	send(t, f, n.now, []byte("lost"), SendOptions{Deadline: n.now.Add(20 * time.Millisecond)})
	n.run(30 * time.Millisecond)
	a.mute = false
	n.until(5*time.Second, func() bool { return f.queue.n == 0 })
	if got, want := b.flows[0].received.upTo, f.nextSN-1; got != want {
		t.Errorf("received up to %d, want %d", got, want)
	}
	if f.Buffered() != 0 || f.Queued() != 0 {
		t.Errorf("buffered %d, queued %d, want none", f.Buffered(), f.Queued())
	}
}

// Messages in network arrival order (RFC 7016 §1.1), whole, whatever comes first.
func TestAsReceived(t *testing.T) {
	for seed := range uint64(20) {
		n, a, b := pair(t, seed)
		n.loss, n.jitter, n.duplicate = 0.1, 30*time.Millisecond, 0.1
		b.accept = func(*RecvFlow) (bool, bool) { return true, false }
		sa, _ := n.connect(a, b)
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		const count = 200
		for i := range count {
			send(t, f, n.now, numbered(i, 100+i*37%5000), SendOptions{})
		}
		f.Close(n.now)
		n.until(time.Minute, func() bool { return len(b.done) == 1 && len(a.ended) == 1 })
		seen := map[string]bool{}
		disorder := false
		last := ""
		for _, m := range b.messages[b.flows[0]] {
			seen[string(m)] = true
			disorder = disorder || string(m[:4]) < last
			last = string(m[:4])
		}
		if got := len(b.messages[b.flows[0]]); got != count || len(seen) != count {
			t.Errorf("seed %d: got %d messages, %d distinct, want %d", seed, got, len(seen), count)
		}
		for i := range count {
			if !seen[string(numbered(i, 100+i*37%5000))] {
				t.Errorf("seed %d: message %d is missing", seed, i)
			}
		}
		if !disorder {
			t.Errorf("seed %d: everything came in order: nothing was tested", seed)
		}
	}
}

// A thousand flows at once, each with its messages.
func TestManyFlows(t *testing.T) {
	n, a, b := pair(t, 1)
	n.loss = 0.02
	sa, _ := n.connect(a, b)
	const count = 1000
	for i := range count {
		f := open(t, sa, n.now, FlowOptions{Metadata: fmt.Append(nil, i), Priority: uint8(i % 8)})
		send(t, f, n.now, numbered(i, 500+i), SendOptions{})
		send(t, f, n.now, numbered(i+1, 10), SendOptions{})
		f.Close(n.now)
	}
	n.until(30*time.Second, func() bool { return len(b.done) == count && len(a.ended) == count })
	for _, r := range b.flows {
		if got := len(b.messages[r]); got != 2 {
			t.Errorf("flow %s: got %d messages, want 2", r.Metadata(), got)
		}
	}
	// "A sending flow MUST remain in the F_COMPLETE_LINGER state for at least
	// 130 seconds", the receiving flow for 120.
	if got := open(t, sa, n.now, FlowOptions{}).ID(); got != count+firstFlow {
		t.Errorf("a flow id was used again at once: %d", got)
	}
	n.run(140 * time.Second)
	if got := open(t, sa, n.now, FlowOptions{}).ID(); got != firstFlow {
		t.Errorf("flow ids are not used again: %d", got)
	}
	if got := len(b.Session(a.PeerID()).recv); got != 0 {
		t.Errorf("receiving flows after the linger: got %d, want 0", got)
	}
}

func TestFlowLimits(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, func(c *Config) { c.MaxFlowsPerSession = 10; c.SendBuffer = 10000; c.MaxMessage = 5000 })
	b := n.add("b", modern, func(c *Config) { c.MaxFlowsPerSession = 5 })
	sa, _ := n.connect(a, b)
	for range 10 {
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		send(t, f, n.now, []byte("x"), SendOptions{})
	}
	if _, err := sa.OpenFlow(n.now, FlowOptions{}); !errors.Is(err, ErrTooManyFlows) {
		t.Errorf("OpenFlow: got %v, want ErrTooManyFlows", err)
	}
	if _, err := sa.OpenFlow(n.now, FlowOptions{Metadata: make([]byte, 513)}); !errors.Is(err, ErrTooLong) {
		t.Errorf("OpenFlow with long metadata: got %v, want ErrTooLong", err)
	}
	n.run(time.Second)
	if len(b.flows) != 5 || b.Stats().Dropped[DropLimit] == 0 {
		t.Errorf("receiving flows: got %d, want 5, and refusals counted", len(b.flows))
	}
	f := sa.send[0].flow
	if err := f.Send(n.now, make([]byte, 5001), SendOptions{}); !errors.Is(err, ErrTooLong) {
		t.Errorf("Send: got %v, want ErrTooLong", err)
	}
	a.mute = true
	send(t, f, n.now, make([]byte, 5000), SendOptions{})
	if err := f.Send(n.now, make([]byte, 5000), SendOptions{}); !errors.Is(err, ErrFull) {
		t.Errorf("Send: got %v, want ErrFull", err)
	}
}

// RFC 7016 §3.6.2.9, §3.6.3.5: a receiver that holds its messages stops the
// sender, probes keep asking, and letting go resumes.
func TestFlowControl(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, nil)
	b := n.add("b", modern, func(c *Config) { c.RecvBuffer = 20000 })
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, numbered(0, 100), SendOptions{})
	n.until(time.Second, func() bool { return len(b.flows) == 1 })
	b.flows[0].Hold(n.now, true)
	const count = 200
	for i := 1; i < count; i++ {
		send(t, f, n.now, numbered(i, 1000), SendOptions{})
	}
	n.run(20 * time.Second)
	if got := len(b.messages[b.flows[0]]); got > 1 {
		t.Errorf("messages while held: got %d, want 1", got)
	}
	if got := b.flows[0].buffer.bytes; got > 20000+20000/10+2*windowBlock || got < 15000 { // a tenth: overhead that the far end doesn't count
		t.Errorf("held bytes: got %d, want about 20000", got)
	}
	if f.window != 0 || f.outstanding != 0 {
		t.Errorf("window %d, outstanding %d, want a suspended flow", f.window, f.outstanding)
	}
	if f.probes == 0 {
		t.Errorf("no buffer probes")
	}
	b.mute = true // the acknowledgement that opens the window is lost
	b.flows[0].Hold(n.now, false)
	n.run(10 * time.Millisecond)
	b.mute = false
	n.until(20*time.Second, func() bool { return len(b.messages[b.flows[0]]) == count })
}

// A message longer than the receive window comes through, at full speed.
func TestMessageBeyondTheWindow(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.add("a", modern, nil)
	b := n.add("b", modern, func(c *Config) { c.RecvBuffer = 64 << 10; c.MaxMessage = 2 << 20 })
	sa, _ := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	want := numbered(1, 2<<20)
	send(t, f, n.now, want, SendOptions{})
	began := n.now
	n.until(20*time.Second, func() bool { return len(b.flows) == 1 && len(b.messages[b.flows[0]]) == 1 })
	if !bytes.Equal(b.messages[b.flows[0]][0], want) {
		t.Errorf("the message differs")
	}
	if took := n.now.Sub(began); took > 3*time.Second {
		t.Errorf("took %v, want a window each round trip: about 0.7 s", took)
	}
}

// Strict priority: what is urgent overtakes what was queued before.
func TestPriority(t *testing.T) {
	n, a, b := pair(t, 1)
	n.rate, n.queue = 125_000, 20_000
	sa, _ := n.connect(a, b)
	bulk := open(t, sa, n.now, FlowOptions{Metadata: []byte("bulk"), Priority: 1})
	send(t, bulk, n.now, numbered(1, 1<<20), SendOptions{})
	n.run(time.Second)
	urgent := open(t, sa, n.now, FlowOptions{Metadata: []byte("urgent"), Priority: 7})
	send(t, urgent, n.now, numbered(2, 3000), SendOptions{})
	began := n.now
	n.until(5*time.Second, func() bool { return len(b.flows) == 2 && len(b.messages[b.flows[1]]) == 1 })
	if took := n.now.Sub(began); took > time.Second {
		t.Errorf("the urgent message took %v", took)
	}
	if len(b.messages[b.flows[0]]) != 0 {
		t.Errorf("the bulk message came first")
	}
}

// RFC 7016 §3.6.2.11: flows close in every state, before and after their data,
// and one that never sent anything closes without a word.
func TestCloseFlows(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, _ := n.connect(a, b)
	empty := open(t, sa, n.now, FlowOptions{Metadata: []byte("empty")})
	empty.Close(n.now)
	early := open(t, sa, n.now, FlowOptions{Metadata: []byte("early")})
	send(t, early, n.now, []byte("x"), SendOptions{})
	early.Close(n.now)
	late := open(t, sa, n.now, FlowOptions{Metadata: []byte("late")})
	send(t, late, n.now, []byte("x"), SendOptions{})
	aborted := open(t, sa, n.now, FlowOptions{Metadata: []byte("aborted")})
	send(t, aborted, n.now, numbered(1, 500000), SendOptions{Receipt: 9})
	n.run(30 * time.Millisecond)
	aborted.Abort(n.now)
	n.run(time.Second)
	late.Close(n.now)
	n.run(2 * time.Second)
	if len(a.ended) != 4 || len(b.done) != 3 || len(b.flows) != 3 {
		t.Errorf("ended %d, done %d of %d, want 4, 3 of 3", len(a.ended), len(b.done), len(b.flows))
	}
	if delivered, ok := a.receipts[9]; !ok || delivered {
		t.Errorf("receipt of the aborted message: %v %v", delivered, ok)
	}
	if err := late.Send(n.now, nil, SendOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Close: got %v, want ErrClosed", err)
	}
	if got := sa.Stats().Outstanding; got != 0 {
		t.Errorf("outstanding: got %d", got)
	}
}

// "A flow receiver MUST reject a flow containing a flow option that is not
// understood if the option type is less than 8192", and one without metadata.
func TestUnknownFlowOptions(t *testing.T) {
	for _, c := range []struct {
		options []byte
		reject  bool
	}{
		{[]byte{1, 0}, false},
		{[]byte{1, 0, 1, 0x55}, true},
		{[]byte{1, 0, 2, 0xc0, 0x00}, false},
		{[]byte{1, 0x55}, true},
		{nil, true},
	} {
		n, a, b := pair(t, 1)
		_, sb := n.connect(a, b)
		sb.handleData(n.now, wire.UserData{FlowID: 9, Sequence: 1, FSNOffset: 1, Options: c.options, Data: []byte("x")})
		n.run(time.Second)
		if got := sb.recv[0].state == recvRejected; got != c.reject {
			t.Errorf("options %x: rejected %v, want %v", c.options, got, c.reject)
		}
	}
}

// What a hostile far end may send about sequence numbers does no harm.
func TestAbsurdNumbers(t *testing.T) {
	n, a, b := pair(t, 1)
	sa, sb := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, []byte("x"), SendOptions{})
	n.run(time.Second)
	const top = ^uint64(0)
	for _, u := range []wire.UserData{
		{FlowID: 2, Sequence: top, FSNOffset: 1},
		{FlowID: 2, Sequence: top - 2, FSNOffset: top - 2},
		{FlowID: 2, Sequence: top, FSNOffset: 0, Flags: wire.FlagAbandon},
		{FlowID: 2, Sequence: 0, FSNOffset: 0},
		{FlowID: top, Sequence: top, FSNOffset: 1, Options: []byte{1, 0}, Flags: wire.FlagFinal},
		{FlowID: 3, Sequence: top, FSNOffset: 5, Options: []byte{1, 0}},
		{FlowID: 3, Sequence: top - 2, FSNOffset: 1, Options: []byte{1, 0}},
		{FlowID: 3, Sequence: top - 3, FSNOffset: 3, Options: []byte{1, 0}},
	} {
		sb.handleData(n.now, u)
		n.run(300 * time.Millisecond)
	}
	var tally ackTally
	for _, a := range []wire.Ack{{FlowID: 2, Cumulative: top}, {FlowID: 2, Cumulative: 100}, {FlowID: 9, Cumulative: 1}} {
		sa.handleAck(n.now, netip.AddrPort{}, a, &tally)
	}
	if tally.any {
		t.Errorf("acknowledgements of what was never sent were taken")
	}
	send(t, f, n.now, []byte("y"), SendOptions{})
	n.run(3 * time.Second)
	if sa.State() != StateOpen {
		t.Errorf("state: %v", sa.State())
	}
}
