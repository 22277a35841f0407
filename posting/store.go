package posting

import (
	"sort"

	"rtmfp/internal/clock"
)

// entry is a post that is kept.
type entry struct {
	post   *Post
	key    key
	at     clock.Time // of its arrival
	tree   byte
	bucket uint64
	owner  *author
	known  holders // neighbors that have it or will
	sent   holders // those of them that this node sent it to
}

// holders is a set of neighbors, by their slots.
type holders [16]byte

func (h *holders) has(slot int) bool { return h[slot/8]&(1<<(slot%8)) != 0 }
func (h *holders) add(slot int)      { h[slot/8] |= 1 << (slot % 8) }
func (h *holders) remove(slot int)   { h[slot/8] &^= 1 << (slot % 8) }

// bucket is the posts of one stretch of the authors' time.
type bucket struct {
	no      uint64
	bytes   int
	sum     [4]byte
	entries []*entry // in the order in which they came
}

// place names a post by its author's numbers.
type place struct {
	author *author
	series int64
	number uint64
}

// store is the history: the posts of some minutes, by id, by author and number,
// and by time. What is older than its floor is never taken in again, so that
// nothing else need be remembered of what was dropped.
type store struct {
	byKey    map[key]*entry
	byPlace  map[place]*entry
	buckets  []*bucket // by number
	floor    uint64    // the first bucket that is whole
	bytes    int
	maxBytes int
	maxPosts int
}

func newStore(maxBytes, maxPosts int) store {
	return store{byKey: map[key]*entry{}, byPlace: map[place]*entry{}, maxBytes: maxBytes, maxPosts: maxPosts}
}

// search returns the index of the first bucket that is not before no.
func (s *store) search(no uint64) int {
	return sort.Search(len(s.buckets), func(i int) bool { return s.buckets[i].no >= no })
}

// makeRoom drops the oldest buckets until a post of the given size fits, and
// reports whether it does: one bucket that fills all the room is kept.
func (s *store) makeRoom(size int, no uint64) bool {
	for s.bytes+size > s.maxBytes || len(s.byKey) >= s.maxPosts {
		if len(s.buckets) == 0 || s.buckets[0].no >= no {
			return false
		}
		s.dropBefore(s.buckets[0].no + 1)
	}
	return true
}

// add keeps a post, for which there is room.
func (s *store) add(e *entry) {
	i := s.search(e.bucket)
	if i == len(s.buckets) || s.buckets[i].no != e.bucket {
		s.buckets = append(s.buckets, nil)
		copy(s.buckets[i+1:], s.buckets[i:])
		s.buckets[i] = &bucket{no: e.bucket}
	}
	b := s.buckets[i]
	b.entries = append(b.entries, e)
	b.bytes += len(e.post.encoded)
	for j := range b.sum {
		b.sum[j] ^= e.key[4+j]
	}
	s.bytes += len(e.post.encoded)
	s.byKey[e.key] = e
	s.byPlace[e.place()] = e
	e.owner.held++
}

func (e *entry) place() place { return place{e.owner, e.post.Series, e.post.Number} }

// dropBefore forgets the buckets before one.
func (s *store) dropBefore(no uint64) {
	s.floor = max(s.floor, no)
	i := 0
	for ; i < len(s.buckets) && s.buckets[i].no < no; i++ {
		for _, e := range s.buckets[i].entries {
			delete(s.byKey, e.key)
			delete(s.byPlace, e.place())
			e.owner.held--
		}
		s.bytes -= s.buckets[i].bytes
	}
	if i > 0 {
		n := copy(s.buckets, s.buckets[i:])
		clear(s.buckets[n:])
		s.buckets = s.buckets[:n]
	}
}

// sums returns the digests of n spans of buckets from one on.
func (s *store) sums(b []byte, first, span uint64, n int) []byte {
	i := s.search(first)
	for k := range uint64(n) {
		var sum [4]byte
		for end := first + (k+1)*span; i < len(s.buckets) && s.buckets[i].no < end; i++ {
			for j := range sum {
				sum[j] ^= s.buckets[i].sum[j]
			}
		}
		b = append(b, sum[:]...)
	}
	return b
}
