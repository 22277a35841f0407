package simulations

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/node"
	"rtmfp/transport/crypto"
)

// Messages is a network on which members of one group exchange whole messages,
// without transport below them: node.BareGroup over sessions that open after
// two round trips, flows that keep their order, and losses that cost a
// retransmission. It is for groups of which the packets would be too many, and
// says nothing about congestion within the network.
//
// Bytes are counted as the packets would cost them: see the sheet below.
type Messages struct {
	cfg      MessagesConfig
	now      clock.Time
	calendar calendar
	nodes    []*Member
	byPeer   map[group.PeerID]*Member
	events   slots[happening]
	calls    slots[call]
	trace    uint64
	stats    MessagesStats
	sampleAt clock.Time
}

// MessagesConfig says what network to make.
type MessagesConfig struct {
	Seed uint64

	// Spec is the group.
	Spec *group.Spec

	// Link gives the way from one member to another. Of a Link, Latency,
	// Jitter, and Loss count. Default: 20 ms, nothing lost.
	Link func(from, to int) Link

	// Sample, if it is not nil, is called every SampleEvery (default 1 s).
	Sample      func(now clock.Time)
	SampleEvery time.Duration
}

// What packets cost, so that figures can be compared with those of a Network.
const (
	messageCost  = 28 + 24 + 4 + 12 // UDP and IP, session id, number and tag, header, chunk
	messageSize  = 1130             // bytes of a message in one packet
	ackCost      = 28 + 24 + 4 + 10 // for every second packet
	pingCost     = 28 + 24 + 4 + 3  // and as much for the answer
	setupCost    = 4 * 400          // a handshake, of which each end sends half
	keepalive    = time.Second
	sessionDead  = 10 * time.Second // without an answer a session is given up
	openTimeout  = 95 * time.Second
	hangUpGrace  = time.Second
	lossDelay    = 20 * time.Millisecond // beside a round trip, until a loss is noticed
	bootRetry    = time.Second
	bootRetryMax = time.Minute
	bootStay     = 30 * time.Second // with an introducer of a large group,
	bootRest     = 10 * time.Minute // and until it is called again
)

// MessagesStats counts what happened.
type MessagesStats struct {
	Events    uint64
	Messages  uint64 // sent
	Delivered uint64
	Expired   uint64 // given up at their deadline
	Lost      uint64 // packets, each sent again
	Bytes     uint64 // on the wire, acknowledgements and upkeep included
	Sessions  uint64 // opened
}

// MemberConfig says what member to add.
type MemberConfig struct {
	Core   node.CoreConfig // Identity and Rand are filled in if they are nil
	Access Access          // of which Up and Queue count
}

// Member is one node of a Messages.
type Member struct {
	Group *node.BareGroup // nil after Remove
	Addr  netip.AddrPort

	// Sent counts the bytes that it has put on the wire.
	Sent uint64

	// OnTurn is called after every turn, to drain events and frames.
	OnTurn func(now clock.Time)

	// Alter, if it is not nil, returns what a hostile member sends in place of a
	// message to a peer, on a flow with that metadata.
	Alter func(to group.PeerID, metadata, msg []byte) []byte

	// Tag is for the owner of the network.
	Tag any

	net     *Messages
	number  int
	peer    group.PeerID
	rng     rand.PCG
	ends    handles[*end]
	flows   handles[*messageFlow]
	recvs   handles[*messageFlow]
	toPeer  map[group.PeerID]*end
	dialing map[group.PeerID]bool
	boots   []*boot
	up      bottleneck
	access  Access
	stopped bool
	holding bool // some flows wait for their senders to be greeted
	died    clock.Time
	wakeAt  clock.Time
	entryAt clock.Time
}

type boot struct {
	peer    group.PeerID
	tries   int
	resting bool // the group is large: it is called again later
}

// end is one end of a session.
type end struct {
	owner  *Member
	id     group.LinkID
	far    *end
	near   [32]byte // nonce
	rtt    time.Duration
	opened clock.Time
	heard  clock.Time    // a message or an acknowledgement, the latest
	coming [2]clock.Time // acknowledgements that are on their way here, the first and the last
	upkeep clock.Time    // keepalives are counted up to here
	held   []*messageFlow
	up     bool
	told   bool // the group knows of it
	hungUp bool
}

// messageFlow is a flow in one direction.
type messageFlow struct {
	from, to *end
	id       group.FlowID
	recv     group.RecvID // 0 until its first message has arrived
	metadata []byte
	reply    *messageFlow
	kind     uint8 // at the receiver
	own      uint8 // at the sender
	delivery group.Delivery
	waiting  [][]byte // while the receiver is not ready for it
	last     clock.Time
	queue    []queued // in the sender's access link
	closed   bool
	refused  bool
}

type queued struct {
	leaves clock.Time
	size   int
}

// NewMessages makes a network without members.
func NewMessages(cfg MessagesConfig) *Messages {
	if cfg.Link == nil {
		cfg.Link = func(int, int) Link { return Link{Latency: 20 * time.Millisecond} }
	}
	if cfg.SampleEvery <= 0 {
		cfg.SampleEvery = time.Second
	}
	w := &Messages{cfg: cfg, byPeer: map[group.PeerID]*Member{}, sampleAt: clock.Time(0).Add(cfg.SampleEvery)}
	w.calendar.init()
	return w
}

// Now returns the virtual time.
func (w *Messages) Now() clock.Time { return w.now }

// Unix returns the virtual wall clock in microseconds.
func (w *Messages) Unix() int64 { return int64(w.now) / int64(time.Microsecond) }

// Nodes returns all members in the order in which they were added.
func (w *Messages) Nodes() []*Member { return w.nodes }

// Trace returns a fingerprint of every message that has arrived.
func (w *Messages) Trace() uint64 { return w.trace }

// Stats returns what has happened so far, the upkeep of open sessions included.
func (w *Messages) Stats() MessagesStats {
	for _, n := range w.nodes {
		n.ends.each(func(e *end) { e.keep(w.now) })
	}
	return w.stats
}

// Add puts a member on the network. It starts at once.
func (w *Messages) Add(cfg MemberConfig) (*Member, error) {
	number := len(w.nodes)
	if cfg.Core.Rand == nil {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[0:], w.cfg.Seed)
		binary.LittleEndian.PutUint64(seed[8:], uint64(number)+1)
		cfg.Core.Rand = rand.NewChaCha8(seed)
	}
	if cfg.Core.Identity == nil {
		var err error
		cfg.Core.SimulatedCrypto = true // or the member would sign with a key that it has not
		if cfg.Core.Identity, err = crypto.NewSimulatedIdentity(cfg.Core.Rand); err != nil {
			return nil, err
		}
	}
	n := &Member{
		net: w, number: number, Addr: addressOf(number), access: cfg.Access,
		toPeer: map[group.PeerID]*end{}, dialing: map[group.PeerID]bool{},
		wakeAt: clock.Never, entryAt: clock.Never,
	}
	n.rng.Seed(w.cfg.Seed, uint64(number)<<1|1)
	n.Group = node.NewBareGroup(w.now, cfg.Core, w.cfg.Spec, func(kind uint8) group.Links { return memberLinks{n, kind} })
	n.peer = n.Group.Self()
	w.nodes = append(w.nodes, n)
	w.byPeer[n.peer] = n
	n.Group.Group().Start(w.now)
	w.turn(n)
	return n, nil
}

// Number returns the member's number in the order of adding, from 0.
func (n *Member) Number() int { return n.number }

// Peer returns the member's name.
func (n *Member) Peer() group.PeerID { return n.peer }

// Stopped reports whether the member was stopped or removed.
func (n *Member) Stopped() bool { return n.stopped }

// Bootstrap makes an introducer known to a member, which calls it, and again
// when it was lost.
func (w *Messages) Bootstrap(n, introducer *Member) {
	b := &boot{peer: introducer.peer}
	n.boots = append(n.boots, b)
	w.callBoot(n, b)
}

// LinksChanged tells that Link answers differently from now on. Sessions take the
// round trips of the new links at once, as those on which much is sent do within a
// few of them.
func (w *Messages) LinksChanged() {
	for _, n := range w.nodes {
		n.ends.each(func(e *end) {
			there, back := w.cfg.Link(n.number, e.far.owner.number), w.cfg.Link(e.far.owner.number, n.number)
			e.rtt = there.Latency + back.Latency
		})
	}
}

// Do calls f, which may call into the member's group, and carries out what
// follows.
func (w *Messages) Do(n *Member, f func(now clock.Time)) {
	f(w.now)
	w.turn(n)
}

// At calls f at the virtual instant when.
func (w *Messages) At(when clock.Time, f func()) {
	w.calendar.add(max(when, w.now), entryCall, w.calls.add(call{f: f}))
}

// Stop takes a member off the network without a word. The others give their
// sessions with it up when they have had no answer for too long.
func (w *Messages) Stop(n *Member) {
	if n.stopped {
		return
	}
	n.stopped, n.died = true, w.now
	n.ends.each(func(e *end) {
		e.keep(w.now)
		w.after(sessionDead, happening{kind: sessionDown, end: e.far})
	})
}

// Remove stops a member and gives its memory back.
func (w *Messages) Remove(n *Member) {
	w.Stop(n)
	delete(w.byPeer, n.peer)
	n.Group, n.OnTurn, n.Tag, n.toPeer, n.dialing, n.boots = nil, nil, nil, nil, nil, nil
	n.ends, n.flows, n.recvs = handles[*end]{}, handles[*messageFlow]{}, handles[*messageFlow]{}
}

// Run lets virtual time pass for d.
func (w *Messages) Run(d time.Duration) {
	stop := w.now.Add(d)
	for {
		when := min(w.calendar.next(), stop)
		for w.sampleAt <= when {
			w.now = max(w.now, w.sampleAt)
			w.sampleAt = w.sampleAt.Add(w.cfg.SampleEvery)
			if w.cfg.Sample != nil {
				w.cfg.Sample(w.now)
			}
		}
		e, ok := w.calendar.pop(when)
		if !ok {
			if when < stop {
				continue
			}
			w.now = stop
			return
		}
		w.now = e.when
		w.stats.Events++
		switch e.kind {
		case entryWake:
			w.wake(w.nodes[e.ref], e.when)
		case entryMessage:
			h := w.events.take(e.ref)
			w.happen(&h)
		case entryCall:
			w.calls.take(e.ref).f()
		}
	}
}

func (w *Messages) wake(n *Member, when clock.Time) {
	if n.entryAt != when {
		return
	}
	n.entryAt = clock.Never
	if n.stopped {
		return
	}
	if n.wakeAt > w.now {
		w.alarm(n, n.wakeAt)
		return
	}
	w.turn(n)
}

func (w *Messages) alarm(n *Member, when clock.Time) {
	n.wakeAt = when
	if when < n.entryAt {
		n.entryAt = when
		w.calendar.add(when, entryWake, uint32(n.number))
	}
}

// turn lets a member act.
func (w *Messages) turn(n *Member) {
	if n.stopped {
		return
	}
	n.Group.Turn(w.now)
	if n.holding {
		n.holding = false
		n.ends.each(func(e *end) {
			if len(e.held) > 0 {
				e.release()
			}
		})
	}
	if n.OnTurn != nil {
		n.OnTurn(w.now)
	}
	w.alarm(n, max(n.Group.Deadline(), w.now))
}

func (w *Messages) fingerprint(f *messageFlow, data []byte) {
	h := mix(w.trace, uint64(w.now))
	h = mix(h, uint64(f.from.owner.number)<<32|uint64(f.to.owner.number))
	w.trace = mix(h, xxhash.Sum64(data))
}

// keep counts the keepalives of a session up to now, at the end that opened it.
func (e *end) keep(now clock.Time) {
	if !e.up || !e.far.up || e.owner.stopped || e.far.owner.stopped {
		return
	}
	n := now.Sub(e.upkeep) / keepalive
	if n <= 0 {
		return
	}
	e.upkeep = e.upkeep.Add(n * keepalive)
	e.pay(uint64(n) * pingCost) // its own pings, or answers to the other's
}

// pay counts bytes that an end's owner has put on the wire.
func (e *end) pay(bytes uint64) {
	e.owner.Sent += bytes
	e.owner.net.stats.Bytes += bytes
}

// handles gives out numbers as node's tables do: of 20 bits of slot and 12 of a
// generation, never 0.
type handles[T any] struct {
	rows []handleRow[T]
	free []uint32
}

type handleRow[T any] struct {
	gen   uint32
	used  bool
	value T
}

func (t *handles[T]) add(v T) uint32 {
	var slot uint32
	if n := len(t.free); n > 0 {
		slot = t.free[0]
		t.free = t.free[1:]
	} else {
		slot = uint32(len(t.rows))
		t.rows = append(t.rows, handleRow[T]{})
	}
	r := &t.rows[slot]
	r.gen = r.gen%4095 + 1
	r.used, r.value = true, v
	return r.gen<<20 | slot
}

func (t *handles[T]) get(h uint32) (v T) {
	if slot := h & (1<<20 - 1); slot < uint32(len(t.rows)) {
		if r := &t.rows[slot]; r.used && r.gen == h>>20 {
			return r.value
		}
	}
	return v
}

func (t *handles[T]) remove(h uint32) {
	slot := h & (1<<20 - 1)
	if slot >= uint32(len(t.rows)) || !t.rows[slot].used || t.rows[slot].gen != h>>20 {
		return
	}
	var zero T
	t.rows[slot].used, t.rows[slot].value = false, zero
	t.free = append(t.free, slot)
}

// each calls f for every value, which must not remove any but the one.
func (t *handles[T]) each(f func(v T)) {
	for i := range t.rows {
		if t.rows[i].used {
			f(t.rows[i].value)
		}
	}
}
