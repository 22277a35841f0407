package transport

import (
	"bytes"
	"testing"
	"time"

	"rtmfp/transport/wire"
)

// "If STARTUP_OPTIONS is not empty, then when assembling the FIRST User Data
// chunk for this flow into a packet, add the encoded STARTUP_OPTIONS to that
// chunk's option list" (RFC 7016 §3.6.2.3.1), until "the flow is acknowledged by
// the far end" (§3.6.1.3).
func TestStartupOptions(t *testing.T) {
	w := watch(t, nil)
	metadata := bytes.Repeat([]byte("m"), 512)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: metadata})
	w.a.mute = true
	send(t, f, w.now, numbered(1, 5000), SendOptions{})
	w.run(time.Second)
	if len(w.fromA) < 6 {
		t.Fatalf("%d packets, want five and some again", len(w.fromA))
	}
	for i, s := range w.fromA {
		for k, u := range s.data {
			if o, ok := wire.ParseFlowOptions(u.Options); k == 0 && (!ok || !bytes.Equal(o.Metadata, metadata)) {
				t.Errorf("packet %d: no metadata", i)
			} else if k > 0 && u.Options != nil {
				t.Errorf("packet %d: metadata twice", i)
			}
		}
	}
	w.a.mute = false
	w.until(5*time.Second, func() bool { return f.queue.n == 0 })
	w.forget()
	send(t, f, w.now, numbered(2, 3000), SendOptions{})
	w.run(time.Second)
	for _, u := range data(w.fromA) {
		if u.Options != nil {
			t.Errorf("options after the flow was acknowledged: %x", u.Options)
		}
	}
}

// "The implementation chooses a new flow ID that is not assigned to any other
// sending flow in that session in the F_OPEN, F_CLOSING, or F_COMPLETE_LINGER
// states" (RFC 7016 §3.6.2.1).
func TestFlowIDsAreFresh(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("x"), SendOptions{})
	f.Close(w.now)
	w.until(time.Second, func() bool { return len(w.a.ended) == 1 })
	for at := time.Duration(0); at < 129*time.Second; at += 30 * time.Second {
		g := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
		if g.ID() == f.ID() {
			t.Fatalf("id %d again after %v", g.ID(), at)
		}
		w.run(30 * time.Second)
	}
	w.run(15 * time.Second)
	if g := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")}); g.ID() != f.ID() {
		t.Errorf("id: got %d, want %d again after 130 s", g.ID(), f.ID())
	}
}

// "0: This fragment is a complete message. 1: This fragment is the first of a
// multi-fragment message. 2: This fragment is the last … 3: This fragment is in
// the middle" (RFC 7016 §3.6.2.2); sequence numbers go up by one from 1.
func TestFragmentControl(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, numbered(0, 10), SendOptions{})
	send(t, f, w.now, numbered(0, 3500), SendOptions{})
	send(t, f, w.now, nil, SendOptions{})
	send(t, f, w.now, numbered(0, 2000), SendOptions{})
	w.until(time.Second, func() bool { return len(w.b.flows) == 1 && len(w.b.messages[w.b.flows[0]]) == 4 })
	want := []wire.Flags{wire.FragmentWhole, wire.FragmentBegin, wire.FragmentMiddle, wire.FragmentMiddle,
		wire.FragmentEnd, wire.FragmentWhole, wire.FragmentBegin, wire.FragmentEnd}
	sent := data(w.fromA)
	if len(sent) != len(want) {
		t.Fatalf("%d fragments, want %d", len(sent), len(want))
	}
	for i, u := range sent {
		if u.Flags.Fragment() != want[i] || u.Sequence != uint64(i+1) {
			t.Errorf("fragment %d: got control %x of number %d, want %x", i, u.Flags.Fragment(), u.Sequence, want[i])
		}
	}
}

// "The FIRST fragment of a flow assembled into a packet MUST be encoded as a User
// Data chunk" (RFC 7016 §3.6.2.3.2), others that follow on it as Next User Data;
// a packet holds data of one flow, and never more than the path takes.
func TestPackets(t *testing.T) {
	w := watch(t, nil)
	for i := range 3 {
		f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x"), TimeCritical: i == 2})
		for k := range 40 {
			send(t, f, w.now, numbered(k, 100), SendOptions{})
		}
	}
	w.until(time.Second, func() bool { return len(w.b.flows) == 3 && len(w.b.messages[w.b.flows[2]]) == 40 })
	for i, s := range w.fromA {
		if len(s.data) == 0 {
			continue
		}
		if s.next != len(s.data)-1 {
			t.Errorf("packet %d: %d of %d fragments are Next User Data", i, s.next, len(s.data))
		}
		for _, u := range s.data {
			if u.FlowID != s.data[0].FlowID {
				t.Errorf("packet %d: data of flows %d and %d", i, s.data[0].FlowID, u.FlowID)
			}
		}
		if most := w.sa.maxPacket(); s.size > most {
			t.Errorf("packet %d: %d bytes, want %d at most", i, s.size, most)
		}
		// "If this flow or entry is considered Time Critical (real-time), set
		// the timeCritical flag in the packet header" (§3.6.2.3 step 18).
		if want := s.data[0].FlowID == firstFlow+2; s.header.TimeCritical != want {
			t.Errorf("packet %d: time critical %v, want %v", i, s.header.TimeCritical, want)
		}
	}
}

// "The FSN MUST NOT be greater than any sequence number currently outstanding.
// The FSN MUST NOT be equal to any sequence number currently outstanding that was
// not abandoned when sent" (RFC 7016 §3.6.2.3), whatever is lost and given up.
func TestForwardSequenceNumber(t *testing.T) {
	for seed := range uint64(20) {
		n := newNetwork(t, seed)
		var log []sighting
		a, b := n.add("a", modern, spy(&log)), n.add("b", modern, nil)
		n.loss = 0.2
		sa, _ := n.connect(a, b)
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		seen := 0
		check := func() {
			for ; seen < len(log); seen++ {
				for _, u := range log[seen].data {
					for fr := sa.flightHead; fr != nil; fr = fr.next {
						fsn := u.ForwardSequence()
						if fr.seq < fsn || fr.seq == fsn && !fr.sentAbandoned {
							t.Fatalf("seed %d: FSN %d while %d is outstanding, abandoned when sent: %v", seed, fsn, fr.seq, fr.sentAbandoned)
						}
					}
				}
			}
		}
		for i := range 200 {
			o := SendOptions{}
			if i%3 > 0 {
				o.Deadline = n.now.Add(time.Duration(i%7*20) * time.Millisecond)
			}
			send(t, f, n.now, numbered(i, 10+i*37%3000), o)
			for end := n.now.Add(8 * time.Millisecond); n.step(end); {
				check()
			}
			n.now = n.now.Add(time.Millisecond)
		}
		f.Close(n.now)
		n.until(time.Minute, func() bool { check(); return len(a.ended) == 1 && len(b.done) == 1 })
	}
}

// "An FSN Update comprising a User Data chunk marked abandoned, whose sequence
// number is the FSN and whose fsnOffset is 0" (RFC 7016 §3.6.2.7.1), and "if
// entry.ABANDONED is true, set chunk.userData to empty" (§3.6.2.3 step 10). "When
// abandoning a message fragment, abandon all fragments of the message to which it
// belongs" (§3.6.2.7).
func TestForwardSequenceNumberUpdateChunk(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("x"), SendOptions{})
	w.run(time.Second)
	w.forget()
	w.a.mute = true
	send(t, f, w.now, numbered(1, 4000), SendOptions{Deadline: w.now.Add(20 * time.Millisecond)})
	w.run(40 * time.Millisecond)
	w.a.mute = false
	w.until(5*time.Second, func() bool { return f.queue.n == 0 })
	sent := data(w.fromA)
	last := sent[len(sent)-1]
	if !last.Flags.Abandon() || last.FSNOffset != 0 || last.Sequence != 5 || len(last.Data) != 0 {
		t.Errorf("the last fragment: %+v, want an update up to 5", last)
	}
	for _, u := range sent {
		if u.Flags.Abandon() != (len(u.Data) == 0) {
			t.Errorf("abandoned: %v, with %d bytes", u.Flags.Abandon(), len(u.Data))
		}
	}
	if got := w.b.flows[0].received.upTo; got != 5 {
		t.Errorf("received up to %d, want 5", got)
	}
}

// "A fragment is considered lost and no longer in flight in the network if it has
// remained outstanding for at least ERTO" (RFC 7016 §3.6.2.6), and ERTO grows
// with each timeout up to 10 s (§3.5.2.2).
func TestTimeout(t *testing.T) {
	w := watch(t, func(c *Config) { c.RetransmitLimit = 5 * time.Minute })
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("x"), SendOptions{})
	w.run(time.Second)
	w.forget()
	w.a.mute = true
	send(t, f, w.now, []byte("y"), SendOptions{})
	w.run(2 * time.Minute)
	var at []time.Duration
	for _, s := range w.fromA {
		if len(s.data) > 0 {
			at = append(at, s.at.Sub(w.fromA[0].at))
		}
	}
	if len(at) < 10 {
		t.Fatalf("sent at %v, want more often", at)
	}
	// Tail-loss probes come first.
	for i := 4; i < len(at)-1; i++ {
		last, this := at[i]-at[i-1], at[i+1]-at[i]
		if this < last || this > 10*time.Second+time.Millisecond {
			t.Errorf("intervals: %v after %v, want growth up to 10 s", this, last)
		}
	}
	if got := w.sa.Stats().Outstanding; got > 100 {
		t.Errorf("outstanding: got %d bytes, want the last try alone", got)
	}
}

// "The flow sender MUST NOT send new data into the network if
// flow.F_OUTSTANDING_BYTES is greater than or equal to the most recently received
// buffer advertisement" (RFC 7016 §3.6.2.9); it is 65536 bytes before any.
func TestFlowWindow(t *testing.T) {
	w := watch(t, func(c *Config) { c.RecvBuffer, c.MaxRecvBuffer, c.MaxMessage = 8192, 8192, 4096 })
	w.sa.congestion.window = 1 << 20
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("x"), SendOptions{})
	w.run(time.Second)
	if f.window != 8192 {
		t.Fatalf("window: got %d, want 8192", f.window)
	}
	for i := range 200 {
		send(t, f, w.now, numbered(i, 1000), SendOptions{})
	}
	most := int32(0)
	w.until(20*time.Second, func() bool {
		most = max(most, f.outstanding)
		return len(w.b.messages[w.b.flows[0]]) == 201
	})
	if most > 8192+int32(w.sa.maxPacket()) || most < 8192 {
		t.Errorf("outstanding: got %d bytes at most, want the window of 8192 and less than a packet", most)
	}
}
