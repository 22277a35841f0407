package multicast

import (
	"bytes"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Of a signed stream nothing is stored, passed on, or played before it was
// verified: a digest by its signature, everything else by the digest of its run. What
// comes before its digest waits for it. Whoever sends what is not the
// publisher's is cut off at once.

// verifying is what of the receiving side is about signatures.
type verifying struct {
	runs      []openRun // by id: those whose fragments are not all there
	waiting   []waiting // in the order in which they came
	waitBytes int
	epochAt   clock.Time // when the latest signed epoch came
	epoch     uint64     // that
	ending    []byte     // the publisher's signature under the end
	mayAt     clock.Time // when to look again whether the publisher may publish
	denied    bool       // it may not any more
}

// openRun is a run whose digest was verified and is in the window.
type openRun struct {
	id    uint64 // of the digest
	count int
}

func (r *openRun) end() uint64 { return r.id + uint64(r.count) }

// waiting is a fragment that can't be verified yet.
type waiting struct {
	id     uint64
	from   *peer
	at     clock.Time
	msg    []byte
	pulled bool
}

// came is how a fragment came that is stored now.
type came struct {
	waited bool // for its digest
	pulled bool // if so
}

// Bounds of what waits.
const (
	maxWaiting   = 512
	maxWaitBytes = 256 << 10
	maxRivals    = 3                     // that claim to be one fragment
	waitLife     = 3 * time.Second       // after which one is dropped
	digestHaste  = 15 * time.Millisecond // before the digest that it waits for is pulled
	digestScan   = maxRun + 8            // ids that are looked at to find that

	epochLead = 8 // epochs by which a route may be ahead of the latest signed one, for a start

	banTime   = 10 * time.Minute
	maxExiles = 64
)

// onSigned takes a fragment of a signed stream.
func (st *stream) onSigned(now clock.Time, p *peer, f *fragment, msg []byte) {
	if st.denied {
		return
	}
	if st.win.has(f.id) {
		switch {
		case bytes.Equal(st.win.get(f.id), msg):
			st.take(now, p, f, msg, came{})
		case !f.isDigest():
			st.blame(now, p, &st.s.counters.Altered)
		case st.verify(now, p, f, msg):
			st.disown(now)
		}
		return
	}
	if !st.plausible(now, f.id) {
		st.s.counters.OutOfWindow++
		return
	}
	if st.started && f.id <= st.frontier && f.id >= st.start && !st.pending(f.id) {
		st.stats.Duplicates++ // of what was given up, or has left the window
		return
	}
	if f.isDigest() {
		st.onDigest(now, p, f, msg)
		return
	}
	switch r := st.runOf(f.id); {
	case r == nil:
		st.suspend(now, p, f, msg)
	case !st.matches(r, f.id, msg):
		st.blame(now, p, &st.s.counters.Altered)
	default:
		st.take(now, p, f, msg, came{})
	}
}

// onDigest verifies a digest and what has waited for it.
func (st *stream) onDigest(now clock.Time, p *peer, f *fragment, msg []byte) {
	if st.started && f.id < st.start && (st.startKey || !st.startsAt(f)) {
		st.s.counters.OutOfWindow++
		return
	}
	if !st.verify(now, p, f, msg) {
		return
	}
	d, _ := consumeDigest(f, msg)
	if st.runOf(d.id) != nil {
		st.disown(now)
		return
	}
	if !st.take(now, p, f, msg, came{}) {
		return
	}
	if e := uint64(d.epoch); e > st.epoch {
		st.epoch, st.epochAt = e, now
	}
	r := openRun{id: d.id, count: d.count()}
	at, _ := slices.BinarySearchFunc(st.runs, r.id, func(o openRun, id uint64) int {
		switch {
		case o.id < id:
			return -1
		case o.id > id:
			return 1
		}
		return 0
	})
	st.runs = slices.Insert(st.runs, at, r)
	st.settle(now, r)
}

// verify checks the signature of a digest, and cuts off who sent it if it is wrong.
func (st *stream) verify(now clock.Time, p *peer, f *fragment, msg []byte) bool {
	d, ok := consumeDigest(f, msg)
	if ok {
		st.s.counters.SignaturesChecked++
		ok = st.desc.author.verify(st.s.toSign(runLabel, &st.desc.key, d.signed), d.sig)
	}
	if !ok {
		st.blame(now, p, &st.s.counters.Forged)
	}
	return ok
}

// runOf returns the open run that an id is in, nil if it is in none.
func (st *stream) runOf(id uint64) *openRun {
	// Most of what arrives is near the end.
	for i := len(st.runs) - 1; i >= 0; i-- {
		if r := &st.runs[i]; r.id < id {
			if id <= r.end() && st.win.has(r.id) {
				return r
			}
			return nil
		}
	}
	return nil
}

// matches compares a fragment with its hash in the digest.
func (st *stream) matches(r *openRun, id uint64, msg []byte) bool {
	h := st.hash(msg)
	b := st.win.get(r.id)
	hashes := b[len(b)-SignatureSize-r.count*hashSize:]
	i := int(id-r.id-1) * hashSize
	return bytes.Equal(hashes[i:i+hashSize], h[:])
}

// suspend keeps a fragment that can't be verified yet, and has its digest had.
func (st *stream) suspend(now clock.Time, p *peer, f *fragment, msg []byte) {
	if st.started && f.id < st.start {
		st.s.counters.OutOfWindow++
		return
	}
	rivals, mine := 0, 0
	for i := range st.waiting {
		w := &st.waiting[i]
		if w.from == p {
			mine += len(w.msg)
		}
		if w.id != f.id {
			continue
		}
		if bytes.Equal(w.msg, msg) {
			st.stats.Duplicates++
			return
		}
		if w.from == p {
			st.s.counters.WaitingDropped++
			return
		}
		rivals++
	}
	pulled := false
	if at, isGap := st.findGap(f.id); isGap {
		pulled = st.missing[at].asked == p
	}
	st.noteArrival(now, p, f.id, pulled, false)
	if rivals >= maxRivals || len(st.waiting) >= maxWaiting || st.waitBytes+len(msg) > maxWaitBytes || mine > maxWaitBytes/2 {
		st.s.counters.WaitingDropped++
		return
	}
	st.stats.Waited++
	st.waiting = append(st.waiting, waiting{id: f.id, from: p, at: now, msg: bytes.Clone(msg), pulled: pulled})
	st.waitBytes += len(msg)
	if !st.started {
		return
	}
	st.learn(now, f.id)
	if at, isGap := st.findGap(f.id); isGap {
		g := &st.missing[at]
		if pulled {
			p.lastPulled, p.ignored = now, 0
		} else if !g.early {
			st.slices[f.id%numSlices].noteLag(int64(now - g.known))
		}
		st.release(g)
		g.due = clock.Never // another copy would have to wait as well
	}
	st.wantDigest(now, p, f.id)
}

// wantDigest has the digest of a fragment pulled soon. p, who passed that
// fragment on, holds it.
func (st *stream) wantDigest(now clock.Time, p *peer, id uint64) {
	// What is held between the digest before and this fragment is of the run before: the digest
	// comes after it.
	want := max(id-min(id, digestScan), st.start)
	for x := id - 1; x > want; x-- {
		if st.win.has(x) {
			want = x + 1
			break
		}
	}
	if r := st.runOf(want); r != nil {
		want = r.end() + 1
	}
	at, isGap := st.findGap(want)
	if !isGap || want >= id {
		return
	}
	p.have.add(want)
	g := &st.missing[at]
	if at := now.Add(digestHaste); g.asked == nil && at < g.due {
		g.due = at
		st.repairBy(at)
	}
}

// settle verifies what has waited for a digest.
func (st *stream) settle(now clock.Time, r openRun) {
	var ready []waiting
	var bad []*peer
	kept := st.waiting[:0]
	for _, w := range st.waiting {
		switch {
		case w.id < r.id || w.id > r.end():
			kept = append(kept, w)
			continue
		case w.id == r.id || !st.matches(&r, w.id, w.msg):
			if !slices.Contains(bad, w.from) {
				bad = append(bad, w.from)
			}
		default:
			ready = append(ready, w)
		}
		st.waitBytes -= len(w.msg)
	}
	clear(st.waiting[len(kept):])
	if st.waiting = kept; len(kept) == 0 {
		st.waiting = nil
	}
	for _, w := range ready {
		f, ok := consumeFragment(w.msg)
		if !ok {
			panic("BUG: what is no fragment waits in a multicast stream")
		}
		if st.win.has(w.id) {
			st.stats.Duplicates++
			continue
		}
		st.stats.WaitTime += now.Sub(w.at)
		st.take(now, w.from, &f, w.msg, came{waited: true, pulled: w.pulled})
	}
	for id := r.id; len(bad) > 0 && id <= r.end(); id++ {
		if at, isGap := st.findGap(id); isGap && st.missing[at].due == clock.Never {
			st.missing[at].due = now
			st.repairNow(now)
		}
	}
	for _, p := range bad {
		st.blame(now, p, &st.s.counters.Altered)
	}
}

// dropWaiting forgets what a neighbor sent that waits, or if it is nil what has
// waited for too long. It is to be had of somebody else.
func (st *stream) dropWaiting(now clock.Time, p *peer) {
	kept := st.waiting[:0]
	for _, w := range st.waiting {
		if w.from != p && (p != nil || now.Sub(w.at) < waitLife) {
			kept = append(kept, w)
			continue
		}
		st.waitBytes -= len(w.msg)
		if p == nil {
			st.s.counters.WaitingDropped++
		}
		if at, isGap := st.findGap(w.id); isGap {
			st.missing[at].due = now
			st.repairNow(now)
		}
	}
	clear(st.waiting[len(kept):])
	if st.waiting = kept; len(kept) == 0 {
		st.waiting = nil
	}
}

// closeRuns forgets runs that are all there, or can't be had any more.
func (st *stream) closeRuns(now clock.Time) {
	kept := st.runs[:0]
	for _, r := range st.runs {
		open := r.end() > st.frontier
		for id := r.id + 1; id <= r.end() && !open; id++ {
			open = st.pending(id)
		}
		if open && st.win.has(r.id) {
			kept = append(kept, r)
		}
	}
	if st.runs = kept; len(kept) == 0 {
		st.runs = nil
	}
	st.dropWaiting(now, nil)
}

// believes reports whether an epoch may exist, by the latest that is signed.
func (st *stream) believes(now clock.Time, epoch uint64) bool {
	if !st.signed() || st.epochAt == 0 {
		return st.epochTop == 0 || epoch <= st.epochTop+maxEpochLead
	}
	return epoch <= st.epoch+epochLead+2*uint64(now.Sub(st.epochAt)/epochPeriod)
}

// blame cuts off a neighbor that sent what the publisher did not sign. No member
// passes on a signature that it has not checked: who does has no part in any
// stream any more. But a fragment that is not what the digest here says may be
// what another digest says, if the publisher signed two: that costs no more than
// the part in this stream, or a publisher could have honest members part with each other.
func (st *stream) blame(now clock.Time, p *peer, reason *uint64) {
	*reason++
	if reason == &st.s.counters.Altered {
		st.s.ban(now, p.n, st)
	} else {
		st.s.ban(now, p.n, nil)
	}
}

// ban cuts a neighbor off from a stream, or if it is nil from all, and keeps it
// off if it comes back within some time.
func (s *Service) ban(now clock.Time, n *neighbor, from *stream) {
	if n.banned {
		return
	}
	s.counters.Bans++
	e := exile{peer: n.Peer, until: now.Add(banTime), all: from == nil}
	if n.banned = e.all; !e.all {
		e.key = from.desc.key
	}
	s.exiles = slices.DeleteFunc(s.exiles, func(b exile) bool { return b.until <= now })
	if len(s.exiles) >= maxExiles {
		s.exiles = slices.Delete(s.exiles, 0, 1)
	}
	s.exiles = append(s.exiles, e)
	kept := n.flows[:0]
	for _, recv := range n.flows {
		if p := s.inflows[recv].p; !e.all && (p == nil || p.st != from) {
			kept = append(kept, recv)
			continue
		}
		delete(s.inflows, recv)
		s.flows.RejectFlow(now, recv)
	}
	n.flows = kept
	for _, p := range slices.Clone(n.peers) {
		st := p.st
		if !e.all && st != from {
			continue
		}
		if p.ctrlOut != 0 {
			s.closeFlow(now, &p.ctrlOut)
		}
		st.peerSilent(now, p)
		st.removePeer(p)
		st.wake(now)
	}
	s.emit(Event{Kind: NeighborBanned, Peer: n.Peer})
}

// exile is a member that is kept off for some time.
type exile struct {
	peer  group.PeerID
	until clock.Time
	all   bool
	key   Key // of the stream, unless it is all
}

// exiled reports whether a member is kept off a stream.
func (s *Service) exiled(now clock.Time, peer group.PeerID, key *Key) bool {
	return slices.ContainsFunc(s.exiles, func(e exile) bool {
		return e.peer == peer && e.until > now && (e.all || key != nil && e.key == *key)
	})
}

// disown gives up a stream whose publisher signed two versions of it.
func (st *stream) disown(now clock.Time) {
	st.s.counters.Equivocated++
	st.denied = true
	st.end(now, st.frontier)
}
