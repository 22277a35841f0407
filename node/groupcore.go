package node

import (
	"net/netip"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/multicast"
	"rtmfp/posting"
	"rtmfp/replication"
	"rtmfp/replication/content"
	"rtmfp/replication/sources"
	"rtmfp/transport"
)

// GroupCore is one group that a Core is a member of: its membership, its
// streams, its posts, its records, and its objects.
type GroupCore struct {
	core    *Core
	spec    *group.Spec
	group   *group.Group
	streams *multicast.Service
	posts   *posting.Service     // nil if the group carries none
	records *records.Service     // nil until there is a first request or copy of one
	objects *replication.Service // nil until there are any, here or at a neighbor
	finder  *sources.Finder      // of members that have files; nil until there is a file
	greeted []group.LinkID       // the links of neighbors, as the services know them

	results []records.Result // that the owner has not drained: no more than requests of its own

	unsent []unsent // objects that a full buffer refused, of which no receipt will come

	authority *group.Authority // who may do what
	traffic   [flowKinds]Bytes // of messages, by what they are for
}

func newGroupCore(now clock.Time, c *Core, spec *group.Spec) *GroupCore {
	g := &GroupCore{core: c, spec: spec, authority: group.NewAuthority(spec)}
	g.group = group.New(group.Config{
		Spec:          spec,
		Self:          group.PeerID(c.ID()),
		Rand:          c.seededRand(),
		Introduce:     c.cfg.Introduce,
		AllowUnproven: c.cfg.AllowLegacy,
		Features:      features(spec),
		Authority:     g.authority,
		Rare:          c.cfg.Rare,
	}, g.links(flowGroup))
	g.streams = multicast.New(multicast.Config{
		Rand:    c.seededRand(),
		GroupID: spec.ID(),
		Keys:    c.keys(),
		MayPublish: func(now clock.Time, author group.PeerID, grant []byte) error {
			return g.authority.May(group.RightPublish, author, grant, c.wall(now).Milliseconds())
		},
		AllowUnsigned: c.cfg.AllowLegacy && !spec.Needs(group.RightPublish),
		RelayAll:      c.cfg.RelayAll,
		UploadLimit:   c.cfg.UploadLimit,
		Rare:          c.cfg.Rare,
	}, g.links(flowStream))
	if spec.Posting {
		g.posts = posting.New(now, g.postingConfig(now), g.links(flowPosts))
	}
	return g
}

func (g *GroupCore) postingConfig(now clock.Time) posting.Config {
	c, spec := g.core, g.spec
	// Without a grant this node posts nothing, and everything else works.
	grant, _ := spec.OwnGrant(group.RightPost, group.PeerID(c.ID()), c.wall(now))
	return posting.Config{
		Rand:      c.seededRand(),
		Self:      group.PeerID(c.ID()),
		GroupID:   spec.ID(),
		Keys:      c.keys(),
		UnixMilli: c.cfg.UnixMilli,
		Grant:     grant,
		MayPost: func(author group.PeerID, grant []byte, unixMilli int64) error {
			return g.authority.May(group.RightPost, author, grant, unixMilli)
		},
	}
}

// features are what a member of the group offers to others.
func features(spec *group.Spec) group.Features {
	f := group.FeatureMulticast | group.FeatureRecords
	if spec.Posting {
		f |= group.FeaturePosting
	}
	if spec.Replication {
		f |= group.FeatureReplication
	}
	return f
}

// links returns what the flows of a kind go by.
func (g *GroupCore) links(k flowKind) group.Links {
	if g.core.bare != nil {
		return g.core.bare(uint8(k))
	}
	return groupLinks{g, k}
}

// Spec returns the groupspec.
func (g *GroupCore) Spec() *group.Spec { return g.spec }

// Group returns the membership core. The Core's owner may read from it.
func (g *GroupCore) Group() *group.Group { return g.group }

// Streams returns the streams core, to publish and play on.
func (g *GroupCore) Streams() *multicast.Service { return g.streams }

// Authority judges who may do what in the group.
func (g *GroupCore) Authority() *group.Authority { return g.authority }

// Posts returns the posts core, nil if the group carries no posts.
func (g *GroupCore) Posts() *posting.Service { return g.posts }

// Records returns the records core, which is made when it is first asked for:
// most members of most groups never hold a record.
func (g *GroupCore) Records(now clock.Time) *records.Service {
	if g.records != nil {
		return g.records
	}
	g.records = records.New(records.Config{
		Rand:      g.core.seededRand(),
		Self:      group.PeerID(g.core.ID()),
		GroupID:   g.spec.ID(),
		Keys:      g.core.keys(),
		UnixMilli: g.core.cfg.UnixMilli,
	}, g.links(flowRecords), g.group)
	for n := range g.group.Neighbors() {
		if n.Features&group.FeatureRecords != 0 && slices.Contains(g.greeted, n.Link) {
			g.records.NeighborUp(now, n.Link, records.Member{Peer: n.Peer, Session: n.Session})
		}
	}
	return g.records
}

// Objects returns the objects core, which is made when it is first asked for,
// nil if the group carries no objects.
func (g *GroupCore) Objects(now clock.Time) *replication.Service {
	if g.objects != nil || !g.spec.Replication {
		return g.objects
	}
	g.objects = replication.New(replication.Config{
		Rand:     g.core.seededRand(),
		Upload:   g.core.upload,
		Download: g.core.download,
	}, g.links(flowObjects).(replication.Flows))
	for n := range g.group.Neighbors() {
		if n.Features&group.FeatureReplication != 0 && slices.Contains(g.greeted, n.Link) {
			g.objects.NeighborUp(now, n.Link, replication.Member{Peer: n.Peer, Session: n.Session})
		}
	}
	return g.objects
}

// OpenFile opens the collection of a file's blocks, of which the hash is the
// name, and tells the group once there are any. See Objects for when it is nil.
func (g *GroupCore) OpenFile(now clock.Time, hash replication.CollectionID) (*replication.Collection, error) {
	objects := g.Objects(now)
	if objects == nil {
		return nil, ErrNoReplication
	}
	c, err := objects.Open(now, hash, RarestFirst)
	if err != nil {
		return nil, err
	}
	if g.finder == nil {
		cfg := sources.Config{Rand: g.core.seededRand(), Self: group.PeerID(g.core.ID())}
		g.finder = sources.New(cfg, g.group, g.Records(now))
	}
	c.SetSize(content.BlockSize)
	g.finder.Open(now, c)
	return c, nil
}

// FileChanged tells that blocks of a file are wanted that were not before, or
// none any more.
func (g *GroupCore) FileChanged(now clock.Time, c *replication.Collection) {
	if g.finder != nil {
		g.finder.Changed(now, c)
	}
}

// CloseFile closes the collection of a file.
func (g *GroupCore) CloseFile(now clock.Time, c *replication.Collection) {
	c.Close(now)
	if g.finder != nil {
		g.finder.Close(now, c)
	}
}

// SourceStats returns what was done to find members that have files.
func (g *GroupCore) SourceStats() (s sources.Stats) {
	if g.finder != nil {
		s = g.finder.Stats()
	}
	return s
}

// NextRecordResult returns what came of a request for records that was not made
// by the core itself.
func (g *GroupCore) NextRecordResult() (r records.Result, ok bool) {
	if len(g.results) == 0 {
		return r, false
	}
	r = g.results[0]
	if g.results = g.results[1:]; len(g.results) == 0 {
		g.results = nil
	}
	return r, true
}

func (g *GroupCore) advance(now clock.Time) {
	g.group.Advance(now) // after any input: it acts on news once a turn, timer or not
	if g.streams.Deadline() <= now {
		g.streams.Advance(now)
	}
	if g.posts != nil && g.posts.Deadline() <= now {
		g.posts.Advance(now)
	}
	if g.records != nil && g.records.Deadline() <= now {
		g.records.Advance(now)
	}
	for _, u := range g.unsent {
		g.objects.Receipt(now, u.flow, u.number)
	}
	g.unsent = g.unsent[:0]
	if g.objects != nil && g.objects.Deadline() <= now {
		g.objects.Advance(now)
	}
	if g.finder != nil {
		g.finder.Advance(now)
	}
}

func (g *GroupCore) deadline() clock.Time {
	d := min(g.group.Deadline(), g.streams.Deadline())
	if g.records != nil {
		d = min(d, g.records.Deadline())
	}
	if g.objects != nil {
		d = min(d, g.objects.Deadline())
	}
	if g.finder != nil {
		d = min(d, g.finder.Deadline())
	}
	if g.posts != nil {
		d = min(d, g.posts.Deadline())
	}
	return d
}

// routeOne passes on one event of the group or of its streams.
func (g *GroupCore) routeOne(now clock.Time) bool {
	if ev, ok := g.group.NextEvent(); ok {
		g.groupEvent(now, ev)
		return true
	}
	if ev, ok := g.streams.NextEvent(); ok {
		g.streamEvent(ev)
		return true
	}
	if m, ok := g.group.NextRouted(); ok {
		g.routed(now, m)
		return true
	}
	if r, ok := g.group.NextRouteResult(); ok {
		g.routeResult(now, r)
		return true
	}
	if g.records == nil {
		return false
	}
	if r, ok := g.records.NextResult(); ok {
		if g.finder == nil || !g.finder.Result(now, r) {
			g.results = append(g.results, r)
		}
		return true
	}
	return false
}

// routed takes a message that was routed here.
func (g *GroupCore) routed(now clock.Time, m group.Routed) {
	if m.Service == group.ServiceRecords {
		g.Records(now).Routed(now, m)
		return
	}
	g.core.report(CoreEvent{Kind: EventRouted, Group: g, Routed: &m})
}

// routeResult takes what became of a message that was routed from here.
func (g *GroupCore) routeResult(now clock.Time, r group.RouteResult) {
	if r.Service == group.ServiceRecords && g.records != nil {
		g.records.RouteResult(now, r)
		return
	}
	g.core.report(CoreEvent{Kind: EventRouteResult, Group: g, Result: &r})
}

func (g *GroupCore) groupEvent(now clock.Time, ev group.Event) {
	switch ev.Kind {
	case group.NeighborUp:
		g.streams.NeighborUp(now, ev.Link, multicast.Member{
			Peer:    ev.Peer,
			Session: ev.Session,
			Modern:  ev.Features&group.FeatureMulticast != 0,
		})
		if g.posts != nil && ev.Features&group.FeaturePosting != 0 {
			g.posts.NeighborUp(now, ev.Link, posting.Member{Peer: ev.Peer, Session: ev.Session})
		}
		if g.records != nil && ev.Features&group.FeatureRecords != 0 {
			g.records.NeighborUp(now, ev.Link, records.Member{Peer: ev.Peer, Session: ev.Session})
		}
		if g.objects != nil && ev.Features&group.FeatureReplication != 0 {
			g.objects.NeighborUp(now, ev.Link, replication.Member{Peer: ev.Peer, Session: ev.Session})
		}
		g.greeted = append(g.greeted, ev.Link)
		g.alone(now)
		g.core.takeEarly(now, ev.Link, g)
		g.core.report(CoreEvent{Kind: EventNeighborUp, Group: g, Peer: PeerID(ev.Peer)})
	case group.NeighborDown:
		g.alone(now)
		g.greeted = slices.DeleteFunc(g.greeted, func(l group.LinkID) bool { return l == ev.Link })
		g.streams.NeighborDown(now, ev.Link)
		if g.posts != nil {
			g.posts.NeighborDown(now, ev.Link)
		}
		if g.records != nil {
			g.records.NeighborDown(now, ev.Link)
		}
		if g.objects != nil {
			g.objects.NeighborDown(now, ev.Link)
		}
		g.core.report(CoreEvent{Kind: EventNeighborDown, Group: g, Peer: PeerID(ev.Peer), Reason: ev.Reason})
	case group.Joined:
		g.core.report(CoreEvent{Kind: EventJoined, Group: g})
	case group.JoinFailed:
		g.core.report(CoreEvent{Kind: EventJoinRefused, Group: g})
	}
}

func (g *GroupCore) streamEvent(ev multicast.Event) {
	switch ev.Kind {
	case multicast.StreamAnnounced:
		g.core.report(CoreEvent{Kind: EventStream, Group: g, Name: ev.Name})
	case multicast.StreamEnded:
		g.core.report(CoreEvent{Kind: EventStreamEnded, Group: g, Name: ev.Name})
	case multicast.NeighborBanned:
		// On the ring it stays a neighbor: what goes on there is no affair of streams.
		g.core.report(CoreEvent{Kind: EventNeighborBanned, Group: g, Peer: PeerID(ev.Peer)})
	}
}

func (g *GroupCore) flowOpened(now clock.Time, kind flowKind, link group.LinkID, recv group.RecvID, metadata []byte, reply group.FlowID) group.Delivery {
	switch {
	case kind == flowGroup:
		return g.group.FlowOpened(now, link, recv, metadata, reply)
	case kind == flowStream:
		return g.streams.FlowOpened(now, link, recv, metadata, reply)
	case kind == flowRecords:
		return g.Records(now).FlowOpened(now, link, recv, metadata)
	case kind == flowObjects && g.Objects(now) != nil:
		return g.objects.FlowOpened(now, link, recv, metadata)
	case kind == flowPosts && g.posts != nil:
		return g.posts.FlowOpened(now, link, recv, metadata)
	}
	return group.Reject
}

// flowReceiver is what all cores have in common that take messages.
type flowReceiver interface {
	Message(now clock.Time, recv group.RecvID, msg []byte)
	FlowClosed(now clock.Time, recv group.RecvID)
	FlowRejected(now clock.Time, flow group.FlowID)
}

// receiver returns the core whose flows are of a kind. There are no flows of
// a core that is not there.
func (g *GroupCore) receiver(kind flowKind) flowReceiver {
	switch kind {
	case flowStream:
		return g.streams
	case flowPosts:
		return g.posts
	case flowRecords:
		return g.records
	case flowObjects:
		return g.objects
	}
	return g.group
}

// groupLinks is what the group and its streams see of the transport.
type groupLinks struct {
	g    *GroupCore
	kind flowKind
}

func (l groupLinks) Dial(now clock.Time, peer group.PeerID, addrs []element.Address, via []group.LinkID) {
	c := l.g.core
	if s := c.ep.Session(PeerID(peer)); s != nil && c.links.get(handle(s.User)) != nil {
		c.ready = append(c.ready, dial{peer, l.g})
		return
	}
	candidates := addresses(addrs)
	for _, id := range via {
		if k := c.links.get(uint32(id)); k != nil {
			candidates = append(candidates, k.session.FarAddr())
		}
	}
	if _, err := c.ep.DialSparing(now, PeerID(peer), candidates); err != nil {
		c.ready = append(c.ready, dial{peer, l.g}) // answered as failed on the next turn
		return
	}
	c.dials = append(c.dials, dial{peer, l.g})
}

// SetKeepalive implements group.Upkeep.
func (l groupLinks) SetKeepalive(now clock.Time, id group.LinkID, d time.Duration) {
	k := l.g.core.links.get(uint32(id))
	if k == nil {
		return
	}
	i := slices.IndexFunc(k.keep, func(x keepalive) bool { return x.owner == l.g })
	if i < 0 {
		k.keep = append(k.keep, keepalive{l.g, d})
	} else {
		k.keep[i].d = d
	}
	k.tune(now)
}

// CancelDial implements group.Upkeep.
func (l groupLinks) CancelDial(now clock.Time, peer group.PeerID) {
	c := l.g.core
	others := false
	mine := func(d dial) bool {
		others = others || d.peer == peer && d.owner != l.g
		return d.peer == peer && d.owner == l.g
	}
	c.dials = slices.DeleteFunc(c.dials, mine)
	c.ready = slices.DeleteFunc(c.ready, mine)
	if s := c.ep.Session(PeerID(peer)); s != nil && !others && s.State() == transport.StateIHelloSent {
		s.Close(now)
	}
}

func (l groupLinks) HangUp(now clock.Time, id group.LinkID) {
	c := l.g.core
	k := c.links.get(uint32(id))
	if k == nil {
		return
	}
	for i, u := range k.users {
		if u == l.g {
			k.users = append(k.users[:i:i], k.users[i+1:]...)
			break
		}
	}
	k.keep = slices.DeleteFunc(k.keep, func(x keepalive) bool { return x.owner == l.g })
	k.tune(now)
	if len(k.users) == 0 && !k.boot {
		c.orphaned(now, id, hungUpGrace)
	}
}

// Priorities and urgency of the classes (RFC 7016 §1.1: eight priorities, the
// upper half of them time critical).
var classOptions = [...]transport.FlowOptions{
	group.ClassControl: {Priority: 6},
	group.ClassMedia:   {Priority: 5, TimeCritical: true},
	group.ClassBulk:    {Priority: 2, Background: true},
}

func (l groupLinks) OpenFlow(now clock.Time, id group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID {
	c := l.g.core
	k := c.links.get(uint32(id))
	if k == nil {
		return 0
	}
	o := classOptions[class]
	o.Metadata = metadata
	if reply != 0 {
		r := c.recvs.get(uint32(reply))
		if r == nil {
			return 0
		}
		o.Reply = r.flow
	}
	f, err := k.session.OpenFlow(now, o)
	if err != nil {
		return 0
	}
	h := c.flows.add(sendFlow{flow: f, link: id, owner: l.g, kind: l.kind})
	f.User = h
	return group.FlowID(h)
}

func (l groupLinks) CloseFlow(now clock.Time, id group.FlowID) {
	if f := l.g.core.flows.get(uint32(id)); f != nil {
		flow := f.flow
		l.g.core.flows.remove(uint32(id))
		flow.Close(now)
	}
}

func (l groupLinks) RejectFlow(now clock.Time, id group.RecvID) {
	if r := l.g.core.recvs.get(uint32(id)); r != nil {
		flow := r.flow
		l.g.core.recvs.remove(uint32(id))
		flow.Reject(now, rejectByMember)
	}
}

func (l groupLinks) Send(now clock.Time, id group.FlowID, msg []byte, deadline clock.Time) {
	l.send(now, id, msg, transport.SendOptions{Deadline: deadline})
}

// flushed reports whether all that was sent on flows of the group itself has been
// acknowledged.
func (g *GroupCore) flushed() bool {
	for i := range g.core.flows.rows {
		r := &g.core.flows.rows[i]
		if r.used && r.value.owner == g && r.value.kind == flowGroup && r.value.flow.Buffered() > 0 {
			return false
		}
	}
	return true
}

// SendReceipt is of replication.Flows.
func (l groupLinks) SendReceipt(now clock.Time, id group.FlowID, head, body []byte, number uint64) {
	if !l.send(now, id, head, transport.SendOptions{Receipt: number, Shared: body}) {
		l.g.unsent = append(l.g.unsent, unsent{id, number}) // told on the next turn
	}
}

// unsent is a message of an object that transport did not take.
type unsent struct {
	flow   group.FlowID
	number uint64
}

// Hold is of replication.Flows.
func (l groupLinks) Hold(now clock.Time, id group.LinkID) { l.g.group.Hold(now, id) }

func (l groupLinks) send(now clock.Time, id group.FlowID, msg []byte, o transport.SendOptions) bool {
	f := l.g.core.flows.get(uint32(id))
	if f == nil {
		return false
	}
	if l.kind != flowGroup {
		l.g.group.Sent(now, f.link)
	}
	// What a full send buffer refuses, the receiver gets from others.
	if f.flow.Send(now, msg, o) != nil {
		l.g.core.counters.MessagesRefused++
		return false
	}
	l.g.traffic[l.kind].Sent += uint64(len(msg) + len(o.Shared))
	if w := l.g.core.cfg.Watch; w != nil {
		w.sent(f.flow, slices.Concat(msg, o.Shared))
	}
	return true
}

func (l groupLinks) Backlog(id group.FlowID) int {
	if f := l.g.core.flows.get(uint32(id)); f != nil {
		return f.flow.Queued()
	}
	return 0
}

func (l groupLinks) RTT(id group.LinkID) time.Duration {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.SRTT()
	}
	return 0
}

func (l groupLinks) LastHeard(id group.LinkID) clock.Time {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.LastHeard()
	}
	return 0
}

func (l groupLinks) Nonces(id group.LinkID) (near, far [32]byte) {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.Nonces()
	}
	return near, far
}

func (l groupLinks) FarAddr(id group.LinkID) netip.AddrPort {
	if k := l.g.core.links.get(uint32(id)); k != nil {
		return k.session.FarAddr()
	}
	return netip.AddrPort{}
}
