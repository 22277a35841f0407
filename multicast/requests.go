package multicast

import (
	"rtmfp/group"
	"rtmfp/internal/element"
)

// askUrgent in the flags of an ask says that no other neighbor can feed the
// asker.
const (
	askUrgent  = 0x01
	askEnding  = 0x02 // slices end at a fragment: see handover.go
	askDigests = 0x04 // digests are wanted, of all slices: see vouching.go
)

const (
	maxHints    = 4   // peers named in a refusal
	maxFetchMap = 256 // bytes of the bitmap of a fetch
)

// ask is the modern form of the push mask.
type ask struct {
	mask  byte   // all slices that the asker wants to be fed; replaces the mask before
	flags byte   // askEnding is not kept, but follows from ending
	fresh byte   // those of them that begin with what is held from id from on
	from  uint64 // 0: only with what is to come

	// For each slice of the mask, packed: see worth.go. 0 if that was not told.
	below, worth [numSlices]byte

	// Slices that are pushed until they come to a fragment, which is left out.
	ending byte
	until  uint64
}

func appendAsk(b []byte, a ask) []byte {
	if a.ending != 0 {
		a.flags |= askEnding
	}
	b = element.AppendVLU(append(b, msgAsk, a.mask, a.flags, a.fresh), a.from)
	for s := range numSlices {
		if a.mask&(1<<s) != 0 {
			b = append(b, a.below[s], a.worth[s])
		}
	}
	if a.ending != 0 {
		b = element.AppendVLU(append(b, a.ending), a.until)
	}
	return b
}

func consumeAsk(b []byte) (a ask, ok bool) {
	if len(b) < 5 || b[0] != msgAsk {
		return ask{}, false
	}
	from, n := element.ConsumeVLU(b[4:])
	if n == 0 || from > maxID {
		return ask{}, false
	}
	a = ask{mask: b[1], flags: b[2], fresh: b[3], from: from}
	b = b[4+n:]
	for s := range numSlices {
		if a.mask&(1<<s) != 0 && len(b) >= 2 {
			a.below[s], a.worth[s] = b[0], b[1]
			b = b[2:]
		}
	}
	if a.flags&askEnding == 0 {
		return a, true
	}
	a.flags &^= askEnding
	if len(b) < 2 {
		return ask{}, false
	}
	until, n := element.ConsumeVLU(b[1:])
	if a.ending = b[0] &^ a.mask; a.ending != 0 {
		a.until = until
	}
	return a, n != 0 && until <= maxID
}

// appendRefuse writes that the slices of mask are not, or not for much longer,
// pushed, and who else could be asked.
func appendRefuse(b []byte, mask byte, hints []group.PeerID) []byte {
	b = append(b, msgRefuse, mask)
	for i := range hints {
		b = append(b, hints[i][:]...)
	}
	return b
}

// consumeRefuse reads a refusal. hints are whole peer ids, 32 bytes each.
func consumeRefuse(b []byte) (mask byte, hints []byte, ok bool) {
	if len(b) < 2 || b[0] != msgRefuse || (len(b)-2)%32 != 0 || len(b) > 2+32*maxHints {
		return 0, nil, false
	}
	return b[1], b[2:], true
}

// appendFetch writes a request for fragments: bit k of byte j asks for
// first+8j+k.
func appendFetch(b []byte, first uint64, bitmap []byte) []byte {
	b = element.AppendVLU(append(b, msgFetch), first)
	return append(b, bitmap...)
}

func consumeFetch(b []byte) (first uint64, bitmap []byte, ok bool) {
	if len(b) == 0 || b[0] != msgFetch {
		return 0, nil, false
	}
	return consumeIDs(b[1:])
}

// consumePush reads the push mask of old peers (groups-wire.md §5.4).
func consumePush(b []byte) (mask byte, ok bool) {
	if len(b) != 2 || b[0] != msgPush {
		return 0, false
	}
	return b[1], true
}

func appendPull(b []byte, id uint64) []byte {
	return element.AppendVLU(append(b, msgPull), id)
}

// consumePull reads the request of old peers for one fragment (groups-wire.md §5.5).
func consumePull(b []byte) (id uint64, ok bool) {
	if len(b) == 0 || b[0] != msgPull {
		return 0, false
	}
	id, n := element.ConsumeVLU(b[1:])
	return id, n != 0 && id != 0 && id <= maxID
}
