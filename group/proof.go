package group

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
)

// proofFor returns the proof that the sender knows the groupspec:
// HMAC-SHA256(key = canonical text, message = the receiver's near nonce). The
// nonce is secret to the session, so that the proof says nothing elsewhere and
// whoever introduced the two can't make or replay it.
func (s *Spec) proofFor(receiverNonce [32]byte) (proof [32]byte) {
	mac := hmac.New(sha256.New, []byte(s.canonical))
	mac.Write(receiverNonce[:])
	mac.Sum(proof[:0])
	return proof
}

// proves reports whether proof is right for a session whose nonce on this side
// is near.
func (s *Spec) proves(proof, near [32]byte) bool {
	want := s.proofFor(near)
	return subtle.ConstantTimeCompare(want[:], proof[:]) == 1
}
