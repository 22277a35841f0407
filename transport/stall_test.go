package transport

import (
	"flag"
	"net/netip"
	"testing"
	"time"
)

var stallSeeds = flag.Int("stallseeds", 100, "seeds of TestDeadlinesNeverStall")

// Ordered delivery of messages with short lifetimes on a bad path never stops: in
// the end every message is delivered or given up, both ends know of each which,
// and nothing waits for what will not come. The path loses, repeats, and reorders
// at random, in bursts, or just what moves forward sequence numbers: the packets
// that carry the abandoned end of a queue.
func TestDeadlinesNeverStall(t *testing.T) {
	for seed := range uint64(*stallSeeds) {
		n := newNetwork(t, seed)
		n.latency = 10 * time.Millisecond
		a, b := n.add("a", modern, nil), n.add("b", modern, nil)
		s, _ := n.connect(a, b)
		n.loss = 0.2
		n.jitter = time.Duration(seed%3) * 15 * time.Millisecond
		n.duplicate = float64(seed%2) / 20
		burst := 0
		n.drop = func(from, _ netip.AddrPort, b []byte) bool {
			switch {
			case seed%4 == 1: // bursts, in either direction
				if burst == 0 && n.rng.IntN(40) == 0 {
					burst = 2 + n.rng.IntN(20)
				}
				burst = max(burst-1, 0)
				return burst > 0
			case seed%4 == 2: // small packets of the sender, which give up and move on
				return from == a.addr && len(b) < 120 && n.rng.IntN(4) > 0
			case seed%4 == 3: // acknowledgements
				return from != a.addr && n.rng.IntN(3) > 0
			}
			return false
		}
		b.accept = func(*RecvFlow) (bool, bool) { return true, seed%8 < 6 }
		f := open(t, s, n.now, FlowOptions{Metadata: []byte("x"), TimeCritical: seed%5 == 0})
		const count = 400
		for i := range count {
			life := 60 * time.Millisecond
			if seed%7 == 6 && i%10 == 0 {
				life = time.Second
			}
			send(t, f, n.now, numbered(i, 3000), SendOptions{Deadline: n.now.Add(life), Receipt: uint64(i + 1)})
			n.run(10 * time.Millisecond)
		}
		n.loss, n.jitter, n.duplicate, n.drop = 0, 0, 0, nil
		n.run(15 * time.Second)
		if s.State() != StateOpen || len(b.flows) == 0 {
			continue // such a path may end a session
		}
		r := b.flows[0]
		told := 0
		for i := range count {
			if got, ok := a.receipts[uint64(i+1)]; ok && got {
				told++
			}
		}
		got := len(b.messages[r])
		switch {
		case len(a.receipts) != count:
			t.Errorf("seed %d: %d receipts, want %d", seed, len(a.receipts), count)
		case f.queue.n != 0 || f.cumulative != f.nextSN-1:
			t.Errorf("seed %d: the sender still holds %d entries, acknowledged %d of %d", seed, f.queue.n, f.cumulative, f.nextSN-1)
		case !r.buffer.empty() || r.received.gaps() || r.received.upTo != f.nextSN-1:
			t.Errorf("seed %d: the receiver holds %d bytes at %d of %d", seed, r.buffer.bytes, r.received.upTo, f.nextSN-1)
		case got < told:
			t.Errorf("seed %d: %d delivered, %d told to be", seed, got, told)
		}
	}
}
