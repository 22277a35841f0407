package crypto

import (
	"bytes"
	"fmt"
	"slices"
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
	modern    *modernInitiation // nil: legacy or simulated
	legacy    modpKey
	simulated bool
}

// Initiate begins the key agreement with the holder of a certificate. It is
// modern exactly if both certificates are. The work is one public-key
// operation, none for a static legacy identity. Errors wrap ErrLegacyRefused,
// ErrEphemeralRefused or ErrNoCommonGroup.
func (id *Identity) Initiate(seed Seed, far *Certificate, p Policy) (*Initiation, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	in := &Initiation{identity: id, far: far}
	var err error
	switch {
	case p.Simulation:
		in.initiateSimulated(&seed, p)
	case id.certificate.Modern() && far.Modern():
		err = in.initiateModern(&seed, p)
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

// Sign returns the signature field of the IIKeying that carries the component;
// nil if there is none. signed are the signed parameters, from
// the session id to the SKIC (wire.IIKeying.AppendSigned): since they hold the
// cookie, a changed cookie needs a new signature.
func (in *Initiation) Sign(signed []byte) []byte {
	if in.simulated {
		return nil
	}
	return in.identity.sign(labelSignInitiator, in.identity.certificate, in.far, signed)
}

// Complete is CompleteSigned for an RIKeying whose signature field is not at
// hand; it refuses far ends that have a signing key.
func (in *Initiation) Complete(skrc []byte) (*SessionKeys, error) {
	return in.CompleteSigned(skrc, nil, nil)
}

// CompleteSigned takes the session key responder component (SKRC) of an RIKeying
// with its signed parameters (wire.RIKeying.Signed) and its signature field,
// and returns the keys. Errors wrap ErrSignature, ErrKeying, ErrPublicKey or
// ErrSimulation.
func (in *Initiation) CompleteSigned(skrc, signed, signature []byte) (*SessionKeys, error) {
	far, err := parseComponent(skrc)
	if err != nil {
		return nil, err
	}
	if in.simulated {
		return in.completeSimulated(far, skrc)
	}
	answered := append(bytes.Clone(skrc), in.component...)
	signed = append(slices.Clip(signed), in.component...)
	if err := in.far.verify(labelSignResponder, in.identity.certificate, in.far, answered, signed, signature); err != nil {
		return nil, err
	}
	if in.modern != nil {
		return in.completeModern(far, skrc)
	}
	return in.completeLegacy(far, skrc)
}

// Respond is RespondSigned for an IIKeying whose signature field is not at hand;
// it refuses far ends that have a signing key.
func (id *Identity) Respond(seed Seed, far *Certificate, skic []byte, p Policy) (skrc []byte, k *SessionKeys, err error) {
	return id.RespondSigned(seed, far, skic, nil, nil, p)
}

// RespondSigned answers the session key initiator component (SKIC) of an
// IIKeying from the holder of a certificate, given with its signed parameters
// (wire.IIKeying.Signed) and its signature field. It returns the session key
// responder component (SKRC) with the keys. Errors wrap ErrSignature,
// ErrLegacyRefused, ErrEphemeralRefused, ErrDowngrade, ErrNoCommonGroup,
// ErrKeying, ErrPublicKey or ErrSimulation.
func (id *Identity) RespondSigned(seed Seed, far *Certificate, skic, signed, signature []byte, p Policy) (skrc []byte, k *SessionKeys, err error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	c, err := parseComponent(skic)
	if err != nil {
		return nil, nil, err
	}
	if p.Simulation != c.simulation {
		return nil, nil, fmt.Errorf("%w: peer %v", ErrSimulation, far.PeerID())
	}
	if p.Simulation {
		return id.respondSimulated(&seed, far, c, skic, p)
	}
	if err := far.verify(labelSignInitiator, far, id.certificate, skic, signed, signature); err != nil {
		return nil, nil, err
	}
	if id.certificate.Modern() && far.Modern() {
		return id.respondModern(&seed, far, c, skic, p)
	}
	if !p.AllowLegacy {
		return nil, nil, fmt.Errorf("%w: peer %v", ErrLegacyRefused, far.PeerID())
	}
	return id.respondLegacy(&seed, far, c, skic, p)
}

// SignRIKeying returns the signature field of the RIKeying that answers the
// holder of a certificate; nil if the identity has no signing key. signed are
// the signed parameters, from the session id to the SKRC, followed by the SKIC
// (wire.RIKeying.AppendSigned).
func (id *Identity) SignRIKeying(far *Certificate, signed []byte) []byte {
	return id.sign(labelSignResponder, far, id.certificate, signed)
}
