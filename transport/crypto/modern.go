package crypto

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"rtmfp/internal/element"
)

// suiteSet is a set of AEAD suites, as it stands in the keying option.
type suiteSet uint64

// Suites. The other bits are reserved.
const (
	suiteAES128GCM        suiteSet = 1 << 0
	suiteAES256GCM        suiteSet = 1 << 1 // reserved
	suiteChaCha20Poly1305 suiteSet = 1 << 2 // reserved

	suitesKnown = suiteAES128GCM
)

// Strings of the modern key schedule (docs/crypto.md).
const (
	labelTranscript     = "rtmfp modern 1 transcript"
	labelInitiatorKey   = "rtmfp modern 1 initiator key"
	labelInitiatorIV    = "rtmfp modern 1 initiator iv"
	labelInitiatorNonce = "rtmfp modern 1 initiator nonce"
	labelResponderKey   = "rtmfp modern 1 responder key"
	labelResponderIV    = "rtmfp modern 1 responder iv"
	labelResponderNonce = "rtmfp modern 1 responder nonce"
)

func (in *Initiation) initiateModern(seed *Seed) error {
	e, err := ecdh.X25519().NewPrivateKey(seed[:x25519Size])
	if err != nil {
		return fmt.Errorf("crypto: making an ephemeral key: %w", err)
	}
	in.modern = e
	b := element.AppendOptionVLU(nil, keyGroupSelect, uint64(GroupX25519))
	b = appendGroupKey(b, keyEphemeral, GroupX25519, e.PublicKey().Bytes())
	in.component = element.AppendOptionVLU(b, keyAEAD, uint64(suitesKnown))
	return nil
}

func (in *Initiation) completeModern(far component, skrc []byte) (*SessionKeys, error) {
	// Exactly one suite, and one that was offered.
	if far.suites != suiteAES128GCM {
		return nil, fmt.Errorf("%w: AEAD suite %#x", ErrKeying, uint64(far.suites))
	}
	farE, farS, err := modernShares(far, in.far)
	if err != nil {
		return nil, err
	}
	var dh []byte
	for _, pair := range [...]struct {
		private *ecdh.PrivateKey
		public  *ecdh.PublicKey
	}{{in.modern, farE}, {in.identity.x25519, farE}, {in.modern, farS}} {
		if dh, err = appendX25519(dh, pair.private, pair.public); err != nil {
			return nil, err
		}
	}
	s := modernSchedule(dh, in.identity.certificate, in.far, in.component, skrc)
	return s.keys(true), nil
}

func (id *Identity) respondModern(seed *Seed, far *Certificate, c component, skic []byte) (skrc []byte, k *SessionKeys, err error) {
	if c.suites == 0 || !c.hasSelected || c.selected != GroupX25519 {
		return nil, nil, ErrDowngrade
	}
	if c.suites&suitesKnown == 0 {
		return nil, nil, fmt.Errorf("%w: AEAD suites %#x", ErrKeying, uint64(c.suites))
	}
	farE, farS, err := modernShares(c, far)
	if err != nil {
		return nil, nil, err
	}
	e, err := ecdh.X25519().NewPrivateKey(seed[:x25519Size])
	if err != nil {
		return nil, nil, fmt.Errorf("crypto: making an ephemeral key: %w", err)
	}
	skrc = appendGroupKey(nil, keyEphemeral, GroupX25519, e.PublicKey().Bytes())
	skrc = element.AppendOptionVLU(skrc, keyAEAD, uint64(suiteAES128GCM))
	var dh []byte
	for _, pair := range [...]struct {
		private *ecdh.PrivateKey
		public  *ecdh.PublicKey
	}{{e, farE}, {e, farS}, {id.x25519, farE}} {
		if dh, err = appendX25519(dh, pair.private, pair.public); err != nil {
			return nil, nil, err
		}
	}
	s := modernSchedule(dh, far, id.certificate, skic, skrc)
	return skrc, s.keys(false), nil
}

// modernShares returns the ephemeral and the static public key of the far end.
func modernShares(c component, far *Certificate) (ephemeral, static *ecdh.PublicKey, err error) {
	if !c.hasEphemeral || c.ephemeralGroup != GroupX25519 {
		return nil, nil, fmt.Errorf("%w: no X25519 share", ErrKeying)
	}
	if ephemeral, err = ecdh.X25519().NewPublicKey(c.ephemeral); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	key, ok := far.staticKey(GroupX25519)
	if !ok {
		panic("BUG: crypto: a modern certificate without an X25519 key")
	}
	if static, err = ecdh.X25519().NewPublicKey(key); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	return ephemeral, static, nil
}

// appendX25519 appends a shared secret. It fails if that is all zero, which a
// public key of low order forces.
func appendX25519(dh []byte, private *ecdh.PrivateKey, public *ecdh.PublicKey) ([]byte, error) {
	z, err := private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	return append(dh, z...), nil
}

// schedule is everything that both ends derive.
type schedule struct {
	initiatorKey, responderKey     [aes128KeySize]byte
	initiatorIV, responderIV       [aeadNonceSize]byte
	initiatorNonce, responderNonce [32]byte
}

// modernSchedule derives the keys from the three X25519 secrets and from all
// that was said: both whole certificates and both components, so that a change
// of any of it by anybody in between gives the two ends different keys.
func modernSchedule(dh []byte, initiator, responder *Certificate, skic, skrc []byte) (s schedule) {
	transcript := []byte(labelTranscript)
	for _, part := range [...][]byte{initiator.raw, responder.raw, skic, skrc} {
		digest := sha256.Sum256(part)
		transcript = append(transcript, digest[:]...)
	}
	salt := sha256.Sum256(transcript)
	secret, err := hkdf.Extract(sha256.New, dh, salt[:])
	for _, out := range [...]struct {
		label string
		to    []byte
	}{
		{labelInitiatorKey, s.initiatorKey[:]},
		{labelInitiatorIV, s.initiatorIV[:]},
		{labelInitiatorNonce, s.initiatorNonce[:]},
		{labelResponderKey, s.responderKey[:]},
		{labelResponderIV, s.responderIV[:]},
		{labelResponderNonce, s.responderNonce[:]},
	} {
		var key []byte
		if err == nil {
			key, err = hkdf.Expand(sha256.New, secret, out.label, len(out.to))
		}
		copy(out.to, key)
	}
	if err != nil {
		panic("BUG: crypto: HKDF: " + err.Error()) // only a FIPS policy on key sizes can
	}
	return s
}

// keys returns the keys of one end.
func (s *schedule) keys(initiator bool) *SessionKeys {
	i2r := newAEADDirection(s.initiatorKey, s.initiatorIV)
	r2i := newAEADDirection(s.responderKey, s.responderIV)
	if initiator {
		return &SessionKeys{s.initiatorNonce, s.responderNonce, &aeadKeys{send: i2r, receive: r2i}}
	}
	return &SessionKeys{s.responderNonce, s.initiatorNonce, &aeadKeys{send: r2i, receive: i2r}}
}
