package crypto

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"

	"rtmfp/internal/element"
)

// IdentityOptions say what a new identity is. The zero options make a modern
// one with a static X25519 key that accepts ancillary data.
type IdentityOptions struct {
	// Modern gives the identity a static X25519 key. An identity without
	// legacy groups is modern in any case.
	Modern bool
	// Groups are the MODP groups for RFC 7425 peers, the preferred one first:
	// Group14, Group2.
	Groups []DHGroup
	// Ephemeral makes keys of the MODP groups per session instead of keeping
	// static ones. Since a certificate has either kind (RFC 7425 §4.3.3.4),
	// such an identity can't be modern.
	Ephemeral bool
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
	x25519      *ecdh.PrivateKey // nil: not modern
	legacy      []modpKey        // in order of preference
}

// NewIdentity makes an identity from the randomness of rand.
func NewIdentity(rand io.Reader, o IdentityOptions) (*Identity, error) {
	modern := o.Modern || len(o.Groups) == 0
	if o.Ephemeral && modern {
		return nil, errors.New("crypto: an ephemeral identity needs legacy groups and can't be modern")
	}
	id := &Identity{}
	var cert []byte
	if o.Hostname != "" {
		cert = element.AppendOption(cert, certHostname, []byte(o.Hostname))
	}
	if !o.RefuseAncillary {
		cert = element.AppendOption(cert, certAcceptsAncillary, nil)
	}
	var secret [64]byte
	if modern {
		if _, err := io.ReadFull(rand, secret[:x25519Size]); err != nil {
			return nil, fmt.Errorf("crypto: reading randomness: %w", err)
		}
		key, err := ecdh.X25519().NewPrivateKey(secret[:x25519Size])
		if err != nil {
			return nil, fmt.Errorf("crypto: making an X25519 key: %w", err)
		}
		id.x25519 = key
		cert = appendGroupKey(cert, certStaticKey, GroupX25519, key.PublicKey().Bytes())
	}
	for _, g := range o.Groups {
		group, ok := modpGroup(g)
		if !ok {
			return nil, fmt.Errorf("crypto: Diffie-Hellman group %d is not a legacy group that is known here", g)
		}
		if _, dup := id.legacyKey(g); dup {
			return nil, fmt.Errorf("crypto: Diffie-Hellman group %d is named twice", g)
		}
		if o.Ephemeral {
			id.legacy = append(id.legacy, modpKey{group: group})
			cert = element.AppendOptionVLU(cert, certEphemeralGroup, uint64(g))
			continue
		}
		if _, err := io.ReadFull(rand, secret[:exponentSize]); err != nil {
			return nil, fmt.Errorf("crypto: reading randomness: %w", err)
		}
		key, err := group.newKey(secret[:])
		if err != nil {
			return nil, err
		}
		id.legacy = append(id.legacy, key)
		cert = appendGroupKey(cert, certStaticKey, g, key.public)
	}
	if o.Ephemeral {
		if _, err := io.ReadFull(rand, secret[:extraRandomness]); err != nil {
			return nil, fmt.Errorf("crypto: reading randomness: %w", err)
		}
		cert = element.AppendOption(cert, certExtraRandomness, secret[:extraRandomness])
	}
	var err error
	id.certificate, err = ParseCertificate(cert)
	return id, err
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
