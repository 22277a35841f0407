package impair

import (
	"fmt"
	"testing"
	"time"

	"rtmfp/transport/udp"
)

// echo answers what it gets until the test ends.
func echo(t *testing.T) *udp.Conn {
	t.Helper()
	c, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		in := c.NewInbox()
		for {
			packets, err := c.Read(in)
			if err != nil {
				return
			}
			for _, p := range packets {
				if c.Write([]udp.Batch{{To: p.From, Data: p.Data, Segment: p.Segment}}) != nil {
					return
				}
			}
		}
	}()
	return c
}

// through sends n datagrams of a size to an echo behind a path, and returns how
// many came back, in order, and how long it took until the last.
func through(t *testing.T, path Path, n, size int) (came int, took time.Duration, st Stats) {
	t.Helper()
	p, err := Listen(echo(t).LocalAddr(), path, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	data := make([]byte, size)
	for i := range n {
		copy(data, fmt.Sprintf("%06d", i))
		if err := c.Write([]udp.Batch{{To: p.Addr(), Data: data}}); err != nil {
			t.Fatal(err)
		}
	}
	// Silence for long enough is the end.
	quiet := time.AfterFunc(3*time.Second, func() { c.Close() })
	defer quiet.Stop()
	in := c.NewInbox()
	last := ""
	for {
		packets, err := c.Read(in)
		if err != nil {
			return came, took, p.Stats()
		}
		quiet.Reset(500 * time.Millisecond)
		took = time.Since(began)
		for i := range packets {
			for b := packets[i].Next(); b != nil; b = packets[i].Next() {
				if number := string(b[:6]); number <= last {
					t.Fatalf("got datagram %s after %s, want their order kept", number, last)
				} else {
					last = number
				}
				came++
			}
		}
	}
}

func TestDelay(t *testing.T) {
	came, took, _ := through(t, Path{Delay: 30 * time.Millisecond}, 50, 100)
	if came != 50 || took < 60*time.Millisecond {
		t.Errorf("got %d datagrams after %v, want 50 after 60 ms or more", came, took)
	}
}

func TestLoss(t *testing.T) {
	came, _, st := through(t, Path{Loss: 0.2}, 1000, 100)
	if came < 540 || came > 740 || st.Lost == 0 {
		t.Errorf("got %d of 1000 datagrams, %+v, want about 640", came, st)
	}
}

// 40 datagrams of 1250 bytes take 100 ms at 4 Mbit/s.
func TestRate(t *testing.T) {
	came, took, _ := through(t, Path{Rate: 4e6, Queue: 1 << 20}, 40, 1250)
	if came != 40 || took < 95*time.Millisecond {
		t.Errorf("got %d datagrams after %v, want 40 after 100 ms", came, took)
	}
}

func TestQueue(t *testing.T) {
	came, _, st := through(t, Path{Rate: 1e6, Queue: 10_000}, 100, 1000)
	if came < 5 || came > 50 || st.Overflow == 0 {
		t.Errorf("got %d of 100 datagrams, %+v, want about ten", came, st)
	}
}
