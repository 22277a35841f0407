package transport

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"rtmfp/internal/clock"
)

// prefixOf returns the network that an address is counted with: what one
// customer of a provider has at the least.
func prefixOf(a netip.Addr) netip.Prefix {
	n := 56
	if a.Is4() {
		n = 24
	}
	p, _ := a.WithZone("").Prefix(n) // the zero Prefix for an invalid address
	return p
}

// allowances bounds what is spent for each network per second, in a table of
// fixed size: networks share an allowance by a hash that nobody can foresee.
type allowances struct {
	key   [2]uint64
	until []clock.Time // by hash; until then the allowance is spent; nil if none is
	last  clock.Time   // when something was spent
	rate  int          // per second, and what can be saved up
}

const allowanceSlots = 1024

// init takes the hash's key from a secret.
func (a *allowances) init(secret []byte, rate int) {
	sum := sha256.Sum256(append([]byte("allowances"), secret...))
	a.key = [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
	a.rate = rate
}

// take spends n for the network of an address, and returns false if it does not
// have as much.
func (a *allowances) take(now clock.Time, addr netip.Addr, n int) bool {
	if a.until == nil {
		a.until = make([]clock.Time, allowanceSlots)
	}
	a.last = now
	u := &a.until[a.slot(addr)]
	next := max(*u, now).Add(time.Duration(n) * time.Second / time.Duration(a.rate))
	if next.Sub(now) > time.Second {
		return false
	}
	*u = next
	return true
}

// slim gives the table back once all allowances are whole again.
func (a *allowances) slim(now clock.Time) {
	if a.until != nil && now.Sub(a.last) > time.Second {
		a.until = nil
	}
}

func (a *allowances) slot(addr netip.Addr) uint64 {
	p := prefixOf(addr).Addr().As16()
	hi, lo := bits.Mul64(binary.BigEndian.Uint64(p[:])^a.key[0], binary.BigEndian.Uint64(p[8:])^a.key[1])
	hi, lo = bits.Mul64(hi^lo^a.key[1], a.key[0]|1)
	return (hi ^ lo) % allowanceSlots
}

// rateLimit admits so many of something per second, and a burst at once. It
// holds the instant of the next one if none were saved up.
type rateLimit struct{ at clock.Time }

func (r *rateLimit) take(now clock.Time, rate, burst int) bool {
	every := time.Second / time.Duration(rate)
	at := max(r.at, now)
	if at.Sub(now) > time.Duration(burst-1)*every {
		return false
	}
	r.at = at.Add(every)
	return true
}
