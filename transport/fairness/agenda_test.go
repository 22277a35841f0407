package fairness

import "rtmfp/internal/clock"

// agenda is what is to come, in order of time, and in the order in which it was
// put down for one instant. Half of the time of a run would go into a heap of
// whole events, so the heap holds places of events, and no pointers.
type agenda struct {
	heap   []entry
	events []event
	free   []int32 // places in events
	count  uint64
}

type entry struct {
	at    clock.Time
	order uint64
	place int32
}

func (e entry) before(o entry) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

// next returns when the first event is, clock.Never if there is none.
func (q *agenda) next() clock.Time {
	if len(q.heap) == 0 {
		return clock.Never
	}
	return q.heap[0].at
}

func (q *agenda) push(e event) {
	q.count++
	x := entry{e.at, q.count, int32(len(q.events))}
	if n := len(q.free); n > 0 {
		x.place, q.free = q.free[n-1], q.free[:n-1]
		q.events[x.place] = e
	} else {
		q.events = append(q.events, e)
	}
	q.heap = append(q.heap, x)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !x.before(q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = x
}

func (q *agenda) pop() event {
	top := q.heap[0]
	e := q.events[top.place]
	q.events[top.place] = event{}
	q.free = append(q.free, top.place)
	last := len(q.heap) - 1
	x := q.heap[last]
	q.heap = q.heap[:last]
	if last == 0 {
		return e
	}
	i := 0
	for {
		least := i
		first := x
		for d := 4*i + 1; d <= 4*i+4 && d < last; d++ {
			if q.heap[d].before(first) {
				least, first = d, q.heap[d]
			}
		}
		if least == i {
			break
		}
		q.heap[i] = first
		i = least
	}
	q.heap[i] = x
	return e
}
