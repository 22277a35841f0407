package transport

import (
	"testing"
	"time"
)

// shuttle moves datagrams between two endpoints without a network of its own, so
// that nothing is measured but the endpoints.
type shuttle struct {
	a, b      *testNode
	buf       []byte
	delivered int
	bytes     int
}

func newShuttle(t testing.TB, n *network, a, b *testNode) *shuttle {
	n.connect(a, b)
	n.run(time.Second)
	return &shuttle{a: a, b: b, buf: make([]byte, 64*1024)}
}

func (s *shuttle) move(n *network, from, to *testNode) {
	for {
		batch, ok := from.Transmit(n.now, s.buf)
		if !ok {
			return
		}
		for rest := batch.B; len(rest) > 0; {
			size := min(batch.Segment, len(rest))
			to.HandleArrival(n.now, Arrival{From: from.addr, ECN: batch.ECN}, rest[:size])
			rest = rest[size:]
		}
		to.Advance(n.now)
		for {
			ev, ok := to.NextEvent()
			if !ok {
				break
			}
			switch ev.Kind {
			case Message:
				s.delivered++
				s.bytes += len(ev.Data)
			case FlowOpen:
				ev.Recv.Accept(n.now, true)
			}
		}
	}
}

// round sends what a has and brings back the answers.
func (s *shuttle) round(n *network) {
	n.now = n.now.Add(time.Millisecond)
	s.a.Advance(n.now)
	s.b.Advance(n.now)
	s.move(n, s.a, s.b)
	s.move(n, s.b, s.a)
}

// No allocations per packet, either way, with messages delivered: small ones
// with deadlines as multicast sends them, and long ones in many fragments.
func TestZeroAllocations(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		count int
		o     SendOptions
	}{{"media", 1000, 20, SendOptions{}}, {"deadline", 700, 20, SendOptions{Deadline: 1 << 62}}, {"bulk", 20000, 4, SendOptions{}}, {"long", 65536, 2, SendOptions{}}} {
		t.Run(c.name, func(t *testing.T) {
			n, a, b := pair(t, 1)
			s := newShuttle(t, n, a, b)
			f := open(t, a.Session(b.PeerID()), n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: true})
			msg := numbered(1, c.size)
			round := func() {
				for range c.count {
					var buf [65536]byte // of the caller, which does not escape
					if err := f.Send(n.now, buf[:copy(buf[:], msg)], c.o); err != nil {
						t.Fatal(err)
					}
				}
				s.round(n)
				s.round(n)
			}
			for range 200 {
				round()
			}
			s.delivered = 0
			if got := testing.AllocsPerRun(200, round); got != 0 {
				t.Errorf("got %v allocations for %d messages, want 0", got, c.count)
			}
			if s.delivered < 190*c.count {
				t.Errorf("delivered: got %d messages, want about %d", s.delivered, 200*c.count)
			}
		})
	}
}

func BenchmarkTransfer(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"1000", 1000}, {"64K", 65536}} {
		b.Run(c.name, func(b *testing.B) {
			n, x, y := pair(b, 1)
			s := newShuttle(b, n, x, y)
			f, err := x.Session(y.PeerID()).OpenFlow(n.now, FlowOptions{Metadata: []byte("x")})
			if err != nil {
				b.Fatal(err)
			}
			msg := numbered(1, c.size)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			for b.Loop() {
				for f.Send(n.now, msg, SendOptions{}) != nil {
					s.round(n)
				}
			}
		})
	}
}
