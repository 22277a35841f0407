package crypto

import (
	"crypto/ecdh"
	"fmt"
)

// Seed is the randomness of one handshake at one end. The caller draws it, so
// that Initiate and Respond are pure functions which may run anywhere. Never
// use one twice.
type Seed = [64]byte

// Initiation is the initiator's half of a key agreement, between IIKeying and
// RIKeying. It is immutable.
type Initiation struct {
	identity  *Identity
	far       *Certificate
	component []byte
	modern    *ecdh.PrivateKey // ephemeral; nil: legacy
	legacy    modpKey
}

// Initiate begins the key agreement with the holder of a certificate. It is
// modern exactly if both certificates are. The work is one public-key
// operation, none for a static legacy identity. Errors wrap ErrLegacyRefused or
// ErrNoCommonGroup.
func (id *Identity) Initiate(seed Seed, far *Certificate, p Policy) (*Initiation, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	in := &Initiation{identity: id, far: far}
	var err error
	switch {
	case id.certificate.Modern() && far.Modern():
		err = in.initiateModern(&seed)
	case p.AllowLegacy:
		err = in.initiateLegacy(&seed, p)
	default:
		err = fmt.Errorf("%w: peer %v", ErrLegacyRefused, far.PeerID())
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

// Component returns the session key initiator component (SKIC). Retransmissions
// carry the identical bytes.
func (in *Initiation) Component() []byte { return in.component }

// Complete takes the session key responder component and returns the keys.
// Errors wrap ErrKeying or ErrPublicKey.
func (in *Initiation) Complete(skrc []byte) (*SessionKeys, error) {
	far, err := parseComponent(skrc)
	if err != nil {
		return nil, err
	}
	if in.modern != nil {
		return in.completeModern(far, skrc)
	}
	return in.completeLegacy(far, skrc)
}

// Respond answers the session key initiator component of the holder of a
// certificate, and returns the session key responder component (SKRC) with the
// keys. Errors wrap ErrLegacyRefused, ErrDowngrade, ErrNoCommonGroup,
// ErrKeying or ErrPublicKey.
func (id *Identity) Respond(seed Seed, far *Certificate, skic []byte, p Policy) (skrc []byte, k *SessionKeys, err error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	c, err := parseComponent(skic)
	if err != nil {
		return nil, nil, err
	}
	if id.certificate.Modern() && far.Modern() {
		return id.respondModern(&seed, far, c, skic)
	}
	if !p.AllowLegacy {
		return nil, nil, fmt.Errorf("%w: peer %v", ErrLegacyRefused, far.PeerID())
	}
	return id.respondLegacy(&seed, far, c, skic, p)
}
