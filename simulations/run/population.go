package run

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
	"rtmfp/simulations"
	"rtmfp/simulations/scenario"
	"rtmfp/transport/crypto"
)

// population counts the nodes that live in this process.
var population atomic.Int64

// role is what a node is there for.
type role uint8

const (
	introducer role = iota
	publisher
	viewer
	bystander // a member that does not watch
	holder    // a member that has the files that others fetch
	talker    // no member: one of a pair
)

var roleNames = [...]string{"introducer", "publisher", "viewer", "bystander", "holder", "talker"}

// member is a node of the run.
type member struct {
	node     *simulations.Node
	group    *node.GroupCore
	peer     node.PeerID
	role     role
	class    int // -1: none
	place    int
	lastMile time.Duration
	anchor   bool // it is spared
	gone     bool
	evil     bool

	born      clock.Time
	joined    bool
	settled   bool       // it has been linked with those next to it
	watch     *watching  // of viewers
	pollution *pollution // nil: it is not going to

	books  books
	posts  []uint64 // bits of those that it has
	copies []*copying
	block  []byte // of a file, for a moment
}

func (r *run) publisher() *member { return r.members[r.s.Introducers] }

// planPopulation arranges for all arrivals.
func (r *run) planPopulation() error {
	s := r.s
	for range s.Introducers {
		if _, err := r.arrive(introducer); err != nil {
			return err
		}
	}
	// The publisher comes when the introducers are up, then the others. Without
	// a stream it is a member as any other.
	first := publisher
	if s.Live == nil {
		first = bystander
	}
	rest := s.Nodes - s.Introducers
	over := s.FirstArrivals()
	for i := range rest {
		as := first
		switch {
		case s.Files != nil && i > 0 && i <= s.Files.Holders:
			as = holder
		case i > 0:
			as = r.nextRole()
		}
		r.net.At(clock.Time(over)/clock.Time(rest)*clock.Time(i)+1, func() { r.mustArrive(as) })
	}
	r.planArrivals()
	return nil
}

// planArrivals lets nodes come from the end of warm-up on.
func (r *run) planArrivals() {
	rate := r.s.ArrivalRate()
	if rate <= 0 {
		return
	}
	// In whole microseconds, lest the last bits of the rate tell machines apart.
	mean := time.Duration(math.Round(1e6/rate)) * time.Microsecond
	end := clock.Time(r.s.Warmup + r.s.Duration)
	var next func()
	next = func() {
		r.mustArrive(r.nextRole())
		wait := mean
		if r.s.Arrivals.Pattern == "poisson" {
			wait = simulations.Exponential(r.rng, mean)
		}
		if at := r.net.Now().Add(max(wait, time.Microsecond)); at < end {
			r.net.At(at, next)
		}
	}
	r.net.At(clock.Time(r.s.Warmup).Add(simulations.Exponential(r.rng, mean)), next)
}

// nextRole deals viewers and bystanders in their proportion.
func (r *run) nextRole() role {
	if r.s.Live == nil {
		return bystander
	}
	r.planned++
	if float64(r.players) < float64(r.s.Live.Viewers)*float64(r.planned) {
		r.players++
		return viewer
	}
	return bystander
}

func (r *run) mustArrive(as role) {
	if _, err := r.arrive(as); err != nil {
		r.net.Fail(nil, "arrival", err.Error())
	}
}

// arrive puts a node on the network, makes it join, and watch if it is to.
func (r *run) arrive(as role) (*member, error) {
	m := &member{role: as, class: -1, place: r.deal.Next(), born: r.net.Now()}
	cfg := simulations.NodeConfig{Core: node.CoreConfig{SimulatedCrypto: r.s.Crypto == "simulated"}}
	switch as {
	case introducer, publisher:
		m.anchor = true
		cfg.Core.Introduce = as == introducer
		m.class = slices.IndexFunc(r.s.Classes, func(c scenario.Class) bool {
			return r.s.Live != nil && c.Name == r.s.Live.PublisherClass
		})
	case holder:
		m.anchor = true
		m.class = slices.IndexFunc(r.s.Classes, func(c scenario.Class) bool { return c.Name == r.s.Files.HolderClass })
	default:
		if len(r.s.Classes) > 0 {
			m.class = r.nextClass()
		}
		if err := r.corrupt(m, &cfg); err != nil {
			return nil, err
		}
	}
	if r.s.Has("pollute") {
		m.pollution = &pollution{piece: len(r.message) / r.fragments.each}
		cfg.Core.Alter = m.pollution.alter
	}
	m.lastMile = r.drawLastMile()
	if m.class >= 0 {
		r.equip(m, &cfg)
	}
	if r.opts.Watch != nil {
		r.opts.Watch(len(r.members), roleNames[as], &cfg)
	}
	if r.s.Posts != nil { // the stand-in of a key does not sign
		var err error
		cfg.Core.Rand = r.net.Rand(len(r.members))
		if cfg.Core.Identity, err = crypto.NewIdentity(cfg.Core.Rand, crypto.IdentityOptions{Sign: true}); err != nil {
			return nil, err
		}
	}
	r.members = append(r.members, m)
	n, err := r.net.Add(cfg)
	if err != nil {
		return nil, fmt.Errorf("node %d: %w", len(r.members)-1, err)
	}
	m.node, m.peer = n, n.Core.ID()
	r.byPeer[m.peer] = m
	r.living = append(r.living, m)
	population.Add(1)
	r.churn.changed = max(r.churn.changed, r.net.Now())
	r.net.Do(n, func(now clock.Time) {
		for _, b := range r.boots {
			if !b.gone {
				n.Core.AddBootstrap(now, "rtmfp://"+b.node.Addr.String(), []netip.AddrPort{b.node.Addr})
			}
		}
		m.group = n.Core.Join(now, r.spec)
		if posts := m.group.Posts(); posts != nil {
			posts.Listen(true)
		}
		if r.s.Routing != nil {
			m.group.Group().SetReceiveMode(now, group.ReceiveNearest)
		}
		if as == holder {
			r.hold(now, m)
		}
		if as == publisher || as == viewer {
			m.group.Streams().Observe(func(_ clock.Time, id uint64) { r.fragment(m, id) })
		}
		if as == publisher && r.s.Live.Announced {
			r.announce(now)
		}
		if as == viewer {
			sub, err := m.group.Streams().Play(now, streamName, multicast.PlayConfig{AnyFrame: r.s.Live.AnyFrame})
			if err != nil {
				r.net.Fail(n, "play", err.Error())
				return
			}
			m.watch = &watching{sub: sub}
		}
	})
	n.OnTurn = func(clock.Time) { r.turn(m) }
	if as == introducer {
		r.boots = append(r.boots, m)
	}
	r.tell(m, "join", "%s in %s%s", roleNames[as], r.m.Place(m.place).Name, r.className(m))
	r.planEnd(m)
	if r.s.Files != nil && r.measuring {
		r.fetch(m)
	}
	return m, nil
}

// drawLastMile draws what a node's own line adds to the latency.
func (r *run) drawLastMile() time.Duration {
	least, most := time.Duration(r.s.Network.LastMile[0]), time.Duration(r.s.Network.LastMile[1])
	if most <= least {
		return least
	}
	return least + time.Duration(r.rng.Uint64()%uint64((most-least)/time.Microsecond+1))*time.Microsecond
}

func (r *run) className(m *member) string {
	if m.class < 0 {
		return ""
	}
	return ", class " + r.s.Classes[m.class].Name
}

// nextClass deals classes so that their shares are kept at any time.
func (r *run) nextClass() int {
	total := 1
	for _, n := range r.quotas {
		total += n
	}
	best, most := 0, math.Inf(-1)
	for i := range r.s.Classes {
		if lack := float64(r.s.Classes[i].Share)*float64(total) - float64(r.quotas[i]); lack > most+1e-9 {
			best, most = i, lack
		}
	}
	r.quotas[best]++
	return best
}

// equip gives a node what its class has.
func (r *run) equip(m *member, cfg *simulations.NodeConfig) {
	c := &r.s.Classes[m.class]
	m.anchor = m.anchor || c.Anchor
	cfg.Access = simulations.Access{Up: int(c.Up), Down: int(c.Down), Queue: int(c.Queue), CoDel: c.CoDel}
	if cfg.Core.UploadLimit == 0 {
		cfg.Core.UploadLimit = int(c.UploadLimit / 8)
	}
	cfg.Core.RelayAll = c.RelayAll
	cfg.PacketCost, cfg.WorkCost = time.Duration(c.PacketCost), time.Duration(c.WorkCost)
	cfg.ClockOffset, cfg.ClockDrift = time.Duration(c.ClockOffset), c.ClockDrift
	nat := simulations.NATConfig{Lifetime: time.Duration(c.NATLifetime), Filtering: simulations.AddressAndPortDependent}
	switch c.NAT {
	case "none":
		return
	case "full-cone":
		nat.Filtering = simulations.EndpointIndependent
	case "restricted":
		nat.Filtering = simulations.AddressDependent
	case "port-restricted":
	case "symmetric":
		nat.Mapping, nat.Ports = simulations.AddressAndPortDependent, simulations.RandomPorts
	case "double":
		if r.nats[c.Name] == nil {
			r.nats[c.Name] = r.net.AddNAT(nat)
		}
		nat.Behind = r.nats[c.Name]
	}
	cfg.NAT = r.net.AddNAT(nat)
}

// planEnd arranges for the end of a node's session. Those of the first nodes
// count from the end of warm-up, so that all are there when it begins.
func (r *run) planEnd(m *member) {
	if m.anchor || m.gone || r.s.Sessions.Distribution == "forever" {
		return
	}
	stay := r.session()
	orderly := float64(r.rng.Uint64()>>11)/(1<<53) < float64(r.s.Sessions.Orderly)
	at := max(r.net.Now(), clock.Time(r.s.Warmup)).Add(stay)
	r.net.At(at, func() {
		if orderly {
			r.leave(m)
		} else {
			r.die(m, "session")
		}
	})
}

// session draws how long a node stays, to the millisecond: the power below may
// differ between machines in its last bits.
func (r *run) session() time.Duration {
	// A median is ln 2 means of the exponential distribution.
	const second = time.Second
	e := float64(simulations.Exponential(r.rng, second)) / float64(second)
	power := 1.0
	if r.s.Sessions.Distribution == "weibull" {
		power = 1 / float64(r.s.Sessions.Shape)
	}
	d := float64(r.s.Sessions.Median) * math.Pow(e/math.Ln2, power)
	return time.Duration(min(d, float64(1000*time.Hour))).Round(time.Millisecond)
}

// leave makes a node say farewell, and takes it off the network soon after.
func (r *run) leave(m *member) {
	if m.gone {
		return
	}
	r.tell(m, "leave", "in an orderly way")
	r.closeBooks(m)
	r.closeViewer(m, false)
	r.removed(m)
	r.net.Do(m.node, func(now clock.Time) { m.node.Core.LeaveAll(now) })
	r.net.After(time.Second, func() {
		if !m.node.Stopped() {
			r.net.Do(m.node, func(now clock.Time) { m.node.Core.CloseAll(now) })
		}
	})
	r.net.After(2*time.Second, func() { r.net.Remove(m.node) })
}

// die takes a node off the network without a word.
func (r *run) die(m *member, why string) {
	if m.gone {
		return
	}
	r.tell(m, "die", "%s", why)
	r.closeBooks(m)
	r.closeViewer(m, false)
	r.removed(m)
	r.net.Remove(m.node)
}

func (r *run) removed(m *member) {
	m.gone = true
	population.Add(-1)
	i := slices.Index(r.living, m)
	r.living = slices.Delete(r.living, i, i+1)
	delete(r.byPeer, m.peer)
	r.churn.left(r.net.Now(), m)
}

// release takes all nodes of the run off the process's count.
func (r *run) release() { population.Add(-int64(len(r.living))) }
