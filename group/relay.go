package group

import (
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// relay is a routed message that this member sent, passed on, or received. It
// is kept for the answer to find its way back, and so that a message that
// comes twice is delivered once.
type relay struct {
	id      RouteID
	target  ring.Addr
	origin  PeerID
	from    LinkID // where it came from; 0 if this node sent it
	to      LinkID // where it was passed on last; 0 if nowhere
	msg     []byte // the whole message, until it need not be sent again
	sent    clock.Time
	expires clock.Time
	timer   clock.Timer[alarm]
	tried   []LinkID // links that failed
	service Service
	flags   byte
	hops    uint8 // made when it was here
	left    uint8
	fails   uint8 // hops that failed, here
	again   uint8 // times that the origin sent it anew

	own       bool // this node is the origin
	delivered bool // here
	replied   bool
	unsure    bool // it was passed on, and the next hop has shown no sign of life since
}

// Limits of routing that are not worth a setting.
const (
	maxHopFails    = 4                      // neighbors that are tried by one member
	routeAgain     = 3                      // times that an origin sends a message anew
	hopPatience    = 300 * time.Millisecond // beyond three round trips: a hop that takes longer has failed
	routeRest      = 15 * time.Second       // without use, after which a flow is closed
	relayMemory    = 10 * time.Second       // how long the way back is remembered
	maxResults     = 1024                   // that nobody drained
	typicalLatency = 50 * time.Millisecond  // between any two members, before any was measured
	latencySamples = 32                     // in the mean of that
	routeRetryIn   = 1500 * time.Millisecond
)

// routes reports whether the far end of l takes routed messages.
func (l *link) routes() bool { return l.offers(FeatureRouting) }

// newRoute makes the record of a message that this node sends.
func (g *Group) newRoute(now clock.Time, to ring.Addr, msg []byte, o *RouteOptions) (*relay, error) {
	switch {
	case len(msg) > MaxRouted:
		return nil, &TooLongError{len(msg), MaxRouted}
	case o.Service == ServiceApp && !g.cfg.Spec.Routing:
		return nil, ErrRouteSpec
	case !g.started || g.left:
		return nil, ErrRouteClosed
	}
	m := routeMessage{
		id: RouteID(g.cfg.Rand.Uint64()), service: o.Service, target: to, origin: g.cfg.Self,
		left: uint8(g.cfg.HopLimit), payload: msg,
	}
	if o.HopLimit > 0 {
		m.left = uint8(min(o.HopLimit, 255))
	}
	if o.Exact {
		m.flags |= routeExact
	}
	if o.Request {
		m.flags |= routeRequest
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = g.cfg.RouteTimeout
	}
	r := g.addRelay(now, &m, timeout)
	if r == nil {
		return nil, ErrRouteBusy
	}
	r.own = true
	r.msg = m.append(make([]byte, 0, 96+len(msg)))
	g.routeBytes += len(r.msg)
	return r, nil
}

// addRelay makes a record, nil if there is no room.
func (g *Group) addRelay(now clock.Time, m *routeMessage, keep time.Duration) *relay {
	if len(g.routes) >= g.cfg.MaxRoutes || g.routeBytes+len(m.payload) > g.cfg.MaxRouteBytes {
		g.stats.RoutesRefused++
		return nil
	}
	r := &relay{
		id: m.id, target: m.target, origin: m.origin, service: m.service,
		flags: m.flags, hops: m.hops, left: m.left, expires: now.Add(keep),
	}
	r.timer.Owner = alarm{kind: alarmRoute, r: r}
	if g.routes == nil {
		g.routes = make(map[RouteID]*relay)
	}
	g.routes[r.id] = r
	g.timers.Set(&r.timer, r.expires)
	return r
}

func (g *Group) dropRelay(r *relay) {
	g.timers.Stop(&r.timer)
	g.dropPayload(r)
	delete(g.routes, r.id)
	if len(g.routes) == 0 {
		g.routes = nil
	}
}

func (g *Group) dropPayload(r *relay) {
	g.routeBytes -= len(r.msg)
	r.msg = nil
}

// pass hands a message on to the best neighbor, or delivers it here.
func (g *Group) pass(now clock.Time, r *relay) {
	l, dead := g.nextHop(r)
	switch {
	case g.left:
		g.fail(now, r, answerNoRoute)
	case dead && r.left == 0:
		g.fail(now, r, answerNoRoute)
	case dead:
		g.handBack(now, g.byLink[r.from], r.msg)
		g.dropPayload(r)
		g.timers.Set(&r.timer, r.expires)
	case l == nil:
		g.arrive(now, r)
	case r.left == 0:
		g.fail(now, r, answerNoRoute)
	default:
		g.passTo(now, r, l)
	}
}

// oneHop sends a message of this node to one neighbor and no further.
func (g *Group) oneHop(now clock.Time, r *relay, l *link) {
	r.flags |= routeOneHop
	r.msg[offsetHops-1] = r.flags
	g.passTo(now, r, l)
}

func (g *Group) passTo(now clock.Time, r *relay, l *link) {
	flow := g.routeFlow(now, l)
	if flow == 0 {
		g.hopFailed(now, r, l)
		return
	}
	r.to, r.sent, r.unsure = l.id, now, true
	r.msg[offsetHops], r.msg[offsetHops+1] = r.hops+1, r.left-1
	g.stats.RoutesPassed++
	g.sendRoute(now, flow, r.msg)
	g.timers.Set(&r.timer, earlier(r.expires, now.Add(g.hopWait(l))))
}

// hopWait is how long a neighbor may take to show that it has got a message.
func (g *Group) hopWait(l *link) time.Duration {
	return 3*g.links.RTT(l.id) + hopPatience
}

// routeFlow returns our flow of routed messages on l, opening it at first use.
func (g *Group) routeFlow(now clock.Time, l *link) FlowID {
	l.routedAt = now
	if l.route == 0 && l.in != 0 {
		l.route = g.links.OpenFlow(now, l.id, MetadataRoute, l.in, ClassControl)
		if l.route != 0 {
			g.byFlow[l.route] = flowRef{l, flowRoute}
		}
	}
	return l.route
}

// restRoutes closes our flows of routed messages that nothing was sent on for a
// while: most links are seldom used for it, and a flow takes memory.
func (g *Group) restRoutes(now clock.Time) {
	for _, l := range g.neighbors {
		if l.route != 0 && now.Sub(l.routedAt) > routeRest {
			g.links.CloseFlow(now, l.route)
			delete(g.byFlow, l.route)
			l.route = 0
		}
	}
}

func (g *Group) sendRoute(now clock.Time, flow FlowID, msg []byte) {
	if l := g.byFlow[flow].l; l != nil {
		g.sent(now, l)
	}
	g.stats.RouteBytesSent += uint64(len(msg))
	g.stats.MessagesSent++
	g.links.Send(now, flow, msg, clock.Never)
}

func (g *Group) sendAnswer(now clock.Time, l *link, a *answer) {
	if flow := g.routeFlow(now, l); flow != 0 {
		b := a.append(g.buf[:0])
		if cap(b) <= keepBuffer {
			g.buf = b[:0]
		}
		g.sendRoute(now, flow, b)
	}
}

// arrive takes a message for which nobody nearer is known.
func (g *Group) arrive(now clock.Time, r *relay) {
	m, _ := parseRoute(r.msg)
	code := byte(answerDelivered)
	switch {
	case r.flags&routeExact != 0 && r.target != g.self:
		code = answerNoRoute
	case r.service == serviceFind:
	case r.service == ServiceApp && (!g.cfg.Spec.Routing || !g.takes(r)),
		len(g.routed) >= g.cfg.MaxRoutes:
		code = answerRefused
	}
	if code == answerRefused && r.service == ServiceApp && r.flags&routeOneHop == 0 {
		if l := g.nearestTaker(r); l != nil {
			r.flags |= routeOneHop
			r.msg[offsetHops-1] = r.flags
			g.passTo(now, r, l)
			return
		}
	}
	if code != answerDelivered {
		g.fail(now, r, code)
		return
	}
	r.delivered, r.to, r.unsure = true, 0, false
	g.stats.RoutesDelivered++
	if r.service == serviceFind {
		g.dropPayload(r)
		g.timers.Set(&r.timer, r.expires)
		g.found(now, r)
		return
	}
	g.routed = append(g.routed, Routed{
		ID: r.id, Service: r.service, Origin: r.origin, Target: r.target, Hops: int(r.hops),
		Request: r.flags&routeRequest != 0, Data: append([]byte(nil), m.payload...),
	})
	g.dropPayload(r)
	g.timers.Set(&r.timer, r.expires)
	a := answer{id: r.id, code: answerDelivered, hops: r.hops, responder: g.cfg.Self}
	if r.own {
		if r.flags&routeRequest == 0 {
			g.finish(now, r, &a)
		}
		return
	}
	if l := g.byLink[r.from]; l != nil && l.up {
		g.sendAnswer(now, l, &a)
	}
}

// takes reports whether applications here take a message.
func (g *Group) takes(r *relay) bool {
	return g.receive == ReceiveNearest || g.receive == ReceiveExact && (r.target == g.self || r.flags&routeOneHop != 0)
}

// nearestTaker returns the neighbor that is nearest to the target of a message
// among those whose applications take such, nil if there is none.
func (g *Group) nearestTaker(r *relay) *link {
	var best *link
	for _, l := range g.neighbors {
		if l.routes() && l.takes && l.id != r.from && (best == nil || r.target.Nearer(l.addr, best.addr)) {
			best = l
		}
	}
	return best
}

// fail gives a message up, here: whoever passed it may know another way.
func (g *Group) fail(now clock.Time, r *relay, code byte) {
	a := answer{id: r.id, code: code, hops: r.hops, responder: g.cfg.Self}
	if r.own {
		g.finish(now, r, &a)
		return
	}
	if l := g.byLink[r.from]; l != nil && l.up {
		g.sendAnswer(now, l, &a)
	}
	g.dropRelay(r)
}

// finish tells the result of a message of this node.
func (g *Group) finish(now clock.Time, r *relay, a *answer) {
	status := RouteTimedOut
	if a != nil {
		switch a.code {
		case answerDelivered, answerReply:
			status = RouteSent
		case answerNoRoute:
			status = RouteNoRoute
		default:
			status = RouteRefused
		}
	}
	res := RouteResult{ID: r.id, Service: r.service, Status: status}
	if a != nil {
		res.Peer, res.Hops, res.Reply = a.responder, int(a.hops), a.payload
		if a.code != answerReply {
			res.Reply = nil
		}
	}
	delivered := r.delivered && r.own
	if !delivered {
		g.dropRelay(r)
	} else {
		r.own = false // it stays to refuse copies, without an owner
		g.dropPayload(r)
	}
	g.giveResult(now, res)
}

func (g *Group) giveResult(now clock.Time, res RouteResult) {
	if res.Service == serviceFind {
		g.takeFound(now, res)
		return
	}
	if len(g.results) >= maxResults {
		g.stats.ResultsDropped++
		return
	}
	g.results = append(g.results, res)
}

// routeOpened takes the far end's flow of routed messages.
func (g *Group) routeOpened(l *link, recv RecvID) Delivery {
	if !l.active() || g.left {
		return Reject
	}
	delete(g.byRecv, l.routeIn) // the end of a former one was overtaken
	l.routeIn = recv
	g.byRecv[recv] = recvRef{l, recvRoute}
	return InOrder
}

// routeMessage takes a message on such a flow.
func (g *Group) routeMessage(now clock.Time, l *link, msg []byte) {
	g.stats.RouteBytesTaken += uint64(len(msg))
	if l.in == 0 || !l.routes() || g.left {
		g.stats.MessagesIgnored++ // not proven: whoever sent it tries again
		return
	}
	switch msg[0] {
	case msgRoute:
		if m, ok := parseRoute(msg); ok {
			g.takeRoute(now, l, &m, msg)
			return
		}
	case msgAnswer:
		if a, ok := parseAnswer(msg); ok {
			g.takeAnswer(now, l, &a)
			return
		}
	}
	g.stats.MessagesIgnored++
}

// takeRoute takes a message that is on its way.
func (g *Group) takeRoute(now clock.Time, l *link, m *routeMessage, msg []byte) {
	r := g.routes[m.id]
	switch {
	case r != nil && r.delivered:
		// It came by two ways, or the acknowledgement was lost on its way.
		r.from, r.hops = l.id, m.hops
		a := answer{id: r.id, code: answerDelivered, hops: r.hops, responder: g.cfg.Self}
		g.sendAnswer(now, l, &a)
		return
	case r != nil && r.to == l.id && r.flags&routeOneHop == 0:
		g.cameBack(now, r, msg)
		return
	case r != nil && slices.Contains(r.tried, l.id):
		return // it came back late, and is on another way by now
	case r != nil && r.from != l.id && r.service != serviceFind && m.target.Nearer(l.addr, g.self):
		// A step aside, to where it was before: the answer could not find its way
		// back through this member twice.
		g.handBack(now, l, msg)
		return
	case r != nil && r.own:
		return // our own message, back by the mistake of somebody
	case r != nil:
		g.dropRelay(r) // sent anew: by another way, perhaps
	}
	if r = g.addRelay(now, m, relayMemory); r == nil {
		a := answer{id: m.id, code: answerRefused, hops: m.hops, responder: g.cfg.Self}
		g.sendAnswer(now, l, &a)
		return
	}
	r.from = l.id
	r.msg = append([]byte(nil), msg...)
	g.routeBytes += len(r.msg)
	if m.flags&routeOneHop != 0 {
		g.arrive(now, r)
		return
	}
	g.pass(now, r)
}

// handBack returns a message to the neighbor that handed it over in a step
// aside, which takes that for what it means. If it is lost, the origin sends the
// message anew.
func (g *Group) handBack(now clock.Time, l *link, msg []byte) {
	g.stats.RoutesBack++
	if flow := g.routeFlow(now, l); flow != 0 {
		g.sendRoute(now, flow, msg)
	}
}

// cameBack takes a message back from the neighbor that it was handed to, and
// that found nobody to pass it on to.
func (g *Group) cameBack(now clock.Time, r *relay, msg []byte) {
	if r.msg == nil {
		r.msg = append([]byte(nil), msg...)
		g.routeBytes += len(r.msg)
	}
	r.tried = append(r.tried, r.to)
	if r.fails++; int(r.fails) >= maxHopFails {
		g.fail(now, r, answerNoRoute)
		return
	}
	g.pass(now, r)
}

// takeAnswer takes an answer on its way back.
func (g *Group) takeAnswer(now clock.Time, l *link, a *answer) {
	r := g.routes[a.id]
	if r == nil || r.delivered || l.id != r.to && !slices.Contains(r.tried, l.id) && !(r.own && a.code == answerReply) {
		return
	}
	if a.code >= answerNoRoute && l.id == r.to && r.msg != nil && int(r.fails) < maxHopFails &&
		r.flags&(routeExact|routeOneHop) == 0 && a.responder == l.peer && a.code == answerRefused && r.service != ServiceApp {
		g.hopFailed(now, r, l) // the neighbor has no room
		return
	}
	if r.own {
		if a.code == answerDelivered && r.flags&routeRequest != 0 {
			g.dropPayload(r)
			r.unsure = false
			g.timers.Set(&r.timer, r.expires)
			return
		}
		a.payload = append([]byte(nil), a.payload...)
		g.finish(now, r, a)
		return
	}
	if back := g.byLink[r.from]; back != nil && back.up {
		g.sendAnswer(now, back, a)
	}
	if a.code != answerDelivered || r.flags&routeRequest == 0 {
		g.dropRelay(r)
		return
	}
	g.dropPayload(r)
	r.unsure = false
	g.timers.Set(&r.timer, r.expires)
}

// routeTimeout looks after a message that is under way.
func (g *Group) routeTimeout(now clock.Time, r *relay) {
	switch {
	case r.unsure && r.msg != nil && now < r.expires:
		l := g.byLink[r.to]
		if l == nil || !l.up || g.links.LastHeard(l.id) < r.sent {
			g.hopFailed(now, r, l)
			return
		}
		r.unsure = false
		if !r.own {
			g.dropPayload(r) // whoever has it now looks after it
			g.timers.Set(&r.timer, r.expires)
			return
		}
		g.timers.Set(&r.timer, earlier(r.expires, r.sent.Add(routeRetryIn<<r.again)))
	case now >= r.expires && r.own:
		g.finish(now, r, nil)
	case now >= r.expires:
		g.dropRelay(r)
	case r.own && r.msg != nil && r.again < routeAgain && r.flags&routeOneHop == 0:
		// Somebody on the way died with it. Another first hop, if there is one,
		// leads around.
		r.again++
		r.fails = 0
		r.tried = append(r.tried[:0], r.to)
		if l, _ := g.nextHop(r); l == nil {
			r.tried = r.tried[:0]
		}
		g.stats.RoutesAgain++
		g.pass(now, r)
	default:
		g.timers.Set(&r.timer, r.expires)
	}
}

// hopFailed tries the next neighbor. l, which may have gone, is suspected.
func (g *Group) hopFailed(now clock.Time, r *relay, l *link) {
	r.fails++
	if r.to != 0 {
		r.tried = append(r.tried, r.to)
	}
	if l != nil && l.id != r.to {
		r.tried = append(r.tried, l.id)
	}
	g.stats.HopsFailed++
	if l != nil {
		g.suspect(now, l)
	}
	if int(r.fails) >= maxHopFails || r.flags&routeOneHop != 0 {
		g.fail(now, r, answerNoRoute)
		return
	}
	g.pass(now, r)
}

// rerouteFrom passes on by other ways what a link that is gone was given.
func (g *Group) rerouteFrom(now clock.Time, id LinkID) {
	if len(g.routes) == 0 {
		return
	}
	var stuck []RouteID
	for _, r := range g.routes { // order-free: they are sorted below
		if r.to == id && r.unsure && r.msg != nil {
			stuck = append(stuck, r.id)
		}
	}
	slices.Sort(stuck)
	for _, rid := range stuck {
		if r := g.routes[rid]; r != nil {
			g.hopFailed(now, r, nil)
		}
	}
}

// endRoutes forgets all routed messages; those of this node have timed out.
func (g *Group) endRoutes(now clock.Time) {
	var all []RouteID
	for id := range g.routes { // order-free: they are sorted below
		all = append(all, id)
	}
	slices.Sort(all)
	for _, id := range all {
		if r := g.routes[id]; r.own {
			g.finish(now, r, nil)
		} else {
			g.dropRelay(r)
		}
	}
}

// nextNeighbor returns the link to the next neighbor on one side, nil if there
// is none.
func (g *Group) nextNeighbor(d Direction) *link {
	for k := 0; ; k++ {
		it, ok := g.reach.Above(g.self, k)
		if d == NextDecreasing {
			it, ok = g.reach.Below(g.self, k)
		}
		if !ok {
			return nil
		}
		if it.Value.up {
			return it.Value
		}
	}
}

// nextUp is the same among those that take routed messages.
func (g *Group) nextUp(d Direction) *link {
	for k := 0; ; k++ {
		it, ok := g.reach.Above(g.self, k)
		if d == NextDecreasing {
			it, ok = g.reach.Below(g.self, k)
		}
		if !ok {
			return nil
		}
		if l := it.Value; l.up && l.routes() {
			return l
		}
	}
}
