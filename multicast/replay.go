package multicast

import (
	"bytes"
	"time"

	"rtmfp/internal/clock"
)

// How a viewer of the past has the fragments that it plays next: whom it asks for them, and
// how they are verified.

// request asks members for what is to be played next and not held here.
func (p *Subscription) request(now clock.Time) {
	st, r := p.st, p.behind
	stuck := false
	for id := p.cursor; id < p.cursor+rewindAhead && id <= st.frontier; id++ {
		if st.held(id) || st.pending(id) {
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
		if !any && s.refused != 0 {
			s.lost = true // whoever could have it does not
			continue
		}
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
		if len(h.ids) > 0 && st.s.cfg.Company != nil {
			st.s.cfg.Company.Hold(now, h.p.n.link)
		}
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
	if p.st.held(id) || p.st.pending(id) || id > p.st.frontier {
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
		if h.oldest == 0 || h.oldest > s.id || s.refused&h.bit != 0 || h.p.ctrlOut == 0 || h.p.ctrlIn == 0 {
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
	if own := st.startBefore(now, maxBack); st.oldest() > p.cursor && own.id != 0 {
		next = min(next, own.id)
	}
	for id := p.cursor + 1; id < next && st.oldest() <= p.cursor; id++ {
		if st.held(id) || st.pending(id) {
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
		if r == nil || st.held(f.id) {
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
				s.tries-- // each is asked once for what it does not hold
				if oldest != 0 && oldest <= id {
					s.refused |= h.bit
				}
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
		if h := r.holderOf(q); h != nil {
			r.drop(h)
			r.at = now
			st.wake(now)
		}
	}
}

// fragmentAt returns a fragment that was found to be held.
func (p *Subscription) fragmentAt(id uint64) []byte {
	if p.behind != nil && !p.st.held(id) {
		if s := p.behind.slotOf(id); s != nil {
			return s.msg
		}
		return nil // it was on a disk that can't be read any more
	}
	return p.st.fragment(id)
}

// look tells what is known of a fragment of the past, given the run that it has to be in.
func (p *Subscription) look(id uint64, run *runCopy) pieceState {
	st, r := p.st, p.behind
	if st.held(id) {
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
