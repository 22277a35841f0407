package ring

import (
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

var modulus = new(big.Int).Lsh(big.NewInt(1), 256)

func random(rng *rand.Rand) (a Addr) {
	for i := 0; i < len(a); i += 8 {
		binary.BigEndian.PutUint64(a[i:], rng.Uint64())
	}
	switch rng.IntN(4) { // carries and borrows across words
	case 0:
		clear(a[:rng.IntN(len(a))])
	case 1:
		for i := range rng.IntN(len(a)) {
			a[len(a)-1-i] = 0xff
		}
	}
	return a
}

// The address of a peer that a capture shows (reference/groups-vectors.txt).
func TestOfPeer(t *testing.T) {
	const (
		peer = "bc1d5e5c2cda1a83c7850fa46b0bf4200a51dc85e8818079660826840f2c4b11"
		want = "2fe5b6d9aafa32c082b2ab370fb1f0cacf2d1fb08a76bc517fa191ecff87ecee"
	)
	id, err := hex.DecodeString(peer)
	if err != nil {
		t.Fatal(err)
	}
	if got := OfPeer([32]byte(id)).String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := Hash("abc").String(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("Hash: got %s, want %s (FIPS 180-4)", got, want)
	}
}

// Arithmetic agrees with that of math/big.
func TestArithmetic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		a, b := random(rng), random(rng)
		check := func(op string, got Addr, want *big.Int) {
			t.Helper()
			if want.Mod(want, modulus); got.Big().Cmp(want) != 0 {
				t.Fatalf("%v %s %v: got %v, want %x", a, op, b, got, want)
			}
		}
		check("+", a.Add(b), new(big.Int).Add(a.Big(), b.Big()))
		check("-", a.Sub(b), new(big.Int).Sub(a.Big(), b.Big()))
		check("up to", a.Up(b), new(big.Int).Sub(b.Big(), a.Big()))
		check("down to", a.Down(b), new(big.Int).Sub(a.Big(), b.Big()))
		check("half", a.Half(), new(big.Int).Rsh(a.Big(), 1))
		if got, want := a.Compare(b), a.Big().Cmp(b.Big()); got != want {
			t.Fatalf("%v compared with %v: got %d, want %d", a, b, got, want)
		}
	}
}

// Distance is a metric, and no more than half of the ring.
func TestDistanceIsMetric(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	half := Addr{0: 0x80}
	for range 5000 {
		a, b, c := random(rng), random(rng), random(rng)
		d := a.Distance(b)
		if d != b.Distance(a) {
			t.Fatalf("distance of %v and %v is not symmetric", a, b)
		}
		if half.Less(d) {
			t.Fatalf("distance %v is more than half of the ring", d)
		}
		if (d == Addr{}) != (a == b) || (a.Distance(a) != Addr{}) {
			t.Fatalf("distance %v of %v and %v", d, a, b)
		}
		sum := new(big.Int).Add(a.Distance(b).Big(), b.Distance(c).Big())
		if a.Distance(c).Big().Cmp(sum) > 0 {
			t.Fatalf("the way from %v to %v over %v is a short cut", a, c, b)
		}
		if b != c && a.Nearer(b, c) == a.Nearer(c, b) {
			t.Fatalf("%v and %v tie as seen from %v", b, c, a)
		}
	}
	// At equal distance the one above is the nearer.
	var up, down Addr
	up[31], down = 5, Addr{}.Sub(Addr{31: 5})
	if (Addr{}).Nearer(down, up) || !(Addr{}).Nearer(up, down) {
		t.Error("of two at equal distance the one above is not the nearer")
	}
}

func TestBetween(t *testing.T) {
	at := func(n byte) Addr { return Addr{0: n} }
	for _, c := range []struct {
		x, from, to byte
		want        bool
	}{
		{5, 3, 9, true}, {3, 3, 9, false}, {9, 3, 9, true}, {10, 3, 9, false},
		{250, 240, 5, true}, {2, 240, 5, true}, {5, 240, 5, true}, {240, 240, 5, false}, {100, 240, 5, false},
		{7, 7, 7, true}, {8, 7, 7, true},
	} {
		if got := Between(at(c.x), at(c.from), at(c.to)); got != c.want {
			t.Errorf("Between(%d, %d, %d): got %v, want %v", c.x, c.from, c.to, got, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2000 {
		x, a, b := random(rng), random(rng), random(rng)
		if a != b && x != a && x != b && Between(x, a, b) == Between(x, b, a) {
			t.Fatalf("%v is in both or none of the two arcs between %v and %v", x, a, b)
		}
	}
}

// A Set agrees with a plain sorted list, whatever is added and removed.
func TestSetModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	var pool []Addr
	for range 40 {
		pool = append(pool, random(rng))
	}
	var set Set[int]
	model := map[Addr]int{}
	for step := range 4000 {
		a := pool[rng.IntN(len(pool))]
		_, had := model[a]
		if rng.IntN(2) == 0 {
			if got := set.Add(a, step); got == had {
				t.Fatalf("step %d: Add reports %v, had it: %v", step, got, had)
			}
			model[a] = step
		} else {
			if got := set.Remove(a); got != had {
				t.Fatalf("step %d: Remove reports %v, had it: %v", step, got, had)
			}
			delete(model, a)
		}
		var list []Addr
		for a := range model {
			list = append(list, a)
		}
		slices.SortFunc(list, Addr.Compare)
		if set.Len() != len(list) {
			t.Fatalf("step %d: Len %d, want %d", step, set.Len(), len(list))
		}
		for i, a := range list {
			if it := set.At(i); it.Addr != a || it.Value != model[a] {
				t.Fatalf("step %d: item %d is %v, want %v", step, i, it, a)
			}
		}
		from := pool[rng.IntN(len(pool))]
		checkQueries(t, &set, list, from)
	}
}

func checkQueries(t *testing.T, set *Set[int], list []Addr, from Addr) {
	t.Helper()
	var others []Addr
	for _, a := range list {
		if a != from {
			others = append(others, a)
		}
	}
	sorted := func(less func(a, b Addr) bool) []Addr {
		s := slices.Clone(others)
		slices.SortFunc(s, func(a, b Addr) int {
			if less(a, b) {
				return -1
			}
			return 1
		})
		return s
	}
	above := sorted(func(a, b Addr) bool { return from.Up(a).Less(from.Up(b)) })
	below := sorted(func(a, b Addr) bool { return from.Down(a).Less(from.Down(b)) })
	near := sorted(from.Nearer)
	for k := range len(others) + 1 {
		a, okA := set.Above(from, k)
		b, okB := set.Below(from, k)
		if okA != (k < len(others)) || okB != okA {
			t.Fatalf("Above and Below at %d of %d: ok %v and %v", k, len(others), okA, okB)
		}
		if okA && (a.Addr != above[k] || b.Addr != below[k]) {
			t.Fatalf("at %d: above %v and below %v, want %v and %v", k, a.Addr, b.Addr, above[k], below[k])
		}
	}
	got := set.AppendNearest(nil, from, 5, nil)
	if want := min(5, len(near)); len(got) != want {
		t.Fatalf("nearest: %d items, want %d", len(got), want)
	}
	for i, it := range got {
		if it.Addr != near[i] {
			t.Fatalf("nearest %d: got %v, want %v", i, it.Addr, near[i])
		}
	}
	all := set.AppendNearest(nil, from, len(list), func(v int) bool { return v%2 == 0 })
	for i, it := range all {
		if it.Value%2 == 0 || i > 0 && !from.Nearer(all[i-1].Addr, it.Addr) {
			t.Fatalf("nearest that are odd: item %d is %v", i, it)
		}
	}
	if it, ok := set.Nearest(from); ok != (len(list) > 0) {
		t.Fatalf("Nearest of %d: ok %v", len(list), ok)
	} else if ok {
		for _, a := range list {
			if from.Nearer(a, it.Addr) {
				t.Fatalf("Nearest to %v: got %v, but %v is nearer", from, it.Addr, a)
			}
		}
	}
}

// The estimate's median over all members is near the truth.
func TestEstimate(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{50, 1000, 10000} {
		var set Set[struct{}]
		for set.Len() < n {
			var a Addr
			for i := 0; i < len(a); i += 8 {
				binary.BigEndian.PutUint64(a[i:], rng.Uint64())
			}
			set.Add(a, struct{}{})
		}
		// Each member knows only those around it.
		var got []int
		for i := range n {
			var around Set[struct{}]
			for k := -4; k <= 4; k++ {
				around.Add(set.At(i+k).Addr, struct{}{})
			}
			got = append(got, around.Estimate(set.At(i).Addr, 4))
		}
		slices.Sort(got)
		if median := got[n/2]; median < n*75/100 || median > n*125/100 {
			t.Errorf("%d members: median estimate %d, want within 25 %%", n, median)
		}
	}
	var few Set[struct{}]
	self := Addr{0: 1}
	for i := range 3 {
		few.Add(Addr{0: byte(10 + i)}, struct{}{})
	}
	if got := few.Estimate(self, 2); got != 4 {
		t.Errorf("three others known: got %d, want 4", got)
	}
	var tight Set[struct{}]
	for i := range 9 {
		tight.Add(Addr{31: byte(i)}, struct{}{})
	}
	if got := tight.Estimate(Addr{31: 4}, 2); got != 9 {
		t.Errorf("nine at one spot: got %d, want 9", got)
	}
}
