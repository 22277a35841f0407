package group

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/internal/rare"
	"rtmfp/ring"
)

// Group is one node's part in one group. Make it with New; after Start, and
// after every other call that takes an instant, call Advance, drain NextEvent,
// and come back no later than Deadline.
//
// Links are shared between the groups of a node. A group holds an interest in
// a link from when it dials, or is given an introducer on it, or accepts a
// flow on it, until it calls Links.HangUp or is told LinkDown. It keeps no
// interest in links that it is merely told of by LinkUp.
type Group struct {
	cfg     Config
	links   Links
	self    ring.Addr
	top     uint64 // of self
	started bool
	left    bool // Leave was called
	joined  bool
	failed  bool // JoinFailed was given for the present set of introducers

	own       []byte // addresses told by SetAddresses, as on the wire
	reflexive []byte // addresses told by neighbors, likewise

	byLink map[LinkID]*link
	byFlow map[FlowID]flowRef
	byRecv map[RecvID]recvRef

	neighbors   []*link         // up, in the order in which they came
	lingering   int             // links that have parted and wait for the far end to hear it
	peerings    int             // links with a peering, whether up or being made
	introducers []*link         // in the order in which they came
	reach       ring.Set[*link] // proven members at the end of a link, neighbors or clients
	clients     int

	book    book
	dialing int
	seeds   []seed             // members to begin with
	seeding clock.Timer[alarm] // they are dialed again

	dirty  bool // the choice of neighbors must be looked at
	slow   bool // and links that are not needed be given up
	limit  int  // the most neighbors, as of the last look
	wanted int  // members wanted, as of the last look
	picks  []*member

	timers clock.Queue[alarm]
	tick   clock.Timer[alarm] // report and look
	check  clock.Timer[alarm] // look for silent neighbors
	ask    clock.Timer[alarm] // ask the introducers again
	asked  clock.Time
	asks   uint // questions without a neighbor since

	numbers uint16 // the last one of a session flow

	wished *link          // that was told of a wish of ours, in a peering that goes on
	wishes []receivedWish // of those that are not neighbors yet

	routes      map[RouteID]*relay // routed messages that were here lately
	routeBytes  int                // held of them
	routed      []Routed           // arrived, not drained yet
	results     []RouteResult      // likewise
	upkeep      Upkeep             // of the links, nil if they have none
	changes     []change
	changed     uint32 // changes of our table so far, from 1
	tables      clock.Timer[alarm]
	wanting     bool // a neighbor is to be asked for members in its table
	placed      bool // the question for our own place was answered
	settled     bool
	foundAt     clock.Time // of the last question
	drawnAt     clock.Time
	lacksRandom bool          // another random neighbor is to be found
	size        int           // estimated members, as of the last look
	typical     time.Duration // latency between any two members
	samples     uint8         // that it is the mean of
	untold      int           // changes of the table that nobody was told
	looked      clock.Time    // when the choice was looked at last
	again       clock.Timer[alarm]
	draws       uint8   // questions for members far away so far
	drawing     RouteID // the question for anybody that is under way
	spared      []sparedMember
	thin        [2]uint8 // questions to be asked on either side, where a ring neighbor was lost
	thinTimer   clock.Timer[alarm]
	unplacedAt  clock.Time // when the own place was asked for first
	expected    []expectation
	nextDial    clock.Time // when a dial that the ring does not need is free again
	nextTrial   clock.Time // and one of a member that may be a better finger
	vain        uint8      // trials in a row that were in vain
	ghosts      []ghost
	haunt       clock.Timer[alarm]
	losses      int // without a word, since lossSince
	lossSince   clock.Time
	lastLoss    clock.Time
	startedAt   clock.Time
	alarmed     clock.Time // until then ghosts are called often
	healAt      clock.Time

	pins    []pin       // members that services want to be linked with
	held    []hold      // links that services use
	probing RouteID     // a question through a ghost that answered
	probed  PeerID      // that one
	finding RouteID     // the question for our own place that is under way
	receive ReceiveMode // of messages of applications

	events []Event
	head   int
	buf    []byte // scratch for messages
	stats  Stats
}

// alarm is what a timer is for.
type alarm struct {
	kind alarmKind
	l    *link
	m    *member
	r    *relay
}

type alarmKind uint8

const (
	alarmTick     alarmKind = iota + 1
	alarmCheck              // neighbors may be silent
	alarmAsk                // introducers may be asked
	alarmPeering            // a peering was not made in time, or a parting not answered
	alarmNews               // a neighbor is told the news
	alarmMember             // a dial took too long, or a member may be dialed again
	alarmPatience           // an introducer did not object
	alarmTables             // neighbors are told of changes
	alarmLook               // the choice of neighbors may be looked at again
	alarmHaunt              // a ghost may be called
	alarmThin               // neighbors are asked who else was lost
	alarmSeeds              // seeds may be dialed
	alarmRoute              // a routed message may have to be sent anew, or is forgotten
)

// New returns a group that waits for Start. Self, Spec and Rand of the Config
// must be set.
func New(cfg Config, links Links) *Group {
	if cfg.Spec == nil || cfg.Rand == nil || links == nil {
		panic("BUG: a group needs a spec, a source of randomness, and links")
	}
	cfg.setDefaults()
	g := &Group{
		cfg:    cfg,
		links:  links,
		self:   ring.OfPeer(cfg.Self),
		top:    ring.OfPeer(cfg.Self).Top(),
		byLink: make(map[LinkID]*link),
		byFlow: make(map[FlowID]flowRef),
		byRecv: make(map[RecvID]recvRef),
	}
	g.book.init(cfg.MaxKnown)
	g.changed = 1
	g.upkeep, _ = links.(Upkeep)
	g.tables.Owner = alarm{kind: alarmTables}
	g.again.Owner = alarm{kind: alarmLook}
	g.haunt.Owner = alarm{kind: alarmHaunt}
	g.thinTimer.Owner = alarm{kind: alarmThin}
	g.seeding.Owner = alarm{kind: alarmSeeds}
	g.tick.Owner = alarm{kind: alarmTick}
	g.check.Owner = alarm{kind: alarmCheck}
	g.ask.Owner = alarm{kind: alarmAsk}
	return g
}

// Start begins membership. Bootstrap peers of the spec are dialed as soon as
// there is a way to.
func (g *Group) Start(now clock.Time) {
	if g.started {
		return
	}
	g.started, g.startedAt = true, now
	for _, p := range g.cfg.Spec.Bootstrap {
		g.AddSeed(now, p, nil)
	}
	for _, b := range g.cfg.Spec.BootstrapAddrs {
		g.AddSeed(now, b.Peer, b.elements())
	}
	g.callSeeds(now)
	g.timers.Set(&g.tick, now.Add(jitter(g.cfg.Rand, g.cfg.ReportInterval)))
}

// SetAddresses tells at which addresses this node can be reached, as far as it
// knows by itself; members report them. At most six are used.
func (g *Group) SetAddresses(now clock.Time, addrs []element.Address) {
	before := slices.Clone(g.own)
	g.own = g.own[:0]
	for i, a := range addrs {
		if i == maxOwnAddrs {
			break
		}
		g.own = element.AppendAddress(g.own, a)
	}
	if bytes.Equal(before, g.own) {
		return
	}
	for _, l := range g.neighbors {
		if l.routes() { // others are told in the reports that they get anyway
			g.send(now, l.out, g.reportHeader(l, true))
		}
	}
}

// AddHint tells that peer may be a member, where it may be reached, and the
// link, if any, behind which somebody may introduce it. It is linked with only
// if that is of use.
func (g *Group) AddHint(now clock.Time, peer PeerID, addrs []element.Address, via LinkID) {
	var packed []byte
	for _, a := range addrs {
		packed = element.AppendAddress(packed, a)
	}
	g.learn(now, peer, now, packed, via)
}

// LinkUp tells that a link is open: the answer to a dial of this group, or an
// incoming one, which some other node opened and which may concern this group
// or not. A link that the driver dialed for itself is given to AddIntroducer.
func (g *Group) LinkUp(now clock.Time, id LinkID, peer PeerID, incoming bool) {
	if g.left {
		if !incoming {
			g.links.HangUp(now, id)
		}
		return
	}
	l := g.track(now, id, peer)
	if l == nil {
		return
	}
	m := g.book.get(peer)
	if m == nil || !m.dialing {
		if !incoming {
			g.release(now, l) // it was not waited for any longer
		}
		return
	}
	g.endDial(m)
	if m.link != nil && m.link != l {
		// The member came by itself meanwhile, on another link.
		g.release(now, l)
		return
	}
	if g.inVain(l, m) {
		g.stats.TrialsInVain++
		g.vain = min(g.vain+1, 100)
		m.est = g.links.RTT(id)
		g.leaveAlone(now, topOf(m.addr), triedFor)
		g.release(now, l)
		return
	}
	if m.trial {
		g.vain = 0
	}
	g.openPeering(now, l)
}

// track returns the record of a link, making it if there is room, nil if not.
func (g *Group) track(now clock.Time, id LinkID, peer PeerID) *link {
	l := g.byLink[id]
	if l != nil {
		if l.peer != peer {
			panic(fmt.Sprintf("BUG: link %d to another peer than before", id))
		}
		return l
	}
	if peer == g.cfg.Self || len(g.byLink) >= g.cfg.MaxLinks {
		g.stats.LinksRefused++
		if m := g.book.get(peer); m != nil && m.dialing {
			g.endDial(m)
		}
		g.links.HangUp(now, id)
		return nil
	}
	l = &link{id: id, peer: peer, addr: ring.OfPeer(peer), upSince: now}
	l.deadline.Owner = alarm{kind: alarmPeering, l: l}
	g.byLink[id] = l
	return l
}

// LinkDown tells that a link broke or was closed by the far end.
func (g *Group) LinkDown(now clock.Time, id LinkID) {
	l := g.byLink[id]
	if l == nil {
		return
	}
	g.endPeering(now, l, ReasonLost)
	g.endClient(l)
	g.endIntroducer(now, l)
	g.forgetLink(l)
}

// DialFailed tells that nobody answered a dial.
func (g *Group) DialFailed(now clock.Time, peer PeerID) {
	m := g.book.get(peer)
	if m == nil || !m.dialing {
		return
	}
	g.endDial(m)
	g.stats.DialsFailed++
	if m.ghost {
		g.forget(m)
		return
	}
	g.blame(now, m)
}

// FlowOpened tells that the far end opened a flow with the metadata of one of
// this package, and the sending flow that it is associated with, if any.
// It returns how to go on with the flow.
func (g *Group) FlowOpened(now clock.Time, id LinkID, recv RecvID, metadata []byte, reply FlowID) Delivery {
	l := g.byLink[id]
	if l == nil || g.left {
		g.links.HangUp(now, id)
		return Reject
	}
	d := Reject
	switch string(metadata) {
	case string(MetadataSession):
		d = g.sessionOpened(now, l, recv)
	case string(MetadataChannel):
		d = g.channelOpened(now, l, recv, reply)
	case string(MetadataRoute):
		d = g.routeOpened(l, recv)
	}
	if d == Reject {
		g.stats.FlowsRefused++
		if !l.active() && l.client == 0 && !l.introducer {
			g.linger(now, l, 0) // another flow may come that is welcome
		}
	}
	return d
}

// Message takes a message from a flow that was accepted.
func (g *Group) Message(now clock.Time, recv RecvID, msg []byte) {
	ref, ok := g.byRecv[recv]
	if !ok || len(msg) == 0 {
		return
	}
	switch ref.kind {
	case recvSession:
		g.sessionMessage(now, ref.l, recv, msg)
	case recvJoin:
		g.joinMessage(now, ref.l, recv, msg)
	case recvAnswer:
		g.answerMessage(now, ref.l, msg)
	case recvRoute:
		g.routeMessage(now, ref.l, msg)
	}
}

// FlowClosed tells that a receiving flow has ended.
func (g *Group) FlowClosed(now clock.Time, recv RecvID) {
	ref, ok := g.byRecv[recv]
	if !ok {
		return
	}
	delete(g.byRecv, recv)
	l := ref.l
	switch ref.kind {
	case recvSession:
		g.sessionClosed(now, l, recv)
	case recvJoin:
		g.endClient(l)
		g.release(now, l)
	case recvAnswer:
		l.answers = 0
	case recvRoute:
		if l.routeIn == recv {
			l.routeIn = 0
		}
	}
}

// FlowRejected tells that the far end refused a sending flow.
func (g *Group) FlowRejected(now clock.Time, flow FlowID) {
	ref, ok := g.byFlow[flow]
	if !ok {
		return
	}
	delete(g.byFlow, flow)
	l := ref.l
	switch ref.kind {
	case flowSession:
		g.sessionRejected(now, l, flow)
	case flowJoin:
		l.join = 0
		g.joinRejected(now, l)
	case flowAnswer:
		l.answer = 0
		g.endClient(l)
		g.release(now, l)
	case flowRoute:
		l.route = 0
	}
}

// Leave parts from all neighbors: they are told, and their links are hung up
// when they have heard it, or after a second. Left reports when all is done.
func (g *Group) Leave(now clock.Time) {
	if g.left {
		return
	}
	g.left = true
	for len(g.neighbors) > 0 {
		g.endPeering(now, g.neighbors[0], ReasonLeaving)
	}
	for _, id := range slices.Sorted(maps.Keys(g.byLink)) {
		l := g.byLink[id]
		g.endPeering(now, l, ReasonLeaving)
		g.endClient(l)
		g.endIntroducer(now, l)
		g.release(now, l)
	}
	g.endRoutes(now)
	g.timers.Stop(&g.tables)
	g.timers.Stop(&g.haunt)
	g.timers.Stop(&g.thinTimer)
	g.timers.Stop(&g.seeding)
	g.timers.Stop(&g.again)
	g.timers.Stop(&g.tick)
	g.timers.Stop(&g.check)
	g.timers.Stop(&g.ask)
	for i := range g.book.known.Len() {
		m := g.book.known.At(i).Value
		m.dialing = false
		g.wake(m, clock.Never)
	}
	g.dialing = 0
}

// Left reports whether Leave has finished: nobody is owed a word any more.
func (g *Group) Left() bool {
	return g.left && g.lingering == 0
}

// Advance does what is due at now.
func (g *Group) Advance(now clock.Time) {
	for t := g.timers.Pop(now); t != nil; t = g.timers.Pop(now) {
		switch a := t.Owner; a.kind {
		case alarmTick:
			g.onTick(now)
		case alarmCheck:
			g.checkLinks(now)
		case alarmTables:
			g.tellTables(now)
		case alarmLook:
			g.dirty = true
		case alarmHaunt:
			g.onHaunt(now)
		case alarmThin:
			g.askAround(now)
		case alarmSeeds:
			g.callSeeds(now)
		case alarmAsk:
			g.askIntroducers(now)
		case alarmPeering:
			g.peeringTimeout(now, a.l)
		case alarmNews:
			g.tellNews(now, a.l)
		case alarmMember:
			g.memberTimeout(now, a.m)
		case alarmPatience:
			g.joinedNow(a.l)
		case alarmRoute:
			g.routeTimeout(now, a.r)
		}
	}
	if (g.dirty || g.cfg.Rare.Hit(rare.LookAnew)) && g.started && !g.left {
		// News come in flocks, and looking at them one by one would be most of
		// what a member does.
		if due := g.looked.Add(lookInterval); g.looked != 0 && now < due {
			g.timers.Set(&g.again, earlier(due, g.again.When()))
		} else {
			g.look(now)
		}
	}
	if g.wanting {
		g.askWanted(now)
	}
}

func (g *Group) onTick(now clock.Time) {
	g.timers.Set(&g.tick, now.Add(jitter(g.cfg.Rand, g.cfg.ReportInterval)))
	g.expire(now)
	g.restRoutes(now)
	if n := len(g.neighbors); n > 0 {
		// Others learn from tables what they need.
		if l := g.neighbors[g.cfg.Rand.IntN(n)]; !l.routes() || g.cfg.Rare.Hit(rare.ReportTwice) {
			g.sendReport(now, l, true)
		}
	}
	g.dirty, g.slow = true, true
}

// Deadline returns when Advance must be called next, clock.Never if only input
// can bring work.
func (g *Group) Deadline() clock.Time { return g.timers.Next() }

// NextEvent returns the next event. Events are given in the order in which
// things happened; drain them after each turn.
func (g *Group) NextEvent() (Event, bool) {
	if g.head == len(g.events) {
		if g.events, g.head = g.events[:0], 0; cap(g.events) > keepEvents {
			g.events = nil
		}
		return Event{}, false
	}
	e := g.events[g.head]
	g.head++
	return e, true
}

func (g *Group) emit(e Event) { g.events = append(g.events, e) }

// joinedNow notes the first success.
func (g *Group) joinedNow(l *link) {
	if g.joined || g.left {
		return
	}
	g.joined = true
	g.emit(Event{Kind: Joined, Link: l.id, Peer: l.peer})
}
