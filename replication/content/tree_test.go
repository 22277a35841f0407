package content

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/bao"
)

// sizes around every edge of blocks, groups, and chunks, with odd and even
// numbers of blocks on several levels.
var sizes = []int{0, 1, 63, 64, 65, 1023, 1024, 1025, 16383, 16384, 16385, 32768, 40000, 49152, 49153, 65535, 65536, 65537,
	2 * BlockSize, 2*BlockSize + 1, 3 * BlockSize, 3*BlockSize + 17000, 5*BlockSize - 1, 7*BlockSize + 3, 8 * BlockSize,
	9*BlockSize + 1024, 13 * BlockSize, 31*BlockSize + 5}

func randomData(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func build(t testing.TB, data []byte) *Tree {
	t.Helper()
	tree, err := Build(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func block(data []byte, i int) []byte {
	return data[i*BlockSize : min((i+1)*BlockSize, len(data))]
}

// The vectors that BLAKE3 is published with, and the b3sum program shows: bytes
// that count from 0 to 250 again and again.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		size int
		want string
	}{
		{0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
		{1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
		{1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
		{1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
		{1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
		{2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
		{8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"},
		{16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"},
		{31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"},
		{100000, "d93c23eedaf165a7e0be908ba86f1a7a520d568d2d13cde787c8580c5c72cc54"},
	} {
		data := make([]byte, v.size)
		for i := range data {
			data[i] = byte(i % 251)
		}
		if got := Sum(data).String(); got != v.want {
			t.Errorf("hash of %d bytes: got %s, want %s", v.size, got, v.want)
		}
	}
}

func TestRootIsBLAKE3(t *testing.T) {
	for _, n := range sizes {
		data := randomData(n)
		want := Hash(blake3.Sum256(data))
		tree := build(t, data)
		if tree.Root() != want || tree.Size() != int64(n) {
			t.Errorf("%d bytes: got %s of %d bytes, want %s", n, tree.Root(), tree.Size(), want)
		}
		var b Builder // in pieces that fit nothing
		for rest := data; len(rest) > 0; {
			k := min(len(rest), 30011)
			b.Write(rest[:k])
			rest = rest[k:]
		}
		if got := b.Root(); got != want {
			t.Errorf("%d bytes in pieces: got %s, want %s", n, got, want)
		}
		if tree.Known() != tree.Pairs() {
			t.Errorf("%d bytes: %d of %d pairs known", n, tree.Known(), tree.Pairs())
		}
	}
}

// What bao calls an outboard encoding with groups of 2^6 chunks has the same
// hashes, in the order of a walk from the root, and its slices are proofs.
func TestBao(t *testing.T) {
	const group = 6
	for _, n := range sizes[1:] {
		data := randomData(n)
		tree := build(t, data)
		want, root := bao.EncodeBuf(data, group, true)
		if root != tree.Root() {
			t.Fatalf("%d bytes: root %x, want %s", n, root, tree.Root())
		}
		got := binarySize(n)
		var walk func(k, place int)
		walk = func(k, place int) { // the pair under a node of level k
			for ; k > 0; k, place = k-1, 2*place {
				if l := tree.levels[k-1]; (2*place)^1 < l.nodes {
					pair := tree.pair(l.first + place)
					got = append(append(got, pair[0][:]...), pair[1][:]...)
					walk(k-1, 2*place)
					walk(k-1, 2*place+1)
					return
				}
			}
		}
		walk(len(tree.levels), 0)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: outboard differs", n)
		}
		for i := range tree.Blocks() {
			proof, err := tree.AppendProof(nil, i, maxLevels)
			if err != nil {
				t.Fatal(err)
			}
			// A slice has pairs from the root down; a proof, one of each from the block up.
			slice := binarySize(n)
			for _, index := range slices.Backward(tree.AppendPath(nil, i)) {
				slice = tree.AppendPairs(slice, index, index+1)
			}
			if len(slice)-8 != 2*len(proof) {
				t.Errorf("%d bytes, block %d: a slice with %d bytes of hashes, a proof of %d", n, i, len(slice)-8, len(proof))
			}
			slice = append(slice, block(data, i)...)
			if out, ok := bao.VerifySlice(slice, group, uint64(i)*BlockSize, uint64(tree.BlockLen(i)), root); !ok || !bytes.Equal(out, block(data, i)) {
				t.Errorf("%d bytes: bao does not take block %d with its pairs", n, i)
			}
		}
	}
}

func binarySize(n int) []byte {
	return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), 0, 0, 0, 0}
}

// A tree that knows only the root learns from proofs, in any order, and can
// then prove what it has.
func TestProofs(t *testing.T) {
	for _, n := range sizes {
		data := randomData(n)
		whole := build(t, data)
		part, err := NewTree(whole.Root(), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, uint64(n)))
		for _, i := range r.Perm(whole.Blocks()) {
			need := part.Need(i)
			proof, err := whole.AppendProof(nil, i, need)
			if err != nil || len(proof) != need*HashSize {
				t.Fatalf("%d bytes, block %d: a proof of %d bytes, %v; want %d hashes", n, i, len(proof), err, need)
			}
			if need > 0 {
				if _, err := part.AppendProof(nil, i, maxLevels); !errors.Is(err, ErrUnknown) {
					t.Fatalf("%d bytes, block %d: proof of what is not known: %v", n, i, err)
				}
				if err := part.Verify(i, block(data, i), proof[HashSize:]); !errors.Is(err, ErrInvalid) {
					t.Fatalf("%d bytes, block %d: short proof: %v", n, i, err)
				}
			}
			if err := part.Verify(i, block(data, i), proof); err != nil {
				t.Fatalf("%d bytes, block %d: %v", n, i, err)
			}
			// Twice is no harm, with as much of the proof as there is.
			full, _ := whole.AppendProof(nil, i, maxLevels)
			if got := ProofLen(whole.Size(), i) * HashSize; got != len(full) {
				t.Fatalf("%d bytes: the proof of block %d has %d bytes, ProofLen says %d", whole.Size(), i, len(full), got)
			}
			if err := part.Verify(i, block(data, i), full); err != nil {
				t.Fatalf("%d bytes, block %d again: %v", n, i, err)
			}
			got, err := part.AppendProof(nil, i, maxLevels)
			if err != nil || !bytes.Equal(got, full) {
				t.Fatalf("%d bytes, block %d: another proof, %v", n, i, err)
			}
			fresh, _ := NewTree(whole.Root(), int64(n))
			if err := fresh.Verify(i, block(data, i), got); err != nil {
				t.Fatalf("%d bytes, block %d by a partial holder: %v", n, i, err)
			}
		}
		if part.Known() != part.Pairs() {
			t.Errorf("%d bytes: %d of %d pairs known after all blocks", n, part.Known(), part.Pairs())
		}
	}
}

// Whatever byte of a block or proof is wrong, it is refused and nothing of it
// remembered.
func TestWrongBytes(t *testing.T) {
	for _, n := range []int{1, 3000, BlockSize, 3*BlockSize + 17000, 9*BlockSize + 1024} {
		data := randomData(n)
		whole := build(t, data)
		r := rand.New(rand.NewPCG(2, uint64(n)))
		for i := range whole.Blocks() {
			good := block(data, i)
			proof, _ := whole.AppendProof(nil, i, maxLevels)
			for range 40 {
				// Some hashes are known already, of others a proof has more than the need.
				part, _ := NewTree(whole.Root(), int64(n))
				for range r.IntN(3) {
					k := r.IntN(whole.Blocks())
					other, _ := whole.AppendProof(nil, k, maxLevels)
					if err := part.Verify(k, block(data, k), other); err != nil {
						t.Fatal(err)
					}
				}
				known := part.Known()
				b, p := bytes.Clone(good), bytes.Clone(proof)
				if at := r.IntN(len(b) + len(p)); at < len(b) {
					b[at] ^= 1 << r.IntN(8)
				} else {
					p[at-len(b)] ^= 1 << r.IntN(8)
				}
				if err := part.Verify(i, b, p); !errors.Is(err, ErrInvalid) {
					t.Fatalf("%d bytes, block %d: wrong byte gives %v", n, i, err)
				}
				if part.Known() != known {
					t.Fatalf("%d bytes, block %d: %d pairs learned from a wrong proof", n, i, part.Known()-known)
				}
			}
			part, _ := NewTree(whole.Root(), int64(n))
			for name, err := range map[string]error{
				"long proof":   part.Verify(i, good, append(bytes.Clone(proof), make([]byte, HashSize)...)),
				"odd proof":    part.Verify(i, good, append(bytes.Clone(proof), 0)),
				"short block":  part.Verify(i, good[:len(good)-1], proof),
				"long block":   part.Verify(i, append(bytes.Clone(good), 0), proof),
				"no block":     part.Verify(i, nil, proof),
				"beyond":       part.Verify(whole.Blocks(), good, proof),
				"before":       part.Verify(-1, good, proof),
				"wrong place":  wrongPlace(whole, part, i, good, proof),
				"wrong offset": wrongPlace(whole, part, i+2, good, proof),
			} {
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("%d bytes, block %d, %s: %v", n, i, name, err)
				}
			}
		}
	}
}

func wrongPlace(whole, part *Tree, i int, good, proof []byte) error {
	return part.Verify((i+1)%max(whole.Blocks(), 2), good, proof)
}

// Of a file that has another size, no block at its end is ever taken.
func TestWrongSize(t *testing.T) {
	for _, n := range []int{1, BlockSize, 3*BlockSize + 17000, 4 * BlockSize} {
		data := randomData(n)
		whole := build(t, data)
		for _, size := range []int{n - 1, n + 1, n - BlockSize, n + BlockSize, 2 * n} {
			if size <= 0 || size == n {
				continue
			}
			part, err := NewTree(whole.Root(), int64(size))
			if err != nil {
				t.Fatal(err)
			}
			last := part.Blocks() - 1
			padded := append(bytes.Clone(data), make([]byte, 2*n+BlockSize)...)[:size]
			for i := range whole.Blocks() {
				proof, _ := whole.AppendProof(nil, i, maxLevels)
				if err := part.Verify(last, block(padded, last), proof); err == nil {
					t.Errorf("%d bytes taken for %d", n, size)
				}
			}
		}
	}
	for _, size := range []int64{-1, 0, MaxSize + 1} {
		if _, err := NewTree(Hash{1}, size); !errors.Is(err, ErrSize) {
			t.Errorf("tree of %d bytes: %v", size, err)
		}
	}
}

func TestPairs(t *testing.T) {
	for _, n := range sizes {
		whole := build(t, randomData(n))
		b := whole.AppendPairs(nil, 0, whole.Pairs())
		if len(b) != whole.Pairs()*PairSize {
			t.Fatalf("%d bytes: %d bytes of pairs, want %d", n, len(b), whole.Pairs()*PairSize)
		}
		got, _ := NewTree(whole.Root(), int64(n))
		if refused, err := got.LoadPairs(0, b); refused != 0 || err != nil || got.Known() != whole.Pairs() {
			t.Fatalf("%d bytes: %d pairs refused, %d of %d known, %v", n, refused, got.Known(), whole.Pairs(), err)
		}
		if !bytes.Equal(got.AppendPairs(nil, 0, got.Pairs()), b) {
			t.Errorf("%d bytes: other pairs after loading", n)
		}
		// A wrong pair is refused with all that is below it.
		for index := range whole.Pairs() {
			bad := bytes.Clone(b)
			bad[index*PairSize+40] ^= 1
			got, _ := NewTree(whole.Root(), int64(n))
			refused, err := got.LoadPairs(0, bad)
			if refused < 1 || err != nil || got.Known()+refused != whole.Pairs() {
				t.Fatalf("%d bytes, pair %d: %d refused, %d known of %d, %v", n, index, refused, got.Known(), whole.Pairs(), err)
			}
			for p := range got.Pairs() {
				if pair := got.pair(p); pair != nil && *pair != *whole.pair(p) {
					t.Fatalf("%d bytes: pair %d is wrong", n, p)
				}
			}
		}
		if _, err := got.LoadPairs(0, make([]byte, (whole.Pairs()+1)*PairSize)); !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: too many pairs: %v", n, err)
		}
	}
}

// Leaves are found where blocks hash to them, and the pairs on the path of a
// block are those that a proof teaches.
func TestPathAndLeaf(t *testing.T) {
	data := randomData(13*BlockSize + 7)
	whole := build(t, data)
	part, _ := NewTree(whole.Root(), whole.Size())
	for _, i := range []int{4, 13, 5, 0} {
		sum, err := whole.Sum(i, block(data, i))
		if err != nil {
			t.Fatal(err)
		}
		if leaf, ok := whole.Leaf(i); !ok || leaf != sum {
			t.Errorf("block %d: leaf %s, want %s", i, leaf, sum)
		}
		before := part.AppendPairs(nil, 0, part.Pairs())
		proof, _ := whole.AppendProof(nil, i, maxLevels)
		need := part.Need(i)
		learned, err := part.Learn(i, sum, proof)
		if err != nil || learned != need {
			t.Fatalf("block %d: learned %d, %v; want %d", i, learned, err, need)
		}
		path := part.AppendPath(nil, i)
		for index := range part.Pairs() {
			changed := !bytes.Equal(before[index*PairSize:(index+1)*PairSize], part.AppendPairs(nil, index, index+1))
			if want := slices.Contains(path[:learned], index); changed != want {
				t.Errorf("block %d: pair %d changed: %v, want %v", i, index, changed, want)
			}
		}
	}
	if _, ok := part.Leaf(8); ok {
		t.Error("leaf of a block nobody told of")
	}
}

// The largest file is cheap to begin with.
func TestLargest(t *testing.T) {
	tree, err := NewTree(Hash{1}, MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	if got := tree.Need(0); got != maxLevels {
		t.Errorf("a proof has %d hashes, want %d", got, maxLevels)
	}
	if tree.Blocks() != 1<<24 || tree.Pairs() != 1<<24-1 || len(tree.pages) != 1<<18 {
		t.Errorf("%d blocks, %d pairs, %d pages", tree.Blocks(), tree.Pairs(), len(tree.pages))
	}
	if err := tree.Verify(77, make([]byte, BlockSize), make([]byte, MaxProof)); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	data := randomData(9 * BlockSize)
	whole := build(t, data)
	part, _ := NewTree(whole.Root(), whole.Size())
	var proof []byte
	learn := func() {
		for i := range whole.Blocks() {
			proof, _ = whole.AppendProof(proof[:0], i, part.Need(i))
			if err := part.Verify(i, block(data, i), proof); err != nil {
				t.Fatal(err)
			}
		}
	}
	learn()
	if n := testing.AllocsPerRun(10, learn); n != 0 {
		t.Errorf("%v allocations for %d blocks, want 0", n, whole.Blocks())
	}
}

func TestHashText(t *testing.T) {
	h := Sum([]byte("x"))
	var got Hash
	if text, err := h.MarshalText(); err != nil || got.UnmarshalText(text) != nil || got != h {
		t.Errorf("%s became %s", h, got)
	}
	if got, err := ParseHash(strings.ToUpper(h.String())); err != nil || got != h {
		t.Errorf("capitals: %s, %v", got, err)
	}
	for _, text := range []string{"", "abc", strings.Repeat("g", 64), h.String() + "0", strings.Repeat("é", 32)} {
		if _, err := ParseHash(text); !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Blocks and proofs from anybody never panic, and what is taken is right.
func FuzzVerify(f *testing.F) {
	data := randomData(5*BlockSize + 100)
	whole := build(f, data)
	for i := range whole.Blocks() {
		proof, _ := whole.AppendProof(nil, i, maxLevels)
		f.Add(i, block(data, i), proof)
	}
	f.Fuzz(func(t *testing.T, i int, b, proof []byte) {
		part, _ := NewTree(whole.Root(), whole.Size())
		if part.Verify(i, b, proof) == nil && !bytes.Equal(b, block(data, i)) {
			t.Fatalf("block %d: wrong bytes taken", i)
		}
	})
}

// Whatever lies on a disk, a tree takes only pairs that are right.
func FuzzLoadPairs(f *testing.F) {
	whole := build(f, randomData(11*BlockSize+100))
	b := whole.AppendPairs(nil, 0, whole.Pairs())
	f.Add(0, b)
	f.Add(0, b[:4*PairSize])
	f.Add(5, b[5*PairSize:])
	f.Fuzz(func(t *testing.T, from int, b []byte) {
		part, _ := NewTree(whole.Root(), whole.Size())
		if _, err := part.LoadPairs(from, b); err != nil {
			return
		}
		for p := range part.Pairs() {
			if pair := part.pair(p); pair != nil && *pair != *whole.pair(p) {
				t.Fatalf("pair %d is wrong", p)
			}
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	data := randomData(64 << 20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		build(b, data)
	}
}

func BenchmarkVerify(b *testing.B) {
	data := randomData(64 << 20)
	whole := build(b, data)
	proofs := make([][]byte, whole.Blocks())
	for i := range proofs {
		proofs[i], _ = whole.AppendProof(nil, i, maxLevels)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		part, _ := NewTree(whole.Root(), whole.Size())
		for i := range proofs {
			if err := part.Verify(i, block(data, i), proofs[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkLoadPairs(b *testing.B) {
	whole := build(b, randomData(64<<20))
	pairs := whole.AppendPairs(nil, 0, whole.Pairs())
	for b.Loop() {
		part, _ := NewTree(whole.Root(), whole.Size())
		if refused, _ := part.LoadPairs(0, pairs); refused != 0 {
			b.Fatal(refused)
		}
	}
}
