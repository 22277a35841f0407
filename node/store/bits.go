package store

import (
	"encoding/binary"
	"math/bits"
)

// Range is the blocks from From up to but not including To.
type Range struct{ From, To int }

// bitset is a set of blocks.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (s bitset) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }
func (s bitset) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s bitset) drop(i int)     { s[i/64] &^= 1 << (i % 64) }

// dropAll drops the members of a set of the same size.
func (s bitset) dropAll(o bitset) {
	for i, w := range o {
		s[i] &^= w
	}
}

func (s bitset) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s bitset) fill(n int) {
	for i := range n {
		s.add(i)
	}
}

// ranges returns the members below n.
func (s bitset) ranges(n int) (r []Range) {
	for i := 0; i < n; i++ {
		if i%64 == 0 && s[i/64] == 0 {
			i += 63
			continue
		}
		if !s.has(i) {
			continue
		}
		from := i
		for i < n && s.has(i) {
			i++
		}
		r = append(r, Range{from, i})
	}
	return r
}

func (s bitset) append(b []byte) []byte {
	for _, w := range s {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// read is the opposite of append; it takes no members from n on.
func (s bitset) read(b []byte, n int) {
	for i := range s {
		if len(b) < 8 {
			break
		}
		s[i] = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
	if n%64 != 0 && len(s) > 0 {
		s[len(s)-1] &= 1<<(n%64) - 1
	}
}
