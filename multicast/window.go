package multicast

import (
	"encoding/binary"
	"time"

	"rtmfp/internal/clock"
)

// Sizes of the window's storage.
const (
	pageSize    = 4 << 10 // bytes
	recordHead  = 2       // length
	recordAlign = 2       // so that a position plus one is never 0
	maxFragment = 8 << 10 // bytes of a fragment message; ours are below 1 KiB

	// arrivalSpan is how far apart in time two fragments may have come that
	// leave the window together.
	arrivalSpan = 100 * time.Millisecond
)

type page [pageSize]byte

// window is the cache of one stream: the fragments of the last seconds as they
// came from the wire, one after the other in a log that is kept in pages, with
// an index by id. Beside its bytes a fragment takes two or three in the log and
// four in the index, and a page is not left before it is full, so what is held
// is nearly all payload. Pages are used again, so a running stream allocates
// nothing.
type window struct {
	pages      []*page // the one of position p is at p/pageSize modulo their number
	head, tail uint64  // positions of the oldest record, and of the next one
	spare      []*page
	taken      int       // pages since evict last ran
	arrivals   []arrival // oldest first
	since      clock.Time
	joined     []byte // a fragment that lies in two pages or more, made whole

	index    []uint32 // by id modulo its length: position + 1, 0 = not held
	maxSpan  uint64
	low, top uint64 // the lowest and highest id held; low > top if none is
	count    int
	bytes    int

	past *past // where goes what leaves the window; nil: nowhere
}

// arrival says when the records before end, and after the arrival before, came.
type arrival struct {
	end  uint32 // low bits
	last uint32 // milliseconds, likewise
}

func newWindow(maxSpan int) window {
	return window{maxSpan: uint64(maxSpan), low: 1, top: 0}
}

func (w *window) empty() bool { return w.count == 0 }

func (w *window) has(id uint64) bool {
	return id >= w.low && id <= w.top && w.index[id%uint64(len(w.index))] != 0
}

// get returns the fragment message of an id, nil if it is not held. The bytes
// stay valid until the next call of get, put, or evict.
func (w *window) get(id uint64) []byte {
	if !w.has(id) {
		return nil
	}
	pos := w.head + uint64(w.index[id%uint64(len(w.index))]-1-uint32(w.head))
	n := w.sizeAt(pos)
	pos += recordHead
	if off := int(pos % pageSize); off+n <= pageSize {
		return w.pageOf(pos)[off : off+n : off+n]
	}
	if cap(w.joined) < n {
		w.joined = make([]byte, n)
	}
	b := w.joined[:n]
	w.read(pos, b)
	return b
}

// slot returns where the k-th page of the log is kept.
func (w *window) slot(k uint64) **page { return &w.pages[k%uint64(len(w.pages))] }

func (w *window) pageOf(pos uint64) *page {
	return *w.slot(pos / pageSize)
}

// sizeAt returns the size of the fragment whose record is at a position. As
// positions are even, the length never lies in two pages.
func (w *window) sizeAt(pos uint64) int {
	return int(binary.LittleEndian.Uint16(w.pageOf(pos)[pos%pageSize:]))
}

func (w *window) read(pos uint64, b []byte) {
	for len(b) > 0 {
		n := copy(b, w.pageOf(pos)[pos%pageSize:])
		b, pos = b[n:], pos+uint64(n)
	}
}

func (w *window) write(pos uint64, b []byte) {
	for len(b) > 0 {
		n := copy(w.pageOf(pos)[pos%pageSize:], b)
		b, pos = b[n:], pos+uint64(n)
	}
}

// recordSize is what a fragment of n bytes takes in the log.
func recordSize(n int) uint64 {
	return uint64(recordHead+n+recordAlign-1) &^ (recordAlign - 1)
}

// put stores a copy of a fragment message. It returns false if the id is held
// already or lies too far below the newest one; an id far above pushes out the
// lowest.
func (w *window) put(now clock.Time, id uint64, msg []byte) bool {
	if w.has(id) || len(msg) > maxFragment || !w.makeRoom(id) {
		return false
	}
	pos := w.tail
	w.tail += recordSize(len(msg))
	w.takePages(pos)
	binary.LittleEndian.PutUint16(w.pageOf(pos)[pos%pageSize:], uint16(len(msg)))
	w.write(pos+recordHead, msg)
	w.noteArrival(now)

	w.index[id%uint64(len(w.index))] = uint32(pos) + 1
	if w.count == 0 {
		w.low, w.top = id, id
	}
	w.low, w.top = min(w.low, id), max(w.top, id)
	w.count++
	w.bytes += len(msg)
	return true
}

// takePages sees to it that there are pages from a position to the tail.
func (w *window) takePages(pos uint64) {
	first := w.head / pageSize
	last := (w.tail - 1) / pageSize
	if need := last - first + 1; need > uint64(len(w.pages)) {
		pages := make([]*page, need+need/8+3)
		for k := first; k < first+uint64(len(w.pages)); k++ {
			pages[k%uint64(len(pages))] = *w.slot(k)
		}
		w.pages = pages
	}
	for k := pos / pageSize; k <= last; k++ {
		slot := w.slot(k)
		if *slot != nil {
			continue // the one that pos lies in
		}
		w.taken++
		if n := len(w.spare); n > 0 {
			*slot = w.spare[n-1]
			w.spare[n-1] = nil
			w.spare = w.spare[:n-1]
		} else {
			*slot = new(page)
		}
	}
}

// noteArrival notes when the record that ends at the tail came.
func (w *window) noteArrival(now clock.Time) {
	if n := len(w.arrivals); n > 0 && now.Sub(w.since) < arrivalSpan {
		w.arrivals[n-1] = arrival{uint32(w.tail), millis(now)}
		return
	}
	w.since = now
	w.arrivals = append(w.arrivals, arrival{uint32(w.tail), millis(now)})
}

func millis(t clock.Time) uint32 { return uint32(int64(t) / int64(time.Millisecond)) }

// makeRoom sees to it that the index can hold id beside the others.
func (w *window) makeRoom(id uint64) bool {
	if w.index == nil {
		w.index = make([]uint32, min(minSpan, w.maxSpan))
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
		span = min(span+span/4, w.maxSpan)
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

// evict drops what arrived before an instant, arrivalSpan later at most, and
// the oldest beyond maxBytes.
func (w *window) evict(before clock.Time, maxBytes int) {
	gone := 0 // arrivals
	first := w.head / pageSize
	for w.head < w.tail {
		if int32(w.arrivals[gone].last-millis(before)) >= 0 && w.bytes <= maxBytes {
			break
		}
		n := w.sizeAt(w.head)
		id := w.idAt(w.head)
		if w.has(id) && w.index[id%uint64(len(w.index))] == uint32(w.head)+1 {
			if w.past != nil {
				w.past.add(before, id, w.get(id))
			}
			w.forget(id)
		}
		w.bytes -= n
		w.head += recordSize(n)
		if uint32(w.head) == w.arrivals[gone].end {
			gone++
		}
	}
	if w.head == w.tail && w.count != 0 {
		panic("BUG: multicast window counts fragments that it does not hold")
	}
	if gone > 0 {
		w.arrivals = append(w.arrivals[:0], w.arrivals[gone:]...)
	}
	for k := first; k < w.head/pageSize; k++ {
		slot := w.slot(k)
		w.spare = append(w.spare, *slot)
		*slot = nil
	}
	// As many pages as were needed since the last time will be needed until the
	// next; the others go.
	if keep := w.taken; len(w.spare) > keep {
		clear(w.spare[keep:])
		w.spare = w.spare[:keep]
	}
	w.taken = 0
}

// idAt returns the id of the fragment whose record is at a position.
func (w *window) idAt(pos uint64) uint64 {
	id, end := uint64(0), pos+recordHead+uint64(w.sizeAt(pos))
	for p := pos + recordHead + 1; p < end; p++ { // a VLU that follows the marks
		b := w.pageOf(p)[p%pageSize]
		id = id<<7 | uint64(b&0x7f)
		if b < 0x80 {
			return id
		}
	}
	panic("BUG: the multicast window holds what is no fragment")
}
