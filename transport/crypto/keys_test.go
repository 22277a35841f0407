package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// kinds are the ways to protect packets, by name.
var kinds = []struct {
	name string
	o    IdentityOptions
	p    Policy
}{
	{"AES-128-GCM", IdentityOptions{}, Policy{}},
	{"AES-256-GCM", IdentityOptions{}, Policy{Suites: []Suite{AES256GCM}}},
	{"ChaCha20-Poly1305", IdentityOptions{}, Policy{Suites: []Suite{ChaCha20Poly1305}}},
	{"simulation", IdentityOptions{}, Policy{Simulation: true}},
	{"HMAC+SSEQ", IdentityOptions{Groups: []DHGroup{Group2}}, Policy{AllowLegacy: true}},
	{"HMAC", IdentityOptions{Groups: []DHGroup{Group2}}, Policy{AllowLegacy: true, SSEQ: OnRequest}},
	{"checksum+SSEQ", IdentityOptions{Groups: []DHGroup{Group2}}, Policy{AllowLegacy: true, HMAC: OnRequest}},
	{"checksum", IdentityOptions{Groups: []DHGroup{Group2}}, Policy{AllowLegacy: true, HMAC: OnRequest, SSEQ: OnRequest}},
}

// pairs returns the keys of both ends of a session of each kind, and the
// Default Session Key.
func pairs(t testing.TB) map[string][2]*SessionKeys {
	m := map[string][2]*SessionKeys{}
	for _, c := range kinds {
		ki, kr := agree(t, newIdentity(t, 1, c.o), newIdentity(t, 2, c.o), c.p, c.p)
		m[c.name] = [2]*SessionKeys{ki, kr}
	}
	d := DefaultKeys()
	m["default"] = [2]*SessionKeys{d, d}
	return m
}

// MaxPacket is exactly what fits, at every size of datagram and also when the
// sequence number grows.
func TestMaxPacket(t *testing.T) {
	for name, k := range pairs(t) {
		for datagram := range 1300 {
			n := k[0].MaxPacket(datagram)
			if n == 0 {
				continue
			}
			if got := seal(k[0], make([]byte, n), 1); len(got) > datagram {
				t.Fatalf("%s: a packet of MaxPacket(%d) = %d bytes became a datagram of %d", name, datagram, n, len(got))
			}
			n = k[0].MaxPacket(datagram)
			if got := seal(k[0], make([]byte, n+1), 1); len(got) <= datagram {
				t.Fatalf("%s: MaxPacket(%d) = %d, but one byte more fits", name, datagram, n)
			}
		}
	}
}

func TestOverheadSuffices(t *testing.T) {
	legacy := IdentityOptions{Groups: []DHGroup{Group2}}
	p := Policy{AllowLegacy: true, HMACLength: 32}
	k, _ := agree(t, newIdentity(t, 1, legacy), newIdentity(t, 2, legacy), p, p)
	k.packets.(*cbcKeys).next = math.MaxUint64 - 100
	for n := range 32 {
		if got := len(seal(k, make([]byte, n), 1)) - n; got > Overhead {
			t.Errorf("a packet of %d bytes grew by %d, more than Overhead = %d", n, got, Overhead)
		}
	}
}

// Whatever byte of a datagram is changed, it is refused; and so is a shortened
// one. A bare checksum lets one change in 65536 through, so it is left out.
func TestTamper(t *testing.T) {
	for name, k := range pairs(t) {
		if name == "default" || name == "checksum" || name == "checksum+SSEQ" {
			continue
		}
		d := seal(k[0], []byte("packet of some length, more than a block"), 7)
		for at := sessionIDSize; at < len(d); at++ {
			bad := bytes.Clone(d)
			bad[at] ^= 0x10
			if got, err := k[1].Open(bad); err == nil {
				t.Fatalf("%s: byte %d changed: opened %x", name, at, got)
			}
		}
		for n := range d {
			if got, err := k[1].Open(bytes.Clone(d[:n])); err == nil {
				t.Fatalf("%s: cut to %d bytes: opened %x", name, n, got)
			}
		}
		if _, err := k[0].Open(bytes.Clone(d)); err == nil {
			t.Errorf("%s: the sender's own packet opened: reflection", name)
		}
		if _, err := k[1].Open(d); err != nil {
			t.Errorf("%s: the genuine packet after all that: %v", name, err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	for name, k := range pairs(t) {
		for n := range sessionIDSize + 16 {
			if _, err := k[1].Open(make([]byte, n)); !errors.Is(err, ErrPacket) {
				t.Errorf("%s: %d bytes: got %v, want ErrPacket", name, n, err)
			}
		}
		if _, err := k[1].Open(make([]byte, 100)); err == nil {
			t.Errorf("%s: 100 zero bytes opened", name)
		}
	}
}

// Within the window every packet is taken once, in any order; behind it none.
func TestReplay(t *testing.T) {
	for _, name := range []string{"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", "simulation", "HMAC+SSEQ", "checksum+SSEQ"} {
		t.Run(name, func(t *testing.T) {
			k := pairs(t)[name]
			const n = 3 * ReplayWindow
			datagrams := make([][]byte, n)
			for i := range datagrams {
				datagrams[i] = seal(k[0], fmt.Appendf(nil, "packet %d", i), 7)
			}
			open := func(i int) error {
				_, err := k[1].Open(bytes.Clone(datagrams[i]))
				return err
			}
			rng := rand.New(rand.NewPCG(1, 2))
			// In blocks of half a window, shuffled, so that none falls out.
			const block = ReplayWindow / 2
			for from := 0; from < n; from += block {
				for _, i := range rng.Perm(block) {
					if err := open(from + i); err != nil {
						t.Fatalf("packet %d: %v", from+i, err)
					}
				}
			}
			for i := range n {
				if err := open(i); !errors.Is(err, ErrReplay) {
					t.Fatalf("packet %d again: got %v, want ErrReplay", i, err)
				}
			}
		})
	}
}

// The window against a set of all numbers seen, and of those that a rest forgot.
func TestReplayWindowModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var r replay
	seen := map[uint64]bool{}
	var next, floor uint64
	for range 200_000 {
		if rng.IntN(1000) == 0 {
			r.rest()
			floor = next
		}
		var n uint64
		switch rng.IntN(20) {
		case 0:
			n = next + rng.Uint64N(3*ReplayWindow)
		case 1:
			n = rng.Uint64N(next + 1)
		default:
			n = max(next, 1200) + 5 - rng.Uint64N(1200)
		}
		want := n >= next || next-n <= ReplayWindow && n >= floor && !seen[n]
		if got := r.fresh(n); got != want {
			t.Fatalf("fresh(%d) at next %d: got %v, want %v", n, next, got, want)
		}
		if want {
			r.accept(n)
			seen[n] = true
			next = max(next, n+1)
		}
	}
	if r.fresh(math.MaxUint64) {
		t.Error("the largest number is fresh; nothing could follow it")
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct {
		low            uint32
		expected, want uint64
	}{
		{0, 0, 0},
		{5, 3, 5},
		{0x7fffffff, 0, 0x7fffffff},
		{0x7fffffff, 0x8000_0000, 0x7fffffff},
		{0, 0x7fffffff, 0x8000_0000},
		{2, 0x5_ffff_fff0, 0x6_0000_0002},
		{0x7ffffff0, 0x6_0000_0002, 0x5_ffff_fff0},
		{0x40000000, 0x6_0000_0001, 0x6_4000_0000},
		{0x40000000, 0x6_0000_0000, 0x5_c000_0000},
	} {
		if got := expand(c.low, c.expected); got != c.want {
			t.Errorf("expand(%#x, %#x): got %#x, want %#x", c.low, c.expected, got, c.want)
		}
	}
}

// Packet numbers go on over 31 bits.
func TestPacketNumberWraps(t *testing.T) {
	k := pairs(t)["AES-128-GCM"]
	from, to := k[0].packets.(*aeadKeys), k[1].packets.(*aeadKeys)
	from.next, to.replay.next = 1<<31-3, 1<<31-3
	for i := range 6 {
		if _, err := k[1].Open(seal(k[0], []byte{1}, 9)); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
	}
	if from.next != 1<<31+3 {
		t.Errorf("next number %#x", from.next)
	}
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	for name, k := range pairs(t) {
		buffer := make([]byte, 0, 1200+Overhead)
		if got := testing.AllocsPerRun(500, func() {
			b := buffer[:sessionIDSize+k[0].Headroom()+1200]
			d := k[0].Seal(b, 0x01020304)
			if SessionID(d) != 0x01020304 {
				t.Fatal("session id")
			}
			if _, err := k[1].Open(d); err != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations per packet, want 0", name, got)
		}
		// Refusing costs none either.
		bad := seal(k[0], make([]byte, 1200), 1)
		bad[len(bad)-1] ^= 1
		b := make([]byte, len(bad))
		if got := testing.AllocsPerRun(500, func() {
			copy(b, bad)
			_, _ = k[1].Open(b)
		}); got != 0 {
			t.Errorf("%s: %v allocations per packet refused, want 0", name, got)
		}
	}
}
