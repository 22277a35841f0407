package simulations

import (
	"math/rand/v2"
	"slices"
	"testing"

	"rtmfp/internal/clock"
)

// The calendar gives out what a sorted list gives out, whatever its days are
// like: at rates from a few entries a second to millions, with entries far
// ahead and at the present instant.
func TestCalendarOrder(t *testing.T) {
	for _, spread := range []int64{1_000, 1_000_000, 50_000_000, 5_000_000_000} {
		rng := rand.New(rand.NewPCG(uint64(spread), 1))
		var c calendar
		c.init()
		var want []entry // sorted
		now := clock.Time(0)
		seq := uint64(0)
		shifts := map[uint]bool{}
		for step := range 400_000 {
			shifts[c.shift] = true
			if add := rng.IntN(2) == 0; add && len(want) < 300 || len(want) == 0 {
				when := now
				switch rng.IntN(10) {
				case 0: // now
				case 1:
					when += clock.Time(rng.Int64N(spread * 1000))
				default:
					when += clock.Time(rng.Int64N(spread))
				}
				seq++
				e := entry{when: when, seq: seq, ref: uint32(step)}
				c.add(when, entryWake, e.ref)
				i, _ := slices.BinarySearchFunc(want, e, func(a, b entry) int {
					if a.before(&b) {
						return -1
					}
					return 1
				})
				want = slices.Insert(want, i, e)
				continue
			}
			if got := c.next(); got != want[0].when {
				t.Fatalf("spread %d, step %d: next is at %d, want %d", spread, step, got, want[0].when)
			}
			if _, ok := c.pop(want[0].when - 1); ok {
				t.Fatalf("spread %d, step %d: an entry came before its instant", spread, step)
			}
			got, ok := c.pop(want[0].when)
			if !ok || got.ref != want[0].ref || got.when != want[0].when {
				t.Fatalf("spread %d, step %d: got %+v %v, want %+v", spread, step, got, ok, want[0])
			}
			now = got.when
			want = want[1:]
			if c.len() != len(want) {
				t.Fatalf("spread %d, step %d: %d entries, want %d", spread, step, c.len(), len(want))
			}
		}
		n := 0
		c.each(func(*entry) { n++ })
		if n != len(want) {
			t.Errorf("spread %d: each told of %d entries, want %d", spread, n, len(want))
		}
		if len(shifts) < 2 {
			t.Errorf("spread %d: the length of a day never changed", spread)
		}
	}
}

// Who looks at the first entry while there is little to do does not make the day
// of that one the present day for all that comes before it then.
func TestCalendarFillsUp(t *testing.T) {
	var c calendar
	c.init()
	rng := rand.New(rand.NewPCG(1, 1))
	const far = 8_000_000_000
	c.add(far, entryWake, 0)
	if got := c.next(); got != far {
		t.Fatalf("next is at %d", got)
	}
	for range 20_000 {
		c.add(clock.Time(rng.Int64N(far)), entryWake, 1)
		if n := len(c.today) - c.at; n > crowdedDay {
			t.Fatalf("%d entries are in the present day", n)
		}
	}
	last := clock.Time(0)
	for c.len() > 1 {
		e, ok := c.pop(far)
		if !ok || e.when < last {
			t.Fatalf("%d comes after %d (%v)", e.when, last, ok)
		}
		last = e.when
	}
}

func BenchmarkCalendar(b *testing.B) {
	for _, size := range []int{100, 10_000, 1_000_000} {
		b.Run(name(size), func(b *testing.B) {
			var c calendar
			c.init()
			rng := rand.New(rand.NewPCG(1, 1))
			for range size {
				c.add(clock.Time(rng.Int64N(100_000_000)), entryWake, 0)
			}
			for b.Loop() {
				e, _ := c.pop(clock.Never)
				c.add(e.when+clock.Time(rng.Int64N(100_000_000)), entryWake, 0)
			}
		})
	}
}

func name(n int) string {
	switch {
	case n >= 1_000_000:
		return "1M"
	case n >= 1000:
		return "10k"
	}
	return "100"
}
