package node

import (
	"testing"

	"rtmfp/replication"
)

// The blocks that came last are there, within the bound.
func TestRecentBlocks(t *testing.T) {
	var r recentBlocks
	id := replication.CollectionID{1}
	if r.find(id, 0) != nil {
		t.Error("found what was never there")
	}
	const size, fit = recentBytes / 10, 10
	for i := range uint64(1000) {
		msg := make([]byte, size)
		msg[0] = byte(i)
		old := r.add(id, i, msg)
		if (old != nil) != (i >= fit) || old != nil && old[0] != byte(i-fit) {
			t.Fatalf("after %d: not kept any more: %v", i, old != nil)
		}
		if again := make([]byte, size); &r.add(id, i, again)[0] != &again[0] {
			t.Fatalf("after %d: kept twice", i)
		}
		for back := range uint64(20) {
			if back > i {
				break
			}
			got := r.find(id, i-back)
			if (got != nil) != (back < fit) || got != nil && got[0] != byte(i-back) {
				t.Fatalf("after %d: block %d is %v", i, i-back, got != nil)
			}
		}
		if r.bytes > recentBytes || r.messages.Len() > fit {
			t.Fatalf("after %d: %d bytes, %d messages", i, r.bytes, r.messages.Len())
		}
	}
	if r.find(replication.CollectionID{2}, 999) != nil {
		t.Error("found a block of another file")
	}
	r.add(id, 5000, make([]byte, recentBytes+1))
	if r.find(id, 5000) != nil {
		t.Error("keeps more than the bound")
	}
}
