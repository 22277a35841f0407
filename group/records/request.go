package records

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// RequestID names a put or get of this node.
type RequestID uint64

// Result is the end of a put or get.
type Result struct {
	ID      RequestID
	Err     error     // nil, ErrStale, ErrRefused, or ErrUnreachable
	Records []*Record // what a get found, the newest first; the one that made a put stale
}

// request is a put or get of this node that is under way.
type request struct {
	id    RequestID
	to    ring.Addr
	msg   []byte
	get   bool
	tries int
	empty bool // an answer came, but found nothing
	timer clock.Timer[alarm]
}

// Put signs a value and gives it to the members nearest to the key, for a time.
// A sequence of zero takes the time in milliseconds since 1970. A Result tells
// what came of it. Errors: ErrTooLarge, ErrTTL, ErrNoKey, ErrBusy.
func (s *Service) Put(now clock.Time, key ring.Addr, value []byte, sequence uint64, ttl time.Duration) (RequestID, error) {
	certificate := s.cfg.Keys.Certificate()
	switch {
	case len(value) > MaxValue:
		return 0, ErrTooLarge
	case ttl <= 0 || ttl > MaxTTL:
		return 0, ErrTTL
	case certificate == nil:
		return 0, ErrNoKey
	}
	if sequence == 0 {
		sequence = uint64(s.unixMilli(now))
	}
	body := appendBody([]byte{reqPut}, key, certificate, sequence, s.unixMilli(now)+ttl.Milliseconds(), value)
	signature := s.cfg.Keys.Sign(signedMessage(s.cfg.GroupID, body[1:]))
	return s.request(now, key, append(body, signature[:]...), false)
}

// Get asks for the records under a key, of one owner or, if it is nil, of all.
// Errors: ErrBusy.
func (s *Service) Get(now clock.Time, key ring.Addr, owner *group.PeerID) (RequestID, error) {
	q := query{key: key}
	if owner != nil {
		q.one, q.owner = true, *owner
	}
	return s.request(now, key, appendQuery([]byte{reqGet}, q), true)
}

func (s *Service) request(now clock.Time, to ring.Addr, msg []byte, get bool) (RequestID, error) {
	if len(s.requests) >= s.cfg.MaxRequests {
		s.stats.Busy++
		return 0, ErrBusy
	}
	s.lastReq++
	r := &request{id: s.lastReq, to: to, msg: msg, get: get}
	r.timer.Owner = alarm{kind: alarmRetry, req: r}
	s.submit(now, r)
	return r.id, nil
}

// submit sends a request on its way, for the first time or again.
func (s *Service) submit(now clock.Time, r *request) {
	r.tries++
	route, err := s.router.SendToNearest(now, r.to, r.msg, group.RouteOptions{Service: group.ServiceRecords, Request: true, Timeout: requestTime})
	if err != nil {
		s.again(now, r)
		return
	}
	s.requests[route] = r
}

// again tries a request once more, or ends it.
func (s *Service) again(now clock.Time, r *request) {
	switch {
	case r.tries < requestTries:
		s.timers.Set(&r.timer, now.Add(time.Duration(r.tries)*retryTime))
	case r.empty:
		s.results = append(s.results, Result{ID: r.id})
	default:
		s.stats.Timeouts++
		s.results = append(s.results, Result{ID: r.id, Err: ErrUnreachable})
	}
}

// Routed takes a message that was routed here for this service.
func (s *Service) Routed(now clock.Time, m group.Routed) {
	if len(m.Data) == 0 || !m.Request {
		s.stats.Malformed++
		return
	}
	switch m.Data[0] {
	case reqPut:
		s.onPut(now, m)
	case reqGet:
		q, ok := parseQuery(m.Data[1:])
		if !ok {
			s.stats.Malformed++
			s.reply(now, m.ID, []byte{repRefused})
			return
		}
		s.onGet(now, m.ID, q)
	default:
		s.stats.Malformed++
		s.reply(now, m.ID, []byte{repRefused})
	}
}

func (s *Service) reply(now clock.Time, id group.RouteID, msg []byte) {
	_ = s.router.Reply(now, id, msg) // its time may be over: then it has been asked again
}

// onPut checks a record that somebody puts.
func (s *Service) onPut(now clock.Time, m group.Routed) {
	s.puts = min(s.puts+int64(now.Sub(s.putsAt)/time.Millisecond)*putRate, putBurst*1000)
	s.putsAt = now
	if s.puts < 1000 {
		s.stats.Rate++
		s.reply(now, m.ID, []byte{repRefused})
		return
	}
	s.puts -= 1000
	s.stats.Puts++
	r, ok := s.open(m.Data[1:])
	if !ok || r.Key != m.Target {
		s.reply(now, m.ID, []byte{repRefused})
		return
	}
	if s.store.byID[r.id] == nil && s.lookUp(now, &lookup{route: m.ID, query: query{r.Key, true, r.Owner}, put: r}) {
		return // a newer version may be with the neighbors, if this member has come just now
	}
	s.finishPut(now, m.ID, r)
}

// finishPut keeps a record and gives copies to the others that should hold it.
func (s *Service) finishPut(now clock.Time, route group.RouteID, r *Record) {
	code := s.insert(now, r)
	answer := []byte{code}
	switch code {
	case repStale:
		answer = element.AppendField(answer, s.store.byID[r.id].encoded)
	case repDone:
		for _, n := range s.nearestTo(now, r.Key) {
			s.sendRecords(now, n, []*Record{r})
		}
	}
	s.reply(now, route, answer)
}

// onGet answers with what is here, and asks the neighbors if nothing is: this
// member may have come just now.
func (s *Service) onGet(now clock.Time, route group.RouteID, q query) {
	s.stats.Gets++
	if found := s.matching(now, q); len(found) > 0 {
		s.reply(now, route, appendRecords([]byte{repDone}, found))
		return
	}
	if !s.lookUp(now, &lookup{route: route, query: q}) {
		s.reply(now, route, []byte{repDone})
	}
}

// lookUp asks the neighbors nearest to a key what they hold, and returns false
// if there is nobody to be asked, or too much is being looked up.
func (s *Service) lookUp(now clock.Time, l *lookup) bool {
	near := s.nearestTo(now, l.query.key)
	if len(near) == 0 {
		return false
	}
	if len(s.lookups) >= s.cfg.MaxRequests {
		s.stats.Busy++
		return false
	}
	s.stats.Lookups++
	s.lastID++
	l.id, l.waiting = s.lastID, near
	l.timer.Owner = alarm{kind: alarmLookup, lookup: l}
	s.lookups[l.id] = l
	s.timers.Set(&l.timer, now.Add(lookupTime))
	msg := element.AppendVLU([]byte{msgLookup}, l.id)
	msg = appendQuery(msg, l.query)
	for _, n := range near {
		s.send(now, n, msg)
	}
	return true
}

// matching returns what is held and asked for, the newest first.
func (s *Service) matching(now clock.Time, q query) (found []*Record) {
	wall := s.unixMilli(now)
	for _, r := range s.store.under(q.key) {
		if r.UnixMilli > wall && (!q.one || r.Owner == q.owner) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b *Record) int { return cmp.Compare(b.Sequence, a.Sequence) })
	return found
}

func appendRecords(b []byte, list []*Record) []byte {
	for _, r := range list {
		b = element.AppendField(b, r.encoded)
	}
	return b
}

// lookup is a get or put of somebody for whom this node asks its neighbors.
type lookup struct {
	put     *Record // nil for a get
	id      uint64
	route   group.RouteID
	query   query
	waiting []*neighbor
	timer   clock.Timer[alarm]
}

// onLookup answers a neighbor that was asked for what it does not hold.
func (s *Service) onLookup(now clock.Time, n *neighbor, msg []byte) bool {
	no, m := element.ConsumeVLU(msg[1:])
	if m == 0 {
		return false
	}
	q, ok := parseQuery(msg[1+m:])
	if !ok {
		return false
	}
	s.send(now, n, appendRecords(element.AppendVLU([]byte{msgFound}, no), s.matching(now, q)))
	return true
}

// onFound takes what a neighbor holds, and is done when something was found or
// all have answered.
func (s *Service) onFound(now clock.Time, n *neighbor, msg []byte) bool {
	no, m := element.ConsumeVLU(msg[1:])
	if m == 0 {
		return false
	}
	l := s.lookups[no]
	if l == nil || !slices.Contains(l.waiting, n) {
		return true // too late
	}
	if !fields(msg[1+m:], func(v []byte) bool { return s.take(now, v) }) {
		return false
	}
	if len(s.matching(now, l.query)) > 0 {
		s.lookupDone(now, l)
		return true
	}
	s.answered(now, l, n)
	return true
}

// answered notes that a neighbor has nothing.
func (s *Service) answered(now clock.Time, l *lookup, n *neighbor) {
	l.waiting = slices.DeleteFunc(l.waiting, func(m *neighbor) bool { return m == n })
	if len(l.waiting) == 0 {
		s.lookupDone(now, l)
	}
}

// lookupsWithout takes a neighbor that has gone out of all lookups.
func (s *Service) lookupsWithout(now clock.Time, n *neighbor) {
	var ids []uint64
	for no := range s.lookups { // order-free: sorted below
		ids = append(ids, no)
	}
	slices.Sort(ids)
	for _, no := range ids {
		s.answered(now, s.lookups[no], n)
	}
}

func (s *Service) lookupDone(now clock.Time, l *lookup) {
	s.timers.Stop(&l.timer)
	delete(s.lookups, l.id)
	if l.put != nil {
		s.finishPut(now, l.route, l.put)
		return
	}
	s.reply(now, l.route, appendRecords([]byte{repDone}, s.matching(now, l.query)))
}

// RouteResult takes the end of a routed message of this service.
func (s *Service) RouteResult(now clock.Time, res group.RouteResult) {
	r := s.requests[res.ID]
	if r == nil {
		return
	}
	delete(s.requests, res.ID)
	if res.Status != group.RouteSent || len(res.Reply) == 0 {
		s.again(now, r)
		return
	}
	out := Result{ID: r.id}
	ok := fields(res.Reply[1:], func(v []byte) bool {
		// Whoever answers is not believed either.
		rec, ok := s.open(v)
		if ok && rec.Key == r.to && rec.UnixMilli > s.unixMilli(now) {
			out.Records = append(out.Records, rec)
		}
		return ok
	})
	switch code := res.Reply[0]; {
	case !ok || code > repRefused:
		s.again(now, r)
		return
	case code == repStale && !r.get:
		out.Err = ErrStale
	case code == repRefused:
		out.Err = ErrRefused
	case r.get && len(out.Records) == 0 && r.tries < requestTries:
		// The members may be about to move it.
		r.empty = true
		s.again(now, r)
		return
	}
	s.results = append(s.results, out)
}

// NextResult returns the next put or get that has ended.
func (s *Service) NextResult() (Result, bool) {
	if len(s.results) == 0 {
		return Result{}, false
	}
	r := s.results[0]
	s.results[0] = Result{}
	if s.results = s.results[1:]; len(s.results) == 0 {
		s.results = nil
	}
	return r, true
}

// KeyOf returns the key under which a name is put.
func KeyOf(name string) ring.Addr { return sha256.Sum256([]byte("rtmfp name " + name)) }
