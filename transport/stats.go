package transport

// Drop is a reason for which a datagram or chunk was not processed.
type Drop uint8

// Reasons of drops.
const (
	DropSize        Drop = iota // too short to be a packet, or longer than those of a handshake
	DropSession                 // for a session that does not exist
	DropCrypto                  // does not open under its key, or was replayed
	DropHeader                  // unreadable header, or a mode that does not fit
	DropChunk                   // malformed chunk
	DropState                   // a chunk that the session's state has no use for
	DropHello                   // IHello that does not select this endpoint or anybody known here
	DropAmplify                 // IHello that is shorter than the answer would be
	DropCookie                  // IIKeying with a forged or expired cookie
	DropCertificate             // invalid or unexpected certificate
	DropGlare                   // IIKeying that lost against our own, or repeats one that was answered
	DropLimit                   // Config.MaxSessions, MaxOpening, MaxOpeningPerPrefix, or MaxFlowsPerSession is reached
	DropBuffer                  // data beyond the receive window
	DropFlow                    // acknowledgement of data never sent
	DropRate                    // an introduction, redirect, or answer over the rate for its target
	DropFragment                // a packet fragment that is superfluous or contradicts others, or its packet is too large
	DropAssembly                // a fragmented packet that was given up incomplete, for lack of progress or room
	drops
)

var dropNames = [drops]string{"size", "session", "crypto", "header", "chunk", "state", "hello",
	"amplify", "cookie", "certificate", "glare", "limit", "buffer", "flow", "rate", "fragment", "assembly"}

// String returns a word for d.
func (d Drop) String() string {
	if d < drops {
		return dropNames[d]
	}
	return "unknown"
}

// EndpointStats counts since the endpoint began.
type EndpointStats struct {
	DatagramsSent, DatagramsReceived uint64
	BytesSent, BytesReceived         uint64        // of UDP payload
	Dropped                          [drops]uint64 // by Drop
	Redirects, Forwards              uint64        // introductions made
	Sessions, Opening                int           // now, in any state; not proven yet
	OutboxFull                       uint64        // handshake packets that were not sent for lack of room
	Buffered                         int           // bytes that wait for others in receiving flows, now
}

// SessionStats counts since the session was made.
type SessionStats struct {
	sessionCounts
	Window, Outstanding int // congestion window and bytes in flight, now
	ECN                 ECNStats
}

type sessionCounts struct {
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64 // of UDP payload
	DataBytesSent                uint64 // of user data chunks, repetitions included
	Lost                         uint64 // fragments taken to be lost
	Timeouts                     uint32 // retransmission timeouts
	Probes                       uint32 // tail-loss probes
	BlackHoles                   uint32 // times that the path stopped to carry large packets
}

// FlowStats counts since the flow was opened.
type FlowStats struct {
	Messages, Bytes uint64 // queued, or delivered
	Abandoned       uint64 // messages given up before they were acknowledged; for receivers, gaps skipped
	Retransmitted   uint64 // fragments sent more than once
}
