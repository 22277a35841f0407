package crypto

import "fmt"

// Protection says how hard the near end insists on a feature of RFC 7425 that
// the two ends negotiate (§4.5.2.4, §4.5.2.5).
type Protection uint8

const (
	// Require asks for the feature, refuses a far end that does not have it,
	// and provides it on request.
	Require Protection = iota
	// Always is Require, and provides the feature whether asked or not.
	Always
	// OnRequest provides the feature if the far end asks, and asks for nothing.
	OnRequest
)

// defaultHMACLength is in bytes.
const defaultHMACLength = 16

// Policy is what a node accepts. The zero Policy is modern cryptography only,
// and where legacy is allowed both HMAC and sequence numbers are required.
type Policy struct {
	// AllowLegacy admits sessions with ends that have only RFC 7425
	// cryptography. Two modern ends use modern cryptography nevertheless.
	AllowLegacy bool
	HMAC        Protection // of legacy packets, instead of a 16-bit checksum
	SSEQ        Protection // sequence numbers in legacy packets, against replay
	HMACLength  int        // of HMACs sent, 4 to 32 bytes; 0 = 16
}

// Validate returns an error if the policy is impossible.
func (p Policy) Validate() error {
	if p.HMACLength != 0 && !validHMACLength(uint64(p.HMACLength)) {
		return fmt.Errorf("crypto: an HMAC of %d bytes; it has 4 to 32", p.HMACLength)
	}
	if p.HMAC > OnRequest || p.SSEQ > OnRequest {
		return fmt.Errorf("crypto: unknown protection %d or %d", p.HMAC, p.SSEQ)
	}
	return nil
}

func validHMACLength(n uint64) bool { return 4 <= n && n <= 32 }

// Flags of the HMAC and sequence number negotiations.
const (
	negotiateRequest   = 1 // "would very much like the receiver to send"
	negotiateOnRequest = 2 // will send on request
	negotiateAlways    = 4 // will send always
)

func (p Protection) flags() uint8 {
	switch p {
	case Always:
		return negotiateAlways | negotiateOnRequest | negotiateRequest
	case OnRequest:
		return negotiateOnRequest
	default:
		return negotiateOnRequest | negotiateRequest
	}
}

// negotiate returns what each end does, given what the near end and the far end
// announced. It fails if the near end requested the feature in vain: "the
// session can fail", and does.
func negotiate(near, far uint8, what string) (send, receive bool, err error) {
	send = provides(near, far)
	receive = provides(far, near)
	if near&negotiateRequest != 0 && !receive {
		return false, false, fmt.Errorf("%w: the far end has no %s", ErrKeying, what)
	}
	return send, receive, nil
}

func provides(sender, receiver uint8) bool {
	return sender&negotiateAlways != 0 ||
		sender&negotiateOnRequest != 0 && receiver&negotiateRequest != 0
}

// answer is what a responder announces: it applies the initiator's flags first,
// and so says "always" where it was asked.
func answer(near, far uint8) uint8 {
	if near&negotiateOnRequest != 0 && far&negotiateRequest != 0 {
		near |= negotiateAlways
	}
	return near
}
