package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// What signatures may cost: a run is cut when it has so many bytes that its
// digest is signShare of a hundred of them at most. What a large run saves is
// credit for some small ones after it.
const (
	signShare = 3             // percent
	maxCredit = 4 * 100 * 100 // hundredths of a byte
	queueKeep = 64 << 10      // bytes of which the storage is kept
)

// run is what a publisher has written and not signed yet. Its fragments have
// their ids, after that of the digest to come.
type run struct {
	buf    []byte // their messages, one after the other
	ends   []int  // of each in buf
	hashes []fragmentHash
	flags  byte // of the digest
	since  clock.Time
	cutAt  clock.Time // when it is signed; Never: it is empty
	lastAt clock.Time // when the one before was
	credit int        // hundredths of a byte
	wrote  clock.Time // when the latest message came
	pace   time.Duration
	digest []byte
}

// enqueue takes a fragment into the run, which is cut if it is full.
func (p *Publication) enqueue(now clock.Time, f *fragment) {
	st, r := p.st, &p.run
	if len(r.ends) == 0 {
		r.since = now
	}
	f.id = st.frontier + 2 + uint64(len(r.ends))
	from := len(r.buf)
	r.buf = appendFragment(r.buf, *f)
	r.ends = append(r.ends, len(r.buf))
	r.hashes = append(r.hashes, st.hash(r.buf[from:]))
	if f.isKey() {
		r.flags |= digestKey
	}
	r.credit = min(r.credit+signShare*(len(r.buf)-from)-100*hashSize, maxCredit)
	if len(r.ends) == maxRun {
		p.cut(now)
	}
}

// wroteOne takes the time of a message into the pace at which they come.
func (r *run) wroteOne(now clock.Time) {
	switch d := min(now.Sub(r.wrote), time.Second); {
	case r.wrote == 0:
		r.pace = time.Second // unknown: the first message goes out at once
	case r.pace == time.Second:
		r.pace = d
	default:
		r.pace += (d - r.pace) / 8
	}
	r.wrote = now
}

// planCut decides when the run is signed: as soon as that is cheap enough, but
// not too soon after the one before, and before its first fragment has waited for
// longer than it may.
func (p *Publication) planCut(now clock.Time) {
	r := &p.run
	if r.cutAt = clock.Never; len(r.ends) == 0 {
		return
	}
	r.cutAt = r.since.Add(p.cfg.RunWait)
	if now == r.wrote && now.Add(r.pace) > r.cutAt {
		r.cutAt = now // the next message would come too late
	}
	if r.credit >= 100*p.digestCost() {
		r.cutAt = min(r.cutAt, r.lastAt.Add(p.cfg.RunTime))
	}
	if now >= r.cutAt {
		p.cut(now)
	} else {
		p.st.wake(r.cutAt)
	}
}

// digestCost is what a digest costs beside the hashes in it.
func (p *Publication) digestCost() int {
	cost := 1 + 1 + digestFixed
	for id := p.st.frontier + 1; id >= 0x80; id >>= 7 {
		cost++
	}
	return cost
}

// cut signs the run and sends it, the digest first.
func (p *Publication) cut(now clock.Time) {
	st, r := p.st, &p.run
	if st.keyed {
		r.flags |= digestKeyed
	}
	r.credit = max(r.credit-100*p.digestCost(), 0)
	id := st.frontier + 1
	r.digest = appendDigest(r.digest[:0], id, r.flags, uint32(p.epoch), r.hashes)
	sig := st.s.cfg.Keys.Sign(st.s.toSign(runLabel, &st.desc.key, r.digest))
	r.digest = append(r.digest, sig[:]...)
	p.emit(now, r.digest)
	from := 0
	for _, end := range r.ends {
		p.emit(now, r.buf[from:end])
		from = end
	}
	r.buf, r.ends, r.hashes = r.buf[:0], r.ends[:0], r.hashes[:0]
	if cap(r.buf) > queueKeep {
		r.buf = nil
	}
	r.flags, r.lastAt, r.cutAt = 0, now, clock.Never
}

// emit sends a fragment that has its id.
func (p *Publication) emit(now clock.Time, msg []byte) {
	f, ok := consumeFragment(msg)
	if !ok || f.id != p.st.frontier+1 {
		panic("BUG: a multicast run is not in order")
	}
	p.send(now, &f, msg)
}

// RunWait is how long fragments of a signed stream wait at most, for others that
// are signed with them.
func (p *Publication) RunWait() time.Duration {
	if !p.st.signed() {
		return 0
	}
	return p.cfg.RunWait
}
