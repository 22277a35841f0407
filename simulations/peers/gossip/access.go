package gossip

import (
	"time"

	"rtmfp/simulations"
)

// accessLinks are the uplinks and downlinks of our side's nodes: queues without
// an end, first in, first out. Simnet has them with CoDel, and fair to every
// flow, which is to its advantage. So is that a downlink here serves in the
// order in which datagrams were sent: where latencies differ, one from nearby
// waits for one from afar that was sent before it.
type accessLinks struct {
	rate     float64 // bits per second
	up, down []time.Duration
	counted  []uint64 // bytes that a node has sent, as of its latest datagram
}

func newAccessLinks(nodes int, rate float64) *accessLinks {
	return &accessLinks{
		rate: rate, up: make([]time.Duration, nodes), down: make([]time.Duration, nodes), counted: make([]uint64, nodes),
	}
}

// pass returns how long the datagram that a node has just sent is under way.
func (a *accessLinks) pass(net *simulations.Network, from, to int, latency time.Duration) time.Duration {
	now := time.Duration(net.Now())
	sent := net.Nodes()[from].Sent
	takes := time.Duration(float64(sent-a.counted[from]) * 8e9 / a.rate)
	a.counted[from] = sent
	a.up[from] = max(a.up[from], now) + takes
	a.down[to] = max(a.down[to], a.up[from]+latency) + takes
	return a.down[to] - now
}
