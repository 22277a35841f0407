package rare

import "testing"

// Points strike as often as they are told, each by itself, and alike for one
// seed; those of production never do.
func TestPoints(t *testing.T) {
	a, b := New(1, 2, 10), New(1, 2, 10)
	a.Set(PushNot, 0)
	b.Set(PushNot, 0)
	for range 10_000 {
		for _, p := range All() {
			if a.Hit(p) != b.Hit(p) {
				t.Fatal("two nodes of one seed differ")
			}
		}
	}
	for _, p := range All() {
		if n := a.Hits(p); p == PushNot && n != 0 || p != PushNot && (n < 850 || n > 1150) {
			t.Errorf("%v struck %d times in 10,000", p, n)
		}
	}
	var none *Points
	if none.Hit(SendFull) || none.Hits(SendFull) != 0 || SendFull.String() != "send-full" {
		t.Error("no points strike")
	}
}
