package node

import (
	"testing"

	"rtmfp/replication"
)

// sent is the number of a block that is still on its way when it goes.
const sent = 50

// The blocks that came last are there, within the bound, and the memory of the
// others is given back once they have arrived.
func TestRecentBlocks(t *testing.T) {
	var r recentBlocks
	id := replication.CollectionID{1}
	if r.find(id, 0) != nil {
		t.Error("found what was never there")
	}
	const size, fit = recentBytes / 10, 10
	var freed []byte // first bytes of what was given back
	make := func(size int, mark byte) *block {
		msg := make([]byte, size)
		msg[0] = mark
		b := &block{msg: msg, memory: msg, free: func(m []byte) { freed = append(freed, m[0]) }}
		return b.use()
	}
	for i := range uint64(1000) {
		freed = freed[:0]
		b := make(size, byte(i))
		r.add(id, i, b)
		if got, want := len(freed), i >= fit && i != sent+fit; (got == 1) != want || got == 1 && freed[0] != byte(i-fit) {
			t.Fatalf("after %d: gave back %v", i, freed)
		}
		if i != sent { // which is on its way to somebody
			b.release()
		}
		again := make(size, 1)
		if r.add(id, i, again); again.uses != 1 {
			t.Fatalf("after %d: kept twice", i)
		}
		for back := range uint64(20) {
			if back > i {
				break
			}
			got := r.find(id, i-back)
			if (got != nil) != (back < fit) || got != nil && got.msg[0] != byte(i-back) {
				t.Fatalf("after %d: block %d is %v", i, i-back, got != nil)
			}
		}
		if r.bytes > recentBytes || r.blocks.Len() > fit {
			t.Fatalf("after %d: %d bytes, %d messages", i, r.bytes, r.blocks.Len())
		}
	}
	if r.find(replication.CollectionID{2}, 999) != nil {
		t.Error("found a block of another file")
	}
	r.add(id, 5000, make(recentBytes+1, 0))
	if r.find(id, 5000) != nil {
		t.Error("keeps more than the bound")
	}
}
