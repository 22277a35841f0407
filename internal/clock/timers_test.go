package clock

import (
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// Timers come out by instant, and within one instant in the order of setting,
// whatever was moved or stopped in between.
func TestQueueOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q Queue[int]
	timers := make([]Timer[int], 500)
	type want struct {
		when Time
		seq  int
		id   int
	}
	armed := map[int]want{}
	seq := 0
	for range 5000 {
		id := rng.IntN(len(timers))
		timers[id].Owner = id
		if rng.IntN(4) == 0 {
			q.Stop(&timers[id])
			delete(armed, id)
			continue
		}
		when := Time(rng.IntN(100))
		if old, ok := armed[id]; !ok || old.when != when {
			seq++
			armed[id] = want{when, seq, id}
		}
		q.Set(&timers[id], when)
	}
	order := make([]want, 0, len(armed))
	for _, w := range armed {
		order = append(order, w)
	}
	sort.Slice(order, func(i, j int) bool {
		if order[i].when != order[j].when {
			return order[i].when < order[j].when
		}
		return order[i].seq < order[j].seq
	})
	if q.Len() != len(order) {
		t.Fatalf("Len: got %d, want %d", q.Len(), len(order))
	}
	for i, w := range order {
		if got := q.Next(); got != w.when {
			t.Fatalf("Next before pop %d: got %d, want %d", i, got, w.when)
		}
		if q.Pop(w.when-1) != nil {
			t.Fatalf("pop %d: fired before its instant", i)
		}
		if got := q.Pop(w.when); got == nil || got.Owner != w.id || got.When() != Never {
			t.Fatalf("pop %d: got %+v, want owner %d, disarmed", i, got, w.id)
		}
	}
	if q.Next() != Never {
		t.Errorf("Next of the empty queue: got %d, want Never", q.Next())
	}
}

func TestTimeAddSaturates(t *testing.T) {
	for _, c := range []struct {
		t    Time
		d    int64
		want Time
	}{{5, 10, 15}, {15, -10, 5}, {Never, 5, Never}, {Never - 3, 10, Never}} {
		if got := c.t.Add(time.Duration(c.d)); got != c.want {
			t.Errorf("%d + %d: got %d, want %d", c.t, c.d, got, c.want)
		}
	}
}
