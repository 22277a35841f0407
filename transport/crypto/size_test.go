package crypto

import (
	"math"
	"runtime"
	"testing"
)

// heapOf returns the bytes of live heap that one of what make returns takes: the
// least of three looks, as the runtime's own heap grows in between.
func heapOf(make func() *SessionKeys) int {
	const n = 512
	least := math.MaxInt
	for range 3 {
		var before, after runtime.MemStats
		keep := [n]*SessionKeys{}
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range keep {
			keep[i] = make()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(keep)
		least = min(least, int(after.HeapAlloc-before.HeapAlloc)/n)
	}
	return least
}

// A session has 3 KB in all, flows included. While packets flow the ciphers of
// the standard library take a part of it; at rest there is hardly more than the
// secrets, and for legacy sessions the replay window.
func TestSessionKeysMemory(t *testing.T) {
	use := func(k *SessionKeys) *SessionKeys {
		d := seal(k, make([]byte, 20), 1)
		_, _ = k.Open(d) // in vain, but not without the cipher
		return k
	}
	for _, c := range []struct {
		name             string
		make             func() *SessionKeys
		flowing, resting int
	}{
		{"AES-128-GCM", aeadOf(AES128GCM), 2100, 256},
		{"AES-256-GCM", aeadOf(AES256GCM), 2100, 256},
		{"ChaCha20-Poly1305", aeadOf(ChaCha20Poly1305), 600, 256},
		{"simulation", func() *SessionKeys { return simulatedSchedule([32]byte{}, true) }, 256, 144},
		{"legacy with HMAC", func() *SessionKeys {
			k, err := legacySchedule(Group14, []byte("dh"), component31(), component31())
			if err != nil {
				t.Fatal(err)
			}
			return k
		}, 2700, 512},
	} {
		flowing := heapOf(func() *SessionKeys { return use(c.make()) })
		resting := heapOf(func() *SessionKeys {
			k := use(c.make())
			k.Rest()
			return k
		})
		t.Logf("%s: %d bytes of heap, %d at rest", c.name, flowing, resting)
		if flowing > c.flowing || resting > c.resting {
			t.Errorf("%s: got %d bytes of heap and %d at rest, want at most %d and %d", c.name, flowing, resting, c.flowing, c.resting)
		}
	}
}

func aeadOf(s Suite) func() *SessionKeys {
	return func() *SessionKeys {
		var keys schedule
		return keys.keys(true, s, false, &Policy{})
	}
}

func component31() []byte { return []byte{3, 0x1a, 7, 16, 2, 0x1e, 7} }
