package crypto

import (
	"crypto/ed25519"
	"fmt"
	"io"

	"rtmfp/internal/element"
)

// IdentityOptions say what a new identity is. The zero options make a modern
// one with a static X25519 key that accepts ancillary data.
type IdentityOptions struct {
	// Modern puts X25519 into the certificate. An identity without legacy
	// groups is modern in any case.
	Modern bool
	// Groups are the MODP groups for RFC 7425 peers, the preferred one first:
	// Group16, Group14, Group5, Group2.
	Groups []DHGroup
	// Ephemeral leaves out static keys: a certificate has either static keys or
	// none at all (RFC 7425 §4.3.3.4). Whoever has seen the certificate can pose
	// as such an identity, unless it signs; modern far ends refuse it unless
	// their Policy says otherwise.
	Ephemeral bool
	// Sign adds an Ed25519 key that signs the keying of every session.
	Sign bool
	// Hostname is put into the certificate if it is not empty.
	Hostname string
	// RefuseAncillary leaves out the option that lets a discriminator with a
	// URL select the identity.
	RefuseAncillary bool
}

// extraRandomness is the size in bytes of the random part of an ephemeral
// certificate and of the salt in legacy keying components.
const extraRandomness = 64

// Identity is an endpoint's own certificate with its private keys.
type Identity struct {
	certificate *Certificate
	x25519      *x25519Key         // nil: not modern, or ephemeral
	signing     ed25519.PrivateKey // nil: does not sign
	legacy      []modpKey          // in order of preference
}

// NewIdentity makes an identity from the randomness of rand.
func NewIdentity(rand io.Reader, o IdentityOptions) (*Identity, error) {
	id := &Identity{}
	var cert []byte
	if o.Hostname != "" {
		cert = element.AppendOption(cert, certHostname, []byte(o.Hostname))
	}
	if !o.RefuseAncillary {
		cert = element.AppendOption(cert, certAcceptsAncillary, nil)
	}
	var err error
	if o.Modern || len(o.Groups) == 0 {
		if cert, err = id.addX25519(cert, rand, o.Ephemeral); err != nil {
			return nil, err
		}
	}
	for _, g := range o.Groups {
		if cert, err = id.addLegacy(cert, rand, g, o.Ephemeral); err != nil {
			return nil, err
		}
	}
	if o.Sign {
		seed, err := draw(rand, ed25519.SeedSize)
		if err != nil {
			return nil, err
		}
		id.signing = ed25519.NewKeyFromSeed(seed)
		cert = element.AppendOption(cert, certSigningKey, id.signing.Public().(ed25519.PublicKey))
	}
	if o.Ephemeral { // what makes its fingerprint its own (RFC 7425 §4.3.3.3)
		salt, err := draw(rand, extraRandomness)
		if err != nil {
			return nil, err
		}
		cert = element.AppendOption(cert, certExtraRandomness, salt)
	}
	id.certificate, err = ParseCertificate(cert)
	return id, err
}

// NewSimulatedIdentity makes an identity whose key is nobody's, without the
// public-key work: for Policy.Simulation, which has no use for keys, and nothing
// else. Others refuse it when they come to need one.
func NewSimulatedIdentity(rand io.Reader) (*Identity, error) {
	public, err := draw(rand, x25519Size)
	if err != nil {
		return nil, err
	}
	cert := element.AppendOption(make([]byte, 0, simulatedCertificate), certAcceptsAncillary, nil)
	cert = appendGroupKey(cert, certStaticKey, GroupX25519, public)
	c, err := ParseCertificate(cert)
	return &Identity{certificate: c}, err
}

const simulatedCertificate = 2 + 3 + x25519Size // its size in bytes

func draw(rand io.Reader, size int) ([]byte, error) {
	b := make([]byte, size)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, fmt.Errorf("crypto: reading randomness: %w", err)
	}
	return b, nil
}

func (id *Identity) addX25519(cert []byte, rand io.Reader, ephemeral bool) ([]byte, error) {
	if ephemeral {
		return element.AppendOptionVLU(cert, certEphemeralGroup, uint64(GroupX25519)), nil
	}
	secret, err := draw(rand, x25519Size)
	if err != nil {
		return nil, err
	}
	id.x25519 = newX25519(secret)
	return appendGroupKey(cert, certStaticKey, GroupX25519, id.x25519.public[:]), nil
}

func (id *Identity) addLegacy(cert []byte, rand io.Reader, g DHGroup, ephemeral bool) ([]byte, error) {
	group, ok := modpGroup(g)
	if !ok {
		return nil, fmt.Errorf("crypto: Diffie-Hellman group %d is not a legacy group that is known here", g)
	}
	if _, dup := id.legacyKey(g); dup {
		return nil, fmt.Errorf("crypto: Diffie-Hellman group %d is named twice", g)
	}
	if ephemeral {
		id.legacy = append(id.legacy, modpKey{group: group})
		return element.AppendOptionVLU(cert, certEphemeralGroup, uint64(g)), nil
	}
	secret, err := draw(rand, group.exponentSize)
	if err != nil {
		return nil, err
	}
	key, err := group.newKey(secret)
	if err != nil {
		return nil, err
	}
	id.legacy = append(id.legacy, key)
	return appendGroupKey(cert, certStaticKey, g, key.public), nil
}

// Certificate returns the bytes of the certificate, which the caller must not change.
func (id *Identity) Certificate() []byte { return id.certificate.Bytes() }

// Parsed returns the certificate as far ends see it.
func (id *Identity) Parsed() *Certificate { return id.certificate }

// PeerID returns the fingerprint of the certificate.
func (id *Identity) PeerID() PeerID { return id.certificate.PeerID() }

// Selects reports whether an endpoint discriminator selects this identity
// (RFC 7425 §4.4.3).
func (id *Identity) Selects(epd []byte) bool { return id.certificate.SelectedBy(epd) }

// legacyKey returns the key of a MODP group.
func (id *Identity) legacyKey(g DHGroup) (modpKey, bool) {
	for _, k := range id.legacy {
		if k.group.id == g {
			return k, true
		}
	}
	return modpKey{}, false
}
