package multicast

import (
	"time"

	"rtmfp/internal/element"
)

// Flags of a state message.
const (
	stateTree   = 0x01 // the tree section is there
	stateFull   = 0x02 // the map is whole: what is older than it is not held
	stateKeyed  = 0x04 // the publisher marks key frames
	stateAnswer = 0x08 // what was asked for and is not in the map is not held
	stateHungry = 0x10 // news are wanted as soon as there are any
	stateStart  = 0x40 // fragments from key on follow: see wish.go
	statePrices = 0x20 // with stateTree: prices of slices follow the routes
)

const (
	depthUnfed = 255 // nobody feeds the slice
	maxDepth   = 32  // a path this long counts as none

	// delayUnit is the unit in which the delay of a path goes over the wire.
	delayUnit = 100 * time.Microsecond
	maxDelay  = 10 * time.Second
)

// route is the way of a slice from the publisher to a node. Epochs are the
// publisher's: of two routes the one with the later epoch is the fresher news,
// and within an epoch the depths of a tree grow strictly from parent to child.
type route struct {
	epoch uint64
	delay micros // one way, estimated from half round trips
	depth uint8  // hops from the publisher; depthUnfed: no route
}

// micros is a duration in microseconds: there are eight routes to each neighbor.
type micros int32

func inMicros(d time.Duration) micros { return micros(min(d, time.Minute) / time.Microsecond) }

func (m micros) duration() time.Duration { return time.Duration(m) * time.Microsecond }

// state is what a modern member tells its neighbors of a stream that it carries.
type state struct {
	flags  byte
	newest uint64 // highest id held, 0 = nothing yet
	oldest uint64 // lowest id held, 0 = nothing
	key    uint64 // newest id held that begins a key frame which is held, 0 = none
	last   uint64 // with stateStart: the fragments from key to this one follow
	room   byte   // slices for which another child is welcome
	load   byte   // slices pushed to all children together, at most 255
	routes [numSlices]route
	prices [numSlices]byte // packed, see worth.go; 0: there is room
	least  [numSlices]byte // likewise: members below the least child of a slice that has a price
	bitmap []byte          // bit k of byte j is newest-1-(8j+k)
}

// appendState writes everything of st but the bitmap, which is the rest of the
// message.
func appendState(b []byte, st *state) []byte {
	b = element.AppendVLU(append(b, msgState), st.newest)
	b = append(b, st.flags)
	b = element.AppendVLU(b, st.newest-st.oldest)
	if st.key == 0 {
		b = append(b, 0)
	} else {
		b = element.AppendVLU(b, st.newest-st.key+1)
	}
	b = append(b, st.room, st.load)
	if st.flags&stateTree == 0 {
		return b
	}
	latest := uint64(0)
	for i := range st.routes {
		if st.routes[i].depth < maxDepth {
			latest = max(latest, st.routes[i].epoch)
		}
	}
	b = element.AppendVLU(b, latest)
	for i := range st.routes {
		r := &st.routes[i]
		if r.depth >= maxDepth {
			b = append(b, depthUnfed)
			continue
		}
		b = element.AppendVLU(append(b, r.depth), latest-r.epoch)
		b = element.AppendVLU(b, uint64(r.delay.duration()/delayUnit))
	}
	if st.flags&statePrices != 0 {
		for i, price := range st.prices {
			if b = append(b, price); price != 0 {
				b = append(b, st.least[i])
			}
		}
	}
	if st.flags&stateStart != 0 {
		b = element.AppendVLU(b, st.last-st.key)
	}
	return b
}

// consumeState reads a state message. The bitmap is a part of b.
func consumeState(b []byte) (st state, ok bool) {
	if len(b) == 0 || b[0] != msgState {
		return state{}, false
	}
	r := reader{b: b[1:]}
	st.newest = r.vlu()
	st.flags = r.byte()
	back := r.vlu()
	key := r.vlu()
	st.room, st.load = r.byte(), r.byte()
	if r.bad || st.newest > maxID || back > st.newest || key > st.newest {
		return state{}, false
	}
	st.oldest = st.newest - back
	if key != 0 {
		st.key = st.newest - key + 1
	}
	if st.flags&stateTree != 0 {
		latest := r.vlu()
		for i := range st.routes {
			depth := r.byte()
			if depth >= maxDepth {
				st.routes[i] = route{depth: depthUnfed}
				continue
			}
			lag, delay := r.vlu(), r.vlu()
			if lag > latest {
				return state{}, false
			}
			st.routes[i] = route{
				epoch: latest - lag,
				depth: depth,
				delay: inMicros(time.Duration(min(delay, uint64(maxDelay/delayUnit))) * delayUnit),
			}
		}
		if st.flags&statePrices != 0 {
			for i := range st.prices {
				if st.prices[i] = r.byte(); st.prices[i] != 0 {
					st.least[i] = r.byte()
				}
			}
		}
	}
	if st.flags&stateStart != 0 {
		n := r.vlu()
		if st.flags&stateTree == 0 || st.key == 0 || n > st.newest-st.key {
			return state{}, false
		}
		st.last = st.key + n
	}
	st.bitmap = r.b
	return st, !r.bad
}

// appendAvailability writes the map of old peers (groups-wire.md §5.3) up to
// but without its bitmap.
func appendAvailability(b []byte, newest uint64) []byte {
	return element.AppendVLU(append(b, msgAvailability), newest)
}

// consumeAvailability reads the map of an old peer. The bitmap is a part of b.
func consumeAvailability(b []byte) (newest uint64, bitmap []byte, ok bool) {
	if len(b) == 0 || b[0] != msgAvailability {
		return 0, nil, false
	}
	newest, n := element.ConsumeVLU(b[1:])
	if n == 0 || newest > maxID {
		return 0, nil, false
	}
	return newest, b[1+n:], true
}

// appendBitmap writes which of the ids from newest-1 down to low the window
// holds, without the zero bytes that would end it. The last byte goes on below
// low: its bits are read as well.
func appendBitmap(b []byte, w *window, newest, low uint64) []byte {
	low = max(low, w.low)
	if low >= newest {
		return b
	}
	start := len(b)
	var bits byte
	n := 0
	for id := newest - 1; id >= 1 && (id >= low || n&7 != 0); id-- {
		if w.has(id) {
			bits |= 1 << (n & 7)
		}
		if n++; n&7 == 0 {
			b = append(b, bits)
			bits = 0
		}
	}
	if n&7 != 0 {
		b = append(b, bits)
	}
	for len(b) > start && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// reader consumes the fields of a message; once the bytes run out it is bad
// and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) vlu() uint64 {
	v, n := element.ConsumeVLU(r.b)
	if n == 0 {
		r.bad = true
		r.b = nil
		return 0
	}
	r.b = r.b[n:]
	return v
}
