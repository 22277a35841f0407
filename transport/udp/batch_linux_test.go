package udp

import (
	"bytes"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's reading of our structures depends on their layout.
func TestControlLayout(t *testing.T) {
	var ctl sendControl
	if got, want := len(ctl.bytes()), unix.CmsgSpace(2)+unix.CmsgSpace(4)+unix.CmsgSpace(unix.SizeofInet6Pktinfo); got < want {
		t.Errorf("room for control messages: got %d, want %d", got, want)
	}
	var rcv receiveControl
	want := unix.CmsgSpace(4) + unix.CmsgSpace(4) + unix.CmsgSpace(unix.SizeofInet4Pktinfo) + unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	if got := int(unsafe.Sizeof(rcv)); got < want {
		t.Errorf("room for received control messages: got %d, want %d", got, want)
	}
	// What is written is read back, in the forms that the kernel gives as well.
	for _, from := range []string{"192.0.2.7", "2001:db8::7"} {
		ctl, addr := sendControl{}, netip.MustParseAddr(from)
		ctl.segment(1200)
		ctl.mark(2, addr.Is4())
		ctl.from(addr)
		if got, want := parseArrival(ctl.bytes()[:ctl.n]), (arrival{ecn: 2}); got.ecn != want.ecn || addr.Is6() && got.local != addr {
			t.Errorf("%s: got %+v, want mark 2 and the address", from, got)
		}
	}
}

// Offload is found where the kernel has it (5.0 and later), and it pays: one
// system call each way for what would be 40.
func TestOffloadUsed(t *testing.T) {
	a := open(t, "127.0.0.1:0", Options{}, false)
	b := open(t, "127.0.0.1:0", Options{}, false)
	if s := a.Stats(); !s.GSO || !s.GRO {
		t.Skipf("this kernel has no offload: %+v", s)
	}
	if err := a.Write([]Batch{{To: b.LocalAddr(), Data: random(48000), Segment: 1200}}); err != nil {
		t.Fatal(err)
	}
	take(t, b, 40)
	if got := a.Stats().WriteCalls; got != 1 {
		t.Errorf("write calls: got %d, want 1", got)
	}
	if got := b.Stats().ReadCalls; got != 1 {
		t.Errorf("read calls: got %d, want 1", got)
	}
}

// A message that the kernel refuses to cut is sent again in single datagrams,
// and the kernel isn't asked any more once that happened too often, or with EIO.
func TestSegmentRefused(t *testing.T) {
	b := open(t, "127.0.0.1:0", Options{}, true)
	batches := []Batch{{To: b.LocalAddr(), Data: random(5000), Segment: 1000}}
	for _, c := range []struct {
		name    string
		errno   unix.Errno
		times   int
		stillOn bool
	}{
		{"once", unix.EINVAL, 1, true},
		{"nearly too often", unix.EINVAL, maxRefusals - 1, true},
		{"too often", unix.EINVAL, maxRefusals, false},
		{"no checksums", unix.EIO, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := open(t, "127.0.0.1:0", Options{}, false)
			if !a.Stats().GSO {
				t.Skip("this kernel has no GSO")
			}
			s := &a.platform.send
			for range c.times {
				s.batches, s.at, s.plain, s.bare = batches, cursor{}, -1, -1
				if n := a.fill(); n != 1 || s.msgs[0].hdr.Control == nil {
					t.Fatalf("messages before the refusal: got %d, want 1 that is cut", n)
				}
				a.refused(c.errno)
				if n := a.fill(); n != 5 || s.msgs[0].hdr.Control != nil {
					t.Fatalf("messages after the refusal: got %d, want 5 single ones", n)
				}
				if err := a.platform.raw.Write(s.wait); err != nil {
					t.Fatal(err)
				}
				got, _ := take(t, b, 5)
				if joined := bytes.Join(got, nil); !bytes.Equal(joined, batches[0].Data) {
					t.Fatalf("got %d bytes, want the batch", len(joined))
				}
			}
			if got := a.Stats(); got.GSO != c.stillOn || got.SegmentRefused != uint64(c.times) {
				t.Errorf("got GSO %v after %d refusals, want %v after %d",
					got.GSO, got.SegmentRefused, c.stillOn, c.times)
			}
		})
	}
}

// Control messages that make no sense leave a message as it came.
func TestGluedSegmentOfGarbage(t *testing.T) {
	for _, control := range [][]byte{nil, {1}, make([]byte, 16), make([]byte, 24), bytes.Repeat([]byte{0xff}, 64)} {
		if got := parseArrival(control); got != (arrival{}) {
			t.Errorf("control %x: got %+v, want nothing", control, got)
		}
	}
}

// A full send buffer makes a Write wait a little and then drop, never stay.
func TestSendBufferFull(t *testing.T) {
	a := open(t, "127.0.0.1:0", Options{}, false)
	b := open(t, "127.0.0.1:0", Options{}, false)
	s := &a.platform.send
	full := s.try
	s.try = func(fd uintptr) bool { s.full = true; return true }
	s.wait = func(uintptr) bool { return false }
	if err := a.Write([]Batch{{To: b.LocalAddr(), Data: random(100)}, {To: b.LocalAddr(), Data: random(200)}}); err != nil {
		t.Fatal(err)
	}
	if got := a.Stats().WriteFull; got != 2 {
		t.Errorf("dropped: got %d, want 2", got)
	}
	s.try = full
	if err := a.Write([]Batch{{To: b.LocalAddr(), Data: []byte("room again")}}); err != nil {
		t.Fatal(err)
	}
	if got, _ := take(t, b, 1); string(got[0]) != "room again" {
		t.Errorf("got %d bytes, want those written when there was room", len(got[0]))
	}
}

// A probe goes alone and in its place, forbids to be fragmented, and leaves the
// socket as it was.
func TestProbe(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		a := open(t, addr, Options{}, false)
		b := open(t, addr, Options{}, false)
		mode := func() (v int) {
			_ = a.platform.raw.Control(func(fd uintptr) {
				if a.platform.ipv6 {
					v, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER)
				} else {
					v, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER)
				}
			})
			return v
		}
		if got := mode(); got != unix.IP_PMTUDISC_DONT {
			t.Errorf("%s: at first: got mode %d, want %d", addr, got, unix.IP_PMTUDISC_DONT)
		}
		s := &a.platform.send
		s.batches = []Batch{{To: b.LocalAddr(), Data: random(100)}, {To: b.LocalAddr(), Data: random(1400), Probe: true}, {To: b.LocalAddr(), Data: random(200)}}
		s.at, s.plain, s.bare = cursor{}, -1, -1
		for i, probe := range []bool{false, true, false} {
			if n := a.fill(); n != 1 || s.probe != probe {
				t.Errorf("%s: slots %d: got %d messages, probe %v", addr, i, n, s.probe)
			}
			s.at = s.ends[0]
		}
		if err := a.Write(s.batches); err != nil {
			t.Fatal(err)
		}
		got, _ := take(t, b, 3)
		if len(got[0]) != 100 || len(got[1]) != 1400 || len(got[2]) != 200 {
			t.Errorf("%s: got %d, %d and %d bytes, want 100, 1400 and 200", addr, len(got[0]), len(got[1]), len(got[2]))
		}
		if got := mode(); got != unix.IP_PMTUDISC_DONT {
			t.Errorf("%s: at last: got mode %d, want %d", addr, got, unix.IP_PMTUDISC_DONT)
		}
	}
}
