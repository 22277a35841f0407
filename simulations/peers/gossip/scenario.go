package gossip

import (
	"fmt"
	"math/rand/v2"
	"time"

	"rtmfp/simulations/geography"
)

// Scenario is one run of one system: who is there, what the network is like,
// and what is published when. It travels to the process that runs it as JSON.
type Scenario struct {
	Nodes  int     // members of the group; all receive, and node 0 is the source of a live stream
	Seed   uint64  // of every choice that is ours to make
	Access float64 // bits per second of each node's uplink, and of its downlink

	// Latencies is a file of round-trip times, "synthetic", or a duration that
	// any two nodes are apart, one way.
	Latencies string

	Live    bool          // one stream from node 0, or posts from random members
	Size    int           // bytes of a message
	Every   time.Duration // between two messages
	Length  time.Duration // for how long messages are published
	Warmup  time.Duration // after the last node was told to join, before the first message
	Drain   time.Duration // after the last message
	Joining time.Duration // between two nodes that are told to join

	world  *geography.Map
	places []int
}

// settle loads the latencies and gives every node its place. Both systems get
// the same places.
func (s *Scenario) settle() error {
	if s.Nodes < 2 || s.Size < 8 || s.Every <= 0 || s.Length <= 0 {
		return fmt.Errorf("a scenario needs two nodes and messages of 8 bytes, got %+v", *s)
	}
	var err error
	switch flat, bad := time.ParseDuration(s.Latencies); {
	case bad == nil:
		s.world = geography.Flat(flat)
	case s.Latencies == "synthetic":
		s.world = geography.Synthetic()
	default:
		if s.world, err = geography.Load(s.Latencies); err != nil {
			return err
		}
	}
	dealer := s.world.NewDealer(rand.New(rand.NewPCG(s.Seed, 1)))
	s.places = make([]int, s.Nodes)
	for i := range s.places {
		s.places[i] = dealer.Next()
	}
	return nil
}

// messages returns the number of messages that are published.
func (s *Scenario) messages() int { return max(1, int(s.Length/s.Every)) }

// latency returns the one-way latency from one node to another.
func (s *Scenario) latency(from, to int) time.Duration {
	return s.world.OneWay(s.places[from], s.places[to])
}

// publisher returns which node publishes the n-th message: the source of the
// stream, or somebody at random. It follows from the seed alone, so that both
// systems get the same schedule.
func (s *Scenario) publisher(n int) int {
	if s.Live {
		return 0
	}
	return rand.New(rand.NewPCG(s.Seed, uint64(n)+1000)).IntN(s.Nodes)
}

// direct returns, for every delivery that is asked for, how long one datagram
// from the publisher to the receiver would be under way.
func (s *Scenario) direct() []time.Duration {
	var all []time.Duration
	for n := range s.messages() {
		from := s.publisher(n)
		for to := range s.Nodes {
			if to != from {
				all = append(all, s.latency(from, to))
			}
		}
		if s.Live {
			break // the others are the same
		}
	}
	return all
}

// fill writes the n-th message into b, a number and bytes that follow from it.
func fill(b []byte, n int) {
	for i := range 8 {
		b[i] = byte(n >> (8 * i))
	}
	for i := 8; i < len(b); i++ {
		b[i] = byte(i*7 + n)
	}
}

// check returns the number of a message, or an error if the bytes are not what
// fill wrote.
func check(b []byte, size, messages int) (int, error) {
	if len(b) != size {
		return 0, fmt.Errorf("a message has %d bytes, want %d", len(b), size)
	}
	n := 0
	for i := range 8 {
		n |= int(b[i]) << (8 * i)
	}
	if n < 0 || n >= messages {
		return 0, fmt.Errorf("got message %d of %d", n, messages)
	}
	for i := 8; i < len(b); i++ {
		if b[i] != byte(i*7+n) {
			return 0, fmt.Errorf("message %d has changed at byte %d", n, i)
		}
	}
	return n, nil
}
