package clock

// Timer is one alarm of a Queue. It is meant to be embedded by value in the
// thing that it wakes; Owner leads back to it.
type Timer[T any] struct {
	Owner T
	when  Time
	index int // position in the heap plus one; 0 = not queued
}

// When returns the instant at which the timer fires, Never if it is not set.
func (t *Timer[T]) When() Time {
	if t.index == 0 {
		return Never
	}
	return t.when
}

// Queue orders timers by instant, and those of one instant by the order in
// which they were set, so that a run repeats exactly. The zero Queue is empty.
type Queue[T any] struct {
	heap []place[T]
	seq  uint64
}

// place is a timer in the heap, with what it is ordered by: to compare two need
// not look for either in memory.
type place[T any] struct {
	when  Time
	seq   uint64
	timer *Timer[T]
}

// Len returns the number of timers that are set.
func (q *Queue[T]) Len() int { return len(q.heap) }

// Next returns the earliest instant, Never if no timer is set.
func (q *Queue[T]) Next() Time {
	if len(q.heap) == 0 {
		return Never
	}
	return q.heap[0].when
}

// First returns the earliest timer, nil if none is set.
func (q *Queue[T]) First() *Timer[T] {
	if len(q.heap) == 0 {
		return nil
	}
	return q.heap[0].timer
}

// Set arms t for the instant when, moving it if it was armed. Never disarms.
func (q *Queue[T]) Set(t *Timer[T], when Time) {
	if when == Never {
		q.Stop(t)
		return
	}
	if t.index != 0 && t.when == when {
		return
	}
	q.seq++
	t.when = when
	if t.index == 0 {
		q.heap = append(q.heap, place[T]{})
		t.index = len(q.heap)
	}
	q.heap[t.index-1] = place[T]{when, q.seq, t}
	if !q.up(t.index - 1) {
		q.down(t.index - 1)
	}
}

// Stop disarms t; a timer that is not armed is left alone.
func (q *Queue[T]) Stop(t *Timer[T]) {
	i := t.index - 1
	if i < 0 {
		return
	}
	last := len(q.heap) - 1
	q.swap(i, last)
	q.heap[last] = place[T]{}
	q.heap = q.heap[:last]
	t.index = 0
	if i < last && !q.up(i) {
		q.down(i)
	}
}

// Pop disarms and returns the earliest timer that is due at now, nil if none is.
func (q *Queue[T]) Pop(now Time) *Timer[T] {
	if len(q.heap) == 0 || q.heap[0].when > now {
		return nil
	}
	t := q.heap[0].timer
	q.Stop(t)
	return t
}

func (q *Queue[T]) less(i, j int) bool {
	a, b := &q.heap[i], &q.heap[j]
	if a.when != b.when {
		return a.when < b.when
	}
	return a.seq < b.seq
}

func (q *Queue[T]) swap(i, j int) {
	q.heap[i], q.heap[j] = q.heap[j], q.heap[i]
	q.heap[i].timer.index = i + 1
	q.heap[j].timer.index = j + 1
}

// up moves the timer at i towards the root and reports whether it moved.
func (q *Queue[T]) up(i int) bool {
	start := i
	for i > 0 {
		parent := (i - 1) / 2
		if !q.less(i, parent) {
			break
		}
		q.swap(i, parent)
		i = parent
	}
	return i != start
}

func (q *Queue[T]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			return
		}
		if r := child + 1; r < len(q.heap) && q.less(r, child) {
			child = r
		}
		if !q.less(child, i) {
			return
		}
		q.swap(i, child)
		i = child
	}
}
