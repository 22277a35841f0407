package host

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"rtmfp/transport"
	"rtmfp/transport/udp"
)

// router passes datagrams between one client and a server, with their marks, as
// one that marks instead of dropping would: mark says what becomes of each.
type router struct {
	*udp.Conn
	passed [4]atomic.Uint64 // datagrams towards the server, by the mark that they came with
}

func route(t *testing.T, server *Host, mark func(n uint64, ecn uint8) uint8) *router {
	t.Helper()
	c, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Stats().ECN {
		c.Close()
		t.Skip("this system has no control messages for marks")
	}
	r := &router{Conn: c}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		in := c.NewInbox()
		client, n := c.LocalAddr(), uint64(0)
		for {
			packets, err := c.Read(in)
			if err != nil {
				return
			}
			var out []udp.Batch
			for i := range packets {
				p := &packets[i]
				to := client
				if p.From != server.Addr() {
					client, to = p.From, server.Addr()
				}
				for b := p.Next(); b != nil; b = p.Next() {
					ecn := p.ECN
					if to == server.Addr() {
						r.passed[ecn&3].Add(1)
						n++
						ecn = mark(n, ecn)
					}
					out = append(out, udp.Batch{To: to, Data: b, ECN: ecn})
				}
			}
			if c.Write(out) != nil {
				return
			}
		}
	}()
	return r
}

// carry sends size bytes through a router, and returns what both ends know.
func carry(t *testing.T, cfg Config, size int, mark func(n uint64, ecn uint8) uint8) (near, far transport.ECNStats, r *router) {
	t.Helper()
	ctx := within(t)
	a, b := listen(t, cfg), listen(t, cfg)
	r = route(t, b, mark)
	s, err := a.Dial(ctx, r.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan int, 1)
	go func() {
		f, err := other.AcceptFlow(ctx)
		n := 0
		for err == nil {
			var m []byte
			if m, err = f.Receive(context.Background()); err == nil {
				n += len(m)
			}
		}
		arrived <- n
	}()
	f := openFlow(t, s, FlowOptions{Metadata: []byte("x")})
	for left := size; left > 0; left -= 10_000 {
		send(t, f, make([]byte, min(left, 10_000)))
	}
	f.Close()
	select {
	case <-f.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("not acknowledged")
	}
	if got := <-arrived; got != size {
		t.Errorf("arrived: got %d bytes, want %d", got, size)
	}
	return s.Stats().ECN, other.Stats().ECN, r
}

// Marks of real sockets reach the sender: from the router's mark over control
// messages, the far end's count, and its report.
func TestECN(t *testing.T) {
	for _, cfg := range []Config{{}, {NoOffload: true}} {
		near, far, r := carry(t, cfg, 2_000_000, func(n uint64, ecn uint8) uint8 {
			if ecn == uint8(transport.ECT0) && n%200 == 0 {
				return uint8(transport.CE)
			}
			return ecn
		})
		t.Logf("sender %+v, receiver %+v", near, far)
		if near.State != transport.ECNCapable || near.Congested == 0 || far.HeardCongest < near.Congested {
			t.Errorf("sender %+v, receiver %+v, want marks that arrive", near, far)
		}
		if r.passed[transport.ECT0].Load() < far.Heard || r.passed[transport.ECT1].Load()+r.passed[transport.CE].Load() > 0 {
			t.Errorf("the router saw %d with ECT(0), want at least %d", r.passed[transport.ECT0].Load(), far.Heard)
		}
	}
}

// A router that erases marks is found out, and one host without ECN makes the
// other send none.
func TestECNErased(t *testing.T) {
	near, far, _ := carry(t, Config{}, 500_000, func(uint64, uint8) uint8 { return 0 })
	if near.State != transport.ECNFailed || far.Heard != 0 {
		t.Errorf("erased: sender %+v, receiver %+v", near, far)
	}
	_, _, r := carry(t, Config{NoECN: true}, 500_000, func(_ uint64, ecn uint8) uint8 { return ecn })
	if got := r.passed[transport.ECT0].Load(); got != 0 {
		t.Errorf("off: %d datagrams have a mark", got)
	}
}
