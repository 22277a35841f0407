package simulations

import (
	"math"
	"time"

	"rtmfp/internal/clock"
)

// Access is the link by which a node reaches the network, the usual
// bottleneck. The zero Access is none.
type Access struct {
	// Up and Down are the speeds in bits per second, 0 for no limit. A packet
	// counts with its headers.
	Up, Down int

	// Queue is how many bytes may wait before each of them; what finds no room
	// is lost. 0 is what 250 ms bring at the link's speed, as home routers do,
	// 16 KiB at least.
	Queue int

	// CoDel drops early, so that nothing waits for more than 5 ms for long
	// (RFC 8289), where otherwise only a full queue drops.
	CoDel bool
}

// attachment is a node's access link with its two queues.
type attachment struct {
	Access
	up, down bottleneck
}

// headerSize is what a datagram costs on an access link beside its payload:
// IPv4 and UDP.
const headerSize = 28

// bottleneck is one direction of an access link. What has been decided about
// the datagrams before one decides when it leaves, so that a queue is two
// numbers, and not a list.
type bottleneck struct {
	free  clock.Time // when the last of what is queued has left
	codel codel
}

// leave takes a datagram that goes out at now, and arrive one that comes in.
// They return when it has passed, false if it is dropped.
func (a *attachment) leave(now clock.Time, size int) (clock.Time, bool) {
	if a == nil || a.Up <= 0 {
		return now, true
	}
	return a.up.pass(now, size, a.Up, a.Queue, a.CoDel)
}

func (a *attachment) arrive(now clock.Time, size int) (clock.Time, bool) {
	if a == nil || a.Down <= 0 {
		return now, true
	}
	return a.down.pass(now, size, a.Down, a.Queue, a.CoDel)
}

// pass takes a datagram at now and returns when it has left; false if it is
// dropped.
func (b *bottleneck) pass(now clock.Time, size, rate, queue int, aqm bool) (clock.Time, bool) {
	start := max(b.free, now)
	wait := start.Sub(now)
	if queue <= 0 {
		queue = max(rate/8/4, 16<<10)
	}
	waiting := int64(wait) / int64(time.Microsecond) * int64(rate) / 8_000_000
	if waiting+int64(size) > int64(queue) {
		return 0, false
	}
	if aqm && b.codel.drop(start, wait, int(waiting)) {
		return 0, false
	}
	b.free = start.Add(time.Duration(int64(size+headerSize) * 8 * int64(time.Second) / int64(rate)))
	return b.free, true
}

// codel is the controller of RFC 8289 §5. That decides when a datagram leaves
// the queue; as nothing overtakes, the same can be decided when it comes, for
// the instant at which it will leave. Only the question whether a full packet
// is left behind it is asked of what is before it.
type codel struct {
	firstAbove clock.Time
	dropNext   clock.Time
	count      uint32
	lastCount  uint32
	dropping   bool
}

// Constants of RFC 8289 §4.
const (
	codelTarget   = 5 * time.Millisecond
	codelInterval = 100 * time.Millisecond
	codelPacket   = 1500
)

func (c *codel) drop(leaves clock.Time, wait time.Duration, waiting int) bool {
	ok := false
	if wait < codelTarget || waiting <= codelPacket {
		c.firstAbove = 0
	} else if c.firstAbove == 0 {
		c.firstAbove = leaves.Add(codelInterval)
	} else {
		ok = leaves >= c.firstAbove
	}
	if c.dropping {
		if !ok {
			c.dropping = false
			return false
		}
		if leaves < c.dropNext {
			return false
		}
		c.count++
		c.dropNext = c.law(c.dropNext)
		return true
	}
	if !ok {
		return false
	}
	c.dropping = true
	delta := c.count - c.lastCount
	c.count = 1
	if delta > 1 && leaves.Sub(c.dropNext) < 16*codelInterval {
		c.count = delta
	}
	c.dropNext = c.law(leaves)
	c.lastCount = c.count
	return true
}

// law returns when to drop next: the more often, the more was dropped.
func (c *codel) law(t clock.Time) clock.Time {
	return t.Add(time.Duration(float64(codelInterval) / math.Sqrt(float64(c.count))))
}
