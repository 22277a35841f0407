package node

import "testing"

func TestTableHandlesDoNotReturn(t *testing.T) {
	var tab table[int]
	seen := map[uint32]bool{0: true}
	for i := range 4000 {
		h := tab.add(i)
		if seen[h] {
			t.Fatalf("handle %#x given out twice (or zero), at %d", h, i)
		}
		seen[h] = true
		if v := tab.get(h); v == nil || *v != i {
			t.Fatalf("get(%#x): got %v, want %d", h, v, i)
		}
		tab.remove(h)
		if v := tab.get(h); v != nil {
			t.Fatalf("get of a removed handle: got %d, want nil", *v)
		}
		tab.remove(h) // a second time changes nothing
	}
	if len(tab.rows) != 1 || tab.live != 0 {
		t.Errorf("one value at a time: got %d rows, %d live, want 1, 0", len(tab.rows), tab.live)
	}
	if tab.get(1<<31|77) != nil {
		t.Error("get of a slot that never was: got a value")
	}
}
