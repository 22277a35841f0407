package posting

import (
	"slices"
	"time"

	"rtmfp/internal/clock"
)

// missing is a post that neighbors have announced and that is not here.
type missing struct {
	key     key
	since   clock.Time
	first   *neighbor             // who announced it first
	sources [maxSources]*neighbor // who has it, in the order in which they said so
	n       int
	asked   *neighbor
	tries   int
	timer   clock.Timer[alarm]
}

// lateness is how long after its announcement a post tends to be pushed.
type lateness struct{ mean, deviation time.Duration }

func (l *lateness) add(d time.Duration) {
	if l.mean == 0 {
		l.mean, l.deviation = d, d/2
		return
	}
	diff := d - l.mean
	l.mean += diff / 8
	if diff < 0 {
		diff = -diff
	}
	l.deviation += (diff - l.deviation) / 8
}

// grace is how long the push of an announced post is waited for.
func (l *lateness) grace() time.Duration {
	if l.mean == 0 {
		return fetchGrace
	}
	return min(max(l.mean+4*l.deviation, fetchGraceMin), fetchGraceMax)
}

// announce tells neighbors of posts that they may lack.
func (s *Service) announce(now clock.Time) {
	for _, n := range s.neighbors {
		keys := n.outbox
		n.outbox = nil
		for len(keys) > 0 {
			var list [maxAnnounce]key
			count := 0
			for ; len(keys) > 0 && count < maxAnnounce; keys = keys[1:] {
				if e := s.store.byKey[keys[0]]; e != nil && !e.known.has(n.slot) {
					list[count] = keys[0]
					count++
				}
			}
			if count > 0 {
				s.sendControl(now, n, appendKeys(s.scratch[:0], msgHave, list[:count]))
			}
		}
	}
}

// catchUp announces to a neighbor that has just begun to rely on this node
// what may have gone by while it did not.
func (s *Service) catchUp(now clock.Time, n *neighbor) {
	any := false
	for i := len(s.store.buckets) - 1; i >= 0 && i >= len(s.store.buckets)-4; i-- {
		for _, e := range s.store.buckets[i].entries {
			if now.Sub(e.at) < catchUpTime && !e.known.has(n.slot) && !slices.Contains(n.outbox, e.key) {
				n.outbox = append(n.outbox, e.key)
				any = true
			}
		}
	}
	if any {
		s.arm(&s.flush, now.Add(routeDelay))
	}
}

// onHave takes an announcement.
func (s *Service) onHave(now clock.Time, n *neighbor, msg []byte) bool {
	count, ok := parseKeys(msg)
	if !ok {
		return false
	}
	for i := range count {
		s.learn(now, n, keyAt(msg, i), s.grace(), maxPromises)
	}
	return true
}

// grace is how long pushes are waited for: less if a tree has no parent.
func (s *Service) grace() time.Duration {
	for k := range s.trees {
		if !s.trees[k].attached() {
			return fetchGraceMin / 2
		}
	}
	return s.lateness.grace()
}

// learn notes that a neighbor has a post.
func (s *Service) learn(now clock.Time, n *neighbor, k key, grace time.Duration, most int) {
	if e := s.store.byKey[k]; e != nil {
		e.known.add(n.slot)
		return
	}
	m := s.missing[k]
	if m == nil {
		if len(s.missing) >= maxMissing || n.promised >= most {
			s.stats.Refused.Missing++
			return
		}
		n.promised++
		m = &missing{key: k, since: now, first: n}
		m.timer.Owner = alarm{kind: alarmFetch, post: m}
		s.missing[k] = m
		s.timers.Set(&m.timer, now.Add(grace))
	}
	for _, have := range m.sources[:m.n] {
		if have == n {
			return
		}
	}
	if m.n < maxSources {
		m.sources[m.n] = n
		m.n++
	}
}

// drop ends the search for a post.
func (s *Service) drop(m *missing) {
	if m == nil {
		return
	}
	m.first.promised--
	s.timers.Stop(&m.timer)
	delete(s.missing, m.key)
}

// fetch asks the nearest of those who have a post, one after the other.
func (s *Service) fetch(now clock.Time, m *missing) {
	if m.asked != nil {
		m.remove(m.asked) // it did not answer in time
		m.asked = nil
	}
	var best *neighbor
	for _, n := range m.sources[:m.n] {
		if best == nil || s.flows.RTT(n.link) < s.flows.RTT(best.link) {
			best = n
		}
	}
	if best == nil || m.tries == maxFetches {
		s.stats.Refused.GivenUp++
		s.drop(m)
		return
	}
	m.asked = best
	m.tries++
	if len(best.request) == 0 {
		s.asking = append(s.asking, best)
	}
	best.request = append(best.request, m.key)
	rtt := s.flows.RTT(best.link)
	s.timers.Set(&m.timer, now.Add(fetchTimeout+2*rtt+time.Duration(len(best.request))*time.Millisecond))
}

func (m *missing) remove(n *neighbor) {
	for i, have := range m.sources[:m.n] {
		if have == n {
			copy(m.sources[i:], m.sources[i+1:m.n])
			m.n--
			m.sources[m.n] = nil
			return
		}
	}
}

// forgetSource takes a neighbor out of the search for posts.
func (s *Service) forgetSource(now clock.Time, n *neighbor) {
	n.request = nil
	s.asking = slices.DeleteFunc(s.asking, func(m *neighbor) bool { return m == n })
	for _, m := range s.missing { // order-free: each is changed by itself, and timers of one instant are equal
		m.remove(n)
		if m.asked == n {
			m.asked = nil
		}
	}
}

// sendRequests asks for what this turn has found to be due.
func (s *Service) sendRequests(now clock.Time) {
	for _, n := range s.asking {
		keys := n.request
		n.request = nil
		for len(keys) > 0 && !n.gone {
			count := min(len(keys), maxAsk)
			s.sendControl(now, n, appendKeys(s.scratch[:0], msgWant, keys[:count]))
			keys = keys[count:]
		}
	}
	s.asking = s.asking[:0]
}

// account begins a new period of what a neighbor is served, if it is time.
func (s *Service) account(now clock.Time, n *neighbor) {
	if now.Sub(n.servedAt) > servePeriod {
		n.served, n.servedAt = 0, now
	}
}

// onWant serves a request.
func (s *Service) onWant(now clock.Time, n *neighbor, msg []byte) bool {
	count, ok := parseKeys(msg)
	if !ok {
		return false
	}
	s.account(now, n)
	var lack []key
	for i := range count {
		k := keyAt(msg, i)
		e := s.store.byKey[k]
		switch {
		case e == nil:
			lack = append(lack, k)
		case e.sent.has(n.slot) && now.Sub(e.at) < resendTime:
			// On its way already, on a flow that delivers.
		case n.served > maxServed:
			s.stats.Refused.Serving++
			lack = append(lack, k)
		default:
			n.served += len(e.post.encoded)
			e.known.add(n.slot)
			e.sent.add(n.slot)
			s.stats.Served++
			s.sendPost(now, n, e, e.tree|postFetched)
		}
	}
	if len(lack) > 0 {
		s.sendControl(now, n, appendKeys(s.scratch[:0], msgLack, lack))
	}
	return true
}

// onLack takes the word of a neighbor that it does not have what it was asked for.
func (s *Service) onLack(now clock.Time, n *neighbor, msg []byte) bool {
	count, ok := parseKeys(msg)
	if !ok {
		return false
	}
	for i := range count {
		if m := s.missing[keyAt(msg, i)]; m != nil && m.asked == n {
			s.timers.Set(&m.timer, now)
		}
	}
	return true
}

// onSilence asks some neighbors what went by, when posts that came steadily
// come no more: the trees may be cut off above this node, and those who would
// announce may be gone.
func (s *Service) onSilence(now clock.Time) {
	if len(s.neighbors) == 0 {
		return
	}
	s.stats.Alarms++
	start := s.cfg.Rand.IntN(len(s.neighbors))
	for i := range min(silenceAsks, len(s.neighbors)) {
		s.askRecent(now, s.neighbors[(start+i)%len(s.neighbors)], 0)
	}
}

// checkInformers replaces those who announce nothing while posts come from
// others, as the dead do before the group has noticed.
func (s *Service) checkInformers(now clock.Time) {
	changed := false
	for _, n := range s.neighbors {
		if n.informer && n.asked.parent == 0 && n.children == 0 &&
			now.Sub(n.lastHeard) > informerTime && s.stats.Received-n.heardSeq > informerPosts {
			n.informer = false
			n.suspect = now.Add(suspectTime)
			changed = true
		}
	}
	if changed {
		s.chooseMesh(now)
	}
}
