package wire

import (
	"math"

	"rtmfp/internal/element"
)

const (
	// AckBlock is the unit in bytes in which an ack tells the receive window.
	AckBlock = 1024

	// MaxAckRanges bounds the work that one ack can cause: a cursor yields no
	// more ranges than this. A full-sized packet of range pairs holds fewer.
	MaxAckRanges = 1024
)

// Range is a run of consecutive sequence numbers, both ends included.
type Range struct{ First, Last uint64 }

// Ack is a Data Acknowledgement in either form (RFC 7016 §2.3.13, §2.3.14).
type Ack struct {
	FlowID       uint64
	BufferBlocks uint64 // receive window in units of AckBlock bytes; see BufferBytes
	Cumulative   uint64 // every sequence number up to this one is received or abandoned
	tail         []byte
	bitmap       bool
}

// BufferBytes returns the receive window in bytes, at most math.MaxInt64.
func (a Ack) BufferBytes() uint64 {
	if a.BufferBlocks > math.MaxInt64/AckBlock {
		return math.MaxInt64
	}
	return a.BufferBlocks * AckBlock
}

// Ranges returns a cursor over what was received above Cumulative.
func (a Ack) Ranges() RangeCursor {
	return RangeCursor{tail: a.tail, at: a.Cumulative, left: MaxAckRanges, bitmap: a.bitmap}
}

// ParseBitmapAck reads the payload of a Bitmap Ack.
func ParseBitmapAck(p []byte) (Ack, bool) { return parseAck(p, true) }

// ParseRangeAck reads the payload of a Range Ack.
func ParseRangeAck(p []byte) (Ack, bool) { return parseAck(p, false) }

func parseAck(p []byte, bitmap bool) (a Ack, ok bool) {
	for _, field := range [...]*uint64{&a.FlowID, &a.BufferBlocks, &a.Cumulative} {
		v, n := element.ConsumeVLU(p)
		if n == 0 {
			return Ack{}, false
		}
		*field = v
		p = p[n:]
	}
	a.tail, a.bitmap = p, bitmap
	return a, true
}

// RangeCursor walks the ranges of an ack in rising order, with a hole between
// each and the next. It is a plain value; a copy walks on its own.
type RangeCursor struct {
	tail   []byte
	at     uint64 // the last sequence number that was accounted for
	left   int    // ranges that may still be yielded
	bit    uint8  // next bit of tail[0]
	bitmap bool
}

// Next returns the next range, and false at the end, at a pair that is cut off
// or runs over 64 bits ("treat and process this chunk as though it was properly
// formed up to the last completely encoded range", RFC 7016 §2.3.14), or after
// MaxAckRanges.
func (c *RangeCursor) Next() (r Range, ok bool) {
	if c.left == 0 {
		return Range{}, false
	}
	c.left--
	if c.bitmap {
		return c.nextOfBits()
	}
	holes, n := element.ConsumeVLU(c.tail)
	received, m := element.ConsumeVLU(c.tail[n:])
	if n == 0 || m == 0 || c.at > math.MaxUint64-2 || holes > math.MaxUint64-2-c.at {
		return Range{}, false
	}
	c.tail = c.tail[n+m:]
	r.First = c.at + holes + 2
	if received > math.MaxUint64-r.First {
		return Range{}, false
	}
	r.Last = r.First + received
	c.at = r.Last
	return r, true
}

// nextOfBits finds the next run of set bits. "The least significant bit of the
// first byte is the second sequence number following the cumulative
// acknowledgement" (RFC 7016 §2.3.13), since the first one is missing by nature.
func (c *RangeCursor) nextOfBits() (r Range, ok bool) {
	if !c.skip(false) || c.at > math.MaxUint64-2 {
		return Range{}, false
	}
	r.First = c.at + 2
	c.skip(true)
	r.Last = c.at + 1
	return r, true
}

// skip advances over bits that equal set and reports whether another follows.
// at runs one behind: the bit that is next stands for at+2.
func (c *RangeCursor) skip(set bool) bool {
	for len(c.tail) > 0 {
		for ; c.bit < 8; c.bit++ {
			if (c.tail[0]>>c.bit&1 != 0) != set {
				return true
			}
			if c.at >= math.MaxUint64-1 { // the next bit is beyond 64 bits
				c.tail = nil
				return false
			}
			c.at++
		}
		c.tail, c.bit = c.tail[1:], 0
	}
	return false
}

// RangeAck builds a Range Ack pair by pair, truncated to a limit:
//
//	w := wire.BeginRangeAck(b, limit, flow, blocks, cumulative)
//	for … && w.Add(first, last) {
//	}
//	b = w.End()
type RangeAck struct {
	b     []byte
	mark  int
	limit int
	at    uint64
}

// BeginRangeAck begins a Range Ack behind b that takes at most limit bytes with
// its chunk header. If not even an ack without ranges fits, End returns b
// unchanged.
func BeginRangeAck(b []byte, limit int, flow, blocks, cumulative uint64) RangeAck {
	w := RangeAck{b: b, mark: -1, limit: len(b) + min(limit, ChunkHeaderSize+MaxPayload), at: cumulative}
	size := ChunkHeaderSize + element.SizeVLU(flow) + element.SizeVLU(blocks) + element.SizeVLU(cumulative)
	if len(b)+size > w.limit {
		return w
	}
	w.b, w.mark = BeginChunk(b, ChunkRangeAck)
	w.b = element.AppendVLU(w.b, flow)
	w.b = element.AppendVLU(w.b, blocks)
	w.b = element.AppendVLU(w.b, cumulative)
	return w
}

// Add appends the range from first to last, which must lie above everything
// added before with a hole between. It returns false, and appends nothing, once
// the limit is reached; acks may end at any pair (RFC 7016 §2.3.14).
func (w *RangeAck) Add(first, last uint64) bool {
	if w.mark < 0 {
		return false
	}
	if last < first || first < 2 || first-2 < w.at {
		panic("BUG: wire: ack ranges out of order")
	}
	holes, received := first-w.at-2, last-first
	if len(w.b)+element.SizeVLU(holes)+element.SizeVLU(received) > w.limit {
		return false
	}
	w.b = element.AppendVLU(w.b, holes)
	w.b = element.AppendVLU(w.b, received)
	w.at = last
	return true
}

// End completes the chunk and returns the buffer.
func (w *RangeAck) End() []byte {
	if w.mark < 0 {
		return w.b
	}
	return EndChunk(w.b, w.mark)
}

// AppendRangeAck appends a Range Ack of at most limit bytes with as many of
// ranges as fit. They rise, with a hole before each.
func AppendRangeAck(b []byte, limit int, flow, blocks, cumulative uint64, ranges []Range) []byte {
	w := BeginRangeAck(b, limit, flow, blocks, cumulative)
	for _, r := range ranges {
		if !w.Add(r.First, r.Last) {
			break
		}
	}
	return w.End()
}

// AppendAck appends an ack of at most limit bytes in the form that has "the most
// compact encoding of the sequence numbers received" (RFC 7016 §2.3.13, §2.3.14),
// and reports whether it holds all of ranges, which rise with a hole before each.
// Truncated, it is the form that says more. Where not even an ack without ranges
// fits nothing is appended.
func AppendAck(b []byte, limit int, flow, blocks, cumulative uint64, ranges []Range) (out []byte, whole bool) {
	w := BeginRangeAck(b, limit, flow, blocks, cumulative)
	if w.mark < 0 {
		return b, false
	}
	tail := len(w.b)
	n := 0
	for n < len(ranges) && w.Add(ranges[n].First, ranges[n].Last) {
		n++
	}
	if n == len(ranges) && (n == 0 || bitBytes(cumulative, ranges) >= uint64(len(w.b)-tail)) {
		return w.End(), true
	}
	room := min(bitBytes(cumulative, ranges), uint64(w.limit-tail))
	if n < len(ranges) && n > 0 && cumulative+1+8*room <= ranges[n-1].Last {
		return w.End(), false // bits would not reach as far
	}
	w.b[w.mark] = byte(ChunkBitmapAck)
	w.b, whole = appendBits(w.b[:tail], int(room), cumulative, ranges)
	return w.End(), whole
}

// bitBytes returns how many bytes of a bit field hold ranges, of which there is
// one at least.
func bitBytes(cumulative uint64, ranges []Range) uint64 {
	return (ranges[len(ranges)-1].Last-cumulative-2)/8 + 1
}

// appendBits appends a bit field of at most room bytes.
func appendBits(b []byte, room int, cumulative uint64, ranges []Range) (out []byte, whole bool) {
	start := len(b)
	for _, r := range ranges {
		for seq := r.First; ; seq++ {
			bit := seq - cumulative - 2
			if bit/8 >= uint64(room) {
				return b, false
			}
			for uint64(len(b)-start) <= bit/8 {
				b = append(b, 0)
			}
			b[start+int(bit/8)] |= 1 << (bit % 8)
			if seq == r.Last {
				break
			}
		}
	}
	return b, true
}
