package node

import "rtmfp/replication"

// recentBlocks keeps the messages in which blocks came of late: they are what
// neighbors ask for next, and need neither be read nor checked again. The zero
// value is ready for use.
type recentBlocks struct {
	messages map[recentKey][]byte
	order    []recentKey // oldest first, from head on
	head     int
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
	key := recentKey{id, index}
	if r.messages[key] != nil || len(msg) > recentBytes {
		return msg
	}
	for r.bytes+len(msg) > recentBytes {
		first := r.order[r.head]
		old = r.messages[first]
		r.bytes -= len(old)
		delete(r.messages, first)
		r.head++
	}
	if r.head > len(r.order)/2 {
		r.order = append(r.order[:0], r.order[r.head:]...)
		r.head = 0
	}
	if r.messages == nil {
		r.messages = map[recentKey][]byte{}
	}
	r.messages[key] = msg
	r.order = append(r.order, key)
	r.bytes += len(msg)
	return old
}

// find returns a message, nil if it is not there.
func (r *recentBlocks) find(id replication.CollectionID, index uint64) []byte {
	return r.messages[recentKey{id, index}]
}
