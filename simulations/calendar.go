package simulations

import (
	"cmp"
	"math/bits"
	"slices"

	"rtmfp/internal/clock"
)

// entry is one thing that is to happen: what stands in the calendar for a
// node's alarm, a datagram, or a call. It holds no pointer, so that the garbage
// collector need not look at the calendar.
type entry struct {
	when clock.Time
	seq  uint64 // among those of one instant
	ref  uint32 // of a node, a datagram, or a call
	node uint32 // to which it happens, plus one; 0 if it is nobody's
	next uint32 // in the bucket, plus one
	kind entryKind
}

type entryKind uint8

const (
	entryWake entryKind = iota
	entryDatagram
	entryWork
	entryCall
	entryDo
	entryMessage
)

func (e *entry) before(f *entry) bool {
	return e.when < f.when || e.when == f.when && e.seq < f.seq
}

// calendar orders entries by instant, and those of one instant by the order in
// which they were put in. It is a calendar queue (R. Brown, 1988): time is cut
// into days of one length, and a year of days is kept open, each with an
// unordered list; the day that comes is sorted. What lies beyond the year waits
// in a heap. The length of a day follows what there is to do.
type calendar struct {
	slab  []entry
	free  uint32 // first free entry, plus one; linked by next
	seq   uint64
	n     int
	shift uint     // a day has 1<<shift ns
	day   int64    // that is being worked through
	days  []uint32 // first entry of each day of the year, plus one
	full  []uint64 // which days have entries, a bit each
	today []entry  // of the present day, sorted, those before at are gone
	at    int
	later []entry // heap of what is beyond the year

	popped, opened int // since the length of a day was looked at
}

const (
	yearDays     = 1 << 15
	firstShift   = 17 // 131 µs
	minShift     = 9
	maxShift     = 27 // 134 ms
	dayLookEvery = 1 << 16
	// A day with so many entries is short enough to sort and long enough to find.
	busyDay  = 48
	quietDay = 3
	// When so many have come that are due before what was the first, the present
	// day begins with them instead.
	crowdedDay = 256
)

func (c *calendar) init() {
	c.shift = firstShift
	c.days = make([]uint32, yearDays)
	c.full = make([]uint64, yearDays/64)
}

// len returns the number of entries.
func (c *calendar) len() int { return c.n }

// add puts an entry in. The instant must not be before that of what was taken
// out last.
func (c *calendar) add(when clock.Time, kind entryKind, ref uint32) {
	c.addFor(0, when, kind, ref)
}

// addFor is add for what happens to a node, which is given by its number plus one.
func (c *calendar) addFor(node uint32, when clock.Time, kind entryKind, ref uint32) {
	c.n++
	c.place(entry{when: when, seq: c.stamp(), ref: ref, node: node, kind: kind})
}

// stamp returns the place of a new entry among those of its instant.
func (c *calendar) stamp() uint64 {
	c.seq++
	return c.seq
}

// putBack undoes the last pop, after which nothing was done to the calendar.
func (c *calendar) putBack() {
	c.at--
	c.n++
	c.popped--
}

func (c *calendar) place(e entry) {
	day := int64(e.when) >> c.shift
	switch {
	case day < c.day && len(c.today)-c.at >= crowdedDay:
		first := int64(c.today[c.at].when) >> c.shift
		c.rebuild(c.shift, min(day, first)-1)
		c.place(e)
	case day <= c.day:
		i := len(c.today)
		for i > c.at && e.before(&c.today[i-1]) {
			i--
		}
		c.today = slices.Insert(c.today, i, e)
	case day < c.day+yearDays:
		var i uint32
		if c.free != 0 {
			i = c.free - 1
			c.free = c.slab[i].next
		} else {
			i = uint32(len(c.slab))
			c.slab = append(c.slab, entry{})
		}
		d := day & (yearDays - 1)
		e.next = c.days[d]
		c.slab[i] = e
		c.days[d] = i + 1
		c.full[d/64] |= 1 << (d % 64)
	default:
		c.push(e)
	}
}

// next returns the instant of the first entry, clock.Never if there is none.
func (c *calendar) next() clock.Time {
	if c.at == len(c.today) && !c.open() {
		return clock.Never
	}
	return c.today[c.at].when
}

// pop takes the first entry out if it is due at now.
func (c *calendar) pop(now clock.Time) (entry, bool) {
	if c.at == len(c.today) && !c.open() {
		return entry{}, false
	}
	e := c.today[c.at]
	if e.when > now {
		return entry{}, false
	}
	c.at++
	c.n--
	c.popped++
	return e, true
}

// open makes the next day that has entries the present one.
func (c *calendar) open() bool {
	c.today, c.at = c.today[:0], 0
	if c.n == 0 {
		return false
	}
	if c.popped >= dayLookEvery {
		c.adjust()
	}
	day, ok := c.nextFull()
	if len(c.later) > 0 {
		if first := int64(c.later[0].when) >> c.shift; !ok || first <= day {
			day, ok = first, true
		}
	}
	if !ok {
		panic("BUG: the calendar counts entries that it does not hold")
	}
	c.day = day
	c.opened++
	d := day & (yearDays - 1)
	for i := c.days[d]; i != 0; {
		e := &c.slab[i-1]
		next := e.next
		c.today = append(c.today, *e)
		e.next, c.free = c.free, i
		i = next
	}
	c.days[d] = 0
	c.full[d/64] &^= 1 << (d % 64)
	// What has come into the year goes to its days.
	for len(c.later) > 0 && int64(c.later[0].when)>>c.shift < c.day+yearDays {
		e := c.shiftLater()
		if int64(e.when)>>c.shift == c.day {
			c.today = append(c.today, e)
		} else {
			c.place(e)
		}
	}
	if len(c.today) > 1 {
		slices.SortFunc(c.today, func(a, b entry) int {
			if a.when != b.when {
				return cmp.Compare(a.when, b.when)
			}
			return cmp.Compare(a.seq, b.seq)
		})
	}
	return true
}

// nextFull returns the first day after the present one that has entries.
func (c *calendar) nextFull() (int64, bool) {
	first := (c.day + 1) & (yearDays - 1)
	word := first / 64
	b := c.full[word] >> (first % 64) << (first % 64)
	for range len(c.full) + 1 {
		if b != 0 {
			d := word*64 + int64(bits.TrailingZeros64(b))
			return c.day + 1 + (d-first)&(yearDays-1), true
		}
		word = (word + 1) % int64(len(c.full))
		b = c.full[word]
	}
	return 0, false
}

// adjust changes the length of a day if days have too much or too little in
// them. It is called between days.
func (c *calendar) adjust() {
	each := c.popped / max(c.opened, 1)
	shift := c.shift
	switch {
	case each > busyDay:
		shift = max(shift-uint(bits.Len(uint(each/busyDay))), minShift)
	case each < quietDay:
		shift = min(shift+1, maxShift)
	}
	c.popped, c.opened = 0, 0
	if shift != c.shift {
		c.rebuild(shift, (c.day+1)<<c.shift>>shift-1) // the present day stays open up to its end, at least
	}
}

// rebuild makes days of another length, or another one the present, and gives
// spare memory back.
func (c *calendar) rebuild(shift uint, day int64) {
	all := make([]entry, 0, c.n)
	c.each(func(e *entry) { all = append(all, *e) })
	clear(c.days)
	clear(c.full)
	c.slab, c.free, c.later = nil, 0, nil
	c.today, c.at = nil, 0
	c.shift, c.day = shift, day
	for _, e := range all {
		c.place(e)
	}
}

// push and shiftLater keep the heap of what is beyond the year, four to a node.
func (c *calendar) push(e entry) {
	c.later = append(c.later, e)
	h := c.later
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (c *calendar) shiftLater() entry {
	h := c.later
	first := h[0]
	last := h[len(h)-1]
	h = h[:len(h)-1]
	c.later = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least := child
		for k := child + 1; k < min(child+4, len(h)); k++ {
			if h[k].before(&h[least]) {
				least = k
			}
		}
		if !h[least].before(&last) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return first
}

// each calls f for every entry, in no particular order.
func (c *calendar) each(f func(e *entry)) {
	for i := c.at; i < len(c.today); i++ {
		f(&c.today[i])
	}
	for _, first := range c.days {
		for i := first; i != 0; i = c.slab[i-1].next {
			f(&c.slab[i-1])
		}
	}
	for i := range c.later {
		f(&c.later[i])
	}
}
