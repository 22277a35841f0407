package crypto

import (
	"runtime"
	"testing"
)

// heapOf returns the bytes of live heap that one of what make returns takes.
func heapOf(t *testing.T, make func() *SessionKeys) int {
	t.Helper()
	const n = 512
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
	return int(after.HeapAlloc-before.HeapAlloc) / n
}

// A session has 3 KB in all; the keys, whose two AEADs are the standard
// library's, must leave half of it to the rest.
func TestSessionKeysMemory(t *testing.T) {
	modern := heapOf(t, func() *SessionKeys {
		var s schedule
		return s.keys(true)
	})
	legacy := heapOf(t, func() *SessionKeys {
		k, err := legacySchedule(Group14, []byte("dh"), component31(), component31())
		if err != nil {
			t.Fatal(err)
		}
		return k
	})
	t.Logf("bytes of heap: modern %d, legacy with HMAC %d", modern, legacy)
	if modern > 2000 {
		t.Errorf("modern keys: %d bytes, want at most 2000", modern)
	}
	if legacy > 3500 {
		t.Errorf("legacy keys: %d bytes, want at most 3500", legacy)
	}
}

func component31() []byte { return []byte{3, 0x1a, 7, 16, 2, 0x1e, 7} }
