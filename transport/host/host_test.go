package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"rtmfp/transport"
)

// within bounds a test that waits for what never comes.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func listen(t testing.TB, cfg Config) *Host {
	t.Helper()
	h, err := Listen("127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// connected returns both ends of a session between two hosts.
func connected(t testing.TB, cfg Config) (near, far *Session) {
	t.Helper()
	a, b := listen(t, cfg), listen(t, cfg)
	return join(t, a, b)
}

func join(t testing.TB, a, b *Host) (near, far *Session) {
	t.Helper()
	ctx := within(t)
	near, err := a.Dial(ctx, b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = b.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func openFlow(t testing.TB, s *Session, o FlowOptions) *SendFlow {
	t.Helper()
	f, err := s.OpenFlow(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func send(t testing.TB, f *SendFlow, msg []byte) {
	t.Helper()
	if err := f.Send(within(t), msg, SendOptions{}); err != nil {
		t.Fatal(err)
	}
}

func acceptFlow(t testing.TB, s *Session) *RecvFlow {
	t.Helper()
	f, err := s.AcceptFlow(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func receive(t testing.TB, f *RecvFlow, want string) {
	t.Helper()
	got, err := f.Receive(within(t))
	if err != nil || string(got) != want {
		t.Fatalf("receive: got %.40q, %v, want %.40q", got, err, want)
	}
}

func TestSession(t *testing.T) {
	near, far := connected(t, Config{})
	if near.Peer() != far.h.ID() || far.Peer() != near.h.ID() {
		t.Errorf("peers: got %v and %v, want %v and %v", near.Peer(), far.Peer(), far.h.ID(), near.h.ID())
	}
	if !near.Initiator() || far.Initiator() || near.Suite() == "" || near.Suite() != far.Suite() {
		t.Errorf("got initiators %v, %v and suites %q, %q", near.Initiator(), far.Initiator(), near.Suite(), far.Suite())
	}
	if near.FarAddr() != far.h.Addr() || far.FarAddr() != near.h.Addr() {
		t.Errorf("addresses: got %v and %v, want %v and %v", near.FarAddr(), far.FarAddr(), far.h.Addr(), near.h.Addr())
	}
	nn, nf, err := near.Nonces()
	fn, ff, err2 := far.Nonces()
	if err != nil || err2 != nil || nn != ff || nf != fn || nn == nf {
		t.Errorf("nonces: got %x, %x, %v and %x, %x, %v; want them crosswise equal", nn, nf, err, fn, ff, err2)
	}
	// Dialing again gives the session that is there.
	again, err := near.h.Dial(within(t), far.h.Addr().String())
	if err != nil || again != near {
		t.Errorf("dial again: got %p, %v, want %p", again, err, near)
	}
	byPeer, err := far.h.DialPeer(within(t), near.h.ID())
	if err != nil || byPeer != far {
		t.Errorf("dial the peer: got %p, %v, want %p", byPeer, err, far)
	}

	near.Close()
	for _, s := range []*Session{near, far} {
		select {
		case <-s.Done():
		case <-within(t).Done():
			t.Fatal("Done: got nothing after Close")
		}
		if !errors.Is(s.Err(), net.ErrClosed) {
			t.Errorf("reason: got %v, want one that is net.ErrClosed", s.Err())
		}
		if _, err := s.OpenFlow(FlowOptions{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("open a flow after the end: got %v, want net.ErrClosed", err)
		}
		if _, err := s.AcceptFlow(within(t)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept a flow after the end: got %v, want net.ErrClosed", err)
		}
		if st := s.Stats(); st.PacketsSent == 0 {
			t.Errorf("stats after the end: got %+v, want the last ones", st)
		}
	}
}

// Messages of all sizes come in order and whole, then io.EOF; at the sender
// Done says that all were acknowledged.
func TestMessages(t *testing.T) {
	near, far := connected(t, Config{})
	f := openFlow(t, near, FlowOptions{Metadata: []byte("sizes")})
	sizes := []int{0, 1, 100, 1199, 1200, 1201, 65536, 1 << 20, 2 << 20, 7}
	failed := make(chan error, 1)
	go func() {
		for i, n := range sizes {
			if err := f.Send(within(t), bytes.Repeat([]byte{byte(i)}, n), SendOptions{}); err != nil {
				failed <- err
				return
			}
		}
		failed <- f.Close()
	}()
	in := acceptFlow(t, far)
	if string(in.Metadata()) != "sizes" || in.Session() != far || in.Reply() != nil {
		t.Errorf("got a flow %q, want the one that was opened", in.Metadata())
	}
	for i, n := range sizes {
		got, err := in.Receive(within(t))
		if err != nil || len(got) != n || bytes.Count(got, []byte{byte(i)}) != n {
			t.Fatalf("message %d: got %d bytes, %v, want %d", i, len(got), err, n)
		}
	}
	if got, err := in.Receive(within(t)); err != io.EOF {
		t.Errorf("after the last: got %d bytes, %v, want io.EOF", len(got), err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	<-f.Done()
	if err := f.Send(within(t), nil, SendOptions{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after Close: got %v, want net.ErrClosed", err)
	}
	if err := f.s.Err(); err != nil {
		t.Errorf("session: got %v, want it open", err)
	}
}

func TestTooLong(t *testing.T) {
	near, _ := connected(t, Config{MaxMessage: 2000, SendBuffer: 4096})
	f := openFlow(t, near, FlowOptions{})
	if err := f.Send(within(t), make([]byte, 2001), SendOptions{}); !errors.Is(err, transport.ErrTooLong) {
		t.Errorf("message: got %v, want ErrTooLong", err)
	}
	if _, err := near.OpenFlow(FlowOptions{Metadata: make([]byte, 513)}); !errors.Is(err, transport.ErrTooLong) {
		t.Errorf("metadata: got %v, want ErrTooLong", err)
	}
}

// A receiver that does not read stops the sender, with little in between, and
// everything arrives once it reads.
func TestBackPressure(t *testing.T) {
	cfg := Config{RecvQueue: 32 << 10, RecvBuffer: 64 << 10, SendBuffer: 128 << 10, MaxMessage: 64 << 10}
	near, far := connected(t, cfg)
	f := openFlow(t, near, FlowOptions{})
	msg := make([]byte, 1000)
	sent := 0
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		binary.BigEndian.PutUint32(msg, uint32(sent))
		err := f.Send(ctx, msg, SendOptions{})
		cancel()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
		if sent++; sent > 2000 {
			t.Fatalf("sent %d messages that nobody reads, want the sender to wait", sent)
		}
	}
	f.Close()
	in := acceptFlow(t, far)
	for i := range sent {
		got, err := in.Receive(within(t))
		if err != nil || len(got) != len(msg) || binary.BigEndian.Uint32(got) != uint32(i) {
			t.Fatalf("message %d of %d: got %d bytes, %v", i, sent, len(got), err)
		}
	}
	if _, err := in.Receive(within(t)); err != io.EOF {
		t.Errorf("after the last: got %v, want io.EOF", err)
	}
}

func TestReceipts(t *testing.T) {
	near, far := connected(t, Config{})
	f := openFlow(t, near, FlowOptions{})
	var arrived, late, unsent Receipt
	opts := SendOptions{Receipt: &arrived}
	if err := f.Send(within(t), []byte("in time"), opts); err != nil {
		t.Fatal(err)
	}
	opts = SendOptions{Receipt: &late, Deadline: time.Now().Add(-time.Second)}
	if err := f.Send(within(t), []byte("too late"), opts); err != nil {
		t.Fatal(err)
	}
	send(t, f, []byte("after it"))
	if err := arrived.Wait(within(t)); err != nil {
		t.Errorf("receipt of what arrived: got %v", err)
	}
	if err := late.Wait(within(t)); !errors.Is(err, ErrAbandoned) {
		t.Errorf("receipt of what was late: got %v, want ErrAbandoned", err)
	}
	in := acceptFlow(t, far)
	receive(t, in, "in time")
	if in.Skipped() {
		t.Error("first message: got Skipped")
	}
	receive(t, in, "after it")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := unsent.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait in vain: got %v, want context.Canceled", err)
	}
	near.Close()
	if err := f.Send(within(t), nil, SendOptions{Receipt: &unsent}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after the end: got %v, want net.ErrClosed", err)
	}
}

// A flow that the far end refuses says so with the code.
func TestReject(t *testing.T) {
	near, far := connected(t, Config{})
	f := openFlow(t, near, FlowOptions{Metadata: []byte("spam")})
	send(t, f, []byte("buy"))
	in := acceptFlow(t, far)
	if err := in.Reject(42); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Receive(within(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive after Reject: got %v, want net.ErrClosed", err)
	}
	<-f.Done()
	var rejected *RejectedError
	if err := f.Send(within(t), nil, SendOptions{}); !errors.As(err, &rejected) || rejected.Code != 42 {
		t.Errorf("send: got %v, want a RejectedError with code 42", err)
	}
}

// Return flows go to the flow that they answer, of many that are open.
func TestReturnFlows(t *testing.T) {
	near, far := connected(t, Config{})
	go func() {
		for {
			in, err := far.AcceptFlow(context.Background())
			if err != nil {
				return
			}
			go func() {
				question, err := in.Receive(context.Background())
				if err != nil {
					return
				}
				out, err := far.OpenFlow(FlowOptions{Reply: in})
				if err != nil {
					return
				}
				_ = out.Send(context.Background(), append([]byte("re: "), question...), SendOptions{})
				out.Close()
			}()
		}
	}()
	const n = 50
	answers := make(chan error, n)
	for i := range n {
		go func() {
			answers <- func() error {
				f, err := near.OpenFlow(FlowOptions{Metadata: []byte("question")})
				if err != nil {
					return err
				}
				defer f.Close()
				if err := f.Send(within(t), fmt.Appendf(nil, "%d", i), SendOptions{}); err != nil {
					return err
				}
				in, err := f.AcceptReply(within(t))
				if err != nil {
					return err
				}
				got, err := in.Receive(within(t))
				if want := fmt.Sprintf("re: %d", i); string(got) != want || in.Reply() != f {
					return fmt.Errorf("got %q, %v, want %q", got, err, want)
				}
				return nil
			}()
		}()
	}
	for range n {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	f := openFlow(t, near, FlowOptions{})
	near.Close()
	if _, err := f.AcceptReply(within(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reply after the end: got %v, want net.ErrClosed", err)
	}
}

// Abort drops what is queued, however full everything is. The far end hears of
// it once it has room again.
func TestAbort(t *testing.T) {
	near, far := connected(t, Config{RecvQueue: 4096, RecvBuffer: 4096, SendBuffer: 64 << 10, MaxMessage: 4096})
	f := openFlow(t, near, FlowOptions{})
	var receipts []*Receipt
	for {
		r := &Receipt{}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		err := f.Send(ctx, make([]byte, 1000), SendOptions{Receipt: r})
		cancel()
		if err != nil {
			break
		}
		receipts = append(receipts, r)
	}
	f.Abort()
	arrived := 0
	for i, r := range receipts {
		switch err := r.Wait(within(t)); {
		case err == nil:
			arrived++
		case !errors.Is(err, ErrAbandoned):
			t.Fatalf("receipt %d: got %v, want ErrAbandoned or nil", i, err)
		}
	}
	if arrived > len(receipts)/2 {
		t.Errorf("got %d of %d messages delivered, want most of them given up", arrived, len(receipts))
	}
	in := acceptFlow(t, far)
	received := 0
	for {
		if _, err := in.Receive(within(t)); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		received++
	}
	if received < arrived || received > len(receipts)/2 {
		t.Errorf("received: got %d messages, want the %d that were acknowledged, and few more", received, arrived)
	}
	select {
	case <-f.Done():
	case <-within(t).Done():
		t.Fatal("Done: got nothing after Abort")
	}
}

// A host that introduces brings two together that know only it.
func TestIntroduction(t *testing.T) {
	seed := listen(t, Config{Introduce: true})
	a, b := listen(t, Config{}), listen(t, Config{})
	viaA, _ := join(t, a, seed)
	join(t, b, seed)
	s, err := a.DialPeer(within(t), b.ID(), viaA)
	if err != nil {
		t.Fatal(err)
	}
	far, err := b.Accept(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if s.Peer() != b.ID() || far.Peer() != a.ID() || s.FarAddr() != b.Addr() {
		t.Errorf("got peers %v and %v at %v, want %v and %v at %v", s.Peer(), far.Peer(), s.FarAddr(), b.ID(), a.ID(), b.Addr())
	}
}

func TestDialErrors(t *testing.T) {
	h := listen(t, Config{OpenTimeout: 300 * time.Millisecond})
	for _, address := range []string{"", ":80", "http://x", "rtmfp://", "127.0.0.1:0", "127.0.0.1:99999", "no.such.host.invalid"} {
		if s, err := h.Dial(within(t), address); err == nil {
			t.Errorf("%q: got a session with %v, want an error", address, s.Peer())
		}
	}
	if _, err := h.Dial(within(t), "127.0.0.1:9"); !errors.Is(err, transport.ErrOpenTimeout) {
		t.Errorf("nobody there: got %v, want ErrOpenTimeout", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Dial(ctx, "127.0.0.1:9"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context: got %v, want DeadlineExceeded", err)
	}
	if _, err := h.DialPeer(within(t), h.ID()); !errors.Is(err, transport.ErrSelf) {
		t.Errorf("itself: got %v, want ErrSelf", err)
	}
}

// More than the backlog is refused and counted.
func TestBacklog(t *testing.T) {
	b := listen(t, Config{Backlog: 2})
	var last *Session
	for range 3 {
		s, err := listen(t, Config{}).Dial(within(t), b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		last = s
	}
	select {
	case <-last.Done():
	case <-within(t).Done():
		t.Fatal("third session: got it open, want it closed")
	}
	if got := b.Stats().Refused; got != 1 {
		t.Errorf("refused: got %d, want 1", got)
	}
	for range 2 {
		if _, err := b.Accept(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// After Close nothing waits any more.
func TestClose(t *testing.T) {
	a, b := listen(t, Config{}), listen(t, Config{})
	near, far := join(t, a, b)
	f := openFlow(t, near, FlowOptions{})
	send(t, f, []byte("x"))
	in := acceptFlow(t, far)
	receive(t, in, "x")
	ends := make(chan error, 3)
	go func() { _, err := a.Accept(within(t)); ends <- err }()
	go func() { _, err := near.AcceptFlow(within(t)); ends <- err }()
	go func() { _, err := in.Receive(within(t)); ends <- err }()
	a.Close()
	for range 3 {
		if err := <-ends; !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: got %v, want net.ErrClosed", err)
		}
	}
	if _, err := a.Dial(within(t), b.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after Close: got %v, want net.ErrClosed", err)
	}
	<-a.Done()
	a.Close()
	_ = a.Stats()
}

// Bulk in both directions on several flows at once, whole and in order.
func TestBulk(t *testing.T) {
	near, far := connected(t, Config{})
	const flows, count, size = 4, 200, 30000
	errs := make(chan error, 4*flows)
	for _, ends := range [][2]*Session{{near, far}, {far, near}} {
		for range flows {
			go func() {
				errs <- func() error {
					f, err := ends[0].OpenFlow(FlowOptions{Priority: 2})
					if err != nil {
						return err
					}
					msg := make([]byte, size)
					for i := range count {
						binary.BigEndian.PutUint32(msg[size-4:], uint32(i))
						if err := f.Send(within(t), msg, SendOptions{}); err != nil {
							return err
						}
					}
					f.Close()
					<-f.Done()
					return nil
				}()
			}()
			go func() {
				errs <- func() error {
					in, err := ends[1].AcceptFlow(within(t))
					if err != nil {
						return err
					}
					for i := range count {
						got, err := in.Receive(within(t))
						if err != nil || len(got) != size || binary.BigEndian.Uint32(got[size-4:]) != uint32(i) {
							return fmt.Errorf("message %d: got %d bytes, %v", i, len(got), err)
						}
					}
					_, err = in.Receive(within(t))
					if err != io.EOF {
						return err
					}
					return nil
				}()
			}()
		}
	}
	for range 4 * flows {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
