package transport

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// Memory that is lent for sending is left alone from the receipt on, and what
// is put together in the receiver's buffers is the receiver's alone: both ends
// scribble over theirs as soon as they may. Whatever the network does and is
// given up, what arrives is what was sent.
func TestSharedAndGathered(t *testing.T) {
	gathered, copied := 0, 0
	for seed := range uint64(60) {
		n := newNetwork(t, seed)
		var spare [][]byte
		rng := rand.New(rand.NewPCG(seed, 1))
		a, b := n.add("a", modern, nil), n.add("b", modern, func(c *Config) {
			c.Buffer = func(*RecvFlow) []byte {
				if k := len(spare); k > 0 && rng.IntN(3) > 0 {
					buf := spare[k-1]
					spare = spare[:k-1]
					return buf
				}
				return make([]byte, rng.IntN(100), 100+rng.IntN(50_000))
			}
		})
		n.loss = float64(seed%4) * 0.03
		n.duplicate = float64(seed%3) * 0.05
		n.jitter = time.Duration(seed%5) * 5 * time.Millisecond
		ordered := seed%2 == 0
		b.accept = func(f *RecvFlow) (bool, bool) {
			f.Gather()
			return true, ordered
		}
		size := func(i int) int { return 4 + i*i*131%40_000 }
		arrived := map[int]bool{}
		last := -1
		b.on = func(ev Event) {
			if ev.Kind != Message {
				return
			}
			i := int(binary.BigEndian.Uint32(ev.Data))
			if !bytes.Equal(ev.Data, numbered(i, size(i))) {
				t.Fatalf("seed %d: message %d is damaged", seed, i)
			}
			if arrived[i] || ordered && i < last {
				t.Fatalf("seed %d: message %d after %d", seed, i, last)
			}
			arrived[i], last = true, i
			if !ev.Own {
				copied++
				return
			}
			gathered++
			clear(ev.Data[:cap(ev.Data)])
			spare = append(spare, ev.Data)
		}
		lent := map[uint64][]byte{}
		a.on = func(ev Event) {
			if ev.Kind == Receipt {
				if lent[ev.Receipt] == nil {
					t.Fatalf("seed %d: a receipt for %d, which was not lent any more", seed, ev.Receipt)
				}
				clear(lent[ev.Receipt])
				delete(lent, ev.Receipt)
			}
		}
		sa, _ := n.connect(a, b)
		f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
		const count = 150
		for i := range count {
			msg := numbered(i, size(i))
			o := SendOptions{Receipt: uint64(i + 1)}
			copied := msg
			if rng.IntN(4) > 0 {
				o.Shared, copied = msg, nil
			}
			if i%7 == 3 {
				o.Deadline = n.now.Add(time.Duration(rng.IntN(80)) * time.Millisecond)
			}
			lent[o.Receipt] = msg
			for f.Send(n.now, copied, o) == ErrFull {
				n.run(20 * time.Millisecond)
				if o.Deadline != 0 {
					o.Deadline = max(o.Deadline, n.now)
				}
			}
			clear(copied)
			n.run(time.Duration(rng.IntN(5)) * time.Millisecond)
		}
		f.Close(n.now)
		n.until(3*time.Minute, func() bool { return len(b.done) == 1 && len(a.ended) == 1 })
		if len(lent) != 0 {
			t.Errorf("seed %d: %d messages without a receipt", seed, len(lent))
		}
		for i := range count {
			if i%7 != 3 && !arrived[i] {
				t.Errorf("seed %d: message %d did not arrive", seed, i)
			}
		}
		if r := b.flows[0]; r.buffer.bytes != 0 || r.s.buffered != 0 {
			t.Errorf("seed %d: %d and %d bytes are counted as kept at the end", seed, r.buffer.bytes, r.s.buffered)
		}
	}
	if gathered < 1000 || copied < 1000 {
		t.Errorf("%d messages were put together in buffers of the receiver's, %d not: want many of both", gathered, copied)
	}
}

// A flow that is given up in the middle of a message, or held, counts what it
// gathered like anything else.
func TestGatheredIsBounded(t *testing.T) {
	n := newNetwork(t, 1)
	a, b := n.add("a", modern, nil), n.add("b", modern, func(c *Config) { c.Buffer = func(*RecvFlow) []byte { return nil } })
	b.accept = func(f *RecvFlow) (bool, bool) {
		f.Gather()
		return true, false
	}
	sa, sb := n.connect(a, b)
	f := open(t, sa, n.now, FlowOptions{Metadata: []byte("x")})
	send(t, f, n.now, numbered(0, 4), SendOptions{}) // what comes before Accept is not gathered
	n.until(5*time.Second, func() bool { return len(b.flows) == 1 })
	send(t, f, n.now, numbered(1, 900_000), SendOptions{})
	n.until(5*time.Second, func() bool { return sb.buffered > 100_000 })
	r := b.flows[0]
	if r.buffer.n() == 0 || !r.buffer.gathering || r.buffer.bytes != sb.buffered {
		t.Fatalf("%d parts, gathering %v, %d bytes of %d", r.buffer.n(), r.buffer.gathering, r.buffer.bytes, sb.buffered)
	}
	r.Reject(n.now, 7)
	if r.buffer.bytes != 0 || sb.buffered != 0 {
		t.Errorf("after the rejection %d and %d bytes are kept", r.buffer.bytes, sb.buffered)
	}
	n.until(5*time.Second, func() bool { return len(a.rejected) == 1 })
}
