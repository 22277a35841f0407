package posting

import (
	"cmp"
	"slices"

	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// tree is one of the trees along which posts are pushed, as this node is part
// of it. Its root is the member nearest to the tree's address. While posts
// come, the root begins a new epoch every two seconds; members tell each other
// their delay to the root and choose the neighbor by which it is least.
//
// That no loops form is ensured as in Babel (RFC 8966 §2.4): within an epoch, a
// parent must be nearer to the root than this node ever was in that epoch.
type tree struct {
	addr     ring.Addr
	nearSelf uint64 // of this node to addr

	epoch    uint64
	nearness uint64 // of the root that the epoch is of
	delay    uint64 // to the root in delayUnit
	feasible uint64 // the least that delay was in this epoch
	parent   *neighbor
	root     bool
	rootGone bool // the root of this epoch is known to have left

	freshAt  clock.Time // when the epoch began here
	newsAt   clock.Time // when a newer one was first heard of, 0 if none was
	misses   int        // posts that the parent did not bring
	switched clock.Time
	beat     clock.Timer[alarm] // time for the root to begin an epoch
	look     clock.Timer[alarm] // time to look for a better parent
}

func (t *tree) attached() bool { return t.root || t.parent != nil }

// cost is what a hop over the link to n adds to a delay.
func (s *Service) cost(n *neighbor) uint64 {
	rtt := s.flows.RTT(n.link)
	if rtt <= 0 {
		rtt = unknownRTT
	}
	return uint64((rtt/2 + hopCost) / delayUnit)
}

// active reports whether posts have come lately, so that trees are kept up.
func (s *Service) active(now clock.Time) bool { return s.heardAny && now.Sub(s.lastPost) < activeTime }

// nearest reports whether no neighbor is nearer to a tree's address.
func (s *Service) nearest(k int) bool {
	t := &s.trees[k]
	for _, n := range s.neighbors {
		if t.addr.Nearer(n.addr, s.addr) {
			return false
		}
	}
	return true
}

// wake makes the trees move again after a quiet time.
func (s *Service) wakeTrees(now clock.Time) {
	for k := range s.trees {
		t := &s.trees[k]
		t.freshAt = max(t.freshAt, now.Add(-beaconPeriod))
		s.arm(&t.beat, now)
	}
}

// beatTree begins an epoch if this node is the root.
func (s *Service) beatTree(now clock.Time, k int) {
	t := &s.trees[k]
	if !s.active(now) && !t.rootGone {
		return
	}
	if s.active(now) {
		s.arm(&t.beat, now.Add(beaconPeriod))
	}
	if len(s.neighbors) == 0 || !s.nearest(k) {
		if t.root {
			s.loseParent(now, k)
		}
		return
	}
	if now.Sub(s.metAt) < beaconPeriod/2 {
		// A newcomer may not know yet who is nearer, but hears of a root that is.
		s.arm(&t.beat, s.metAt.Add(beaconPeriod/2))
		if s.trees[k].epoch != 0 {
			return
		}
	}
	if !t.root && t.epoch != 0 && t.nearness < t.nearSelf && !t.rootGone && now.Sub(t.freshAt) < rootPatience {
		return
	}
	s.claim(now, k)
}

// claim begins an epoch of which this node is the root.
func (s *Service) claim(now clock.Time, k int) {
	t := &s.trees[k]
	e := t.epoch
	for _, n := range s.neighbors {
		if r := n.routes[k]; s.plausible(t, r) {
			e = max(e, r.epoch)
		}
	}
	old := t.parent
	t.epoch, t.nearness, t.delay, t.feasible = e+1, t.nearSelf, 0, 0
	t.parent, t.root, t.rootGone, t.freshAt, t.newsAt, t.misses = nil, true, false, now, 0, 0
	s.stats.Claims++
	if old != nil {
		s.updateAsk(now, old)
	}
	s.routeChanged(now, k)
}

// plausible reports whether an epoch can follow the one that is known.
func (s *Service) plausible(t *tree, r route) bool {
	return r.delay != 0 && (t.epoch == 0 || r.epoch <= t.epoch+maxEpochLead)
}

// routeChanged has the neighbors told of this node's way to a root.
func (s *Service) routeChanged(now clock.Time, k int) {
	s.changed |= 1 << k
	s.arm(&s.tell, now.Add(routeDelay))
}

func (s *Service) ownRoutes() (r [numTrees]route) {
	for k := range s.trees {
		t := &s.trees[k]
		r[k] = route{epoch: t.epoch, nearness: t.nearness}
		if t.attached() {
			r[k].delay = min(t.delay+1, maxDelay)
		}
	}
	return r
}

func (s *Service) tellRoutes(now clock.Time) {
	mask := s.changed
	s.changed = 0
	if mask == 0 {
		return
	}
	routes := s.ownRoutes()
	for _, n := range s.neighbors {
		if n.wants&askRoutes != 0 {
			s.sendControl(now, n, appendRoutes(s.scratch[:0], mask, &routes))
		}
	}
}

// onRoutes takes a neighbor's word of its ways to the roots.
func (s *Service) onRoutes(now clock.Time, n *neighbor, msg []byte) bool {
	routes := n.routes
	mask, ok := parseRoutes(msg, &routes)
	if !ok {
		return false
	}
	n.routes = routes
	for k := range s.trees {
		if mask&(1<<k) != 0 {
			s.considerTree(now, k)
		}
	}
	return true
}

// usable reports whether n may become the parent in a tree.
func (s *Service) usable(now clock.Time, n *neighbor, k int) bool {
	return s.plausible(&s.trees[k], n.routes[k]) && n.suspect <= now && n.refused[k] <= now && n.asked.flags&askRoutes != 0
}

// newestEpoch returns the newest epoch that a neighbor has a way to the root of.
func (s *Service) newestEpoch(now clock.Time, k int) (e, nearness uint64) {
	for _, n := range s.neighbors {
		if r := n.routes[k]; s.usable(now, n, k) && r.epoch > e {
			e, nearness = r.epoch, r.nearness
		}
	}
	return e, nearness
}

// bestParent returns the neighbor with the shortest way among those whose route
// is of the epoch and, if it is the present one, that can't close a loop.
func (s *Service) bestParent(now clock.Time, k int, epoch uint64) (best *neighbor, delay uint64) {
	t := &s.trees[k]
	for _, n := range s.neighbors {
		r := n.routes[k]
		if !s.usable(now, n, k) || r.epoch != epoch || epoch == t.epoch && r.delay-1 >= t.feasible {
			continue
		}
		if d := r.delay - 1 + s.cost(n); best == nil || d < delay {
			best, delay = n, d
		}
	}
	return best, delay
}

// considerTree acts on what the neighbors tell of a tree.
func (s *Service) considerTree(now clock.Time, k int) {
	t := &s.trees[k]
	newest, nearness := s.newestEpoch(now, k)
	if t.root {
		switch {
		case newest <= t.epoch:
		case nearness <= t.nearSelf: // a nearer member has taken over
			t.root = false
			t.newsAt = now.Add(-parentWait)
		case now.Sub(t.freshAt) >= beaconPeriod/4:
			s.claim(now, k) // who is farther stands back when it hears this
			return
		default:
			s.arm(&t.beat, t.freshAt.Add(beaconPeriod/4))
			return
		}
	}
	if p := t.parent; p != nil {
		r := p.routes[k]
		switch {
		case r.delay == 0 || r.epoch < t.epoch || r.epoch == t.epoch && r.delay-1 >= t.feasible:
			s.loseParent(now, k)
			return
		case r.epoch > t.epoch && s.plausible(t, r):
			s.follow(now, k, p)
		default:
			d := r.delay - 1 + s.cost(p)
			if d > t.delay+t.delay/8 || d < t.delay-t.delay/8 {
				t.delay = d
				t.feasible = min(t.feasible, d)
				s.routeChanged(now, k)
			}
		}
	}
	if newest > t.epoch && !t.root {
		if t.newsAt == 0 {
			t.newsAt = now
		}
		wait := parentWait
		if t.parent == nil || t.nearness != nearness {
			wait = collectTime
		}
		s.arm(&t.look, max(now, t.newsAt.Add(wait)))
	} else if t.parent == nil && !t.root && t.epoch != 0 {
		s.arm(&t.look, now.Add(collectTime))
	}
}

// follow takes on the epoch of n as its child.
func (s *Service) follow(now clock.Time, k int, n *neighbor) {
	t := &s.trees[k]
	r := n.routes[k]
	if r.epoch > t.epoch || t.nearness != r.nearness {
		t.rootGone = false
		t.freshAt = now
	}
	fresh := r.epoch > t.epoch
	old := t.parent
	t.epoch, t.nearness, t.parent, t.root = r.epoch, r.nearness, n, false
	t.delay = r.delay - 1 + s.cost(n)
	if fresh {
		t.feasible = t.delay
	} else {
		t.feasible = min(t.feasible, t.delay)
	}
	if newest, _ := s.newestEpoch(now, k); newest <= t.epoch {
		t.newsAt = 0
	}
	if old != n {
		t.misses, t.switched = 0, now
		s.stats.Switches++
		if old != nil {
			s.updateAsk(now, old)
		}
		s.updateAsk(now, n)
	}
	if fresh {
		s.arm(&t.look, now.Add(reviewDelay))
	}
	s.routeChanged(now, k)
}

// reviewTree looks for a parent, or a better one.
func (s *Service) reviewTree(now clock.Time, k int) {
	t := &s.trees[k]
	if t.root {
		return
	}
	newest, nearness := s.newestEpoch(now, k)
	if newest > t.epoch {
		wait := parentWait
		if t.parent == nil || t.nearness != nearness {
			wait = collectTime
		}
		if t.newsAt != 0 && now < t.newsAt.Add(wait) {
			s.arm(&t.look, t.newsAt.Add(wait))
			return
		}
		if n, _ := s.bestParent(now, k, newest); n != nil {
			s.follow(now, k, n)
		}
		return
	}
	n, d := s.bestParent(now, k, t.epoch)
	switch {
	case n == nil || n == t.parent:
	case t.parent == nil, d+uint64(switchGain/delayUnit)+t.delay/10 < t.delay:
		s.follow(now, k, n)
	}
}

// loseParent leaves a tree without a parent, and looks for another one that is
// nearer to the root for certain.
func (s *Service) loseParent(now clock.Time, k int) {
	t := &s.trees[k]
	old := t.parent
	t.parent, t.root = nil, false
	if newest, _ := s.newestEpoch(now, k); newest >= t.epoch {
		if n, _ := s.bestParent(now, k, newest); n != nil && n != old {
			s.follow(now, k, n)
		}
	}
	if old != nil {
		s.updateAsk(now, old)
	}
	if t.parent == nil {
		s.stats.Orphaned++
		s.routeChanged(now, k)
	}
}

// treeLost takes the loss of a neighbor.
func (s *Service) treeLost(now clock.Time, k int, n *neighbor) {
	t := &s.trees[k]
	if t.epoch != 0 && !t.root && nearness(t.addr, n.addr) == t.nearness {
		t.rootGone = true
	}
	if t.parent == n {
		s.loseParent(now, k)
	}
	if t.rootGone && s.nearest(k) {
		s.arm(&t.beat, now)
	}
}

// onAsk takes what a neighbor wants of this node.
func (s *Service) onAsk(now clock.Time, n *neighbor, a ask) {
	var refuse byte
	was := n.children
	for k := range s.trees {
		bit := byte(1) << k
		switch {
		case a.parent&bit == 0:
			n.children &^= bit
		case n.children&bit != 0:
		case s.childCount(k) >= s.cfg.MaxChildren:
			refuse |= bit
			s.stats.Refused.Children++
		default:
			n.children |= bit
		}
	}
	newly := a.flags &^ n.wants
	n.wants = a.flags
	if refuse != 0 {
		s.sendControl(now, n, appendRefuse(s.scratch[:0], refuse))
	}
	if newly&askRoutes != 0 {
		var mask byte
		for k := range s.trees {
			if s.trees[k].epoch != 0 {
				mask |= 1 << k
			}
		}
		if mask != 0 {
			routes := s.ownRoutes()
			s.sendControl(now, n, appendRoutes(s.scratch[:0], mask, &routes))
		}
	}
	if n.children&^was != 0 || newly&askAnnounce != 0 {
		s.catchUp(now, n)
	}
}

func (s *Service) childCount(k int) (count int) {
	for _, n := range s.neighbors {
		if n.children&(1<<k) != 0 {
			count++
		}
	}
	return count
}

// onRefuse takes a neighbor's word that it has no room for another child.
func (s *Service) onRefuse(now clock.Time, n *neighbor, mask byte) {
	for k := range s.trees {
		if mask&(1<<k) != 0 && s.trees[k].parent == n {
			n.refused[k] = now.Add(refusedTime)
			s.loseParent(now, k)
		}
	}
}

// updateAsk tells a neighbor what is wanted of it, if that has changed.
func (s *Service) updateAsk(now clock.Time, n *neighbor) {
	var a ask
	for k := range s.trees {
		if s.trees[k].parent == n {
			a.parent |= 1 << k
		}
	}
	if n.heard || a.parent != 0 {
		a.flags |= askRoutes
	}
	if n.informer {
		a.flags |= askAnnounce
	}
	if a == n.asked || n.gone {
		return
	}
	n.asked = a
	s.sendControl(now, n, appendAsk(s.scratch[:0], a))
}

// chooseMesh picks the neighbors whose routes and announcements are of
// interest: those near by for short ways, and some others.
func (s *Service) chooseMesh(now clock.Time) {
	s.timers.Set(&s.mesh, now.Add(meshPeriod))
	if len(s.neighbors) == 0 {
		s.timers.Stop(&s.mesh)
		return
	}
	list := make([]*neighbor, 0, len(s.neighbors))
	for _, n := range s.neighbors {
		if n.suspect <= now {
			list = append(list, n)
		} else {
			n.heard, n.informer = false, false
		}
	}
	slices.SortFunc(list, func(a, b *neighbor) int {
		return cmp.Or(cmp.Compare(s.cost(a), s.cost(b)), a.addr.Compare(b.addr))
	})
	for i, n := range list {
		if i < meshNear {
			n.heard = true
		}
	}
	rest := list[min(meshNear, len(list)):]
	s.keepSome(rest, meshRandom, func(n *neighbor) *bool { return &n.heard })
	s.keepSome(list, informers, func(n *neighbor) *bool { return &n.informer })
	for _, n := range s.neighbors {
		s.updateAsk(now, n)
	}
}

// keepSome sets a flag of as many neighbors as wanted, keeping those that have
// it and choosing others at random.
func (s *Service) keepSome(list []*neighbor, want int, of func(*neighbor) *bool) {
	have := 0
	for _, n := range list {
		if *of(n) {
			if have++; have > want {
				*of(n) = false
			}
		}
	}
	free := make([]*neighbor, 0, len(list))
	for _, n := range list {
		if !*of(n) {
			free = append(free, n)
		}
	}
	for ; have < want && len(free) > 0; have++ {
		i := s.cfg.Rand.IntN(len(free))
		*of(free[i]) = true
		free[i] = free[len(free)-1]
		free = free[:len(free)-1]
	}
}
