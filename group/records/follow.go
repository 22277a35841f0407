package records

import (
	"encoding/binary"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// How records follow the members: each looks after the range that it is nearest
// to, by comparing it with those that would take over. What they know and it
// does not, it is given; that is how a newcomer gets what is its own, and how
// the neighbors of one who died take up what that one looked after.

func (s *Service) period() time.Duration {
	return syncPeriod*3/4 + time.Duration(s.cfg.Rand.Int64N(int64(syncPeriod/2)))
}

// lookAfter compares this member's range with its nearest neighbors: with all
// of them if it has changed or time has come, else with those that are new.
func (s *Service) lookAfter(now clock.Time) {
	from, to := s.router.Coverage()
	mine := span{from, to}
	all := mine != s.synced || !s.changed
	for _, n := range s.nearestTo(now, s.store.self) {
		if all || n.fresh {
			s.summarize(now, n, mine)
		}
	}
	for _, n := range s.neighbors {
		n.fresh = false
	}
	s.synced, s.changed = mine, false
	if len(s.store.list) > 0 {
		s.timers.Set(&s.sync, now.Add(s.period()))
	}
}

// digest sums up what is held of a range.
func (s *Service) digest(now clock.Time, p span) (count, sum uint64) {
	wall := s.unixMilli(now)
	s.store.in(p, func(r *Record) {
		if r.UnixMilli > wall+expiryEdge {
			count++
			sum ^= r.listed().sum()
		}
	})
	return count, sum
}

// expiryEdge is the time, in milliseconds, before the end of a record in which
// it isn't compared any more: clocks differ.
const expiryEdge = 5000

func (r *Record) listed() listed { return listed{r.id, r.Sequence, r.check} }

func (s *Service) summarize(now clock.Time, n *neighbor, p span) {
	count, sum := s.digest(now, p)
	msg := appendSpan(nil, msgSummary, p)
	msg = element.AppendVLU(msg, count)
	s.stats.Summaries++
	s.send(now, n, binary.BigEndian.AppendUint64(msg, sum))
}

// onSummary answers with a list if this node holds something else.
func (s *Service) onSummary(now clock.Time, n *neighbor, msg []byte) bool {
	p, rest, ok := parseSpan(msg)
	if !ok {
		return false
	}
	count, m := element.ConsumeVLU(rest)
	if m == 0 || len(rest) != m+8 {
		return false
	}
	mine, sum := s.digest(now, p)
	if mine == count && sum == binary.BigEndian.Uint64(rest[m:]) {
		return true
	}
	wall := s.unixMilli(now)
	list := appendSpan(nil, msgList, p)
	listed := 0
	s.store.in(p, func(r *Record) {
		if listed++; listed <= maxListed && r.UnixMilli > wall+expiryEdge {
			list = appendListed(list, r.listed())
		}
	})
	s.send(now, n, list)
	return true
}

// onList gives a neighbor what it lacks of a range, and asks for what it has.
func (s *Service) onList(now clock.Time, n *neighbor, msg []byte) bool {
	p, rest, ok := parseSpan(msg)
	if !ok {
		return false
	}
	theirs := map[id]listed{}
	want := []byte{msgWant}
	for len(rest) > 0 {
		l, m := consumeListed(rest)
		if m == 0 || len(theirs) > maxListed {
			return false
		}
		rest = rest[m:]
		theirs[l.id] = l
		if r := s.store.byID[l.id]; r == nil || (&Record{Sequence: l.sequence, check: l.check}).newer(r) {
			want = append(want, l.id[:]...)
		}
	}
	wall := s.unixMilli(now)
	var give []*Record
	s.store.in(p, func(r *Record) {
		if l, has := theirs[r.id]; (!has || r.newer(&Record{Sequence: l.sequence, check: l.check})) && r.UnixMilli > wall {
			give = append(give, r)
		}
	})
	s.sendRecords(now, n, give)
	if len(want) > 1 {
		s.send(now, n, want)
	}
	return true
}

// onWant gives a neighbor records by their ids.
func (s *Service) onWant(now clock.Time, n *neighbor, msg []byte) bool {
	b := msg[1:]
	if len(b)%8 != 0 || len(b)/8 > maxListed+1 {
		return false
	}
	var give []*Record
	for ; len(b) > 0; b = b[8:] {
		if r := s.store.byID[id(b[:8])]; r != nil {
			give = append(give, r)
		}
	}
	s.sendRecords(now, n, give)
	return true
}
