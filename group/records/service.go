package records

import (
	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// Member is a neighbor of the group that offers records.
type Member struct {
	Peer    group.PeerID
	Session group.RecvID // its group session flow, with which ours is associated
}

// Service is the records of one group on one node. After every call that takes
// an instant, call Advance, drain NextResult, and come back no later than Deadline.
type Service struct {
	cfg    Config
	flows  Flows
	router Router
	store  store

	neighbors []*neighbor // in the order in which they came
	byLink    map[group.LinkID]*neighbor
	byRecv    map[group.RecvID]*neighbor
	synced    span // the range that was looked after last

	requests map[group.RouteID]*request
	lookups  map[uint64]*lookup
	lastID   uint64
	lastReq  RequestID
	results  []Result
	puts     int64 // allowance for routed puts, in thousandths
	putsAt   clock.Time

	timers  clock.Queue[alarm]
	sync    clock.Timer[alarm]
	changed bool // neighbors came or went since
	expire  clock.Timer[alarm]
	stats   Stats
}

type alarm struct {
	kind   alarmKind
	lookup *lookup
	req    *request
}

type alarmKind uint8

const (
	alarmSync alarmKind = iota + 1
	alarmExpire
	alarmLookup
	alarmRetry
)

type neighbor struct {
	Member
	link   group.LinkID
	addr   ring.Addr
	out    group.FlowID
	in     group.RecvID
	fresh  bool // came since records were looked after last
	bad    int
	banned clock.Time
}

// Stats counts what a Service has done since it was made.
type Stats struct {
	Records      int    // held here
	Puts, Gets   uint64 // routed requests answered here
	Lookups      uint64 // of these gets: the neighbors were asked
	Copied       uint64 // records sent to neighbors
	Taken        uint64 // and taken from them
	Summaries    uint64 // sent
	Stale        uint64 // puts refused because a newer version is here
	BadSignature uint64
	Malformed    uint64
	Expired      uint64 // puts and copies refused because their time was over, or too far ahead
	Far          uint64 // copies refused because many neighbors are nearer
	Full         uint64 // refused for lack of room, of the store, the owner, or the key
	Rate         uint64 // puts above what is checked in a second
	Busy         uint64 // requests above Config.MaxRequests
	Unasked      uint64
	Timeouts     uint64 // own requests that nobody answered
	BytesOut     uint64 // to neighbors
}

// New returns a Service that knows no neighbors and no records.
func New(cfg Config, flows Flows, router Router) *Service {
	s := &Service{
		cfg: cfg.withDefaults(), flows: flows, router: router,
		store: store{
			byID: map[id]*Record{}, byOwner: map[group.PeerID]int{}, self: ring.OfPeer(cfg.Self),
		},
		byLink: map[group.LinkID]*neighbor{}, byRecv: map[group.RecvID]*neighbor{},
		requests: map[group.RouteID]*request{}, lookups: map[uint64]*lookup{},
		puts: putBurst * 1000,
	}
	s.sync.Owner = alarm{kind: alarmSync}
	s.expire.Owner = alarm{kind: alarmExpire}
	return s
}

// Stats returns the counters and the present state.
func (s *Service) Stats() Stats {
	st := s.stats
	st.Records = len(s.store.list)
	return st
}

func (s *Service) unixMilli(now clock.Time) int64 { return s.cfg.UnixMilli + int64(now)/1e6 }

// NeighborUp tells that the group has a new neighbor that offers records.
func (s *Service) NeighborUp(now clock.Time, link group.LinkID, m Member) {
	if s.byLink[link] != nil {
		return
	}
	n := &neighbor{Member: m, link: link, addr: ring.OfPeer(m.Peer), fresh: true}
	s.neighbors = append(s.neighbors, n)
	s.byLink[link] = n
	s.plan(now)
}

// NeighborDown tells that a neighbor's link has gone, with its flows.
func (s *Service) NeighborDown(now clock.Time, link group.LinkID) {
	n := s.byLink[link]
	if n == nil {
		return
	}
	delete(s.byLink, link)
	delete(s.byRecv, n.in)
	for i, m := range s.neighbors {
		if m == n {
			s.neighbors = append(s.neighbors[:i:i], s.neighbors[i+1:]...)
			break
		}
	}
	s.lookupsWithout(now, n)
	s.plan(now)
}

// plan has records follow the neighbors soon.
func (s *Service) plan(now clock.Time) {
	s.changed = true
	if at := now.Add(settleTime); at < s.sync.When() {
		s.timers.Set(&s.sync, at)
	}
}

// FlowOpened tells that a neighbor opened a flow.
func (s *Service) FlowOpened(now clock.Time, link group.LinkID, recv group.RecvID, meta []byte) group.Delivery {
	n := s.byLink[link]
	if n == nil || !IsFlow(meta) || n.in != 0 || n.banned > now {
		s.stats.Unasked++
		return group.Reject
	}
	n.in = recv
	s.byRecv[recv] = n
	return group.InOrder
}

// FlowClosed tells that the neighbor closed its flow.
func (s *Service) FlowClosed(now clock.Time, recv group.RecvID) {
	if n := s.byRecv[recv]; n != nil {
		delete(s.byRecv, recv)
		n.in = 0
	}
}

// FlowRejected tells that the neighbor refused this node's flow.
func (s *Service) FlowRejected(now clock.Time, flow group.FlowID) {
	for _, n := range s.neighbors {
		if n.out == flow {
			n.out, n.banned = 0, now.Add(banTime)
		}
	}
}

// Message delivers a message of a neighbor's flow. msg is not kept.
func (s *Service) Message(now clock.Time, recv group.RecvID, msg []byte) {
	n := s.byRecv[recv]
	if n == nil || n.banned > now {
		s.stats.Unasked++
		return
	}
	ok := false
	if len(msg) > 0 {
		switch msg[0] {
		case msgStore:
			ok = fields(msg[1:], func(v []byte) bool { return s.take(now, v) })
		case msgSummary:
			ok = s.onSummary(now, n, msg)
		case msgList:
			ok = s.onList(now, n, msg)
		case msgWant:
			ok = s.onWant(now, n, msg)
		case msgLookup:
			ok = s.onLookup(now, n, msg)
		case msgFound:
			ok = s.onFound(now, n, msg)
		default:
			ok = true // newer than we are
		}
	}
	if !ok {
		if n.bad++; n.bad >= maxBad {
			n.bad, n.banned = 0, now.Add(banTime)
		}
	}
}

// take keeps a copy that a neighbor sent. It returns false if no honest one
// would have.
func (s *Service) take(now clock.Time, encoded []byte) bool {
	d, ok := parseRecord(encoded)
	if !ok {
		s.stats.Malformed++
		return false
	}
	nearer := 0
	for _, n := range s.neighbors {
		if d.key.Nearer(n.addr, s.store.self) {
			nearer++
		}
	}
	if nearer >= farFactor*Replicas {
		s.stats.Far++
		return true
	}
	r, ok := s.open(encoded)
	if ok && s.insert(now, r) == repDone {
		s.stats.Taken++
	}
	return ok
}

// insert keeps a record whose signature is right, if there is cause and room,
// and returns the code of a reply.
func (s *Service) insert(now clock.Time, r *Record) byte {
	if left := r.UnixMilli - s.unixMilli(now); left <= 0 || left > (MaxTTL+clockSkew).Milliseconds() {
		s.stats.Expired++
		return repRefused
	}
	if old := s.store.byID[r.id]; old != nil {
		if old.check == r.check && old.Sequence == r.Sequence {
			return repDone
		}
		if !r.newer(old) {
			s.stats.Stale++
			return repStale
		}
	} else if s.store.byOwner[r.Owner] >= s.cfg.MaxPerOwner || len(s.store.under(r.Key)) >= maxPerKey {
		s.stats.Full++
		return repRefused
	} else if len(s.store.list) >= s.cfg.MaxRecords {
		worst := s.store.farthest()
		if !s.store.self.Nearer(r.Key, s.store.list[worst].Key) {
			s.stats.Full++
			return repRefused
		}
		s.store.remove(worst)
	}
	s.store.put(r)
	if s.expire.When() == clock.Never {
		s.timers.Set(&s.expire, now.Add(expirePeriod))
	}
	if s.sync.When() == clock.Never {
		s.timers.Set(&s.sync, now.Add(s.period()))
	}
	return repDone
}

func (s *Service) expireRecords(now clock.Time) {
	wall := s.unixMilli(now)
	for i := 0; i < len(s.store.list); {
		if s.store.list[i].UnixMilli <= wall {
			s.store.remove(i)
		} else {
			i++
		}
	}
	if len(s.store.list) > 0 {
		s.timers.Set(&s.expire, now.Add(expirePeriod))
	}
}

// send sends a message to a neighbor.
func (s *Service) send(now clock.Time, n *neighbor, msg []byte) {
	if n.out == 0 {
		if n.banned > now {
			return
		}
		if n.out = s.flows.OpenFlow(now, n.link, metadata, n.Session, group.ClassControl); n.out == 0 {
			return
		}
	}
	s.stats.BytesOut += uint64(len(msg))
	s.flows.Send(now, n.out, msg, clock.Never)
}

// sendRecords sends copies, in as many messages as it takes.
func (s *Service) sendRecords(now clock.Time, n *neighbor, list []*Record) {
	msg := []byte{msgStore}
	for _, r := range list {
		if len(msg)+len(r.encoded) > maxStoreBytes {
			s.send(now, n, msg)
			msg = []byte{msgStore}
		}
		msg = element.AppendField(msg, r.encoded)
		s.stats.Copied++
	}
	if len(msg) > 1 {
		s.send(now, n, msg)
	}
}

// nearestTo returns the neighbors nearest to an address, at most as many as
// hold a record beside this node.
func (s *Service) nearestTo(now clock.Time, to ring.Addr) []*neighbor {
	list := make([]*neighbor, 0, Replicas)
	for _, n := range s.neighbors {
		if n.banned > now {
			continue
		}
		i := len(list)
		for i > 0 && to.Nearer(n.addr, list[i-1].addr) {
			i--
		}
		if i == Replicas-1 {
			continue
		}
		if len(list) < Replicas-1 {
			list = append(list, nil)
		}
		copy(list[i+1:], list[i:])
		list[i] = n
	}
	return list
}

// Advance does what is due at now.
func (s *Service) Advance(now clock.Time) {
	for t := s.timers.Pop(now); t != nil; t = s.timers.Pop(now) {
		switch a := t.Owner; a.kind {
		case alarmSync:
			s.lookAfter(now)
		case alarmExpire:
			s.expireRecords(now)
		case alarmLookup:
			s.lookupDone(now, a.lookup)
		case alarmRetry:
			s.submit(now, a.req)
		}
	}
}

// Deadline returns when Advance has to be called next.
func (s *Service) Deadline() clock.Time { return s.timers.Next() }
