package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// A publisher may say how long a message is worth anything. It travels in four bits of the
// message's flags, so it costs no bytes, and members that don't know it pass it on. Clocks
// of members play no part: each member counts from when it gets a fragment, less the way from the
// publisher, as far as its route tells. A lifetime only ever shortens what holds without.

// lifetimes are what the four bits stand for, 0 being none: half an octave apart.
var lifetimes = [16]time.Duration{
	0, 125 * time.Millisecond, 180 * time.Millisecond, 250 * time.Millisecond, 350 * time.Millisecond, 500 * time.Millisecond,
	700 * time.Millisecond, time.Second, 1400 * time.Millisecond, 2 * time.Second, 2800 * time.Millisecond, 4 * time.Second,
	5600 * time.Millisecond, 8 * time.Second, 11 * time.Second, 16 * time.Second,
}

const (
	ownLifeShift = 4
	lifeAlways   = byte(len(lifetimes))  // of messages that have none, among others
	lifeSpan     = 4 * time.Second       // the longest lifetime of so much of the stream counts, or twice that
	earlyLife    = 2 * time.Second       // of what a newcomer begins with, beside its lifetime
	leastLeft    = 50 * time.Millisecond // of a lifetime, however long the way was
)

// lifeShare is how many quarters of what is left a fragment of a class may wait in the transport.
var lifeShare = [...]time.Duration{Plain: 2, First: 4, Spare: 1}

// lifeCode returns the bits for a lifetime: the next one up, or none if that is longer than any.
func lifeCode(d time.Duration) byte {
	for c := 1; c < len(lifetimes) && d > 0; c++ {
		if d <= lifetimes[c] {
			return byte(c)
		}
	}
	return 0
}

// lifeCode returns the bits of a message's first fragment.
func (f *fragment) lifeCode() byte {
	if !f.start || f.typ != TypeOwn || len(f.payload) == 0 {
		return 0
	}
	return f.payload[0] >> ownLifeShift
}

// living is what a stream knows of lifetimes.
type living struct {
	mortal  bool    // there has been a message with one
	longest [2]byte // of late, and before that
	turned  clock.Time
}

// noteLife takes note of a message's lifetime.
func (l *living) noteLife(now clock.Time, f *fragment) {
	if !f.start || f.isDigest() {
		return
	}
	if now.Sub(l.turned) >= lifeSpan {
		l.longest[0], l.longest[1], l.turned = 0, l.longest[0], now
	}
	code := f.lifeCode()
	l.mortal = l.mortal || code != 0
	if code == 0 {
		code = lifeAlways
	}
	l.longest[0] = max(l.longest[0], code)
}

// usual is how long a message is worth anything of which nothing is known: as long as any other
// of late. 0 is no limit.
func (l *living) usual() time.Duration {
	code := max(l.longest[0], l.longest[1])
	if !l.mortal || code == lifeAlways {
		return 0
	}
	return lifetimes[code]
}

// lifeOf is the lifetime of the message that a fragment is of, 0 if there is none or it
// is not known; known tells which.
func (st *stream) lifeOf(f *fragment) (life time.Duration, known bool) {
	if !st.mortal {
		return 0, true
	}
	if f.start {
		return lifetimes[f.lifeCode()], true
	}
	for i := range st.classes {
		if c := &st.classes[i]; f.id >= c.first && f.id <= c.last {
			return lifetimes[c.life], true
		}
	}
	return 0, false
}

// left is what is left of a lifetime here.
func (st *stream) left(life time.Duration, id uint64) time.Duration {
	if st.pub == nil {
		if r := &st.slices[id%numSlices].route; r.depth < maxDepth {
			life -= r.delay.duration()
		}
	}
	return max(life, leastLeft)
}

// sendLife is how long a fragment is worth sending: what its class gives, and no longer than
// it is worth anything.
func (st *stream) sendLife(msg []byte, class Class) time.Duration {
	d := st.life(class)
	life := st.leftOf(msg)
	if st.classed { // so that what is first does not wait behind what is not until it is stale
		life = life / 4 * lifeShare[class]
	}
	return min(d, life)
}

// leftOf is what is left of a fragment's lifetime, maxWindow if it has none.
func (st *stream) leftOf(msg []byte) time.Duration {
	if !st.mortal {
		return maxWindow
	}
	if f, ok := consumeFragment(msg); ok {
		if life, _ := st.lifeOf(&f); life > 0 {
			return st.left(life, f.id)
		}
	}
	return maxWindow
}

// patience is how long a fragment that is missing is waited for and asked for. What a
// newcomer begins with was published before, and has more time.
func (st *stream) patience(g *gap) time.Duration {
	d := st.desc.window + st.silentSince(g.known)
	if !st.mortal {
		return d
	}
	id := g.id
	life, known := st.lifeOf(&fragment{id: id})
	if !known {
		life = st.usual()
	}
	if life > 0 {
		life = st.left(life, id)
		if g.early {
			life += earlyLife
		}
		d = min(d, life)
	}
	return d
}
