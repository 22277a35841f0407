package live

import (
	"testing"
	"time"
)

// The publisher's link carries nothing for ten seconds. Nobody misses a message,
// as the publisher keeps what it wrote for longer than that, and soon after all
// play what is published now.
func TestRowSourceCut(t *testing.T) {
	r := newRow(t, 12, 34)
	places := planetLab(t)
	const cut = 10 * time.Second
	r.each(func(seed uint64) {
		// A session that hears nothing for so long ends, hence with packets.
		a := r.start(Config{Seed: seed, Map: places, Packets: true}, r.settle())
		a.Cut(true)
		a.Run(cut)
		a.Cut(false)
		a.Run(12 * time.Second) // what is still missing after a window is given up
		var still, since time.Duration
		missed := 0
		for _, m := range a.Viewers() {
			still = max(still, m.still)
			since = max(since, a.world.now().Sub(m.played))
			missed += m.missed
		}
		r.add("longest between two messages, s", still.Seconds())
		r.add("s since the latest", since.Seconds())
		r.add("messages missed by a viewer", float64(missed)/float64(len(a.Viewers())))
	})
	r.atMost("longest between two messages, s", cut.Seconds()+4)
	r.atMost("s since the latest", 0.5)
	r.atMost("messages missed by a viewer", 0)
}

// What befalls 32 processes in cmd/rtmfp-node/e2e, one after the other: a quarter
// of the viewers dies, an eighth does nothing for six seconds, and the
// publisher's link carries nothing for ten.
func TestRowFaults(t *testing.T) {
	r := newRow(t, 12, 34)
	places := planetLab(t)
	r.each(func(seed uint64) {
		a := r.start(Config{Seed: seed, Map: places, Packets: true}, r.settle())
		before := a.Viewers()
		for _, m := range before[:len(before)/4] {
			a.Kill(m)
		}
		a.Run(4 * time.Second)
		for _, m := range a.Viewers()[:len(before)/8] {
			a.Stall(m, 6*time.Second)
		}
		a.Run(10 * time.Second)
		a.Measure()
		a.Run(4 * time.Second)
		a.Cut(true)
		a.Run(10 * time.Second)
		a.Cut(false)
		a.Run(9 * time.Second)
		a.Figures()
		r.add("late 4 s after standing still", 1-a.OnTimeFrom(0, 4*time.Second))
		r.add("late 4 s after the cut", 1-a.OnTimeFrom(18*time.Second, 22*time.Second))
		var since time.Duration
		missed := 0
		for _, m := range a.Viewers() {
			since = max(since, a.world.now().Sub(m.played))
			missed += m.missed
		}
		r.add("s since the latest", since.Seconds())
		r.add("messages missed by a viewer", float64(missed)/float64(len(a.Viewers())))
	})
	r.atMost("s since the latest", 0.5)
	r.atMost("messages missed by a viewer", 0)
}
