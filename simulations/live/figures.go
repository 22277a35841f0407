package live

import (
	"math"
	"slices"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/simulations/geography"
)

// Figures are what came of a measurement.
type Figures struct {
	Mean, P50, P95, P99, Max float64 // ms, of fragments
	Direct, DirectP99        float64 // ms, of the same fragments by the direct way
	Wait                     float64 // ms, of Mean, that they waited at the publisher to be signed with others
	Digests                  float64 // bytes of signatures and hashes, by unique payload
	DigestsTwice             float64 // copies beyond the first, by digests
	DigestsPulled            float64 // share of first copies
	Waited                   float64 // share of the fragments that came before their digest
	WaitedFor                float64 // ms, of Mean, for that
	Blank                    float64 // share of the viewers that have seen nothing yet, to whom nothing is due
	OnTime                   float64 // share of the fragments that were due
	Delivered                float64 // share of them that came at all
	Duplicates               float64 // by unique payload
	Control                  float64 // bytes of control messages, by unique payload
	Pulled                   float64 // share of first copies
	Wire                     float64 // all bytes on the wire but the payload of first copies, by that
	Copies                   float64 // that the publisher sent
	Links                    float64 // ms, see Audience.Links
	Degree                   float64 // links of a member
	Depth                    float64 // mean, hops
	DepthMax                 int
	Parents                  float64 // members that feed a viewer, mean
	Moved, Replaced          float64 // parents, for each viewer in a second
	BusiestCopies            float64 // most copies that a viewer sent
	Events                   uint64
}

// Ratio is the mean delay by the mean direct one.
func (f *Figures) Ratio() float64 { return f.Mean / f.Direct }

// RatioSigned is the same from when a fragment went out signed, as the direct
// one does as well.
func (f *Figures) RatioSigned() float64 { return (f.Mean - f.Wait) / f.Direct }

// Ratio99 is the same of the 99th percentiles.
func (f *Figures) Ratio99() float64 { return f.P99 / f.DirectP99 }

// Measure begins to count, from the next fragment on. What was counted before
// is forgotten.
func (a *Audience) Measure() {
	a.measuring = true
	a.first, a.firstAt = uint64(len(a.sentAt))+1, a.world.now()
	a.waitsBefore = len(a.waits)
	a.delays, a.directs, a.bins = nil, nil, nil
	for _, m := range a.members {
		m.seen, m.sentBefore = seen{}, 0
		if m.gone == 0 {
			for _, st := range m.group.Streams().Streams() {
				m.sentBefore += st.BytesSent
			}
		}
	}
	a.before = a.totals()
	a.from = a.world.now()
}

// totals sums what all members counted so far.
func (a *Audience) totals() totals {
	t := a.past
	t.bytes, t.events = a.world.bytes(), a.world.events()
	for _, m := range a.Living() {
		t.count(m, a.media)
	}
	t.pubSent = a.pub.Stats().BytesSent
	return t
}

func (t *totals) count(m *Member, media float64) {
	for _, st := range m.group.Streams().Streams() {
		t.control += st.ControlBytesSent
		if m.sub == nil {
			continue
		}
		t.payload += uint64(float64(st.Fragments) * media)
		t.digests += st.DigestBytes
		t.digestCount += st.Digests
		t.digestTwice += st.DigestsTwice
		t.digestPulled += st.DigestsPulled
		t.waited += st.Waited
		t.waitTime += st.WaitTime
		t.dupes += st.Duplicates
		t.pulled += st.FragmentsRequestedFromPeers
		t.lost += st.Lost
	}
}

// leave counts what was due at a viewer that goes.
func (a *Audience) leave(m *Member) {
	if !a.measuring || m.began == 0 || m.polluted != nil {
		return
	}
	limit := m.gone
	if limit == 0 {
		limit = a.world.now()
	}
	from := max(a.first, m.from)
	for id := from; id <= uint64(len(a.sentAt)); id++ {
		switch sent := a.sentAt[id-1]; {
		case sent == 0:
		case sent.Add(playout) <= limit:
			a.binOf(sent).due++
		default:
			return
		}
	}
}

// Figures ends the measurement and sums it up. The last fragments have had half
// a second to arrive if the caller let that pass after End, or they are not due.
func (a *Audience) Figures() *Figures {
	f := &Figures{}
	viewers := a.Viewers()
	for _, m := range viewers {
		a.leave(m)
		if m.began == 0 {
			f.Blank += 1 / float64(len(viewers))
		}
	}
	a.measuring, a.ended = false, a.world.now()
	after, n := a.totals(), float64(len(a.delays))
	for i := range a.delays {
		f.Mean += float64(a.delays[i]) / 1000 / n
		f.Direct += float64(a.directs[i]) / 1000 / n
	}
	slices.Sort(a.delays)
	slices.Sort(a.directs)
	q := func(list []uint32, p float64) float64 {
		if len(list) == 0 {
			return 0
		}
		return float64(list[int(p*float64(len(list)-1))]) / 1000
	}
	f.P50, f.P95, f.P99, f.Max = q(a.delays, .5), q(a.delays, .95), q(a.delays, .99), q(a.delays, 1)
	f.DirectP99 = q(a.directs, .99)
	due, on := 0, 0
	for _, b := range a.bins {
		due += b.due
		on += min(b.onTime, b.due)
	}
	f.OnTime = float64(on) / float64(max(due, 1))
	f.Delivered = min(n/float64(max(due, 1)), 1)
	payload, media := float64(after.payload-a.before.payload), a.media
	f.Duplicates = float64(after.dupes-a.before.dupes) * media / payload
	f.Control = float64(after.control-a.before.control) / payload
	f.Pulled = float64(after.pulled-a.before.pulled) * media / payload
	f.Wire = (float64(after.bytes-a.before.bytes) - payload) / payload
	published := float64(len(a.waits)-a.waitsBefore) * media
	for _, w := range a.waits[a.waitsBefore:] {
		f.Wait += w / float64(len(a.waits)-a.waitsBefore)
	}
	count := float64(after.digestCount - a.before.digestCount)
	f.DigestsTwice = float64(after.digestTwice-a.before.digestTwice) / count
	f.DigestsPulled = float64(after.digestPulled-a.before.digestPulled) / count
	f.Digests = float64(after.digests-a.before.digests) / payload
	f.Waited = float64(after.waited-a.before.waited) * media / payload
	f.WaitedFor = (after.waitTime - a.before.waitTime).Seconds() * 1000 * media / payload
	f.Copies = float64(after.pubSent-a.before.pubSent) / published
	f.Events = after.events - a.before.events
	a.trees(f)
	f.Links, f.Degree = a.Links()
	return f
}

// trees looks at the trees as they are now.
func (a *Audience) trees(f *Figures) {
	slots, viewers := 0, 0.0
	for _, m := range a.Viewers() {
		st := m.sub.Stats()
		viewers++
		children := 0
		var parents []string
		for _, s := range st.Slices {
			children += len(s.Children)
			if s.Depth == multicast.DepthUnknown {
				continue
			}
			slots++
			f.Depth += float64(s.Depth)
			f.DepthMax = max(f.DepthMax, s.Depth)
			if p := string(s.Parent[:]); !slices.Contains(parents, p) {
				parents = append(parents, p)
			}
		}
		f.Parents += float64(len(parents))
		f.Moved += float64(st.ParentsMoved)
		f.Replaced += float64(st.ParentsReplaced)
		f.BusiestCopies = max(f.BusiestCopies, float64(children)/float64(len(st.Slices)))
	}
	f.Depth /= float64(max(slots, 1))
	f.Parents /= viewers
	f.Moved /= viewers
	f.Replaced /= viewers
}

// Starts returns how long the viewers that came since an instant took from the
// call that joins to the first frame, in ascending order, without the round trip
// to the nearest introducer; those who have none yet took until now.
func (a *Audience) Starts(since time.Duration) []time.Duration {
	var list []time.Duration
	for _, m := range a.Viewers() {
		if m.born < clock.Time(since) {
			continue
		}
		until := m.began
		if until == 0 {
			until = a.world.now()
		}
		join := time.Duration(math.MaxInt64)
		for _, i := range a.introducers(nil) {
			join = min(join, a.link(m.number, i.number).Latency+a.link(i.number, m.number).Latency)
		}
		list = append(list, max(until.Sub(m.born)-join, 0))
	}
	slices.Sort(list)
	return list
}

// Now returns the virtual time.
func (a *Audience) Now() time.Duration { return time.Duration(a.world.now()) }

// RatioFrom returns the mean delay by the direct one of what was published in a
// time from the beginning of the measurement on. Call it after Figures.
func (a *Audience) RatioFrom(from, to time.Duration) float64 {
	delay, direct := 0.0, 0.0
	for i := int(from / bin); i < min(int(to/bin), len(a.bins)); i++ {
		delay += a.bins[i].delay
		direct += a.bins[i].direct
	}
	return delay / direct
}

// OnTimeFrom returns the share of fragments on time among those published in a
// time from the beginning of the measurement on. Call it after Figures.
func (a *Audience) OnTimeFrom(from, to time.Duration) float64 {
	due, on := 0, 0
	for i := int(from / bin); i < min(int(to/bin), len(a.bins)); i++ {
		due += a.bins[i].due
		on += min(a.bins[i].onTime, a.bins[i].due)
	}
	return float64(on) / float64(max(due, 1))
}

// Recovery returns how long after an instant of the measurement all is well
// again: from there on every second of what was published is on time to 99.9 %,
// for two seconds at least. It is negative if that does not come about. Call it
// after Figures.
func (a *Audience) Recovery(from time.Duration) time.Duration {
	const run = 10
	good := 0
	for i := int(from / bin); i+run <= len(a.bins); i++ {
		due, on := 0, 0
		for _, b := range a.bins[i : i+run] {
			due += b.due
			on += min(b.onTime, b.due)
		}
		if due == 0 {
			break
		}
		if float64(on) < 0.999*float64(due) {
			good = 0
			continue
		}
		if good++; good == run {
			return time.Duration(i-run+1)*bin - from
		}
	}
	return -1
}

// Links is the mean time that a fragment would take to a viewer at least over
// the links between members that there are, if all passed on all, in ms.
func (a *Audience) Links() (mean, degree float64) {
	byPeer := map[group.PeerID]*Member{}
	living := a.Living()[1:]
	for _, m := range living {
		byPeer[m.Peer] = m
	}
	far := make(map[*Member]time.Duration, len(living))
	done := map[*Member]bool{}
	far[a.members[1]] = 0
	for range living {
		var at *Member
		for _, m := range living {
			if d, ok := far[m]; ok && !done[m] && (at == nil || d < far[at]) {
				at = m
			}
		}
		if at == nil {
			break
		}
		done[at] = true
		for p := range at.group.Group().Neighbors() {
			to := byPeer[p.Peer]
			if to == nil {
				continue
			}
			degree++
			d := far[at] + a.direct(at, to) + a.cfg.Hop
			if was, ok := far[to]; !ok || d < was {
				far[to] = d
			}
		}
	}
	for _, m := range a.Viewers() {
		mean += float64(far[m]) / 1e6
	}
	return mean / float64(len(living)-1), degree / float64(len(living))
}

// Branch is a way that a slice takes: from a member to one that it feeds.
type Branch struct {
	From, To geography.Place
	Depth    int // hops from the publisher to To
}

// Tree returns the tree of a slice as it is now, in the order in which its
// members came; some may be without a parent at the moment.
func (a *Audience) Tree(slice int) []Branch {
	byPeer := map[group.PeerID]*Member{}
	for _, m := range a.members {
		byPeer[m.Peer] = m
	}
	var tree []Branch
	for _, m := range a.Viewers() {
		s := m.sub.Stats().Slices[slice]
		if from := byPeer[s.Parent]; from != nil && s.Depth != multicast.DepthUnknown {
			tree = append(tree, Branch{a.cfg.Map.Place(from.place), a.cfg.Map.Place(m.place), s.Depth})
		}
	}
	return tree
}

// Since returns for how long has been measured.
func (a *Audience) Since() time.Duration { return a.world.now().Sub(a.from) }

// LinksRatio is the mean of Links by that of the direct ways.
func (a *Audience) LinksRatio() float64 {
	mean, _ := a.Links()
	direct, viewers := 0.0, a.Viewers()
	for _, m := range viewers {
		direct += float64(a.direct(a.members[1], m)) / 1e6
	}
	return mean / (direct / float64(len(viewers)))
}
