package posting

import (
	"encoding/binary"
	"time"

	"rtmfp/internal/element"
)

// Metadata of the flows, each associated with the neighbor's group session
// flow. Flash's own posting has 18 and 19 in the last byte and is not spoken.
var (
	metaControl = []byte{0x00, 0x47, 0x52, 0x38}
	metaPosts   = []byte{0x00, 0x47, 0x52, 0x39}
	metaHistory = []byte{0x00, 0x47, 0x52, 0x3a}
)

// IsFlow reports whether the metadata is that of one of this package's flows.
func IsFlow(metadata []byte) bool {
	return len(metadata) == 4 && string(metadata[:3]) == string(metaControl[:3]) &&
		metadata[3] >= metaControl[3] && metadata[3] <= metaHistory[3]
}

// First bytes of messages. Those up to msgContents go on the control flow.
const (
	msgRoutes   = 0x40
	msgAsk      = 0x41
	msgRefuse   = 0x42
	msgHave     = 0x43
	msgWant     = 0x44
	msgLack     = 0x45
	msgCompare  = 0x46
	msgContents = 0x47
	msgPost     = 0x48 // on a posts or history flow
)

// route is what a member tells of its way to the root of a tree.
type route struct {
	epoch    uint64
	nearness uint64 // of the root to the tree's address, the smaller the nearer
	delay    uint64 // to the root in units of delayUnit plus one, 0: no way
}

const (
	delayUnit = 100 * time.Microsecond
	maxDelay  = 1 << 24 // units, half an hour
)

func appendRoutes(b []byte, mask byte, routes *[numTrees]route) []byte {
	b = append(b, msgRoutes, mask)
	for i := range routes {
		if mask&(1<<i) != 0 {
			r := &routes[i]
			b = element.AppendVLU(b, r.epoch)
			b = binary.BigEndian.AppendUint64(b, r.nearness)
			b = element.AppendVLU(b, r.delay)
		}
	}
	return b
}

// parseRoutes reads the routes that a message holds into those that are set in mask.
func parseRoutes(msg []byte, routes *[numTrees]route) (mask byte, ok bool) {
	if len(msg) < 2 {
		return 0, false
	}
	mask = msg[1]
	b := msg[2:]
	for i := range routes {
		if mask&(1<<i) == 0 {
			continue
		}
		r := &routes[i]
		var n int
		if r.epoch, n = element.ConsumeVLU(b); n == 0 || len(b) < n+8 {
			return 0, false
		}
		r.nearness = binary.BigEndian.Uint64(b[n:])
		b = b[n+8:]
		if r.delay, n = element.ConsumeVLU(b); n == 0 || r.delay > maxDelay {
			return 0, false
		}
		b = b[n:]
	}
	return mask, mask < 1<<numTrees && len(b) == 0
}

// ask is the whole of what a member wants from a neighbor.
type ask struct {
	parent byte // trees in which it is to push
	flags  byte
}

const (
	askRoutes   = 1 << iota // tell me your routes
	askAnnounce             // announce posts to me
)

func appendAsk(b []byte, a ask) []byte { return append(b, msgAsk, a.parent, a.flags) }

func parseAsk(msg []byte) (a ask, ok bool) {
	if len(msg) != 3 {
		return a, false
	}
	return ask{msg[1], msg[2]}, msg[1] < 1<<numTrees
}

func appendRefuse(b []byte, mask byte) []byte { return append(b, msgRefuse, mask) }

func parseRefuse(msg []byte) (mask byte, ok bool) {
	if len(msg) != 2 {
		return 0, false
	}
	return msg[1], msg[1] < 1<<numTrees
}

func appendKeys(b []byte, typ byte, keys []key) []byte {
	b = append(b, typ)
	for i := range keys {
		b = append(b, keys[i][:]...)
	}
	return b
}

// parseKeys returns the number of keys in a list; keyAt reads them.
func parseKeys(msg []byte) (n int, ok bool) {
	n = (len(msg) - 1) / len(key{})
	return n, len(msg) > 1 && 1+n*len(key{}) == len(msg) && n <= maxAnnounce
}

func keyAt(msg []byte, i int) key { return key(msg[1+8*i:]) }

// compare lists digests of what a member holds, one for each bucket of the
// authors' time from the first on.
type compare struct {
	span  uint64 // buckets that one sum is over
	first uint64 // bucket by bucketMilli since 1970
	sums  []byte // 4 bytes each
}

func appendCompare(b []byte, c compare) []byte {
	b = append(b, msgCompare)
	b = element.AppendVLU(b, c.span)
	b = element.AppendVLU(b, c.first)
	return append(b, c.sums...)
}

func parseCompare(msg []byte) (c compare, ok bool) {
	var n, m int
	if c.span, n = element.ConsumeVLU(msg[1:]); n == 0 || c.span == 0 || c.span > maxBuckets {
		return c, false
	}
	if c.first, m = element.ConsumeVLU(msg[1+n:]); m == 0 || c.first >= maxMilli {
		return c, false
	}
	c.sums = msg[1+n+m:]
	return c, len(c.sums)%4 == 0 && len(c.sums) <= 4*maxBuckets
}

// maxBuckets bounds one comparison.
const maxBuckets = 1024

// contents lists all that a member holds in some buckets, in answer to a
// comparison. last marks the end of the answer.
type contents struct {
	last bool
	list []bucketKeys
}

type bucketKeys struct {
	bucket, span uint64
	n            int
	keys         []byte // 8 bytes each
}

func appendContents(b []byte, last bool) []byte { return append(b, msgContents, flagByte(last)) }

func appendBucket(b []byte, bucket, span uint64, keys []key) []byte {
	b = element.AppendVLU(b, bucket)
	b = element.AppendVLU(b, span)
	b = element.AppendVLU(b, uint64(len(keys)))
	for i := range keys {
		b = append(b, keys[i][:]...)
	}
	return b
}

// consumeBucket reads one bucket's keys.
func consumeBucket(b []byte) (k bucketKeys, n int) {
	var v [3]uint64
	for i := range v {
		var m int
		if v[i], m = element.ConsumeVLU(b[n:]); m == 0 {
			return k, 0
		}
		n += m
	}
	if v[0] >= maxMilli || v[1] == 0 || v[1] > maxBuckets || v[2] > maxSynced || uint64(len(b)-n) < 8*v[2] {
		return k, 0
	}
	end := n + 8*int(v[2])
	return bucketKeys{v[0], v[1], int(v[2]), b[n:end]}, end
}

func parseContents(msg []byte) (c contents, ok bool) {
	if len(msg) < 2 || msg[1] > 1 {
		return c, false
	}
	c.last = msg[1] == 1
	for b := msg[2:]; len(b) > 0; {
		k, n := consumeBucket(b)
		if n == 0 || len(c.list) == maxBuckets {
			return c, false
		}
		c.list = append(c.list, k)
		b = b[n:]
	}
	return c, true
}

func flagByte(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// A post on its way has a byte before it: the tree, and whether it is pushed
// or answers a request.
const (
	postTree    = 0x0f
	postFetched = 0x10
)

func appendPostMessage(b []byte, how byte, encoded []byte) []byte {
	b = append(b, msgPost, how)
	return append(b, encoded...)
}
