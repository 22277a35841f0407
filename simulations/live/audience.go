// Package live measures live streams: an audience of members in a group, one of
// which publishes a stream that the others watch, on virtual time. Delays are
// those of fragments, from the publisher's write to their arrival at each viewer,
// whatever is missing before them; beside them stands what the same datagrams
// would have taken from the publisher directly.
//
// The same audience runs on two worlds: one with the whole transport, packet by
// packet, and one that carries messages, for large groups. An Audience is owned
// by one goroutine, and everything in it follows from its Config.
package live

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/geography"
)

// Config says what to measure.
type Config struct {
	Seed    uint64
	Packets bool // the whole transport; otherwise messages

	Map      *geography.Map
	LastMile [2]time.Duration // least and most that a member's line adds one way
	Hop      time.Duration    // what each hop takes beside: processing, in no direct way
	Loss     float64

	Rate       int           // of the stream, in bit/s
	KeyEvery   time.Duration // between key frames
	Pictures   int           // messages a second, as a camera writes them; 0: each is one fragment
	Copies     int           // that the publisher pushes of each slice, 0: the default
	Uplinks    []Uplink      // of viewers, dealt by share; none: without limit
	Source     Uplink        // of the publisher
	Introducer Uplink        // of the first introducer, which passes on the stream as well

	Introducers int // of the group, all of which a newcomer calls at once; those after the first watch as well. 0: one
}

// Uplink is a kind of access.
type Uplink struct {
	Share float64
	Up    int // bit/s of the line, 0: no limit
	Limit int // bit/s that the member is told to send at most, 0: none; -1: it relays nothing
}

// Member is one of the audience.
type Member struct {
	Peer group.PeerID

	number int
	place  int
	mile   time.Duration
	uplink int
	group  *node.GroupCore
	node   *simulations.Node   // with packets
	bare   *simulations.Member // with messages
	sub    *multicast.Subscription
	born   clock.Time
	began  clock.Time    // its first frame could be played; 0: not yet
	played clock.Time    // the latest
	still  time.Duration // the longest between two
	missed int           // messages
	from   uint64        // the first fragment that was published after that
	gone   clock.Time    // 0: it is there
	seen   seen

	polluted map[group.PeerID]clock.Time // to whom it sent something false for the first time, and when; nil: it does not

	sentBefore uint64 // bytes of the stream, when measuring began
}

// seen is what a viewer got of what is measured.
type seen struct {
	count  uint64
	delay  float64 // ms, sum
	direct float64
	onTime uint64
}

// Audience is a publisher with its viewers.
type Audience struct {
	cfg     Config
	spec    *group.Spec
	world   world
	rng     *rand.Rand
	deal    *geography.Dealer
	slice   int // of the map, that holds now
	members []*Member
	dealt   []int // of the uplinks
	pub     *multicast.Publication

	message []byte
	pieces  int     // fragments of a message
	media   float64 // bytes of it in each, on the average
	every   time.Duration
	keyEach int
	written []clock.Time // when each fragment was
	sentAt  []clock.Time // when that of each fragment from 1 on was written; 0: it is a digest
	waits   []float64    // ms, until that fragment went out, signed
	stopped bool
	cut     bool // the publisher's link carries nothing
	lies    lies

	measuring bool
	first     uint64 // the first fragment that counts
	firstAt   clock.Time

	waitsBefore int // of waits, when measuring began
	delays      []uint32
	directs     []uint32
	bins        []binCount // tenths of a second since the first
	before      totals
	past        totals // of those who have gone
	from        clock.Time
	ended       clock.Time // of the measurement
}

// binCount is what came in time of what was published in a tenth of a second.
type binCount struct {
	due, onTime   int
	delay, direct float64 // ms, sums
}

type totals struct {
	bytes, control, payload, dupes, events uint64
	pulled, lost                           uint64
	digests, waited                        uint64
	digestCount, digestTwice, digestPulled uint64
	waitTime                               time.Duration
	pubSent                                uint64
}

const (
	streamName = "cam"
	playout    = 500 * time.Millisecond
	bin        = 100 * time.Millisecond
	single     = 940 // bytes of a message that is one fragment
	piece      = 959 // of a fragment of one that is more, at most
	ownHead    = 9   // of a message
)

// New makes a group of an introducer and a publisher, who announces its stream.
func New(cfg Config) (*Audience, error) {
	spec, err := group.NewSpec(group.SpecFields{Name: "live", Multicast: true, ServerChannel: true, Version: 2})
	if err != nil {
		return nil, err
	}
	a := &Audience{cfg: cfg, spec: spec, rng: rand.New(rand.NewPCG(cfg.Seed, 0x6c697665)), dealt: make([]int, len(cfg.Uplinks))}
	a.deal = cfg.Map.NewDealer(a.rng)
	size := single
	if cfg.Pictures > 0 {
		size = cfg.Rate / 8 / cfg.Pictures
	}
	a.message = make([]byte, size)
	a.pieces = (size + ownHead + piece - 1) / piece
	a.media = float64(size) / float64(a.pieces)
	a.every = time.Duration(int64(size) * 8 * int64(time.Second) / int64(cfg.Rate))
	a.keyEach = max(int(cfg.KeyEvery/a.every), 1)
	if cfg.Packets {
		a.world = newPackets(a)
	} else {
		a.world = newMessages(a)
	}
	if _, err := a.Add(cfg.Introducer); err != nil {
		return nil, err
	}
	p, err := a.Add(cfg.Source)
	if err != nil {
		return nil, err
	}
	p.group.Streams().Observe(a.sent)
	a.world.do(p, func(now clock.Time) {
		a.pub, err = p.group.Streams().Publish(now, streamName, multicast.StreamConfig{PushLimit: cfg.Copies})
	})
	return a, err
}

// Add puts a member on the network that joins at once; see Watch.
func (a *Audience) Add(u Uplink) (*Member, error) {
	m := &Member{number: len(a.members), place: a.deal.Next(), born: a.world.now(), uplink: -1}
	m.mile = a.cfg.LastMile[0]
	if d := a.cfg.LastMile[1] - m.mile; d > 0 {
		m.mile += time.Duration(a.rng.Int64N(int64(d)))
	}
	a.members = append(a.members, m)
	return m, a.world.add(m, a.introduces(m), u)
}

// introduces reports whether a member lets newcomers in: the first does, and after the
// publisher as many viewers as there are introducers more.
func (a *Audience) introduces(m *Member) bool {
	return m.number == 0 || m.number >= 2 && m.number <= a.cfg.Introducers
}

// introducers returns those of them that are there, but for a newcomer.
func (a *Audience) introducers(newcomer *Member) []*Member {
	var list []*Member
	for _, m := range a.members[:min(len(a.members), max(a.cfg.Introducers, 1)+1)] {
		if a.introduces(m) && m.gone == 0 && m != newcomer {
			list = append(list, m)
		}
	}
	return list
}

// Watch adds a viewer, with the uplink that is most behind its share.
func (a *Audience) Watch() (*Member, error) {
	at, most := -1, 0.0
	total := 1
	for _, n := range a.dealt {
		total += n
	}
	for i, u := range a.cfg.Uplinks {
		if behind := u.Share*float64(total) - float64(a.dealt[i]); at < 0 || behind > most {
			at, most = i, behind
		}
	}
	u := Uplink{}
	if at >= 0 {
		u = a.cfg.Uplinks[at]
		a.dealt[at]++
	}
	m, err := a.Add(u)
	if err != nil {
		return nil, err
	}
	m.uplink = at
	streams := m.group.Streams()
	streams.Observe(func(now clock.Time, id uint64) { a.arrived(m, id) })
	a.world.do(m, func(now clock.Time) {
		m.sub, err = streams.Play(now, streamName, multicast.PlayConfig{})
	})
	return m, err
}

// Fill adds viewers until there are as many members, evenly over a time.
func (a *Audience) Fill(members int, over time.Duration) error {
	n := members - len(a.Living())
	for range n {
		if _, err := a.Watch(); err != nil {
			return err
		}
		a.world.run(over / time.Duration(n))
	}
	return nil
}

// Kill takes a member away without a word.
func (a *Audience) Kill(m *Member) {
	m.gone = a.world.now()
	a.leave(m)
	a.past.count(m, a.media)
	a.world.stop(m)
	m.sub = nil
}

// Living returns the members that are there: the introducer, the publisher, and
// the viewers in the order in which they came.
func (a *Audience) Living() []*Member {
	var list []*Member
	for _, m := range a.members {
		if m.gone == 0 {
			list = append(list, m)
		}
	}
	return list
}

// Viewers returns those that watch.
func (a *Audience) Viewers() []*Member { return a.Living()[2:] }

// Run lets time pass.
func (a *Audience) Run(d time.Duration) { a.world.run(d) }

// Stall makes a member do nothing for d, as a process that is stopped. That takes
// packets.
func (a *Audience) Stall(m *Member, d time.Duration) { a.world.(*packets).net.Stall(m.node, d) }

// Cut cuts the publisher's link, or mends it.
func (a *Audience) Cut(cut bool) {
	a.cut = cut
	a.world.linksChanged()
}

// Slice changes all latencies to those of another slice of the map.
func (a *Audience) Slice(i int) {
	a.slice = i
	a.world.linksChanged()
}

// Begin lets the publisher write messages at its rate from now on.
func (a *Audience) Begin() { a.publish() }

// End stops the publisher.
func (a *Audience) End() { a.stopped = true }

func (a *Audience) publish() {
	if a.stopped {
		return
	}
	p := a.members[1]
	key := len(a.written)/a.pieces%a.keyEach == 0
	for range a.pieces {
		a.written = append(a.written, a.world.now())
	}
	a.world.do(p, func(now clock.Time) {
		err := a.pub.Write(now, multicast.Message{Data: a.message, Key: key, SentAt: int64(now) / 1000})
		if err != nil {
			panic(fmt.Sprintf("BUG: live: %v", err))
		}
	})
	a.world.at(a.world.now().Add(a.every), a.publish)
}

// sent notes when a fragment of the publisher was written.
func (a *Audience) sent(now clock.Time, id uint64) {
	at := a.written[len(a.waits)]
	for uint64(len(a.sentAt)) < id {
		a.sentAt = append(a.sentAt, 0)
	}
	a.sentAt[id-1] = at
	a.waits = append(a.waits, float64(now.Sub(at))/1e6)
}

// link is the network between two members.
func (a *Audience) link(from, to int) simulations.Link {
	d := a.direct(a.members[from], a.members[to])
	l := simulations.Link{Latency: d + a.cfg.Hop, Loss: a.cfg.Loss}
	if a.cut && (from == 1 || to == 1) {
		l.Loss = 1
	}
	return l
}

// direct is how long a datagram takes from one member to another.
func (a *Audience) direct(from, to *Member) time.Duration {
	return a.cfg.Map.OneWayAt(a.slice, from.place, to.place) + from.mile + to.mile
}

// turn drains a member's frames after each of its turns.
func (a *Audience) turn(m *Member) {
	if m.sub == nil {
		return
	}
	for f, ok := m.sub.NextFrame(); ok; f, ok = m.sub.NextFrame() {
		if m.began == 0 {
			m.began = a.world.now()
			m.from = uint64(len(a.sentAt)) + 1
		} else {
			m.still = max(m.still, a.world.now().Sub(m.played))
		}
		m.played = a.world.now()
		m.missed += f.Lost
		if !bytes.Equal(f.Data, a.message) {
			a.lies.shown += len(f.Data)
		}
		m.sub.Reuse(f.Data)
	}
}

// arrived counts a fragment that came for the first time.
func (a *Audience) arrived(m *Member, id uint64) {
	if !a.measuring || m.polluted != nil || id < a.first || m.began == 0 || id < m.from || id > uint64(len(a.sentAt)) {
		return
	}
	sent := a.sentAt[id-1]
	delay := a.world.now().Sub(sent)
	direct := a.direct(a.members[1], m)
	a.delays = append(a.delays, uint32(delay/time.Microsecond))
	a.directs = append(a.directs, uint32(direct/time.Microsecond))
	s := &m.seen
	s.count++
	s.delay += float64(delay) / 1e6
	s.direct += float64(direct) / 1e6
	b := a.binOf(sent)
	b.delay += float64(delay) / 1e6
	b.direct += float64(direct) / 1e6
	if delay <= playout {
		s.onTime++
		b.onTime++
	}
}

func (a *Audience) binOf(sent clock.Time) *binCount {
	i := int(max(sent.Sub(a.firstAt), 0) / bin)
	for len(a.bins) <= i {
		a.bins = append(a.bins, binCount{})
	}
	return &a.bins[i]
}
