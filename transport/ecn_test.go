package transport

import (
	"net/netip"
	"testing"
	"time"

	"rtmfp/transport/wire"
)

// marked is a path on which one end sends enough to need marks.
func marked(t *testing.T, change func(*network, *Config)) (n *network, a, b *testNode, s *Session) {
	n = newNetwork(t, 1)
	n.latency, n.rate, n.queue, n.congest = 20*time.Millisecond, 1_250_000, 60_000, 15_000
	set := func(c *Config) {
		if change != nil {
			change(n, c)
		}
	}
	a, b = n.add("a", modern, set), n.add("b", modern, set)
	s, _ = n.connect(a, b)
	return n, a, b, s
}

// pour sends size bytes on a new flow, and waits for their end.
func pour(t *testing.T, n *network, s *Session, to *testNode, size int) time.Duration {
	t.Helper()
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	began := n.now
	done := len(to.done)
	for left := size; left > 0; {
		if f.Send(n.now, numbered(1, min(left, 50_000)), SendOptions{}) == nil {
			left -= min(left, 50_000)
		} else {
			n.run(20 * time.Millisecond)
		}
	}
	f.Close(n.now)
	n.until(5*time.Minute, func() bool { return len(to.done) > done })
	return n.now.Sub(began)
}

// On a path that marks instead of dropping, a transfer finds its rate without
// losing anything, cuts once in a round trip, and keeps the queue short.
func TestECNInsteadOfLoss(t *testing.T) {
	n, a, b, s := marked(t, nil)
	took := pour(t, n, s, b, 10_000_000)
	st, ecn := s.Stats(), s.ECN()
	t.Logf("%.2f Mbit/s, lost %d, srtt %v, %+v", 80/took.Seconds(), st.Lost, s.SRTT(), ecn)
	if ecn.State != ECNCapable || ecn.Congested == 0 {
		t.Errorf("state: got %+v, want capable, and marks", ecn)
	}
	if took > 9*time.Second {
		t.Errorf("10 MB took %v, want about 8.4 s", took)
	}
	if st.Lost > 100 { // of slow start, if any
		t.Errorf("lost: got %d packets, want next to none", st.Lost)
	}
	if got := b.Session(a.PeerID()).ECN(); got.Heard < ecn.Sent-ecn.Sent/10 || got.HeardCongest < ecn.Congested {
		t.Errorf("the far end heard %+v", got)
	}
	without, _, c, s2 := marked(t, func(_ *network, c *Config) { c.NoECN = true })
	pour(t, without, s2, c, 10_000_000)
	if got := s2.Stats().Lost; got <= st.Lost || s2.ECN() != (ECNStats{}) {
		t.Errorf("without marks: lost %d, %+v, want more than with", got, s2.ECN())
	}
}

// "Once per round trip": many marks in one are one reason to cut (RFC 9002
// §7.3.2), and the next round trip's are another.
func TestECNCutsOncePerRoundTrip(t *testing.T) {
	n, _, b, s := marked(t, func(n *network, _ *Config) { n.congest, n.queue = 0, 0 })
	pour(t, n, s, b, 1_000_000)
	if got := s.ECN().State; got != ECNCapable {
		t.Fatalf("state: got %v", got)
	}
	cuts, before := 0, s.congestion.window
	n.mark = func(_, _ netip.AddrPort, ecn ECN) ECN {
		if ecn == ECT0 {
			return CE
		}
		return ecn
	}
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	for range 40 {
		send(t, f, n.now, numbered(1, 50_000), SendOptions{})
	}
	trips := 0
	recovery := s.congestion.recovery
	for end := n.now.Add(time.Second); n.now < end; {
		n.run(time.Millisecond)
		if s.congestion.recovery != recovery {
			recovery, cuts = s.congestion.recovery, cuts+1
		}
	}
	trips = int(time.Second / s.SRTT())
	t.Logf("%d cuts in %d round trips, window %d to %d", cuts, trips, before, s.congestion.window)
	if cuts < 3 || cuts > trips+2 {
		t.Errorf("cuts: got %d in %d round trips", cuts, trips)
	}
	if s.Stats().Timeouts > 0 {
		t.Errorf("timeouts: got %d", s.Stats().Timeouts)
	}
}

// RFC 9000 §13.4.2: a path that erases marks, writes others, or marks all it
// carries is found out, and from then on nothing is marked. The transfer does not
// suffer.
func TestECNValidation(t *testing.T) {
	towards := func(to **testNode, f func(ECN) ECN) func(from, to netip.AddrPort, ecn ECN) ECN {
		return func(_, at netip.AddrPort, ecn ECN) ECN {
			if at == (*to).addr {
				return f(ecn)
			}
			return ecn
		}
	}
	for _, c := range []struct {
		name string
		f    func(i int, e ECN) ECN
		want ECNState
	}{
		{"passed", func(_ int, e ECN) ECN { return e }, ECNCapable},
		{"erased", func(int, ECN) ECN { return NotECT }, ECNFailed},
		{"erased later", func(i int, e ECN) ECN {
			if i > 500 {
				return NotECT
			}
			return e
		}, ECNFailed},
		{"every other one erased", func(i int, e ECN) ECN {
			if i%2 == 0 {
				return NotECT
			}
			return e
		}, ECNFailed},
		{"ECT(1)", func(_ int, e ECN) ECN {
			if e == ECT0 {
				return ECT1
			}
			return e
		}, ECNFailed},
		{"all CE", func(_ int, e ECN) ECN {
			if e == ECT0 {
				return CE
			}
			return e
		}, ECNFailed},
		{"marks on what had none", func(int, ECN) ECN { return ECT0 }, ECNFailed},
	} {
		var b *testNode
		n, _, b, s := marked(t, func(n *network, _ *Config) { n.congest, n.queue = 0, 0 })
		i := 0
		n.mark = towards(&b, func(e ECN) ECN { i++; return c.f(i, e) })
		pour(t, n, s, b, 2_000_000)
		ecn := s.ECN()
		if ecn.State != c.want {
			t.Errorf("%s: got %+v, want %v", c.name, ecn, c.want)
		}
		if sent := s.Stats().PacketsSent; c.want == ECNFailed && c.name != "erased later" && ecn.Sent > 100 {
			t.Errorf("%s: %d of %d packets were marked", c.name, ecn.Sent, sent)
		}
		if s.Stats().Timeouts > 0 || s.Stats().Lost > 0 {
			t.Errorf("%s: %+v", c.name, s.Stats())
		}
	}
}

// A path that drops what is marked, from the first on or later, costs some
// timeouts and no more. One that was silent for a while and is well again is
// tested anew.
func TestECNBlackHole(t *testing.T) {
	n, _, b, s := marked(t, func(n *network, _ *Config) { n.congest, n.queue = 0, 0 })
	n.dropMarked = true
	if took := pour(t, n, s, b, 1_000_000); took > 5*time.Second {
		t.Errorf("1 MB took %v", took)
	}
	if got := s.ECN(); got.State == ECNCapable || got.Sent > ecnTest+sessionTurn {
		t.Errorf("from the first on: got %+v, want marks given up", got)
	}

	n, _, b, s = marked(t, func(n *network, _ *Config) { n.congest, n.queue = 0, 0 })
	pour(t, n, s, b, 1_000_000)
	n.dropMarked = true
	if took := pour(t, n, s, b, 1_000_000); took > 8*time.Second {
		t.Errorf("1 MB took %v", took)
	}
	if got := s.ECN(); got.State != ECNFailed {
		t.Errorf("later: got %+v, want marks given up", got)
	}

	n, _, b, s = marked(t, func(n *network, _ *Config) { n.congest, n.queue = 0, 0 })
	pour(t, n, s, b, 1_000_000)
	f := open(t, s, n.now, FlowOptions{Metadata: []byte("x")})
	b.mute = true
	send(t, f, n.now, []byte("x"), SendOptions{})
	n.until(9*time.Second, func() bool { return s.Stats().Timeouts == 2 })
	b.mute = false
	pour(t, n, s, b, 1_000_000)
	if got := s.ECN(); got.State != ECNCapable {
		t.Errorf("after an outage: got %+v, want capable", got)
	}
}

// The new path after a move is tested by itself, and what came of the old one
// does not count.
func TestECNMobility(t *testing.T) {
	for _, erased := range []bool{false, true} {
		n, a, b, s := marked(t, func(n *network, _ *Config) { n.congest, n.queue = 0, 0 })
		first := b.addr
		n.mark = func(_, to netip.AddrPort, ecn ECN) ECN {
			if (to == first) == erased && to != a.addr {
				return NotECT
			}
			return ecn
		}
		pour(t, n, s, b, 1_000_000)
		if got, want := s.ECN().State == ECNFailed, erased; got != want {
			t.Fatalf("erased %v: before the move: got %+v", erased, s.ECN())
		}
		b.addr = netip.MustParseAddrPort("10.9.9.9:1935")
		f := open(t, b.Session(a.PeerID()), n.now, FlowOptions{Metadata: []byte("here")})
		send(t, f, n.now, []byte("x"), SendOptions{})
		n.until(5*time.Second, func() bool { return s.FarAddr() == b.addr })
		pour(t, n, s, b, 1_000_000)
		if got, want := s.ECN().State == ECNFailed, !erased; got != want {
			t.Errorf("erased at first: %v: after the move: got %+v", erased, s.ECN())
		}
	}
}

// An end without the extension is never sent a mark, nor a chunk that it does not
// know.
func TestECNNotNegotiated(t *testing.T) {
	var log []sighting
	n := newNetwork(t, 1)
	a := n.add("a", modern, spy(&log))
	b := n.add("b", modern, func(c *Config) { c.NoECN = true })
	s, _ := n.connect(a, b)
	n.mark = func(_, _ netip.AddrPort, ecn ECN) ECN {
		if ecn != NotECT {
			t.Errorf("a mark: %d", ecn)
		}
		return ecn
	}
	pour(t, n, s, b, 100_000)
	pour(t, n, b.Session(a.PeerID()), a, 100_000)
	for _, p := range log {
		for _, c := range p.order {
			if c == wire.ChunkECNReport {
				t.Fatal("a report that nobody has a use for")
			}
		}
	}
}

// An end that marks its packets without having negotiated anything, as another
// implementation does, is answered in the short form, and gets marks itself, to
// which it may answer likewise.
func TestECNShortForm(t *testing.T) {
	var log []sighting
	n := newNetwork(t, 1)
	b := n.add("b", legacy, nil)
	a := n.add("a", legacy, spy(&log))
	s, back := n.connect(b, a)
	if s.longECN || back.longECN {
		t.Fatal("negotiated in a legacy session")
	}
	marks, congest := 0, 0
	n.mark = func(from, _ netip.AddrPort, ecn ECN) ECN {
		if from == a.addr {
			return ecn
		}
		if congest > 0 {
			congest--
			return CE
		}
		marks++
		return ECT0
	}
	pour(t, n, s, a, 200_000)
	congest = 3
	pour(t, n, s, a, 200_000)
	reports := 0
	for _, p := range log {
		for i, c := range p.order {
			if c == wire.ChunkECNReport {
				reports++
				if i+1 == len(p.order) {
					t.Error("a report without an acknowledgement")
				}
			}
		}
	}
	if reports == 0 || back.ECN().HeardCongest == 0 {
		t.Errorf("%d reports, %+v", reports, back.ECN())
	}
	n.mark = nil
	pour(t, n, back, b, 200_000)
	if got := back.ECN(); got.State != ECNCapable {
		t.Errorf("towards the end that marks: got %+v, want capable", got)
	}
}

// Reports in the short form count modulo 256, and older ones come late.
func TestECNShortCounts(t *testing.T) {
	e := &ecn{}
	for i, c := range []struct {
		ce        uint64
		congested bool
		total     uint64
	}{{0, false, 0}, {3, true, 3}, {1, false, 3}, {3, false, 3}, {250, false, 3}, {200, true, 200}, {4, true, 260}, {255, false, 260}, {5, true, 261}} {
		if got := e.handleReport(wire.ECNReport{CE: c.ce & 255}); got != c.congested || uint64(e.far.ce) != c.total {
			t.Errorf("report %d of %d: got %v, %d in all, want %v, %d", i, c.ce, got, e.far.ce, c.congested, c.total)
		}
	}
}

// Reports in the long form that are older, or impossible, change nothing or end
// it.
func TestECNLongCounts(t *testing.T) {
	e := &ecn{long: true, state: ECNTesting, sent: 10, tested: 10, acked: 5}
	e.handleReport(wire.ECNReport{CE: 1, ECT0: 5, Long: true})
	if e.validate(); e.state != ECNCapable {
		t.Fatalf("state: got %v", e.state)
	}
	if e.handleReport(wire.ECNReport{CE: 0, ECT0: 4, Long: true}) || e.far.ce != 1 {
		t.Error("an older report counted")
	}
	if e.handleReport(wire.ECNReport{CE: 4, ECT0: 1, Long: true}) {
		t.Error("a report that takes marks back counted")
	}
	e.handleReport(wire.ECNReport{CE: 1, ECT0: 10, Long: true})
	if e.validate(); e.state != ECNFailed {
		t.Errorf("more marks than were sent: got %v, want failed", e.state)
	}
	e = &ecn{long: true, state: ECNCapable, sent: 2, acked: 1, far: marks{0, 1<<32 - 1, 1}}
	if !e.handleReport(wire.ECNReport{CE: 2, ECT0: 0, Long: true}) {
		t.Error("a report after 2^32 packets did not count")
	}
	if e.validate(); e.state != ECNCapable {
		t.Errorf("after 2^32 packets: got %v, want capable", e.state)
	}
}

// Marked packets cost no allocation either.
func TestECNAllocations(t *testing.T) {
	n, a, b := pair(t, 1)
	s := newShuttle(t, n, a, b)
	f := open(t, a.Session(b.PeerID()), n.now, FlowOptions{Metadata: []byte("x")})
	msg := numbered(1, 1000)
	round := func() {
		for range 20 {
			if err := f.Send(n.now, msg, SendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		s.round(n)
		s.round(n)
		s.round(n)
	}
	for range 200 {
		round()
	}
	if got := testing.AllocsPerRun(200, round); got != 0 {
		t.Errorf("got %v allocations for 20 messages, want 0", got)
	}
	if got := a.Session(b.PeerID()).ECN(); got.State != ECNCapable || got.Sent < 4000 {
		t.Errorf("got %+v, want marks all the time", got)
	}
}
