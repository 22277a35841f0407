package node

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"rtmfp/replication"
)

// recentBlocks keeps the messages in which blocks came of late: they are what
// neighbors ask for next, and need neither be read nor checked again. The zero
// value is ready for use.
type recentBlocks struct {
	messages *simplelru.LRU[recentKey, []byte] // by when they came
	bytes    int
}

type recentKey struct {
	id    replication.CollectionID
	index uint64
}

// recentBytes bounds the messages that are kept.
const recentBytes = 8 << 20

// add keeps a message, in place of the oldest, and returns one that is not kept
// any more, or nil.
func (r *recentBlocks) add(id replication.CollectionID, index uint64, msg []byte) (old []byte) {
	if r.messages == nil {
		r.messages, _ = simplelru.NewLRU[recentKey, []byte](math.MaxInt, nil) // bounded by bytes
	}
	key := recentKey{id, index}
	if r.messages.Contains(key) || len(msg) > recentBytes {
		return msg
	}
	for r.bytes+len(msg) > recentBytes {
		_, old, _ = r.messages.RemoveOldest()
		r.bytes -= len(old)
	}
	r.messages.Add(key, msg)
	r.bytes += len(msg)
	return old
}

// find returns a message, nil if it is not there.
func (r *recentBlocks) find(id replication.CollectionID, index uint64) []byte {
	if r.messages == nil {
		return nil
	}
	msg, _ := r.messages.Peek(recentKey{id, index})
	return msg
}
