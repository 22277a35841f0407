package multicast

import (
	"bytes"
	"hash"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Flows is what multicast needs of whatever carries it, a part of group.Links:
// flows of messages to the neighbors. Messages are copied before Send returns,
// and nothing is reported from within a call. Calls that name a link or flow
// that has gone are ignored.
type Flows interface {
	OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID
	CloseFlow(now clock.Time, flow group.FlowID)
	RejectFlow(now clock.Time, recv group.RecvID)
	Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time)
	Backlog(flow group.FlowID) int
	RTT(link group.LinkID) time.Duration
	SlowStart(link group.LinkID) bool       // it is still finding out how much it carries
	LastHeard(link group.LinkID) clock.Time // anything at all, acknowledgements included
}

// Metadata of the flows of a stream (groups-wire.md §3.1).
var (
	metaControl = []byte{0x00, 0x47, 0x52, 0x11}
	metaMedia   = []byte{0x00, 0x47, 0x52, 0x12}
)

// Member is a neighbor of the group as multicast sees it.
type Member struct {
	Peer    group.PeerID
	Session group.RecvID // the neighbor's group session flow, with which control flows are associated
	Modern  bool         // understands the messages that are ours
}

// Service holds the streams of one group on one node.
type Service struct {
	cfg      Config
	flows    Flows
	timers   clock.Queue[*stream]
	events   []Event
	counters Counters
	scratch  []byte // for messages on their way out
	upload   allowance
	uplink   uplink
	reserved uint64 // of the upload limit, by others

	neighbors []*neighbor // in the order in which they came
	byLink    map[group.LinkID]*neighbor
	inflows   map[group.RecvID]*inflow
	outflows  map[group.FlowID]*peer
	streams   []*stream // in the order in which they became known
	byKey     map[Key]*stream
	subs      []*Subscription
	graves    []grave // streams that ended lately, oldest first
	exiles    []exile // neighbors that were cut off lately, likewise
	company   company
	hasher    hash.Hash
	sum       []byte
	observe   func(now clock.Time, id uint64)
}

// neighbor is a member that this node has a link with.
type neighbor struct {
	Member
	link      group.LinkID
	peers     []*peer
	flows     []group.RecvID // accepted from it
	lastHeard clock.Time     // any message of any stream; see quiet
	suspect   bool           // went silent while it should have pushed
	banned    bool           // sent what no publisher did
}

// quiet returns how long nothing has come from a neighbor. One that is fed
// acknowledges what it gets, though it may have nothing to say.
func (s *Service) quiet(now clock.Time, n *neighbor) time.Duration {
	return now.Sub(max(n.lastHeard, s.flows.LastHeard(n.link)))
}

// inflow is a flow that a neighbor sends on.
type inflow struct {
	n     *neighbor
	p     *peer // nil until a control flow says which stream it is for
	media bool
}

// grave remembers a stream that ended, so that a neighbor who has not heard of
// it does not bring it back.
type grave struct {
	key Key
	at  clock.Time
}

// New returns a Service that knows no neighbors and no streams.
func New(cfg Config, flows Flows) *Service {
	return &Service{
		cfg:      cfg.withDefaults(),
		flows:    flows,
		byLink:   map[group.LinkID]*neighbor{},
		inflows:  map[group.RecvID]*inflow{},
		outflows: map[group.FlowID]*peer{},
		byKey:    map[Key]*stream{},
	}
}

// Observe has f called with every fragment of any stream that comes for the
// first time, at once, for measurements: f must not call into the Service.
func (s *Service) Observe(f func(now clock.Time, id uint64)) { s.observe = f }

// NeighborUp tells that the group has a new neighbor. Streams that this node
// carries are described to it at once.
func (s *Service) NeighborUp(now clock.Time, link group.LinkID, m Member) {
	s.Welcome(now, link, m, nil)
}

// Welcome is NeighborUp for a neighbor that came with a wish: see Wish.
func (s *Service) Welcome(now clock.Time, link group.LinkID, m Member, wish []byte) {
	if s.byLink[link] != nil {
		return
	}
	if len(s.neighbors) >= s.cfg.MaxNeighbors {
		s.counters.NeighborsRefused++
		return
	}
	n := &neighbor{Member: m, link: link, lastHeard: now, banned: s.exiled(now, m.Peer, nil)}
	s.neighbors = append(s.neighbors, n)
	s.byLink[link] = n
	if n.banned {
		return
	}
	for _, st := range s.streams {
		if st.active {
			st.greet(now, st.peerOf(n), wishes(wish, st.desc.name))
		}
	}
}

// NeighborDown tells that a neighbor's link has gone, with all its flows.
func (s *Service) NeighborDown(now clock.Time, link group.LinkID) {
	n := s.byLink[link]
	if n == nil {
		return
	}
	delete(s.byLink, link)
	s.neighbors = without(s.neighbors, n)
	for _, recv := range n.flows {
		delete(s.inflows, recv)
	}
	for _, p := range append([]*peer(nil), n.peers...) {
		delete(s.outflows, p.ctrlOut)
		delete(s.outflows, p.mediaOut)
		p.ctrlOut, p.mediaOut = 0, 0
		p.st.peerSilent(now, p)
		p.st.removePeer(p)
	}
}

// FlowOpened tells that a neighbor opened a flow, and returns how its messages
// should be delivered. reply is this node's own flow that it answers, if any.
func (s *Service) FlowOpened(now clock.Time, link group.LinkID, recv group.RecvID, metadata []byte, reply group.FlowID) group.Delivery {
	n := s.byLink[link]
	if n == nil || n.banned || len(n.flows) >= 4*s.cfg.MaxStreams {
		s.counters.FlowsRefused++
		return group.Reject
	}
	switch {
	case bytes.Equal(metadata, metaControl):
		s.accept(recv, &inflow{n: n})
		return group.InOrder
	case bytes.Equal(metadata, metaMedia):
		// It answers our control flow of its stream; there is nothing else that
		// tells which one it belongs to.
		p := s.outflows[reply]
		if p == nil || p.n != n {
			s.counters.FlowsRefused++
			return group.Reject
		}
		s.accept(recv, &inflow{n: n, p: p, media: true})
		return group.AsReceived
	}
	s.counters.FlowsRefused++
	return group.Reject
}

func (s *Service) accept(recv group.RecvID, in *inflow) {
	s.inflows[recv] = in
	in.n.flows = append(in.n.flows, recv)
}

// Message delivers a message on a flow that was accepted. msg is not kept.
func (s *Service) Message(now clock.Time, recv group.RecvID, msg []byte) {
	in := s.inflows[recv]
	if in == nil {
		s.counters.Unexpected++
		return
	}
	in.n.lastHeard = now
	in.n.suspect = false
	switch {
	case len(msg) == 0:
		s.counters.Malformed++
	case in.media:
		in.p.st.onFragment(now, in.p, msg)
	case in.p == nil:
		s.bind(now, recv, in, msg)
	default:
		s.onControl(now, in.p, msg)
	}
}

// bind takes the first message of a control flow, which has to describe the
// stream.
func (s *Service) bind(now clock.Time, recv group.RecvID, in *inflow, msg []byte) {
	d, ok := consumeDescription(msg)
	if !ok {
		s.counters.Malformed++
		s.reject(now, recv)
		return
	}
	if !s.admits(now, in.n, &d) {
		s.reject(now, recv)
		return
	}
	st := s.byKey[d.key]
	if st == nil {
		if st = s.discover(now, d); st == nil {
			s.reject(now, recv)
			return
		}
	}
	p := st.peerOf(in.n)
	if p.ctrlIn != 0 || st.desc.name != d.name {
		// "A second description for a known key on the same peering is refused."
		s.counters.Unexpected++
		s.reject(now, recv)
		return
	}
	in.p = p
	p.ctrlIn = recv
	p.refused = false
	if d.author != nil && !st.signed() {
		st.becomeSigned(now, d)
	}
	st.stats.ControlBytesReceived += uint64(len(msg))
	s.reviewSubscriptions(now)
	st.review(now)
	if st.active {
		p.synced = false // what it was told before it carried the stream, it did not keep
		st.greet(now, p, false)
		st.replan = true
		st.wake(now)
	}
}

// discover makes a stream of a description that was not known before, nil if
// it is not wanted here.
func (s *Service) discover(now clock.Time, d description) *stream {
	if s.buried(now, d.key) {
		return nil
	}
	if len(s.streams) >= s.cfg.MaxStreams {
		s.counters.StreamsRefused++
		return nil
	}
	st := newStream(s, d)
	s.streams = append(s.streams, st)
	s.byKey[d.key] = st
	s.emit(Event{Kind: StreamAnnounced, Name: d.name, Key: d.key})
	return st
}

func (s *Service) dropStream(st *stream) {
	if s.byKey[st.desc.key] != st {
		return
	}
	for _, p := range append([]*peer(nil), st.peers...) {
		st.removePeer(p)
	}
	delete(s.byKey, st.desc.key)
	s.streams = without(s.streams, st)
	s.timers.Stop(&st.timer)
}

func (s *Service) bury(now clock.Time, key Key) {
	if len(s.graves) >= maxGraves {
		s.graves = append(s.graves[:0], s.graves[1:]...)
	}
	s.graves = append(s.graves, grave{key, now})
}

func (s *Service) buried(now clock.Time, key Key) bool {
	for i := range s.graves {
		if s.graves[i].key == key && now.Sub(s.graves[i].at) < graveTime {
			return true
		}
	}
	return false
}

// onControl takes a message of a stream's control flow after the first.
func (s *Service) onControl(now clock.Time, p *peer, msg []byte) {
	st := p.st
	typ := msg[0]
	if typ >= msgState && !p.n.Modern {
		s.counters.Unexpected++
		return
	}
	if typ == msgStart {
		st.onFragment(now, p, msg[1:])
		return
	}
	st.stats.ControlBytesReceived += uint64(len(msg))
	if typ == msgEnd || typ == msgDescription && len(msg) < maxEndMessage {
		if last, signature, ok := consumeEnd(msg); !ok {
			s.counters.Malformed++
		} else {
			st.hearEnd(now, p, last, signature)
		}
		return
	}
	if !st.active {
		// Left over from when the stream was carried, or meant for a moment when
		// it will be: that begins with a new exchange of all that is held.
		return
	}
	ok := true
	switch typ {
	case msgState:
		ok = st.onState(now, p, msg)
	case msgAvailability:
		ok = st.onAvailability(now, p, msg)
	case msgPush:
		var mask byte
		if mask, ok = consumePush(msg); ok {
			st.onAsk(now, p, ask{mask: mask})
		}
	case msgAsk:
		var a ask
		if a, ok = consumeAsk(msg); ok {
			st.onAsk(now, p, a)
		}
	case msgRefuse:
		var mask byte
		var hints []byte
		if mask, hints, ok = consumeRefuse(msg); ok {
			st.onRefuse(now, p, mask, hints)
		}
	case msgPull:
		var id uint64
		if id, ok = consumePull(msg); ok {
			st.serve(now, p, id)
		}
	case msgFetch:
		var first uint64
		var bitmap []byte
		if first, bitmap, ok = consumeFetch(msg); ok {
			st.onFetch(now, p, first, bitmap)
		}
	case msgWho:
		if ok = len(msg) == 2 && msg[1] < numSlices; ok {
			st.onWho(now, p, int(msg[1]))
		}
	case msgSeek:
		var back uint64
		if back, ok = consumeSeek(msg); ok {
			st.onSeek(now, p, back)
		}
	case msgFound:
		var f found
		if f, ok = consumeFound(msg); ok {
			st.onFound(now, p, &f)
		}
	case msgRecall:
		var first uint64
		var bitmap []byte
		if first, bitmap, ok = consumeRecall(msg); ok {
			st.onRecall(now, p, first, bitmap)
		}
	case msgGone:
		var oldest, first uint64
		var bitmap []byte
		if oldest, first, bitmap, ok = consumeGone(msg); ok {
			st.onGone(now, p, oldest, first, bitmap)
		}
	case msgWay:
		var w way
		if w, ok = consumeWay(msg); ok {
			st.onWay(now, p, &w)
		}
	default:
		s.counters.Unexpected++
	}
	if !ok {
		s.counters.Malformed++
	}
}

// FlowClosed tells that the neighbor closed a flow that was accepted.
func (s *Service) FlowClosed(now clock.Time, recv group.RecvID) {
	in := s.inflows[recv]
	if in == nil {
		return
	}
	delete(s.inflows, recv)
	in.n.flows = without(in.n.flows, recv)
	if in.p != nil && !in.media && in.p.ctrlIn == recv {
		in.p.st.peerSilent(now, in.p)
	}
}

// FlowRejected tells that the neighbor refused a flow of this node.
func (s *Service) FlowRejected(now clock.Time, flow group.FlowID) {
	p := s.outflows[flow]
	if p == nil {
		return
	}
	delete(s.outflows, flow)
	switch flow {
	case p.mediaOut:
		p.mediaOut = 0
		p.children, p.leaving, p.later, p.ending = 0, 0, 0, 0
	case p.ctrlOut:
		p.ctrlOut = 0
		p.refused, p.synced = true, false
		p.asked = 0
		p.st.dropParent(now, p)
		p.st.releaseGaps(now, p)
	default:
		p.st.recallRejected(p, flow)
	}
}

func (s *Service) reject(now clock.Time, recv group.RecvID) {
	in := s.inflows[recv]
	if in == nil {
		return // with all others of a neighbor that was cut off
	}
	delete(s.inflows, recv)
	in.n.flows = without(in.n.flows, recv)
	s.flows.RejectFlow(now, recv)
}

func (s *Service) openFlow(now clock.Time, p *peer, metadata []byte, reply group.RecvID, class group.Class) group.FlowID {
	flow := s.flows.OpenFlow(now, p.n.link, metadata, reply, class)
	if flow != 0 {
		s.outflows[flow] = p
	}
	return flow
}

func (s *Service) closeFlow(now clock.Time, flow *group.FlowID) {
	delete(s.outflows, *flow)
	s.flows.CloseFlow(now, *flow)
	*flow = 0
}

// Advance does what is due at now. Call it after every batch of input.
func (s *Service) Advance(now clock.Time) {
	for t := s.timers.Pop(now); t != nil; t = s.timers.Pop(now) {
		t.Owner.advance(now)
	}
}

// Deadline returns when Advance has to be called next, clock.Never if only
// input can change anything. It is in the past after input that leaves
// something to do at once.
func (s *Service) Deadline() clock.Time { return s.timers.Next() }

// Publish begins a stream, which is signed if this node has a key for that.
// Errors: ErrName, ErrBusy, ErrTooMany, ErrNoKey.
func (s *Service) Publish(now clock.Time, name string, cfg StreamConfig) (*Publication, error) {
	if len(name) == 0 || len(name) > maxName {
		return nil, ErrName
	}
	if len(s.streams) >= s.cfg.MaxStreams {
		s.counters.StreamsRefused++
		return nil, ErrTooMany
	}
	for _, st := range s.streams {
		if st.pub != nil && !st.ended && st.desc.name == name {
			return nil, ErrBusy
		}
	}
	cfg = cfg.withDefaults()
	var key Key
	for i := 0; i < len(key); i += 8 {
		v := s.cfg.Rand.Uint64()
		for j := range 8 {
			key[i+j] = byte(v >> (8 * j))
		}
	}
	d := describe(name, key, cfg)
	switch {
	case s.cfg.Keys != nil && s.cfg.Keys.Certificate() != nil:
		s.sign(&d, cfg.Grant, [nonceSize]byte(key[:]))
		key = d.key
	case !s.cfg.AllowUnsigned:
		return nil, ErrNoKey
	}
	st := newStream(s, d)
	p := &Publication{st: st, cfg: cfg}
	p.run.cutAt = clock.Never
	st.pub = p
	s.streams = append(s.streams, st)
	s.byKey[key] = st
	st.begin(1, true)
	p.renewedAt = now
	st.review(now)
	s.reviewSubscriptions(now)
	return p, nil
}

// Play begins to receive the streams of a name, whether one is known already
// or not. Errors: ErrName, ErrTooMany.
func (s *Service) Play(now clock.Time, name string, cfg PlayConfig) (*Subscription, error) {
	if len(name) == 0 || len(name) > maxName {
		return nil, ErrName
	}
	if len(s.subs) >= s.cfg.MaxStreams {
		s.counters.StreamsRefused++
		return nil, ErrTooMany
	}
	p := &Subscription{s: s, name: name, cfg: cfg, back: min(max(cfg.Back, 0), maxBack*time.Millisecond)}
	s.subs = append(s.subs, p)
	s.reviewSubscriptions(now)
	return p, nil
}
