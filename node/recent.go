package node

import (
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"rtmfp/replication"
)

// block is a message with a block, as it goes over links. The loop has it.
type block struct {
	msg    []byte
	memory []byte // msg is in it
	uses   int    // by recentBlocks, and by neighbors that it is on its way to
	free   func(memory []byte)
}

// use counts somebody who needs the block until release.
func (b *block) use() *block { b.uses++; return b }

// release gives the memory back once nobody needs it.
func (b *block) release() {
	if b.uses--; b.uses == 0 {
		b.free(b.memory)
	}
}

// recentBlocks keeps the blocks that came of late: they are what neighbors ask
// for next, and need neither be read nor checked again. The zero value is ready
// for use.
type recentBlocks struct {
	blocks *simplelru.LRU[recentKey, *block] // by when they came
	bytes  int
}

type recentKey struct {
	id    replication.CollectionID
	index uint64
}

// recentBytes bounds the messages that are kept. More of them would be asked
// for, but that is no gain: memory that was not used for so long costs as much
// as reading the block again.
const recentBytes = 1 << 20

// add keeps a block, in place of the oldest, unless it is there.
func (r *recentBlocks) add(id replication.CollectionID, index uint64, b *block) {
	if r.blocks == nil {
		r.blocks, _ = simplelru.NewLRU[recentKey, *block](math.MaxInt, nil) // bounded by bytes
	}
	key := recentKey{id, index}
	if r.blocks.Contains(key) || len(b.msg) > recentBytes {
		return
	}
	for r.bytes+len(b.msg) > recentBytes {
		_, old, _ := r.blocks.RemoveOldest()
		r.bytes -= len(old.msg)
		old.release()
	}
	r.blocks.Add(key, b.use())
	r.bytes += len(b.msg)
}

// find returns a block, nil if it is not there.
func (r *recentBlocks) find(id replication.CollectionID, index uint64) *block {
	if r.blocks == nil {
		return nil
	}
	b, _ := r.blocks.Peek(recentKey{id, index})
	return b
}
