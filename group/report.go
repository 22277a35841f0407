package group

import (
	"slices"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// sendReport tells a neighbor of the members that it needs, as far as they are
// known here: not those that this node likes, but those that the same choice
// would make from the neighbor's place on the ring.
func (g *Group) sendReport(now clock.Time, l *link, awaiting bool) {
	b := g.reportHeader(l, false)
	for _, m := range g.needs(l) {
		b = g.appendReported(now, b, m)
	}
	l.awaiting = awaiting
	l.toldAt = now
	if l.chat != nil {
		l.chat.news = nil
		g.timers.Stop(&l.chat.timer)
		g.restChat(l)
	}
	g.stats.ReportsSent++
	g.send(now, l.out, b)
}

// newsHeader begins a notice of other members, to a neighbor that was told our
// addresses when it became one.
func (g *Group) newsHeader() []byte {
	h := reportHeader{notice: true}
	return h.append(g.buf[:0])
}

// reportHeader begins a report in g.buf.
func (g *Group) reportHeader(l *link, notice bool) []byte {
	var seen, own [64]byte
	h := reportHeader{notice: notice}
	if a := g.links.FarAddr(l.id); a.IsValid() {
		h.reflexive = element.AppendAddress(seen[:0], element.Address{AddrPort: a, Origin: element.OriginObserved})
	}
	// Introducers come first: with their help the rest is not needed.
	list := mergeAddresses(g.relayAddresses(own[:0], 2), g.own)
	h.addresses = mergeAddresses(list, g.reflexive)
	return h.append(g.buf[:0])
}

// relayAddresses appends where the first few introducers are.
func (g *Group) relayAddresses(list []byte, most int) []byte {
	for i, in := range g.introducers {
		if a := g.links.FarAddr(in.id); a.IsValid() && i < most {
			list = element.AppendAddress(list, element.Address{AddrPort: a, Origin: element.OriginRelay})
		}
	}
	return list
}

// appendReported appends one member to a report.
func (g *Group) appendReported(now clock.Time, b []byte, m *member) []byte {
	var room [64]byte
	r := reported{peer: m.peer, age: now.Sub(m.heard), addresses: m.addresses}
	if m.link != nil && m.link.up {
		r.age = now.Sub(max(g.links.LastHeard(m.link.id), m.heard))
		// Where its packets come from is the best known of its addresses.
		if a := g.links.FarAddr(m.link.id); a.IsValid() {
			first := element.AppendAddress(room[:0], element.Address{AddrPort: a, Origin: element.OriginObserved})
			r.addresses = mergeAddresses(first, m.addresses)
		}
	}
	return r.append(b)
}

// needs returns the members that the far end of l needs, at most maxReported.
func (g *Group) needs(l *link) []*member {
	list := make([]*member, 0, maxReported)
	skip := func(m *member) bool {
		switch {
		case m.peer == l.peer || m.suspect():
			return true
		case m.link == nil:
			return m.fails > 0
		default:
			return !m.link.up && !m.proven // perhaps an introducer that is not a member
		}
	}
	add := func(m *member) {
		if len(list) == maxReported || skip(m) {
			return
		}
		for _, have := range list {
			if have == m {
				return
			}
		}
		list = append(list, m)
	}
	known := &g.book.known
	n := known.Len()
	if n+1 <= g.cfg.FullMesh {
		for i := range n {
			add(known.At(i).Value)
		}
		return list
	}
	// One more on either side than is wanted, in case that one is gone.
	for k, got := 0, 0; got <= ringSide; k++ {
		it, ok := known.Above(l.addr, k)
		if !ok {
			break
		}
		if !skip(it.Value) {
			add(it.Value)
			got++
		}
	}
	for k, got := 0, 0; got <= ringSide; k++ {
		it, ok := known.Below(l.addr, k)
		if !ok {
			break
		}
		if !skip(it.Value) {
			add(it.Value)
			got++
		}
	}
	for step := halfRing; step != (ring.Addr{}) && len(list) < maxReported-reportTail; step = step.Half() {
		up, _ := known.Nearest(l.addr.Add(step))
		down, _ := known.Nearest(l.addr.Sub(step))
		if near, ok := known.Above(l.addr, ringSide-1); ok && step.Less(l.addr.Up(near.Addr)) {
			break
		}
		add(up.Value)
		add(down.Value)
	}
	for range reportTail {
		add(known.At(g.cfg.Rand.IntN(n)).Value)
	}
	return list
}

// around returns the members on either side of a place that are known and not
// suspected, without the one that asks.
func (g *Group) around(at ring.Addr, without PeerID, side int) []*member {
	list := make([]*member, 0, 2*side)
	known := &g.book.known
	for _, next := range [...]func(ring.Addr, int) (ring.Item[*member], bool){known.Above, known.Below} {
		for k, got := 0, 0; got < side; k++ {
			it, ok := next(at, k)
			if !ok || k == 2*side {
				break
			}
			m := it.Value
			if m.peer == without || m.suspect() || m.fails > 0 || m.link != nil && !m.link.up && !m.proven {
				continue
			}
			if !slices.Contains(list, m) {
				list = append(list, m)
			}
			got++
		}
	}
	return list
}

// halfRing is 2^255.
var halfRing = ring.Addr{0: 0x80}

// needsOne reports whether the far end of l needs m: in a full mesh everybody
// needs everybody, otherwise those who are among each other's nearest.
func (g *Group) needsOne(l *link, m *member) bool {
	known := &g.book.known
	n := known.Len()
	if n+1 <= g.cfg.FullMesh {
		return true
	}
	if len(l.table) > 0 {
		// It shows itself what it needs.
		up, down := l.reachOf(g.self)
		at, to := topOf(l.addr), topOf(m.addr)
		return to-at <= up || at-to <= down
	}
	i, _ := known.Search(l.addr)
	j, _ := known.Search(m.addr)
	up := ((j-i)%n + n) % n
	return up <= ringSide || n-up <= ringSide
}

// spread tells those neighbors that need it of a new neighbor.
func (g *Group) spread(now clock.Time, m *member) {
	if g.book.known.Len()+1 > g.cfg.FullMesh && !g.nearby(m) {
		return // its neighbors on the ring tell each other
	}
	for _, l := range g.neighbors {
		if l.member != m && !l.lists(topOf(m.addr)) && g.needsOne(l, m) {
			g.addNews(now, l, m)
		}
	}
}

// nearby reports whether a member is among the ring neighbors of this one.
func (g *Group) nearby(m *member) bool {
	up, down := g.ringReach()
	d := topOf(m.addr) - topOf(g.self)
	return d <= up || -d <= down
}

// addNews has a neighbor told of a member soon.
func (g *Group) addNews(now clock.Time, l *link, m *member) {
	c := l.open()
	if len(c.news) == maxReported || slices.Contains(c.news, m) {
		return
	}
	c.news = append(c.news, m)
	if c.timer.When() == clock.Never {
		delay := g.cfg.NoticeDelay
		if g.book.known.Len()+1 > g.cfg.FullMesh {
			delay = max(delay, noticePatience) // several things come of one
		}
		g.timers.Set(&c.timer, max(now.Add(delay), l.toldAt.Add(g.cfg.NoticeInterval)))
	}
}

// tellNews tells a neighbor what was collected for it. Older members don't
// know of news and get a report in full.
func (g *Group) tellNews(now clock.Time, l *link) {
	if !l.up || l.chat == nil || len(l.chat.news) == 0 {
		return
	}
	if !l.offers(FeatureBase) {
		g.sendReport(now, l, true)
		return
	}
	b := g.newsHeader()
	told := 0
	for _, m := range l.chat.news {
		if m.link != nil && m.link.up {
			b = g.appendReported(now, b, m)
			told++
		}
	}
	l.chat.news = nil
	g.restChat(l)
	if told == 0 {
		return
	}
	l.toldAt = now
	g.stats.NoticesSent++
	g.send(now, l.out, b)
}

// mendRing looks for the next member on the ring when one is gone: in the
// tables of neighbors, and if these show nobody, by asking those who are there.
func (g *Group) mendRing(now clock.Time, lost *link) {
	if g.book.known.Len()+1 < g.cfg.FullMesh {
		return // everybody is known
	}
	for _, l := range g.neighbors {
		if l.routes() {
			g.missingHere(now, l)
		} else if !l.awaiting && l.member.forRing {
			g.sendReport(now, l, true)
		}
	}
	_, above := g.rangeOf(lost.addr.Top())
	g.thin[side(above)] = thinRounds
	g.timers.Set(&g.thinTimer, earlier(now.Add(thinSoon), g.thinTimer.When()))
	for _, above := range [...]bool{true, false} {
		there := 0
		for k := range ringReach {
			if it, ok := g.side(above, k); ok && (it.Value.link != nil || g.dialable(now, it.Value)) {
				there++
			}
		}
		if there < 2 {
			g.findPlace(now)
		}
	}
}

// askAround asks the next neighbors on a side where one was lost for what changed
// in their tables: who lost the same member, or others, has news to tell.
func (g *Group) askAround(now clock.Time) {
	again := false
	for _, above := range [...]bool{true, false} {
		if g.thin[side(above)] == 0 {
			continue
		}
		g.thin[side(above)]--
		again = again || g.thin[side(above)] > 0
		for k, asked := 0, 0; k < ringReach && asked < thinAsk; k++ {
			it, ok := g.side(above, k)
			if !ok {
				break
			}
			if l := it.Value.link; l != nil && l.up && l.routes() && l.suspected == 0 {
				g.send(now, l.out, append(g.buf[:0], msgWant))
				asked++
			}
		}
	}
	if again {
		g.timers.Set(&g.thinTimer, now.Add(thinLater))
	}
}

// takeReport learns from a report and answers it, unless it is an answer.
func (g *Group) takeReport(now clock.Time, l *link, msg []byte) {
	h, rest, ok := parseReportHeader(msg)
	if !ok {
		g.stats.MessagesIgnored++
		return
	}
	g.stats.ReportsTaken++
	l.member.addresses = mergeAddresses(mergeAddresses(nil, h.addresses), l.member.addresses)
	if a, n := element.ConsumeAddress(h.reflexive); n != 0 && usable(a) && !hasAddress(g.reflexive, a) {
		// The two latest are kept; whoever lies about them spoils no more.
		one := element.AppendAddress(nil, element.Address{AddrPort: a.AddrPort, Origin: element.OriginObserved})
		if _, first := element.ConsumeAddress(g.reflexive); first != 0 {
			one = append(one, g.reflexive[:first]...)
		}
		g.reflexive = one
	}
	for i := 0; len(rest) > 0 && i < maxReported; i++ {
		r, n := consumeReported(rest)
		if n == 0 {
			g.stats.MessagesIgnored++
			break
		}
		rest = rest[n:]
		// Ages are rounded down to seconds, so it may have been a second ago
		// more than is said. Being too young would raise the dead.
		g.learn(now, r.peer, now.Add(-r.age-ageUnit), r.addresses, l.id)
	}
	switch {
	case h.notice:
	case l.awaiting:
		l.awaiting = false
	default:
		g.sendReport(now, l, false)
	}
}
