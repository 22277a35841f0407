package replication

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// A Set is what a plain list of indexes is, whatever is done to it.
func TestSet(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		const size = 5 * pageSize
		want := make([]bool, size)
		var s Set
		for step := range 300 {
			r := Range{Start: rng.Uint64N(size)}
			length := []uint64{1, 3, 64, 200, pageSize, 2 * pageSize}[rng.IntN(6)]
			if rng.IntN(3) == 0 {
				r.Start = r.Start / pageSize * pageSize
			}
			r.End = min(r.Start+length, size)
			in := rng.IntN(2) == 0
			if in {
				s.Add(r)
			} else {
				s.Remove(r)
			}
			for i := r.Start; i < r.End; i++ {
				want[i] = in
			}
			checkSet(t, &s, want)
			if t.Failed() {
				t.Fatalf("seed %d, step %d, %v of %v", seed, step, in, r)
			}
		}
	}
}

func checkSet(t *testing.T, s *Set, want []bool) {
	t.Helper()
	count := uint64(0)
	next := len(want)
	for i, in := range slices.Backward(want) {
		if in {
			count++
			next = i
		}
		if s.Has(uint64(i)) != in {
			t.Errorf("Has(%d) = %v", i, !in)
			return
		}
		if i%61 != 0 {
			continue
		}
		got, ok := s.Next(uint64(i))
		if ok != (next < len(want)) || ok && got != uint64(next) {
			t.Errorf("Next(%d) = %d, %v, want %d", i, got, ok, next)
			return
		}
	}
	if s.Count() != count {
		t.Errorf("Count = %d, want %d", s.Count(), count)
	}
	at := uint64(0)
	for r, ok := s.NextRange(0); ok; r, ok = s.NextRange(r.End) {
		if slices.Contains(want[at:r.Start], true) || slices.Contains(want[r.Start:r.End], false) {
			t.Errorf("run %v is wrong", r)
		}
		at = r.End
	}
	if slices.Contains(want[at:], true) {
		t.Errorf("nothing was found from %d on", at)
	}
	for i := 1; i < len(s.spans); i++ {
		a, b := s.spans[i-1], s.spans[i]
		if a.page+a.pages > b.page || a.bits == nil && b.bits == nil && a.page+a.pages == b.page {
			t.Errorf("spans %+v and %+v", a, b)
		}
	}
}

// Long runs take no memory for their length, and the largest index is one.
func TestSetLongRuns(t *testing.T) {
	var s Set
	s.Add(Range{0, MaxIndex + 1})
	if s.Count() != MaxIndex+1 || s.Pages() != 1 || !s.Has(MaxIndex) || s.Has(MaxIndex+1) {
		t.Errorf("count %d, pages %d, has %v %v", s.Count(), s.Pages(), s.Has(MaxIndex), s.Has(MaxIndex+1))
	}
	s.Remove(Range{100, 101})
	if s.Count() != MaxIndex || s.Has(100) || s.nextGap(0) != 100 || s.Pages() != 2 {
		t.Errorf("count %d, gap %d, pages %d", s.Count(), s.nextGap(0), s.Pages())
	}
	var other Set
	other.Add(Range{100, 102})
	if i, ok := nextBoth(&s, &other, 0); !ok || i != 101 {
		t.Errorf("nextBoth = %d, %v, want 101", i, ok)
	}
	s.Remove(Range{0, MaxIndex + 1})
	if !s.Empty() || len(s.spans) != 0 {
		t.Errorf("count %d, %d spans", s.Count(), len(s.spans))
	}
}
