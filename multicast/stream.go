package multicast

import (
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// stream is one publication as this node knows it. While it is active the node
// carries it: describes it to all neighbors, asks for its slices, keeps its
// window. Otherwise it is only remembered who described it.
type stream struct {
	s     *Service
	timer clock.Timer[*stream]
	desc  description
	peers []*peer // in the order in which they came

	pub      *Publication
	subs     []*Subscription // those that play this publication
	active   bool
	fed      byte       // slices that are pushed to some neighbor, or were a tick ago
	ended    bool       // the publisher said so, or it has gone
	last     uint64     // id of the last fragment, if ended or about to be
	endAt    clock.Time // when a neighbor's word that it ended is believed, 0 = nobody said so
	settleAt clock.Time // when players give up on an ended stream that brought them nothing
	settled  bool       // they have
	leaveAt  clock.Time // when an ended stream is no longer carried
	lastSign clock.Time // of life from the source: a new fragment, a later epoch
	lastNew  clock.Time // when the newest fragment came
	silent   silence    // the latest
	epochTop uint64     // the latest epoch that was heard of
	tickAt   clock.Time // next turn of what is periodic
	now      clock.Time // of the latest turn
	stats    StreamCounts
	meter    meter
	classed  bool     // the publisher gives messages classes
	recalls  *recalls // nil: nobody plays the past from here
	past     *past    // nil: all that is kept is in the window

	fetching
	verifying
	growing
	vouching
	announcing
	owing
	living
}

// peer is what one neighbor and this node have to do with each other in one
// stream.
type peer struct {
	n  *neighbor
	st *stream

	ctrlIn   group.RecvID // the neighbor carries the stream and says so here; 0: it does not
	ctrlOut  group.FlowID // where this node says so
	mediaOut group.FlowID

	// What the neighbor said.
	have   idSet
	oldest uint64
	key    uint64
	newest uint64     // as it said
	toldAt clock.Time // when
	routes [numSlices]route
	least  [numSlices]byte // packed: members below the least of its children
	price  [numSlices]byte // packed: what a place there must be worth at least; 0: there is room, or no telling
	room   byte
	load   byte
	hinted byte // slices for which others recommend it

	// What this node asks of it.
	asked     byte              // slices, as the neighbor was told
	fresh     byte              // of which the neighbor has not been told yet
	urgent    byte              // likewise, for want of anybody else
	denied    byte              // slices that it refused the last time
	ignored   uint8             // pulls that it has not answered, in a row
	notBefore [numSlices]uint32 // milliseconds: when a slice may be asked again

	// What it asks of this node.
	below         [numSlices]byte // packed: members that get the slice by way of it
	worth         [numSlices]byte // packed: of its place
	children      byte            // slices that are pushed to it
	leaving       byte            // those of them that it was asked to find elsewhere
	later, ending byte            // those that are pushed only from one fragment on, or up to one

	refused bool // the neighbor does not want to hear of the stream
	heard   bool // it has told what it holds
	hungry  bool // it wants news at once
	synced  bool // it was told everything, and deltas follow

	wantsDigests bool // it wants all digests from here
	stale        bool // it was told what its place is worth, and that has changed

	told        uint32     // the round up to which it was told
	answeredAt  uint32     // milliseconds: when it was last told for having asked in vain
	outstanding int32      // fragments pulled and not yet there
	lastPulled  clock.Time // when one of them came
	pulls       []uint64   // chosen for it, to be sent together
	turns       *turns     // where slices begin and end; nil: there were no such yet
	leaveAt     clock.Time
	lacks       uint64 // the latest plain fragment that was given up for it
	allowance   allowance
}

func newStream(s *Service, d description) *stream {
	st := &stream{s: s, desc: d, tickAt: clock.Never}
	st.timer.Owner = st
	st.repairAt = clock.Never
	st.stateAt = clock.Never
	st.handAt = clock.Never
	st.owedAt = clock.Never
	return st
}

// wake sees to it that advance runs at an instant or before.
func (st *stream) wake(at clock.Time) {
	if at < st.timer.When() {
		st.s.timers.Set(&st.timer, at)
	}
}

// peerOf returns the peer of a neighbor, made if need be.
func (st *stream) peerOf(n *neighbor) *peer {
	for _, p := range n.peers {
		if p.st == st {
			return p
		}
	}
	p := &peer{n: n, st: st}
	for i := range p.routes {
		p.routes[i].depth = depthUnfed
	}
	st.peers = append(st.peers, p)
	n.peers = append(n.peers, p)
	return p
}

// review begins or ends the carrying of the stream after what it depends on
// has changed, and forgets a stream that nobody speaks of.
func (st *stream) review(now clock.Time) {
	wanted := st.pub != nil || len(st.subs) > 0 || st.s.cfg.RelayAll
	if st.ended && now >= st.leaveAt {
		wanted = false
	}
	switch {
	case wanted && !st.active:
		st.activate(now)
	case !wanted && st.active:
		st.deactivate(now)
	}
	if st.active || len(st.subs) > 0 {
		return
	}
	for _, p := range st.peers {
		if p.ctrlIn != 0 {
			return
		}
	}
	st.s.dropStream(st)
}

func (st *stream) activate(now clock.Time) {
	st.active = true
	st.win = newWindow(st.s.cfg.MaxWindowFragments)
	st.openPast()
	st.lastSign, st.lastNew = now, now
	for i := range st.slices {
		st.slices[i].route.depth = depthUnfed
	}
	st.rotation = st.s.cfg.Rand.IntN(numSlices)
	st.tickAt = now.Add(st.desc.availability)
	for _, n := range st.s.neighbors {
		if !n.banned {
			st.greet(now, st.peerOf(n), false)
		}
	}
	// Those who described the stream before are known, but what they said then
	// may be old. A modern one answers our description with all that it holds.
	st.replan = true
	st.wake(now)
}

func (st *stream) deactivate(now clock.Time) {
	st.active = false
	st.s.timers.Stop(&st.timer)
	for _, p := range append([]*peer(nil), st.peers...) {
		st.dropRecaller(now, p, true)
		if p.mediaOut != 0 {
			st.s.closeFlow(now, &p.mediaOut)
		}
		if p.ctrlOut != 0 {
			st.s.closeFlow(now, &p.ctrlOut)
		}
		p.asked, p.fresh, p.urgent, p.children, p.leaving, p.later, p.ending = 0, 0, 0, 0, 0, 0, 0
		p.outstanding, p.synced, p.wantsDigests = 0, false, false
		if p.ctrlIn == 0 {
			st.removePeer(p)
		}
	}
	st.recalls = nil
	st.closePast()
	st.fetching = fetching{repairAt: clock.Never}
	st.verifying = verifying{ending: st.ending}
	st.growing = growing{handAt: clock.Never}
	st.vouching = vouching{}
	st.announcing = announcing{stateAt: clock.Never}
	st.owing = owing{owedAt: clock.Never}
	st.living = living{}
	st.tickAt = clock.Never
}

// greet describes the stream to a neighbor, and tells a modern one what is
// there, unless that was done. One that has wished for the stream gets its start.
func (st *stream) greet(now clock.Time, p *peer, wished bool) {
	if p.refused || len(st.s.exiles) > 0 && st.s.exiled(now, p.n.Peer, &st.desc.key) {
		return
	}
	first := p.ctrlOut == 0
	if first {
		class := group.ClassControl
		if wished { // or its start would give way to what goes to others, as a copy of a file does
			class = group.ClassPrompt
		}
		p.ctrlOut = st.s.openFlow(now, p, metaControl, p.n.Session, class)
		st.s.scratch = appendDescription(st.s.scratch[:0], &st.desc)
		st.control(now, p, st.s.scratch)
		p.synced = false
	}
	if !p.synced && (p.n.Modern || p.ctrlIn != 0) {
		st.sendAll(now, p, wished && first)
	}
	if first && st.ended {
		st.tellEnd(now, p) // after what there is to be had of it
	}
}

// control sends a message of the control flow.
func (st *stream) control(now clock.Time, p *peer, msg []byte) {
	if p.ctrlOut == 0 {
		return
	}
	st.stats.ControlBytesSent += uint64(len(msg))
	st.s.flows.Send(now, p.ctrlOut, msg, clock.Never)
}

// peerSilent is called when the neighbor no longer carries the stream.
func (st *stream) peerSilent(now clock.Time, p *peer) {
	p.ctrlIn = 0
	p.have = idSet{}
	p.heard, p.synced, p.hungry = false, false, false
	p.oldest, p.newest, p.key, p.room, p.load, p.hinted, p.denied = 0, 0, 0, 0, 0, 0, 0
	p.price = [numSlices]byte{}
	for i := range p.routes {
		p.routes[i] = route{depth: depthUnfed}
	}
	p.children, p.leaving, p.later, p.ending = 0, 0, 0, 0
	p.wantsDigests = false
	st.dropRecaller(now, p, st.s.byLink[p.n.link] == p.n)
	st.dropHolder(now, p)
	st.forgive(p)
	if p.mediaOut != 0 {
		st.s.closeFlow(now, &p.mediaOut)
	}
	if st.active {
		p.asked = 0
		st.dropWaiting(now, p)
		st.dropParent(now, p)
		st.releaseGaps(now, p)
	} else {
		st.removePeer(p)
		st.review(now)
	}
}

// removePeer forgets a peer that nothing refers to any more.
func (st *stream) removePeer(p *peer) {
	st.dropVoucher(p)
	st.forgive(p)
	st.peers = without(st.peers, p)
	p.n.peers = without(p.n.peers, p)
}

func without[T comparable](list []T, v T) []T {
	for i := range list {
		if list[i] == v {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

// hearEnd takes a neighbor's word that last was the last fragment. In a signed
// stream the publisher has to have signed it. Otherwise it is
// believed if nothing newer comes for a moment, so that a neighbor that is
// wrong can't end a stream that goes on.
func (st *stream) hearEnd(now clock.Time, p *peer, last uint64, signature []byte) {
	switch {
	case st.pub != nil || st.ended:
	case st.signed():
		st.hearSignedEnd(now, p, last, signature)
	case !st.plausible(now, last):
	case !st.active:
		st.end(now, last)
	case st.endAt == 0 && last >= st.frontier:
		st.last, st.endAt = last, now.Add(endPatience)
		if st.started {
			st.learn(now, last)
		}
		st.tickAt = min(st.tickAt, st.endAt)
		st.wake(st.tickAt)
	}
}

// end notes that no fragment will come after last.
func (st *stream) end(now clock.Time, last uint64) {
	if st.ended {
		return
	}
	st.ended, st.last = true, last
	st.leaveAt = now.Add(st.desc.window + st.margin())
	st.s.bury(now, st.desc.key)
	st.s.emit(Event{Kind: StreamEnded, Name: st.desc.name, Key: st.desc.key})
	if !st.active {
		return
	}
	if st.started {
		st.learn(now, last)
	}
	// The neighbors hear what there is to be had before they hear that it ends.
	st.tellAll = true
	st.broadcast(now)
	for _, p := range st.peers {
		st.tellEnd(now, p)
	}
	st.settleAt = now.Add(settleTime)
	st.tickAt = min(st.tickAt, st.settleAt)
	st.wake(now)
}

func (st *stream) tellEnd(now clock.Time, p *peer) {
	typ := byte(msgDescription) // so short that old peers take it for the end
	var signature []byte
	switch {
	case st.signed() && st.ending == nil:
		return // it has gone, but nobody can be told so
	case p.n.Modern:
		typ, signature = msgEnd, st.ending
	}
	st.control(now, p, appendEnd(nil, typ, st.last, signature))
}

// keep is how long fragments stay in the window.
func (st *stream) keep() time.Duration {
	keep := st.desc.window + st.margin()
	if st.past == nil {
		keep = max(keep, st.s.cfg.KeepWindow)
	}
	return keep + st.silentSince(st.now.Add(-keep))
}

func (st *stream) margin() time.Duration {
	if st.pub != nil {
		return st.pub.cfg.RelayMargin
	}
	return defaultRelayMargin
}

// idleTimeout is how long the source may give no sign of life.
func (st *stream) idleTimeout() time.Duration {
	if st.epochTop == 0 {
		return 10 * st.s.cfg.IdleTimeout
	}
	return st.s.cfg.IdleTimeout
}

// busy reports whether fragments have been coming lately.
func (st *stream) busy(now clock.Time) bool { return now.Sub(st.lastNew) < busyFor }

// advance does what is due. What that makes due at once is done as well: a
// parent that is given up leaves gaps to ask others for.
func (st *stream) advance(now clock.Time) {
	st.now = now
	for turn := 0; st.active; turn++ {
		if turn > maxTurns {
			panic("BUG: a multicast stream does not come to rest")
		}
		if now >= st.tickAt {
			st.tick(now)
			continue
		}
		if st.pub != nil && now >= st.pub.run.cutAt {
			st.pub.planCut(now)
		}
		if now >= st.repairAt {
			st.repair(now)
		}
		if st.replan || now >= st.handAt {
			st.plan(now)
		}
		st.updateRoutes(now)
		if now >= st.stateAt {
			st.broadcast(now)
		}
		if now >= st.owedAt {
			st.pay(now)
		}
		next := min(st.tickAt, st.repairAt, st.stateAt, st.handAt, st.owedAt)
		if st.recalls != nil {
			if now >= st.recalls.at {
				st.serveRecalls(now)
			}
			if st.recalls != nil {
				next = min(next, st.recalls.at)
			}
		}
		for _, p := range st.subs {
			if p.behind != nil && now >= p.behind.at {
				p.turn(now)
			}
			if p.behind != nil {
				next = min(next, p.behind.at)
			}
		}
		if st.pub != nil {
			next = min(next, st.pub.run.cutAt)
		}
		if next > now && !st.replan {
			st.s.timers.Set(&st.timer, next)
			return
		}
	}
}

// tick is the turn of everything that is periodic: once in an availability
// period while fragments come, rarely otherwise.
func (st *stream) tick(now clock.Time) {
	period := st.desc.availability
	if !st.busy(now) {
		period = max(period, idleTick)
	}
	st.tickAt = now.Add(period)
	st.meter.update(now)
	keep := st.keep()
	st.win.evict(now.Add(-keep), st.s.cfg.MaxWindowBytes)
	st.keepPast(now)
	if st.key != 0 && !st.win.has(st.key) {
		st.key = 0
	}
	if st.keyBefore != 0 && !st.win.has(st.keyBefore) {
		st.keyBefore = 0
	}
	if st.pub != nil && !st.ended {
		st.pub.renew(now)
	}
	if st.endAt != 0 && now >= st.endAt {
		st.end(now, st.last)
	}
	if st.ended && now >= st.leaveAt {
		st.review(now)
		return
	}
	if st.ended && !st.settled {
		if st.settled = now >= st.settleAt; !st.settled {
			st.tickAt = min(st.tickAt, st.settleAt)
		}
	}
	if st.pub == nil && !st.ended && now.Sub(st.lastSign) > st.idleTimeout() {
		st.end(now, st.frontier)
	}
	if st.signed() {
		st.closeRuns(now)
		st.watchPermission(now)
	}
	st.endGrace(now)
	st.s.watchUplink(now)
	st.shed(now)
	st.expireGaps(now)
	if len(st.missing) > 0 {
		st.repairAt = now
	} else {
		st.watchParents(now)
		st.narrowMaps()
	}
	st.forgetDepths(now)
	st.replan = true
	st.improve(now)
	st.keepCompany(now)
	st.stateAt = now
	if len(st.subs) > 0 {
		st.s.reviewSubscriptions(now)
	}
}

// meter measures the rate of new fragments.
type meter struct {
	fragments, bytes uint64    // since since
	classes          [3]uint64 // bytes of each class
	since            clock.Time
	perSecond        uint64    // fragments
	rate             uint64    // bytes per second
	of               [3]uint64 // of them, each class
}

func (m *meter) update(now clock.Time) {
	d := now.Sub(m.since)
	if d < meterPeriod {
		return
	}
	if d < 4*meterPeriod {
		f := m.fragments * uint64(time.Second) / uint64(d)
		r := m.bytes * uint64(time.Second) / uint64(d)
		weight := uint64(3)
		if m.rate == 0 {
			weight = 0
		}
		m.perSecond, m.rate = (weight*m.perSecond+f)/(weight+1), (weight*m.rate+r)/(weight+1)
		for c, bytes := range m.classes {
			m.of[c] = (weight*m.of[c] + bytes*uint64(time.Second)/uint64(d)) / (weight + 1)
		}
	}
	*m = meter{since: now, perSecond: m.perSecond, rate: m.rate, of: m.of}
}

// needed is the rate of what is not spare.
func (st *stream) needed() uint64 { return st.meter.of[Plain] + st.meter.of[First] }

// must is the rate of what a viewer has to get of the publisher, if there is nobody else: all that is
// needed, but in a stream with classes those of it that are first. Of the others
// what there is no room for is given up in due course.
func (st *stream) must() uint64 {
	if st.pub != nil && st.classed {
		return st.meter.of[First]
	}
	return st.needed()
}

// sliceInterval is the time that is expected between two fragments of a slice.
func (m *meter) sliceInterval() time.Duration {
	if m.perSecond == 0 {
		return defaultSliceInterval
	}
	return min(numSlices*time.Second/time.Duration(m.perSecond), maxSliceInterval)
}
