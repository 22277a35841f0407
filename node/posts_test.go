package node

import (
	"testing"

	"rtmfp/posting"
)

// A reader is given the posts of as long ago as it asked for, those that come
// whenever their authors' clocks say that it is, and told of what it was too slow for.
func TestPostReader(t *testing.T) {
	r := &postReader{from: 1000, arrived: make(chan struct{}, 1)}
	for i, p := range []posting.Post{
		{Old: true, UnixMilli: 999},
		{Old: true, UnixMilli: 1000},
		{UnixMilli: 999},
		{Old: true, UnixMilli: 1001, Data: make([]byte, postQueueBytes-1)},
		{UnixMilli: 2000, Data: make([]byte, 2)},
		{UnixMilli: 2000, Data: make([]byte, 1)},
	} {
		p.Number = uint64(i)
		r.add(&p)
	}
	for _, want := range []struct {
		number uint64
		missed int
	}{{1, 1}, {2, 0}, {3, 0}, {5, 0}} {
		list, missed, err := r.take()
		if err != nil || len(list) != 1 || list[0].Number != want.number || missed != want.missed {
			t.Fatalf("got %d posts, %d missed, %v; want post %d, %d missed", len(list), missed, err, want.number, want.missed)
		}
	}
	if list, _, _ := r.take(); len(list) != 0 {
		t.Errorf("got %d more", len(list))
	}
}
