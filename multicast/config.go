package multicast

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Config holds what all streams of a Service share. Zero fields take the
// defaults that their comments give.
type Config struct {
	// Rand is the source of every random choice, seeded by the driver. Required.
	Rand *rand.Rand

	// RelayAll makes the node carry every stream that its neighbors describe,
	// whether it is played here or not.
	RelayAll bool

	// UploadLimit bounds the payload that is sent, in bytes per second over all
	// streams. 0 is no limit.
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

	// RelayMargin is how much longer the fragments are kept for others
	// (multicastRelayMarginDuration). It is local. Default 2 s.
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
}

// PlayConfig says how a stream is played.
type PlayConfig struct {
	// AnyFrame starts with the newest message instead of the newest key frame.
	AnyFrame bool
}

// Defaults and limits. Those that the wire knows are in groups-wire.md §5.6.
const (
	defaultWindow             = 8 * time.Second
	defaultRelayMargin        = 2 * time.Second
	defaultAvailabilityPeriod = 100 * time.Millisecond
	defaultFetchPeriod        = 2500 * time.Millisecond
	defaultRelayPushLimit     = 4
	defaultSourcePushLimit    = 2
	defaultMaxNeighbors       = 128
	defaultMaxStreams         = 64
	defaultMaxWindowBytes     = 64 << 20
	defaultMaxWindowFragments = 1 << 16
	defaultMaxEvents          = 256
	defaultIdleTimeout        = 30 * time.Second

	maxName    = 1024             // bytes of a stream's name
	maxWindow  = 10 * time.Minute // of a description; longer is cut
	maxPeriod  = 10 * time.Second // of availability, likewise
	minPeriod  = 20 * time.Millisecond
	numSlices  = 8   // groups-wire.md §5.4: slice = fragment id mod 8
	maxPayload = 959 // bytes of a fragment after its head, as old peers cut them
	maxPieces  = 256 // of a message: the count of pieces to come is one byte
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
	setDefault(&c.RelayMargin, defaultRelayMargin)
	setDefault(&c.AvailabilityPeriod, defaultAvailabilityPeriod)
	setDefault(&c.FetchPeriod, defaultFetchPeriod)
	setDefault(&c.PushLimit, defaultSourcePushLimit)
	c.PushLimit = max(c.PushLimit, 0)
	c.Window = min(c.Window, maxWindow)
	c.RelayMargin = min(c.RelayMargin, maxWindow)
	c.AvailabilityPeriod = min(max(c.AvailabilityPeriod, minPeriod), maxPeriod)
	c.FetchPeriod = min(c.FetchPeriod, c.Window)
	return c
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
