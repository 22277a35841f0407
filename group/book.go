package group

import (
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/internal/rare"
	"rtmfp/ring"
)

// member is another node that is, or is said to be, in the group.
type member struct {
	peer      PeerID
	addr      ring.Addr
	top       uint64              // of the address
	heard     clock.Time          // when anybody last heard of it, as far as is known
	lost      clock.Time          // when it was lost without a word; zero if it was not
	notBefore clock.Time          // it is not dialed earlier
	drawn     clock.Time          // when it was drawn as a random neighbor
	est       time.Duration       // of the round-trip time, as tables show; 0: unknown
	link      *link               // of the peering with it, nil if there is none
	addresses []byte              // as on the wire
	timer     *clock.Timer[alarm] // only while it is set: most members need none
	via       [maxVia]LinkID
	fails     uint8 // in a row: nobody answered
	refusals  uint8 // in a row: it answered, but would not have us
	wanted    bool
	forRing   bool // wanted for the ring, which no limit forbids
	random    bool
	proven    bool // it has been a neighbor or was about to be
	dialing   bool
	slow      bool // the dial takes long
	trial     bool // it is dialed because it may be a better finger
	ghost     bool // it is called although it was lost
	pinned    bool // a service wants it, which no limit forbids either
}

// suspect reports whether the member was lost and nobody has heard of it since.
func (m *member) suspect() bool { return m.lost != 0 && m.heard <= m.lost }

// addVia remembers a link behind which the member may be introduced, the
// latest first.
func (m *member) addVia(id LinkID) {
	if id == 0 {
		return
	}
	i := 0
	for i < maxVia-1 && m.via[i] != id {
		i++
	}
	copy(m.via[1:i+1], m.via[:i])
	m.via[0] = id
}

// tombstone remembers that a member is gone, so that old news do not bring it
// back.
type tombstone struct {
	at     clock.Time // news from before this instant are old
	banned clock.Time // and until this one the peer is not let in at all
	times  uint8      // how often it could not be reached although others hear of it
}

// book holds the members that are known. Those without a peering are bounded:
// the one that was mentioned least recently gives way. All of them are in
// known, by their place on the ring.
type book struct {
	known ring.Set[*member]
	loose *simplelru.LRU[*member, struct{}] // without a peering or a dial
	tombs *simplelru.LRU[PeerID, tombstone]
	limit int // of loose
}

func (b *book) init(limit int) {
	// The sizes are positive, so there is no error.
	b.limit = limit
	b.loose, _ = simplelru.NewLRU[*member, struct{}](limit, nil)
	b.tombs, _ = simplelru.NewLRU[PeerID, tombstone](maxTombstones, nil)
}

// get returns the member, nil if it is not known.
func (b *book) get(p PeerID) *member {
	m, _ := b.known.Get(ring.OfPeer(p))
	return m
}

// learn notes that peer was heard of at an instant, and returns it; nil if
// that is old news of one that is gone.
func (g *Group) learn(now clock.Time, peer PeerID, heard clock.Time, addresses []byte, via LinkID) *member {
	if peer == g.cfg.Self || g.left || g.cfg.Spec.NoPeerToPeer {
		return nil
	}
	m := g.book.get(peer)
	if m == nil {
		t, gone := g.book.tombs.Peek(peer)
		if gone && (heard <= t.at || now < t.banned) || now.Sub(heard) > g.cfg.MemberTTL {
			return nil
		}
		m = g.addMember(peer, heard)
		for _, e := range g.expected {
			if e.top == topOf(m.addr) {
				m.est = e.rtt
			}
		}
		if g.dirty = true; t.times > 0 {
			m.notBefore = now.Add(g.backOff(maxAttempts + t.times))
		}
	} else if m.link == nil {
		g.book.loose.Get(m) // it was mentioned
		if heard > m.heard {
			if m.suspect() && heard > m.lost {
				g.dirty = true
			}
			m.heard = heard
		}
	}
	m.addresses = mergeAddresses(m.addresses, addresses)
	m.addVia(via)
	return m
}

func (g *Group) addMember(peer PeerID, heard clock.Time) *member {
	m := &member{peer: peer, addr: ring.OfPeer(peer), heard: heard}
	m.top = m.addr.Top()
	g.book.known.Add(m.addr, m)
	g.loosen(m)
	return m
}

// loosen puts a member without a peering among those that may have to give way.
func (g *Group) loosen(m *member) {
	if g.book.loose.Len() >= g.book.limit {
		old, _, _ := g.book.loose.RemoveOldest()
		g.dropMember(old)
		g.stats.MembersEvicted++
	}
	g.book.loose.Add(m, struct{}{})
}

// fasten takes a member with a peering or a dial out of those that may have to give way.
func (g *Group) fasten(m *member) { g.book.loose.Remove(m) }

// forget drops a member without a peering.
func (g *Group) forget(m *member) {
	if m.dialing {
		g.endDial(m)
	}
	g.book.loose.Remove(m)
	g.dropMember(m)
}

// dropMember takes m, which has left the list of loose members, out of the rest.
func (g *Group) dropMember(m *member) {
	if m.dialing || m.link != nil {
		panic("BUG: a member in use is forgotten")
	}
	g.wake(m, clock.Never)
	g.book.known.Remove(m.addr)
}

// bury forgets a member and remembers that it is gone; banned keeps it out for
// a while.
func (g *Group) bury(now clock.Time, m *member, banned time.Duration) {
	t, _ := g.book.tombs.Peek(m.peer)
	t.at = now
	if m.fails+m.refusals > 0 {
		t.times = min(t.times+1, 100)
	}
	if banned > 0 {
		t.banned = now.Add(banned)
	}
	g.book.tombs.Add(m.peer, t)
	g.forget(m)
	g.dirty = true
}

func (g *Group) banned(now clock.Time, p PeerID) bool {
	t, ok := g.book.tombs.Peek(p)
	return ok && now < t.banned
}

// expire forgets members that nobody has heard of for too long.
func (g *Group) expire(now clock.Time) {
	for i := g.book.known.Len() - 1; i >= 0; i-- {
		m := g.book.known.At(i).Value
		if m.link == nil && !m.dialing && now.Sub(m.heard) > g.cfg.MemberTTL {
			g.forget(m)
		}
	}
}

// dial asks for a link to m.
func (g *Group) dial(now clock.Time, m *member) {
	var ways [maxVia + 2]LinkID
	via := ways[:0]
	for _, id := range m.via {
		if g.byLink[id] != nil {
			via = append(via, id)
		}
	}
	addrs := unpackAddresses(m.addresses)
	if g.upkeep != nil && len(addrs) > 0 {
		// Every one that is tried costs a packet or more, and the first few are
		// the best: where it was heard from, and who heard of it last, who can do
		// what its introducers would.
		if via = via[:min(len(via), 1)]; len(via) > 0 {
			addrs = slices.DeleteFunc(addrs, func(a element.Address) bool { return a.Origin == element.OriginRelay })
		}
		addrs = addrs[:min(len(addrs), dialAddresses)]
	}
	// An introducer may know everybody, and a link that was a way is perhaps
	// not one any more.
	for i := 0; (g.upkeep == nil || len(via) == 0) && i < len(g.introducers) && len(via) < len(ways); i++ {
		if id := g.introducers[i].id; !slices.Contains(via, id) {
			via = append(via, id)
		}
	}
	if len(addrs) == 0 && len(via) == 0 || g.cfg.Rare.Hit(rare.DialNowhere) {
		// Wait for somebody who knows a way.
		m.notBefore = now.Add(g.cfg.RetryMin)
		g.wake(m, m.notBefore)
		return
	}
	m.dialing, m.slow = true, false
	g.fasten(m)
	g.dialing++
	g.stats.Dials++
	g.wake(m, now.Add(dialPatience))
	g.links.Dial(now, m.peer, addrs, via)
}

func (g *Group) endDial(m *member) {
	m.dialing, m.slow = false, false
	g.dialing--
	g.wake(m, clock.Never)
	if m.link == nil {
		g.loosen(m)
	}
	g.dirty = true
}

// wake sets the timer of a member, or stops it with clock.Never.
func (g *Group) wake(m *member, when clock.Time) {
	switch {
	case when == clock.Never && m.timer == nil:
		return
	case when == clock.Never:
		g.timers.Stop(m.timer)
		m.timer = nil
		return
	case m.timer == nil:
		m.timer = &clock.Timer[alarm]{Owner: alarm{kind: alarmMember, m: m}}
	}
	g.timers.Set(m.timer, when)
}

// memberTimeout ends the time in which a member was left alone, or the patience
// with a dial, and then the dial.
func (g *Group) memberTimeout(now clock.Time, m *member) {
	m.timer = nil
	g.dirty = true
	switch {
	case !m.dialing:
	case m.ghost:
		g.cancelDial(now, m)
	case !m.slow:
		m.slow = true
		d := g.cfg.DialTimeout - dialPatience
		switch {
		case g.upkeep == nil:
		case m.forRing || m.pinned:
			d = min(d, dialTimeout-dialPatience)
		default:
			d = min(d, dialExtra) // there are others
		}
		g.wake(m, now.Add(d))
	default:
		g.cancelDial(now, m)
	}
}

// cancelDial gives up a dial.
func (g *Group) cancelDial(now clock.Time, m *member) {
	if g.upkeep != nil {
		g.upkeep.CancelDial(now, m.peer)
	}
	g.endDial(m)
	g.stats.DialsFailed++
	if m.ghost {
		g.forget(m)
		return
	}
	g.blame(now, m)
}

// blame notes that a member without a peering could not be reached; after a
// few times it is taken to be gone. A sparing dial has tried more than once
// itself, which is enough where members are lost all the time; later news bring
// the member back.
func (g *Group) blame(now clock.Time, m *member) {
	m.fails++
	if m.link != nil {
		return
	}
	if m.fails >= maxAttempts || g.upkeep != nil && !(m.forRing && g.calm(now)) {
		g.bury(now, m, 0)
		return
	}
	g.postpone(now, m, g.backOff(m.fails))
}

// refused notes that a member without a peering would not have us: it is full,
// or not in the group any more. After a few times the latter is assumed.
func (g *Group) refused(now clock.Time, m *member) {
	m.refusals++
	if m.refusals >= maxRefusals {
		g.bury(now, m, 0)
		return
	}
	d := g.backOff(m.refusals)
	if m.proven && !m.forRing && !m.pinned {
		d = g.cfg.RetryMax // it is full, and there are others
	}
	g.postpone(now, m, d)
}

// postpone leaves a member alone for a while.
func (g *Group) postpone(now clock.Time, m *member, d time.Duration) {
	m.notBefore = now.Add(jitter(g.cfg.Rand, d))
	if !m.dialing {
		g.wake(m, m.notBefore)
	}
	g.dirty = true
}

// backOff returns the time to wait after so many failures.
func (g *Group) backOff(fails uint8) time.Duration {
	d := g.cfg.RetryMin
	for ; fails > 1 && d < g.cfg.RetryMax; fails-- {
		d *= 2
	}
	return min(d, g.cfg.RetryMax)
}
