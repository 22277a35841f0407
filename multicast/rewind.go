package multicast

import (
	"bytes"
	"time"

	"rtmfp/internal/clock"
)

// A viewer may stop for a while, and go back. As long as what it plays is in its own
// window, nobody is asked. What is not is asked of members, a little ahead of where the
// viewer is, and kept only until it was played. The live stream goes on meanwhile, and
// is passed on as ever. The publisher is asked only for what nobody else has.
//
// In a signed stream what comes is verified when its turn to be played comes, as each run
// needs the digest before it. See recall.go for the members that are asked.

// rewind is what a subscription needs that does not play the newest there is.
type rewind struct {
	at      clock.Time // of the next turn
	seeking bool
	back    uint64     // milliseconds, as asked
	since   clock.Time // when that began
	askedAt clock.Time // when members were asked the last time
	best    place      // that has been named
	tries   int        // times that members were asked for what nobody has told to hold
	heard   bool       // somebody has answered
	knownAt clock.Time // when the first was known to hold anything

	holders []*holder
	slots   []slot // by id modulo their number; nil until somebody is asked

	here   runCopy   // the run that the cursor is in
	beyond runCopy   // the one that lookAhead is in
	guilty []*holder // who sent what the publisher did not
	forged bool      // a digest among that
}

// runCopy is a digest that is held on to.
type runCopy struct {
	id     uint64 // 0: it is not known
	hashes []byte
}

// set takes what is a digest, if msg is one.
func (c *runCopy) set(id uint64, msg []byte) bool {
	f, _ := consumeFragment(msg)
	d, ok := consumeDigest(&f, msg)
	if ok {
		c.id, c.hashes = id, append(c.hashes[:0], d.hashes...)
	}
	return ok
}

// holder is a member that holds some of the past.
type holder struct {
	p           *peer
	oldest      uint64
	outstanding int
	ids         []uint64 // to be asked for
}

// slot is a fragment of the past.
type slot struct {
	id    uint64
	msg   []byte
	from  *holder // who sent it
	asked *holder // who was asked
	due   clock.Time
	tries uint8
	held  bool
	good  bool // verified
	lost  bool // not to be had
}

const (
	rewindSlots    = 1024 // more than a message of the most pieces takes
	rewindAhead    = 768  // ids that are asked for before their turn
	rewindPeriod   = 50 * time.Millisecond
	rewindAtOnce   = 32                      // fragments outstanding at one member
	rewindTimeout  = 1500 * time.Millisecond // beside two round trips, as it gives way to everything
	rewindTries    = 6
	seekAgain      = 300 * time.Millisecond
	seekPatience   = 400 * time.Millisecond // for somebody who holds more
	seekGiveUp     = 5 * time.Second        // if nobody answers
	maxHolders     = 16
	rewindDeadEnds = 1 // times that nobody knows where to have it, before it is passed over
)

// Pause stops playing until Resume. What has left the window of the node by then is had of
// members that still hold it; what nobody does is passed over, and counted in Lost.
func (p *Subscription) Pause(now clock.Time) {
	if p.paused || p.closed {
		return
	}
	p.paused = true
	if p.st != nil && p.placed && p.behind == nil {
		p.behind = &rewind{at: clock.Never}
		p.rememberRun()
	}
}

// Resume ends a pause.
func (p *Subscription) Resume(now clock.Time) {
	if !p.paused {
		return
	}
	p.paused = false
	p.rewindSoon(now)
}

// Seek goes on playing with the key frame that was the newest so long ago, by the
// publisher's clock, or with the one before it; 0 is the live stream. If nobody holds what is
// that old, playing begins with the oldest there is: see Sought. It is for what
// is played now, or if nothing is, for the stream that comes.
func (p *Subscription) Seek(now clock.Time, back time.Duration) {
	p.back = min(max(back, 0), maxBack*time.Millisecond)
	p.sought = 0
	if p.st != nil {
		p.dropPast()
		p.seek(now)
	}
}

// Behind reports whether the past is played, or playing has stopped, rather than the newest there is.
func (p *Subscription) Behind() bool { return p.behind != nil }

// Sought tells how far back playing began after the latest Seek. ok is false while
// that is not known.
func (p *Subscription) Sought() (back time.Duration, ok bool) {
	return p.sought - 1, p.sought > 0
}

// seek begins to look for the place to play from.
func (p *Subscription) seek(now clock.Time) {
	st := p.st
	p.delivered, p.checked, p.lost, p.jumped = false, 0, 0, true
	if p.back == 0 {
		p.sought = 1
		if st.started {
			p.place()
		}
		return
	}
	p.behind = &rewind{seeking: true, back: uint64(p.back / time.Millisecond), since: now, at: now}
	p.rewindSoon(now)
}

func (p *Subscription) rewindSoon(now clock.Time) {
	if p.behind != nil && p.st != nil {
		p.behind.at = now
		p.st.wake(now)
	}
}

func (p *Subscription) dropPast() { p.behind = nil }

// begun places playing when a stream begins, or begins earlier than was thought. Who plays
// the past is elsewhere.
func (p *Subscription) begun(id uint64, key bool) {
	if p.behind == nil || p.behind.seeking {
		p.placeAt(id, key)
	}
}

// rememberRun keeps the digest of the run that the cursor is in.
func (p *Subscription) rememberRun() {
	st, r := p.st, p.behind
	if !st.signed() {
		return
	}
	if id := st.digestOf(p.cursor); id != 0 {
		r.here.set(id, st.win.get(id))
	}
}

// turn looks for the place to play from, or asks for what is to be played next.
func (p *Subscription) turn(now clock.Time) {
	r := p.behind
	r.at = now.Add(rewindPeriod)
	for _, h := range r.guilty {
		reason := &p.st.s.counters.Altered
		if r.forged {
			reason = &p.st.s.counters.Forged
		}
		p.st.blame(now, h.p, reason)
	}
	r.guilty, r.forged = nil, false
	switch {
	case !p.st.started:
	case r.seeking:
		p.lookFor(now)
	case p.paused:
		r.at = clock.Never
	case p.cursor > p.st.frontier && !p.st.ended:
		p.dropPast() // it has caught up
	default:
		p.request(now)
	}
}

// lookFor asks the neighbors where to begin, and begins there once that is clear.
func (p *Subscription) lookFor(now clock.Time) {
	st, r := p.st, p.behind
	own := st.startBefore(now, r.back)
	if own.id != 0 && own.age >= r.back {
		p.playFrom(now, own)
		return
	}
	p.ask(now, r.back)
	waited := now.Sub(r.since)
	switch {
	case r.best.id != 0 && r.best.age >= r.back:
		p.playFrom(now, r.best)
	case waited < seekPatience || !r.heard && waited < seekGiveUp:
		// Somebody may hold more.
	case own.id != 0 && better(own, r.best, r.back):
		p.playFrom(now, own)
	case r.best.id != 0:
		p.playFrom(now, r.best)
	case waited >= seekGiveUp || r.heard && waited >= 2*seekPatience:
		p.dropPast() // nobody holds anything
		p.sought = 1
		p.place()
	}
}

// playFrom begins at a place.
func (p *Subscription) playFrom(now clock.Time, at place) {
	p.behind.seeking = false
	p.placeAt(at.id, !p.st.signed())
	p.sought = 1 + time.Duration(min(at.age, maxBack))*time.Millisecond
	p.rewindSoon(now)
}

// ask asks all members that carry the stream what they hold, some time after the last.
func (p *Subscription) ask(now clock.Time, back uint64) bool {
	st, r := p.st, p.behind
	if r.askedAt != 0 && now.Sub(r.askedAt) < seekAgain {
		return false
	}
	r.askedAt = now
	for _, q := range st.peers {
		if q.n.Modern && q.ctrlIn != 0 && q.ctrlOut != 0 {
			st.s.scratch = appendSeek(st.s.scratch[:0], back)
			st.control(now, q, st.s.scratch)
		}
	}
	return true
}

// onFound takes what a neighbor says of the past.
func (st *stream) onFound(now clock.Time, q *peer, f *found) {
	for _, p := range st.subs {
		r := p.behind
		if r == nil {
			continue
		}
		r.heard = true
		if f.oldest.id == 0 {
			continue
		}
		h := r.holderOf(q)
		if h == nil {
			if len(r.holders) >= maxHolders {
				continue
			}
			if len(r.holders) == 0 {
				r.knownAt = now
			}
			h = &holder{p: q}
			r.holders = append(r.holders, h)
		}
		h.oldest = f.oldest.id
		if r.seeking && f.back == r.back && f.start.id != 0 && f.start.id <= st.frontier && better(f.start, r.best, r.back) {
			r.best = f.start
		}
		r.at = now
		st.wake(now)
	}
}

// better reports whether a is a better place to begin than b, or than none: as old as asked and
// no older than need be, or else as old as can be.
func better(a, b place, back uint64) bool {
	switch {
	case b.id == 0:
		return true
	case a.age >= back && b.age >= back:
		return a.id > b.id
	}
	return a.id < b.id // ages are those of different moments
}

func (r *rewind) holderOf(q *peer) *holder {
	for _, h := range r.holders {
		if h.p == q {
			return h
		}
	}
	return nil
}

// slotOf returns the slot of an id if it has one.
func (r *rewind) slotOf(id uint64) *slot {
	if r.slots == nil {
		return nil
	}
	if s := &r.slots[id%rewindSlots]; s.id == id {
		return s
	}
	return nil
}

// claim makes the slot of an id its own.
func (r *rewind) claim(id uint64) *slot {
	if r.slots == nil {
		r.slots = make([]slot, rewindSlots)
	}
	s := &r.slots[id%rewindSlots]
	if s.id != id {
		if s.asked != nil {
			s.asked.outstanding--
		}
		*s = slot{id: id, msg: s.msg[:0]}
	}
	return s
}

// request asks members for what is to be played next and not held here.
func (p *Subscription) request(now clock.Time) {
	st, r := p.st, p.behind
	stuck := false
	for id := p.cursor; id < p.cursor+rewindAhead && id <= st.frontier; id++ {
		if st.win.has(id) || st.pending(id) {
			continue
		}
		s := r.claim(id)
		switch {
		case s.held || s.lost:
			continue
		case s.asked != nil && now < s.due:
			continue
		case s.asked != nil:
			s.asked.outstanding--
			s.from, s.asked = s.asked, nil // another is asked next
		}
		if s.tries >= rewindTries {
			s.lost = true
			continue
		}
		h, any := r.chooseHolder(now, st, s)
		if h == nil {
			stuck = stuck || !any
			if any || id == p.cursor {
				continue
			}
			break
		}
		s.asked, s.due = h, now.Add(rewindTimeout+2*st.s.flows.RTT(h.p.n.link))
		s.tries++
		h.outstanding++
		h.ids = append(h.ids, id)
	}
	for _, h := range r.holders {
		inBitmaps(h.ids, func(first uint64, bitmap []byte) {
			st.s.scratch = appendRecall(st.s.scratch[:0], first, bitmap)
			st.control(now, h.p, st.s.scratch)
		})
		st.stats.PullsSent += uint64(len(h.ids))
		h.ids = h.ids[:0]
	}
	if stuck && p.needs(p.cursor) {
		p.findHolders(now)
	}
	if st.ended && p.cursor <= st.last && len(r.holders) > 0 {
		st.leaveAt = max(st.leaveAt, now.Add(st.desc.window)) // until it was played to the end
	}
}

// needs reports whether a fragment has to be had of the past.
func (p *Subscription) needs(id uint64) bool {
	if p.st.win.has(id) || p.st.pending(id) || id > p.st.frontier {
		return false
	}
	s := p.behind.slotOf(id)
	return s == nil || !s.held && !s.lost && s.asked == nil
}

// chooseHolder returns the member to ask for a fragment, the publisher last. any is false
// if nobody is known to hold it.
func (r *rewind) chooseHolder(now clock.Time, st *stream, s *slot) (best *holder, any bool) {
	var bestCost time.Duration
	source := true
	for _, h := range r.holders {
		if h.oldest == 0 || h.oldest > s.id || h.p.ctrlOut == 0 || h.p.ctrlIn == 0 {
			continue
		}
		publishes := h.p.routes[0].depth == 0
		if publishes && any && !source {
			continue
		}
		if !publishes && source {
			best, source = nil, false
		}
		any = true
		if h.outstanding >= rewindAtOnce || publishes && now.Sub(r.knownAt) < seekPatience {
			continue
		}
		cost := st.s.flows.RTT(h.p.n.link)/2 + time.Duration(h.outstanding)*outstandingCost
		if h == s.from {
			cost += maxPullWait // was asked in vain
		}
		if best == nil || cost < bestCost {
			best, bestCost = h, cost
		}
	}
	return best, any
}

// findHolders asks who holds what the viewer is at, and passes over what nobody does.
func (p *Subscription) findHolders(now clock.Time) {
	st, r := p.st, p.behind
	if !p.ask(now, 0) {
		return
	}
	if r.tries++; r.tries <= rewindDeadEnds {
		return
	}
	r.tries = 0
	next := st.frontier + 1
	for _, h := range r.holders {
		if h.oldest > p.cursor {
			next = min(next, h.oldest+st.meter.perSecond) // it goes on letting go of what is old
		}
	}
	if own := st.startBefore(now, maxBack); st.win.low > p.cursor && own.id != 0 {
		next = min(next, own.id)
	}
	for id := p.cursor + 1; id < next && st.win.low <= p.cursor; id++ {
		if st.win.has(id) || st.pending(id) {
			next = id
		}
	}
	for id := p.cursor + 1; id < min(next, p.cursor+rewindAhead); id++ {
		if s := r.slotOf(id); s != nil && s.held {
			next = id
		}
	}
	if next > p.cursor {
		p.lost += int(min(next-p.cursor, maxLost))
		p.cursor, p.checked, p.jumped = next, 0, true
		p.seekKey = st.keyed && !p.cfg.AnyFrame
	}
}

// recalled takes a fragment that was asked for to play the past. It reports whether it was.
func (st *stream) recalled(now clock.Time, q *peer, f *fragment, msg []byte) (taken bool) {
	for _, p := range st.subs {
		r := p.behind
		if r == nil || st.win.has(f.id) {
			continue
		}
		s := r.slotOf(f.id)
		if s == nil {
			continue
		}
		h := r.holderOf(q)
		if h == nil || s.held || s.lost {
			taken = taken || h != nil && s.held
			continue
		}
		if s.asked != nil {
			s.asked.outstanding--
			s.asked = nil
		}
		s.held, s.good, s.from = true, !st.signed(), h
		s.msg = append(s.msg[:0], msg...)
		r.tries = 0
		taken = true
		if h.outstanding == rewindAtOnce/2 {
			r.at = now
			st.wake(now)
		}
	}
	if taken {
		st.stats.Recalled++
	}
	return taken
}

// onGone takes a neighbor's word that it does not hold some of what it was asked for.
func (st *stream) onGone(now clock.Time, q *peer, oldest, first uint64, bitmap []byte) {
	for _, p := range st.subs {
		r := p.behind
		if r == nil {
			continue
		}
		h := r.holderOf(q)
		if h == nil {
			continue
		}
		h.oldest = oldest
		eachID(first, bitmap, func(id uint64) {
			if s := r.slotOf(id); s != nil && s.asked == h {
				h.outstanding--
				s.asked, s.from = nil, h
			}
		})
		r.at = now
		st.wake(now)
	}
}

// dropHolder forgets a neighbor that has gone.
func (st *stream) dropHolder(now clock.Time, q *peer) {
	for _, p := range st.subs {
		r := p.behind
		if r == nil {
			continue
		}
		for i, h := range r.holders {
			if h.p != q {
				continue
			}
			for j := range r.slots {
				s := &r.slots[j]
				if s.asked == h {
					s.asked = nil
				}
				if s.from == h {
					s.from = nil
					if !s.good {
						s.held = false // who is to blame for it would not be known
					}
				}
			}
			r.holders = append(r.holders[:i], r.holders[i+1:]...)
			r.at = now
			st.wake(now)
			break
		}
	}
}

// fragmentAt returns a fragment that was found to be held.
func (p *Subscription) fragmentAt(id uint64) []byte {
	if p.behind != nil && !p.st.win.has(id) {
		return p.behind.slotOf(id).msg
	}
	return p.st.win.get(id)
}

// look tells what is known of a fragment of the past, given the run that it has to be in.
func (p *Subscription) look(id uint64, run *runCopy) pieceState {
	st, r := p.st, p.behind
	if st.win.has(id) {
		return piecesHeld
	}
	if id > st.frontier && st.ended {
		return piecesLost
	}
	s := r.slotOf(id)
	switch {
	case s == nil || !s.held && !s.lost:
		return piecesWanted
	case s.lost:
		return piecesLost
	case s.good:
		return piecesHeld
	}
	f, ok := consumeFragment(s.msg)
	switch {
	case !ok:
		r.forged = true
	case f.isDigest():
		d, fine := consumeDigest(&f, s.msg)
		if fine {
			st.s.counters.SignaturesChecked++
			s.good = st.desc.author.verify(st.s.toSign(runLabel, &st.desc.key, d.signed), d.sig)
		}
		r.forged = r.forged || !s.good
	case run.id == 0 || id > run.id+uint64(len(run.hashes)/hashSize):
		s.lost = true // its digest is
		return piecesLost
	default:
		h := st.hash(s.msg)
		at := int(id-run.id-1) * hashSize
		s.good = bytes.Equal(run.hashes[at:at+hashSize], h[:])
	}
	if s.good {
		return piecesHeld
	}
	s.held = false
	if s.from != nil {
		r.guilty = append(r.guilty, s.from) // who is cut off with the next turn
	}
	return piecesWanted
}

// lookAhead looks at the pieces of the message at the cursor, with what digests there are
// between them. end is the id of its last piece without those.
func (p *Subscription) lookAhead(end uint64) (uint64, pieceState) {
	st, r := p.st, p.behind
	r.beyond.id, r.beyond.hashes = r.here.id, append(r.beyond.hashes[:0], r.here.hashes...)
	for id := p.cursor; id <= end; id++ {
		if state := p.look(id, &r.beyond); state != piecesHeld {
			return end, state
		}
		if st.signed() && r.beyond.set(id, p.fragmentAt(id)) {
			end++
		}
	}
	return end, piecesHeld
}
