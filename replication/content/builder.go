package content

import (
	"io"

	"lukechampine.com/blake3/guts"
)

// Builder makes the tree of a file that is written to it from beginning to
// end. The zero value is ready. It keeps 32 bytes for each block.
type Builder struct {
	size   int64
	first  guts.Node // of the first block, which may turn out to be the whole file
	leaves []Hash
	rest   []byte // the beginning of a block
}

// Write takes the next part of the file. It never fails; that a file is too
// large is told by Tree.
func (b *Builder) Write(p []byte) (int, error) {
	n := len(p)
	b.size += int64(n)
	if len(b.rest) > 0 {
		k := min(BlockSize-len(b.rest), len(p))
		b.rest = append(b.rest, p[:k]...)
		p = p[k:]
		if len(b.rest) == BlockSize {
			b.block(b.rest)
			b.rest = b.rest[:0]
		}
	}
	for len(p) >= BlockSize {
		b.block(p[:BlockSize])
		p = p[BlockSize:]
	}
	if len(p) > 0 {
		if b.rest == nil {
			b.rest = make([]byte, 0, BlockSize)
		}
		b.rest = append(b.rest, p...)
	}
	return n, nil
}

func (b *Builder) block(p []byte) {
	node := blockNode(len(b.leaves), p)
	if len(b.leaves) == 0 {
		b.first = node
	}
	b.leaves = append(b.leaves, finish(node, false))
}

// Size returns how many bytes were written.
func (b *Builder) Size() int64 { return b.size }

// Tree ends the file and returns its tree, of which everything is known. The
// builder is of no use afterwards. The error wraps ErrSize if the file is
// larger than MaxSize.
func (b *Builder) Tree() (*Tree, error) {
	if b.size > MaxSize {
		return NewTree(Hash{}, b.size)
	}
	if len(b.rest) > 0 || len(b.leaves) == 0 {
		b.block(b.rest)
		b.rest = nil
	}
	if len(b.leaves) == 1 {
		return newTree(finish(b.first, true), b.size), nil
	}
	t := newTree(Hash{}, b.size)
	nodes := b.leaves
	for k, l := range t.levels {
		for p := range l.nodes / 2 {
			left, right := nodes[2*p], nodes[2*p+1]
			t.setPair(l.first+p, left, right)
			nodes[p] = parent(&left, &right, k == len(t.levels)-1)
		}
		if l.nodes%2 != 0 {
			nodes[l.nodes/2] = nodes[l.nodes-1]
		}
	}
	t.root = nodes[0]
	b.leaves = nil
	return t, nil
}

// Root is Tree for those who want only the hash.
func (b *Builder) Root() Hash {
	t, err := b.Tree()
	if err != nil {
		return Hash{}
	}
	return t.root
}

// Build reads a file to its end and returns its tree. Errors are those of r, or
// wrap ErrSize.
func Build(r io.Reader) (*Tree, error) {
	var b Builder
	buf := make([]byte, 4*BlockSize)
	for {
		n, err := io.ReadFull(r, buf)
		b.Write(buf[:n])
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return b.Tree()
		case err != nil:
			return nil, err
		case b.size > MaxSize:
			return b.Tree()
		}
	}
}
