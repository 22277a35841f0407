package group

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// Neighbors tell each other whom they are linked with: the table. It serves
// three ends. A member sees who its neighbors' neighbors are, so that it passes
// on messages with two hops in view; it finds among them members that are nearer
// to it than those it has for the same part of the ring; and a gap in the ring
// shows at once. An entry is small: the first four bytes of an address, enough
// to tell members apart in one neighborhood, and a round-trip time. Who wants to
// link with one asks the neighbor for its id and addresses.

// entry is one line of a table: the far end of a link, by the top of its
// address, and the link's round-trip time.
type entry struct {
	top uint32
	rtt uint8
}

const entrySize = 5

// change is a line that came or went.
type change struct { // flat, to be eight bytes
	top  uint32
	rtt  uint8
	gone bool
}

func topOf(a ring.Addr) uint32 { return binary.BigEndian.Uint32(a[:4]) }

// Round-trip times in tables are one byte: four bits of exponent and four of
// mantissa, (16 + m) << e in units of 10 µs, from 160 µs to 10 s.
const rttUnit = 10 * time.Microsecond

func packRTT(d time.Duration) uint8 {
	n := uint64(max(d, 0) / rttUnit)
	if n < 16 {
		return 0
	}
	e := bits.Len64(n) - 5
	if e > 15 {
		return 255
	}
	return uint8(e<<4) | uint8(n>>e&15)
}

func unpackRTT(b uint8) time.Duration {
	return time.Duration(16+int(b&15)) << (b >> 4) * rttUnit
}

// A table message tells a neighbor all lines, or those that changed:
//
//	1a | flags | span (2) | VLU number gone | tops (4) of these | lines (4 + 1) that are there
type tableMessage struct {
	all     bool // these are all lines
	settled bool // the sender has found its place on the ring
	full    bool // the sender has no room but for those that need it on the ring
	span    uint16
	gone    []byte // 4 bytes each
	lines   []byte // entrySize bytes each
}

const (
	tableAll     = 1
	tableSettled = 2
	tableFull    = 4
)

func (m *tableMessage) append(b []byte) []byte {
	var flags byte
	if m.all {
		flags |= tableAll
	}
	if m.settled {
		flags |= tableSettled
	}
	if m.full {
		flags |= tableFull
	}
	b = append(b, msgTable, flags)
	b = binary.BigEndian.AppendUint16(b, m.span)
	b = element.AppendVLU(b, uint64(len(m.gone)/4))
	b = append(b, m.gone...)
	return append(b, m.lines...)
}

func parseTable(msg []byte) (m tableMessage, ok bool) {
	if len(msg) < 5 || msg[0] != msgTable {
		return m, false
	}
	m.all, m.settled, m.full = msg[1]&tableAll != 0, msg[1]&tableSettled != 0, msg[1]&tableFull != 0
	m.span = binary.BigEndian.Uint16(msg[2:])
	count, n := element.ConsumeVLU(msg[4:])
	b := msg[4+n:]
	if n == 0 || count > uint64(len(b)/4) {
		return m, false
	}
	m.gone, m.lines = b[:4*count], b[4*count:]
	return m, len(m.lines)%entrySize == 0 && len(m.lines) <= maxTable*entrySize
}

// lines yields the entries of a table as they are kept.
func lines(b []byte) func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		for ; len(b) >= entrySize; b = b[entrySize:] {
			if !yield(entry{binary.BigEndian.Uint32(b), b[4]}) {
				return
			}
		}
	}
}

func appendEntry(b []byte, e entry) []byte {
	return append(binary.BigEndian.AppendUint32(b, e.top), e.rtt)
}

// entryOf is the line that tells of l.
func (g *Group) entryOf(l *link) entry { return entry{topOf(l.addr), packRTT(g.links.RTT(l.id))} }

// tableChanged notes that a neighbor came or went, and tells the others soon.
func (g *Group) tableChanged(now clock.Time, l *link, gone bool) {
	if len(g.changes) == maxChanges {
		copy(g.changes, g.changes[1:])
		g.changes = g.changes[:maxChanges-1]
	}
	e := g.entryOf(l)
	g.changes = append(g.changes, change{e.top, e.rtt, gone})
	g.changed++
	switch g.untold++; g.untold {
	case 1: // that can wait
		g.timers.Set(&g.tables, now.Add(jitter(g.cfg.Rand, fewChanges*g.cfg.TableInterval)))
	case manyChanges:
		g.timers.Set(&g.tables, earlier(g.tables.When(), now.Add(jitter(g.cfg.Rand, g.cfg.TableInterval))))
	}
}

// tellTables tells every neighbor what it does not know yet.
func (g *Group) tellTables(now clock.Time) {
	g.untold = 0
	for _, l := range g.neighbors {
		if l.routes() && l.tableAt != g.changed {
			g.sendTable(now, l)
		}
	}
	g.changes = nil // everybody knows them
}

// full reports whether there is no room but for those that need this member on the
// ring. Whoever links with it although it is full costs somebody else a finger.
func (g *Group) full() bool { return g.peerings+fullBelow >= g.limit }

// sendTable tells a neighbor what changed since it was told last, or all.
func (g *Group) sendTable(now clock.Time, l *link) {
	var roomGone, roomLines [64 * entrySize]byte
	m := tableMessage{settled: g.settled, full: g.full(), span: g.span(), gone: roomGone[:0], lines: roomLines[:0]}
	if behind := g.changed - l.tableAt; l.tableAt == 0 || behind > uint32(len(g.changes)) {
		m.all = true
		for _, other := range g.neighbors {
			if other != l && len(m.lines) < maxTable*entrySize {
				m.lines = appendEntry(m.lines, g.entryOf(other))
			}
		}
	} else {
		news := g.changes[len(g.changes)-int(behind):]
		for i, c := range news {
			switch later := lastChange(news[i+1:], c.top); {
			case later || c.top == topOf(l.addr):
			case c.gone:
				m.gone = binary.BigEndian.AppendUint32(m.gone, c.top)
			default:
				m.lines = appendEntry(m.lines, entry{c.top, c.rtt})
			}
		}
	}
	l.tableAt = g.changed
	g.stats.TablesSent++
	g.send(now, l.out, m.append(g.buf[:0]))
}

// lastChange reports whether a later change is about the same member.
func lastChange(later []change, top uint32) bool {
	for _, c := range later {
		if c.top == top {
			return true
		}
	}
	return false
}

// takeTable takes a neighbor's table, and acts on what it shows.
func (g *Group) takeTable(now clock.Time, l *link, msg []byte) {
	m, ok := parseTable(msg)
	if !ok || !l.up {
		g.stats.MessagesIgnored++
		return
	}
	l.span, l.settled, l.full = m.span, m.settled, m.full
	if !l.told {
		l.told = true
		g.dirty = g.dirty || !g.settled
	}
	if m.all {
		l.table = l.table[:0]
	}
	for b := m.gone; len(b) > 0; b = b[4:] {
		l.removeEntry(binary.BigEndian.Uint32(b))
	}
	for e := range lines(m.lines) {
		l.removeEntry(e.top)
		if len(l.table) < maxTable*entrySize {
			l.table = appendEntry(l.table, e)
		}
	}
	if cap(l.table) > len(l.table)+4*entrySize {
		l.table = append(make([]byte, 0, len(l.table)), l.table...)
	}
	g.sampleLatency(l)
	g.tellMissing(now, l)
	g.missingHere(now, l)
}

func (l *link) removeEntry(top uint32) {
	for i := 0; i < len(l.table); i += entrySize {
		if binary.BigEndian.Uint32(l.table[i:]) == top {
			last := len(l.table) - entrySize
			copy(l.table[i:], l.table[last:])
			l.table = l.table[:last]
			return
		}
	}
}

func (l *link) lists(top uint32) bool {
	for i := 0; i < len(l.table); i += entrySize {
		if binary.BigEndian.Uint32(l.table[i:]) == top {
			return true
		}
	}
	return false
}

// reachOf returns how far the ringSide-th neighbor of l on either side lies
// from it, by its table: what is nearer, it needs. It is as far as can be for a
// neighbor that knows fewer.
func (l *link) reachOf(self ring.Addr) (up, down uint32) {
	var above, below [ringSide]uint32
	for i := range above {
		above[i], below[i] = 1<<32-1, 1<<32-1
	}
	at := topOf(l.addr)
	insertLeast(&above, topOf(self)-at)
	insertLeast(&below, at-topOf(self))
	for e := range lines(l.table) {
		insertLeast(&above, e.top-at)
		insertLeast(&below, at-e.top)
	}
	return above[ringSide-1], below[ringSide-1]
}

func insertLeast(list *[ringSide]uint32, v uint32) {
	for i := range list {
		if v < list[i] {
			list[i], v = v, list[i]
		}
	}
}

// tellMissing tells a neighbor of members that belong among its ring neighbors
// and that it is not linked with, as its table shows.
func (g *Group) tellMissing(now clock.Time, l *link) {
	if g.book.known.Len()+1 <= g.cfg.FullMesh {
		return // spread sees to it
	}
	up, down := l.reachOf(g.self)
	at := topOf(l.addr)
	for _, above := range [...]bool{true, false} {
		told := 0
		for k := 0; k < ringReach && told <= ringSide; k++ {
			it, ok := g.book.known.Above(l.addr, k)
			far, reach := topOf(it.Addr)-at, up
			if !above {
				it, ok = g.book.known.Below(l.addr, k)
				far, reach = at-topOf(it.Addr), down
			}
			if !ok || far > reach {
				break
			}
			if m := it.Value; m.link != nil && m.link.up && m.link != l && !l.lists(topOf(m.addr)) {
				g.addNews(now, l, m)
				told++
			}
		}
	}
}

// missingHere asks a neighbor for members in its table that belong among our
// ring neighbors and are not known here.
func (g *Group) missingHere(now clock.Time, l *link) {
	up, down := g.ringReach()
	at := topOf(g.self)
	for e := range lines(l.table) {
		if (e.top-at <= up || at-e.top <= down) && g.book.byTop(e.top) == nil {
			g.want(now, l, e.top)
		}
	}
}

// ringReach returns how far our ring neighbors lie on either side, as far as
// can be if there are too few.
func (g *Group) ringReach() (up, down uint32) {
	at := topOf(g.self)
	up, down = 1<<32-1, 1<<32-1
	got := 0
	for k := 0; k < ringReach && got < ringSide; k++ {
		it, ok := g.book.known.Above(g.self, k)
		if !ok {
			break
		}
		if l := it.Value.link; l != nil && l.up {
			if got++; got == ringSide {
				up = topOf(it.Addr) - at
			}
		}
	}
	got = 0
	for k := 0; k < ringReach && got < ringSide; k++ {
		it, ok := g.book.known.Below(g.self, k)
		if !ok {
			break
		}
		if l := it.Value.link; l != nil && l.up {
			if got++; got == ringSide {
				down = at - topOf(it.Addr)
			}
		}
	}
	return up, down
}

// want notes that a member in a neighbor's table is of interest; the questions
// of a moment go together.
func (g *Group) want(now clock.Time, l *link, top uint32) {
	if now < l.wantAfter {
		return
	}
	c := l.open()
	if len(c.wants) >= maxWants || slices.Contains(c.wants, top) {
		return
	}
	c.wants = append(c.wants, top)
	g.wanting = true
}

// askWanted sends the questions.
func (g *Group) askWanted(now clock.Time) {
	g.wanting = false
	for _, l := range g.neighbors {
		if l.chat == nil || len(l.chat.wants) == 0 {
			continue
		}
		b := append(g.buf[:0], msgWant)
		for _, t := range l.chat.wants {
			b = binary.BigEndian.AppendUint32(b, t)
		}
		l.chat.wants, l.wantAfter = nil, now.Add(g.cfg.NoticeInterval)
		g.restChat(l)
		g.stats.WantsSent++
		g.send(now, l.out, b)
	}
}

// takeWant answers a question for members of our table.
func (g *Group) takeWant(now clock.Time, l *link, msg []byte) {
	if !l.up || len(msg)%4 != 1 || len(msg) > 1+4*maxWants {
		g.stats.MessagesIgnored++
		return
	}
	if len(msg) == 1 { // what is new?
		if l.routes() && l.tableAt != g.changed {
			g.sendTable(now, l)
		}
		return
	}
	b := g.newsHeader()
	told := 0
	for q := msg[1:]; len(q) > 0; q = q[4:] {
		m := g.book.byTop(binary.BigEndian.Uint32(q))
		if m != nil && m.link != nil && m.link.up && m.link != l && !(m.link.full && g.restless(now) && !g.needsOne(l, m)) {
			b = g.appendReported(now, b, m)
			told++
		}
	}
	if told > 0 {
		g.stats.NoticesSent++
		g.send(now, l.out, b)
	}
}

// byTop returns the member whose address begins with top, nil if none is known.
func (b *book) byTop(top uint32) *member {
	i, _ := b.known.Search(entry{top: top}.floor())
	if b.known.Len() == 0 || i == b.known.Len() {
		return nil
	}
	if it := b.known.At(i); topOf(it.Addr) == top {
		return it.Value
	}
	return nil
}

func (e entry) floor() (a ring.Addr) {
	binary.BigEndian.PutUint32(a[:4], e.top)
	return a
}
