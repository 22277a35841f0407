package posting

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Member is a neighbor of the group that offers posting.
type Member struct {
	Peer    group.PeerID
	Session group.RecvID // its group session flow, with which ours are associated
}

// Service is the posts of one group on one node. After every call that takes
// an instant, call Advance, drain NextPost, and come back no later than Deadline.
type Service struct {
	cfg     Config
	flows   Flows
	addr    ring.Addr
	scratch []byte
	signed  []byte // scratch for what is signed

	series int64 // of this node's posts
	number uint64

	neighbors []*neighbor // in the order in which they came
	byLink    map[group.LinkID]*neighbor
	byRecv    map[group.RecvID]inflow
	slots     holders // those that are taken
	metAt     clock.Time
	everMet   bool

	trees   [numTrees]tree
	store   store
	authors authors
	missing map[key]*missing
	queue   []*Post
	head    int
	listen  bool

	lastPost clock.Time    // arrival of the last that was new
	pace     time.Duration // mean time between those, lately
	heardAny bool
	lateness lateness

	syncing syncState
	timers  clock.Queue[alarm]
	mesh    clock.Timer[alarm]
	tell    clock.Timer[alarm] // routes that changed
	changed byte               // trees whose routes are to be told
	flush   clock.Timer[alarm] // announcements
	expire  clock.Timer[alarm]
	silence clock.Timer[alarm]
	asking  []*neighbor // with requests that this turn has collected

	stats Stats
}

// alarm is what a timer is for.
type alarm struct {
	kind alarmKind
	tree int
	post *missing
}

type alarmKind uint8

const (
	alarmMesh alarmKind = iota + 1
	alarmTell
	alarmFlush
	alarmExpire
	alarmSilence
	alarmBeat
	alarmReview
	alarmFetch
	alarmSync
	alarmSyncLate
	alarmCompare
)

// neighbor is a member that this node has a link with.
type neighbor struct {
	Member
	slot    int
	link    group.LinkID
	addr    ring.Addr
	gone    bool
	flows   []group.RecvID // accepted from it
	control group.FlowID
	posts   group.FlowID
	history group.FlowID

	// What it tells and wants.
	routes    [numTrees]route
	children  byte // trees in which this node pushes to it
	wants     byte // flags of its ask
	lastHeard clock.Time
	heardSeq  uint64 // posts received here when it last said anything

	// What this node wants of it.
	asked    ask
	heard    bool // routes
	informer bool
	refused  [numTrees]clock.Time // asked in vain until then
	suspect  clock.Time           // not relied on until then
	banned   clock.Time
	offenses int
	request  []key // to be asked for this turn
	outbox   []key // to be announced
	served   int
	promised int // missing posts that it was the first to announce
	owes     int // answers to comparisons
	servedAt clock.Time
}

type inflow struct {
	n    *neighbor
	kind byte // last byte of the metadata
}

// New returns a Service that knows no neighbors and no posts. Its own posts
// are numbered from 1 in a series that begins at the instant now.
func New(now clock.Time, cfg Config, flows Flows) *Service {
	s := &Service{
		cfg:     cfg.withDefaults(),
		flows:   flows,
		addr:    ring.OfPeer(cfg.Self),
		byLink:  map[group.LinkID]*neighbor{},
		byRecv:  map[group.RecvID]inflow{},
		missing: map[key]*missing{},
	}
	s.store = newStore(s.cfg.HistoryBytes, s.cfg.MaxPosts)
	s.authors = authors{map[group.PeerID]*author{}, s.cfg.MaxAuthors}
	s.series = s.unixMilli(now)
	for k := range s.trees {
		t := &s.trees[k]
		var b [48]byte
		copy(b[:], "rtmfp posting ")
		b[15] = byte(k)
		copy(b[16:], cfg.GroupID[:])
		t.addr = sha256.Sum256(b[:])
		t.nearSelf = nearness(t.addr, s.addr)
		t.beat.Owner = alarm{kind: alarmBeat, tree: k}
		t.look.Owner = alarm{kind: alarmReview, tree: k}
	}
	for _, t := range [...]struct {
		timer *clock.Timer[alarm]
		kind  alarmKind
	}{
		{&s.mesh, alarmMesh}, {&s.tell, alarmTell}, {&s.flush, alarmFlush}, {&s.expire, alarmExpire},
		{&s.silence, alarmSilence}, {&s.syncing.next, alarmSync}, {&s.syncing.late, alarmSyncLate},
		{&s.syncing.compare, alarmCompare},
	} {
		t.timer.Owner = alarm{kind: t.kind}
	}
	return s
}

// nearness is how far an address is from a tree's: the first eight bytes of
// the distance.
func nearness(tree, addr ring.Addr) uint64 {
	d := tree.Distance(addr)
	return binary.BigEndian.Uint64(d[:8])
}

// Listen says whether posts are queued for NextPost. They are not before.
func (s *Service) Listen(on bool) {
	s.listen = on
	if !on {
		s.queue, s.head = nil, 0
	}
}

// NextPost returns the next post that came or was posted here.
func (s *Service) NextPost() (*Post, bool) {
	if s.head == len(s.queue) {
		if s.queue, s.head = s.queue[:0], 0; cap(s.queue) > 16 {
			s.queue = nil
		}
		return nil, false
	}
	p := s.queue[s.head]
	s.queue[s.head] = nil
	s.head++
	return p, true
}

func (s *Service) deliver(p *Post) {
	if !s.listen {
		return
	}
	if len(s.queue)-s.head >= s.cfg.MaxQueue {
		s.stats.Refused.Queue++
		return
	}
	s.queue = append(s.queue, p)
}

// History returns the posts that are kept from a time on, in milliseconds
// since 1970, by their authors' clocks and in that order.
func (s *Service) History(from int64) []*Post {
	var out []*Post
	for _, b := range s.store.buckets {
		if (int64(b.no)+1)*bucketMilli <= from {
			continue
		}
		for _, e := range b.entries {
			if e.post.UnixMilli >= from {
				out = append(out, e.post)
			}
		}
	}
	sortPosts(out)
	return out
}

// unixMilli is the wall-clock time of an instant.
func (s *Service) unixMilli(now clock.Time) int64 { return s.cfg.UnixMilli + int64(now)/1e6 }

// NeighborUp tells that the group has a new neighbor that offers posting.
func (s *Service) NeighborUp(now clock.Time, link group.LinkID, m Member) {
	if s.byLink[link] != nil {
		return
	}
	slot := 0
	for ; slot < s.cfg.MaxNeighbors && s.slots.has(slot); slot++ {
	}
	if slot == s.cfg.MaxNeighbors {
		s.stats.Refused.Neighbors++
		return
	}
	s.slots.add(slot)
	n := &neighbor{Member: m, slot: slot, link: link, addr: ring.OfPeer(m.Peer), lastHeard: now, heardSeq: s.stats.Received}
	s.neighbors = append(s.neighbors, n)
	s.byLink[link] = n
	if !s.everMet {
		s.everMet, s.metAt = true, now
	}
	s.arm(&s.mesh, now.Add(routeDelay))
	s.syncWith(now, n)
}

// arm sets a timer unless it is set for earlier.
func (s *Service) arm(t *clock.Timer[alarm], at clock.Time) {
	if at < t.When() {
		s.timers.Set(t, at)
	}
}

// NeighborDown tells that a neighbor's link has gone, with all its flows.
func (s *Service) NeighborDown(now clock.Time, link group.LinkID) {
	n := s.byLink[link]
	if n == nil {
		return
	}
	delete(s.byLink, link)
	n.gone = true
	for i, m := range s.neighbors {
		if m == n {
			s.neighbors = append(s.neighbors[:i:i], s.neighbors[i+1:]...)
			break
		}
	}
	for _, recv := range n.flows {
		delete(s.byRecv, recv)
	}
	n.control, n.posts, n.history = 0, 0, 0
	s.slots.remove(n.slot)
	s.freeSlot(n.slot)
	s.forgetSource(now, n)
	s.syncGone(now, n)
	for k := range s.trees {
		s.treeLost(now, k, n)
	}
	s.arm(&s.mesh, now.Add(routeDelay))
}

// freeSlot takes a neighbor that has gone out of the sets that it is in. Only
// what is recent is looked at when something is sent to whoever comes next.
func (s *Service) freeSlot(slot int) {
	for _, b := range s.store.buckets {
		for _, e := range b.entries {
			e.known.remove(slot)
			e.sent.remove(slot)
		}
	}
}

// FlowOpened tells that a neighbor opened a flow, and returns how its messages
// should be delivered.
func (s *Service) FlowOpened(now clock.Time, link group.LinkID, recv group.RecvID, metadata []byte) group.Delivery {
	n := s.byLink[link]
	if n == nil || len(n.flows) >= 8 || n.banned > now {
		s.stats.Refused.Flows++
		return group.Reject
	}
	d := group.AsReceived
	switch {
	case bytes.Equal(metadata, metaControl):
		d = group.InOrder
	case bytes.Equal(metadata, metaPosts), bytes.Equal(metadata, metaHistory):
	default:
		s.stats.Refused.Flows++
		return group.Reject
	}
	n.flows = append(n.flows, recv)
	s.byRecv[recv] = inflow{n, metadata[3]}
	return d
}

// FlowClosed tells that the neighbor closed a flow that was accepted.
func (s *Service) FlowClosed(now clock.Time, recv group.RecvID) {
	in, ok := s.byRecv[recv]
	if !ok {
		return
	}
	delete(s.byRecv, recv)
	for i, r := range in.n.flows {
		if r == recv {
			in.n.flows = append(in.n.flows[:i], in.n.flows[i+1:]...)
			break
		}
	}
}

// FlowRejected tells that the neighbor refused a flow of this node.
func (s *Service) FlowRejected(now clock.Time, flow group.FlowID) {
	for _, n := range s.neighbors {
		for _, f := range [...]*group.FlowID{&n.control, &n.posts, &n.history} {
			if *f == flow {
				*f = 0
				n.suspect = now.Add(banTime) // it has no use for us
				n.children = 0
				s.unrely(now, n)
			}
		}
	}
}

// Message delivers a message on a flow that was accepted. msg is not kept.
func (s *Service) Message(now clock.Time, recv group.RecvID, msg []byte) {
	in, ok := s.byRecv[recv]
	if !ok {
		s.stats.Refused.Unasked++
		return
	}
	n := in.n
	s.stats.MessagesIn++
	if n.banned > now {
		s.stats.Refused.Unasked++
		return
	}
	n.lastHeard, n.heardSeq = now, s.stats.Received
	if len(msg) == 0 {
		s.offense(now, n)
		return
	}
	if in.kind != metaControl[3] {
		s.stats.PayloadIn += uint64(len(msg))
		if msg[0] != msgPost || len(msg) < 2 || !s.onPost(now, n, msg[1], msg[2:]) {
			s.offense(now, n)
		}
		return
	}
	s.stats.ControlIn += uint64(len(msg))
	ok = false
	switch msg[0] {
	case msgRoutes:
		ok = s.onRoutes(now, n, msg)
	case msgAsk:
		var a ask
		if a, ok = parseAsk(msg); ok {
			s.onAsk(now, n, a)
		}
	case msgRefuse:
		var mask byte
		if mask, ok = parseRefuse(msg); ok {
			s.onRefuse(now, n, mask)
		}
	case msgHave:
		ok = s.onHave(now, n, msg)
	case msgWant:
		ok = s.onWant(now, n, msg)
	case msgLack:
		ok = s.onLack(now, n, msg)
	case msgCompare:
		var c compare
		if c, ok = parseCompare(msg); ok {
			s.onCompare(now, n, c)
		}
	case msgContents:
		var c contents
		if c, ok = parseContents(msg); ok {
			s.onContents(now, n, c)
		}
	default:
		ok = true // newer than we are
	}
	if !ok {
		s.offense(now, n)
	}
}

// offense counts a message that no honest member sends. A few of them, and the
// neighbor is not listened to for a minute.
func (s *Service) offense(now clock.Time, n *neighbor) {
	s.stats.Refused.Malformed++
	if n.offenses++; n.offenses < maxOffenses {
		return
	}
	n.offenses = 0
	n.banned, n.suspect = now.Add(banTime), now.Add(banTime)
	s.stats.Refused.Bans++
	n.children, n.wants = 0, 0
	s.unrely(now, n)
}

// unrely makes this node depend on others than n.
func (s *Service) unrely(now clock.Time, n *neighbor) {
	s.forgetSource(now, n)
	s.syncGone(now, n)
	for k := range s.trees {
		if s.trees[k].parent == n {
			s.loseParent(now, k)
		}
	}
	s.arm(&s.mesh, now.Add(routeDelay))
}

// sendControl sends a message that was built in s.scratch.
func (s *Service) sendControl(now clock.Time, n *neighbor, msg []byte) {
	s.stats.ControlOut += uint64(len(msg))
	s.send(now, n, &n.control, metaControl, group.ClassControl, msg)
}

func (s *Service) send(now clock.Time, n *neighbor, flow *group.FlowID, metadata []byte, class group.Class, msg []byte) {
	if cap(msg) <= keepBuffer {
		s.scratch = msg[:0]
	}
	if *flow == 0 {
		if *flow = s.flows.OpenFlow(now, n.link, metadata, n.Session, class); *flow == 0 {
			return
		}
	}
	s.stats.MessagesOut++
	s.flows.Send(now, *flow, msg, clock.Never)
}

// Advance does what is due at now. Call it after every batch of input.
func (s *Service) Advance(now clock.Time) {
	for t := s.timers.Pop(now); t != nil; t = s.timers.Pop(now) {
		switch a := t.Owner; a.kind {
		case alarmMesh:
			s.chooseMesh(now)
		case alarmTell:
			s.tellRoutes(now)
		case alarmFlush:
			s.announce(now)
		case alarmExpire:
			s.expireHistory(now)
		case alarmSilence:
			s.onSilence(now)
		case alarmBeat:
			s.beatTree(now, a.tree)
		case alarmReview:
			s.reviewTree(now, a.tree)
		case alarmFetch:
			s.fetch(now, a.post)
		case alarmSync:
			s.syncNext(now)
		case alarmSyncLate:
			s.syncLate(now)
		case alarmCompare:
			s.compareRecent(now)
		}
	}
	s.sendRequests(now)
}

// Deadline returns when Advance has to be called next, clock.Never if only
// input can change anything.
func (s *Service) Deadline() clock.Time {
	if len(s.asking) > 0 {
		return 0
	}
	return s.timers.Next()
}
