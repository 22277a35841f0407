package udp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// kinds are the ways in which a Conn can work; each must look the same.
var kinds = []struct {
	name     string
	options  Options
	portable bool
}{
	{"offload", Options{}, false},
	{"batched", Options{NoOffload: true}, false},
	{"portable", Options{}, true},
}

// open listens on addr for the length of the test. A Read that never ends is
// ended by the deadline, so that a lost datagram fails the test at once.
func open(t testing.TB, addr string, o Options, portable bool) *Conn {
	t.Helper()
	c, err := listen(addr, o, portable)
	if err != nil {
		t.Fatalf("listen %s: %v", addr, err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.udp.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// take reads n datagrams and returns them with the address of the last one.
func take(t testing.TB, c *Conn, n int) (datagrams [][]byte, from netip.AddrPort) {
	t.Helper()
	in := c.NewInbox()
	for len(datagrams) < n {
		packets, err := c.Read(in)
		if err != nil {
			t.Fatalf("read after %d of %d datagrams: %v", len(datagrams), n, err)
		}
		for i := range packets {
			from = packets[i].From
			for d := packets[i].Next(); d != nil; d = packets[i].Next() {
				datagrams = append(datagrams, bytes.Clone(d))
			}
		}
	}
	if len(datagrams) != n {
		t.Fatalf("datagrams: got %d, want %d", len(datagrams), n)
	}
	return datagrams, from
}

// cut is what a receiver should see of a batch.
func cut(b Batch) (datagrams [][]byte) {
	for rest := b.Data; len(rest) > 0; {
		n := min(b.segment(), len(rest))
		datagrams = append(datagrams, rest[:n])
		rest = rest[n:]
	}
	return datagrams
}

func random(n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Datagrams arrive as they were cut, in order, from the sender's address,
// whichever way the two ends work.
func TestDatagrams(t *testing.T) {
	shapes := []struct{ size, segment int }{
		{1, 0}, {1, 1}, {2, 1}, {1200, 0}, {1200, 1200}, {1201, 1200}, {2400, 1200},
		{100, 7}, {64 * 100, 100}, {64*100 + 1, 100}, {200 * 100, 100},
		{60000, 1200}, {150000, 1452}, {9000, 0}, {27000, 9000}, {100000, 33000},
	}
	for _, src := range kinds {
		for _, dst := range kinds {
			t.Run(src.name+" to "+dst.name, func(t *testing.T) {
				a := open(t, "127.0.0.1:0", src.options, src.portable)
				b := open(t, "127.0.0.1:0", dst.options, dst.portable)
				for _, s := range shapes {
					batch := Batch{To: b.LocalAddr(), Data: random(s.size), Segment: s.segment}
					if dst.name == "batched" && batch.segment() > 9216 {
						continue // longer than a jumbo frame, see TestTooLong
					}
					if err := a.Write([]Batch{batch}); err != nil {
						t.Fatalf("write %+v: %v", s, err)
					}
					want := cut(batch)
					got, from := take(t, b, len(want))
					for i := range want {
						if !bytes.Equal(got[i], want[i]) {
							t.Fatalf("%+v: datagram %d: got %d bytes %.8x…, want %d bytes %.8x…",
								s, i, len(got[i]), got[i], len(want[i]), want[i])
						}
					}
					if from != a.LocalAddr() {
						t.Fatalf("from: got %v, want %v", from, a.LocalAddr())
					}
				}
				if s := a.Stats(); s.WriteErrors+s.WriteFull > 0 {
					t.Errorf("sender dropped: %+v", s)
				}
				if s := b.Stats(); s.Truncated+s.ReadErrors > 0 {
					t.Errorf("receiver dropped: %+v", s)
				}
			})
		}
	}
}

// One Write serves several peers, and skips what has no datagram or no address.
func TestManyPeers(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			a := open(t, "127.0.0.1:0", k.options, k.portable)
			var peers []*Conn
			batches := []Batch{{}, {To: netip.AddrPort{}, Data: []byte("to nobody")}}
			for i := range 50 {
				p := open(t, "127.0.0.1:0", k.options, k.portable)
				peers = append(peers, p)
				batches = append(batches,
					Batch{To: p.LocalAddr(), Data: random(1000 + i), Segment: 400},
					Batch{To: p.LocalAddr()})
			}
			if err := a.Write(batches); err != nil {
				t.Fatal(err)
			}
			for i, p := range peers {
				got, _ := take(t, p, 3)
				if joined := bytes.Join(got, nil); !bytes.Equal(joined, random(1000+i)) {
					t.Errorf("peer %d: got %d bytes, want %d", i, len(joined), 1000+i)
				}
			}
			if got := a.Stats().WriteErrors; got != 1 {
				t.Errorf("write errors: got %d, want 1 for the batch without an address", got)
			}
		})
	}
}

// A socket of both IP versions shows IPv4 peers as IPv4 and reaches both.
func TestAddressFamilies(t *testing.T) {
	if !haveIPv6() {
		t.Skip("no IPv6 on the loopback interface")
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			both := open(t, ":0", k.options, k.portable)
			port := both.LocalAddr().Port()
			for _, host := range []string{"127.0.0.1", "::1"} {
				ip := netip.MustParseAddr(host)
				one := open(t, net.JoinHostPort(host, "0"), k.options, k.portable)
				if got := one.LocalAddr().Addr(); got != ip {
					t.Errorf("local address: got %v, want %v", got, ip)
				}
				question := Batch{To: netip.AddrPortFrom(ip, port), Data: []byte("question")}
				if err := one.Write([]Batch{question}); err != nil {
					t.Fatal(err)
				}
				got, from := take(t, both, 1)
				if string(got[0]) != "question" || from != one.LocalAddr() {
					t.Fatalf("got %q from %v, want question from %v", got[0], from, one.LocalAddr())
				}
				if err := both.Write([]Batch{{To: from, Data: []byte("answer")}}); err != nil {
					t.Fatal(err)
				}
				if got, from := take(t, one, 1); string(got[0]) != "answer" || from != question.To {
					t.Fatalf("got %q from %v, want answer from %v", got[0], from, question.To)
				}
			}
		})
	}
}

func haveIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// An address of the version that a socket doesn't speak is a lost datagram.
func TestWrongFamily(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c := open(t, "127.0.0.1:0", k.options, k.portable)
			err := c.Write([]Batch{
				{To: netip.MustParseAddrPort("[2001:db8::1]:1935"), Data: []byte("lost")},
				{To: c.LocalAddr(), Data: []byte("kept")},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := take(t, c, 1); string(got[0]) != "kept" {
				t.Errorf("got %q, want kept", got[0])
			}
			if got := c.Stats().WriteErrors; got != 1 {
				t.Errorf("write errors: got %d, want 1", got)
			}
		})
	}
}

// A port where nobody listens, and a datagram that is too long, cost only
// themselves: reading and writing go on.
func TestNotFatal(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c := open(t, "127.0.0.1:0", k.options, k.portable)
			gone, err := Listen("127.0.0.1:0", Options{})
			if err != nil {
				t.Fatal(err)
			}
			gone.Close()
			for range 3 {
				if err := c.Write([]Batch{
					{To: gone.LocalAddr(), Data: random(5000), Segment: 1000},
					{To: c.LocalAddr(), Data: make([]byte, 70000)},
					{To: c.LocalAddr(), Data: []byte("still here")},
				}); err != nil {
					t.Fatal(err)
				}
				if got, _ := take(t, c, 1); string(got[0]) != "still here" {
					t.Errorf("got %d bytes, want those of the last batch", len(got[0]))
				}
			}
			if got := c.Stats().WriteErrors; got < 3 {
				t.Errorf("write errors: got %d, want at least the 3 that were too long", got)
			}
		})
	}
}

// A datagram that is longer than a slot is counted and not handed up in part.
func TestTooLong(t *testing.T) {
	a := open(t, "127.0.0.1:0", Options{}, true)
	b := open(t, "127.0.0.1:0", Options{NoOffload: true}, false)
	if !b.batched {
		t.Skip("one datagram per call here: every datagram fits")
	}
	if err := a.Write([]Batch{
		{To: b.LocalAddr(), Data: make([]byte, 20000)},
		{To: b.LocalAddr(), Data: []byte("short")},
	}); err != nil {
		t.Fatal(err)
	}
	if got, _ := take(t, b, 1); string(got[0]) != "short" {
		t.Errorf("got %d bytes, want short", len(got[0]))
	}
	if got := b.Stats().Truncated; got != 1 {
		t.Errorf("truncated: got %d, want 1", got)
	}
}

// A Read that waits ends when another goroutine closes the socket, and both
// directions then say so.
func TestClose(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c := open(t, "127.0.0.1:0", k.options, k.portable)
			done := make(chan error)
			go func() {
				in := c.NewInbox()
				for {
					if _, err := c.Read(in); err != nil {
						done <- err
						return
					}
					done <- nil
				}
			}()
			if err := c.Write([]Batch{{To: c.LocalAddr(), Data: []byte("running")}}); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatalf("first read: %v", err)
			}
			c.Close()
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("read: got %v, want net.ErrClosed", err)
			}
			err := c.Write([]Batch{{To: c.LocalAddr(), Data: []byte("late")}})
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("write: got %v, want net.ErrClosed", err)
			}
			_ = c.Stats() // must not crash
		})
	}
}

// Two that receive all the time, and answer what came when all of it has, never
// wait for something that is there; the deadline of the sockets tells.
func TestReceive(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			const rounds = 1000
			ends := [2]*Conn{open(t, "127.0.0.1:0", k.options, k.portable), open(t, "127.0.0.1:0", k.options, k.portable)}
			count := func(round int) int { return 1 + round*round%23 } // datagrams, more than one call takes now and then
			send := func(c *Conn, to netip.AddrPort, round int) {
				data := bytes.Repeat([]byte{byte(round)}, 100*count(round))
				if err := c.Write([]Batch{{To: to, Data: data, Segment: 100}}); err != nil {
					t.Error(err)
				}
			}
			send(ends[1], ends[0].LocalAddr(), 0) // before its reader begins, who sends on it, too
			ended, done := make(chan error, len(ends)), make(chan struct{})
			for i, c := range ends {
				to := ends[1-i].LocalAddr()
				round, got := i, 0 // of what comes
				inbox := c.NewInbox()
				go func() {
					ended <- c.Receive(func() *Inbox { return inbox }, func(in *Inbox, packets []Packet) {
						for j := range packets {
							for d := packets[j].Next(); d != nil; d = packets[j].Next() {
								if got++; len(d) != 100 || d[99] != byte(round) {
									t.Errorf("round %d: %d bytes of round %d", round, len(d), d[0])
								}
							}
						}
						switch {
						case got < count(round):
						case round == rounds:
							close(done)
						default:
							got = 0
							send(c, to, round+1)
							round += 2
						}
					})
				}()
			}
			select {
			case <-done:
			case err := <-ended:
				t.Fatal(err)
			}
			for _, c := range ends {
				c.Close()
			}
			for range ends {
				if err := <-ended; !errors.Is(err, net.ErrClosed) {
					t.Errorf("after Close: got %v, want net.ErrClosed", err)
				}
			}
		})
	}
}

// Both directions of a socket run at once, beside those who look at its
// figures; the race detector watches.
func TestBothDirections(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			const rounds = 200
			ends := [2]*Conn{open(t, "127.0.0.1:0", k.options, k.portable), open(t, "127.0.0.1:0", k.options, k.portable)}
			received := make(chan int, 2)
			for i, c := range ends {
				to := ends[1-i].LocalAddr()
				go func() {
					n := 0
					defer func() { received <- n }()
					in := c.NewInbox()
					for n < rounds*3 {
						packets, err := c.Read(in)
						if err != nil {
							t.Errorf("read after %d datagrams: %v", n, err)
							return
						}
						for j := range packets {
							for packets[j].Next() != nil {
								n++
							}
						}
					}
				}()
				go func() {
					data := random(2500)
					for range rounds {
						if err := c.Write([]Batch{{To: to, Data: data, Segment: 1000}}); err != nil {
							t.Errorf("write: %v", err)
						}
						_ = c.Stats()
					}
				}()
			}
			for range ends {
				if got := <-received; got != rounds*3 {
					t.Errorf("datagrams: got %d, want %d", got, rounds*3)
				}
			}
		})
	}
}

func TestListenErrors(t *testing.T) {
	c := open(t, "127.0.0.1:0", Options{}, false)
	_, err := Listen(c.LocalAddr().String(), Options{})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("busy port: got %v, want EADDRINUSE", err)
	}
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:99999", "[::1", "no.such.host.invalid:1"} {
		if c, err := Listen(addr, Options{}); err == nil {
			c.Close()
			t.Errorf("%q: got no error", addr)
		}
	}
}

// Neither direction allocates, whether the kernel cuts and glues or not.
func TestAllocations(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for _, host := range []string{"127.0.0.1:0", ":0"} {
				a := open(t, host, k.options, k.portable)
				b := open(t, "127.0.0.1:0", k.options, k.portable)
				in := b.NewInbox()
				batches := []Batch{
					{To: b.LocalAddr(), Data: random(12000), Segment: 1200},
					{To: b.LocalAddr(), Data: random(100)},
				}
				got := testing.AllocsPerRun(100, func() {
					if err := a.Write(batches); err != nil {
						t.Fatal(err)
					}
					for n := 0; n < 11; {
						packets, err := b.Read(in)
						if err != nil {
							t.Fatal(err)
						}
						for i := range packets {
							for packets[i].Next() != nil {
								n++
							}
						}
					}
				})
				if got != 0 {
					t.Errorf("%s: allocations per round: got %v, want 0", host, got)
				}
			}
		})
	}
}

func TestPacketNext(t *testing.T) {
	for _, c := range []struct {
		size, segment int
		want          string
	}{
		{0, 0, "[]"}, {5, 0, "[5]"}, {5, 5, "[5]"}, {5, 9, "[5]"}, {5, 2, "[2 2 1]"}, {6, 2, "[2 2 2]"},
	} {
		p := Packet{Data: make([]byte, c.size), Segment: c.segment}
		sizes := []int{}
		for d := p.Next(); d != nil; d = p.Next() {
			if cap(d) != len(d) {
				t.Errorf("size %d: datagram has room for the next one's bytes", c.size)
			}
			sizes = append(sizes, len(d))
		}
		if got := fmt.Sprint(sizes); got != c.want {
			t.Errorf("size %d segment %d: got %s, want %s", c.size, c.segment, got, c.want)
		}
	}
}

func BenchmarkLoopback(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			src := open(b, "127.0.0.1:0", k.options, k.portable)
			dst := open(b, "127.0.0.1:0", k.options, k.portable)
			in := dst.NewInbox()
			batches := []Batch{{To: dst.LocalAddr(), Data: random(40 * 1200), Segment: 1200}}
			b.SetBytes(int64(len(batches[0].Data)))
			for b.Loop() {
				if err := src.Write(batches); err != nil {
					b.Fatal(err)
				}
				for n := 0; n < 40; {
					packets, err := dst.Read(in)
					if err != nil {
						b.Fatal(err)
					}
					for i := range packets {
						for packets[i].Next() != nil {
							n++
						}
					}
				}
			}
		})
	}
}
