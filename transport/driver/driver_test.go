package driver

import (
	"errors"
	"net"
	"testing"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport"
	"rtmfp/transport/udp"
)

// echo is a core that sends back what it gets, and wants to be woken at a time.
type echo struct {
	queue  []transport.Batch
	wakeAt clock.Time
	woken  int
	turns  int
	came   []int // in which turn, for each datagram
}

func (e *echo) HandleArrival(_ clock.Time, a transport.Arrival, b []byte) {
	e.came = append(e.came, e.turns)
	e.queue = append(e.queue, transport.Batch{To: a.From, B: append([]byte(nil), b...), Segment: len(b)})
}

func (e *echo) Advance(now clock.Time) {
	if now >= e.wakeAt {
		e.wakeAt = clock.Never
		e.woken++
	}
}

func (e *echo) Transmit(_ clock.Time, buf []byte) (transport.Batch, bool) {
	if len(e.queue) == 0 {
		return transport.Batch{}, false
	}
	b := e.queue[0]
	e.queue = e.queue[1:]
	b.B = buf[:copy(buf, b.B)]
	return b, true
}

func (e *echo) Deadline() clock.Time                       { return e.wakeAt }
func (e *echo) NextWork() (*transport.Work, bool)          { return nil, false }
func (e *echo) FinishWork(_ clock.Time, _ *transport.Work) {}

func start(t *testing.T, core *echo) (*Driver, *udp.Conn) {
	t.Helper()
	conn, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := Start(conn, core, func(clock.Time) { core.turns++ })
	t.Cleanup(d.Stop)
	return d, conn
}

// More datagrams than fit the first buffer come back, all of them.
func TestDatagrams(t *testing.T) {
	_, conn := start(t, &echo{wakeAt: clock.Never})
	c, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(10*time.Second, func() { c.Close() })
	defer end.Stop()
	defer c.Close()
	const count, size = 150, 1200
	for range 3 {
		if err := c.Write([]udp.Batch{{To: conn.LocalAddr(), Data: make([]byte, count*size), Segment: size}}); err != nil {
			t.Fatal(err)
		}
		in := c.NewInbox()
		for got := 0; got < count*size; {
			packets, err := c.Read(in)
			if err != nil {
				t.Fatalf("after %d of %d bytes: %v", got, count*size, err)
			}
			for i := range packets {
				got += len(packets[i].Data)
			}
		}
	}
}

// What has come while the loop was busy is answered in one turn.
func TestOneTurn(t *testing.T) {
	core := &echo{wakeAt: clock.Never}
	d, conn := start(t, core)
	c, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	waiting := 0
	if err := d.Do(func(clock.Time) {
		for len(d.inboxes) < inboxesInFlight {
			if err := c.Write([]udp.Batch{{To: conn.LocalAddr(), Data: make([]byte, 1)}}); err != nil {
				t.Error(err)
				return
			}
		}
		waiting = int(conn.Stats().ReadBytes)
	}); err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if err := d.Do(func(clock.Time) {
			if done = len(core.came) >= waiting; done && waiting > 0 && core.came[0] != core.came[waiting-1] {
				t.Errorf("got %d datagrams in turns %v, want one", waiting, core.came[:waiting])
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// The loop sleeps until the core's deadline, runs what it is given, and can be
// woken.
func TestTurns(t *testing.T) {
	core := &echo{wakeAt: clock.Never}
	d, _ := start(t, core)
	at := time.Now().Add(20 * time.Millisecond)
	if err := d.Do(func(now clock.Time) { core.wakeAt = d.Instant(at) }); err != nil {
		t.Fatal(err)
	}
	for woken := 0; woken == 0; {
		if err := d.Do(func(now clock.Time) {
			if woken = core.woken; woken > 0 && now < d.Instant(at) {
				t.Errorf("got the core woken %v early", d.Instant(at).Sub(now))
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	before := 0
	if err := d.Do(func(clock.Time) { before = core.turns }); err != nil {
		t.Fatal(err)
	}
	d.Wake()
	d.Wake()
	after := 0
	if err := d.Do(func(clock.Time) { after = core.turns }); err != nil || after <= before {
		t.Errorf("turns: got %d after %d, %v, want more", after, before, err)
	}
}

// After Stop, and after its socket failed, a driver does nothing more.
func TestStop(t *testing.T) {
	d, conn := start(t, &echo{wakeAt: clock.Never})
	d.Stop()
	d.Stop()
	<-d.Done()
	if err := d.Do(func(clock.Time) { t.Error("ran after Stop") }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Do after Stop: got %v, want net.ErrClosed", err)
	}
	d.Wake()
	if err := d.Err(); err != nil {
		t.Errorf("Err: got %v, want nil", err)
	}
	if _, err := conn.Read(conn.NewInbox()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("socket: got %v, want it closed", err)
	}
}
