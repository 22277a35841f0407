package replication

import (
	"rtmfp/internal/element"
)

// Metadata of the two flows to a neighbor, associated with its group session
// flow.
var (
	metaControl = []byte{0x00, 0x47, 0x52, 0x3c}
	metaObjects = []byte{0x00, 0x47, 0x52, 0x3d}
)

// IsFlow reports whether metadata is that of this package's flows.
func IsFlow(m []byte) bool {
	return string(m) == string(metaControl) || string(m) == string(metaObjects)
}

// First bytes of control messages (docs/replication.md).
const (
	msgOpen    = 0x70 // number, collection, flags
	msgClose   = 0x71 // number
	msgHave    = 0x72 // number, runs
	msgGone    = 0x73 // number, runs
	msgRequest = 0x74 // number, then serial and index of each
	msgCancel  = 0x75 // serials
	msgDeny    = 0x76 // reason, serials
	msgKeen    = 0x77 // the sender could use something that the receiver has
	msgCredit  = 0x78 // serial up to which the receiver may ask, then number and index of what it best asks for
	msgPass    = 0x79 // serial up to which the sender will not ask, and it is not keen any more
)

// First byte of messages on the objects' flow.
const msgObject = 0x7a // serial, object

// Flags of msgOpen.
const (
	flagWants  = 1 // the sender wants objects, and is to be told who has some
	flagPaused = 2 // it answers no requests for now
)

// Reasons of a denial.
const (
	denyByApplication = 0 // or it is not there
	denyFull          = 1 // too many requests wait
)

// maxRuns bounds the runs in one message, maxBatch the requests in one.
const (
	maxRuns  = 512
	maxBatch = 256
)

func appendOpen(b []byte, number uint64, id CollectionID, flags byte) []byte {
	b = element.AppendVLU(append(b, msgOpen), number)
	return append(append(b, id[:]...), flags)
}

func parseOpen(b []byte) (number uint64, id CollectionID, flags byte, ok bool) {
	number, n := element.ConsumeVLU(b[1:])
	if b = b[1+n:]; n == 0 || len(b) < len(id)+1 {
		return 0, id, 0, false
	}
	copy(id[:], b)
	return number, id, b[len(id)], true
}

// appendRuns appends the set from an index on, and returns where to go on with
// the next message, false if it is whole.
func appendRuns(b []byte, s *Set, from uint64) (out []byte, next uint64, more bool) {
	last := uint64(0)
	for i := 0; ; i++ {
		r, ok := s.NextRange(from)
		if !ok {
			return b, 0, false
		}
		if i == maxRuns {
			return b, r.Start, true
		}
		b = element.AppendVLU(element.AppendVLU(b, r.Start-last), r.End-r.Start)
		last, from = r.End, r.End
	}
}

// consumeRun reads one run of those that are appended behind one another, of
// which the one before ended at last. n is 0 if there is none or it is wrong.
func consumeRun(b []byte, last uint64) (r Range, n int) {
	gap, i := element.ConsumeVLU(b)
	if i == 0 {
		return Range{}, 0
	}
	length, j := element.ConsumeVLU(b[i:])
	if j == 0 || gap > MaxIndex || length > MaxIndex+1 || length == 0 || last+gap+length > MaxIndex+1 {
		return Range{}, 0
	}
	return Range{last + gap, last + gap + length}, i + j
}

// validRuns reports whether all of b is runs.
func validRuns(b []byte) bool {
	last := uint64(0)
	for i := 0; len(b) > 0; i++ {
		r, n := consumeRun(b, last)
		if n == 0 || i == maxRuns {
			return false
		}
		last, b = r.End, b[n:]
	}
	return true
}
