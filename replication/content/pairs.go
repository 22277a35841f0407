package content

import "fmt"

// AppendPairs appends the pairs from index from up to index to, PairSize bytes
// each, with zeros for those that are not known. All pairs, from 0 to Pairs, are
// the form in which a tree lies on disk.
func (t *Tree) AppendPairs(b []byte, from, to int) []byte {
	var none [2]Hash
	for index := from; index < to; index++ {
		pair := t.pair(index)
		if pair == nil {
			pair = &none
		}
		b = append(append(b, pair[0][:]...), pair[1][:]...)
	}
	return b
}

// LoadPairs takes pairs as AppendPairs gives them, the first of which has the
// index from. Each is checked against the pairs above it, so that parts come in
// order. It returns how many were not zeros and yet refused: a disk can hold
// anything after a crash.
func (t *Tree) LoadPairs(from int, b []byte) (refused int, err error) {
	if n := len(b) / PairSize; from < 0 || len(b)%PairSize != 0 || n > t.Pairs()-from {
		return 0, fmt.Errorf("%w: %d bytes of pairs from %d on, where there are %d", ErrSize, len(b), from, t.Pairs())
	}
	k := len(t.levels) - 1
	for index := from; len(b) > 0; index, b = index+1, b[PairSize:] {
		left, right := Hash(b), Hash(b[HashSize:])
		if left == (Hash{}) {
			if right != (Hash{}) {
				refused++
			}
			continue
		}
		for index >= t.levels[k].first+t.levels[k].nodes/2 {
			k--
		}
		above, ok := t.node(k+1, index-t.levels[k].first)
		if !ok || parent(&left, &right, k == len(t.levels)-1) != above {
			refused++
			continue
		}
		t.setPair(index, left, right)
	}
	return refused, nil
}

// node returns the hash of a node by its level and its place there.
func (t *Tree) node(k, place int) (Hash, bool) {
	for ; k < len(t.levels); k, place = k+1, place/2 {
		if place^1 < t.levels[k].nodes {
			pair := t.pair(t.levels[k].first + place/2)
			if pair == nil {
				return Hash{}, false
			}
			return pair[place&1], true
		}
	}
	return t.root, true
}

// Leaf returns the hash of block i if it is known.
func (t *Tree) Leaf(i int) (Hash, bool) {
	if i < 0 || i >= t.blocks {
		return Hash{}, false
	}
	return t.node(0, i)
}
