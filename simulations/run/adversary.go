package run

import (
	"fmt"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/transport"
)

// corrupt makes an adversary of a node, if it is its turn to be one.
func (r *run) corrupt(m *member, cfg *simulations.NodeConfig) error {
	if len(r.s.Adversaries) == 0 {
		return nil
	}
	if r.badOnes == nil {
		r.badOnes = make([]int, len(r.s.Adversaries)+1)
	}
	r.badOnes[len(r.s.Adversaries)]++ // all of whom shares are dealt
	for i := range r.s.Adversaries {
		a := &r.s.Adversaries[i]
		if float64(r.badOnes[i]) >= float64(a.Share)*float64(r.badOnes[len(r.s.Adversaries)]) {
			continue
		}
		r.badOnes[i]++
		m.evil = true
		seed := uint64(len(r.members))
		switch a.Kind {
		case "freerider":
			cfg.Core.UploadLimit = 1
		case "garbage", "replay", "corrupter":
			cfg.Wrap = func(_ *simulations.Node, core *node.Core) simulations.Driven {
				return &meddler{Core: core, kind: a.Kind, state: seed}
			}
		default:
			return fmt.Errorf("adversary of kind %q: there is none", a.Kind)
		}
		return nil
	}
	return nil
}

// meddler is a core between which and the network somebody meddles with what
// it sends.
type meddler struct {
	*node.Core
	kind  string
	state uint64
	extra []parcel // to be sent beside
}

type parcel struct {
	to   netip.AddrPort
	data []byte
	when clock.Time
}

const (
	maxExtra    = 256
	replayAfter = 500 * time.Millisecond
)

// Deadline returns when the core, or what is held back, is to be sent.
func (a *meddler) Deadline() clock.Time {
	d := a.Core.Deadline()
	if len(a.extra) > 0 {
		d = min(d, a.extra[0].when)
	}
	return d
}

// Transmit returns what the core sends, one datagram at a time, and what the
// adversary adds.
func (a *meddler) Transmit(now clock.Time, buf []byte) (transport.Batch, bool) {
	if len(a.extra) > 0 && a.extra[0].when <= now {
		p := a.extra[0]
		a.extra = a.extra[1:]
		return transport.Batch{To: p.to, B: append(buf[:0], p.data...)}, true
	}
	b, ok := a.Core.Transmit(now, buf)
	if !ok {
		return b, false
	}
	for rest := b.B; len(rest) > 0; {
		size := len(rest)
		if b.Segment > 0 {
			size = min(size, b.Segment)
		}
		a.meddle(now, b.To, rest[:size])
		rest = rest[size:]
	}
	return b, true
}

// meddle sees a datagram that is about to be sent.
func (a *meddler) meddle(now clock.Time, to netip.AddrPort, data []byte) {
	a.state = a.state*6364136223846793005 + 1442695040888963407 // Knuth's generator is bad enough for this
	switch a.kind {
	case "corrupter":
		if a.state>>32%10 == 0 && len(data) > 8 {
			data[8+a.state>>40%uint64(len(data)-8)] ^= byte(1 + a.state>>56%255)
		}
	case "garbage":
		other := append([]byte(nil), data...)
		for i := 4; i < len(other); i++ { // behind the session's id
			other[i] ^= byte(a.state >> (i % 8 * 8))
		}
		a.add(parcel{to, other, now})
	case "replay":
		again := append([]byte(nil), data...)
		a.add(parcel{to, again, now})
		a.add(parcel{to, again, now.Add(replayAfter)})
	}
}

// add keeps extra in the order of its instants.
func (a *meddler) add(p parcel) {
	if len(a.extra) >= maxExtra {
		return
	}
	i := len(a.extra)
	for i > 0 && a.extra[i-1].when > p.when {
		i--
	}
	a.extra = append(a.extra, parcel{})
	copy(a.extra[i+1:], a.extra[i:])
	a.extra[i] = p
}
