package run

import "time"

// Whether messages are on time is counted by when they were published, in bins
// of a tenth of a second.
const (
	bin        = 100 * time.Millisecond
	binsPer    = int(time.Second / bin)
	settleBins = binsPer + 1 // after so many the last deadline is over
	deadlines  = 3
	columns    = deadlines + 1
	single     = deadlines // the column of fragments, each for itself, within measure.deadline
)

// deadlineList are the deadlines, in rising order.
var deadlineList = [deadlines]time.Duration{200 * time.Millisecond, 500 * time.Millisecond, time.Second}

func binOf(since time.Duration) int { return int(since / bin) }

// windows counts, for each bin, what was due at all viewers and what was on
// time.
type windows struct {
	each     int      // fragments of a message
	messages []uint32 // published
	due      []uint64
	onTime   [][columns]uint64
}

func (w *windows) grow(i int) {
	for len(w.due) <= i {
		w.messages = append(w.messages, 0)
		w.due = append(w.due, 0)
		w.onTime = append(w.onTime, [columns]uint64{})
	}
}

// published counts a message.
func (w *windows) published(since time.Duration) {
	i := binOf(since)
	w.grow(i)
	w.messages[i]++
}

// add counts what one viewer got of a bin.
func (w *windows) add(i int, got *[columns]uint16) {
	w.grow(i)
	w.due[i] += uint64(w.messages[i])
	for c, n := range got {
		w.onTime[i][c] += uint64(n)
	}
}

// share returns which share of what was published in bins from i to j, j
// excluded, was on time by a column; false if none was due.
func (w *windows) share(i, j, column int) (float64, bool) {
	due, on := uint64(0), uint64(0)
	for ; i < min(j, len(w.due)); i++ {
		due += w.due[i]
		on += w.onTime[i][column]
	}
	if column == single {
		due *= uint64(w.each)
	}
	if due == 0 {
		return 0, false
	}
	return float64(on) / float64(due), true
}

// total returns the share over everything.
func (w *windows) total(column int) (float64, bool) { return w.share(0, len(w.due), column) }

// good is the share of messages on time from which on all is well.
const good = 0.999

// recovery returns how long after a shock at bin `from` all is well again: from
// there on every window of a second that begins within a second is good. It
// looks no farther than `to`; false says that it did not come about.
func (w *windows) recovery(from, to, column int) (time.Duration, bool) {
	run := 0 // good windows in a row
	for i := max(from, 0); i+binsPer <= to; i++ {
		if share, some := w.share(i, i+binsPer, column); !some || share < good {
			run = 0
			continue
		}
		if run++; run == binsPer {
			return time.Duration(i-binsPer+1-from) * bin, true
		}
	}
	return 0, false
}

// worst returns the least share of a window of a second that begins from `from`
// on and ends before `to`.
func (w *windows) worst(from, to, column int) float64 {
	least := 1.0
	for i := max(from-binsPer, 0); i+binsPer <= to; i++ {
		if share, some := w.share(i, i+binsPer, column); some {
			least = min(least, share)
		}
	}
	return least
}
