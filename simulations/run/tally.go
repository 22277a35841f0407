package run

import (
	"time"

	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/simulations"
	"rtmfp/simulations/figure"
	"rtmfp/simulations/scenario"
)

// books are where a member's counters stood when measuring began.
type books struct {
	sent, group     uint64
	dials, failed   uint64
	stream          multicast.StreamCounts
	fragments, dups uint64 // at the latest sample
}

// upload is what the nodes of a class send, in bits per second.
type upload struct {
	rate  figure.Histogram
	limit float64 // 0: none
	use   float64 // sum of shares of the limit
}

// tally is what is counted over the run.
type tally struct {
	startup     figure.Histogram // µs
	startupLess figure.Histogram // µs, without a round trip to the nearest introducer
	delay       figure.Histogram // µs
	direct      figure.Histogram // µs
	perSecond   []figure.Histogram
	uploads     map[string]*upload
	depth       figure.Histogram
	fed         uint64 // slices that are, at all samples
	unfed       uint64
	neighbors   figure.Histogram
	ringSum     float64
	ringN       int
	ringWorst   float64

	count                multicast.StreamCounts // of all nodes
	fragments, dups      uint64                 // of viewers
	pulled               uint64
	came, meant          uint64 // fragments, of viewers that watch all along
	dials, dialsFailed   uint64
	lost, played         uint64 // messages
	stayed, notJoined    int
	watched, neverBegan  int
	refused              uint64
	membership, nodeTime float64 // bytes; seconds of life
	pubSent              uint64
	memory               float64

	netBefore, net simulations.Stats
	lastBytes      uint64
	nodesSum       float64
	samples        []Sample
}

// Sample is how the run stands at one instant.
type Sample struct {
	At         float64 // s, from the end of warm-up
	Nodes      int
	Depth      float64 // mean
	Ring       float64 // share of ring neighbors that are neighbors
	Neighbors  float64 // mean
	Upload     float64 // bit/s, mean
	Duplicates float64 // share since the sample before
}

// Classes under which uploads are counted beside those of the scenario.
const (
	classAll       = scenario.ClassAll
	classPublisher = scenario.ClassPublisher
)

func (t *tally) init(s *scenario.Scenario) {
	t.ringWorst = 1
	t.uploads = map[string]*upload{classAll: {}}
	if s.Live != nil {
		t.uploads[classPublisher] = &upload{}
	}
	for i := range s.Classes {
		c := &s.Classes[i]
		u := &upload{limit: float64(c.UploadLimit)}
		if u.limit == 0 {
			u.limit = float64(c.Up)
		}
		t.uploads[c.Name] = u
	}
}

// baseline notes where all counters stand.
func (t *tally) baseline(r *run) {
	t.netBefore = r.net.Stats()
	t.lastBytes = t.netBefore.Bytes
	for _, m := range r.living {
		m.books.sent = m.node.Sent
		gs := m.group.Group().Stats()
		m.books.group, m.books.dials, m.books.failed = gs.BytesSent, gs.Dials, gs.DialsFailed
		m.books.stream = m.stream()
		m.books.fragments, m.books.dups = m.books.stream.Fragments, m.books.stream.Duplicates
	}
}

// stream returns what a member has counted of the stream.
func (m *member) stream() (c multicast.StreamCounts) {
	for _, st := range m.group.Streams().Streams() {
		c.BytesSent += st.BytesSent
		c.ControlBytesSent += st.ControlBytesSent
		c.Fragments += st.Fragments
		c.Duplicates += st.Duplicates
		c.FragmentsRequestedFromPeers += st.FragmentsRequestedFromPeers
	}
	return c
}

// delivered counts a message.
func (t *tally) delivered(published, delay time.Duration) {
	us := uint64(max(delay, 0) / time.Microsecond)
	t.delay.Add(us, 1)
	for second := int(published / time.Second); len(t.perSecond) <= second; {
		t.perSecond = append(t.perSecond, figure.Histogram{})
	}
	t.perSecond[published/time.Second].Add(us, 1)
}

// leastStay is how long a node must have been there to count as one that did
// not get in, or saw nothing.
const leastStay = 5 * time.Second

// stay returns how long a node has lived since measuring began.
func (r *run) stay(m *member) time.Duration { return r.net.Now().Sub(max(m.born, r.began)) }

// closeBooks counts a member that goes, or whose run ends.
func (r *run) closeBooks(m *member) {
	if !r.measuring {
		return
	}
	t := &r.tally
	stay := r.stay(m)
	t.nodeTime += stay.Seconds()
	gs := m.group.Group().Stats()
	t.membership += float64(gs.BytesSent - m.books.group)
	t.dials += gs.Dials - m.books.dials
	t.dialsFailed += gs.DialsFailed - m.books.failed
	if stay >= time.Second {
		rate := float64(m.node.Sent-m.books.sent) * 8 / stay.Seconds()
		r.countUpload(m, rate)
	}
	if m.role == publisher {
		t.pubSent = m.node.Sent - m.books.sent
	}
	if stay >= leastStay {
		t.stayed++
		if !m.joined {
			t.notJoined++
		}
	}
	now, was := m.stream(), &m.books.stream
	t.count.BytesSent += now.BytesSent - was.BytesSent
	t.count.ControlBytesSent += now.ControlBytesSent - was.ControlBytesSent
	if m.watch != nil {
		t.fragments += now.Fragments - was.Fragments
		t.dups += now.Duplicates - was.Duplicates
		t.pulled += now.FragmentsRequestedFromPeers - was.FragmentsRequestedFromPeers
	}
	mc, cc := m.group.Streams().Counters(), m.node.Core.Counters()
	t.refused += gs.LinksRefused + gs.FlowsRefused + mc.NeighborsRefused + mc.StreamsRefused + mc.FlowsRefused +
		mc.EventsDropped + cc.EventsDropped + cc.MessagesRefused
}

func (r *run) countUpload(m *member, rate float64) {
	t := &r.tally
	if m.role == publisher && t.uploads[classPublisher] != nil {
		t.uploads[classPublisher].rate.Add(uint64(rate), 1)
	}
	if m.role == introducer || m.role == publisher {
		return
	}
	t.uploads[classAll].rate.Add(uint64(rate), 1)
	if m.class >= 0 {
		u := t.uploads[r.s.Classes[m.class].Name]
		u.rate.Add(uint64(rate), 1)
		if u.limit > 0 {
			u.use += rate / u.limit
		}
	}
}

// closeViewer counts how a viewer fared, when it goes or after the drain.
func (r *run) closeViewer(m *member, stayed bool) {
	w := m.watch
	if w == nil || w.apart || !r.begun {
		return
	}
	t := &r.tally
	if w.begun {
		r.settle(w, r.net.Now())
		if stayed {
			w.lost += r.missed(w, r.sent)
		}
		t.direct.Add(uint64(r.direct(r.publisher(), m)/time.Microsecond), w.count)
		t.lost += w.lost
		t.played += uint64(w.count)
	}
	if r.stay(m) >= leastStay {
		t.watched++
		if !w.begun {
			t.neverBegan++
		}
	}
}

// compareRates counts what has come to those who have watched since before
// measuring began, and what was published meanwhile.
func (t *tally) compareRates(r *run) {
	p := r.publisher()
	published := p.stream().Fragments - p.books.stream.Fragments
	for _, m := range r.living {
		if m.watch != nil && m.watch.begun && !m.watch.apart && m.watch.beganAt < r.began {
			t.came += m.stream().Fragments - m.books.stream.Fragments
			t.meant += published
		}
	}
}

// minus returns what a network counted between two looks.
func minus(after, before simulations.Stats) simulations.Stats {
	after.Events -= before.Events
	after.Sent -= before.Sent
	after.Delivered -= before.Delivered
	after.Bytes -= before.Bytes
	for i := range after.Dropped {
		after.Dropped[i] -= before.Dropped[i]
	}
	return after
}

// sample looks at the run as a whole.
func (r *run) sample(now clock.Time) {
	if !r.measuring || now == r.began {
		return
	}
	t := &r.tally
	s := Sample{At: now.Sub(r.began).Seconds(), Nodes: len(r.living)}
	t.nodesSum += float64(len(r.living))
	neighbors, depthSum, depthN := 0, 0, 0
	fragments, dups := uint64(0), uint64(0)
	for _, m := range r.living {
		n := m.group.Group().NeighborCount()
		neighbors += n
		t.neighbors.Add(uint64(n), 1)
		if m.watch == nil || !m.watch.begun || m.watch.apart {
			continue
		}
		st := m.watch.sub.Stats()
		for i := range st.Slices {
			switch sl := &st.Slices[i]; {
			case !sl.Fed:
				t.unfed++
			default:
				t.fed++
				if sl.Depth != multicast.DepthUnknown {
					t.depth.Add(uint64(sl.Depth), 1)
					depthSum += sl.Depth
					depthN++
				}
			}
		}
		fragments += st.Fragments - m.books.fragments
		dups += st.Duplicates - m.books.dups
		m.books.fragments, m.books.dups = st.Fragments, st.Duplicates
	}
	bytes := r.net.Stats().Bytes
	s.Neighbors = share(float64(neighbors), float64(len(r.living)))
	s.Upload = share(float64(bytes-t.lastBytes)*8, float64(len(r.living))*time.Duration(r.s.Measure.Sample).Seconds())
	t.lastBytes = bytes
	s.Depth = share(float64(depthSum), float64(depthN))
	s.Duplicates = share(float64(dups), float64(fragments))
	s.Ring = r.ringShare(now)
	r.lookAtTrees(now)
	r.lookForSettled(now)
	r.lookAtBooks(now)
	t.ringSum += s.Ring
	t.ringN++
	t.ringWorst = min(t.ringWorst, s.Ring)
	t.samples = append(t.samples, s)
}

// share returns a by b, 0 if b is.
func share(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
