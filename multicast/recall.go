package multicast

import (
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// A viewer that goes back in a stream asks members for what has left its own window,
// or was there before it joined. They send that on a flow of its own, which gives way
// to everything else, at a pace of some times the stream's, so that it never
// takes the room of what is pushed. The other end of it is rewind.go.

// recalls is what others ask of the past of a stream here. Most streams have none.
type recalls struct {
	list []*recaller
	at   clock.Time // when to go on
}

// recaller is a neighbor that plays the past.
type recaller struct {
	p         *peer
	flow      group.FlowID
	queue     []uint64 // that it waits for
	allowance allowance
	soughtAt  clock.Time
	usedAt    clock.Time
}

const (
	recallPeriod  = 20 * time.Millisecond // between looks whether there is room to go on
	recallQueue   = 64                    // ids that wait for one neighbor
	recallBacklog = 32 << 10              // bytes of them on their way there
	recallIdle    = 10 * time.Second      // after which its flow is closed
	recallTimes   = 3                     // so many times the stream's rate
	minRecallRate = 64 << 10              // bytes per second, for one neighbor
	maxRecallers  = 16
	recallMargin  = 700 * time.Millisecond // before it leaves the window, what is asked for may be gone
	seekPeriod    = 200 * time.Millisecond // between answers to one neighbor
)

// recallerOf returns the recaller of a neighbor, nil if there are too many.
func (st *stream) recallerOf(p *peer) *recaller {
	if st.recalls == nil {
		st.recalls = &recalls{at: clock.Never}
	}
	for _, r := range st.recalls.list {
		if r.p == p {
			return r
		}
	}
	if len(st.recalls.list) >= maxRecallers {
		return nil
	}
	r := &recaller{p: p}
	st.recalls.list = append(st.recalls.list, r)
	return r
}

// mediaTime is the publisher's clock in microseconds at the beginning of a message,
// or the time of the media where the publisher tells none.
func (f *fragment) mediaTime() int64 {
	if f.typ == TypeOwn && len(f.payload) >= ownHeadSize {
		t := int64(0)
		for _, b := range f.payload[1:ownHeadSize] {
			t = t<<8 | int64(b)
		}
		if t != 0 {
			return t
		}
	}
	return int64(f.timestamp) * 1000
}

// message reads the beginning of a message in the window or in the past. ok is false for what is
// not held, or is none.
func (st *stream) message(id uint64) (f fragment, ok bool) {
	f, ok = consumeFragment(st.fragment(id))
	return f, ok && f.start && !(st.signed() && f.isDigest())
}

// presentTime is the publisher's clock now, as far as the newest message tells.
func (st *stream) presentTime(now clock.Time) (t int64, ok bool) {
	for id := st.newest(); id >= st.oldest() && id > 0; id-- {
		if f, ok := st.message(id); ok {
			return f.mediaTime() + int64(now.Sub(st.lastNew)/time.Microsecond), true
		}
	}
	return 0, false
}

// ago is how long before the present a moment of the publisher's clock was, in milliseconds.
func ago(present, t int64) uint64 { return uint64(max(present-t, 0)) / 1000 }

// startBefore returns the newest place, in the window or in the past, at which playing can begin and that is
// at least as old as asked, or else the oldest that will still be there in a moment.
func (st *stream) startBefore(now clock.Time, back uint64) (at place) {
	present, ok := st.presentTime(now)
	if !ok {
		return place{}
	}
	leaving := uint64(max(st.keep()-recallMargin, 0) / time.Millisecond)
	if !st.past.empty() {
		leaving = ^uint64(0) // for the past
	}
	for id := st.win.top; id >= st.win.low && id > 0; id-- {
		f, ok := st.message(id)
		if !ok || st.keyed && !f.isKey() {
			continue
		}
		start, age := id, ago(present, f.mediaTime()) // before f is overwritten by the next fragment that is looked up
		if st.signed() {
			if start = st.digestOf(id); start == 0 {
				continue
			}
		}
		older := place{start, age}
		if at.id != 0 && older.age > leaving {
			return at
		}
		if at = older; at.age >= back {
			return at
		}
	}
	if older := st.startInPast(present, back); older.id != 0 {
		return older
	}
	return at
}

// digestOf returns the id of the digest of the run that an id is in, 0 if it is not held.
func (st *stream) digestOf(id uint64) uint64 {
	for x := id - 1; x > 0 && id-x <= maxRun && x >= st.oldest(); x-- {
		if f, ok := consumeFragment(st.fragment(x)); ok && f.isDigest() {
			if uint64(len(f.payload)-SignatureSize)/hashSize >= id-x {
				return x
			}
			return 0
		}
	}
	return 0
}

// reach returns the oldest fragment that is held, and how old it is.
func (st *stream) reach(present int64) (at place) {
	at.id = st.oldest()
	for id := at.id; id <= st.newest(); id++ {
		if m, ok := st.message(id); ok {
			at.age = ago(present, m.mediaTime())
			break
		}
	}
	return at
}

// onSeek tells a neighbor where it can begin to play the past.
func (st *stream) onSeek(now clock.Time, p *peer, back uint64) {
	r := st.recallerOf(p)
	if r == nil || p.ctrlIn == 0 || r.soughtAt != 0 && now.Sub(r.soughtAt) < seekPeriod {
		st.stats.PullsUnserved++
		return
	}
	r.soughtAt, r.usedAt = now, now
	f := found{back: back}
	if present, ok := st.presentTime(now); ok {
		f.start = st.startBefore(now, back)
		f.oldest = st.reach(present)
	}
	st.s.scratch = appendFound(st.s.scratch[:0], &f)
	st.control(now, p, st.s.scratch)
	st.recallSoon(now)
}

// onRecall takes a request for fragments of the past.
func (st *stream) onRecall(now clock.Time, p *peer, first uint64, bitmap []byte) {
	r := st.recallerOf(p)
	if r == nil || p.ctrlIn == 0 {
		st.stats.PullsUnserved++
		return
	}
	r.usedAt = now
	if st.s.cfg.Company != nil {
		st.s.cfg.Company.Hold(now, p.n.link)
	}
	eachID(first, bitmap, func(id uint64) {
		if len(r.queue) >= recallQueue {
			st.stats.PullsUnserved++
			return
		}
		r.queue = append(r.queue, id)
	})
	st.serveRecalls(now)
}

// recallSoon has the recalls looked at within a period.
func (st *stream) recallSoon(now clock.Time) {
	if at := now.Add(recallPeriod); at < st.recalls.at {
		st.recalls.at = at
		st.wake(at)
	}
}

// serveRecalls sends what there is room for, and lets those go who have asked for nothing
// for a while.
func (st *stream) serveRecalls(now clock.Time) {
	next := clock.Never
	kept := st.recalls.list[:0]
	for _, r := range st.recalls.list {
		if now.Sub(r.usedAt) >= recallIdle {
			if r.flow != 0 {
				st.s.closeFlow(now, &r.flow)
			}
			continue
		}
		kept = append(kept, r)
		if st.serveRecall(now, r); len(r.queue) > 0 {
			next = min(next, now.Add(recallPeriod))
		} else {
			next = min(next, r.usedAt.Add(recallIdle))
		}
	}
	clear(st.recalls.list[len(kept):])
	if st.recalls.list = kept; len(kept) == 0 {
		st.recalls = nil
		return
	}
	st.recalls.at = next
	st.wake(next)
}

func (st *stream) serveRecall(now clock.Time, r *recaller) {
	var gone []uint64
	done := 0
	rate := max(recallTimes*st.meter.rate, minRecallRate)
	for _, id := range r.queue {
		msg := st.fragment(id)
		if msg == nil {
			gone = append(gone, id)
			done++
			continue
		}
		if limit := st.s.uploadLimit(); limit > 0 && !st.s.upload.has(now, limit, pullRoom[Spare]) {
			break
		}
		if r.flow == 0 {
			r.flow = st.s.openFlow(now, r.p, metaMedia, r.p.ctrlIn, group.ClassBulk)
		}
		if st.s.flows.Backlog(r.flow) > recallBacklog || !r.allowance.take(now, len(msg), rate, rate/8) {
			break
		}
		done++
		r.usedAt = now
		st.s.flows.Send(now, r.flow, msg, clock.Never)
		st.stats.BytesSent += uint64(len(msg))
		st.stats.RecalledByPeers++
		if limit := st.s.uploadLimit(); limit > 0 {
			st.s.upload.spend(now, len(msg), limit)
		}
	}
	r.queue = r.queue[:copy(r.queue, r.queue[done:])]
	if len(gone) == 0 {
		return
	}
	st.stats.PullsUnserved += uint64(len(gone))
	oldest := st.oldest()
	inBitmaps(sortedIDs(gone), func(first uint64, bitmap []byte) {
		st.s.scratch = appendGone(st.s.scratch[:0], oldest, first, bitmap)
		st.control(now, r.p, st.s.scratch)
	})
}

// dropRecaller forgets that a neighbor plays the past. Its flow is closed, unless it went
// with the link.
func (st *stream) dropRecaller(now clock.Time, p *peer, linked bool) {
	if st.recalls == nil {
		return
	}
	for i, r := range st.recalls.list {
		if r.p != p {
			continue
		}
		if r.flow != 0 && linked {
			st.s.closeFlow(now, &r.flow)
		} else if r.flow != 0 {
			delete(st.s.outflows, r.flow)
		}
		st.recalls.list = append(st.recalls.list[:i], st.recalls.list[i+1:]...)
		break
	}
	if len(st.recalls.list) == 0 {
		st.recalls = nil
	}
}

// recallRejected takes a neighbor's word that it wants nothing of the past on a flow.
func (st *stream) recallRejected(p *peer, flow group.FlowID) {
	if st.recalls == nil {
		return
	}
	for _, r := range st.recalls.list {
		if r.p == p && r.flow == flow {
			r.flow, r.queue = 0, nil
		}
	}
}
