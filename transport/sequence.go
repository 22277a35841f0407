package transport

import "rtmfp/transport/wire"

// sequenceSet is the SEQUENCE_SET of a receiving flow (RFC 7016 §3.6.3): all
// numbers from 0 through upTo, and the ranges above it, in rising order with
// gaps before each.
type sequenceSet struct {
	upTo   uint64 // the RFC's CSN
	ranges []wire.Range
}

func (q *sequenceSet) gaps() bool { return len(q.ranges) > 0 }

// find returns the index of the first range that does not end before seq.
func (q *sequenceSet) find(seq uint64) int {
	// Most numbers belong to the end of the set.
	if n := len(q.ranges); n == 0 || q.ranges[n-1].Last < seq {
		return n
	}
	lo, hi := 0, len(q.ranges)
	for lo < hi {
		if mid := (lo + hi) / 2; q.ranges[mid].Last < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (q *sequenceSet) contains(seq uint64) bool {
	if seq <= q.upTo {
		return true
	}
	i := q.find(seq)
	return i < len(q.ranges) && q.ranges[i].First <= seq
}

// mayAdd reports whether the set stays within maxRanges with seq in it.
func (q *sequenceSet) mayAdd(seq uint64) bool {
	return seq == q.upTo+1 || len(q.ranges) < maxRanges
}

// add adds seq, which is not in the set.
func (q *sequenceSet) add(seq uint64) {
	if seq <= q.upTo {
		return
	}
	if seq == q.upTo+1 {
		q.upTo = seq
		q.swallow()
		return
	}
	i := q.find(seq)
	joinsBefore := i > 0 && q.ranges[i-1].Last+1 == seq
	joinsAfter := i < len(q.ranges) && q.ranges[i].First == seq+1
	switch {
	case joinsBefore && joinsAfter:
		q.ranges[i-1].Last = q.ranges[i].Last
		q.ranges = append(q.ranges[:i], q.ranges[i+1:]...)
	case joinsBefore:
		q.ranges[i-1].Last = seq
	case joinsAfter:
		q.ranges[i].First = seq
	default:
		q.ranges = append(q.ranges, wire.Range{})
		copy(q.ranges[i+1:], q.ranges[i:])
		q.ranges[i] = wire.Range{First: seq, Last: seq}
	}
}

// addUpTo adds every number from 0 through seq.
func (q *sequenceSet) addUpTo(seq uint64) {
	if seq > q.upTo {
		q.upTo = seq
		q.swallow()
	}
}

// swallow drops the ranges that upTo has reached.
func (q *sequenceSet) swallow() {
	n := 0
	for n < len(q.ranges) && q.ranges[n].First-1 <= q.upTo {
		q.upTo = max(q.upTo, q.ranges[n].Last)
		n++
	}
	if n > 0 {
		q.ranges = q.ranges[:copy(q.ranges, q.ranges[n:])]
	}
}
