package crypto

import (
	"fmt"
	"slices"
)

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
	// Never neither provides nor asks for the feature, and so refuses a far end
	// that requires it.
	Never
)

// defaultHMACLength is in bytes.
const defaultHMACLength = 16

// Policy is what a node accepts. The zero Policy is modern cryptography only,
// and where legacy is allowed both HMAC and sequence numbers are required. It
// must not change while handshakes use it.
type Policy struct {
	// AllowLegacy admits sessions with ends that have only RFC 7425
	// cryptography. Two modern ends use modern cryptography nevertheless.
	AllowLegacy bool
	HMAC        Protection // of legacy packets, instead of a 16-bit checksum
	SSEQ        Protection // sequence numbers in legacy packets, against replay
	HMACLength  int        // of HMACs sent, 4 to 32 bytes; 0 = 16

	// AllowEphemeral admits modern ends without a static key, as whom anybody
	// may pose who has seen their certificate. AllowLegacy admits them as well.
	// One that signs needs neither: its signature vouches for its share.
	AllowEphemeral bool
	// Suites are the AEAD suites of modern sessions, the preferred one first.
	// Where the preferences of two ends differ the responder's decides. nil =
	// AES128GCM, AES256GCM, ChaCha20Poly1305.
	Suites []Suite
	// Hybrid adds ML-KEM-768 to modern sessions. An IIKeying that offers it is
	// longer than a packet of 1200 bytes.
	Hybrid Hybrid
	// UpdateAfter is how many packets each end of a modern session seals before
	// the keys are replaced, at most 2^26; 0 = DefaultUpdateAfter. Each update
	// waits for a round trip, so small values are not obeyed to the letter.
	UpdateAfter int

	// Extensions are offered, and taken up where they are offered, in modern
	// sessions.
	Extensions Extensions

	// Simulation replaces all cryptography by something that is fast, small and
	// WORTHLESS: nothing is encrypted, and anybody may pose as anybody. It is for
	// simulations of many nodes in one process, and for measuring what
	// cryptography costs. An end with it and one without refuse each other.
	Simulation bool
}

// Validate returns an error if the policy is impossible.
func (p Policy) Validate() error {
	if p.HMACLength != 0 && !validHMACLength(uint64(p.HMACLength)) {
		return fmt.Errorf("crypto: an HMAC of %d bytes; it has 4 to 32", p.HMACLength)
	}
	if p.HMAC > Never || p.SSEQ > Never {
		return fmt.Errorf("crypto: unknown protection %d or %d", p.HMAC, p.SSEQ)
	}
	for i, s := range p.Suites {
		if !s.known() {
			return fmt.Errorf("crypto: unknown %v", s)
		}
		if slices.Contains(p.Suites[:i], s) {
			return fmt.Errorf("crypto: %v is named twice", s)
		}
	}
	if p.Hybrid > HybridRequire {
		return fmt.Errorf("crypto: unknown hybrid mode %d", p.Hybrid)
	}
	if p.UpdateAfter < 0 || p.UpdateAfter > maxUpdateAfter {
		return fmt.Errorf("crypto: keys for %d packets; they are good for 1 to %d", p.UpdateAfter, maxUpdateAfter)
	}
	return nil
}

func (p *Policy) suites() []Suite {
	if len(p.Suites) == 0 {
		return defaultSuites[:]
	}
	return p.Suites
}

// suiteSet returns what an initiator offers.
func (p *Policy) suiteSet() (set Suite) {
	for _, s := range p.suites() {
		set |= s
	}
	return set
}

// choose returns the suite that a responder takes from an offer, 0 for none.
func (p *Policy) choose(offer Suite) Suite {
	for _, s := range p.suites() {
		if s&offer != 0 {
			return s
		}
	}
	return 0
}

func (p *Policy) updateAfter() uint32 {
	if p.UpdateAfter == 0 {
		return DefaultUpdateAfter
	}
	return uint32(p.UpdateAfter)
}

// admits returns an error if the policy refuses the holder of a modern certificate.
func (p *Policy) admits(far *Certificate) error {
	if p.AllowEphemeral || p.AllowLegacy || far.static() {
		return nil
	}
	if _, ok := far.SigningKey(); ok {
		return nil
	}
	return fmt.Errorf("%w: peer %v", ErrEphemeralRefused, far.PeerID())
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
	case Never:
		return 0
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
