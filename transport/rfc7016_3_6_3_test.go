package transport

import (
	"fmt"
	"testing"
	"time"

	"rtmfp/transport/wire"
)

// A fragment, for scripts: number, forward sequence number, flags.
func fragmentOf(seq, fsn uint64, flags wire.Flags) wire.UserData {
	u := wire.UserData{FlowID: 5, Sequence: seq, FSNOffset: seq - fsn, Flags: flags, Options: first}
	if !flags.Abandon() {
		u.Data = fmt.Append(nil, seq)
	}
	return u
}

// messages returns what was delivered on the scripted flow.
func (w *watched) delivered() (all []string) {
	for _, m := range w.b.messages[w.b.flows[0]] {
		all = append(all, string(m))
	}
	return all
}

// RFC 7016 §3.6.3.3: "complete messages", "in ascending sequence number order",
// abandoned segments never, those in progress later.
func TestDelivery(t *testing.T) {
	const (
		whole, begin, middle, end = wire.FragmentWhole, wire.FragmentBegin, wire.FragmentMiddle, wire.FragmentEnd
		abandon, final            = wire.FlagAbandon, wire.FlagFinal
	)
	for _, c := range []struct {
		name   string
		script []wire.UserData
		want   []string
		left   int // fragments that stay in the buffer
		done   bool
	}{
		{"in order", []wire.UserData{fragmentOf(1, 0, whole), fragmentOf(2, 0, whole)}, []string{"1", "2"}, 0, false},
		{"out of order", []wire.UserData{fragmentOf(2, 0, whole), fragmentOf(1, 0, whole)}, []string{"1", "2"}, 0, false},
		{"a gap", []wire.UserData{fragmentOf(1, 0, whole), fragmentOf(3, 0, whole)}, []string{"1"}, 1, false},
		{"a gap that is given up", []wire.UserData{fragmentOf(1, 0, whole), fragmentOf(3, 2, whole)}, []string{"1", "3"}, 0, false},
		{"in pieces, backwards", []wire.UserData{fragmentOf(3, 0, end), fragmentOf(2, 0, middle), fragmentOf(1, 0, begin)}, []string{"123"}, 0, false},
		{"in progress", []wire.UserData{fragmentOf(1, 0, begin), fragmentOf(2, 0, middle)}, nil, 2, false},
		{"given up in the middle", []wire.UserData{fragmentOf(1, 0, begin), fragmentOf(2, 0, middle), fragmentOf(4, 3, whole)}, []string{"4"}, 0, false},
		{"the beginning given up", []wire.UserData{fragmentOf(2, 1, middle), fragmentOf(3, 1, end), fragmentOf(4, 1, whole)}, []string{"4"}, 0, false},
		{"given up, and another in progress", []wire.UserData{fragmentOf(1, 0, begin), fragmentOf(3, 2, begin)}, nil, 1, false},
		{"two beginnings", []wire.UserData{fragmentOf(1, 0, begin), fragmentOf(2, 0, begin), fragmentOf(3, 0, end)}, []string{"23"}, 0, false},
		{"twice", []wire.UserData{fragmentOf(1, 0, whole), fragmentOf(1, 0, whole), fragmentOf(2, 0, whole), fragmentOf(1, 0, whole)}, []string{"1", "2"}, 0, false},
		{"abandoned", []wire.UserData{fragmentOf(1, 1, abandon), fragmentOf(2, 1, whole)}, []string{"2"}, 0, false},
		{"the final number", []wire.UserData{fragmentOf(1, 0, whole), fragmentOf(2, 0, whole|final)}, []string{"1", "2"}, 0, true},
		{"the final number first", []wire.UserData{fragmentOf(2, 0, whole|final), fragmentOf(1, 0, whole)}, []string{"1", "2"}, 0, true},
		{"a final number without data", []wire.UserData{fragmentOf(1, 0, whole), fragmentOf(2, 2, abandon|final)}, []string{"1"}, 0, true},
		{"final, with a message given up", []wire.UserData{fragmentOf(1, 0, begin), fragmentOf(3, 3, abandon|final)}, nil, 0, true},
		{"beyond the final number", []wire.UserData{fragmentOf(1, 0, whole|final), fragmentOf(2, 0, whole)}, []string{"1"}, 0, true},
	} {
		w := watch(t, nil)
		for _, u := range c.script {
			w.arrive(u)
		}
		r := w.b.flows[0]
		if got := fmt.Sprint(w.delivered()); got != fmt.Sprint(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if r.buffer.n() != c.left {
			t.Errorf("%s: %d fragments stay, want %d", c.name, r.buffer.n(), c.left)
		}
		if done := len(w.b.done) == 1; done != c.done {
			t.Errorf("%s: complete %v, want %v", c.name, done, c.done)
		}
		if c.left == 0 && w.sb.buffered != 0 {
			t.Errorf("%s: %d bytes buffered", c.name, w.sb.buffered)
		}
	}
}

// RFC 7016 §3.6.3.4.1: when an acknowledgement goes at once, and when it may
// wait.
func TestAcknowledgementTiming(t *testing.T) {
	for _, c := range []struct {
		sentence string
		before   []wire.UserData // acknowledged before the one that counts
		u        wire.UserData
		prepare  func(w *watched)
		atOnce   bool
	}{
		{"a User Data chunk that starts a new flow", nil, fragmentOf(1, 0, 0), nil, true},
		{"one packet in order", []wire.UserData{fragmentOf(1, 0, 0)}, fragmentOf(2, 0, 0), nil, false},
		{"if the flow is not in the RF_OPEN state", []wire.UserData{fragmentOf(1, 0, 0)}, fragmentOf(2, 0, 0),
			func(w *watched) { w.b.flows[0].Reject(w.now, 1); w.run(time.Second) }, true},
		{"if there was a sequence number gap before processing the chunk", []wire.UserData{fragmentOf(1, 0, 0), fragmentOf(3, 0, 0)}, fragmentOf(2, 0, 0), nil, true},
		{"if this chunk causes a sequence number gap", []wire.UserData{fragmentOf(1, 0, 0)}, fragmentOf(3, 0, 0), nil, true},
		{"a sequence number that was already seen", []wire.UserData{fragmentOf(1, 0, 0)}, fragmentOf(1, 0, 0), nil, true},
		{"the first receipt of the final sequence number", []wire.UserData{fragmentOf(1, 0, 0)}, fragmentOf(2, 0, wire.FlagFinal), nil, true},
		{"chunk.abandon is true", []wire.UserData{fragmentOf(1, 0, 0)}, fragmentOf(2, 2, wire.FlagAbandon), nil, true},
	} {
		w := watch(t, nil)
		for _, u := range c.before {
			w.arrive(u)
			w.run(time.Second)
		}
		if c.prepare != nil {
			c.prepare(w)
		}
		w.forget()
		began := w.now
		w.arrive(c.u)
		if atOnce := len(acks(w.fromB)) > 0; atOnce != c.atOnce {
			t.Errorf("%q: at once %v, want %v", c.sentence, atOnce, c.atOnce)
		}
		// "No longer than 200 milliseconds after receipt of a User Data chunk".
		w.run(200 * time.Millisecond)
		if len(acks(w.fromB)) == 0 {
			t.Errorf("%q: no acknowledgement within %v", c.sentence, w.now.Sub(began))
		}
	}
}

// "For every second packet containing user data", of whichever flows
// (RFC 7016 §3.6.3.4.1), and all of them together: "consolidate
// acknowledgements".
func TestAcknowledgementsOfSeveralFlows(t *testing.T) {
	w := watch(t, nil)
	on := func(flow, seq uint64) wire.UserData {
		u := fragmentOf(seq, 0, 0)
		u.FlowID = flow
		return u
	}
	for flow := range uint64(2) {
		w.arrive(on(5+flow, 1))
	}
	w.run(time.Second)
	w.forget()
	w.arrive(on(5, 2))
	if len(w.fromB) != 0 {
		t.Errorf("the first packet is acknowledged at once")
	}
	w.arrive(on(6, 2))
	if len(w.fromB) != 1 || len(w.fromB[0].acks) != 2 {
		t.Errorf("the second packet: %d packets with %d acknowledgements, want both in one", len(w.fromB), len(acks(w.fromB)))
	}
}

// "Attempt to piggyback an acknowledgement with user data if possible"
// (RFC 7016 §3.6.3.4.1).
func TestAcknowledgementWithUserData(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sb, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("x"), SendOptions{})
	w.arrive(fragmentOf(1, 0, 0))
	w.run(time.Second)
	w.forget()
	w.arrive(fragmentOf(2, 0, 0))
	send(t, f, w.now, []byte("y"), SendOptions{})
	w.b.turn()
	if len(w.fromB) != 1 || len(w.fromB[0].acks) != 1 || len(w.fromB[0].data) != 1 {
		t.Errorf("%d packets with %d acknowledgements and %d fragments, want one with both", len(w.fromB), len(acks(w.fromB)), len(data(w.fromB)))
	}
}

// "If the packet is being sent primarily to send an acknowledgement, AND this is
// the first acknowledgement in the packet, truncate the acknowledgement so that
// the packet does not exceed the path MTU" (RFC 7016 §3.6.3.4.2).
func TestTruncatedAcknowledgement(t *testing.T) {
	w := watch(t, func(c *Config) { c.MTU = 576 })
	w.arrive(fragmentOf(1, 0, 0))
	for i := range uint64(450) {
		w.arrive(fragmentOf(1000+i*600, 0, 0))
	}
	w.run(time.Second)
	last := w.fromB[0]
	for _, s := range w.fromB {
		if len(s.acks) > 0 {
			last = s
		}
	}
	if most := w.sb.maxPacket(); last.size > most || last.size < most-8 {
		t.Errorf("size: got %d, want up to %d", last.size, most)
	}
	if got := ranges(last.acks[0]); len(got) < 100 || len(got) >= 450 || got[0].First != 1000 {
		t.Errorf("%d ranges, want the first that fit", len(got))
	}
}

// "The flow receiver MUST advertise at least one buffer block in an
// acknowledgement if it is not suspended, even if the amount of data in the
// buffer exceeds the buffer capacity" (RFC 7016 §3.6.3.5), and takes the very next
// fragment.
func TestAdvertisement(t *testing.T) {
	w := watch(t, func(c *Config) { c.RecvBuffer = 4096; c.MaxMessage = 1024; c.SessionBuffer = 8192 })
	w.arrive(fragmentOf(1, 0, 0))
	for seq := uint64(3); seq < 40; seq++ {
		u := fragmentOf(seq, 0, 0)
		u.Data = make([]byte, 1000)
		w.arrive(u)
	}
	w.run(time.Second)
	all := acks(w.fromB)
	if got := all[len(all)-1].BufferBlocks; got != 1 {
		t.Errorf("a full buffer: %d blocks, want 1", got)
	}
	r := w.b.flows[0]
	if r.buffer.bytes > 8192 {
		t.Errorf("buffered: got %d bytes, want 8192 at most", r.buffer.bytes)
	}
	w.arrive(fragmentOf(2, 0, 0))
	if got := w.delivered(); len(got) < 4 || got[1] != "2" {
		t.Errorf("the fragment that was missing delivers %d messages", len(got))
	}
	r.Hold(w.now, true)
	for seq := uint64(100); seq < 140; seq++ {
		u := fragmentOf(seq, 99, 0)
		u.Data = make([]byte, 1000)
		w.arrive(u)
	}
	w.run(time.Second)
	all = acks(w.fromB)
	if got := all[len(all)-1].BufferBlocks; got != 0 {
		t.Errorf("a full buffer that is suspended: %d blocks, want 0", got)
	}
}

// RFC 7016 §3.6.3.6: a Buffer Probe is answered at once by an acknowledgement,
// also of a flow that is rejected or complete, and ignored for no flow at all.
func TestReceivingBufferProbe(t *testing.T) {
	probe := func(w *watched, flow uint64) {
		w.forget()
		buf := make([]byte, 4+w.sa.keys.Headroom(), 1500)
		p := wire.BufferProbe{FlowID: flow}.Append(wire.AppendHeader(buf, wire.Header{Mode: wire.ModeInitiator}))
		w.b.HandleDatagram(w.now, w.a.addr, w.sa.keys.Seal(p, w.sa.far))
		w.b.turn()
	}
	w := watch(t, nil)
	w.arrive(fragmentOf(1, 0, 0))
	w.run(time.Second)
	probe(w, 5)
	if got := acks(w.fromB); len(got) != 1 || got[0].FlowID != 5 || got[0].Cumulative != 1 {
		t.Errorf("an open flow: %+v", got)
	}
	probe(w, 6)
	if got := acks(w.fromB); len(got) != 0 || len(w.sb.recv) != 1 {
		t.Errorf("no flow: %+v", got)
	}
	w.b.flows[0].Reject(w.now, 3)
	w.run(time.Second)
	probe(w, 5)
	if got := acks(w.fromB); len(got) != 1 || len(w.fromB[0].refuse) != 1 || w.fromB[0].refuse[0].Code != 3 {
		t.Errorf("a rejected flow: %+v", w.fromB)
	}
}

// "The receiver indicates that it has rejected a flow by sending a Flow Exception
// Report chunk with every acknowledgement for a flow in the RF_REJECTED state"
// (RFC 7016 §3.6.3.7), "immediately preceding" it (§3.6.1.3), and "SHOULD
// acknowledge all sequence numbers received for any flow, whether the flow is
// accepted or rejected".
func TestExceptionReports(t *testing.T) {
	w := watch(t, nil)
	w.arrive(fragmentOf(1, 0, 0))
	w.b.flows[0].Reject(w.now, 9)
	for seq := uint64(2); seq < 6; seq++ {
		w.arrive(fragmentOf(seq, 0, 0))
	}
	n := 0
	for i, s := range w.fromB[1:] {
		if len(s.order) < 2 || s.order[0] != wire.ChunkException || s.order[1] != wire.ChunkRangeAck && s.order[1] != wire.ChunkBitmapAck {
			t.Errorf("packet %d: chunks %x, want an exception and an acknowledgement", i, s.order)
			continue
		}
		n++
		if s.refuse[0].Code != 9 || s.acks[0].BufferBlocks == 0 {
			t.Errorf("packet %d: code %d, window %d", i, s.refuse[0].Code, s.acks[0].BufferBlocks)
		}
	}
	if n < 4 {
		t.Errorf("%d acknowledgements, want one for each packet", n)
	}
	if all := acks(w.fromB); all[len(all)-1].Cumulative != 5 {
		t.Errorf("acknowledged up to %d, want 5", all[len(all)-1].Cumulative)
	}
	if got := w.delivered(); len(got) != 1 {
		t.Errorf("delivered: %v, want what came before alone", got)
	}
}

// "A receiving flow SHOULD remain in the RF_COMPLETE_LINGER state for 120
// seconds" (RFC 7016 §3.6.3.8): "this period allows any in-flight packets to drain
// from the network without being misidentified".
func TestReceivingFlowLingers(t *testing.T) {
	w := watch(t, nil)
	w.arrive(fragmentOf(1, 0, wire.FlagFinal))
	w.run(119 * time.Second)
	w.forget()
	w.arrive(fragmentOf(1, 0, wire.FlagFinal))
	if len(w.b.flows) != 1 || len(w.delivered()) != 1 {
		t.Fatalf("a late duplicate: %d flows, %d messages", len(w.b.flows), len(w.delivered()))
	}
	if got := acks(w.fromB); len(got) != 1 || got[0].Cumulative != 1 {
		t.Errorf("a late duplicate is acknowledged by %+v", got)
	}
	w.run(3 * time.Second)
	w.arrive(fragmentOf(1, 0, 0))
	if len(w.b.flows) != 2 {
		t.Errorf("the id is not free after 120 s")
	}
}
