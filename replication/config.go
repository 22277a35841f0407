package replication

import (
	"math/rand/v2"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// Flows is what replication needs of whatever carries it, a part of
// group.Links but for receipts: flows of messages to the neighbors. Messages
// are copied before a call returns, and nothing is reported from within one.
// Calls that name a link or flow that has gone are ignored.
type Flows interface {
	OpenFlow(now clock.Time, link group.LinkID, metadata []byte, reply group.RecvID, class group.Class) group.FlowID
	RejectFlow(now clock.Time, recv group.RecvID)
	Send(now clock.Time, flow group.FlowID, msg []byte, deadline clock.Time)
	// SendReceipt is Send without a deadline and without a copy.
	// Service.Receipt is called with the number once the message has arrived or
	// will not; until then nobody changes it.
	SendReceipt(now clock.Time, flow group.FlowID, msg []byte, number uint64)
	// Hold tells that objects go over a link, which is to be kept therefore.
	Hold(now clock.Time, link group.LinkID)
	Backlog(flow group.FlowID) int
	RTT(link group.LinkID) time.Duration
}

// Config is what a Service is made of. Zero fields take the defaults that their
// comments give.
type Config struct {
	// Rand is the source of every random choice, seeded by the driver. Required.
	Rand *rand.Rand

	// UploadLimit bounds the objects that are sent, in bytes per second;
	// DownloadLimit those that are asked for. 0: no limit. Upload and Download,
	// if they are not nil, are in their place what this Service shares with others.
	UploadLimit, DownloadLimit int
	Upload, Download           *Allowance

	// UploadSlots bounds the neighbors that are sent objects at the same time.
	// There are as many as keep the uplink busy, 4 at least. Default 16.
	UploadSlots int

	// MaxNeighbors bounds the neighbors that are tracked. Default 128.
	MaxNeighbors int

	// MaxCollections bounds the collections that are open here. Default 65536.
	MaxCollections int

	// MaxInterests bounds the collections of one neighbor that are known
	// here. Default 1024.
	MaxInterests int

	// MaxPages bounds what is remembered of what a neighbor has, in pages of
	// 4096 indexes that it has some of, not all. Default 1024.
	MaxPages int

	// MaxWaiting bounds the requests of one neighbor that wait to be answered,
	// MaxAsked those that this node has waiting at one. Default 256 each.
	MaxWaiting, MaxAsked int

	// MaxObject bounds an object in bytes. Default 1 MiB.
	MaxObject int

	// MaxEvents bounds the events that wait to be drained, MaxHeld the bytes of
	// objects in these and of those that were asked for. Above either nothing is
	// asked for and no request is passed on. Defaults 4096 and 32 MiB.
	MaxEvents, MaxHeld int
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.UploadSlots, 16)
	def(&c.MaxNeighbors, 128)
	def(&c.MaxCollections, 65536)
	def(&c.MaxInterests, 1024)
	def(&c.MaxPages, 1024)
	def(&c.MaxWaiting, 256)
	def(&c.MaxAsked, 256)
	def(&c.MaxObject, 1<<20)
	def(&c.MaxEvents, 4096)
	def(&c.MaxHeld, 32<<20)
	return c
}

const (
	// haveDelay is how long news of objects are collected for a message.
	haveDelay = 10 * time.Millisecond
	// haveBatch is how many of them are sent at once.
	haveBatch = 32
	// feedBytes is what waits in the transport for a neighbor at most, when
	// another object is sent to it.
	feedBytes = 128 << 10
	// stallTime is the time after which a request without an answer is made
	// to another neighbor, too, when it is not known how long answers take
	// there; stallFactor the multiple of what they use to take, between the
	// other two.
	stallTime   = 2 * time.Second
	stallFactor = 4
	stallLeast  = 500 * time.Millisecond
	stallMost   = 30 * time.Second
	// banTime is how long a neighbor that sent a bad object or a malformed
	// message is not dealt with.
	banTime = time.Minute
	// denyTime is how long an object is not asked for of who denied it.
	denyTime = 5 * time.Second
	// rateSlack is added to the round-trip time when the requests are reckoned
	// that keep a neighbor busy.
	rateSlack = 20 * time.Millisecond
	// candidates is how many objects are compared when a rare one is chosen.
	candidates = 24
	// maxBad is how many malformed messages a neighbor may send before it is
	// not dealt with.
	maxBad = 4
	// checkPeriod is how often requests are looked at for having stalled.
	checkPeriod = 500 * time.Millisecond
	// rateTime is the least time over which a neighbor's rate is measured.
	rateTime = 20 * time.Millisecond
	// freely is how many objects a neighbor may ask for before its rate is
	// known, without an upload limit.
	freely = 4
	// leastSlots is how many neighbors are sent objects at the same time where
	// that is not faster than the round trips to them: more are for those
	// slotTrips of an object, of slotMost at most, and slotLeast.
	leastSlots = 4
	slotTrips  = 3
	slotMost   = 500 * time.Millisecond
	slotLeast  = 100 * time.Millisecond
	// paceTime is the least time over which the rate of all objects that leave is
	// measured, and paceIdle the pause after which it begins anew.
	paceTime = 20 * time.Millisecond
	paceIdle = 2 * time.Second
	// turnUsual is how many turns of a neighbor that lags behind come to one of
	// another. Who has only slow neighbors needs as many, and from when it begins
	// to lag: what it lacks when all others have finished it gets no sooner.
	turnUsual = 16
	// maxCredit is what a neighbor gives at once at most.
	maxCredit = 1024
	// creditTime is how long a neighbor may leave credit unused.
	creditTime = 2 * time.Second
)
