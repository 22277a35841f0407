package multicast

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"rtmfp/internal/clock"
)

// A window behaves like a plain map with the same rules.
func TestWindowAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWindow(2048)
		type group struct{ first, last clock.Time } // what arrived together leaves together
		type record struct {
			came *group
			msg  []byte
		}
		model := map[uint64]record{}
		came := &group{first: -1 << 40}
		next, now := uint64(1), clock.Time(0)
		for range 6000 {
			now = now.Add(time.Duration(rng.IntN(10)) * time.Millisecond)
			var id uint64
			switch r := rng.IntN(100); {
			case r < 80:
				id = next
				next++
			case r < 95:
				id = next - min(next-1, uint64(rng.IntN(300))+1)
			case r < 97:
				next += uint64(rng.IntN(40))
				id = next
				next++
			default:
				before := now.Add(-2 * time.Second)
				if rng.IntN(40) == 0 {
					before = now.Add(time.Millisecond)
				}
				w.evict(before, 1<<30)
				for id, r := range model {
					if r.came.last < before {
						delete(model, id)
					}
				}
				if before > now {
					came = &group{first: -1 << 40}
				}
				continue
			}
			if id == 0 {
				continue
			}
			size := rng.IntN(1000)
			if rng.IntN(50) == 0 {
				size = rng.IntN(maxFragment - 20)
			}
			payload := make([]byte, size)
			for i := range payload {
				payload[i] = byte(rng.Uint32())
			}
			msg := appendFragment(nil, fragment{id: id, payload: payload})
			_, held := model[id]
			if got := w.put(now, id, msg); got == held {
				// Far below the newest the window may refuse what the model takes.
				if held || w.top-id < 2048 {
					t.Fatalf("seed %d: put %d: got %v, held %v", seed, id, got, held)
				}
				continue
			}
			if !held {
				if now.Sub(came.first) >= arrivalSpan {
					came = &group{first: now}
				}
				came.last = now
				model[id] = record{came, msg}
			}
			low, top, bytesHeld := ^uint64(0), uint64(0), 0
			for id := range model {
				top = max(top, id)
			}
			for id, r := range model {
				if top-id >= 2048 {
					delete(model, id)
				} else {
					low = min(low, id)
					bytesHeld += len(r.msg)
				}
			}
			if w.count != len(model) || w.low != low || w.top != top || w.bytes < bytesHeld {
				t.Fatalf("seed %d: window has %d (%d bytes) from %d to %d, model %d (%d) from %d to %d",
					seed, w.count, w.bytes, w.low, w.top, len(model), bytesHeld, low, top)
			}
			probe := low + uint64(rng.IntN(int(top-low)+1))
			if r, ok := model[probe]; ok != w.has(probe) || ok && !bytes.Equal(r.msg, w.get(probe)) {
				t.Fatalf("seed %d: id %d is not as it was put", seed, probe)
			}
		}
	}
}

// Ids may be written longer than they need to be.
func TestWindowTakesLongIDs(t *testing.T) {
	w := newWindow(2048)
	msg := append([]byte{0}, bytes.Repeat([]byte{0x80}, 30)...)
	msg = append(msg, 5, 'x')
	if f, ok := consumeFragment(msg); !ok || f.id != 5 {
		t.Fatalf("fragment: got id %d, %v, want 5", f.id, ok)
	}
	w.put(1, 5, msg)
	w.evict(2, 0)
	if !w.empty() || w.bytes != 0 {
		t.Errorf("after all was evicted: %d fragments of %d bytes", w.count, w.bytes)
	}
}

// The positions of the log wrap after 4 GiB.
func TestWindowPositionsWrap(t *testing.T) {
	w := newWindow(2048)
	w.head = 1<<32 - 10*pageSize
	w.tail = w.head
	for id := uint64(1); id < 200; id++ {
		msg := appendFragment(nil, fragment{id: id, payload: make([]byte, 900+id)})
		if !w.put(clock.Time(id), id, msg) || !bytes.Equal(w.get(id), msg) {
			t.Fatalf("id %d is not as it was put", id)
		}
		if id > 20 {
			w.evict(0, 20*1000)
			if !w.has(id-10) || w.has(id-30) {
				t.Fatalf("after %d: window from %d to %d", id, w.low, w.top)
			}
		}
	}
}

// Beside its bytes a window takes little.
func TestWindowOverhead(t *testing.T) {
	w := newWindow(1 << 16)
	for id := uint64(1); id < 5000; id++ {
		now := clock.Time(time.Duration(id) * 7520 * time.Microsecond)
		w.put(now, id, appendFragment(nil, fragment{id: id, payload: make([]byte, 949)}))
		if id%13 == 0 {
			w.evict(now.Add(-10*time.Second), 1<<30)
		}
	}
	size := 4*cap(w.index) + 8*cap(w.pages) + 16*cap(w.arrivals) + cap(w.joined) + 8*cap(w.spare) + len(w.spare)*pageSize
	for _, p := range w.pages {
		if p != nil {
			size += pageSize
		}
	}
	if beside := size - w.bytes; w.count < 1300 || beside > 36<<10 {
		t.Errorf("%d fragments of %d bytes take %d bytes more", w.count, w.bytes, beside)
	} else {
		t.Logf("%d fragments of %d bytes take %d bytes more", w.count, w.bytes, beside)
	}
}
