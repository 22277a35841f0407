package multicast

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"rtmfp/internal/clock"
)

// ExtentSize is the unit in which a Disk grows, in bytes.
const ExtentSize = 1 << 20

// Disk is room outside of memory for the past of one stream: extents of
// ExtentSize bytes, one after the other. Whoever gives it out tells the operator what goes wrong.
type Disk interface {
	// Grow adds an extent, so that what is written there has room. false: there is none.
	Grow() bool

	// ReadAt and WriteAt never go from one extent into the next. After a false the disk is not
	// used any more.
	ReadAt(b []byte, off int64) bool
	WriteAt(b []byte, off int64) bool

	// Close gives all of it back.
	Close()
}

// past is what has left the window of a stream and is kept on a Disk, for those who go back in
// it. What is live is never read from there. Fragments lie one after the other in extents, in the order in
// which they leave the window; the oldest extent is let go, or used again, as a whole. So nothing has to
// be read to let it go. In memory are the place of each fragment, and the times of those at which playing
// can begin.
type past struct {
	st      *stream
	disk    Disk
	limit   int      // extents
	grown   uint32   // extents that the disk has
	free    []uint32 // of these, those that hold nothing
	extents []extent // oldest first; the last one is written to
	unsaved []byte   // the end of the last one
	starts  []start  // by id
	full    bool     // it can't grow
	broken  bool

	chunks   []*pastChunk // of places, by id; nil: none of those ids is held
	base     uint64       // id of the first, a multiple of pastIDs
	low, top uint64       // the lowest and highest id held
	count    int
	bytes    int64

	out []byte // what was read last
}

type extent struct {
	number   uint32
	used     uint32     // bytes
	payload  uint32     // of these
	low, top uint64     // ids, others among them
	last     clock.Time // before which the newest arrived
}

// start is a message with which playing can begin.
type start struct {
	id uint64
	at int64 // the publisher's clock, microseconds
}

const (
	pastHead  = 6  // length, checksum
	pastUnit  = 16 // in which places are counted, so that 32 bits reach for 64 GiB
	pastIDs   = 1 << 10
	pastRead  = 1 << 10          // bytes that are read at first: most fragments are smaller
	maxChunks = 1 << 16          // 67 million ids
	startGap  = int64(500 * 1e3) // microseconds between two starts that are remembered
)

type pastChunk [pastIDs]uint32 // place of the record in units, plus 1; 0: not held

func newPast(st *stream, disk Disk, maxBytes int64) *past {
	return &past{st: st, disk: disk, limit: int(max(maxBytes/ExtentSize, 2)), low: 1}
}

func (p *past) empty() bool { return p == nil || p.count == 0 || p.broken }

// place returns where a fragment is, in units, plus 1; 0: it is not held.
func (p *past) place(id uint64) uint32 {
	if id < p.low || id > p.top {
		return 0
	}
	if c := p.chunks[(id-p.base)/pastIDs]; c != nil {
		return c[id%pastIDs]
	}
	return 0
}

func (p *past) has(id uint64) bool { return !p.empty() && p.place(id) != 0 }

// get returns the fragment message of an id, nil if it is not held or can't be read. The bytes
// stay valid until the next call.
func (p *past) get(id uint64) []byte {
	if !p.has(id) {
		return nil
	}
	at := p.place(id)
	off := int64(at-1) * pastUnit
	if p.out == nil {
		p.out = make([]byte, pastHead+maxFragment)
	}
	n := int(min(pastRead, ExtentSize-off%ExtentSize))
	if !p.disk.ReadAt(p.out[:n], off) {
		p.broken = true
		return nil
	}
	size := pastHead + int(binary.LittleEndian.Uint16(p.out))
	if size > n && (size > len(p.out) || off%ExtentSize+int64(size) > ExtentSize || !p.disk.ReadAt(p.out[n:size], off+int64(n))) {
		p.broken = true
		return nil
	}
	msg := p.out[pastHead:size:size]
	if binary.LittleEndian.Uint32(p.out[2:]) != pastSum(id, msg) {
		p.broken = true // rather than pass on what the publisher did not write
		return nil
	}
	return msg
}

func pastSum(id uint64, msg []byte) uint32 { return uint32(xxhash.Sum64(msg) ^ id) }

// add keeps a fragment message that arrived before an instant. What there is no room for is left out.
func (p *past) add(before clock.Time, id uint64, msg []byte) {
	if p.broken || p.has(id) || !p.span(id) {
		return
	}
	size := uint32(pastHead+len(msg)+pastUnit-1) &^ (pastUnit - 1)
	if n := len(p.extents); n == 0 || p.extents[n-1].used+size > ExtentSize {
		if !p.nextExtent(id) {
			p.st.stats.PastDropped++
			return
		}
	}
	e := &p.extents[len(p.extents)-1]
	c := &p.chunks[(id-p.base)/pastIDs]
	if *c == nil {
		*c = new(pastChunk)
	}
	(*c)[id%pastIDs] = e.number*(ExtentSize/pastUnit) + e.used/pastUnit + 1
	at := len(p.unsaved)
	p.unsaved = append(p.unsaved, make([]byte, size)...)
	binary.LittleEndian.PutUint16(p.unsaved[at:], uint16(len(msg)))
	binary.LittleEndian.PutUint32(p.unsaved[at+2:], pastSum(id, msg))
	copy(p.unsaved[at+pastHead:], msg)
	e.used += size
	e.payload += uint32(len(msg))
	e.low, e.top = min(e.low, id), max(e.top, id)
	e.last = before
	if p.count == 0 {
		p.low, p.top = id, id
	}
	p.low, p.top = min(p.low, id), max(p.top, id)
	p.count++
	p.bytes += int64(len(msg))
	p.noteStart(id, msg)
}

// span sees to it that there is a chunk for an id.
func (p *past) span(id uint64) bool {
	chunk := id &^ (pastIDs - 1)
	switch {
	case p.count == 0:
		p.chunks, p.base = p.chunks[:0], chunk
	case chunk < p.base && (p.top-chunk)/pastIDs >= maxChunks:
		return false
	case chunk < p.base:
		p.chunks = slices.Insert(p.chunks, 0, make([]*pastChunk, (p.base-chunk)/pastIDs)...)
		p.base = chunk
	}
	for p.count > 0 && (chunk-p.base)/pastIDs >= maxChunks {
		p.dropOldest()
	}
	if p.count == 0 {
		p.chunks, p.base = p.chunks[:0], chunk
	}
	for uint64(len(p.chunks)) <= (chunk-p.base)/pastIDs {
		p.chunks = append(p.chunks, nil)
	}
	return true
}

// noteStart remembers a message at which playing can begin.
func (p *past) noteStart(id uint64, msg []byte) {
	f, ok := consumeFragment(msg)
	if !ok || !f.start || p.st.signed() && f.isDigest() || p.st.keyed && !f.isKey() {
		return
	}
	at, _ := slices.BinarySearchFunc(p.starts, id, func(s start, id uint64) int {
		if s.id < id {
			return -1
		}
		return 1
	})
	t := f.mediaTime()
	if at > 0 && t >= p.starts[at-1].at && t-p.starts[at-1].at < startGap {
		return
	}
	p.starts = slices.Insert(p.starts, at, start{id, t})
}

// nextExtent begins an extent, in the room of the oldest if there is no other.
func (p *past) nextExtent(id uint64) bool {
	p.save()
	if len(p.free) == 0 {
		p.full = int(p.grown) >= p.limit
		if !p.full && p.disk.Grow() {
			p.free = append(p.free, p.grown)
			p.grown++
		} else if !p.full {
			p.full = true
			p.st.stats.PastFull++
		}
	}
	if len(p.free) == 0 && len(p.extents) > 0 {
		p.dropOldest()
		if !p.span(id) {
			return false
		}
	}
	n := len(p.free)
	if n == 0 || p.broken {
		return false
	}
	p.extents = append(p.extents, extent{number: p.free[n-1], low: id, top: id})
	p.free = p.free[:n-1]
	return true
}

// save writes what was added.
func (p *past) save() {
	if len(p.unsaved) == 0 || p.broken {
		return
	}
	e := &p.extents[len(p.extents)-1]
	if !p.disk.WriteAt(p.unsaved, int64(e.number)*ExtentSize+int64(e.used)-int64(len(p.unsaved))) {
		p.broken = true
	}
	p.unsaved = p.unsaved[:0]
}

// evict drops what arrived before an instant, an extent at a time.
func (p *past) evict(before clock.Time) {
	for len(p.extents) > 0 && p.extents[0].last < before {
		p.dropOldest()
	}
}

func (p *past) dropOldest() {
	if len(p.extents) == 1 {
		p.unsaved = p.unsaved[:0]
	}
	e := p.extents[0]
	p.extents = p.extents[:copy(p.extents, p.extents[1:])]
	p.free = append(p.free, e.number)
	p.bytes -= int64(e.payload)
	for id := max(e.low, p.base); id <= e.top; id++ {
		c := p.chunks[(id-p.base)/pastIDs]
		if c == nil {
			id |= pastIDs - 1
		} else if at := c[id%pastIDs]; at != 0 && (at-1)/(ExtentSize/pastUnit) == e.number {
			c[id%pastIDs] = 0
			p.count--
		}
	}
	if p.count == 0 {
		p.low, p.top, p.chunks, p.starts = 1, 0, nil, nil
		return
	}
	for p.place(p.low) == 0 {
		if p.chunks[(p.low-p.base)/pastIDs] == nil {
			p.low |= pastIDs - 1
		}
		p.low++
	}
	if n := (p.low - p.base) / pastIDs; n > 0 {
		p.chunks = slices.Delete(p.chunks, 0, int(n))
		p.base += n * pastIDs
	}
	for p.place(p.top) == 0 {
		p.top--
	}
	gone := 0
	for gone < len(p.starts) && p.starts[gone].id < p.low {
		gone++
	}
	p.starts = slices.Delete(p.starts, 0, gone)
}

// leaving returns the highest id of those that may be gone in a moment, as
// their room is needed.
func (p *past) leaving() uint64 {
	if !p.full || len(p.free) > 0 || len(p.extents) < 3 {
		return 0
	}
	return p.extents[0].top
}

// Archive finds members that keep much of a stream.
type Archive interface {
	// Find looks for members that keep the past of a stream, and asks for links with
	// them. Service.FoundNobody tells if there are none.
	Find(now clock.Time, key Key)
}

// archived reports whether members may be found that keep what is so many milliseconds old, and not
// everybody does.
func (st *stream) archived(back uint64) bool {
	return st.s.cfg.Archive != nil && back > uint64((st.desc.window+defaultRelayMargin).Milliseconds())
}

// FoundNobody tells that no members were found that keep the past of a stream, and are not neighbors.
func (s *Service) FoundNobody(now clock.Time, key Key) {
	st := s.byKey[key]
	if st == nil {
		return
	}
	for _, p := range st.subs {
		if r := p.behind; r != nil && r.seeking && r.until != 0 {
			r.until = now
			p.rewindSoon(now)
		}
	}
}

// Kept tells how much of each stream is kept here, of which more is kept than it asks of all members.
func (s *Service) Kept(now clock.Time, each func(key Key, back time.Duration)) {
	for _, st := range s.streams {
		if st.active && !st.ended && s.cfg.KeepWindow > st.desc.window+st.margin() {
			if present, ok := st.presentTime(now); ok {
				each(st.desc.key, time.Duration(min(st.reach(present).age, maxBack))*time.Millisecond)
			}
		}
	}
}

// openPast gives the stream a disk for what leaves its window, if it is to have one.
func (st *stream) openPast() {
	c := &st.s.cfg
	if c.OpenPast == nil || c.KeepWindow <= st.desc.window+st.margin() {
		return
	}
	if disk := c.OpenPast(st.desc.name); disk != nil {
		st.past = newPast(st, disk, c.MaxPastBytes)
		st.win.past = st.past
	}
}

func (st *stream) closePast() {
	if st.past != nil {
		st.past.disk.Close()
		st.past, st.win.past = nil, nil
	}
}

// keepPast writes what has left the window, and lets go of what is too old.
func (st *stream) keepPast(now clock.Time) {
	if st.past == nil {
		return
	}
	if !st.past.broken {
		st.past.evict(now.Add(-st.s.cfg.KeepWindow))
		st.past.save()
	}
	if st.past.broken {
		st.stats.PastFailed++
		st.closePast() // and what comes is kept in memory
	}
}

// held reports whether a fragment is in the window or in the past.
func (st *stream) held(id uint64) bool { return st.win.has(id) || st.past.has(id) }

// fragment returns a fragment message of the window or of the past, nil if there is none.
// The bytes are valid until the next call, or the next change of the window.
func (st *stream) fragment(id uint64) []byte {
	if st.win.has(id) {
		return st.win.get(id)
	}
	return st.past.get(id)
}

// oldest returns the lowest id that is held, 0 if none is.
func (st *stream) oldest() uint64 {
	switch {
	case st.past.empty() && st.win.empty():
		return 0
	case st.past.empty():
		return st.win.low
	case st.win.empty():
		return st.past.low
	}
	return min(st.past.low, st.win.low)
}

// newest returns the highest id that is held, 0 if none is.
func (st *stream) newest() uint64 {
	switch {
	case st.past.empty() && st.win.empty():
		return 0
	case st.past.empty():
		return st.win.top
	}
	return max(st.past.top, st.win.top)
}

// startInPast returns the newest place in the past at which playing can begin and that is at
// least as old as asked, or else the oldest that will still be there in a moment.
func (st *stream) startInPast(present int64, back uint64) (at place) {
	p := st.past
	if p.empty() {
		return place{}
	}
	gone := p.leaving()
	leaving := uint64(max(st.s.cfg.KeepWindow-recallMargin, 0).Milliseconds())
	best := len(p.starts)
	for i := best - 1; i >= 0 && p.starts[i].id > gone; i-- {
		age := ago(present, p.starts[i].at)
		if best < len(p.starts) && age > leaving {
			break
		}
		if best = i; age >= back {
			break
		}
	}
	for ; best < len(p.starts); best++ {
		s := p.starts[best]
		at = place{s.id, ago(present, s.at)}
		if st.signed() {
			at.id = st.digestOf(s.id)
		}
		if at.id != 0 && st.held(at.id) {
			return at
		}
	}
	return place{}
}
