package posting

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Post sends a post to everybody and returns it. The data are copied.
// Errors: ErrEmpty, ErrTooLarge, ErrNoKey, ErrRate, and that of Config.MayPost.
func (s *Service) Post(now clock.Time, data []byte) (*Post, error) {
	certificate := s.cfg.Keys.Certificate()
	switch {
	case len(data) == 0:
		return nil, ErrEmpty
	case len(data) > MaxData:
		return nil, ErrTooLarge
	case certificate == nil:
		return nil, ErrNoKey
	}
	at := max(s.unixMilli(now), s.series)
	if s.cfg.MayPost != nil {
		if err := s.cfg.MayPost(s.cfg.Self, s.cfg.Grant, at); err != nil {
			return nil, err
		}
	}
	owner := s.authors.get(s.cfg.Self)
	if !owner.admits(at, len(data), 1) {
		return nil, ErrRate
	}
	bucket := uint64(at) / bucketMilli
	encoded := appendBody(nil, certificate, s.series, s.number+1, uint64(at-s.series), s.cfg.Grant, data)
	if !s.store.makeRoom(len(encoded)+SignatureSize, bucket) {
		return nil, ErrRate
	}
	s.number++
	s.signed = signedMessage(s.signed, s.cfg.GroupID, encoded)
	signature := s.cfg.Keys.Sign(s.signed)
	id := idOf(s.signed)
	encoded = append(encoded, signature[:]...)
	p := &Post{
		ID: id, Author: s.cfg.Self, Series: s.series, Number: s.number, UnixMilli: at,
		Data: encoded[len(encoded)-SignatureSize-len(data) : len(encoded)-SignatureSize], Grant: s.cfg.Grant, encoded: encoded,
	}
	s.shrink()
	e := &entry{post: p, key: id.key(), at: now, bucket: bucket, owner: owner, tree: s.nearestTree()}
	s.keep(now, e)
	s.stats.Posted++
	s.deliver(p)
	s.forward(now, e, nil)
	return p, nil
}

// shrink gives back a large scratch buffer.
func (s *Service) shrink() {
	if cap(s.signed) > keepBuffer {
		s.signed = nil
	}
}

// nearestTree returns the tree with the nearest root.
func (s *Service) nearestTree() byte {
	best := -1
	for k := range s.trees {
		if t := &s.trees[k]; t.attached() && (best < 0 || t.delay < s.trees[best].delay) {
			best = k
		}
	}
	if best < 0 {
		return byte(s.cfg.Rand.IntN(numTrees))
	}
	return byte(best)
}

// keep puts a new post into the history.
func (s *Service) keep(now clock.Time, e *entry) {
	s.store.add(e)
	s.arm(&s.expire, now.Add(expirePeriod))
	if !e.post.Old {
		s.wentBy(now)
	}
}

// wentBy notes that a new post has come.
func (s *Service) wentBy(now clock.Time) {
	was := s.active(now)
	if s.heardAny {
		gap := min(now.Sub(s.lastPost), time.Second)
		s.pace += (gap - s.pace) / 8
	}
	s.lastPost, s.heardAny = now, true
	if !was {
		s.pace = time.Second
		s.wakeTrees(now)
	}
	s.syncing.settled = 0
	s.arm(&s.syncing.compare, now.Add(jitter(s, syncActive)))
	s.timers.Set(&s.silence, now.Add(max(silenceMin, silenceTimes*s.pace)))
}

func jitter(s *Service, d time.Duration) time.Duration {
	return d*3/4 + time.Duration(s.cfg.Rand.Int64N(int64(d/2)+1))
}

// onPost takes a post from a neighbor, and returns false if no honest one
// would have sent it.
func (s *Service) onPost(now clock.Time, n *neighbor, how byte, encoded []byte) bool {
	d, ok := parsePost(encoded)
	if !ok || how&postTree >= numTrees {
		return false
	}
	s.signed = signedMessage(s.signed, s.cfg.GroupID, d.body)
	id := idOf(s.signed)
	defer s.shrink()
	k := id.key()
	tree := how & postTree
	if e := s.store.byKey[k]; e != nil {
		s.stats.Duplicates++
		e.known.add(n.slot)
		return true
	}
	miss := s.missing[k]
	if !s.timely(now, d.unixMilli()) {
		s.drop(miss)
		return true // its clock, or ours, may differ
	}
	author, ok := s.cfg.Keys.Verify(d.certificate, s.signed, d.signature)
	if !ok {
		s.stats.Refused.BadSignature++
		return false
	}
	if author == s.cfg.Self {
		s.drop(miss) // of a former run, with the same key
		if d.series == s.series {
			return true
		}
	}
	if s.cfg.MayPost != nil && s.cfg.MayPost(author, d.grant, d.unixMilli()) != nil {
		// A neighbor that knows of a revocation later than this node may pass on
		// what is refused here, so it is not to blame.
		s.stats.Refused.Unauthorized++
		s.drop(miss)
		return true
	}
	owner := s.authors.get(author)
	if s.store.byPlace[place{owner, d.series, d.number}] != nil {
		s.stats.Refused.Conflict++
		s.drop(miss)
		return true
	}
	if !owner.admits(d.unixMilli(), len(d.data), relayFactor) {
		s.stats.Refused.Rate++
		s.drop(miss)
		return true
	}
	bucket := uint64(d.unixMilli()) / bucketMilli
	if !s.store.makeRoom(len(encoded), bucket) {
		s.stats.Refused.Full++
		s.drop(miss)
		return true
	}
	own := bytes.Clone(encoded)
	d, _ = parsePost(own)
	p := &Post{
		ID: id, Author: author, Series: d.series, Number: d.number, UnixMilli: d.unixMilli(),
		Data: d.data, Grant: d.grant, Old: s.isOld(now, d.unixMilli(), how), encoded: own,
	}
	e := &entry{post: p, key: k, at: now, bucket: bucket, owner: owner, tree: tree}
	e.known.add(n.slot)
	s.stats.Received++
	s.arrived(now, n, e, how, miss)
	s.keep(now, e)
	s.deliver(p)
	s.forward(now, e, n)
	return true
}

// isOld reports whether a post comes from the history.
func (s *Service) isOld(now clock.Time, unixMilli int64, how byte) bool {
	return how&postFetched != 0 && s.unixMilli(now)-unixMilli > int64(oldAge/time.Millisecond)
}

// timely reports whether a post of a time may still be taken in, or already.
func (s *Service) timely(now clock.Time, unixMilli int64) bool {
	wall := s.unixMilli(now)
	switch bucket := uint64(unixMilli) / bucketMilli; {
	case bucket < s.store.floor || unixMilli < wall-int64(s.cfg.History/time.Millisecond):
		s.stats.Refused.Old++
		return false
	case unixMilli > wall+int64(clockSkew/time.Millisecond):
		s.stats.Refused.Future++
		return false
	}
	return true
}

// arrived judges the trees by how a post came.
func (s *Service) arrived(now clock.Time, n *neighbor, e *entry, how byte, miss *missing) {
	t := &s.trees[e.tree]
	if how&postFetched == 0 {
		s.stats.Pushed++
		if n == t.parent {
			t.misses = 0
		}
		if miss != nil {
			s.lateness.add(now.Sub(miss.since))
		}
	} else {
		s.stats.Fetched++
		if !e.post.Old && t.parent != nil && t.parent != n && now.Sub(t.switched) > fetchGraceMax {
			if t.misses++; t.misses >= maxMisses {
				t.misses = 0
				t.parent.suspect = now.Add(suspectTime)
				s.loseParent(now, int(e.tree))
			}
		}
	}
	if miss != nil {
		for i := range miss.sources[:miss.n] {
			e.known.add(miss.sources[i].slot)
		}
		s.drop(miss)
	}
}

// forward passes a new post on: to the neighbors in its tree at once, to those
// who asked for announcements soon.
func (s *Service) forward(now clock.Time, e *entry, from *neighbor) {
	t := &s.trees[e.tree]
	flood := t.epoch == 0 && !e.post.Old && len(e.post.encoded) <= floodSize
	quiet := e.post.Old && s.syncing.done < grownUp
	announced := false
	for _, n := range s.neighbors {
		if n == from || e.known.has(n.slot) || n.banned > now {
			continue
		}
		inTree := n == t.parent || n.children&(1<<e.tree) != 0 || flood && (n.heard || n.wants&askRoutes != 0)
		switch {
		case inTree && !e.post.Old && s.push(now, n, e, e.tree):
		case inTree || n.wants&askAnnounce != 0 && !quiet:
			n.outbox = append(n.outbox, e.key)
			announced = true
		}
	}
	if announced {
		s.arm(&s.flush, now.Add(announceDelay))
	}
}

// push sends a post unless the neighbor has too much waiting for it already.
func (s *Service) push(now clock.Time, n *neighbor, e *entry, how byte) bool {
	if s.flows.Backlog(n.posts) > maxBacklog {
		s.stats.Refused.Backlog++
		return false
	}
	e.known.add(n.slot)
	e.sent.add(n.slot)
	s.sendPost(now, n, e, how)
	return true
}

func (s *Service) sendPost(now clock.Time, n *neighbor, e *entry, how byte) {
	s.stats.Relayed++
	msg := appendPostMessage(s.scratch[:0], how, e.post.encoded)
	s.stats.PayloadOut += uint64(len(msg))
	if how&postFetched != 0 && e.post.Old || now.Sub(e.at) > oldAge {
		s.send(now, n, &n.history, metaHistory, group.ClassBulk, msg)
	} else {
		s.send(now, n, &n.posts, metaPosts, group.ClassControl, msg)
	}
}

// expireHistory drops what has become too old.
func (s *Service) expireHistory(now clock.Time) {
	oldest := s.unixMilli(now) - int64(s.cfg.History/time.Millisecond)
	if oldest > 0 {
		s.store.dropBefore(uint64(oldest) / bucketMilli)
	}
	if len(s.store.byKey) > 0 {
		s.timers.Set(&s.expire, now.Add(expirePeriod))
	}
}

// sortPosts orders posts by time, and those of one author by number.
func sortPosts(list []*Post) {
	slices.SortStableFunc(list, func(a, b *Post) int {
		return cmp.Or(cmp.Compare(a.UnixMilli, b.UnixMilli), bytes.Compare(a.Author[:], b.Author[:]),
			cmp.Compare(a.Series, b.Series), cmp.Compare(a.Number, b.Number))
	})
}
