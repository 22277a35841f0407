package simulations

import (
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/transport"
)

// script stands in for a core: it sends what it is told to, and notes what
// comes.
type script struct {
	node *Node
	out  []transport.Batch
	got  []arrival
	due  clock.Time
	woke []clock.Time
}

type arrival struct {
	at   clock.Time // by the network's clock
	from netip.AddrPort
	size int
	sum  int
}

func (s *script) HandleDatagram(_ clock.Time, from netip.AddrPort, b []byte) {
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	s.got = append(s.got, arrival{s.node.net.main.now, from, len(b), sum})
}

func (s *script) Advance(now clock.Time) {
	if s.due <= now {
		s.due = clock.Never
		s.woke = append(s.woke, s.node.net.main.now)
	}
}
func (s *script) Deadline() clock.Time                   { return s.due }
func (s *script) NextWork() (*transport.Work, bool)      { return nil, false }
func (s *script) FinishWork(clock.Time, *transport.Work) {}
func (s *script) send(to netip.AddrPort, size int)       { s.sendAs(s.node, to, size) }
func (s *script) sendAs(n *Node, to netip.AddrPort, size int) {
	s.out = append(s.out, transport.Batch{To: to, B: make([]byte, size), Segment: size})
	n.net.Do(n, func(clock.Time) {})
}

func (s *script) Transmit(clock.Time, []byte) (transport.Batch, bool) {
	if len(s.out) == 0 {
		return transport.Batch{}, false
	}
	b := s.out[0]
	s.out = s.out[1:]
	return b, true
}

// addScript puts a node on the network that does what it is told.
func addScript(t *testing.T, w *Network, cfg NodeConfig) *script {
	t.Helper()
	s := &script{due: clock.Never}
	cfg.Core = node.CoreConfig{SimulatedCrypto: true}
	cfg.Wrap = func(n *Node, _ *node.Core) Driven { s.node = n; return s }
	if _, err := w.Add(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

const ms = time.Millisecond

func at(d time.Duration) clock.Time { return clock.Time(d) }
