package run

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/simulations/figure"
)

// fragments are how long those of the stream take, each for itself: from when
// the publisher wrote what is in it to its arrival at a viewer, whatever is
// missing before it.
type fragments struct {
	each    int          // that a message is cut into
	waiting []clock.Time // when those were written that have not gone out yet, signed
	first   uint64       // number of the first one of at
	at      []clock.Time // when each was written; 0: it is a digest

	delay, direct figure.Histogram // µs, of all that came
}

// A message is cut into fragments as multicast does: a head of ownHead bytes
// and then its own, pieceSize of them in each.
const (
	ownHead   = 9
	pieceSize = 959
)

// So many fragments are remembered, and up to twice as many: at least as many
// as a window has.
const fragmentsKept = 1 << 16

func (f *fragments) init(message int) {
	f.each = (message + ownHead + pieceSize - 1) / pieceSize
	f.first = 1
}

// wrote notes that the publisher writes a message.
func (f *fragments) wrote(now clock.Time) {
	for range f.each {
		f.waiting = append(f.waiting, now)
	}
}

// out notes that a fragment has gone out.
func (f *fragments) out(id uint64) {
	if len(f.at) >= 2*fragmentsKept {
		f.first += fragmentsKept
		f.at = append(f.at[:0], f.at[fragmentsKept:]...)
	}
	for f.first+uint64(len(f.at)) < id {
		f.at = append(f.at, 0)
	}
	f.at = append(f.at, f.waiting[0])
	f.waiting = f.waiting[1:]
}

// written returns when a fragment was, 0 if that is not known.
func (f *fragments) written(id uint64) clock.Time {
	if id < f.first || id-f.first >= uint64(len(f.at)) {
		return 0
	}
	return f.at[id-f.first]
}

// fragment notes that one came to a member for the first time.
func (r *run) fragment(m *member, id uint64) {
	r.one.Lock()
	defer r.one.Unlock()
	f, w := &r.fragments, m.watch
	if m.role == publisher {
		f.out(id)
		return
	}
	if w == nil || !w.begun || m.gone {
		return
	}
	at := f.written(id)
	if at < w.beganAt || at < r.began {
		return // it belongs to its startup, or to no measurement
	}
	now := m.node.Instant()
	delay := now.Sub(at)
	if slot := r.slot(w, now, at); slot != nil && delay <= time.Duration(r.s.Measure.Deadline) {
		slot[single]++
	}
	f.delay.Add(uint64(delay/time.Microsecond), 1)
	f.direct.Add(uint64(r.direct(r.publisher(), m)/time.Microsecond), 1)
}

func (f *fragments) figures(res *Result) {
	res.set("fragment_delay_mean_ms", f.delay.Mean()/1000)
	res.set("fragment_delay_p99_ms", f.delay.Quantile(0.99)/1000)
	res.set("fragment_stretch_mean_ratio", f.delay.Mean()/f.direct.Mean())
	res.set("fragment_stretch_p99_ratio", f.delay.Quantile(0.99)/f.direct.Quantile(0.99))
}
