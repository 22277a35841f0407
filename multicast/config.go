package multicast

import (
	"errors"
	"math/rand/v2"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/internal/rare"
)

// Config holds what all streams of a Service share. Zero fields take the
// defaults that their comments give.
type Config struct {
	// Rand is the source of every random choice, seeded by the driver. Required.
	Rand *rand.Rand

	// GroupID is the group, to which signatures are bound.
	GroupID [32]byte

	// Keys signs the streams of this node and checks what others signed. nil:
	// it knows no signatures, as old peers, to which all streams are unsigned.
	Keys Keys

	// MayPublish tells whether the publisher of a signed stream may publish, given
	// the grant that came with its description. nil: everybody may.
	MayPublish func(now clock.Time, author group.PeerID, grant []byte) error

	// AllowUnsigned admits streams that are not signed, as old peers publish them.
	AllowUnsigned bool

	// Company links this node with members that would be better parents than its
	// neighbors are. nil: streams make do with the links that there are.
	Company Company

	// Rare makes rare things common, in simulations. nil: nothing of the kind.
	Rare *rare.Points

	// RelayAll makes the node carry every stream that its neighbors describe,
	// whether it is played here or not.
	RelayAll bool

	// UploadLimit bounds the payload that is sent, in bytes per second over all
	// streams. 0: what the line is found to carry (StreamStats.UploadLimit).
	UploadLimit int

	// PushLimit is the number of neighbors to which a slice is pushed where
	// this node relays (multicastPushNeighborLimit). Default 4; negative: none.
	PushLimit int

	// MaxNeighbors bounds the members that are tracked. Default 128.
	MaxNeighbors int

	// MaxStreams bounds the streams that are known, played or not. Default 64.
	MaxStreams int

	// MaxWindowBytes bounds the cached payload of one stream. Default 64 MiB.
	MaxWindowBytes int

	// MaxWindowFragments bounds the span of fragment ids that one stream tracks;
	// it is rounded up to a power of two. Default 65536.
	MaxWindowFragments int

	// KeepWindow is how long fragments are kept at least, though the publisher asks
	// for less, for those who want to play the past. The bounds above hold. 0 keeps them for
	// what the publisher asks for.
	KeepWindow time.Duration

	// Archive finds members that keep more of a stream than neighbors do. nil: only neighbors are asked.
	Archive Archive

	// OpenPast gives a stream that is carried a Disk, to keep on it what leaves the window while KeepWindow
	// lasts; then the window in memory is as long as the publisher asks. nil, or if it returns nil: the window in
	// memory is kept for KeepWindow.
	OpenPast func(name string) Disk

	// MaxPastBytes bounds what a stream takes of its Disk. Default 8 GiB; 48 GiB at most.
	MaxPastBytes int64

	// MaxEvents bounds the events that wait for NextEvent. Default 256.
	MaxEvents int

	// IdleTimeout ends a stream whose source has given no sign of life.
	// Default 30 s; streams of old publishers, which give none while they
	// pause, get ten times as much (librtmfp: 300 s).
	IdleTimeout time.Duration
}

// StreamConfig is what a publisher says about its stream; most of it travels
// with the description and is adopted by all who carry it. Zero fields take
// the defaults that their comments give (groups-wire.md §5.6).
type StreamConfig struct {
	// Window is how long a fragment is worth having (multicastWindowDuration).
	// Default 8 s.
	Window time.Duration

	// RelayMargin is how much longer the publisher keeps the fragments for others
	// (multicastRelayMarginDuration). It is local. Default 10 s, against the 2 s of
	// all others: what is published while its link is cut, nobody else has.
	RelayMargin time.Duration

	// AvailabilityPeriod is the time between availability messages
	// (multicastAvailabilityUpdatePeriod). Default 100 ms.
	AvailabilityPeriod time.Duration

	// SendToOne makes members send their maps to one old neighbor in each
	// period instead of to all (the opposite of multicastAvailabilitySendToAll).
	// Modern neighbors always get them.
	SendToOne bool

	// FetchPeriod is the time between learning of a fragment and fetching it
	// from an old neighbor (multicastFetchPeriod). Default 2.5 s. Modern
	// neighbors are asked after a delay that follows the measured arrivals.
	FetchPeriod time.Duration

	// PushLimit is the number of neighbors to which the publisher itself pushes
	// each slice. It is local. Default 2; negative: none.
	PushLimit int

	// RunTime is the least time between two signatures, and RunWait how long a
	// fragment waits at most for others to be signed with it, where there are so few
	// that signatures would be more than 3 % of the bytes. They are local. Defaults 12 ms, 48 ms.
	RunTime, RunWait time.Duration

	// Grant is the permission to publish, if the group wants one. Local, and
	// part of the description.
	Grant []byte
}

// PlayConfig says how a stream is played.
type PlayConfig struct {
	// AnyFrame starts with the newest message instead of the newest key frame.
	AnyFrame bool

	// Back begins so far in the past, as Subscription.Seek does. 0 is the live stream.
	Back time.Duration
}

// Defaults and limits. Those that the wire knows are in groups-wire.md §5.6.
const (
	defaultWindow             = 8 * time.Second
	defaultRelayMargin        = 2 * time.Second
	defaultSourceMargin       = 10 * time.Second
	defaultAvailabilityPeriod = 100 * time.Millisecond
	defaultFetchPeriod        = 2500 * time.Millisecond
	defaultRunTime            = 12 * time.Millisecond
	defaultRunWait            = 48 * time.Millisecond
	defaultRelayPushLimit     = 4
	defaultSourcePushLimit    = 2
	defaultMaxNeighbors       = 128
	defaultMaxStreams         = 64
	defaultMaxWindowBytes     = 64 << 20
	defaultMaxWindowFragments = 1 << 16
	defaultMaxEvents          = 256
	defaultMaxPastBytes       = 8 << 30
	maxPastBytes              = 48 << 30 // of 64 that places reach
	defaultIdleTimeout        = 30 * time.Second

	maxName    = 1024             // bytes of a stream's name
	maxWindow  = 10 * time.Minute // of a description; longer is cut
	maxPeriod  = 10 * time.Second // of availability, likewise
	minPeriod  = 20 * time.Millisecond
	numSlices  = 8   // groups-wire.md §5.4: slice = fragment id mod 8
	maxPayload = 959 // bytes of a fragment after its head, as old peers cut them
	maxPieces  = 256 // of a message: the count of pieces to come is one byte
)

// Timing of repair, of the trees, and of what is told. All of it is ours.
const (
	pullDelayFloor   = 25 * time.Millisecond  // a push that is that late is missed on any link
	pullDelayMax     = 500 * time.Millisecond // however late pushes use to come
	pullDelayUnfed   = 10 * time.Millisecond  // nobody will push it
	pullJitter       = 8 * time.Millisecond   // so that not all ask at once
	pullTimeoutFloor = 60 * time.Millisecond  // beside two round trips
	maxPullWait      = time.Second            // while other answers come from there
	maxPullTimeout   = 2 * time.Second        // for one answer, whatever the round trip
	pullRetry        = 20 * time.Millisecond  // when all holders are busy
	earlyPenalty     = 4 * time.Millisecond   // for having pulled what was on its way
	goneGrace        = 500 * time.Millisecond // before what nobody can hold is given up

	minSilence   = 100 * time.Millisecond // of a parent that owes a fragment
	maxSilence   = 500 * time.Millisecond
	oldSilence   = 2 * time.Second        // old parents only push what they like to
	oldLag       = 300 * time.Millisecond // by which an old parent may trail the others
	oldAskAgain  = time.Second
	childSilence = 400 * time.Millisecond  // of a child whose place another wants
	askPatience  = 150 * time.Millisecond  // beside two round trips and three fragments
	askAgain     = 250 * time.Millisecond  // after a refusal, once or twice that
	bidBacklog   = 2048                    // bytes that wait for a neighbor of which no more is asked
	bidShare     = 3                       // slices at one publisher that a neighbor may have by bidding, or its share
	bidAgain     = 2 * time.Second         // after a refusal of a place that was taken, once or twice that
	moveRest     = 2 * time.Second         // between moves to a better parent
	moveGain     = 1 * time.Millisecond    // that a move must bring, and a part
	hasteRest    = 700 * time.Millisecond  // before that is over, to one that is better by
	hasteShare   = 4                       // so large a part
	oldShare     = 5                       // to or from an old neighbor
	moveShare    = 40                      // of what there is, which it must bring at least
	lateSlice    = 100 * time.Millisecond  // by which a slice may trail the others
	stayTime     = 1200 * time.Millisecond // three epochs
	leaveGrace   = 1500 * time.Millisecond
	holdTime     = time.Second
	tellWorth    = 1000                   // milliseconds between two words of what a place is worth
	maxWorth     = 200 * time.Millisecond // of a place, for one member

	hopDelay   = 500 * time.Microsecond // of passing a fragment on
	loadCost   = 50 * time.Microsecond  // per slice that a neighbor pushes to others
	spreadCost = 100 * time.Microsecond // per slice that it pushes here

	oldPeerCost  = 50 * time.Millisecond // old neighbors do not tell their distance
	oldPeerDepth = 16                    // likewise

	widest      = 2                // times the push limit: to so many neighbors a relay pushes one slice
	handing     = 1                // places of a relay that are given away only while another is on its way out
	bidStep     = 4                // by which a place must be worth more than the one it takes: half an octave
	stayStep    = 40               // and so much more if who has it has nobody else
	sureOthers  = 3                // neighbors that have room, so that one will when it is needed
	swapCost    = time.Millisecond // of one hop more, beside the way
	priceNews   = 8                // by which a price must change to be told
	leastBid    = 20               // two milliseconds for one member, about
	farthestLag = 16               // fragments of a slice by which a neighbor may be behind, for all that counts
	maxBelow    = 1 << 20          // members that get a slice by way of one

	epochPeriod     = 400 * time.Millisecond
	idleEpochPeriod = time.Second
	stateGap        = 20 * time.Millisecond  // between states sent at once
	presumeLag      = 100 * time.Millisecond // by which a neighbor's slices may trail each other
	delayNews       = 2 * time.Millisecond   // of a path, worth telling
	busyFor         = 2 * time.Second        // after a fragment a stream counts as running
	idleTick        = time.Second            // while it does not
	meterPeriod     = 500 * time.Millisecond

	defaultSliceInterval = 30 * time.Millisecond
	maxSliceInterval     = time.Second

	minPushLife = 500 * time.Millisecond // deadline of a pushed or pulled fragment:
	maxPushLife = 3 * time.Second        // half the window, within these

	// Silence, epochs included, after which another publication of the name is
	// played: of one that was running, and of one that had paused.
	switchAfter       = time.Second
	switchAfterPaused = 2500 * time.Millisecond

	graveTime   = time.Minute
	endPatience = 250 * time.Millisecond // before a neighbor's word of the end is believed
	settleTime  = 2 * time.Second        // after it, in which neighbors may name what they hold
)

// How often a neighbor is told what is new, in rounds, of which there is one in
// an availability period while fragments come.
const (
	rounds       = 16 // that are remembered; who knows less is told everything
	childRounds  = 2  // who is fed here goes by what it hears of routes
	parentRounds = 3  // who feeds this node goes by that it hears at all
	farRounds    = 12 // everybody else
	leastTold    = 1  // of everybody else in one round, if there are so many
)

// Bounds of what one neighbor can make this node hold or do.
const (
	maxTold        = 1<<16 - 1 // ids of a map; what is kept beyond it is found by a seek
	maxGaps        = 8192      // fragments that are tracked as missing: 25 s of 2 Mbit/s
	maxLead        = 1024      // ids, or two seconds of them, by which news may run ahead
	idleGaps       = 16        // of which the storage is kept
	maxOutstanding = 64        // fragments pulled of one neighbor
	minPullRate    = 128 << 10
	admitSpare     = 8  // part of the upload limit that is not given away to children,
	urgentSpare    = 64 // and if they have nobody else
	shedSpare      = 32 // part beyond it at which they are asked to go, as rates vary
	minPullBurst   = 2 << 20
	minBacklog     = 256 << 10 // bytes queued for a neighbor, or a second of the stream
	maxGraves      = 64
	maxEpochLead   = 1 << 16 // by which a route may be newer than any heard of before
	maxLost        = 1 << 20 // counted of one gap
	maxTurns       = 64      // of one stream at one instant: far more than parents to lose

	// outstandingCost makes a neighbor look farther for each answer it owes.
	outstandingCost = time.Millisecond

	// ignoredCost does so for each pull in a row that it did not answer.
	ignoredCost = 30 * time.Millisecond
	maxIgnored  = 10

	// guessCost makes it prefer one that has told that it holds the fragment.
	guessCost = 60 * time.Millisecond
)

// MaxMessage is the largest message that Write takes, in bytes.
const MaxMessage = maxPieces*maxPayload - ownHeadSize

// Errors of Publish, Play, and Write.
var (
	ErrName     = errors.New("multicast: a stream's name has 1 to 1024 bytes")
	ErrBusy     = errors.New("multicast: this node already publishes a stream of that name")
	ErrTooMany  = errors.New("multicast: too many streams")
	ErrTooLarge = errors.New("multicast: message larger than MaxMessage")
	ErrClosed   = errors.New("multicast: closed")
)

func (c Config) withDefaults() Config {
	if c.Rand == nil {
		panic("BUG: multicast.Config without Rand")
	}
	setDefault(&c.PushLimit, defaultRelayPushLimit)
	setDefault(&c.MaxNeighbors, defaultMaxNeighbors)
	setDefault(&c.MaxStreams, defaultMaxStreams)
	setDefault(&c.MaxWindowBytes, defaultMaxWindowBytes)
	setDefault(&c.MaxWindowFragments, defaultMaxWindowFragments)
	setDefault(&c.MaxEvents, defaultMaxEvents)
	setDefault(&c.MaxPastBytes, defaultMaxPastBytes)
	c.MaxPastBytes = min(c.MaxPastBytes, maxPastBytes)
	setDefault(&c.IdleTimeout, defaultIdleTimeout)
	c.PushLimit = max(c.PushLimit, 0)
	n := minSpan
	for n < c.MaxWindowFragments && n < 1<<24 {
		n <<= 1
	}
	c.MaxWindowFragments = n
	return c
}

func (c StreamConfig) withDefaults() StreamConfig {
	setDefault(&c.Window, defaultWindow)
	setDefault(&c.RelayMargin, defaultSourceMargin)
	setDefault(&c.AvailabilityPeriod, defaultAvailabilityPeriod)
	setDefault(&c.FetchPeriod, defaultFetchPeriod)
	setDefault(&c.PushLimit, defaultSourcePushLimit)
	c.PushLimit = max(c.PushLimit, 0)
	setDefault(&c.RunTime, defaultRunTime)
	setDefault(&c.RunWait, defaultRunWait)
	c.Window = min(max(c.Window, minPeriod), maxWindow)
	c.RelayMargin = min(c.RelayMargin, maxWindow)
	c.AvailabilityPeriod = min(max(c.AvailabilityPeriod, minPeriod), maxPeriod)
	c.FetchPeriod = min(c.FetchPeriod, c.Window)
	return c
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
