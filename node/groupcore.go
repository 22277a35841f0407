package node

import (
	"slices"

	"rtmfp/group"
	"rtmfp/group/records"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/posting"
	"rtmfp/replication"
	"rtmfp/replication/content"
	"rtmfp/replication/sources"
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
	archive *archive             // of members that keep much of a stream
	greeted []group.LinkID       // the links of neighbors, as the services know them

	results []records.Result // that the owner has not drained: no more than requests of its own

	unsent []unsent // objects that a full buffer refused, of which no receipt will come

	authority *group.Authority // who may do what
	traffic   [flowKinds]Bytes // of messages, by what they are for
}

// guestsWatch bounds the neighbors of an introducer's streams, which takes in more
// newcomers than others.
const guestsWatch = 256

const (
	maxKeepBytes  = 2<<30 - 1 // of one stream in memory, which fits an int anywhere
	fragmentBytes = 512       // of a fragment at least, on average, where more than usual is kept
)

func newGroupCore(now clock.Time, c *Core, spec *group.Spec) *GroupCore {
	g := &GroupCore{core: c, spec: spec, authority: group.NewAuthority(spec)}
	g.group = group.New(group.Config{
		Spec:          spec,
		Self:          group.PeerID(c.ID()),
		Rand:          c.seededRand(),
		Introduce:     c.cfg.Introduce,
		MaxPinned:     16, // half of them for streams, see multicast.Company
		AllowUnproven: c.cfg.AllowLegacy,
		Features:      features(spec),
		Authority:     g.authority,
		Wish:          func() []byte { return g.streams.Wish() },
		Rare:          c.cfg.Rare,
	}, g.links(flowGroup))
	keepBytes, keepFragments := int(min(c.cfg.KeepBytes, maxKeepBytes)), 0 // 0: the default
	if c.cfg.OpenPast != nil {
		keepBytes = 0 // that is what is on disk
	}
	if keepBytes > 64<<20 {
		keepFragments = keepBytes / fragmentBytes
	}
	neighbors := 0 // the default
	if c.cfg.Introduce {
		neighbors = guestsWatch
	}
	g.archive = &archive{g: g, at: clock.Never}
	if c.cfg.KeepWindow > 0 {
		g.archive.at = now.Add(archiveLook)
	}
	g.streams = multicast.New(multicast.Config{
		Archive:      g.archive,
		MaxNeighbors: neighbors,
		Company:      g.group,
		Rand:         c.seededRand(),
		GroupID:      spec.ID(),
		Keys:         c.keys(),
		MayPublish: func(now clock.Time, author group.PeerID, grant []byte) error {
			return g.authority.May(group.RightPublish, author, grant, c.wall(now).Milliseconds())
		},
		AllowUnsigned: c.cfg.AllowLegacy && !spec.Needs(group.RightPublish),
		RelayAll:      c.cfg.RelayAll,
		KeepWindow:    c.cfg.KeepWindow,

		MaxWindowBytes:     keepBytes,
		MaxWindowFragments: keepFragments,
		OpenPast:           c.cfg.OpenPast,
		MaxPastBytes:       c.cfg.KeepBytes,

		UploadLimit: c.cfg.UploadLimit,
		Rare:        c.cfg.Rare,
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
	g.archive.advance(now)
}

func (g *GroupCore) deadline() clock.Time {
	d := min(g.group.Deadline(), g.streams.Deadline(), g.archive.at)
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
		if !g.archive.result(now, r) && (g.finder == nil || !g.finder.Result(now, r)) {
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
		g.streams.Welcome(now, ev.Link, multicast.Member{
			Peer:    ev.Peer,
			Session: ev.Session,
			Modern:  ev.Features&group.FeatureMulticast != 0,
		}, ev.Wish)
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
