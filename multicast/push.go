package multicast

import (
	"math/bits"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
)

// push passes a fragment on to the children of its slice, never back to where
// it came from nor to where it is already.
func (st *stream) push(now clock.Time, f *fragment, msg []byte, from *peer) {
	id := f.id
	bit := byte(1) << (id % numSlices)
	digest := st.signed() && f.isDigest()
	class := st.classOf(f)
	if class == Spare && st.isBegun(msg, id) {
		st.begun, class = id, Plain // what was begun is brought to its end
	}
	if f.isKey() && id > st.keys[0] {
		st.keys[0], st.keys[1] = id, st.keys[0]
	}
	if st.fed&bit == 0 && !digest {
		return
	}
	for _, p := range st.peers {
		if digest && p.n.Modern {
			if !p.wantsDigests {
				continue
			}
		} else if !p.due(bit, id) {
			continue
		}
		if p == from || p.have.has(id) {
			continue
		}
		class := class
		if class == Plain && st.useless(p, id) {
			class = Spare
		}
		if st.before(class) || class == Spare && !f.start && st.s.uploadLimit() > 0 {
			st.owe(now, p, id, msg, class)
			continue
		}
		if limit := st.s.uploadLimit(); limit > 0 && !st.s.upload.has(now, limit, pushRoom[class]) {
			st.owe(now, p, id, msg, class)
			continue
		}
		switch sent := st.sendFragment(now, p, id, msg, class); {
		case !sent:
			st.stats.PushesDropped++
		case !digest:
			st.stats.FragmentsPushedToPeers++
		}
		if class == Spare {
			st.begun = id
		}
	}
}

// sendFragment puts a fragment on a neighbor's media flow, unless that is
// backed up. Media that is late is not worth the retransmission, so it has a
// deadline.
func (st *stream) sendFragment(now clock.Time, p *peer, id uint64, msg []byte, class Class) bool {
	if p.mediaOut == 0 {
		p.mediaOut = st.s.openFlow(now, p, metaMedia, p.ctrlIn, group.ClassMedia)
	}
	if st.s.flows.Backlog(p.mediaOut) > max(minBacklog, int(st.meter.rate))/4*queueRoom[class] || st.s.cfg.Rare.Hit(rare.PushNot) {
		return false
	}
	st.s.flows.Send(now, p.mediaOut, msg, now.Add(st.sendLife(msg, class)))
	p.have.add(id)
	st.stats.BytesSent += uint64(len(msg))
	if limit := st.s.uploadLimit(); limit > 0 {
		st.s.upload.spend(now, len(msg), limit)
	}
	return true
}

// onAsk takes the slices that a neighbor wants to be fed.
func (st *stream) onAsk(now clock.Time, p *peer, a ask) {
	if p.ctrlIn == 0 {
		return
	}
	p.wantsDigests = a.flags&askDigests != 0
	if back := p.ending & a.mask; back != 0 {
		p.children &^= back // what was to end is asked for again
		p.leaving &^= back
	}
	p.children &= a.mask | a.ending
	p.leaving &= a.mask
	st.onHandover(now, p, &a)
	p.below, p.worth = a.below, a.worth
	granted, refused := byte(0), byte(0)
	for i := range numSlices {
		// Begin somewhere else for each asker, so that not all get the same.
		s := (i + st.rotation) % numSlices
		bit := byte(1) << s
		switch {
		case a.mask&bit == 0 || p.children&bit != 0:
		case !st.s.cfg.Rare.Hit(rare.AskRefused) && st.admit(now, p, s, &a):
			p.children |= bit
			st.fed |= bit
			granted |= bit
		default:
			refused |= bit
		}
	}
	st.rotation = (st.rotation + 1) % numSlices
	if refused != 0 && p.n.Modern {
		st.refuse(now, p, refused)
	}
	switch fresh := (granted | p.later) & a.fresh; {
	case fresh == 0 || a.from == 0:
	case a.from > st.frontier+1:
		p.later |= fresh
		p.turning().from = a.from
	default:
		p.later &^= fresh
		st.catchUp(now, p, fresh, a.from)
	}
}

// catchUp sends a new child what is held of its slices from an id on.
func (st *stream) catchUp(now clock.Time, p *peer, mask byte, from uint64) {
	if st.win.empty() {
		return
	}
	for id := max(from, st.win.low); id <= st.win.top; id++ {
		if mask&(1<<(id%numSlices)) == 0 || p.have.has(id) {
			continue
		}
		class := st.classOfHeld(id)
		msg := st.win.get(id)
		if msg == nil {
			continue
		}
		if !st.allow(now, p, len(msg), class, false) || !st.sendFragment(now, p, id, msg, class) {
			return
		}
		st.stats.FragmentsPushedToPeers++
	}
}

// admit decides whether a neighbor may become a child in a slice.
func (st *stream) admit(now clock.Time, p *peer, s int, a *ask) bool {
	bit := byte(1) << s
	limit := st.sliceLimit()
	if limit == 0 {
		return false
	}
	if !p.n.Modern {
		limit = st.pushLimit()
	}
	spent := st.spent()
	share := st.share(now)
	fair := bits.OnesCount8(p.children) < share
	count := 0
	var silent, greedy *peer
	for _, q := range st.peers {
		if q.children&bit == 0 {
			continue
		}
		if q.leaving&bit != 0 {
			continue // it has been told to go
		}
		count++
		if q.n.Modern && st.busy(now) && st.s.quiet(now, q.n) > childSilence {
			silent = q
		}
		if n := keeps(q); q.n.Modern && n > share && (greedy == nil || n > keeps(greedy)) {
			greedy = q
		}
	}
	switch {
	case count < limit && !spent:
		return fair || a.flags&askUrgent != 0 || !p.n.Modern
	case count < limit && a.flags&askUrgent != 0 && st.lastRoom():
		return true
	case silent != nil:
		// A child that says nothing while fragments come has likely died.
		silent.children &^= bit
		return true
	case st.pub != nil && fair && greedy != nil && keeps(greedy) > bits.OnesCount8(p.children)+1 && p.n.Modern &&
		greedy.worth[s] < max(a.worth[s], leastBid)+bidStep:
		// Each neighbor of the publisher gets its share of the places next to
		// it, so that all work at passing the stream on. The one that had more
		// is pushed to until it has found somebody else, for a while.
		st.giveWay(now, greedy, s, p)
		return true
	case (fair || a.flags&askUrgent != 0 || keeps(p) < bidShare && st.flowing(p)) && a.worth[s] >= leastBid && p.n.Modern:
		// The place goes to whom it helps more. Nobody has more than its share by that
		// over a session that hardly carries what it has to, or more than half of all.
		if q, t, price := st.cheapest(s, spent, p); q != nil && a.worth[s] >= price+bidStep && st.mayHandOver() {
			st.giveWay(now, q, t, p)
			return true
		}
	}
	return false
}

// flowing reports whether what is pushed to a neighbor goes out as it comes.
func (st *stream) flowing(p *peer) bool {
	return p.mediaOut != 0 && st.s.flows.Backlog(p.mediaOut) <= bidBacklog
}

// giveWay asks a child to find another parent for a slice: p, who comes in its
// place, for one. It is pushed to until it has found somebody, for a while.
func (st *stream) giveWay(now clock.Time, child *peer, s int, p *peer) {
	child.leaving |= 1 << s
	child.leaveAt = now.Add(leaveGrace)
	st.s.scratch = appendRefuse(st.s.scratch[:0], 1<<s, []group.PeerID{p.n.Peer})
	st.control(now, child, st.s.scratch)
}

// spent reports whether all that this node may push to others is given away. A
// publisher has as many places for each slice, and none to spare for others.
func (st *stream) spent() bool { return st.taken() || !st.affordable() }

// taken reports whether all places of a relay are. One place is kept for handing
// over, so that no more than all are pushed to while one child is on its way out.
func (st *stream) taken() bool {
	if st.pub != nil {
		return false
	}
	kept := 0
	for _, p := range st.peers {
		kept += keeps(p)
	}
	return kept >= numSlices*st.pushLimit()-handing || !st.mayHandOver()
}

// mayHandOver reports whether a place may be given to one while another is still on
// its way out of it.
func (st *stream) mayHandOver() bool { return st.pub != nil || st.load() < numSlices*st.pushLimit() }

// lastRoom reports whether what is kept free of the upload limit has room for one
// who has nobody else.
func (st *stream) lastRoom() bool {
	limit := st.s.uploadLimit()
	return limit != 0 && !st.taken() && st.fits(limit-limit/urgentSpare, (*stream).must)
}

// keeps returns the number of slices that a child is fed for good.
func keeps(p *peer) int { return bits.OnesCount8(p.children &^ p.leaving) }

// share is the number of slices that each neighbor may have of the publisher:
// all places divided by those who want some.
func (st *stream) share(now clock.Time) int {
	if st.pub == nil {
		return numSlices
	}
	viewers := 0
	for _, p := range st.peers {
		if p.ctrlIn != 0 && p.n.Modern && (!st.busy(now) || st.s.quiet(now, p.n) <= childSilence) {
			viewers++
		}
	}
	viewers = max(viewers, 1)
	return min((numSlices*st.pushLimit()+viewers-1)/viewers, numSlices)
}

func (st *stream) pushLimit() int {
	if st.pub != nil {
		return st.pub.cfg.PushLimit
	}
	return st.s.cfg.PushLimit
}

// sliceLimit is the number of neighbors to which one slice may be pushed. A
// relay may spend all that it pushes on a few slices: trees in which some relays
// have many children, and others none, are less deep.
func (st *stream) sliceLimit() int {
	if st.pub != nil {
		return st.pub.cfg.PushLimit
	}
	return st.s.cfg.PushLimit * widest
}

// affordable reports whether one more slice fits into the upload limit.
func (st *stream) affordable() bool {
	limit := st.s.uploadLimit()
	if limit == 0 {
		return true
	}
	return st.fits(limit-limit/admitSpare, (*stream).needed)
}

// fits reports whether one more slice would do so.
func (st *stream) fits(limit uint64, rate func(*stream) uint64) bool {
	return st.s.uploads(false, rate)+st.s.reserved+rate(st)/numSlices <= limit
}

// shed asks a child to find another parent for one slice, if all streams
// together have come to cost more than the upload limit: what was admitted
// before the rate of a stream was known, or has grown since.
func (st *stream) shed(now clock.Time) {
	limit := st.s.uploadLimit()
	if limit == 0 || st.s.uploads(true, (*stream).must)+st.s.reserved <= limit+limit/shedSpare {
		return
	}
	var p *peer
	for _, q := range st.peers {
		if keeps(q) > 0 && (p == nil || keeps(q) > keeps(p)) {
			p = q
		}
	}
	if p == nil {
		return
	}
	bit := p.children &^ p.leaving
	bit &= -bit
	if !p.n.Modern {
		p.children &^= bit
		return
	}
	p.leaving |= bit
	p.leaveAt = now.Add(leaveGrace)
	st.refuse(now, p, bit)
}

// SetReserved tells what of the upload limit others need, in bytes per second.
func (s *Service) SetReserved(n uint64) { s.reserved = n }

// UploadNeeded is what all children of all streams take, in bytes per second.
func (s *Service) UploadNeeded() uint64 {
	return s.uploads(true, func(st *stream) uint64 { return st.meter.rate })
}

// uploads is what children take, by a rate of each stream: all of them, or those that are not asked to go.
func (s *Service) uploads(kept bool, rate func(*stream) uint64) uint64 {
	used := uint64(0)
	for _, st := range s.streams {
		n := 0
		for _, p := range st.peers {
			if kept {
				n += keeps(p)
			} else {
				n += bits.OnesCount8(p.children)
			}
		}
		used += uint64(n) * rate(st) / numSlices
	}
	return used
}

// load returns the number of slices that are pushed to all children together.
func (st *stream) load() int {
	n := 0
	for _, p := range st.peers {
		n += bits.OnesCount8(p.children)
	}
	return n
}

// room returns the slices for which another child would be welcome.
func (st *stream) room() byte {
	limit := st.sliceLimit()
	if limit == 0 || st.spent() {
		return 0
	}
	mask := byte(0)
	for s := range numSlices {
		count := 0
		for _, p := range st.peers {
			count += int(p.children &^ p.leaving >> s & 1)
		}
		if count < limit {
			mask |= 1 << s
		}
	}
	return mask
}

// refuse tells a neighbor which slices it does not get here, and names those
// who have them from here and may have room.
func (st *stream) refuse(now clock.Time, p *peer, mask byte) {
	st.stats.SlicesRefused += uint64(bits.OnesCount8(mask))
	var hints [maxHints]group.PeerID
	n := 0
	for _, q := range st.peers {
		if q != p && q.children&mask != 0 && q.room&mask != 0 && n < len(hints) {
			hints[n] = q.n.Peer
			n++
		}
	}
	st.s.scratch = appendRefuse(st.s.scratch[:0], mask, hints[:n])
	st.control(now, p, st.s.scratch)
}

// endGrace stops pushing to those who had time enough to find somebody else.
func (st *stream) endGrace(now clock.Time) {
	st.fed = 0
	for _, p := range st.peers {
		if p.leaving != 0 && now >= p.leaveAt {
			p.children &^= p.leaving
			p.leaving, p.ending = 0, 0
		}
		st.fed |= p.children
	}
}
