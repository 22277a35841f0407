package posting

import (
	"slices"
	"sort"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Order puts posts into their authors' order: none is given before one that
// its author posted earlier, unless that one does not come within three
// seconds. Posts of different authors come as they may. The zero Order is ready.
type Order struct {
	authors map[group.PeerID]*ordered
	order   []*ordered // those that wait, in the order in which they began to
	ready   []*Post
	uses    uint64
}

type ordered struct {
	known   bool
	series  int64
	next    uint64
	waiting []*Post // sorted
	until   clock.Time
	used    uint64
}

// maxOrdered bounds the authors that an Order remembers.
const maxOrdered = 4096

// Add takes a post as it came.
func (o *Order) Add(now clock.Time, p *Post) {
	if o.authors == nil {
		o.authors = map[group.PeerID]*ordered{}
	}
	a := o.authors[p.Author]
	if a == nil {
		if len(o.authors) >= maxOrdered {
			o.forget()
		}
		a = &ordered{}
		o.authors[p.Author] = a
	}
	o.uses++
	a.used = o.uses
	if len(a.waiting) == 0 {
		a.until = now.Add(orderWait)
		if !a.known {
			a.until = now.Add(orderFirst)
		}
		o.order = append(o.order, a)
	}
	i := sort.Search(len(a.waiting), func(i int) bool { return a.waiting[i].Order(p) > 0 })
	a.waiting = slices.Insert(a.waiting, i, p)
	o.settle(a, now)
}

// settle releases what an author's posts need not wait for any longer.
func (o *Order) settle(a *ordered, now clock.Time) {
	n := 0
	for ; n < len(a.waiting); n++ {
		p := a.waiting[n]
		due := a.until <= now || p.Number == 1 && !a.known || p.Series < a.series ||
			p.Series == a.series && p.Number <= a.next || p.Series > a.series && a.known && p.Number == 1
		if !due {
			break
		}
		if a.until <= now {
			a.until = now // one patience for all that wait
		}
		if !a.known || p.Series > a.series {
			a.known, a.series, a.next = true, p.Series, 0
		}
		if p.Series == a.series {
			a.next = max(a.next, p.Number+1)
		}
		o.ready = append(o.ready, p)
	}
	a.waiting = slices.Delete(a.waiting, 0, n)
	if len(a.waiting) == 0 {
		a.waiting = nil
		o.order = slices.DeleteFunc(o.order, func(b *ordered) bool { return b == a })
	} else if n > 0 && a.until > now {
		a.until = now.Add(orderWait)
	}
}

// Next returns the next post that is due at now.
func (o *Order) Next(now clock.Time) (*Post, bool) {
	for _, a := range slices.Clone(o.order) {
		if a.until <= now {
			o.settle(a, now)
		}
	}
	if len(o.ready) == 0 {
		o.ready = nil
		return nil, false
	}
	p := o.ready[0]
	o.ready[0] = nil
	o.ready = o.ready[1:]
	return p, true
}

// Deadline returns when Next may have more without any being added.
func (o *Order) Deadline() clock.Time {
	d := clock.Never
	for _, a := range o.order {
		d = min(d, a.until)
	}
	return d
}

// forget drops the author that was not heard of for longest and waits for nothing.
func (o *Order) forget() {
	var oldest group.PeerID
	least := o.uses + 1
	for id, a := range o.authors { // order-free: no two are of the same use
		if a.used < least && len(a.waiting) == 0 {
			oldest, least = id, a.used
		}
	}
	delete(o.authors, oldest)
}
