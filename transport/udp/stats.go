package udp

import "sync/atomic"

// Stats counts what went through a Conn since it was opened.
type Stats struct {
	ReadCalls  uint64 // system calls that received something
	ReadBytes  uint64 // payload received
	WriteCalls uint64 // system calls that sent something
	WriteBytes uint64 // payload handed to the network

	Truncated   uint64 // datagrams received that were longer than an Inbox's slot, dropped
	ReadErrors  uint64 // errors reported on receiving and passed over
	WriteErrors uint64 // messages dropped because the kernel refused to send them
	WriteFull   uint64 // messages dropped because the send buffer stayed full
	Overflow    uint64 // datagrams that the kernel dropped for want of room in the receive buffer (Linux)

	SegmentRefused uint64 // messages sent again in single datagrams because the kernel refused to cut them
	GSO, GRO       bool   // whether the kernel cuts what is sent and glues what is received

	ControlRefused uint64 // messages sent again because the kernel refused to mark them, or to send them from an address
	ECN            bool   // whether congestion marks are read and written
	PacketInfo     bool   // whether datagrams of a socket for all addresses tell which they came to, and leave by it
}

type counters struct {
	readCalls, readBytes, writeCalls, writeBytes  atomic.Uint64
	truncated, readErrors, writeErrors, writeFull atomic.Uint64
	segmentRefused, controlRefused                atomic.Uint64
}

// Stats returns the counters as they stand. Any goroutine may call it.
func (c *Conn) Stats() Stats {
	n := &c.counters
	s := Stats{
		ReadCalls:      n.readCalls.Load(),
		ReadBytes:      n.readBytes.Load(),
		WriteCalls:     n.writeCalls.Load(),
		WriteBytes:     n.writeBytes.Load(),
		Truncated:      n.truncated.Load(),
		ReadErrors:     n.readErrors.Load(),
		WriteErrors:    n.writeErrors.Load(),
		WriteFull:      n.writeFull.Load(),
		SegmentRefused: n.segmentRefused.Load(),
		ControlRefused: n.controlRefused.Load(),
	}
	if c.batched {
		c.platformStats(&s)
	}
	return s
}
