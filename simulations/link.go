package simulations

import (
	"time"

	"rtmfp/internal/clock"
)

// Link says what happens to a datagram on its way between two nodes. The zero
// value of each field is that nothing of the kind happens.
type Link struct {
	Latency time.Duration // one way
	Jitter  time.Duration // added, uniformly from 0 up to this
	Ordered bool          // jitter does not let datagrams overtake each other
	Loss    float64       // probability that it is lost
	Burst   *Burst        // and losses that come together

	Reorder      float64       // probability that it is held back …
	ReorderDelay time.Duration // … for so long; default 10 ms
	Duplicate    float64       // probability that it arrives twice
	Corrupt      float64       // probability that some of its bits are changed
	MTU          int           // size of the largest UDP payload that passes
}

// Burst is loss after Gilbert and Elliott: a path is good for a while, then bad
// for a while, both exponentially distributed, and loses datagrams while it is
// bad.
type Burst struct {
	Good, Bad time.Duration // means
	Loss      float64       // probability while it is bad; 0 = 1
}

// Share returns the share of datagrams that is lost in the long run.
func (b *Burst) Share() float64 {
	loss := b.Loss
	if loss == 0 {
		loss = 1
	}
	return loss * float64(b.Bad) / float64(b.Good+b.Bad)
}

// pathState is what one direction between two nodes remembers, for links that
// ask for it.
type pathState struct {
	until clock.Time // the present weather holds
	last  clock.Time // arrival of the latest datagram, of an ordered path
	known bool
	bad   bool
}

// path returns the state of the direction to another node.
func (n *Node) path(to *Node) *pathState {
	p := n.paths[to.number]
	if p == nil {
		if n.paths == nil {
			n.paths = map[int]*pathState{}
		}
		p = new(pathState)
		n.paths[to.number] = p
	}
	return p
}

// lost decides whether the weather on the path takes a datagram.
func (b *Burst) lost(p *pathState, n *Node, now clock.Time) bool {
	if !p.known {
		p.known = true
		p.bad = chance(&n.rng, float64(b.Bad)/float64(b.Good+b.Bad))
		p.until = now.Add(b.stay(p.bad, n))
	}
	for p.until <= now {
		p.bad = !p.bad
		p.until = p.until.Add(b.stay(p.bad, n))
	}
	return p.bad && (b.Loss == 0 || chance(&n.rng, b.Loss))
}

// stay draws how long the weather holds.
func (b *Burst) stay(bad bool, n *Node) time.Duration {
	mean := b.Good
	if bad {
		mean = b.Bad
	}
	return max(Exponential(&n.rng, mean), time.Microsecond)
}

// defaultReorderDelay is how long a datagram is held back.
const defaultReorderDelay = 10 * time.Millisecond

// travel carries a datagram over a link, from the instant at which it left its
// sender's access link.
func (l *lane) travel(way Link, from, to *Node, left clock.Time, f *flight) {
	size := len(f.data)
	if way.MTU > 0 && size > way.MTU {
		l.discard(f, DropSize)
		return
	}
	if chance(&from.rng, way.Loss) || way.Burst != nil && way.Burst.lost(from.path(to), from, left) {
		l.discard(f, DropLoss)
		return
	}
	at := left.Add(way.Latency + uniform(&from.rng, way.Jitter))
	if way.Ordered {
		p := from.path(to)
		at = max(at, p.last)
		p.last = at
	}
	if chance(&from.rng, way.Reorder) {
		hold := way.ReorderDelay
		if hold == 0 {
			hold = defaultReorderDelay
		}
		at = at.Add(hold)
		l.stats.Reordered++
	}
	if chance(&from.rng, way.Duplicate) {
		again := l.launch(f.data)
		again.to, again.nat, again.dst, again.from = f.to, f.nat, f.dst, f.from
		l.stats.Duplicated++
		l.stats.DuplicatedBytes += uint64(size)
		l.plan(left.Add(way.Latency+uniform(&from.rng, way.Jitter)), entryDatagram, again.ref, to)
	}
	if chance(&from.rng, way.Corrupt) && size > 0 {
		for range 1 + from.rng.Uint64()%4 {
			v := from.rng.Uint64()
			f.data[v%uint64(size)] ^= byte(1 + v>>32%255)
		}
		l.stats.Corrupted++
	}
	l.plan(at, entryDatagram, f.ref, to)
}
