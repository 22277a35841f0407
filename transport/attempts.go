package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// firstIHello is the size to which the first IHello to an address is padded
// where a modern end is expected: the RHello of one has 100 to 150 bytes.
const firstIHello = 200

// attempts is the schedule on which an IHello to a candidate, or an IIKeying, is
// repeated: "on a backoff schedule … with not less than 1.5 seconds added to the
// interval between each attempt" (RFC 7016 §3.5.1.1.1). That makes eleven
// attempts within the open timeout.
//
// Each attempt but the first is a volley of packets, a moment apart. Where a
// third of packets are lost each way, one packet and its answer get through half
// the time; singly, one session in a hundred would take most of a minute to open.
// In a sparing dial the second and third attempt are single packets too, and later:
// whoever dials many, some of whom are gone, would mostly send volleys to nobody.
type attempts struct {
	at    clock.Time    // of the next packet
	wait  time.Duration // between the latest attempts, 0 before the second
	count uint8         // packets of the present attempt that have gone
}

// sent notes that the packet that was due has gone, and returns whether it was
// the first of an attempt.
func (a *attempts) sent(now clock.Time, sparing bool) bool {
	switch {
	case a.wait == 0:
		a.wait = helloInterval
		if sparing {
			a.wait = sparingInterval
		}
		a.at = now.Add(a.wait)
		return true
	case sparing && a.single():
		a.wait += helloBackoff
		a.at = now.Add(a.wait)
		return true
	case a.count < helloVolley-1:
		a.count++
		a.at = now.Add(helloSpacing)
	default:
		a.count = 0
		a.wait += helloBackoff
		a.at = now.Add(a.wait - (helloVolley-1)*helloSpacing)
	}
	return a.count == 1
}

// rounds returns how many attempts have gone in full.
func (a *attempts) rounds() int {
	if a.wait == 0 {
		return 0
	}
	return 1 + int((a.wait-helloInterval)/helloBackoff)
}

// single reports whether the next packet of a sparing dial is an attempt of one
// packet.
func (a *attempts) single() bool { return a.wait < sparingInterval+2*helloBackoff }
