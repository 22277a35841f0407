package crypto

import (
	"fmt"
	"testing"
)

// What a handshake costs each end in public-key work.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name string
		o    IdentityOptions
		p    Policy
	}{
		{"modern", IdentityOptions{}, Policy{}},
		{"modern, hybrid", IdentityOptions{}, Policy{Hybrid: HybridRequire}},
		{"simulation", IdentityOptions{}, Policy{Simulation: true}},
		{"MODP-14 (static)", IdentityOptions{Groups: []DHGroup{Group14}}, Policy{AllowLegacy: true}},
		{"MODP-14 (ephemeral)", IdentityOptions{Groups: []DHGroup{Group14}, Ephemeral: true}, Policy{AllowLegacy: true}},
		{"MODP-16 (static)", IdentityOptions{Groups: []DHGroup{Group16}}, Policy{AllowLegacy: true}},
	} {
		name, p := c.name, c.p
		i, r := newIdentity(b, 1, c.o), newIdentity(b, 2, c.o)
		in, err := i.Initiate(seedOf(1), r.Parsed(), p)
		if err != nil {
			b.Fatal(err)
		}
		skrc, _, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("initiate, "+name, func(b *testing.B) {
			for b.Loop() {
				in, err := i.Initiate(seedOf(1), r.Parsed(), p)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := in.Complete(skrc); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("respond, "+name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var benchmarked = []string{"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305", "simulation", "HMAC+SSEQ", "checksum"}

// benchmark runs f for each way to protect packets, in a datagram of 1200 bytes
// and in the largest that fits an Ethernet frame under IPv6.
func benchmark(b *testing.B, f func(b *testing.B, k [2]*SessionKeys, buffer []byte)) {
	keys := pairs(b)
	for _, name := range benchmarked {
		for _, datagram := range []int{1200, 1452} {
			b.Run(fmt.Sprintf("%s/%d", name, datagram), func(b *testing.B) {
				k := keys[name]
				buffer := make([]byte, sessionIDSize+k[0].Headroom()+k[0].MaxPacket(datagram), datagram+Overhead)
				b.SetBytes(int64(datagram))
				b.ReportAllocs()
				f(b, k, buffer)
			})
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(b *testing.B, k [2]*SessionKeys, buffer []byte) {
		for b.Loop() {
			k[0].Seal(buffer, 1)
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	benchmark(b, func(b *testing.B, k [2]*SessionKeys, buffer []byte) {
		for b.Loop() {
			if _, err := k[1].Open(k[0].Seal(buffer, 1)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What the first packets each way cost after a rest.
func BenchmarkWake(b *testing.B) {
	keys := pairs(b)
	for _, name := range benchmarked {
		b.Run(name, func(b *testing.B) {
			k := keys[name]
			buffer := make([]byte, 64, 64+Overhead)
			b.ReportAllocs()
			for b.Loop() {
				k[0].Rest()
				k[1].Rest()
				if _, err := k[1].Open(k[0].Seal(buffer, 1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
