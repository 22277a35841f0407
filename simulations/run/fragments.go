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
	bins          []delays         // by when they were published
}

// delays are sums, in µs, of what was published in a tenth of a second.
type delays struct{ delay, direct uint64 }

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
	if w == nil || !w.begun || w.apart || m.gone {
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
	took, direct := uint64(delay/time.Microsecond), uint64(r.direct(r.publisher(), m)/time.Microsecond)
	f.delay.Add(took, 1)
	f.direct.Add(direct, 1)
	bin := binOf(at.Sub(r.began))
	for len(f.bins) <= bin {
		f.bins = append(f.bins, delays{})
	}
	f.bins[bin].delay += took
	f.bins[bin].direct += direct
}

// recovery returns how long after bin `from` the mean delay is at most so many
// times the direct one, in every window of a second from there on; it looks no
// farther than `to`. False says that it is not at the end.
func (f *fragments) recovery(from, to int, stretch float64) (time.Duration, bool) {
	back := -1
	for i := from; i+binsPer <= min(to, len(f.bins)); i++ {
		var sum delays
		for _, b := range f.bins[i : i+binsPer] {
			sum.delay += b.delay
			sum.direct += b.direct
		}
		switch good := float64(sum.delay) <= stretch*float64(sum.direct); {
		case !good:
			back = -1
		case back < 0:
			back = i
		}
	}
	return time.Duration(back-from) * bin, back >= 0
}

func (f *fragments) figures(res *Result) {
	res.set("fragment_delay_mean_ms", f.delay.Mean()/1000)
	res.set("fragment_delay_p99_ms", f.delay.Quantile(0.99)/1000)
	res.set("fragment_stretch_mean_ratio", f.delay.Mean()/f.direct.Mean())
	res.set("fragment_stretch_p99_ratio", f.delay.Quantile(0.99)/f.direct.Quantile(0.99))
}
