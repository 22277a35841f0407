package transport

import (
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// stream keeps a flow's queue filled for a time, in messages of 50 kB, and
// returns the bytes that were delivered.
func stream(t *testing.T, n *network, f *SendFlow, to *testNode, d time.Duration) int {
	t.Helper()
	got := 0
	to.on = func(ev Event) {
		if ev.Kind == Message {
			got += len(ev.Data)
			to.messages = map[*RecvFlow][][]byte{}
		}
	}
	msg := numbered(1, 50_000)
	for end := n.now.Add(d); n.now < end; {
		for f.Buffered() < 32<<20 && f.Send(n.now, msg, SendOptions{}) == nil {
		}
		n.run(5 * time.Millisecond)
		for _, node := range n.nodes {
			if err := node.Check(n.now); err != nil {
				t.Fatalf("%s: %v", node.name, err)
			}
		}
	}
	to.on = nil
	return got
}

// A flow is not capped at its first window in a round trip: 80 ms and 400 Mbit/s
// are 4 MB, four times RecvBuffer. The window follows, and goes back to the start
// when the session falls idle.
func TestWindowGrows(t *testing.T) {
	n, a, b := pair(t, 1)
	n.latency, n.rate, n.queue = 40*time.Millisecond, 50e6, 4e6
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	stream(t, n, f, b, 2*time.Second)
	second := stream(t, n, f, b, time.Second)
	r := b.flows[0]
	t.Logf("%d bytes in the third second, window %d, %+v", second, r.Window(), s.Stats())
	if want := 40_000_000; second < want {
		t.Errorf("third second: got %d bytes, want at least %d", second, want)
	}
	if r.Window() < 4<<20 || r.Window() > 16<<20 {
		t.Errorf("window: got %d, want what the path holds, at most MaxRecvBuffer", r.Window())
	}
	n.run(30 * time.Second)
	if r.Window() != 1<<20 {
		t.Errorf("window of an idle flow: got %d, want RecvBuffer", r.Window())
	}
}

// The window stops at MaxRecvBuffer, and so does the sender: it is what the
// owner wants to spend.
func TestWindowBound(t *testing.T) {
	n := newNetwork(t, 1)
	n.latency, n.rate, n.queue = 40*time.Millisecond, 50e6, 4e6
	a := n.add("a", modern, nil)
	b := n.add("b", modern, func(c *Config) { c.MaxRecvBuffer = 2 << 20 })
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	stream(t, n, f, b, 2*time.Second)
	second := stream(t, n, f, b, time.Second)
	if got := b.flows[0].Window(); got != 2<<20 {
		t.Errorf("window: got %d, want MaxRecvBuffer", got)
	}
	if most := 2 << 20 * 1000 / 80; second > most+most/10 || second < most*8/10 {
		t.Errorf("third second: got %d bytes, want about a window in each of 12.5 round trips, %d", second, most)
	}
}

// An owner that holds the flow, or takes little, gives the far end no more to
// fill than RecvBuffer.
func TestWindowOfSlowOwner(t *testing.T) {
	n, a, b := pair(t, 1)
	s, _ := n.connect(a, b)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, numbered(1, 100), SendOptions{})
	n.until(time.Second, func() bool { return len(b.flows) == 1 })
	r := b.flows[0]
	for range 20 {
		r.Hold(n.now, true)
		stream(t, n, f, b, 500*time.Millisecond)
		if got := r.buffer.bytes; got > 1<<20+1<<17 {
			t.Fatalf("held: got %d bytes, want no more than RecvBuffer and what the far end doesn't count", got)
		}
		r.Hold(n.now, false)
		n.run(time.Millisecond)
	}
	if got := r.Window(); got > 8<<20 {
		t.Errorf("window: got %d", got)
	}
}

// begin is the place in its message of a fragment of one that never ends.
func begin(seq uint64) wire.Flags {
	if seq == 1 {
		return wire.FragmentBegin
	}
	return wire.FragmentMiddle
}

// fragment makes the far end of a victim's session send what no honest one would.
func (v *victim) fragment(flow, seq, fsn uint64, place wire.Flags, size int) {
	v.inside(wire.UserData{FlowID: flow, Sequence: seq, FSNOffset: seq - fsn, Flags: place, Options: first, Data: make([]byte, size)})
	v.a.turn()
	v.n.flights = nil
}

// A peer that leaves gaps in all its flows, and one that never ends a message,
// fill no more than SessionBuffer, and twice that; then the flow is rejected.
func TestSessionBuffer(t *testing.T) {
	v := newVictim(t) // of 4 flows and 8192 bytes
	for seq := uint64(3); seq < 100; seq++ {
		for flow := uint64(2); flow < 6; flow++ {
			v.fragment(flow, seq, 0, wire.FragmentMiddle, 1000)
		}
	}
	if got := v.a.Stats().Buffered; got > 8192 || got < 7000 {
		t.Errorf("buffered behind gaps: got %d bytes, want 8192 at most", got)
	}
	for seq := uint64(1); seq < 100; seq++ {
		v.fragment(2, seq, 0, begin(seq), 1000)
		if got := v.a.Stats().Buffered; got > 16384 {
			t.Fatalf("buffered of an endless message: got %d bytes, want 16384 at most", got)
		}
	}
	if f, _ := v.sa.recvFlow(2); f.state != recvRejected {
		t.Errorf("the flow of an endless message: state %d, want rejected", f.state)
	}
}

// All sessions together fill no more than EndpointBuffer, and twice that with
// fragments that come next; those are dropped then and no flow is rejected for
// what others hold.
func TestEndpointBuffer(t *testing.T) {
	v := newVictim(t)
	v.a.cfg.SessionBuffer, v.a.cfg.EndpointBuffer = 1<<20, 8192
	second := v.n.add("c", modern, nil)
	v.n.connect(second, v.a)
	for seq := uint64(1); seq < 100; seq++ {
		v.fragment(2, seq, 0, begin(seq), 1000)
		if got := v.a.Stats().Buffered; got > 16384 {
			t.Fatalf("buffered: got %d bytes, want 16384 at most", got)
		}
	}
	f, _ := v.sa.recvFlow(2)
	if f.state != recvOpen || v.a.Stats().Dropped[DropBuffer] == 0 || f.available() != 1 {
		t.Errorf("state %d, dropped %d, window %d blocks, want an open flow with the least window", f.state, v.a.Stats().Dropped[DropBuffer], f.available())
	}
	v.sa.Abort(v.n.now)
	if got := v.a.Stats().Buffered; got != 0 {
		t.Errorf("buffered after the end of the session: got %d bytes", got)
	}
}

// The rate is of a whole round trip, whatever the clock says between.
func TestWindowTune(t *testing.T) {
	const trip = 100 * time.Millisecond
	s := &Session{e: &Endpoint{cfg: Config{RecvBuffer: 1 << 20, MaxRecvBuffer: 16 << 20}}}
	s.rtt.srtt = trip
	at := func(ms int) clock.Time { return clock.Time(time.Hour).Add(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name  string
		ms    int
		bytes uint64
		want  int32
	}{
		{"less than a round trip", 99, 100 << 20, 1 << 20},
		{"half of the window", 100, 1 << 19, 1 << 20},
		{"all of the window", 100, 1 << 20, 2 << 20},
		{"all of it in two round trips", 200, 1 << 20, 1 << 20},
		{"more than all that is allowed", 100, 1 << 30, 16 << 20},
		{"after a long silence", 3_600_000, 1 << 20, 1 << 20},
	} {
		w := recvWindow{size: 1 << 20, since: uint32(int64(at(0)) / 1000), taken: 5}
		w.tune(at(c.ms), s, 5+c.bytes)
		if got := w.size; got < c.want-c.want/100 || got > c.want+c.want/100 {
			t.Errorf("%s: got %d, want about %d", c.name, got, c.want)
		}
	}
}
