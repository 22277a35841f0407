package multicast

import (
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
	until   clock.Time // for whom the archive finds; 0: it was not asked
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
	bit         uint16 // in slot.refused
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

	refused uint16 // by which holders: they don't hold it, though they hold what is older
	held    bool
	good    bool // verified
	lost    bool // not to be had
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
	seekFarther    = 4 * time.Second        // for members that the archive finds, and links with them
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
	case r.until == 0 && st.archived(r.back):
		r.until = now.Add(seekFarther)
		st.s.cfg.Archive.Find(now, st.desc.key)
	case now < r.until:
		// Somebody may come who does.
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
			if len(r.holders) >= maxHolders && !r.dropShortest(f.oldest.id) {
				continue
			}
			if len(r.holders) == 0 {
				r.knownAt = now
			}
			h = &holder{p: q, bit: r.freeBit()}
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

// dropShortest makes room for one that holds from an id on, in the place of the one that holds
// least, if that is less and nothing is awaited of it.
func (r *rewind) dropShortest(oldest uint64) bool {
	var least *holder
	for _, h := range r.holders {
		if h.outstanding == 0 && (h.oldest == 0 || h.oldest > oldest) && (least == nil || least.oldest != 0 && (h.oldest == 0 || h.oldest > least.oldest)) {
			least = h
		}
	}
	if least != nil {
		r.drop(least)
	}
	return least != nil
}

// drop forgets a holder.
func (r *rewind) drop(h *holder) {
	for i := range r.slots {
		s := &r.slots[i]
		if s.asked == h {
			s.asked = nil
		}
		s.refused &^= h.bit
		if s.from == h {
			s.from = nil
			if !s.good {
				s.held = false // who is to blame for it would not be known
			}
		}
	}
	r.holders = without(r.holders, h)
}

// freeBit returns one that no holder has. There are as many as holders at most.
func (r *rewind) freeBit() uint16 {
	used := uint16(0)
	for _, h := range r.holders {
		used |= h.bit
	}
	return ^used & (used + 1)
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
