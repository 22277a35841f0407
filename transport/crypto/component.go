package crypto

import (
	"fmt"
	"math"

	"rtmfp/internal/element"
)

// Options of a session keying component. Those up to 0x1e are RFC 7425 §4.5.2;
// the others are ours, of numbers that older peers don't know and so ignore.
const (
	keyEphemeral   = 0x0d
	keyRandomness  = 0x0e
	keyHMAC        = 0x1a
	keyGroupSelect = 0x1d
	keySSEQ        = 0x1e
	keySimulation  = 0x2a00 // randomness; Policy.Simulation only
	keyAEAD        = 0x2a01 // VLU set of suites: offered in the SKIC, the one chosen in the SKRC
	keyExtensions  = 0x2a04 // VLU set of Extensions: offered in the SKIC, taken up in the SKRC
	keyKEM         = 0x2a02 // ML-KEM-768: encapsulation key in the SKIC, ciphertext in the SKRC
)

// component is a session keying component taken apart.
type component struct {
	ephemeral      []byte // public key
	ephemeralGroup DHGroup
	selected       DHGroup
	suites         Suite // set
	extensions     Extensions
	kem            []byte // nil: none
	hmacLength     uint64
	hmac, sseq     uint8 // negotiation flags
	hasEphemeral   bool
	hasSelected    bool
	hasExtensions  bool
	simulation     bool
}

// parseComponent reads a keying component; unknown options are ignored
// (RFC 7425 §4.5.2).
func parseComponent(b []byte) (c component, err error) {
	for at := 0; at < len(b); {
		o, n := element.ConsumeOption(b[at:])
		if n == 0 {
			return component{}, fmt.Errorf("%w: truncated at byte %d", ErrKeying, at)
		}
		at += n
		if o.Marker {
			continue
		}
		bad := false
		switch o.Type {
		case keyEphemeral:
			group, m := element.ConsumeVLU(o.Value)
			bad = m == 0 || c.hasEphemeral // "MUST NOT be sent more than once"
			c.ephemeralGroup, c.ephemeral, c.hasEphemeral = DHGroup(group), o.Value[m:], true
		case keyGroupSelect:
			group, m := element.ConsumeVLU(o.Value)
			bad = m == 0 || c.hasSelected // "MUST NOT be sent more than once"
			c.selected, c.hasSelected = DHGroup(group), true
		case keyHMAC:
			if bad = len(o.Value) == 0; !bad {
				var m int
				c.hmac = o.Value[0]
				c.hmacLength, m = element.ConsumeVLU(o.Value[1:])
				bad = m == 0
			}
		case keySSEQ:
			if bad = len(o.Value) == 0; !bad {
				c.sseq = o.Value[0]
			}
		case keyAEAD:
			set, m := element.ConsumeVLU(o.Value)
			bad = m == 0 || c.suites != 0 || set > math.MaxUint32
			c.suites = Suite(set)
		case keyKEM:
			bad = len(o.Value) == 0 || c.kem != nil
			c.kem = o.Value
		case keyExtensions:
			set, m := element.ConsumeVLU(o.Value)
			bad = m == 0 || c.hasExtensions
			c.extensions, c.hasExtensions = Extensions(set), true
		case keySimulation:
			c.simulation = true
		}
		if bad {
			return component{}, fmt.Errorf("%w: option %#x", ErrKeying, o.Type)
		}
	}
	return c, nil
}

// appendGroupKey appends an option of a group number and a public key.
func appendGroupKey(b []byte, typ uint64, g DHGroup, key []byte) []byte {
	b = element.AppendVLU(b, uint64(element.SizeVLU(typ)+element.SizeVLU(uint64(g))+len(key)))
	b = element.AppendVLU(b, typ)
	b = element.AppendVLU(b, uint64(g))
	return append(b, key...)
}
