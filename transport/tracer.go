package transport

import (
	"net/netip"

	"rtmfp/internal/clock"
)

// Tracer is told facts as they happen. Each function may be nil; an endpoint
// without a Tracer pays one comparison for each. Functions must not call into
// the endpoint.
type Tracer struct {
	// Sent: a datagram of size bytes was built for to. session is nil for
	// packets of the startup pseudo-session.
	Sent func(now clock.Time, session *Session, to netip.AddrPort, size int)
	// Received: a datagram opened well, before its chunks are handled. session
	// is nil for packets of the startup pseudo-session.
	Received func(now clock.Time, session *Session, from netip.AddrPort, size int)
	// Dropped: a datagram, or a chunk of it, was refused.
	Dropped func(now clock.Time, from netip.AddrPort, why Drop)
	// Lost: a fragment is taken to be lost, by timeout or by acknowledgements.
	Lost func(now clock.Time, session *Session, flow, sequence uint64, timeout bool)
	// Window: the congestion window and the slow start threshold changed by
	// loss or timeout, both in bytes.
	Window func(now clock.Time, session *Session, window, threshold int)
}
