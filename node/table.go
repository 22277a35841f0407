package node

// table gives out 32-bit handles for values. A handle holds a slot number and
// a generation, so that one that outlives its value finds nothing rather than
// the value that took the slot. Zero is never given out.
type table[T any] struct {
	rows []row[T]
	free []uint32 // slots, last freed first
	live int
}

type row[T any] struct {
	gen   uint32
	used  bool
	value T
}

// slotBits bounds a table at about a million values; 4095 generations pass
// before a handle repeats.
const slotBits = 20

func (t *table[T]) add(v T) uint32 {
	var slot uint32
	if n := len(t.free); n > 0 {
		slot = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		if len(t.rows) >= 1<<slotBits {
			panic("BUG: handle table full; a limit further up is missing")
		}
		slot = uint32(len(t.rows))
		if slot == uint32(cap(t.rows)) { // by a quarter: append would double, and a node has three tables
			t.rows = append(make([]row[T], 0, slot+max(4, slot/4)), t.rows...)
		}
		t.rows = append(t.rows, row[T]{})
	}
	r := &t.rows[slot]
	r.gen = r.gen%(1<<(32-slotBits)-1) + 1
	r.used, r.value = true, v
	t.live++
	return r.gen<<slotBits | slot
}

// get returns the value behind h, nil if it has gone. The pointer holds until
// the next add.
func (t *table[T]) get(h uint32) *T {
	slot := h & (1<<slotBits - 1)
	if slot >= uint32(len(t.rows)) {
		return nil
	}
	if r := &t.rows[slot]; r.used && r.gen == h>>slotBits {
		return &r.value
	}
	return nil
}

func (t *table[T]) remove(h uint32) {
	if t.get(h) == nil {
		return
	}
	slot := h & (1<<slotBits - 1)
	r := &t.rows[slot]
	var zero T
	r.used, r.value = false, zero
	t.free = append(t.free, slot)
	t.live--
}
