package replication

import (
	"bytes"
	"slices"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
)

// Member is a neighbor of the group that offers replication.
type Member struct {
	Peer    group.PeerID
	Session group.RecvID // its group session flow, with which ours are associated
}

// Service is the collections of one group on one node. After every call that
// takes an instant, call Advance, drain NextEvent, and come back no later than
// Deadline.
type Service struct {
	cfg     Config
	flows   Flows
	scratch []byte

	neighbors   []*neighbor // in the order in which they came
	byLink      map[group.LinkID]*neighbor
	byRecv      map[group.RecvID]inflow
	byFlow      map[group.FlowID]*neighbor // objects' flows
	collections map[CollectionID]*Collection
	wanting     []*Collection // those that want something, or have news, in the order in which that began
	lastNumber  uint64

	events []Event
	head   int
	held   int // bytes of objects in events
	due    int // and of those that were asked for
	spare  [][]byte
	large  int // bytes of the largest message with an object, of late

	requests    map[RequestID]*request
	lastRequest RequestID
	shipped     uint64 // number of the last object that was sent
	up, down    *Allowance

	turns  uint64 // of giving credit
	retry  []retry
	pace   pace
	hungry bool // somebody may have room for requests, or somebody's may be answered
	timers clock.Queue[alarm]
	news   clock.Timer[alarm]
	check  clock.Timer[alarm]
	refill clock.Timer[alarm] // when a limit permits the next object
	stats  Stats
}

type alarm uint8

const (
	alarmNews alarm = iota + 1
	alarmCheck
	alarmRefill
)

// neighbor is a member that this node has a link with.
type neighbor struct {
	Member
	link    group.LinkID
	flows   []group.RecvID // accepted from it
	control group.FlowID
	objects group.FlowID
	bad     int
	banned  clock.Time

	interests []*interest // what it opened, in the order in which it did
	byNumber  map[uint64]*interest

	fetching
	serving
}

// interest is a collection that a neighbor has open.
type interest struct {
	n      *neighbor
	id     CollectionID
	number uint64
	wants  bool
	paused bool
	has    Set
	c      *Collection // nil if it is not open here
	denied []denial
}

type inflow struct {
	n       *neighbor
	objects bool
}

// New returns a Service that knows no neighbors and has nothing open.
func New(cfg Config, flows Flows) *Service {
	s := &Service{
		cfg: cfg.withDefaults(), flows: flows,
		byLink: map[group.LinkID]*neighbor{}, byRecv: map[group.RecvID]inflow{}, byFlow: map[group.FlowID]*neighbor{},
		collections: map[CollectionID]*Collection{}, requests: map[RequestID]*request{},
	}
	if s.up = s.cfg.Upload; s.up == nil {
		s.up = NewAllowance(s.cfg.UploadLimit)
	}
	if s.down = s.cfg.Download; s.down == nil {
		s.down = NewAllowance(s.cfg.DownloadLimit)
	}
	s.news.Owner, s.check.Owner, s.refill.Owner = alarmNews, alarmCheck, alarmRefill
	return s
}

// NeighborUp tells that the group has a new neighbor that offers replication.
func (s *Service) NeighborUp(now clock.Time, link group.LinkID, m Member) {
	if s.byLink[link] != nil {
		return
	}
	if len(s.neighbors) >= s.cfg.MaxNeighbors {
		s.stats.Refused.Neighbors++
		return
	}
	n := &neighbor{Member: m, link: link}
	s.neighbors = append(s.neighbors, n)
	s.byLink[link] = n
	for _, c := range s.wanting {
		if !c.want.Empty() {
			s.tellOpen(now, n, c)
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
	delete(s.byFlow, n.objects)
	for _, recv := range n.flows {
		delete(s.byRecv, recv)
	}
	s.neighbors = slices.DeleteFunc(s.neighbors, func(m *neighbor) bool { return m == n })
	s.forget(now, n)
}

// forget drops all that a neighbor has, asks for, and was asked for.
func (s *Service) forget(now clock.Time, n *neighbor) {
	for _, it := range n.interests {
		if it.c != nil {
			it.c.removeSource(it)
			it.c.soleGone(n)
		}
	}
	n.interests, n.byNumber = nil, nil
	s.unask(now, n)
	s.dropRequests(n)
	s.hungry = true
}

// FlowOpened tells that a neighbor opened a flow, and returns how its messages
// should be delivered.
func (s *Service) FlowOpened(now clock.Time, link group.LinkID, recv group.RecvID, metadata []byte) group.Delivery {
	n := s.byLink[link]
	if n == nil || len(n.flows) >= 4 || n.banned > now {
		s.stats.Refused.Flows++
		return group.Reject
	}
	objects := bytes.Equal(metadata, metaObjects)
	if !objects && !bytes.Equal(metadata, metaControl) {
		s.stats.Refused.Flows++
		return group.Reject
	}
	n.flows = append(n.flows, recv)
	s.byRecv[recv] = inflow{n, objects}
	if objects {
		return group.AsReceived
	}
	return group.InOrder
}

// FlowClosed tells that the neighbor closed a flow that was accepted.
func (s *Service) FlowClosed(now clock.Time, recv group.RecvID) {
	if in, ok := s.byRecv[recv]; ok {
		delete(s.byRecv, recv)
		in.n.flows = slices.DeleteFunc(in.n.flows, func(r group.RecvID) bool { return r == recv })
	}
}

// FlowRejected tells that the neighbor refused a flow of this node: it has no
// use for us.
func (s *Service) FlowRejected(now clock.Time, flow group.FlowID) {
	for _, n := range s.neighbors {
		if n.control == flow || n.objects == flow {
			s.ban(now, n)
			return
		}
	}
}

// ban has a neighbor left alone for a while.
func (s *Service) ban(now clock.Time, n *neighbor) {
	s.stats.Bans++
	n.banned, n.bad = now.Add(banTime), 0
	for _, recv := range n.flows {
		delete(s.byRecv, recv)
		s.flows.RejectFlow(now, recv)
	}
	delete(s.byFlow, n.objects)
	n.flows, n.control, n.objects = nil, 0, 0
	s.forget(now, n)
}

// Message delivers a message on a flow that was accepted. msg is not kept.
func (s *Service) Message(now clock.Time, recv group.RecvID, msg []byte) {
	s.message(now, recv, msg, false)
}

// Gathered is Message for one in a buffer of Buffer's, which is the Service's again.
func (s *Service) Gathered(now clock.Time, recv group.RecvID, msg []byte) {
	if !s.message(now, recv, msg, true) {
		s.Recycle(msg)
	}
}

// message reports whether msg is kept, which it may be if it is the Service's own.
func (s *Service) message(now clock.Time, recv group.RecvID, msg []byte, own bool) (kept bool) {
	in, ok := s.byRecv[recv]
	if !ok || in.n.banned > now {
		s.stats.Refused.Unasked++
		return false
	}
	n := in.n
	switch {
	case len(msg) == 0:
		ok = false
	case in.objects:
		ok, kept = s.onObject(now, n, msg, own)
	default:
		s.stats.ControlIn += uint64(len(msg))
		ok = s.onControl(now, n, msg)
	}
	if !ok {
		s.stats.Refused.Malformed++
		if n.bad++; n.bad >= maxBad {
			s.ban(now, n)
		}
	}
	return kept
}

func (s *Service) onControl(now clock.Time, n *neighbor, msg []byte) bool {
	if msg[0] == msgOpen {
		number, id, flags, ok := parseOpen(msg)
		if ok {
			s.onOpen(now, n, number, id, flags)
		}
		return ok
	}
	switch msg[0] {
	case msgCancel:
		return s.onCancel(n, msg[1:])
	case msgDeny:
		return s.onDeny(now, n, msg[1:])
	case msgKeen:
		s.onKeen(n)
		return true
	case msgCredit:
		return s.onCredit(n, msg[1:])
	case msgPass:
		return s.onPass(n, msg[1:])
	}
	number, i := element.ConsumeVLU(msg[1:])
	if i == 0 {
		return false
	}
	it, rest := n.byNumber[number], msg[1+i:]
	switch msg[0] {
	case msgRequest: // by our number
		return s.onRequest(now, n, number, rest)
	case msgClose:
		if it != nil {
			s.dropInterest(now, it)
		}
		return true
	case msgHave, msgGone:
		if !validRuns(rest) {
			return false
		}
		if it != nil {
			s.onRuns(now, it, rest, msg[0] == msgHave)
		}
		return true
	}
	return true // newer than we are
}

// onOpen takes that a neighbor has a collection open, or wants something of
// it or nothing any more.
func (s *Service) onOpen(now clock.Time, n *neighbor, number uint64, id CollectionID, flags byte) {
	it := n.byNumber[number]
	if it != nil && it.id != id {
		s.dropInterest(now, it)
		it = nil
	}
	if it == nil {
		if len(n.interests) >= s.cfg.MaxInterests {
			s.stats.Refused.Interests++
			return
		}
		it = &interest{n: n, id: id, number: number, c: s.collections[id]}
		if n.byNumber == nil {
			n.byNumber = map[uint64]*interest{}
		}
		n.interests = append(n.interests, it)
		n.byNumber[number] = it
		if it.c != nil {
			it.c.sources = append(it.c.sources, it)
		}
	}
	if it.c == nil && !it.wants && flags&flagWants != 0 && len(s.events)-s.head < s.cfg.MaxEvents {
		s.emit(Event{Kind: Sought, ID: id, Link: n.link, Peer: n.Peer})
	}
	wanted := it.wants
	it.wants = flags&flagWants != 0
	resumed := it.paused && flags&flagPaused == 0
	if it.paused = flags&flagPaused != 0; resumed && it.c != nil && it.useful() {
		s.beKeen(now, n)
	}
	if it.c != nil && it.wants && !wanted {
		s.tellAll(now, it)
	}
}

func (s *Service) dropInterest(now clock.Time, it *interest) {
	n := it.n
	delete(n.byNumber, it.number)
	n.interests = slices.DeleteFunc(n.interests, func(x *interest) bool { return x == it })
	if it.c == nil {
		return
	}
	it.c.removeSource(it)
	it.c.soleGone(n)
	for _, a := range slices.Clone(n.asked) {
		if a.c == it.c {
			s.unaskOne(now, a)
		}
	}
	s.hungry = true
}

// onRuns takes what a neighbor has, or has no more.
func (s *Service) onRuns(now clock.Time, it *interest, b []byte, have bool) {
	last, useful := uint64(0), false
	for len(b) > 0 {
		r, n := consumeRun(b, last)
		last, b = r.End, b[n:]
		if have {
			it.has.Add(r)
		} else {
			it.has.Remove(r)
		}
		if it.has.Pages() > s.cfg.MaxPages {
			s.stats.Refused.Pages++
			it.has.Remove(r)
		}
		if have && it.c != nil {
			it.spread(r)
		}
		if have && it.c != nil && !useful {
			i, ok := it.c.free.Next(r.Start)
			useful = ok && i < r.End
		}
	}
	if useful {
		s.beKeen(now, it.n)
	}
}

// interestOf returns what a neighbor told of a collection, nil if nothing.
func (n *neighbor) interestOf(id CollectionID) *interest {
	for _, it := range n.interests {
		if it.id == id {
			return it
		}
	}
	return nil
}

// tellOpen tells a neighbor that a collection is open here.
func (s *Service) tellOpen(now clock.Time, n *neighbor, c *Collection) {
	if n.banned > now {
		return
	}
	var flags byte
	if !c.want.Empty() {
		flags |= flagWants
	}
	if c.paused {
		flags |= flagPaused
	}
	c.told[n.link] = true
	s.sendControl(now, n, appendOpen(s.scratch[:0], c.number, c.id, flags))
}

// tellAll tells a neighbor that wants something all that is here of it.
func (s *Service) tellAll(now clock.Time, it *interest) {
	c := it.c
	s.flushNews(now, c)
	if !c.told[it.n.link] {
		if c.have.Empty() {
			return
		}
		s.tellOpen(now, it.n, c)
	}
	s.sendRuns(now, it.n, msgHave, c, &c.have)
}

func (s *Service) sendRuns(now clock.Time, n *neighbor, kind byte, c *Collection, set *Set) {
	for from, more := uint64(0), !set.Empty(); more; {
		b := element.AppendVLU(append(s.scratch[:0], kind), c.number)
		b, from, more = appendRuns(b, set, from)
		s.sendControl(now, n, b)
	}
}

// flushNews tells those who want something of a collection what changed here.
func (s *Service) flushNews(now clock.Time, c *Collection) {
	if c.came.Empty() && c.went.Empty() {
		return
	}
	for _, it := range c.sources {
		if !it.wants && c.want.Empty() {
			continue // neither end has use for it
		}
		if !c.told[it.n.link] {
			s.tellOpen(now, it.n, c)
		}
		s.sendRuns(now, it.n, msgGone, c, &c.went)
		s.sendRuns(now, it.n, msgHave, c, &c.came)
	}
	c.came.Clear()
	c.went.Clear()
}

// sendControl sends a message that was built in s.scratch.
func (s *Service) sendControl(now clock.Time, n *neighbor, msg []byte) {
	s.scratch = msg[:0]
	if n.control == 0 {
		if n.banned > now {
			return
		}
		if n.control = s.flows.OpenFlow(now, n.link, metaControl, n.Session, group.ClassControl); n.control == 0 {
			return
		}
	}
	s.stats.ControlOut += uint64(len(msg))
	s.flows.Send(now, n.control, msg, clock.Never)
}

// Advance does what is due at now. Call it after every batch of input.
func (s *Service) Advance(now clock.Time) {
	for t := s.timers.Pop(now); t != nil; t = s.timers.Pop(now) {
		switch t.Owner {
		case alarmNews:
			s.tellNews(now)
		case alarmCheck:
			s.lookForStalls(now)
		case alarmRefill:
			s.hungry = true
		}
	}
	if s.hungry {
		s.hungry = false
		s.fetch(now)
		s.serve(now)
	}
}

func (s *Service) tellNews(now clock.Time) {
	s.wanting = slices.DeleteFunc(s.wanting, func(c *Collection) bool {
		s.flushNews(now, c)
		c.listed = !c.want.Empty()
		return !c.listed
	})
}

// Deadline returns when Advance has to be called next.
func (s *Service) Deadline() clock.Time {
	if s.hungry {
		return 0
	}
	return s.timers.Next()
}

// arm sets a timer unless it is set for earlier.
func (s *Service) arm(t *clock.Timer[alarm], at clock.Time) {
	if at < t.When() {
		s.timers.Set(t, at)
	}
}
