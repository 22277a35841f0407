package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// pacer keeps bursts out of the network (RFC 7016 §3.5.2.3), as a bucket of
// bytes. The RFC's optional method allows six packets between acknowledgements,
// which starves a long path when acknowledgements come in clumps; here an
// acknowledgement allows what it acknowledged and at least six packets, and time
// allows the window spread over the round trip, a little faster than it drains.
type pacer struct {
	tokens int32
	limit  int32 // of what may be saved up
	packet int32
	at     clock.Time // tokens were right then
}

const (
	burstPackets = 6  // RFC 7016 §3.5.2.3
	burstInitial = 10 // the initial window
	paceGrain    = time.Millisecond
)

func (p *pacer) init(now clock.Time, mtu int) {
	p.packet = int32(mtu)
	p.limit = burstInitial * p.packet
	p.tokens, p.at = p.limit, now
}

// rate returns the bytes that are allowed in d.
func (p *pacer) rate(d, rtt time.Duration, c *congestion) int64 {
	if rtt <= 0 {
		return 0
	}
	gain := int64(5) // in quarters
	switch {
	case c.spread:
		gain = 4
	case c.window < c.threshold:
		gain = 8
	}
	return int64(c.window) * gain * int64(min(d, rtt)) / (4 * int64(rtt))
}

// refill adds what time allows.
func (p *pacer) refill(now clock.Time, rtt time.Duration, c *congestion) {
	elapsed := now.Sub(p.at)
	if elapsed <= 0 {
		return
	}
	add := p.rate(elapsed, rtt, c)
	if add == 0 && elapsed < paceGrain {
		return // too short to count; let it add up
	}
	p.at = now
	limit := max(p.limit, int32(min(p.rate(paceGrain, rtt, c), windowMax)))
	if p.tokens < limit {
		p.tokens = int32(min(int64(p.tokens)+add, int64(limit)))
	}
}

// next returns when another packet may go, now or earlier if one may.
func (p *pacer) next(now clock.Time, rtt time.Duration, c *congestion) clock.Time {
	if p.tokens > 0 {
		return now
	}
	if rtt <= 0 {
		return clock.Never // an acknowledgement or the timeout will do
	}
	perGrain := max(p.rate(paceGrain, rtt, c), 1)
	grains := (int64(p.packet-p.tokens) + perGrain - 1) / perGrain
	return now.Add(max(time.Duration(min(grains, 1000))*paceGrain, paceGrain))
}

func (p *pacer) spend(n int) { p.tokens -= int32(n) }

// acknowledged lets as much go out as has left the network.
func (p *pacer) acknowledged(acked int32) {
	p.tokens = max(min(p.tokens+acked+acked/8, max(p.limit, acked+burstPackets*p.packet)), burstPackets*p.packet)
}
