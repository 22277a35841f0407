package crypto

import "rtmfp/internal/element"

// Extensions is a set of what two modern ends may do beyond RFC 7016. The
// initiator offers some in its keying component and the responder takes up those
// that it has; the components are a part of what keys depend on, so nobody
// between them changes the outcome. This package carries the set and does not
// know what it means, but for the names.
type Extensions uint32

// Extensions.
const (
	// ExtensionECN: ECN Reports in the long form (docs/ecn.md).
	ExtensionECN Extensions = 1 << iota
)

// AgreedExtensions returns what both ends of a session have, from its two keying
// components: what the responder took up of what was offered. It is none in
// sessions that are not modern.
func AgreedExtensions(skic, skrc []byte) Extensions {
	i, err := parseComponent(skic)
	if err != nil {
		return 0
	}
	r, err := parseComponent(skrc)
	if err != nil {
		return 0
	}
	return i.extensions & r.extensions
}

// appendExtensions appends a set that is not empty.
func appendExtensions(b []byte, x Extensions) []byte {
	if x == 0 {
		return b
	}
	return element.AppendOptionVLU(b, keyExtensions, uint64(x))
}
