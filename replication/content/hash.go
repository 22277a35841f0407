package content

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"lukechampine.com/blake3/guts"
)

// HashSize is the size of a Hash in bytes.
const HashSize = 32

// Hash is a BLAKE3 hash: of a file, or of a node of its tree.
type Hash [HashSize]byte

// ErrHash is why a text is not a hash. ParseHash wraps it.
var ErrHash = errors.New("not a hash")

// ParseHash reads 64 hexadecimal digits of either case.
func ParseHash(text string) (h Hash, err error) {
	if len(text) != 2*HashSize {
		return h, fmt.Errorf("%w: %d characters, want %d hexadecimal digits", ErrHash, len(text), 2*HashSize)
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		return Hash{}, fmt.Errorf("%w: other characters than hexadecimal digits", ErrHash)
	}
	return h, nil
}

// String returns the hash as 64 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText is ParseHash.
func (h *Hash) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHash(string(text))
	return err
}

// Sum returns the BLAKE3 hash of data, which is that of a file with these
// contents.
func Sum(data []byte) Hash {
	var b Builder
	b.Write(data)
	return b.Root()
}

// words is a hash as BLAKE3 computes with it.
type words [8]uint32

func (h *Hash) words() (w words) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(h[4*i:])
	}
	return w
}

func (w words) hash() (h Hash) {
	for i, x := range w {
		binary.LittleEndian.PutUint32(h[4*i:], x)
	}
	return h
}

// parent returns the hash of the node above left and right.
func parent(left, right *Hash, root bool) Hash {
	return finish(guts.ParentNode(left.words(), right.words(), &guts.IV, 0), root)
}

// finish returns the hash of a node. That of the root of a file is another
// than that of the same node further down.
func finish(n guts.Node, root bool) Hash {
	if root {
		n.Flags |= guts.FlagRoot
	}
	return words(guts.ChainingValue(n)).hash()
}

// groupSize is what BLAKE3 hashes in parallel: 16 chunks of 1 KiB.
const groupSize = guts.MaxSIMD * guts.ChunkSize

// blockNode returns the node of the tree of BLAKE3 above the chunks of a block,
// of which at most BlockSize bytes are given, and more than none but for the
// empty file.
func blockNode(i int, block []byte) guts.Node {
	var nodes [BlockSize / groupSize]guts.Node
	n := 0
	chunk := uint64(i) * (BlockSize / guts.ChunkSize)
	for len(block) >= groupSize {
		nodes[n] = guts.CompressBuffer((*[groupSize]byte)(block), groupSize, &guts.IV, chunk, 0)
		n++
		chunk += guts.MaxSIMD
		block = block[groupSize:]
	}
	if len(block) > 0 || n == 0 {
		nodes[n] = tailNode(block, chunk)
		n++
	}
	for ; n > 1; n = (n + 1) / 2 {
		for k := range n / 2 {
			nodes[k] = guts.ParentNode(guts.ChainingValue(nodes[2*k]), guts.ChainingValue(nodes[2*k+1]), &guts.IV, 0)
		}
		if n%2 != 0 {
			nodes[n/2] = nodes[n-1]
		}
	}
	return nodes[0]
}

// tailNode returns the node above less than a group. The vector code reads a
// whole group, whatever its length.
func tailNode(data []byte, chunk uint64) guts.Node {
	var group [groupSize]byte
	copy(group[:], data)
	return guts.CompressBuffer(&group, len(data), &guts.IV, chunk, 0)
}
