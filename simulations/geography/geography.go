// Package geography says how long a datagram takes from one place to another:
// by a file of measured round-trip times, or by a synthetic world that comes
// with the package, cities with their distances.
//
// A Map is not changed after it was made, and may be shared by any number of
// simulations. All of its times are whole microseconds, and the same on every
// machine: where floating point is used to get them, the result is rounded, and
// a test shows that no result lies so near to a half that the last bits, which
// differ between processors, could decide.
package geography

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Place is where nodes can be.
type Place struct {
	Name   string
	Region string // a continent, or "" where the file does not tell
	Weight int    // how many nodes go there, in proportion; 0 where all places are alike

	Latitude, Longitude float64 // degrees; 0 where the file does not tell
}

// Map is a set of places and the one-way latencies between them.
type Map struct {
	Name   string
	places []Place
	slices [][]int32 // µs one way, row by row: what was measured at different times
	local  int32     // µs one way within one place
}

// Len returns the number of places.
func (m *Map) Len() int { return len(m.places) }

// Place returns the i-th place.
func (m *Map) Place(i int) Place { return m.places[i] }

// Slices returns how many measurements of the same places there are.
func (m *Map) Slices() int { return len(m.slices) }

// OneWay returns the latency from one place to another in the first slice.
func (m *Map) OneWay(from, to int) time.Duration { return m.OneWayAt(0, from, to) }

// OneWayAt returns the latency from one place to another in a slice.
func (m *Map) OneWayAt(slice, from, to int) time.Duration {
	us := m.local
	if from != to {
		us = m.slices[slice][from*len(m.places)+to]
	}
	return time.Duration(us) * time.Microsecond
}

// Least returns the least latency between any two nodes, wherever they are.
func (m *Map) Least() time.Duration {
	us := m.local
	for _, s := range m.slices {
		for i, v := range s {
			if i%(len(m.places)+1) != 0 { // not from a place to itself
				us = min(us, v)
			}
		}
	}
	return time.Duration(us) * time.Microsecond
}

// Regions returns the names of the regions, sorted; none if places have none.
func (m *Map) Regions() []string {
	var names []string
	for _, p := range m.places {
		if p.Region != "" && !slices.Contains(names, p.Region) {
			names = append(names, p.Region)
		}
	}
	slices.Sort(names)
	return names
}

// Nearest returns all places, sorted by their latency from one of them.
func (m *Map) Nearest(place int) []int {
	order := make([]int, len(m.places))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(m.OneWay(place, a) - m.OneWay(place, b))
	})
	return order
}

// A Dealer puts nodes into places: into cities by the number of people in
// them, and where all places are alike into each one before any gets a second
// node, so that a swarm that is as large as the file uses all of it.
type Dealer struct {
	m     *Map
	rng   *rand.Rand
	total int
	deck  []int // places that are left of this round
}

// NewDealer returns a Dealer that takes its choices from rng.
func (m *Map) NewDealer(rng *rand.Rand) *Dealer {
	d := &Dealer{m: m, rng: rng}
	for _, p := range m.places {
		d.total += p.Weight
	}
	return d
}

// Next returns the place of the next node.
func (d *Dealer) Next() int {
	if d.total > 0 {
		at := d.rng.IntN(d.total)
		for i, p := range d.m.places {
			if at -= p.Weight; at < 0 {
				return i
			}
		}
	}
	if len(d.deck) == 0 {
		d.deck = d.rng.Perm(len(d.m.places))
	}
	last := len(d.deck) - 1
	place := d.deck[last]
	d.deck = d.deck[:last]
	return place
}

// Flat returns a map of one place, where everything is that far apart.
func Flat(oneWay time.Duration) *Map {
	us := int32(oneWay / time.Microsecond)
	return &Map{Name: "flat", places: []Place{{Name: "nowhere"}}, slices: [][]int32{{us}}, local: us}
}
