package posting

import (
	"errors"
	"math/rand/v2"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Flows is what posting needs of whatever carries it, a part of group.Links:
// flows of messages to the neighbors. Messages are copied before Send returns,
// and nothing is reported from within a call. Calls that name a link or flow
// that has gone are ignored.
type Flows interface {
	OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID
	CloseFlow(now clock.Time, flow group.FlowID)
	RejectFlow(now clock.Time, recv group.RecvID)
	Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time)
	Backlog(flow group.FlowID) int
	RTT(link group.LinkID) time.Duration
}

// Keys signs for this node and checks what others signed. A certificate is
// what a peer id is the hash of, and holds the key that signs.
type Keys interface {
	// Certificate returns this node's, nil if it has no key that signs.
	Certificate() []byte
	// Sign signs a message with the key of that certificate.
	Sign(message []byte) [SignatureSize]byte
	// Verify returns the peer id of a certificate, and whether it holds a key
	// that made the signature.
	Verify(certificate, message []byte, signature [SignatureSize]byte) (group.PeerID, bool)
}

// SignatureSize is the size of an Ed25519 signature in bytes.
const SignatureSize = 64

// Config is what a Service is made of. Zero fields take the defaults that
// their comments give.
type Config struct {
	// Rand is the source of every random choice, seeded by the driver. Required.
	Rand *rand.Rand

	// Self is this node, GroupID the group. Required.
	Self    group.PeerID
	GroupID [32]byte

	// Keys signs and verifies. Required.
	Keys Keys

	// UnixMilli is the wall-clock time of instant zero in milliseconds since
	// 1970. Authors sign their clock's time; posts from outside the history are
	// refused, so the clocks of members should agree within a minute or so.
	UnixMilli int64

	// MayPost tells whether an author may post at a time (in milliseconds since
	// 1970), given the grant that came with the post. nil: everybody may.
	MayPost func(author group.PeerID, grant []byte, unixMilli int64) error

	// Grant goes with this node's own posts, if any is needed.
	Grant []byte

	// History is how long posts are kept for those who come late. Default 10 min.
	History time.Duration

	// HistoryBytes bounds what is kept, in encoded bytes. Default 4 MiB.
	HistoryBytes int

	// MaxPosts bounds the number of posts kept. Default 16384.
	MaxPosts int

	// MaxAuthors bounds the authors that are remembered. Default 4096.
	MaxAuthors int

	// MaxQueue bounds the posts that wait for NextPost. Default 1024.
	MaxQueue int

	// MaxNeighbors bounds the neighbors that are tracked. Default 128.
	MaxNeighbors int

	// MaxChildren bounds the neighbors to which a post is pushed away from the
	// root of its tree. Default 16.
	MaxChildren int
}

// Limits of a post, and of its author. A node holds itself to the author's
// limits and grants others twice as much before it refuses to pass them on.
const (
	MaxData     = 64 << 10 // bytes in a post
	PostRate    = 10       // posts a second of one author, over time
	PostBurst   = 60       // posts of one author at once
	ByteRate    = 64 << 10 // bytes a second of one author, over time
	ByteBurst   = 512 << 10
	relayFactor = 2 // by which others are granted more
)

// Shape of the trees and timing. All of it is ours.
const (
	numTrees = 4

	meshNear   = 6 // neighbors of lowest latency that routes are heard from
	meshRandom = 6 // and others
	informers  = 6 // neighbors that announce posts to this node

	hopCost    = time.Millisecond // of passing a post on
	unknownRTT = 150 * time.Millisecond

	beaconPeriod  = 2 * time.Second       // between epochs of a tree in use
	activeTime    = 30 * time.Second      // after a post, in which it is in use
	rootPatience  = 3 * beaconPeriod      // after which a silent root may be replaced
	routeDelay    = 10 * time.Millisecond // in which route news are collected
	collectTime   = 15 * time.Millisecond // in which the first routes of an epoch are
	parentWait    = 200 * time.Millisecond
	reviewDelay   = 300 * time.Millisecond // from a new epoch to the look for a better parent
	switchGain    = 2 * time.Millisecond   // that a better parent brings, and a tenth
	maxEpochLead  = 1 << 20
	maxMisses     = 2 // posts in a row that a parent did not bring
	refusedTime   = 5 * time.Second
	meshPeriod    = 10 * time.Second // between looks at whom to hear from
	announceDelay = 100 * time.Millisecond

	fetchGrace    = 150 * time.Millisecond // for the push of what was announced
	fetchGraceMin = 40 * time.Millisecond
	fetchGraceMax = 500 * time.Millisecond
	fetchTimeout  = 150 * time.Millisecond // beside two round trips
	maxFetches    = 8                      // of one post, before it is given up

	syncRecent    = 32 * time.Second // span of the comparison with a random neighbor
	syncRest      = 10 * time.Second // between comparisons with new neighbors, once grown up
	grownUp       = 3                // comparisons of all the history after which a member is that
	syncActive    = 1 * time.Second  // between those while posts come
	syncSettle    = 3                // equal comparisons after which that ends
	syncGap       = 300 * time.Millisecond
	syncTimeout   = 5 * time.Second
	syncGrace     = 20 * time.Millisecond  // before what a comparison found is fetched
	oldAge        = 5 * time.Second        // from which a post counts as history
	catchUpTime   = 2 * time.Second        // of posts announced to who begins to rely on us
	resendTime    = 3 * time.Second        // in which a post is not sent to a neighbor again
	informerTime  = time.Second            // of silence after which an informer is replaced
	informerPosts = 6                      // if so many posts came meanwhile
	silenceMin    = 400 * time.Millisecond // without a post, after which neighbors are asked
	silenceTimes  = 8                      // or that many times the usual
	silenceAsks   = 6                      // neighbors

	bucketMilli  = 1000        // span of the authors' time that is summed up as one
	wholeSpan    = 16          // buckets that are compared as one, over all the history
	syncSettled  = time.Second // posts younger than that may be on their way
	clockSkew    = 2 * time.Minute
	suspectTime  = 3 * time.Second
	banTime      = time.Minute
	maxOffenses  = 3
	orderWait    = 3 * time.Second        // for an earlier post of the same author
	orderFirst   = 500 * time.Millisecond // the same of an author who is new here
	keepBuffer   = 2048
	expirePeriod = 5 * time.Second
)

// Bounds of what one neighbor can make this node hold or do.
const (
	maxMissing   = 8192    // posts announced and not here yet
	maxPromises  = 2048    // of these that one neighbor was the first to announce, but for answers
	floodSize    = 4 << 10 // bytes of a post that is pushed to all where there are no trees yet
	maxAnnounce  = 512     // ids in one message
	maxAsk       = 64      // ids in one request
	maxSources   = 4       // neighbors remembered to have a missing post
	maxBacklog   = 1 << 20 // bytes queued for a neighbor, above which posts are only announced
	maxServed    = 8 << 20 // bytes of history to one neighbor
	servePeriod  = 10 * time.Second
	windowBits   = 64 // numbers of an author below the highest that are told apart
	maxSynced    = 16384
	maxContents  = 60 << 10
	maxGrantSize = 512
	maxCertSize  = 1024
)

// Errors of Post.
var (
	ErrTooLarge = errors.New("posting: larger than 64 KiB")
	ErrEmpty    = errors.New("posting: an empty post")
	ErrNoKey    = errors.New("posting: this node's identity has no key that signs")
	ErrRate     = errors.New("posting: too many posts in a short time")
)

func (c Config) withDefaults() Config {
	if c.Rand == nil || c.Keys == nil {
		panic("BUG: posting.Config without Rand or Keys")
	}
	if c.History <= 0 {
		c.History = 10 * time.Minute
	}
	for _, d := range [...]struct {
		v   *int
		def int
	}{
		{&c.HistoryBytes, 4 << 20}, {&c.MaxPosts, 16384}, {&c.MaxAuthors, 4096},
		{&c.MaxQueue, 1024}, {&c.MaxNeighbors, 128}, {&c.MaxChildren, 16},
	} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	c.MaxNeighbors = min(c.MaxNeighbors, 8*len(holders{}))
	return c
}
