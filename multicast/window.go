package multicast

import (
	"encoding/binary"

	"rtmfp/internal/clock"
)

// Sizes of the window's storage.
const (
	slabBits    = 15 // of an offset in a slab
	slabSize    = 1 << slabBits
	recordHead  = 8 + 8 + 2 // id, arrival, length
	maxFragment = 8 << 10   // bytes of a fragment message; ours are below 1 KiB
)

// window is the cache of one stream: the fragments of the last seconds as they
// came from the wire, in slabs in the order of arrival, with an index by id.
// What is kept of a fragment apart from its bytes is 18 bytes in the slab and
// 4 in the index. Slabs are used again, so a running stream allocates nothing.
type window struct {
	slabs    [][]byte // oldest first; the last one is being filled
	firstSeq uint32   // sequence number of slabs[0]
	headOff  int      // of the oldest record in slabs[0]
	spare    []byte

	index    []uint32 // by id modulo its length: position + 1, 0 = not held
	maxSpan  uint64
	low, top uint64 // the lowest and highest id held; low > top if none is
	count    int
	bytes    int
}

func newWindow(maxSpan int) window {
	return window{maxSpan: uint64(maxSpan), low: 1, top: 0}
}

func (w *window) empty() bool { return w.count == 0 }

func (w *window) has(id uint64) bool {
	return id >= w.low && id <= w.top && w.index[id%uint64(len(w.index))] != 0
}

// get returns the fragment message of an id, nil if it is not held. The bytes
// stay valid until the next put or evict.
func (w *window) get(id uint64) []byte {
	if !w.has(id) {
		return nil
	}
	pos := w.index[id%uint64(len(w.index))] - 1
	slab := w.slabs[(pos>>slabBits-w.firstSeq)&(1<<(32-slabBits)-1)]
	off := int(pos & (slabSize - 1))
	n := int(binary.LittleEndian.Uint16(slab[off+16:]))
	return slab[off+recordHead : off+recordHead+n]
}

// put stores a copy of a fragment. It returns false if the id is held already
// or lies too far below the newest one; an id far above pushes out the lowest.
func (w *window) put(now clock.Time, id uint64, msg []byte) bool {
	if w.has(id) || len(msg) > maxFragment || !w.makeRoom(id) {
		return false
	}
	last := len(w.slabs) - 1
	if last < 0 || len(w.slabs[last])+recordHead+len(msg) > slabSize {
		if w.spare == nil {
			w.spare = make([]byte, 0, slabSize)
		}
		w.slabs = append(w.slabs, w.spare)
		w.spare = nil
		last++
	}
	slab := w.slabs[last]
	pos := (w.firstSeq+uint32(last))<<slabBits | uint32(len(slab))
	slab = binary.LittleEndian.AppendUint64(slab, id)
	slab = binary.LittleEndian.AppendUint64(slab, uint64(now))
	slab = binary.LittleEndian.AppendUint16(slab, uint16(len(msg)))
	w.slabs[last] = append(slab, msg...)

	// A position of all ones would wrap to "not held". It can't be: a record
	// does not fit into the last byte of a slab.
	w.index[id%uint64(len(w.index))] = pos + 1
	if w.count == 0 {
		w.low, w.top = id, id
	}
	w.low, w.top = min(w.low, id), max(w.top, id)
	w.count++
	w.bytes += len(msg)
	return true
}

// makeRoom sees to it that the index can hold id beside the others.
func (w *window) makeRoom(id uint64) bool {
	if w.index == nil {
		w.index = make([]uint32, minSpan)
	}
	if w.count == 0 {
		return true
	}
	span := uint64(len(w.index))
	need := max(w.top, id) - min(w.low, id) + 1
	if need <= span {
		return true
	}
	if id < w.low && need > w.maxSpan {
		return false
	}
	for span < need && span < w.maxSpan {
		span <<= 1
	}
	if span > uint64(len(w.index)) {
		index := make([]uint32, span)
		for i := w.low; i <= w.top; i++ {
			index[i%span] = w.index[i%uint64(len(w.index))]
		}
		w.index = index
	}
	// Above the widest span the lowest ids give way; their bytes leave in turn.
	for w.count > 0 && id >= w.low && id-w.low >= span {
		w.forget(w.low)
	}
	return true
}

// forget takes an id out of the index.
func (w *window) forget(id uint64) {
	w.index[id%uint64(len(w.index))] = 0
	w.count--
	if w.count == 0 {
		w.low = w.top + 1
		return
	}
	for id == w.low && w.index[w.low%uint64(len(w.index))] == 0 {
		w.low++
		id++
	}
	for w.index[w.top%uint64(len(w.index))] == 0 {
		w.top--
	}
}

// evict drops what arrived before an instant, and the oldest beyond maxBytes.
func (w *window) evict(before clock.Time, maxBytes int) {
	for len(w.slabs) > 0 {
		slab := w.slabs[0]
		if w.headOff >= len(slab) {
			if len(w.slabs) == 1 {
				if w.count != 0 {
					panic("BUG: multicast window counts fragments that it does not hold")
				}
				w.slabs[0] = slab[:0]
				w.headOff = 0
				return
			}
			w.dropSlab()
			continue
		}
		rec := slab[w.headOff:]
		if clock.Time(binary.LittleEndian.Uint64(rec[8:])) >= before && w.bytes <= maxBytes {
			return
		}
		id := binary.LittleEndian.Uint64(rec)
		n := int(binary.LittleEndian.Uint16(rec[16:]))
		pos := w.firstSeq<<slabBits | uint32(w.headOff)
		if w.has(id) && w.index[id%uint64(len(w.index))] == pos+1 {
			w.forget(id)
		}
		w.bytes -= n
		w.headOff += recordHead + n
	}
}

func (w *window) dropSlab() {
	if w.spare == nil {
		w.spare = w.slabs[0][:0]
	}
	last := len(w.slabs) - 1
	copy(w.slabs, w.slabs[1:])
	w.slabs[last] = nil
	w.slabs = w.slabs[:last]
	w.firstSeq++
	w.headOff = 0
}
