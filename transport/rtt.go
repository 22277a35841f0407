package transport

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/wire"
)

// rtt measures the round trip of a session (RFC 7016 §3.5.2.2).
//
// Timestamps and their echoes leave out what the receiver waited, but tell only
// ticks of 4 ms. The time from sending a fragment to its acknowledgement is
// exact, but holds the delay of delayed acknowledgements. So the exact time is
// used within the bounds that the ticks give.
type rtt struct {
	srtt   time.Duration // SRTT, 0 without a value
	rttvar time.Duration
	least  time.Duration // of all samples
	latest time.Duration
	lag    time.Duration // smoothed time from sending to acknowledgement
	lagvar time.Duration
	mrto   time.Duration // MRTO
	erto   time.Duration // ERTO

	rxAt     clock.Time // TS_RX_TIME
	rx       uint16     // TS_RX
	echoSent uint16     // TS_ECHO_TX
	sent     uint16     // TS_TX
	echoed   uint16     // TS_ECHO_RX

	hasRx, hasEchoSent, hasSent, hasEchoed bool
	rough                                  bool // srtt is a guess from the handshake
}

// timestamp returns the low 16 bits of the 250 Hz clock.
func timestamp(now clock.Time) uint16 { return uint16(int64(now) / int64(tick)) }

func (r *rtt) init() { r.mrto, r.erto = minERTO, initialERTO }

// guess takes a round trip of the handshake, which includes public-key work.
func (r *rtt) guess(d time.Duration) {
	if r.srtt != 0 || d <= 0 || d > time.Second {
		return
	}
	r.update(d)
	r.rough = true
}

// sample takes a measurement.
func (r *rtt) sample(d time.Duration) {
	d = max(d, time.Microsecond)
	if r.rough {
		*r = rtt{
			rxAt: r.rxAt, rx: r.rx, echoSent: r.echoSent, sent: r.sent, echoed: r.echoed,
			hasRx: r.hasRx, hasEchoSent: r.hasEchoSent, hasSent: r.hasSent, hasEchoed: r.hasEchoed,
		}
	}
	r.update(d)
}

func (r *rtt) update(d time.Duration) {
	r.latest = d
	if r.srtt == 0 {
		r.srtt, r.rttvar, r.least = d, d/2, d
	} else {
		delta := (r.srtt - d).Abs()
		r.rttvar = (3*r.rttvar + delta) / 4
		r.srtt = (7*r.srtt + d) / 8
		r.least = min(r.least, d)
	}
	r.mrto = r.srtt + 4*r.rttvar + ackAllow
	r.erto = max(r.mrto, minERTO)
}

// acknowledged takes the time from sending to acknowledgement of a fragment that
// was sent once.
func (r *rtt) acknowledged(d time.Duration) {
	if r.lag == 0 {
		r.lag, r.lagvar = d, d/2
		return
	}
	r.lagvar = (3*r.lagvar + (r.lag - d).Abs()) / 4
	r.lag = (7*r.lag + d) / 8
}

// tail returns how long an acknowledgement may take until the last fragment is
// sent again to find out, 0 if that is unknown.
func (r *rtt) tail() time.Duration {
	if r.lag == 0 {
		return 0
	}
	return max(r.lag+max(4*r.lagvar, tailMargin), 2*r.srtt)
}

const tailMargin = 10 * time.Millisecond // least allowance for jitter in tail-loss probes; our choice

// queueing reports whether packets wait on the path longer than chance and the
// granularity of timestamps explain.
func (r *rtt) queueing() bool { return r.srtt > r.least+max(r.least/4, 2*tick) }

// backOff lengthens ERTO after a timeout.
func (r *rtt) backOff() {
	r.erto = max(min(r.erto*14142/10000, maxERTO), r.mrto)
}

// forget starts over on a new path.
func (r *rtt) forget() {
	fresh := rtt{rxAt: r.rxAt, rx: r.rx, hasRx: r.hasRx}
	fresh.init()
	*r = fresh
}

// heardTimestamp notes the far end's timestamp.
func (r *rtt) heardTimestamp(now clock.Time, ts uint16) {
	if !r.hasRx || ts != r.rx {
		r.rx, r.hasRx, r.rxAt = ts, true, now
	}
}

// heard takes the header of a packet, and the time from sending to
// acknowledgement if the packet brought one, else 0.
func (r *rtt) heard(now clock.Time, h wire.Header, lag time.Duration) {
	if h.HasTimestamp {
		r.heardTimestamp(now, h.Timestamp)
	}
	if h.HasEcho && (!r.hasEchoed || h.Echo != r.echoed) {
		r.echoed, r.hasEchoed = h.Echo, true
		if ticks := timestamp(now) - h.Echo; ticks <= 32767 {
			// Both ends round down: the truth is from two ticks below to one above.
			least, most := time.Duration(max(int(ticks)-2, 0))*tick, time.Duration(ticks+1)*tick
			switch {
			case lag != 0 && lag <= most: // the acknowledgement did not wait
				r.sample(max(lag, least))
			case r.srtt == 0 || r.rough:
				r.sample(max(time.Duration(ticks)*tick, tick/2))
			case r.srtt < least:
				r.sample(least)
			case r.srtt > most:
				r.sample(most)
			}
			return
		}
	}
	if lag != 0 && (r.srtt == 0 || r.rough || lag < r.srtt) {
		r.sample(lag)
	}
}

// header returns the header of a packet that is sent now, and sentHeader takes
// note that it was.
func (s *Session) header(now clock.Time) wire.Header {
	r := &s.rtt
	h := wire.Header{Mode: wire.ModeResponder, TimeCriticalReverse: s.e.critical.elsewhere(s, now)}
	if s.initiator {
		h.Mode = wire.ModeInitiator
	}
	if ts := timestamp(now); !r.hasSent || ts != r.sent {
		h.Timestamp, h.HasTimestamp = ts, true
	}
	if r.hasRx {
		elapsed := now.Sub(r.rxAt)
		if elapsed > echoLimit {
			r.hasRx, r.hasEchoSent = false, false
			return h
		}
		if echo := r.rx + uint16(elapsed/tick); !r.hasEchoSent || echo != r.echoSent {
			h.Echo, h.HasEcho = echo, true
		}
	}
	return h
}

func (s *Session) sentHeader(h wire.Header) {
	r := &s.rtt
	if h.HasTimestamp {
		r.sent, r.hasSent = h.Timestamp, true
	}
	if h.HasEcho {
		r.echoSent, r.hasEchoSent = h.Echo, true
	}
}
