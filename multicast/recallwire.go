package multicast

import (
	"slices"

	"rtmfp/internal/element"
)

// The messages of the past: docs/multicast.md, section On the wire. Members that do
// not know them count them and go on.

// maxBack is the farthest that a viewer may ask back, in milliseconds.
const maxBack = 7 * 24 * 60 * 60 * 1000

// place is a fragment and how long ago it was the newest.
type place struct {
	id  uint64 // 0: there is none
	age uint64 // milliseconds
}

// found answers a seek.
type found struct {
	back   uint64 // milliseconds, as it was asked
	oldest place  // from which on the sender holds what there is
	start  place  // where playing can begin: the newest place as old as was asked, or else the oldest
}

// appendSeek writes the question where playing can begin that goes back so many
// milliseconds.
func appendSeek(b []byte, back uint64) []byte {
	return element.AppendVLU(append(b, msgSeek), back)
}

func consumeSeek(b []byte) (back uint64, ok bool) {
	if len(b) == 0 || b[0] != msgSeek {
		return 0, false
	}
	back, n := element.ConsumeVLU(b[1:])
	return back, n != 0 && back <= maxBack
}

func appendFound(b []byte, f *found) []byte {
	b = element.AppendVLU(append(b, msgFound), f.back)
	for _, p := range [...]place{f.oldest, f.start} {
		b = element.AppendVLU(element.AppendVLU(b, p.id), p.age)
	}
	return b
}

func consumeFound(b []byte) (f found, ok bool) {
	if len(b) == 0 || b[0] != msgFound {
		return found{}, false
	}
	r := reader{b: b[1:]}
	f.back = r.vlu()
	f.oldest = place{r.vlu(), r.vlu()}
	f.start = place{r.vlu(), r.vlu()}
	ok = !r.bad && f.back <= maxBack && f.oldest.id <= maxID && f.start.id <= maxID &&
		(f.start.id == 0 || f.oldest.id != 0 && f.oldest.id <= f.start.id)
	return f, ok
}

// appendRecall writes a request for fragments of the past, in the form of a fetch.
func appendRecall(b []byte, first uint64, bitmap []byte) []byte {
	b = element.AppendVLU(append(b, msgRecall), first)
	return append(b, bitmap...)
}

func consumeRecall(b []byte) (first uint64, bitmap []byte, ok bool) {
	if len(b) == 0 || b[0] != msgRecall {
		return 0, nil, false
	}
	return consumeIDs(b[1:])
}

// appendGone writes which of the fragments that were asked for are not to be had, and
// from which on there are any.
func appendGone(b []byte, oldest, first uint64, bitmap []byte) []byte {
	b = element.AppendVLU(append(b, msgGone), oldest)
	b = element.AppendVLU(b, first)
	return append(b, bitmap...)
}

func consumeGone(b []byte) (oldest, first uint64, bitmap []byte, ok bool) {
	if len(b) == 0 || b[0] != msgGone {
		return 0, 0, nil, false
	}
	oldest, n := element.ConsumeVLU(b[1:])
	if n == 0 || oldest > maxID {
		return 0, 0, nil, false
	}
	first, bitmap, ok = consumeIDs(b[1+n:])
	return oldest, first, bitmap, ok
}

// consumeIDs reads a first id and a bitmap of those from it on.
func consumeIDs(b []byte) (first uint64, bitmap []byte, ok bool) {
	first, n := element.ConsumeVLU(b)
	if n == 0 || first == 0 || first > maxID || len(b)-n > maxFetchMap {
		return 0, nil, false
	}
	return first, b[n:], true
}

// eachID calls f with the ids of a bitmap, in order.
func eachID(first uint64, bitmap []byte, f func(id uint64)) {
	for j, bits := range bitmap {
		for k := range 8 {
			if bits&(1<<k) != 0 {
				f(first + uint64(8*j+k))
			}
		}
	}
}

// fillBitmap sets the bits of as many ids of a list, which ascends, as fit behind the first.
// It returns that one, the bytes that are used, and the others.
func fillBitmap(ids []uint64, bitmap *[maxFetchMap]byte) (first uint64, n int, rest []uint64) {
	first = ids[0]
	for len(ids) > 0 && ids[0]-first < 8*maxFetchMap {
		off := ids[0] - first
		bitmap[off/8] |= 1 << (off % 8)
		n = int(off/8) + 1
		ids = ids[1:]
	}
	return first, n, ids
}

// inBitmaps calls f with bitmaps that together have the ids of a list, which ascends.
func inBitmaps(ids []uint64, f func(first uint64, bitmap []byte)) {
	for len(ids) > 0 {
		var bitmap [maxFetchMap]byte
		var first uint64
		var n int
		first, n, ids = fillBitmap(ids, &bitmap)
		f(first, bitmap[:n])
	}
}

// sortedIDs puts ids in order.
func sortedIDs(ids []uint64) []uint64 {
	slices.Sort(ids)
	return slices.Compact(ids)
}
