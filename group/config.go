package group

import (
	"math/rand/v2"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
)

// Features are what a member offers beyond the protocol of older members, a
// set of bits. A member sends its own in the session-init message; what both
// sides of a link offer may be used on it. See docs/group-wire.md.
type Features uint64

// Bits of Features. FeatureBase is set by every member that has any other.
const (
	FeatureBase        Features = 1 << iota // parting reasons, notices between reports, push refusals
	FeatureIntroduce                        // redirects and forwards for the members that it is linked with
	FeatureMulticast                        // our additions to streams
	FeatureRouting                          // directed routing
	FeaturePosting                          // posts
	FeatureRecords                          // copies of records between neighbors
	FeatureRevoke                           // revocations
	FeatureReplication                      // numbered objects
)

// Config is what a Group is made of. Zero durations and limits are the
// defaults that are documented with them.
type Config struct {
	Spec *Spec      // required
	Self PeerID     // this node
	Rand *rand.Rand // required; all random choices come from it

	// Rare makes rare things common, in simulations. nil: nothing of the kind.
	Rare *rare.Points

	// Introduce serves the server channel: others may ask this member for
	// members. It takes effect only if the spec has a server channel.
	Introduce bool

	// AllowUnproven tells members also to those who ask at the server channel
	// without proving that they know the groupspec, as older members do.
	AllowUnproven bool

	// Authority judges who may do what, and whom members don't link with.
	// Default: one of this group's own.
	Authority *Authority

	// Features are bits of services to offer besides those of the group itself.
	Features Features

	// Wish returns what the services here want of the first member that they hear
	// of, at most 64 bytes, empty for nothing. It goes along with the proof to one
	// member at a time, which so can answer before it is asked. nil: nothing.
	Wish func() []byte

	// Silence is how long nothing may arrive from a neighbor before it is taken
	// to be dead. It must exceed two keepalive intervals of the links.
	// Default 2.5 s.
	Silence time.Duration

	// RingKeepalive is how often neighbors that are next to each other on the
	// ring hear of each other, where the links have an Upkeep. Default 1.5 s.
	RingKeepalive time.Duration

	// Keepalive is the same for all other neighbors. It keeps the bindings of
	// NATs alive. Default 25 s.
	Keepalive time.Duration

	// ReportInterval is the time between reports to one random neighbor, and
	// between looks at the choice of neighbors when nothing happens (librtmfp
	// has 10 s for both). Default 10 s.
	ReportInterval time.Duration

	// NoticeDelay is how long news about members is collected before neighbors
	// that need it are told. Default 20 ms.
	NoticeDelay time.Duration

	// NoticeInterval is the least time between two messages with news to the
	// same neighbor. Default 250 ms.
	NoticeInterval time.Duration

	// TableInterval is the time for which changes of a member's links are
	// collected before its neighbors are told; four times that if they are few.
	// Default 30 s.
	TableInterval time.Duration

	// MemberTTL is how long a member that nobody hears of is remembered.
	// Default 120 s (librtmfp has 300 s).
	MemberTTL time.Duration

	// PeeringTimeout is how long the far end of a link may take to prove its
	// membership. Default 6 s.
	PeeringTimeout time.Duration

	// DialTimeout is how long an answer to a dial is waited for. Default 6 s.
	DialTimeout time.Duration

	// RetryMin and RetryMax bound the time before a member is dialed again
	// after a failure; it doubles in between. Defaults 1 s and 60 s.
	RetryMin, RetryMax time.Duration

	// AskInterval is the least time between two questions for members to one
	// introducer, and the least between two answers to one client. Default 1 s.
	AskInterval time.Duration

	// CloseInterval is the least time between two requests to the same
	// neighbor to part. Default 90 s, as in librtmfp.
	CloseInterval time.Duration

	// FullMesh is the number of members, this one included, up to which
	// everybody links with everybody. Default 13.
	FullMesh int

	// MaxNeighbors bounds the links to members. Default 0: 2·log2 N + 13 with
	// the estimated number of members N. More than that many are never kept
	// beyond those that the ring needs.
	MaxNeighbors int

	// MaxPinned bounds the members that services ask for links with. Default 8.
	MaxPinned int

	// MaxDialing bounds the dials that are under way. Default 12.
	MaxDialing int

	// MaxKnown bounds the members that are remembered without a link to them.
	// Default 24.
	MaxKnown int

	// MaxLinks bounds the links that are tracked, whatever they are used for.
	// Default 64, or MaxClients+64 with Introduce.
	MaxLinks int

	// MaxClients bounds those that an introducer serves. Default 4096.
	MaxClients int

	// HopLimit is how many links a routed message may go over. Default 32, at
	// most 255.
	HopLimit int

	// RouteTimeout is how long an answer to a routed message is waited for.
	// Default 10 s.
	RouteTimeout time.Duration

	// MaxRoutes bounds the routed messages that are remembered, for answers to
	// find their way back, and those that have arrived and were not drained.
	// Default 4096.
	MaxRoutes int

	// MaxRouteBytes bounds what is held of routed messages until the next hop
	// has them. Default 4 MiB.
	MaxRouteBytes int
}

// Limits that are not worth a setting.
const (
	maxReported    = 32 // members taken from one report
	maxAddresses   = 7  // addresses kept of one member, as in librtmfp
	maxVia         = 3  // links remembered as ways to a member
	maxOwnAddrs    = 6  // addresses of this node in a report
	maxTombstones  = 64 // members remembered to be gone
	reportTail     = 8  // random members that fill up a report in a large group
	introduceMost  = 12 // members told to one who asks
	introduceNear  = 8  // of these, nearest on the ring
	ringSide       = 3  // ring neighbors wanted on either side
	improving      = 2  // dials above the limit of neighbors, for better ones: the worst goes
	spare          = 4  // neighbors below the limit that nobody is asked to part from
	improveAtOnce  = 3  // better fingers that are looked for at once
	thinRounds     = 2  // questions to the next neighbors where one was lost
	thinAsk        = 2  // and to how many of them
	thinSoon       = 400 * time.Millisecond
	thinLater      = 1600 * time.Millisecond
	maxSpared      = 32               // members remembered that are no use as fingers
	fullFor        = 10 * time.Minute // and how long: who had no room,
	triedFor       = time.Hour        // and who was tried
	fewTrials      = 8                // in vain, after which there are fewer
	footholds      = 4                // links, and dials, of a newcomer that waits to be told its place
	placePatience  = 2500 * time.Millisecond
	dialBurst      = 8                    // dials that the ring does not need: so many at once
	dialInterval   = 8 * time.Second      // and then one in
	gainAtLeast    = 2 * time.Millisecond // for which a finger is changed
	gapInterval    = 10 * time.Second     // between two questions for members far away
	findAgain      = 2 * time.Second      // if the question for the own place was not answered
	maxTable       = 128                  // lines of a neighbor's table
	maxChanges     = 64                   // of our own table that are remembered
	calmAfter      = 20 * time.Second     // without a loss, fingers are changed for better ones
	steadyAfter    = 10 * time.Minute     // without one, they are chosen on both sides
	manyChanges    = 16                   // of our table: neighbors are told sooner
	fewChanges     = 4                    // how many times TableInterval they wait otherwise
	lookInterval   = 20 * time.Millisecond
	maxWants       = 8 // members that one question asks for
	nearSide       = 6 // members on either side that one who looks for its place is told
	findTimeout    = 4 * time.Second
	ringReach      = 10                      // members looked at for these on either side, if some don't answer
	nearestByRTT   = 6                       // lowest-latency members wanted
	randomMembers  = 1                       // random members wanted
	guests         = 4                       // newcomers that a member links with above its limit
	guestsToo      = 96                      // and how many more if it is an introducer
	linksAboveLog  = 13                      // the constant of the bound 2·log2 N + 13
	noticePatience = 150 * time.Millisecond  // for which news are collected in a large group
	dialTimeout    = 2900 * time.Millisecond // of sparing dials: two attempts at each address
	maxAttempts    = 2                       // failed dials in a row before a member is forgotten
	maxRefusals    = 3                       // and refusals
	partingGrace   = 10 * time.Second        // before a new neighbor is asked to part
	guestTime      = 20 * time.Second        // and before it counts among those that may be too many
	fullBelow      = 2                       // links below the limit, from which on others are told that there is no room
	randomLifetime = 30 * time.Minute        // a random neighbor is drawn anew after that
	partingTime    = time.Second             // after a parting the far end is waited for no longer
	ageUnit        = time.Second             // ages in reports are whole seconds
	dialAddresses  = 3                       // addresses of a member that are tried
	dialPatience   = time.Second             // a dial that takes longer is not counted on
	dialExtra      = 400 * time.Millisecond  // and given up then, if the ring does not need it
	freshness      = 15 * time.Second        // nor is a member that was not heard of for longer
	joinPatience   = time.Second             // silence of an introducer that is taken for assent
	keepBuffer     = 512                     // bytes of scratch that are kept: an idle member is to be small
	keepEvents     = 4                       // and events
	banTime        = 60 * time.Second        // a peer that forged a proof is left alone
)

func (c *Config) setDefaults() {
	duration := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	count := func(n *int, def int) {
		if *n <= 0 {
			*n = def
		}
	}
	duration(&c.Silence, 2500*time.Millisecond)
	duration(&c.RingKeepalive, 1500*time.Millisecond)
	duration(&c.Keepalive, 25*time.Second)
	duration(&c.ReportInterval, 10*time.Second)
	duration(&c.NoticeDelay, 20*time.Millisecond)
	duration(&c.NoticeInterval, 250*time.Millisecond)
	duration(&c.TableInterval, 30*time.Second)
	duration(&c.MemberTTL, 120*time.Second)
	duration(&c.PeeringTimeout, 6*time.Second)
	duration(&c.DialTimeout, 6*time.Second)
	duration(&c.RetryMin, time.Second)
	duration(&c.RetryMax, 60*time.Second)
	duration(&c.AskInterval, time.Second)
	duration(&c.CloseInterval, 90*time.Second)
	count(&c.FullMesh, 13)
	count(&c.MaxDialing, 12)
	count(&c.MaxPinned, 8)
	count(&c.MaxKnown, 24)
	count(&c.MaxClients, 4096)
	if c.Introduce {
		count(&c.MaxLinks, c.MaxClients+64)
	} else {
		count(&c.MaxLinks, 64)
	}
	count(&c.HopLimit, 32)
	c.HopLimit = min(c.HopLimit, 255)
	duration(&c.RouteTimeout, 10*time.Second)
	count(&c.MaxRoutes, 4096)
	count(&c.MaxRouteBytes, 4<<20)
	c.Introduce = c.Introduce && c.Spec.ServerChannel
	if c.Authority == nil {
		c.Authority = NewAuthority(c.Spec)
	}
	if c.Spec.GroupKey != nil {
		c.Features |= FeatureRevoke
	}
	c.Features |= FeatureBase | FeatureRouting
	if c.Introduce {
		c.Features |= FeatureIntroduce
	}
}

// jitter returns d changed by at most a quarter either way, so that members
// that started together do not stay in step.
func jitter(r *rand.Rand, d time.Duration) time.Duration {
	return d*3/4 + time.Duration(r.Int64N(int64(d/2)+1))
}

// earlier returns the first of two instants.
func earlier(a, b clock.Time) clock.Time { return min(a, b) }
