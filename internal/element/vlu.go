// Package element holds the common elements that RTMFP and the groups protocol
// are written in (RFC 7016 §2.1): variable length unsigned integers, options,
// and socket addresses.
//
// Append functions extend a caller's buffer; consume functions return what they
// read and how many bytes that took, 0 meaning that the bytes are truncated or
// malformed. Nothing here allocates, and returned slices are parts of the input.
package element

import "math"

// MaxVLU is the size in bytes of the largest VLU that AppendVLU writes.
const MaxVLU = 10

// AppendVLU appends v as a VLU in its shortest form (RFC 7016 §2.1.2).
func AppendVLU(b []byte, v uint64) []byte {
	for shift := 7 * (SizeVLU(v) - 1); shift > 0; shift -= 7 {
		b = append(b, byte(v>>shift)|0x80)
	}
	return append(b, byte(v&0x7f))
}

// SizeVLU returns the number of bytes that AppendVLU writes for v.
func SizeVLU(v uint64) int {
	n := 1
	for v >>= 7; v != 0; v >>= 7 {
		n++
	}
	return n
}

// ConsumeVLU reads a VLU from the front of b and returns it with its size in
// bytes, 0 if b ends first. A value over 64 bits is read as all ones, and
// longer forms than the shortest are accepted.
func ConsumeVLU(b []byte) (v uint64, n int) {
	over := false
	for i, c := range b {
		if v > math.MaxUint64>>7 {
			over = true
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			if over {
				v = math.MaxUint64
			}
			return v, i + 1
		}
	}
	return 0, 0
}
