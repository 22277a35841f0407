package proxy

import (
	"net/netip"
	"testing"
	"time"

	"rtmfp/internal/impair"
	"rtmfp/transport/udp"
)

// socket opens a socket whose reads end with the test.
func socket(t *testing.T) *udp.Conn {
	t.Helper()
	c, err := udp.Listen("127.0.0.1:0", udp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	end := time.AfterFunc(10*time.Second, func() { c.Close() })
	t.Cleanup(func() { end.Stop() })
	return c
}

func write(t *testing.T, c *udp.Conn, to netip.AddrPort, b ...byte) {
	t.Helper()
	if err := c.Write([]udp.Batch{{To: to, Data: b}}); err != nil {
		t.Fatal(err)
	}
}

// next reads datagrams until one begins with a byte, and returns the rest of it
// and where it came from.
func next(t *testing.T, c *udp.Conn, first byte) (b []byte, from netip.AddrPort) {
	t.Helper()
	in := c.NewInbox()
	for {
		packets, err := c.Read(in)
		if err != nil {
			t.Fatalf("waiting for %q: %v", first, err)
		}
		for i := range packets {
			for d := packets[i].Next(); d != nil; d = packets[i].Next() {
				if d[0] == first {
					return d[1:], packets[i].From
				}
			}
		}
	}
}

// Datagrams take the path's time either way and keep their order, and its
// counters tell of them.
func TestPath(t *testing.T) {
	const each, count = 15 * time.Millisecond, 300
	p := New(impair.Config{Delay: each}, impair.Config{Delay: each}, 1)
	defer p.Close()
	server, client := socket(t), socket(t)
	x, err := p.Serve(server.LocalAddr(), 1)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range count {
		write(t, client, x.Addrs()[0], 'a', byte(i), byte(i>>8))
	}
	in, got := server.NewInbox(), 0
	for got < count {
		packets, err := server.Read(in)
		if err != nil {
			t.Fatalf("after %d datagrams: %v", got, err)
		}
		for i := range packets {
			for d := packets[i].Next(); d != nil; d = packets[i].Next() {
				if n := int(d[1]) | int(d[2])<<8; n != got {
					t.Fatalf("got datagram %d, want %d", n, got)
				}
				if got++; got == count {
					write(t, server, packets[i].From, 'z')
				}
			}
		}
	}
	next(t, client, 'z')
	if took := time.Since(began); took < 2*each {
		t.Errorf("there and back took %v, want at least %v", took, 2*each)
	}
	if up, down := p.Stats(false), p.Stats(true); up.Packets != count || down.Packets != 1 {
		t.Errorf("got %v up and %v down, want %d and 1 packets", up, down, count)
	}
}

// A rebound client comes from another port, and what is sent to the one before
// is lost; a server that has moved is found at its next address alone.
func TestRebindMove(t *testing.T) {
	p := New(impair.Config{}, impair.Config{}, 1)
	defer p.Close()
	server, client := socket(t), socket(t)
	x, err := p.Serve(server.LocalAddr(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Rebind(client.LocalAddr(), false); err == nil {
		t.Error("a client that nothing came from was rebound")
	}
	write(t, client, x.Addrs()[0], 'a')
	_, before := next(t, server, 'a')
	if err := x.Rebind(client.LocalAddr(), false); err != nil {
		t.Fatal(err)
	}
	write(t, client, x.Addrs()[0], 'b')
	_, after := next(t, server, 'b')
	if after == before {
		t.Errorf("after being rebound the client still comes from %v", before)
	}
	write(t, server, before, 'c', 1)
	write(t, server, after, 'c', 2)
	if b, from := next(t, client, 'c'); b[0] != 2 || from != x.Addrs()[0] {
		t.Errorf("got %v from %v, want what was sent to the new port, from %v", b, from, x.Addrs()[0])
	}
	x.Move()
	write(t, client, x.Addrs()[0], 'd', 1)
	write(t, client, x.Addrs()[1], 'd', 2)
	if b, _ := next(t, server, 'd'); b[0] != 2 {
		t.Error("got what was sent to the address that the server has left")
	}
}
