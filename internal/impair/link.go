// Package impair is a model of a bad network path: delay, a bottleneck with its
// queue, loss and corruption in bursts, outages, small MTUs. The same model
// impairs packets on virtual time and in the proxy of package
// transport/conformance/proxy, so that a test means the same on both.
//
// A Link is one direction of a path. It belongs to whoever made it. The words
// of its Config are those of the QUIC interop runner's network simulator.
package impair

import (
	"fmt"
	"math/rand/v2"
	"time"

	"rtmfp/internal/clock"
)

// Config describes one direction of a path. The zero Config is a perfect one.
type Config struct {
	// Delay is how long a packet travels after it has left the queue.
	Delay time.Duration

	// Jitter is the bound of a random delay on top, which reorders packets.
	Jitter time.Duration

	// Rate is the bottleneck's speed in bits per second, 0 for no bottleneck.
	Rate int

	// Header is what a packet costs at the bottleneck beside its UDP payload,
	// in bytes: 28 for IPv4, 48 for IPv6. With 0, Rate is of UDP payload.
	Header int

	// Queue is how many packets may wait for the bottleneck; those that find
	// it full are lost. 0 is no limit.
	Queue int

	// QueueBytes is how many bytes of packets, headers included, may wait for
	// the bottleneck. 0 is no limit.
	QueueBytes int

	// Loss and Corrupt are the shares of packets, from 0 to 1, that are lost or
	// delivered with some of their bits changed.
	Loss, Corrupt float64

	// Burst makes Loss and Corrupt strike that many packets in succession,
	// less often to the same degree. 0 and 1 are single packets.
	Burst int

	// MaxRun spares the packet after that many lost or corrupted ones in
	// succession, 0 none: what the QUIC interop runner calls a burst.
	MaxRun int

	// Duplicate is the share of packets that arrive twice.
	Duplicate float64

	// On and Off make the path work for On, then swallow everything for Off,
	// and so on from the first packet. Without Off it always works.
	On, Off time.Duration

	// MTU is the size of the largest UDP payload that passes, 0 for no limit.
	MTU int

	// DropList numbers packets, from 1, that are lost whatever else holds.
	DropList []int
}

// Link is one direction of a path.
type Link struct {
	cfg   Config
	rng   *rand.Rand
	began clock.Time
	ever  bool
	count int // packets so far

	busy    clock.Time   // the bottleneck is, until then
	leaving []clock.Time // when those who wait or are being sent have left, rising
	lost    run
	changed run

	stats Stats
}

// Stats counts what became of packets.
type Stats struct {
	Packets, Bytes                           int // taken in
	QueueFull, Lost, Corrupted, Outage, Size int // by reason
}

// run is the state of a random process that strikes in bursts.
type run struct {
	left int // packets of the present burst still to come
	hit  int // hits in succession
}

// NewLink returns a link with random numbers from seed.
func NewLink(cfg Config, seed uint64) *Link {
	return &Link{cfg: cfg, rng: rand.New(rand.NewPCG(seed, 0x6c696e6b))}
}

// Config returns how the link was configured.
func (l *Link) Config() Config { return l.cfg }

// Stats returns the link's counters.
func (l *Link) Stats() Stats { return l.stats }

// String tells the counters.
func (s Stats) String() string {
	return fmt.Sprintf("%d packets, %d bytes; %d queue full, %d lost, %d corrupted, %d in outages, %d too long",
		s.Packets, s.Bytes, s.QueueFull, s.Lost, s.Corrupted, s.Outage, s.Size)
}

// Pass takes a packet that enters the link at now. It returns when the packet
// and its duplicate come out, clock.Never for each that does not, and may change
// bits of b. Calls must be in the order of now.
func (l *Link) Pass(now clock.Time, b []byte) (at, again clock.Time) {
	if !l.ever {
		l.ever, l.began = true, now
	}
	l.count++
	l.stats.Packets++
	l.stats.Bytes += len(b)
	for _, n := range l.cfg.DropList {
		if n == l.count {
			l.stats.Lost++
			return clock.Never, clock.Never
		}
	}
	if l.cfg.MTU > 0 && len(b) > l.cfg.MTU {
		l.stats.Size++
		return clock.Never, clock.Never
	}
	out := now
	if l.cfg.Rate > 0 {
		for len(l.leaving) > 0 && l.leaving[0] <= now {
			l.leaving = l.leaving[1:]
		}
		if l.cfg.Queue > 0 && len(l.leaving) > l.cfg.Queue { // one is being sent
			l.stats.QueueFull++
			return clock.Never, clock.Never
		}
		bits := int64(len(b)+l.cfg.Header) * 8
		if n := int64(l.cfg.QueueBytes) * 8; n > 0 && len(l.leaving) > 0 &&
			int64(l.busy.Sub(l.leaving[0]))*int64(l.cfg.Rate)/int64(time.Second)+bits > n {
			l.stats.QueueFull++
			return clock.Never, clock.Never
		}
		l.busy = max(l.busy, now).Add(time.Duration(bits * int64(time.Second) / int64(l.cfg.Rate)))
		l.leaving = append(l.leaving, l.busy)
		out = l.busy
	}
	if cycle := l.cfg.On + l.cfg.Off; l.cfg.Off > 0 && out.Sub(l.began)%cycle >= l.cfg.On {
		l.stats.Outage++
		return clock.Never, clock.Never
	}
	if l.strike(&l.lost, l.cfg.Loss) {
		l.stats.Lost++
		return clock.Never, clock.Never
	}
	if l.strike(&l.changed, l.cfg.Corrupt) && len(b) > 0 {
		l.stats.Corrupted++
		for range 1 + l.rng.IntN(4) {
			b[l.rng.IntN(len(b))] ^= byte(1 + l.rng.IntN(255))
		}
	}
	at, again = l.arrival(out), clock.Never
	if l.cfg.Duplicate > 0 && l.rng.Float64() < l.cfg.Duplicate {
		again = l.arrival(out)
	}
	return at, again
}

func (l *Link) arrival(out clock.Time) clock.Time {
	at := out.Add(l.cfg.Delay)
	if l.cfg.Jitter > 0 {
		at = at.Add(time.Duration(l.rng.Int64N(int64(l.cfg.Jitter))))
	}
	return at
}

// strike decides whether a process that strikes a share of packets strikes this
// one.
func (l *Link) strike(r *run, share float64) bool {
	if share <= 0 {
		return false
	}
	hit := true
	if r.left > 0 {
		r.left--
	} else {
		// A burst of n that begins with probability q takes the share
		// q*n / (q*n + 1-q) of packets.
		n := float64(max(l.cfg.Burst, 1))
		if hit = l.rng.Float64() < share/(n-share*n+share); hit {
			r.left = max(l.cfg.Burst, 1) - 1
		}
	}
	if hit && l.cfg.MaxRun > 0 && r.hit >= l.cfg.MaxRun {
		hit = false
	}
	if r.hit++; !hit {
		r.hit = 0
	}
	return hit
}
