package udp

import (
	"net/netip"
	"testing"
)

// takeMarks reads n datagrams and returns the marks, and the numbers of the local
// addresses, with which they came.
func takeMarks(t *testing.T, c *Conn, n int) (marks, locals []uint8, from netip.AddrPort) {
	t.Helper()
	in := c.NewInbox()
	for len(marks) < n {
		packets, err := c.Read(in)
		if err != nil {
			t.Fatalf("read after %d of %d datagrams: %v", len(marks), n, err)
		}
		for i := range packets {
			p := &packets[i]
			from = p.From
			for d := p.Next(); d != nil; d = p.Next() {
				marks, locals = append(marks, p.ECN), append(locals, p.Local)
			}
		}
	}
	return marks, locals, from
}

// Marks go through both IP versions, with one datagram in a message and with many
// that the kernel cuts and glues; and datagrams without one stay so beside them.
func TestMarks(t *testing.T) {
	for _, k := range kinds[:2] {
		for _, c := range []struct{ name, from, to string }{
			{"IPv4", "127.0.0.1:0", "127.0.0.1:0"},
			{"IPv6", "[::1]:0", "[::1]:0"},
			{"both to IPv4", ":0", "127.0.0.1:0"},
			{"IPv4 to both", "127.0.0.1:0", ":0"},
		} {
			t.Run(k.name+" "+c.name, func(t *testing.T) {
				a, b := open(t, c.from, k.options, false), open(t, c.to, k.options, false)
				if !a.Stats().ECN || !b.Stats().ECN {
					t.Skip("this kernel has no control messages for marks")
				}
				to := b.LocalAddr()
				if to.Addr().IsUnspecified() {
					to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
				}
				var batches []Batch
				var want []uint8
				for _, ecn := range []uint8{0, 2, 1, 3, 2, 0} {
					batches = append(batches, Batch{To: to, Data: random(1000), ECN: ecn}, Batch{To: to, Data: random(9500), Segment: 1000, ECN: ecn})
					for range 11 {
						want = append(want, ecn)
					}
				}
				if err := a.Write(batches); err != nil {
					t.Fatal(err)
				}
				got, _, _ := takeMarks(t, b, len(want))
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("datagram %d: got mark %d, want %d", i, got[i], want[i])
					}
				}
				if s := a.Stats(); s.ControlRefused+s.WriteErrors > 0 {
					t.Errorf("refused: %+v", s)
				}
			})
		}
	}
}

// Where marks are off nothing is written, and nothing is read.
func TestNoMarks(t *testing.T) {
	a, b := open(t, "127.0.0.1:0", Options{NoECN: true}, false), open(t, "127.0.0.1:0", Options{}, false)
	if err := a.Write([]Batch{{To: b.LocalAddr(), Data: random(100), ECN: 3}}); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := takeMarks(t, b, 1); got[0] != 0 {
		t.Errorf("written: got mark %d, want none", got[0])
	}
	if err := b.Write([]Batch{{To: a.LocalAddr(), Data: random(100), ECN: 3}}); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := takeMarks(t, a, 1); got[0] != 0 {
		t.Errorf("read: got mark %d, want none", got[0])
	}
}

// A socket for all addresses answers by the one that it was asked at; a number
// that was never given means none.
func TestLocalAddress(t *testing.T) {
	for _, k := range kinds[:2] {
		for _, addr := range []string{":0", "0.0.0.0:0"} {
			server := open(t, addr, k.options, false)
			if !server.Stats().PacketInfo {
				t.Skip("this kernel has no control messages for addresses")
			}
			client := open(t, "127.0.0.1:0", k.options, false)
			for _, at := range []string{"127.0.0.2", "127.0.0.1", "127.0.0.3", "127.0.0.2"} {
				to := netip.AddrPortFrom(netip.MustParseAddr(at), server.LocalAddr().Port())
				if err := client.Write([]Batch{{To: to, Data: random(300), Segment: 100}}); err != nil {
					t.Fatal(err)
				}
				_, locals, from := takeMarks(t, server, 3)
				if locals[0] == 0 || locals[0] != locals[2] {
					t.Fatalf("%s to %s: got numbers %v", k.name, at, locals)
				}
				if err := server.Write([]Batch{{To: from, Data: random(3000), Segment: 1000, Local: locals[0], ECN: 2}}); err != nil {
					t.Fatal(err)
				}
				if _, _, got := takeMarks(t, client, 3); got != to {
					t.Errorf("%s: asked at %v, answered by %v", k.name, to, got)
				}
			}
			if err := server.Write([]Batch{{To: client.LocalAddr(), Data: random(100), Local: 200}}); err != nil {
				t.Fatal(err)
			}
			takeMarks(t, client, 1)
			if s := server.Stats(); s.ControlRefused+s.WriteErrors > 0 {
				t.Errorf("refused: %+v", s)
			}
		}
	}
}

// What the kernel refuses to mark, or to send from an address that is gone, goes
// without; and the kernel isn't asked any more once that happened too often.
func TestControlRefused(t *testing.T) {
	a := open(t, "0.0.0.0:0", Options{}, false)
	if !a.Stats().PacketInfo {
		t.Skip("this kernel has no control messages for addresses")
	}
	b := open(t, "127.0.0.1:0", Options{}, false)
	gone := a.platform.locals.number(netip.MustParseAddr("192.0.2.1")) // of nobody
	for i := range maxRefusals {
		if s := a.Stats(); !s.ECN || !s.PacketInfo {
			t.Fatalf("off after %d refusals: %+v", i, s)
		}
		if err := a.Write([]Batch{{To: b.LocalAddr(), Data: random(100), Local: gone, ECN: 2}}); err != nil {
			t.Fatal(err)
		}
		takeMarks(t, b, 1)
	}
	if s := a.Stats(); s.ECN || s.PacketInfo || s.ControlRefused != maxRefusals || s.WriteErrors != 0 {
		t.Errorf("after %d refusals: %+v", maxRefusals, s)
	}
}

// Addresses beyond what a number can name, and those that can't be chosen, have
// none.
func TestLocals(t *testing.T) {
	var l locals
	for i := range 400 {
		addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		n := l.number(addr)
		if want := netip.Addr(addr); i < maxLocals && (l.address(n) != want || n == 0) {
			t.Fatalf("address %d: got number %d for %v", i, n, l.address(n))
		}
		if i >= maxLocals && n != 0 {
			t.Fatalf("address %d: got number %d, want none", i, n)
		}
	}
	for _, addr := range []string{"fe80::1", "0.0.0.0", "::", "224.0.0.1"} {
		if n := new(locals).number(netip.MustParseAddr(addr)); n != 0 {
			t.Errorf("%s: got number %d", addr, n)
		}
	}
}

// Reading and writing with all control messages allocates nothing.
func TestControlAllocations(t *testing.T) {
	a, b := open(t, "0.0.0.0:0", Options{}, false), open(t, "0.0.0.0:0", Options{}, false)
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.LocalAddr().Port())
	a.platform.locals.number(to.Addr())
	batches := []Batch{{To: to, Data: random(5000), Segment: 1000, Local: 1, ECN: 2}}
	in := b.NewInbox()
	round := func() {
		if err := a.Write(batches); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 5000; {
			packets, err := b.Read(in)
			if err != nil {
				t.Fatal(err)
			}
			for i := range packets {
				n += len(packets[i].Data)
			}
		}
	}
	round()
	if got := testing.AllocsPerRun(100, round); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
