package crypto

import (
	"crypto/mlkem"
	"fmt"

	"rtmfp/internal/element"
)

// componentSize is more than a modern keying component takes without ML-KEM, in
// bytes.
const componentSize = 64

// modernInitiation is what an initiator remembers of its offer.
type modernInitiation struct {
	ephemeral *x25519Key
	kem       *mlkem.DecapsulationKey768 // nil: not offered
	suites    Suite                      // set
	policy    Policy
}

func (in *Initiation) initiateModern(seed *Seed, p Policy) error {
	if err := p.admits(in.far); err != nil {
		return err
	}
	e := newX25519(seed[:x25519Size])
	m := &modernInitiation{ephemeral: e, suites: p.suiteSet(), policy: p}
	b := element.AppendOptionVLU(nil, keyGroupSelect, uint64(GroupX25519))
	b = appendGroupKey(b, keyEphemeral, GroupX25519, e.public[:])
	b = element.AppendOptionVLU(b, keyAEAD, uint64(m.suites))
	if p.Hybrid != HybridOff {
		var err error
		if m.kem, err = newKEM(seed); err != nil {
			return err
		}
		b = element.AppendOption(b, keyKEM, m.kem.EncapsulationKey().Bytes())
	}
	b = appendExtensions(b, p.Extensions)
	in.modern, in.component = m, b
	return nil
}

func (in *Initiation) completeModern(far component, skrc []byte) (*SessionKeys, error) {
	m := in.modern
	// Exactly one suite, and one that was offered.
	if !far.suites.known() || far.suites&m.suites == 0 {
		return nil, fmt.Errorf("%w: %v", ErrKeying, far.suites)
	}
	secrets, err := in.identity.agree(true, m.ephemeral, in.far, far)
	if err != nil {
		return nil, err
	}
	switch {
	case far.kem != nil && m.kem == nil:
		return nil, fmt.Errorf("%w: ML-KEM without an offer", ErrKeying)
	case far.kem != nil:
		secret, err := m.kem.Decapsulate(far.kem)
		if err != nil {
			return nil, fmt.Errorf("%w: ML-KEM: %w", ErrKeying, err)
		}
		secrets = append(secrets, secret...)
	case m.policy.Hybrid == HybridRequire:
		return nil, fmt.Errorf("%w: no ML-KEM", ErrKeying)
	}
	s := modernSchedule(secrets, transcriptOf(in.identity.certificate, in.far, in.component, skrc))
	return s.keys(true, far.suites, far.kem != nil, &m.policy), nil
}

func (id *Identity) respondModern(seed *Seed, far *Certificate, c component, skic []byte, p Policy) (skrc []byte, k *SessionKeys, err error) {
	if err := p.admits(far); err != nil {
		return nil, nil, err
	}
	if c.suites == 0 || !c.hasSelected || c.selected != GroupX25519 {
		return nil, nil, ErrDowngrade
	}
	suite := p.choose(c.suites)
	if suite == 0 {
		return nil, nil, fmt.Errorf("%w: %v", ErrKeying, c.suites)
	}
	if p.Hybrid == HybridRequire && c.kem == nil {
		return nil, nil, fmt.Errorf("%w: no ML-KEM", ErrKeying)
	}
	e := newX25519(seed[:x25519Size])
	secrets, err := id.agree(false, e, far, c)
	if err != nil {
		return nil, nil, err
	}
	skrc = appendGroupKey(make([]byte, 0, componentSize), keyEphemeral, GroupX25519, e.public[:])
	skrc = element.AppendOptionVLU(skrc, keyAEAD, uint64(suite))
	hybrid := c.kem != nil && p.Hybrid != HybridOff
	if hybrid {
		secret, ciphertext, err := encapsulate(c.kem, seed)
		if err != nil {
			return nil, nil, err
		}
		secrets = append(secrets, secret...)
		skrc = element.AppendOption(skrc, keyKEM, ciphertext)
	}
	skrc = appendExtensions(skrc, c.extensions&p.Extensions)
	s := modernSchedule(secrets, transcriptOf(far, id.certificate, skic, skrc))
	return skrc, s.keys(false, suite, hybrid, &p), nil
}

// agree returns the X25519 secrets one after another: of both ephemeral keys, of
// the initiator's static and the responder's ephemeral key, and of the
// initiator's ephemeral and the responder's static key. An end without a static
// key leaves its one out.
func (id *Identity) agree(initiator bool, e *x25519Key, cert *Certificate, c component) (secrets []byte, err error) {
	if !c.hasEphemeral || c.ephemeralGroup != GroupX25519 {
		return nil, fmt.Errorf("%w: no X25519 share", ErrKeying)
	}
	if _, static := id.certificate.staticKey(GroupX25519); static && id.x25519 == nil {
		return nil, fmt.Errorf("%w: a simulated identity has no key", ErrSimulation)
	}
	farS, hasS := cert.staticKey(GroupX25519)
	secrets = make([]byte, 0, 4*x25519Size)
	for _, p := range [...]struct {
		key *x25519Key
		far []byte
		use bool
	}{
		{e, c.ephemeral, true},
		{id.x25519, c.ephemeral, initiator && id.x25519 != nil},
		{e, farS, hasS},
		{id.x25519, c.ephemeral, !initiator && id.x25519 != nil},
	} {
		if !p.use {
			continue
		}
		if secrets, err = p.key.agree(secrets, p.far); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}
