package records

import (
	"encoding/binary"

	"rtmfp/group"
	"rtmfp/internal/element"
	"rtmfp/ring"
)

// metadata is that of the one flow to a neighbor, associated with its group
// session flow.
var metadata = []byte{0x00, 0x47, 0x52, 0x3b}

// IsFlow reports whether the metadata is that of this package's flows.
func IsFlow(m []byte) bool { return string(m) == string(metadata) }

// First bytes of routed requests.
const (
	reqPut = 0x01
	reqGet = 0x02
)

// First bytes of replies.
const (
	repDone    = 0x00 // put: stored; get: fields of records follow
	repStale   = 0x01 // a newer version, which follows as a field, is there
	repRefused = 0x02
)

// First bytes of messages between neighbors.
const (
	msgStore   = 0x50 // fields of records
	msgSummary = 0x51 // what the sender holds of a range
	msgList    = 0x52 // all of that, one by one
	msgWant    = 0x53 // ids
	msgLookup  = 0x54
	msgFound   = 0x55
)

// query asks for the records under a key, of one owner or of all.
type query struct {
	key   ring.Addr
	one   bool
	owner group.PeerID
}

func appendQuery(b []byte, q query) []byte {
	b = append(b, q.key[:]...)
	if q.one {
		b = append(b, q.owner[:]...)
	}
	return b
}

func parseQuery(b []byte) (q query, ok bool) {
	switch len(b) {
	case 64:
		q.one, q.owner = true, group.PeerID(b[32:])
	case 32:
	default:
		return q, false
	}
	q.key = ring.Addr(b[:32])
	return q, true
}

// fields calls f for each field of a list, as long as it returns true, and
// returns whether the list is well formed and f always was true.
func fields(b []byte, f func(v []byte) bool) bool {
	for len(b) > 0 {
		v, n := element.ConsumeField(b)
		if n == 0 || !f(v) {
			return false
		}
		b = b[n:]
	}
	return true
}

// span is a range of addresses, from after the first up to the second.
type span struct{ from, to ring.Addr }

func appendSpan(b []byte, typ byte, s span) []byte {
	b = append(b, typ)
	b = append(b, s.from[:]...)
	return append(b, s.to[:]...)
}

func parseSpan(b []byte) (s span, rest []byte, ok bool) {
	if len(b) < 65 {
		return s, nil, false
	}
	return span{ring.Addr(b[1:33]), ring.Addr(b[33:65])}, b[65:], true
}

// listed is a record in a list.
type listed struct {
	id       id
	sequence uint64
	check    [4]byte
}

func appendListed(b []byte, l listed) []byte {
	b = append(b, l.id[:]...)
	b = element.AppendVLU(b, l.sequence)
	return append(b, l.check[:]...)
}

func consumeListed(b []byte) (l listed, n int) {
	if len(b) < len(l.id) {
		return l, 0
	}
	l.id = id(b[:8])
	v, m := element.ConsumeVLU(b[8:])
	if m == 0 || len(b) < 8+m+4 {
		return l, 0
	}
	l.sequence, l.check = v, [4]byte(b[8+m:])
	return l, 8 + m + 4
}

// sum is the digest of a listed record; those of a set are added up by XOR.
func (l listed) sum() uint64 {
	// The id and check are parts of hashes, so that mixing them is enough.
	return binary.BigEndian.Uint64(l.id[:]) ^ (l.sequence+uint64(binary.BigEndian.Uint32(l.check[:]))<<32)*0x9e3779b97f4a7c15
}
