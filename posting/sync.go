package posting

import (
	"bytes"
	"slices"
	"time"

	"rtmfp/internal/clock"
)

// syncState is the comparison of histories: with new neighbors all of it, one
// after the other, and with a random one what is recent while posts come.
type syncState struct {
	queue   []*neighbor
	with    *neighbor // who owes an answer
	done    int       // answers about all of the history
	settled int       // comparisons in a row, since the last new post, that found nothing
	next    clock.Timer[alarm]
	late    clock.Timer[alarm]
	compare clock.Timer[alarm]
}

// syncWith plans a comparison with a new neighbor.
func (s *Service) syncWith(now clock.Time, n *neighbor) {
	y := &s.syncing
	y.queue = append(y.queue, n)
	if y.with == nil {
		s.arm(&y.next, now.Add(routeDelay))
	}
}

// syncGone forgets a neighbor with which a comparison was planned or under way.
func (s *Service) syncGone(now clock.Time, n *neighbor) {
	y := &s.syncing
	y.queue = slices.DeleteFunc(y.queue, func(m *neighbor) bool { return m == n })
	if y.with == n {
		y.with = nil
		s.timers.Stop(&y.late)
		s.arm(&y.next, now.Add(routeDelay))
	}
}

// syncNext begins the next comparison that was planned.
func (s *Service) syncNext(now clock.Time) {
	y := &s.syncing
	if len(y.queue) == 0 || y.with != nil {
		return
	}
	n := y.queue[0]
	y.queue = slices.Delete(y.queue, 0, 1)
	y.with = n
	n.owes++
	s.timers.Set(&y.late, now.Add(syncTimeout))
	s.stats.Comparisons++
	wall := s.unixMilli(now)
	first := max(s.store.floor, uint64(max(0, wall-int64(s.cfg.History/time.Millisecond)))/bucketMilli)
	first = (first + wholeSpan - 1) / wholeSpan * wholeSpan
	if len(s.store.buckets) == 0 {
		// One sum over nothing: whatever there is differs.
		s.sendControl(now, n, appendCompare(s.scratch[:0], compare{span: wholeSpan, first: first}))
		return
	}
	count := int((uint64(wall)/bucketMilli - first) / wholeSpan)
	s.sendControl(now, n, appendCompare(s.scratch[:0],
		compare{span: wholeSpan, first: first, sums: s.store.sums(nil, first, wholeSpan, min(max(count, 0), maxBuckets))}))
}

func (s *Service) syncLate(now clock.Time) {
	if n := s.syncing.with; n != nil {
		s.syncGone(now, n)
	}
}

// compareRecent compares what is recent with a random neighbor.
func (s *Service) compareRecent(now clock.Time) {
	y := &s.syncing
	if len(s.neighbors) == 0 || y.settled >= syncSettle {
		return
	}
	s.checkInformers(now)
	y.settled++ // set back by a new post
	s.askRecent(now, s.neighbors[s.cfg.Rand.IntN(len(s.neighbors))], syncSettled)
	s.timers.Set(&y.compare, now.Add(jitter(s, syncActive)))
}

// askRecent asks a neighbor what it has of the last half minute, but for what
// is younger than settled.
func (s *Service) askRecent(now clock.Time, n *neighbor, settled time.Duration) {
	wall := uint64(s.unixMilli(now))
	last := (wall - uint64(settled/time.Millisecond)) / bucketMilli
	span := uint64(syncRecent / time.Millisecond / bucketMilli)
	first := max(s.store.floor, last-min(last, span))
	if settled == 0 {
		last++
	}
	s.stats.Comparisons++
	n.owes++
	s.sendControl(now, n, appendCompare(s.scratch[:0],
		compare{span: 1, first: first, sums: s.store.sums(nil, first, 1, int(last-min(last, first)))}))
}

// onCompare answers with all that is here of the buckets that differ. A
// comparison without sums asks for everything from a bucket on.
func (s *Service) onCompare(now clock.Time, n *neighbor, c compare) {
	first, sums := c.first, c.sums
	s.account(now, n)
	if len(sums) == 0 && len(s.store.buckets) > 0 {
		from := s.store.buckets[0].no
		if from > first {
			first += (from - first) / c.span * c.span
		}
		count := min((s.store.buckets[len(s.store.buckets)-1].no-min(first, s.store.buckets[len(s.store.buckets)-1].no))/c.span+1, maxBuckets)
		sums = make([]byte, 4*count)
	}
	mine := s.store.sums(nil, first, c.span, len(sums)/4)
	msg := appendContents(nil, true)
	for i := range len(sums) / 4 {
		from := first + uint64(i)*c.span
		if from < s.store.floor || bytes.Equal(sums[4*i:4*i+4], mine[4*i:4*i+4]) {
			continue
		}
		var keys []key
		for j := s.store.search(from); j < len(s.store.buckets) && s.store.buckets[j].no < from+c.span; j++ {
			for _, e := range s.store.buckets[j].entries {
				keys = append(keys, e.key)
			}
		}
		if len(msg)+8*len(keys)+10 > maxContents && len(msg) > 2 {
			msg[1] = 0
			s.sendControl(now, n, msg)
			msg = appendContents(nil, true)
		}
		if n.served += 8 * len(keys); n.served > maxServed {
			s.stats.Refused.Serving++
			break
		}
		msg = appendBucket(msg, from, c.span, keys)
	}
	s.sendControl(now, n, msg)
}

// onContents fetches what a neighbor has and this node lacks, and announces
// what it lacks.
func (s *Service) onContents(now clock.Time, n *neighbor, c contents) {
	if n.owes == 0 {
		s.stats.Refused.Unasked++
		return
	}
	if c.last {
		n.owes--
	}
	for _, b := range c.list {
		theirs := make(map[key]bool, b.n)
		for i := range b.n {
			k := key(b.keys[8*i:])
			theirs[k] = true
			if b.bucket+b.span > s.store.floor {
				s.learn(now, n, k, syncGrace, maxMissing)
			}
		}
		for j := s.store.search(b.bucket); j < len(s.store.buckets) && s.store.buckets[j].no < b.bucket+b.span; j++ {
			for _, e := range s.store.buckets[j].entries {
				if !theirs[e.key] && !e.known.has(n.slot) {
					n.outbox = append(n.outbox, e.key)
					s.arm(&s.flush, now.Add(routeDelay))
				}
			}
		}
	}
	y := &s.syncing
	if c.last && y.with == n {
		y.done++
		y.with = nil
		s.timers.Stop(&y.late)
		rest := syncGap
		if y.done >= grownUp {
			rest = syncRest
		}
		s.timers.Set(&y.next, now.Add(rest))
	}
}
