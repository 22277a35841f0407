package records

import (
	"errors"
	"math/rand/v2"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
	"rtmfp/ring"
)

// Flows is what records need of whatever carries them between neighbors, a
// part of group.Links.
type Flows interface {
	OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID
	Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time)
}

// Router is what records need of the group: the way to the member nearest to a
// key. A *group.Group has it.
type Router interface {
	SendToNearest(now clock.Time, to ring.Addr, msg []byte, o group.RouteOptions) (group.RouteID, error)
	Reply(now clock.Time, id group.RouteID, msg []byte) error
	Coverage() (from, to ring.Addr)
}

// Keys signs for this node and checks what others signed; see posting.Keys.
type Keys interface {
	Certificate() []byte
	Sign(message []byte) [SignatureSize]byte
	Verify(certificate, message []byte, signature [SignatureSize]byte) (group.PeerID, bool)
}

// SignatureSize is the size of an Ed25519 signature in bytes.
const SignatureSize = 64

// Config is what a Service is made of. Zero fields take the defaults that their
// comments give.
type Config struct {
	// Rand is the source of every random choice. Required.
	Rand *rand.Rand

	// Self is this node, GroupID the group, Keys signs and verifies. Required.
	Self    group.PeerID
	GroupID [32]byte
	Keys    Keys

	// UnixMilli is the wall-clock time of instant zero in milliseconds since 1970.
	UnixMilli int64

	// MaxRecords bounds the records that are kept here. Default 4096.
	MaxRecords int

	// MaxPerOwner bounds those of one owner. Default 512.
	MaxPerOwner int

	// MaxRequests bounds the own puts and gets that are under way, and the gets
	// of others that are being looked into. Default 256 of either.
	MaxRequests int
}

// Limits and timing.
const (
	MaxValue = 1024           // bytes in a record
	MaxTTL   = 24 * time.Hour // for which a record may be put
	Replicas = 8              // members that hold a record

	maxCertificate = 1024
	maxPerKey      = 16 // owners under one key
	clockSkew      = 2 * time.Minute

	settleTime    = 200 * time.Millisecond // after neighbors changed, before records follow
	syncPeriod    = 30 * time.Second
	expirePeriod  = 10 * time.Second
	lookupTime    = 400 * time.Millisecond // that the neighbors of the nearest have to answer it
	requestTries  = 3
	requestTime   = 4 * time.Second // for an answer: a link on its way back may be given up meanwhile
	retryTime     = 300 * time.Millisecond
	farFactor     = 2 // copies are taken as long as fewer than so many times Replicas neighbors are nearer
	putRate       = 500
	putBurst      = 1000
	maxStoreBytes = 32 << 10
	maxListed     = 4096
	maxBad        = 3 // malformed or forged messages of a neighbor
	banTime       = time.Minute
)

// Errors of Put and Get, and in results.
var (
	ErrTooLarge    = errors.New("records: a value has at most 1024 bytes")
	ErrTTL         = errors.New("records: a record is put for at most 24 hours")
	ErrNoKey       = errors.New("records: this node's identity has no key that signs")
	ErrBusy        = errors.New("records: too many requests under way")
	ErrStale       = errors.New("records: a newer version is there")
	ErrRefused     = errors.New("records: the member nearest to the key did not take it")
	ErrUnreachable = errors.New("records: no answer from the member nearest to the key")
)

func (c Config) withDefaults() Config {
	if c.Rand == nil || c.Keys == nil {
		panic("BUG: records.Config without Rand or Keys")
	}
	for _, d := range [...]struct {
		v   *int
		def int
	}{{&c.MaxRecords, 4096}, {&c.MaxPerOwner, 512}, {&c.MaxRequests, 256}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	return c
}
