package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// attempts is the schedule on which an IHello to a candidate, or an IIKeying, is
// repeated: "on a backoff schedule … with not less than 1.5 seconds added to the
// interval between each attempt" (RFC 7016 §3.5.1.1.1). That makes eleven
// attempts within the open timeout.
//
// Each attempt but the first is two packets, a moment apart. One packet and its
// answer get through half the time where a third of packets are lost, so that,
// singly, one session in a hundred would take half a minute to open.
type attempts struct {
	at    clock.Time    // of the next packet
	wait  time.Duration // between the latest attempts, 0 before the second
	twice bool          // the next packet is the second of an attempt
}

// sent notes that the packet that was due has gone, and returns whether it was
// the first of an attempt.
func (a *attempts) sent(now clock.Time) bool {
	switch {
	case a.wait == 0:
		a.wait = helloInterval
		a.at = now.Add(a.wait)
	case !a.twice:
		a.twice = true
		a.at = now.Add(helloTwin)
	default:
		a.twice = false
		a.wait += helloBackoff
		a.at = now.Add(a.wait - helloTwin)
		return false
	}
	return true
}
