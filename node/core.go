package node

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/group/lan"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/internal/rare"
	"rtmfp/multicast"
	"rtmfp/replication"
	"rtmfp/transport"
	"rtmfp/transport/crypto"
)

// CoreConfig says how a Core runs. Identity and Rand are required.
type CoreConfig struct {
	Identity    *crypto.Identity
	Rand        io.Reader // every random number comes from here: crypto/rand, or seeded
	Introduce   bool
	RelayAll    bool
	AllowLegacy bool

	// UploadLimit and DownloadLimit bound what the node sends and takes in all
	// groups together, in bytes per second, 0 = none: streams and everything else
	// first, objects as far as that leaves room.
	UploadLimit, DownloadLimit int

	// KeepWindow and KeepBytes are those of Config, and OpenPast gives streams their room in KeepDir,
	// if it is not nil: multicast.Config.OpenPast.
	KeepWindow time.Duration
	KeepBytes  int64
	OpenPast   func(stream string) multicast.Disk

	// LoopbackMTU is that of transport.Config.
	LoopbackMTU int

	// LargeGroup is from how many members of its groups on the node does not stay in touch
	// with introducers, which serve 4,096 at once. Default 1000.
	LargeGroup int

	// UnixMilli is the wall-clock time of instant zero, in milliseconds since
	// 1970: what is signed carries it.
	UnixMilli int64

	// SimulatedCrypto replaces all cryptography by a cheap stand-in that
	// protects nothing, for large simulations; only nodes that have it set
	// talk to each other.
	SimulatedCrypto bool

	// Trace, if it is not nil, is told what the transport does.
	Trace *transport.Tracer

	// Rare makes rare things common in all layers, in simulations.
	Rare *rare.Points

	// Alter, if it is not nil, returns what a hostile member of a simulation
	// sends in place of a message of a stream.
	Alter func(msg []byte) []byte

	// Watch is told of every message, if it is not nil.
	Watch *MessageWatch
}

// Core is a whole node without its sockets, goroutines, and clock: the pure
// composition of transport, groups, and streams. One caller owns it.
//
// A turn of a driver hands in what happened (HandleDatagram, FinishWork, or
// calls on the Core and what it gave out), then calls Advance, drains NextWork,
// Transmit, and NextEvent, and sleeps until Deadline.
type Core struct {
	cfg     CoreConfig
	ep      *transport.Endpoint
	groups  []*GroupCore
	leaving []*GroupCore // left, with farewells under way
	boots   []*bootstrap
	bootsAt clock.Time        // to look at how many of them are needed, Never without any
	large   bool              // none is, for long: the groups are large
	spread  *rand.Rand        // of the instants at which they are called; nil until one is needed
	addrs   []element.Address // of this node, as it knows them itself

	links table[link]
	flows table[sendFlow]
	recvs table[recvFlow]

	early []earlyFlow // of services, before their senders were greeted

	dials    []dial // links that groups asked for and do not have yet
	ready    []dial // of these, the ones that an open session answers
	orphans  []orphan
	closing  []*transport.Session // closed by CloseAll, without an answer yet
	events   []CoreEvent
	counters Counters

	beacon *lan.Beacon // nil: it does not look for others on the local network

	upload, download *replication.Allowance // of all objects, less what else goes by
	turns            uint                   // of Advance

	bare func(kind uint8) group.Links // in place of the transport, of a BareGroup
}

// Counters are what a Core had no room for.
type Counters struct {
	EventsDropped   uint64 // events that nobody drained
	MessagesRefused uint64 // messages for flows whose send buffer was full
}

// link is an open session and the groups that hold it.
type link struct {
	session *transport.Session
	users   []*GroupCore
	keep    []keepalive // what they want of it
	closeAt clock.Time  // when it is closed unless somebody takes it up; Never while it is used
	boot    bool        // an introducer that the node was told of is behind it
}

// keepalive is how often a group wants to hear of a link's far end.
type keepalive struct {
	owner *GroupCore
	d     time.Duration
}

// tune passes on the shortest of the keepalives that groups want.
func (l *link) tune(now clock.Time) {
	least := time.Duration(0)
	for _, k := range l.keep {
		if least == 0 || k.d < least {
			least = k.d
		}
	}
	l.session.SetKeepalive(now, least)
}

// sendFlow and recvFlow lead from handles that groups know to flows.
type sendFlow struct {
	flow  *transport.SendFlow
	owner *GroupCore
	link  group.LinkID
	kind  flowKind
}

type recvFlow struct {
	flow  *transport.RecvFlow
	owner *GroupCore // nil until its first message names a group
	link  group.LinkID
	kind  flowKind
	loose bool // delivered as received
}

type dial struct {
	peer  group.PeerID
	owner *GroupCore
}

// orphan is a link that nobody used at an instant; it is closed when its grace
// is over and nobody uses it still.
type orphan struct {
	link group.LinkID
	when clock.Time
}

// CoreEventKind says what a CoreEvent reports.
type CoreEventKind uint8

// Kinds of core events.
const (
	EventJoined          CoreEventKind = iota + 1 // Group has its first neighbor or introducer
	EventJoinRefused                              // an introducer does not know Group
	EventBootstrapUp                              // the introducer at URL answered
	EventBootstrapFailed                          // the introducer at URL did not answer: Err
	EventNeighborUp                               // Group has a new neighbor Peer
	EventNeighborDown                             // Group lost its neighbor Peer
	EventStream                                   // Group carries a stream named Name
	EventRouted                                   // Routed has arrived in Group
	EventRouteResult                              // Result of a message that was routed in Group
	EventStreamEnded                              // the stream named Name has ended
	EventNeighborBanned                           // Peer sent what no publisher signed, and has no part in Group's streams any more
)

// CoreEvent is something that the owner of a Core may want to know.
type CoreEvent struct {
	Kind  CoreEventKind
	Group *GroupCore
	Peer  PeerID
	Name  string // stream
	URL   string // introducer
	Err   error

	Reason group.Reason // of EventNeighborDown

	Routed *group.Routed
	Result *group.RouteResult
}

// Grace periods of links that no group uses. A new incoming session has a
// while to say which group it comes for; one that was hung up lingers until
// its last flows are through.
const (
	unclaimedGrace = 15 * time.Second
	hungUpGrace    = 1 * time.Second
)

// idleKeepalive is the silence after which a session's far end is pinged where
// no group has said how often.
const idleKeepalive = 5 * time.Second

// maxEvents bounds the events that wait for an owner who does not drain them.
const maxEvents = 4096

// NewCore makes a core; it sends nothing until told to.
func NewCore(cfg CoreConfig) (*Core, error) {
	c := newCore(cfg)
	ep, err := transport.New(transport.Config{
		Identity:    cfg.Identity,
		Rand:        cfg.Rand,
		Policy:      crypto.Policy{AllowLegacy: cfg.AllowLegacy, Simulation: cfg.SimulatedCrypto},
		Introduce:   cfg.Introduce,
		LoopbackMTU: cfg.LoopbackMTU,
		Keepalive:   idleKeepalive,
		BriefHello:  !cfg.AllowLegacy,
		Rare:        cfg.Rare,
		Trace:       cfg.Trace,
		Buffer:      c.buffer,
	})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	c.ep = ep
	return c, nil
}

// newCore returns one without transport.
func newCore(cfg CoreConfig) *Core {
	return &Core{cfg: cfg, bootsAt: clock.Never,
		upload: replication.NewAllowance(cfg.UploadLimit), download: replication.NewAllowance(cfg.DownloadLimit)}
}

// ID returns the node's peer id.
func (c *Core) ID() PeerID { return c.cfg.Identity.PeerID() }

// HandleDatagram takes a UDP payload that came from the given address. The
// bytes are decrypted in place and not kept.
func (c *Core) HandleDatagram(now clock.Time, from netip.AddrPort, b []byte) {
	c.HandleArrival(now, transport.Arrival{From: from}, b)
}

// HandleArrival is HandleDatagram for a driver that can tell more of it.
func (c *Core) HandleArrival(now clock.Time, a transport.Arrival, b []byte) {
	c.download.Passed(now, len(b))
	c.ep.HandleArrival(now, a, b)
	c.route(now)
}

// NextWork returns public-key work to be run anywhere and then handed to
// FinishWork, false if there is none.
func (c *Core) NextWork() (*transport.Work, bool) { return c.ep.NextWork() }

// FinishWork takes back work whose Run has returned.
func (c *Core) FinishWork(now clock.Time, w *transport.Work) {
	c.ep.FinishWork(now, w)
	c.route(now)
}

// Advance does everything that is due at now.
func (c *Core) Advance(now clock.Time) {
	c.ep.Advance(now)
	c.route(now)
	c.turns++
	for i := range c.groups {
		// Each in turn is the first to take of what all have together.
		c.groups[(c.turns+uint(i))%uint(len(c.groups))].advance(now)
	}
	c.shareUpload()
	c.advanceLeaving(now)
	c.retryBootstraps(now)
	c.closeOrphans(now)
	if c.beacon != nil {
		c.beacon.Advance(now)
	}
	c.route(now)
}

// shareUpload tells the streams of each group what those of the others need of
// the upload limit.
func (c *Core) shareUpload() {
	if c.cfg.UploadLimit == 0 || len(c.groups) < 2 {
		return
	}
	all := uint64(0)
	for _, g := range c.groups {
		all += g.streams.UploadNeeded()
	}
	for _, g := range c.groups {
		g.streams.SetReserved(all - g.streams.UploadNeeded())
	}
}

// Deadline returns the instant at which Advance is wanted next.
func (c *Core) Deadline() clock.Time {
	d := c.ep.Deadline()
	for _, g := range c.groups {
		d = min(d, g.deadline())
	}
	for _, g := range c.leaving {
		d = min(d, g.group.Deadline())
	}
	for _, b := range c.boots {
		d = min(d, b.retryAt)
	}
	if len(c.boots) > c.bootsKept() {
		d = min(d, c.restAt())
	}
	d = min(d, c.bootsAt)
	if len(c.orphans) > 0 {
		d = min(d, c.orphans[0].when)
	}
	if c.beacon != nil {
		d = min(d, c.beacon.Deadline())
	}
	return d
}

// Transmit writes datagrams for one destination into buf; see
// transport.Endpoint.Transmit. It is called until it returns false.
func (c *Core) Transmit(now clock.Time, buf []byte) (transport.Batch, bool) {
	batch, ok := c.ep.Transmit(now, buf)
	c.upload.Passed(now, len(batch.B))
	return batch, ok
}

// NextEvent returns the oldest event that was not drained yet.
func (c *Core) NextEvent() (CoreEvent, bool) {
	if len(c.events) == 0 {
		return CoreEvent{}, false
	}
	ev := c.events[0]
	c.events[0] = CoreEvent{}
	if c.events = c.events[1:]; len(c.events) == 0 {
		c.events = nil
	}
	return ev, true
}

// Counters returns what was refused so far.
func (c *Core) Counters() Counters { return c.counters }

func (c *Core) report(ev CoreEvent) {
	if len(c.events) >= maxEvents {
		c.counters.EventsDropped++
		return
	}
	c.events = append(c.events, ev)
}

// SetUnixMilli tells the wall-clock time of an instant, in milliseconds since
// 1970. Groups that are joined from then on go by it.
func (c *Core) SetUnixMilli(now clock.Time, ms int64) { c.cfg.UnixMilli = ms - int64(now)/1e6 }

// wall is the wall-clock time of an instant, since 1970.
func (c *Core) wall(now clock.Time) time.Duration {
	return time.Duration(c.cfg.UnixMilli)*time.Millisecond + time.Duration(now)
}

// Join makes the node a member of the group and starts to look for others.
func (c *Core) Join(now clock.Time, spec *group.Spec) *GroupCore {
	g := newGroupCore(now, c, spec)
	c.groups = append(c.groups, g)
	c.announce(now, spec)
	g.group.SetAddresses(now, c.addrs)
	g.group.Start(now)
	for i := range c.links.rows {
		if r := &c.links.rows[i]; r.used && r.value.boot {
			c.introduce(now, group.LinkID(r.gen<<slotBits|uint32(i)), g)
		}
	}
	c.route(now)
	return g
}

// Leave takes the node out of the group: neighbors are told, streams end.
func (c *Core) Leave(now clock.Time, g *GroupCore) {
	for i, have := range c.groups {
		if have == g {
			g.group.Leave(now)
			if c.beacon != nil {
				c.beacon.Remove(g.spec.ID())
			}
			c.groups = append(c.groups[:i:i], c.groups[i+1:]...)
			c.leaving = append(c.leaving, g)
			c.route(now)
			return
		}
	}
}

// advanceLeaving lets groups that were left say their farewells.
func (c *Core) advanceLeaving(now clock.Time) {
	still := c.leaving[:0]
	for _, g := range c.leaving {
		g.group.Advance(now)
		if !g.group.Left() {
			still = append(still, g)
		}
	}
	clear(c.leaving[len(still):])
	c.leaving = still
}

// SetAddresses tells the groups which addresses the node has on its own
// interfaces, so that members in the same network find each other directly.
func (c *Core) SetAddresses(now clock.Time, addrs []netip.AddrPort) {
	c.addrs = c.addrs[:0:0]
	for _, a := range addrs {
		c.addrs = append(c.addrs, element.Address{AddrPort: a, Origin: element.OriginLocal})
	}
	for _, g := range c.groups {
		g.group.SetAddresses(now, c.addrs)
	}
	c.route(now)
}

// LeaveAll takes the node out of all groups.
func (c *Core) LeaveAll(now clock.Time) {
	for len(c.groups) > 0 {
		c.Leave(now, c.groups[0])
	}
	for _, b := range c.boots {
		b.retryAt = clock.Never
	}
}

// CloseAll closes every session.
func (c *Core) CloseAll(now clock.Time) {
	for i := range c.links.rows {
		if r := &c.links.rows[i]; r.used {
			c.closing = append(c.closing, r.value.session)
			c.closeLink(now, group.LinkID(r.gen<<slotBits|uint32(i)))
		}
	}
	c.route(now)
}

// closeLink closes the session of a link that no group uses any more.
func (c *Core) closeLink(now clock.Time, id group.LinkID) {
	l := c.links.get(uint32(id))
	session := l.session
	c.links.remove(uint32(id))
	c.forgetFlows(id)
	session.User = nil
	session.Close(now)
}

// Left reports whether the farewells of all groups that were left are through.
func (c *Core) Left() bool { return len(c.leaving) == 0 }

// Closed reports whether the far ends of all sessions that CloseAll closed
// have answered.
func (c *Core) Closed() bool {
	c.closing = slices.DeleteFunc(c.closing, func(s *transport.Session) bool {
		return s.State() == transport.StateClosed
	})
	return len(c.closing) == 0
}

// route hands events of the transport to the groups, and those of the groups
// to their streams and the owner, until none is left.
func (c *Core) route(now clock.Time) {
	for {
		if ev, ok := c.ep.NextEvent(); ok {
			c.handle(now, ev)
			continue
		}
		if len(c.ready) > 0 {
			d := c.ready[0]
			c.ready = c.ready[1:]
			c.answerDial(now, d)
			continue
		}
		if !c.routeGroups(now) {
			return
		}
	}
}

func (c *Core) routeGroups(now clock.Time) (any bool) {
	for _, list := range [...][]*GroupCore{c.groups, c.leaving} {
		for _, g := range list {
			for g.routeOne(now) {
				any = true
			}
		}
	}
	return any
}

// closeOrphans closes links whose grace is over and that nobody took up.
func (c *Core) closeOrphans(now clock.Time) {
	for len(c.orphans) > 0 && c.orphans[0].when <= now {
		o := c.orphans[0]
		c.orphans = c.orphans[1:]
		if l := c.links.get(uint32(o.link)); l != nil && l.closeAt == o.when {
			l.session.Close(now) // of which no event tells
			c.forgetFlows(o.link)
			c.links.remove(uint32(o.link))
		}
	}
}

// orphaned notes that nobody uses the link from now on.
func (c *Core) orphaned(now clock.Time, id group.LinkID, grace time.Duration) {
	o := orphan{id, now.Add(grace)}
	c.links.get(uint32(id)).closeAt = o.when
	i := len(c.orphans)
	for i > 0 && c.orphans[i-1].when > o.when {
		i--
	}
	c.orphans = append(c.orphans, orphan{})
	copy(c.orphans[i+1:], c.orphans[i:])
	c.orphans[i] = o
}

// seededRand returns a generator of its own, seeded from the core's randomness.
func (c *Core) seededRand() *rand.Rand {
	var seed [32]byte
	if _, err := io.ReadFull(c.cfg.Rand, seed[:]); err != nil {
		panic("BUG: the source of randomness failed: " + err.Error())
	}
	return rand.New(rand.NewChaCha8(seed))
}
