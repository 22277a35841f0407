package content

import (
	"errors"
	"fmt"
)

// Sizes.
const (
	BlockSize = 64 << 10 // bytes of every block but the last one
	MaxSize   = 1 << 40  // bytes of a file
	MaxProof  = 24 * HashSize

	// PairSize is that of a pair of sibling hashes: left ‖ right.
	PairSize = 2 * HashSize
)

// Reasons for which a tree refuses what it is given. Errors wrap them.
var (
	// ErrSize is a size that no file with this hash, or no file at all, has.
	ErrSize = errors.New("content: size")

	// ErrInvalid is a block or proof that does not belong to the file. Whoever
	// sent it is wrong or lies.
	ErrInvalid = errors.New("content: block does not belong to the file")

	// ErrUnknown is a proof that cannot be given, for lack of hashes.
	ErrUnknown = errors.New("content: hashes are not known")
)

// maxLevels is the number of levels below the root of the largest file.
const maxLevels = MaxProof / HashSize

// pagePairs is how many pairs are allocated at once.
const pagePairs = 64

type page [pagePairs][2]Hash

// Tree is what is known of the hashes of one file: its root from the start,
// the rest from proofs or from the whole file. Everything in it was checked
// against the root.
//
// Level 0 has a node for each block, and each level above one for every two of
// the level below, up to the root; the last of an odd number has no sibling and
// goes up as it is. What is kept are the pairs of siblings, one less than there
// are blocks, in the order of the levels from the root down. The two of a pair
// are known together or not at all. Memory is allocated as pairs become known.
type Tree struct {
	root   Hash
	size   int64
	blocks int
	levels []level
	pages  []*page
	known  int // pairs
}

// level is a level below the root, of two nodes or more.
type level struct {
	nodes int
	first int // index of its first pair
}

// NewTree returns a tree of which only the root is known. The size is not
// proved before the last block is verified: until then a file that does not
// have it looks as if parts of it could not be found.
func NewTree(root Hash, size int64) (*Tree, error) {
	switch {
	case size < 0 || size > MaxSize:
		return nil, fmt.Errorf("%w: %d bytes, but a file has from 0 to %d", ErrSize, size, int64(MaxSize))
	case size == 0 && root != Sum(nil):
		return nil, fmt.Errorf("%w: 0 bytes, but the hash is not that of an empty file", ErrSize)
	}
	return newTree(root, size), nil
}

func newTree(root Hash, size int64) *Tree {
	t := &Tree{root: root, size: size, blocks: BlocksOf(size)}
	for n := t.blocks; n > 1; n = (n + 1) / 2 {
		t.levels = append(t.levels, level{nodes: n})
	}
	pairs := 0
	for k := len(t.levels) - 1; k >= 0; k-- {
		t.levels[k].first = pairs
		pairs += t.levels[k].nodes / 2
	}
	t.pages = make([]*page, (pairs+pagePairs-1)/pagePairs)
	return t
}

// BlocksOf returns the number of blocks of a file of so many bytes.
func BlocksOf(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// Root returns the hash of the file.
func (t *Tree) Root() Hash { return t.root }

// Size returns the size of the file in bytes.
func (t *Tree) Size() int64 { return t.size }

// Blocks returns the number of blocks; an empty file has none.
func (t *Tree) Blocks() int { return t.blocks }

// Pairs returns the number of pairs of the whole tree.
func (t *Tree) Pairs() int { return max(t.blocks-1, 0) }

// Known returns the number of pairs that are known.
func (t *Tree) Known() int { return t.known }

// BlockLen returns the length of block i in bytes, 0 if there is no such block.
func (t *Tree) BlockLen(i int) int {
	if i < 0 || i >= t.blocks {
		return 0
	}
	return int(min(BlockSize, t.size-int64(i)*BlockSize))
}

// pair returns a pair, nil if it is not known. Nobody can make a file with a
// hash of zeros in its tree, so that zeros stand for what is not known.
func (t *Tree) pair(index int) *[2]Hash {
	pg := t.pages[index/pagePairs]
	if pg == nil || pg[index%pagePairs][0] == (Hash{}) {
		return nil
	}
	return &pg[index%pagePairs]
}

func (t *Tree) setPair(index int, left, right Hash) {
	pg := &t.pages[index/pagePairs]
	if *pg == nil {
		*pg = new(page)
	}
	if (*pg)[index%pagePairs][0] == (Hash{}) {
		t.known++
	}
	(*pg)[index%pagePairs] = [2]Hash{left, right}
}

// alone reports whether the node of level k above block i has no sibling.
func (l level) alone(k, i int) bool { return (i>>k)^1 >= l.nodes }

// AppendPath appends the indices of the pairs between block i and the root,
// from the block up.
func (t *Tree) AppendPath(path []int, i int) []int {
	for k, l := range t.levels {
		if !l.alone(k, i) {
			path = append(path, l.first+i>>(k+1))
		}
	}
	return path
}

// Need returns how many hashes a proof of block i must have for this tree: 0
// if the hash of the block is known.
func (t *Tree) Need(i int) (hashes int) {
	for k, l := range t.levels {
		if l.alone(k, i) {
			continue
		}
		if t.pair(l.first+i>>(k+1)) != nil {
			break
		}
		hashes++
	}
	return hashes
}

// ProofLen returns how many hashes the whole proof of block i has in the tree of
// a file of so many bytes.
func ProofLen(size int64, i int) (hashes int) {
	for k, n := 0, BlocksOf(size); n > 1; k, n = k+1, (n+1)/2 {
		if !(level{nodes: n}).alone(k, i) {
			hashes++
		}
	}
	return hashes
}

// AppendProof appends the proof of block i: the hashes of the siblings of the
// nodes between the block and the root, from the block up, at most n of them,
// which is what a tree for which Need is n lacks. The whole proof never has
// more than MaxProof bytes. The error wraps ErrUnknown if some of it is not
// known here.
func (t *Tree) AppendProof(b []byte, i, n int) ([]byte, error) {
	if i < 0 || i >= t.blocks {
		return b, fmt.Errorf("%w: there is no block %d", ErrUnknown, i)
	}
	start := len(b)
	for k, l := range t.levels {
		switch {
		case n <= 0:
			return b, nil
		case l.alone(k, i):
			continue
		}
		pair := t.pair(l.first + i>>(k+1))
		if pair == nil {
			return b[:start], fmt.Errorf("%w: of block %d", ErrUnknown, i)
		}
		b = append(b, pair[(i>>k)&1^1][:]...)
		n--
	}
	return b, nil
}

// Sum returns the hash of block i if it has these contents. It reads nothing
// of the tree that ever changes and may run beside other calls. The error
// wraps ErrInvalid if there is no such block, or it has another length.
func (t *Tree) Sum(i int, block []byte) (Hash, error) {
	if n := t.BlockLen(i); n == 0 || n != len(block) {
		return Hash{}, fmt.Errorf("%w: block %d has %d bytes, not %d", ErrInvalid, i, n, len(block))
	}
	return finish(blockNode(i, block), t.blocks == 1), nil
}

// Verify checks that block i has these contents, by what is known and by the
// proof, which must have at least Need hashes, and remembers the proof. Errors
// wrap ErrInvalid and leave the tree as it was.
func (t *Tree) Verify(i int, block, proof []byte) error {
	sum, err := t.Sum(i, block)
	if err != nil {
		return err
	}
	_, err = t.Learn(i, sum, proof)
	return err
}

// Learn is Verify with the hash of the block, which Sum returned. It returns
// how many pairs have become known: the first ones of the path of the block.
func (t *Tree) Learn(i int, sum Hash, proof []byte) (learned int, err error) {
	switch {
	case i < 0 || i >= t.blocks:
		return 0, fmt.Errorf("%w: there is no block %d", ErrInvalid, i)
	case len(proof)%HashSize != 0 || len(proof) > MaxProof:
		return 0, fmt.Errorf("%w: a proof of %d bytes", ErrInvalid, len(proof))
	}
	type step struct {
		index int
		pair  [2]Hash
	}
	var steps [maxLevels]step
	n, node := 0, sum
	top := len(t.levels)
	for k, l := range t.levels {
		if l.alone(k, i) {
			continue
		}
		s := &steps[n]
		s.index = l.first + i>>(k+1)
		side := (i >> k) & 1
		if known := t.pair(s.index); known != nil {
			if known[side] != node {
				return 0, fmt.Errorf("%w: wrong hash of block %d", ErrInvalid, i)
			}
			top = k
			break
		}
		if len(proof) == 0 {
			return 0, fmt.Errorf("%w: the proof of block %d is too short", ErrInvalid, i)
		}
		s.pair[side], s.pair[side^1] = node, Hash(proof)
		proof = proof[HashSize:]
		node = parent(&s.pair[0], &s.pair[1], k == len(t.levels)-1)
		n++
	}
	if top == len(t.levels) && node != t.root {
		return 0, fmt.Errorf("%w: wrong hash of block %d", ErrInvalid, i)
	}
	if !t.agrees(i, top, proof) {
		return 0, fmt.Errorf("%w: wrong hashes in the proof of block %d", ErrInvalid, i)
	}
	for _, s := range steps[:n] {
		t.setPair(s.index, s.pair[0], s.pair[1])
	}
	return n, nil
}

// agrees checks what a proof has beyond the need, from a level up: pairs above
// one that is known are known too.
func (t *Tree) agrees(i, from int, proof []byte) bool {
	for k := from; k < len(t.levels) && len(proof) > 0; k++ {
		l := t.levels[k]
		if l.alone(k, i) {
			continue
		}
		if t.pair(l.first + i>>(k+1))[(i>>k)&1^1] != Hash(proof) {
			return false
		}
		proof = proof[HashSize:]
	}
	return len(proof) == 0
}
