package simulations

import (
	"encoding/binary"
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

// TraceLevel says what goes into a network's fingerprint.
type TraceLevel uint8

const (
	// TraceContent takes, of every datagram that arrives, when, where from,
	// where to, and what it says.
	TraceContent TraceLevel = iota
	// TraceHeaders leaves out what it says, apart from its size. As times
	// follow from contents this finds nearly as much and costs nearly nothing.
	TraceHeaders
	// TraceNothing leaves the fingerprint at zero.
	TraceNothing
)

// Trace returns a fingerprint of every datagram that has arrived: of those of
// each node in their order, and of the nodes in theirs.
func (w *Network) Trace() uint64 {
	var h uint64
	for _, n := range w.nodes {
		h = mix(h, n.trace)
	}
	return h
}

// fingerprint adds an arrival to the node's trace.
func (l *lane) fingerprint(from netip.AddrPort, n *Node, data []byte) {
	if l.net.cfg.Trace == TraceNothing {
		return
	}
	a := from.Addr().As4()
	h := mix(n.trace, uint64(l.now))
	h = mix(h, uint64(binary.BigEndian.Uint32(a[:]))<<32|uint64(from.Port())<<16)
	h = mix(h, uint64(len(data)))
	if l.net.cfg.Trace == TraceContent {
		h = mix(h, xxhash.Sum64(data))
	}
	n.trace = h
}

// mix folds a number into a fingerprint: a step of the finalizer of splitmix64.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0xbf58476d1ce4e5b9
	h ^= h >> 31
	return h*0x94d049bb133111eb + 0x9e3779b97f4a7c15
}
