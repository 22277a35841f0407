package crypto

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"

	"rtmfp/internal/element"
)

// The text form of an identity is one PEM block whose body is an option list.
const (
	pemType = "RTMFP IDENTITY"

	fileCertificate = 0x00
	fileX25519      = 0x01 // 32 bytes
	fileExponent    = 0x02 // VLU group, big-endian exponent; one for each static MODP key
	fileEd25519     = 0x03 // seed of 32 bytes
)

// MarshalText returns the identity with its private keys, for a file that only
// its owner may read.
func (id *Identity) MarshalText() ([]byte, error) {
	b := element.AppendOption(nil, fileCertificate, id.Certificate())
	if id.x25519 != nil {
		b = element.AppendOption(b, fileX25519, id.x25519.secret[:])
	}
	for _, k := range id.legacy {
		if k.x != nil {
			b = appendGroupKey(b, fileExponent, k.group.id, k.x.FillBytes(make([]byte, k.group.exponentSize)))
		}
	}
	if id.signing != nil {
		b = element.AppendOption(b, fileEd25519, id.signing.Seed())
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: b}), nil
}

// UnmarshalText reads what MarshalText wrote, and checks that the private keys
// are those of the certificate. Errors wrap ErrIdentity.
func (id *Identity) UnmarshalText(text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return fmt.Errorf("%w: no PEM block of type %q", ErrIdentity, pemType)
	}
	var read Identity
	exponents := map[DHGroup][]byte{}
	for at := 0; at < len(block.Bytes); {
		o, n := element.ConsumeOption(block.Bytes[at:])
		if n == 0 {
			return fmt.Errorf("%w: truncated", ErrIdentity)
		}
		at += n
		var err error
		switch o.Type {
		case fileCertificate:
			read.certificate, err = ParseCertificate(o.Value)
		case fileX25519:
			if len(o.Value) != x25519Size {
				return fmt.Errorf("%w: X25519 key", ErrIdentity)
			}
			read.x25519 = newX25519(o.Value)
		case fileExponent:
			g, m := element.ConsumeVLU(o.Value)
			group, known := modpGroup(DHGroup(g))
			if m == 0 || !known || len(o.Value)-m != group.exponentSize {
				return fmt.Errorf("%w: exponent", ErrIdentity)
			}
			exponents[group.id] = o.Value[m:]
		case fileEd25519:
			if len(o.Value) != ed25519.SeedSize {
				return fmt.Errorf("%w: Ed25519 key", ErrIdentity)
			}
			read.signing = ed25519.NewKeyFromSeed(o.Value)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIdentity, err)
		}
	}
	if read.certificate == nil {
		return fmt.Errorf("%w: no certificate", ErrIdentity)
	}
	if err := read.attach(exponents); err != nil {
		return err
	}
	*id = read
	return nil
}

// attach matches private keys with the certificate, whose order is the order of
// preference.
func (id *Identity) attach(exponents map[DHGroup][]byte) error {
	if key, ok := id.certificate.SigningKey(); ok != (id.signing != nil) || ok && !key.Equal(id.signing.Public()) {
		return fmt.Errorf("%w: the Ed25519 key is not the certificate's", ErrIdentity)
	}
	if _, ok := id.certificate.staticKey(GroupX25519); ok != (id.x25519 != nil) {
		return fmt.Errorf("%w: X25519 key and certificate don't match", ErrIdentity)
	}
	for o := range options(id.certificate.raw[:id.certificate.canonical]) {
		if o.Type != certStaticKey && o.Type != certEphemeralGroup {
			continue
		}
		n, m := element.ConsumeVLU(o.Value)
		g, public := DHGroup(n), o.Value[m:]
		if g == GroupX25519 {
			if id.x25519 != nil && !bytes.Equal(id.x25519.public[:], public) {
				return fmt.Errorf("%w: the X25519 key is not the certificate's", ErrIdentity)
			}
			continue
		}
		group, ok := modpGroup(g)
		if !ok {
			return fmt.Errorf("%w: unknown Diffie-Hellman group %d", ErrIdentity, g)
		}
		key := modpKey{group: group}
		if o.Type == certStaticKey {
			var err error
			if len(exponents[g]) == 0 {
				return fmt.Errorf("%w: no private key of group %d", ErrIdentity, g)
			}
			if key, err = group.newKey(exponents[g]); err != nil {
				return fmt.Errorf("%w: %w", ErrIdentity, err)
			}
			if !bytes.Equal(key.public, public) {
				return fmt.Errorf("%w: the key of group %d is not the certificate's", ErrIdentity, g)
			}
		}
		id.legacy = append(id.legacy, key)
	}
	return nil
}
