package lan

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"rtmfp/internal/clock"
)

// Config is what a Beacon is made of.
type Config struct {
	Self [32]byte   // peer id of this node
	Port uint16     // of its RTMFP socket
	Rand *rand.Rand // required
}

// How often a beacon speaks.
const (
	askFirst    = 500 * time.Millisecond // between the first two questions; then twice as long, and so on
	askMax      = 60 * time.Second       // without a neighbor
	tellEvery   = 60 * time.Second       // with neighbors: for those who come later, and for parts that lost each other
	answerDelay = 100 * time.Millisecond // at most, before a question is answered, so that not all speak at once
	answerEvery = time.Second            // at most one answer in this time
	answersDo   = 8                      // answers of others that make ours needless
	maxFound    = 64                     // members that the owner has not drained yet
)

// Found is a member of a group on the local network.
type Found struct {
	Group [32]byte // its id
	Peer  [32]byte
	Addr  netip.AddrPort
}

// Stats counts what a Beacon has done.
type Stats struct {
	Sent      uint64 // packets
	Taken     uint64
	Ignored   uint64 // malformed, or of no group of ours
	Found     uint64 // members named, again and again
	FoundLost uint64 // that the owner did not drain
}

// Beacon announces the groups of a node and hears of others. Its owner calls
// Advance no later than Deadline, and drains NextPacket and NextFound after
// each call.
type Beacon struct {
	cfg    Config
	groups []member
	next   clock.Time // of a packet that nobody has asked for
	pause  time.Duration
	answer clock.Time // of one that was asked for; Never if none is due
	told   clock.Time // when we last spoke; 0: not yet
	others int        // answers of others since we were asked
	packet bool       // one is to be sent
	ask    bool       // and it is a question
	found  []Found
	stats  Stats
}

// member is a group that this node is in.
type member struct {
	id    [32]byte
	key   []byte
	alone bool // it has no neighbor in it
}

// New returns a beacon without groups.
func New(cfg Config) *Beacon {
	if cfg.Rand == nil || cfg.Port == 0 {
		panic("BUG: a beacon needs a port and a source of randomness")
	}
	return &Beacon{cfg: cfg, next: clock.Never, answer: clock.Never}
}

// Add begins to announce a group, named by its id and the text of its groupspec
// that all members have alike. At most 32 are announced.
func (b *Beacon) Add(now clock.Time, id [32]byte, key string) {
	if len(b.groups) == MaxGroups || b.index(id) >= 0 {
		return
	}
	b.groups = append(b.groups, member{id: id, key: []byte(key), alone: true})
	b.begin(now)
}

// Remove ends that.
func (b *Beacon) Remove(id [32]byte) {
	if i := b.index(id); i >= 0 {
		b.groups = slices.Delete(b.groups, i, i+1)
	}
}

// SetAlone tells whether there is nobody in a group that this node is linked
// with. While there is nobody it asks more often.
func (b *Beacon) SetAlone(now clock.Time, id [32]byte, alone bool) {
	i := b.index(id)
	if i < 0 || b.groups[i].alone == alone {
		return
	}
	if b.groups[i].alone = alone; alone {
		b.begin(now)
	}
}

func (b *Beacon) index(id [32]byte) int {
	return slices.IndexFunc(b.groups, func(g member) bool { return g.id == id })
}

// begin asks soon and then less and less often.
func (b *Beacon) begin(now clock.Time) { b.next, b.pause = now, askFirst }

func (b *Beacon) alone() bool {
	return slices.ContainsFunc(b.groups, func(g member) bool { return g.alone })
}

// Deadline returns when Advance must be called next.
func (b *Beacon) Deadline() clock.Time { return min(b.next, b.answer) }

// Advance does what is due.
func (b *Beacon) Advance(now clock.Time) {
	if len(b.groups) == 0 {
		b.next, b.answer = clock.Never, clock.Never
		return
	}
	if b.next <= now {
		b.packet, b.ask = true, b.alone()
		if b.ask {
			b.next = now.Add(b.jitter(b.pause))
			b.pause = min(2*b.pause, askMax)
		} else {
			b.next = now.Add(b.jitter(tellEvery))
		}
	}
	if b.answer <= now {
		b.answer = clock.Never
		if b.others < answersDo {
			b.packet = true
		}
	}
}

// jitter changes d by at most a quarter either way.
func (b *Beacon) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(b.cfg.Rand.Int64N(int64(d/2)+1))
}

// NextPacket appends the packet to send to buf, if there is one.
func (b *Beacon) NextPacket(now clock.Time, buf []byte) ([]byte, bool) {
	if !b.packet || len(b.groups) == 0 {
		return nil, false
	}
	p := packet{ask: b.ask, peer: b.cfg.Self, port: b.cfg.Port}
	b.packet, b.ask = false, false
	b.told = max(now, 1)
	binary.BigEndian.PutUint64(p.salt[:], b.cfg.Rand.Uint64())
	for i := range b.groups {
		t := tag(b.groups[i].key, &p)
		p.tags = append(p.tags, t[:]...)
	}
	b.stats.Sent++
	return p.append(buf), true
}

// Handle takes a packet that came from an address.
func (b *Beacon) Handle(now clock.Time, from netip.Addr, data []byte) {
	p, ok := parse(data)
	if !ok {
		b.stats.Ignored++
		return
	}
	if p.peer == b.cfg.Self {
		return
	}
	ours := false
	for i := range b.groups {
		want := tag(b.groups[i].key, &p)
		for t := p.tags; len(t) > 0; t = t[tagSize:] {
			if [tagSize]byte(t[:tagSize]) == want {
				ours = true
				b.report(Found{b.groups[i].id, p.peer, netip.AddrPortFrom(from.Unmap(), p.port)})
				break
			}
		}
	}
	switch {
	case !ours:
		b.stats.Ignored++
		return
	case !p.ask:
		b.others++
	case b.answer == clock.Never:
		when := now.Add(time.Duration(b.cfg.Rand.Int64N(int64(answerDelay))))
		if b.told != 0 {
			when = max(when, b.told.Add(answerEvery))
		}
		b.answer, b.others = when, 0
	}
	b.stats.Taken++
}

func (b *Beacon) report(f Found) {
	b.stats.Found++
	if len(b.found) == maxFound {
		b.stats.FoundLost++
		return
	}
	b.found = append(b.found, f)
}

// NextFound returns the next member that was found.
func (b *Beacon) NextFound() (Found, bool) {
	if len(b.found) == 0 {
		return Found{}, false
	}
	f := b.found[0]
	if b.found = b.found[1:]; len(b.found) == 0 {
		b.found = nil
	}
	return f, true
}

// Stats returns the counters.
func (b *Beacon) Stats() Stats { return b.stats }
