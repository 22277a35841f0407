package transport

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"rtmfp/transport/wire"
)

// RFC 7016 §3.6.1, overview of flows.

// "Each end of a session chooses its sending flow identifiers independently of the
// other end. The choice of similar flow identifiers by both ends does not imply an
// association. … a flow receiver MUST NOT ascribe any semantic meaning, role, or
// name to a flow based only on its identifier. There are no "well known" or reserved
// flow identifiers."
func TestRFC7016_3_6_1_1_Identity(t *testing.T) {
	w := watch(t, nil)
	for _, x := range []struct {
		s    *Session
		name string
	}{{w.sa, "from a"}, {w.sb, "from b"}} {
		f := open(t, x.s, w.now, FlowOptions{Metadata: []byte(x.name)})
		send(t, f, w.now, []byte(x.name), SendOptions{})
	}
	w.run(time.Second)
	ra, rb := w.a.flows[0], w.b.flows[0]
	if ra.ID() != rb.ID() {
		t.Fatalf("ids %d and %d, want the same", ra.ID(), rb.ID())
	}
	if ra.Reply() != nil || rb.Reply() != nil {
		t.Error("flows with the same id count as associated")
	}
	if string(ra.Metadata()) != "from b" || string(rb.Metadata()) != "from a" {
		t.Errorf("metadata %q and %q", ra.Metadata(), rb.Metadata())
	}
	for _, id := range []uint64{0, 1, 7, 127, 128, 1 << 40, 1<<64 - 1} {
		u := fragmentOf(1, 0, wire.FragmentWhole)
		if u.FlowID = id; id == 0 { // arrive takes 0 for flow 5
			u.FlowID = 1 << 20
		}
		before := len(w.b.flows)
		w.arrive(u)
		if len(w.b.flows) != before+1 || string(w.b.messages[w.b.flows[before]][0]) != "1" {
			t.Errorf("flow %d is not like any other", u.FlowID)
		}
	}
}

// "An endpoint can indicate that a new sending flow is in return (or response) to a
// receiving flow from the other end. A sending flow MUST NOT indicate more than one
// return association. A receiving flow can be specified as the return association for
// any number of sending flows. … Closure of one flow in an association does not
// automatically close other flows in the association".
func TestRFC7016_3_6_1_1_Association(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("question")})
	send(t, f, w.now, []byte("?"), SendOptions{})
	w.run(time.Second)
	w.forget()
	var answers []*SendFlow
	for i := range 5 {
		g := open(t, w.sb, w.now, FlowOptions{Metadata: fmt.Append(nil, i), Reply: w.b.flows[0]})
		send(t, g, w.now, []byte("!"), SendOptions{})
		answers = append(answers, g)
	}
	w.run(time.Second)
	for _, u := range data(w.fromB) {
		if o, ok := wire.ParseFlowOptions(u.Options); len(u.Options) > 0 && (!ok || !o.HasReturnFlow || o.ReturnFlow != f.ID()) {
			t.Errorf("options %x, want one return flow", u.Options)
		}
	}
	if len(w.a.flows) != 5 {
		t.Fatalf("%d return flows, want 5", len(w.a.flows))
	}
	answers[0].Close(w.now)
	w.run(time.Second)
	f.Close(w.now)
	w.run(time.Second)
	for i, r := range w.a.flows {
		if r.Reply() != f || string(r.Metadata()) != fmt.Sprint(i) { // "fixed for the lifetime"
			t.Errorf("return flow %d: metadata %q, association changed", i, r.Metadata())
		}
		if i > 0 {
			send(t, answers[i], w.now, []byte("still"), SendOptions{})
		}
	}
	w.run(time.Second)
	for i, r := range w.a.flows[1:] {
		if got := w.a.messages[r]; len(got) != 2 {
			t.Errorf("return flow %d: %d messages after the others were closed, want 2", i+1, len(got))
		}
	}
}

// "the user metadata is entirely reserved for the application": any bytes, none, and
// as many as the limit.
func TestRFC7016_3_6_1_1_Metadata(t *testing.T) {
	w := watch(t, nil)
	for i, m := range [][]byte{nil, {0}, []byte("name"), bytes.Repeat([]byte{0xff}, maxMetadata)} {
		f := open(t, w.sa, w.now, FlowOptions{Metadata: m})
		send(t, f, w.now, []byte("x"), SendOptions{})
		w.run(time.Second)
		if len(w.b.flows) != i+1 || !bytes.Equal(w.b.flows[i].Metadata(), m) {
			t.Errorf("metadata %x did not arrive", m)
		}
	}
}

// "Large messages are fragmented for transport in the network. Receivers reassemble
// fragmented messages and only present complete messages to the user." "In any flow,
// fragment sequence numbers are unique and monotonically increasing"; "the sender
// SHOULD send lower sequence numbers first"; "each flow is sequenced independently of
// all other flows".
func TestRFC7016_3_6_1_2_Sequencing(t *testing.T) {
	w := watch(t, nil)
	w.loss, w.jitter = 0.05, 10*time.Millisecond
	var flows []*SendFlow
	for i := range 3 {
		flows = append(flows, open(t, w.sa, w.now, FlowOptions{Metadata: []byte{byte(i)}}))
	}
	for i := range 30 {
		for _, f := range flows {
			send(t, f, w.now, numbered(i, 1+i*400), SendOptions{})
		}
	}
	w.run(30 * time.Second)
	highest := map[uint64]uint64{}
	kept := map[[2]uint64]string{}
	for _, u := range data(w.fromA) {
		key := [2]uint64{u.FlowID, u.Sequence}
		if old, again := kept[key]; again && !u.Flags.Abandon() && old != string(u.Data) {
			t.Errorf("flow %d: number %d stands for two fragments", u.FlowID, u.Sequence)
		} else if !again && u.Sequence != highest[u.FlowID]+1 {
			t.Errorf("flow %d: %d was sent first after %d", u.FlowID, u.Sequence, highest[u.FlowID])
		}
		kept[key] = string(u.Data)
		highest[u.FlowID] = max(highest[u.FlowID], u.Sequence)
	}
	for _, r := range w.b.flows {
		got := w.b.messages[r]
		if len(got) != 30 {
			t.Errorf("flow %d: %d messages, want 30", r.ID(), len(got))
		}
		for i, m := range got {
			if !bytes.Equal(m, numbered(i, 1+i*400)) {
				t.Errorf("flow %d: message %d is not complete, or not in its place", r.ID(), i)
			}
		}
	}
}

// "A sender can abandon a queued message at any time … each message SHOULD take at
// least one sequence number from the sequence space even if no fragments for that
// message are ever sent." "A gap indication MUST be communicated to the receiving
// user."
func TestRFC7016_3_6_1_2_Gap(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("one"), SendOptions{})
	w.run(time.Second)
	before := f.nextSN
	w.sa.congestion.window = 0 // nothing of it is ever sent
	send(t, f, w.now, []byte("two"), SendOptions{Deadline: w.now.Add(10 * time.Millisecond)})
	w.run(20 * time.Millisecond)
	w.sa.congestion.window = 12000
	if f.nextSN != before+1 {
		t.Errorf("the message took %d numbers, want 1", f.nextSN-before)
	}
	send(t, f, w.now, []byte("three"), SendOptions{})
	w.run(3 * time.Second)
	r := w.b.flows[0]
	if got := w.b.messages[r]; len(got) != 2 || string(got[1]) != "three" || w.b.skipped[r] != 1 {
		t.Errorf("delivered %q with %d gaps, want two messages and one gap", got, w.b.skipped[r])
	}
}

// "The sender continues to include the user metadata and return flow association until
// the flow is acknowledged by the far end … After that point, the flow identifier
// alone is sufficient."
func TestRFC7016_3_6_1_3_StartupOptions(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	for range 20 { // before and after the first acknowledgement
		send(t, f, w.now, []byte("x"), SendOptions{})
		w.run(2 * time.Millisecond)
	}
	acked := w.now
	for _, s := range w.fromB {
		if len(s.acks) > 0 {
			acked = min(acked, s.at.Add(w.latency))
		}
	}
	with, without := 0, 0
	for _, s := range w.fromA {
		for _, u := range s.data {
			if has := len(u.Options) > 0; has != (s.at < acked) && s.at != acked {
				t.Errorf("options %v, %v after the acknowledgement", has, s.at.Sub(acked))
			} else if has {
				with++
			} else {
				without++
			}
		}
	}
	if with == 0 || without == 0 {
		t.Errorf("%d fragments with options, %d without, want both", with, without)
	}
}

// "If a flow sender receives a Flow Exception indication from the other end, the flow
// sender SHOULD close the flow and abandon all of the undelivered queued messages. The
// flow sender SHOULD indicate an exception to the user." "Flow receivers MUST NOT
// acknowledge sequence numbers higher than the FSN that were not received."
func TestRFC7016_3_6_1_3_Exception(t *testing.T) {
	w := watch(t, nil)
	f := open(t, w.sa, w.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, w.now, []byte("x"), SendOptions{})
	w.run(time.Second)
	w.b.flows[0].Reject(w.now, 42)
	for i := range 50 {
		send(t, f, w.now, numbered(i, 3000), SendOptions{})
	}
	w.run(5 * time.Second)
	if len(w.a.rejected) != 1 || w.a.rejected[0] != 42 || len(w.a.ended) != 1 {
		t.Errorf("exceptions %v, %d flows ended, want 42 and 1", w.a.rejected, len(w.a.ended))
	}
	if f.Queued() != 0 || f.Buffered() != 0 || f.Send(w.now, []byte("y"), SendOptions{}) == nil {
		t.Error("the flow is not closed, or something stays queued")
	}
	w.arrive(fragmentOf(1, 0, wire.FragmentWhole))
	w.forget()
	w.arrive(fragmentOf(9, 4, wire.FragmentWhole))
	got := acks(w.fromB)
	if len(got) != 1 || got[0].Cumulative != 4 || len(ranges(got[0])) != 1 || ranges(got[0])[0].First != 9 {
		t.Errorf("acknowledged %+v, want up to 4, and 9", got)
	}
}
