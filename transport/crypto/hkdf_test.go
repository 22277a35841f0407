package crypto

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"math/rand/v2"
	"strings"
	"testing"
)

// What is derived here is what the standard library derives, for all sizes that
// occur, and takes no memory.
func TestHKDF(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	for range 500 {
		salt, secrets := random(sha256.Size), random(rng.IntN(macMessageMost+1))
		want, err := hkdf.Extract(sha256.New, secrets, salt)
		if err != nil {
			t.Fatal(err)
		}
		if got := hmacSum(salt, secrets); !bytes.Equal(got[:], want) {
			t.Fatalf("extracted from %d bytes: got %x, want %x", len(secrets), got, want)
		}
		label := strings.Repeat("x", rng.IntN(64))
		size := 1 + rng.IntN(expandMost)
		if want, err = hkdf.Expand(sha256.New, want, label, size); err != nil {
			t.Fatal(err)
		}
		got, master := make([]byte, size), hmacSum(salt, secrets)
		if expandSecret(got, master[:], label); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes expanded for %q: got %x, want %x", size, label, got, want)
		}
	}
	secret, out := random(sha256.Size), make([]byte, expandMost)
	if n := testing.AllocsPerRun(100, func() { expandSecret(out, secret, labelKey) }); n != 0 {
		t.Errorf("%v allocations to expand a secret, want none", n)
	}
}
