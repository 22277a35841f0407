package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"iter"

	"rtmfp/internal/element"
)

// Options of a certificate. Those up to 0x1d are RFC 7425 §4.3.3; the last is
// ours, which "an implementation MUST ignore ... that is not understood".
const (
	certHostname         = 0x00
	certAcceptsAncillary = 0x0a
	certExtraRandomness  = 0x0e
	certEphemeralGroup   = 0x15
	certStaticKey        = 0x1d
	certSigningKey       = 0x2a03 // Ed25519 public key of 32 bytes
)

// MaxCertificate is the size in bytes of the largest certificate that
// ParseCertificate takes, the largest that fits a startup packet of 8192 bytes
// together with what travels beside it.
const MaxCertificate = 6144

// Certificate is an endpoint's public identity (RFC 7425 §4.3).
type Certificate struct {
	raw       []byte
	canonical int // size of the section before the first marker
	peerID    PeerID
	modern    bool
}

// ParseCertificate reads a certificate and keeps a copy of its bytes. It wraps
// ErrCertificate if b is malformed, has neither static keys nor ephemeral
// groups, or has both (RFC 7425 §4.3.3.4, §4.3.3.5).
func ParseCertificate(b []byte) (*Certificate, error) {
	if len(b) > MaxCertificate {
		return nil, fmt.Errorf("%w: %d bytes", ErrCertificate, len(b))
	}
	c := &Certificate{raw: bytes.Clone(b), canonical: len(b)}
	static, ephemeral, hostnames, signers := 0, 0, 0, 0
	marker := false
	for at := 0; at < len(b); {
		o, n := element.ConsumeOption(b[at:])
		if n == 0 {
			return nil, fmt.Errorf("%w: truncated at byte %d", ErrCertificate, at)
		}
		if o.Marker && !marker {
			marker, c.canonical = true, at
		}
		at += n
		// "This option MUST be ignored if it is not in the canonical section."
		if marker {
			continue
		}
		switch o.Type {
		case certHostname:
			hostnames++
		case certEphemeralGroup:
			ephemeral++
			if group, m := element.ConsumeVLU(o.Value); m != 0 && DHGroup(group) == GroupX25519 {
				c.modern = true
			}
		case certSigningKey:
			signers++
			if len(o.Value) != ed25519.PublicKeySize {
				return nil, fmt.Errorf("%w: Ed25519 key", ErrCertificate)
			}
		case certStaticKey:
			static++
			group, m := element.ConsumeVLU(o.Value)
			if m == 0 {
				return nil, fmt.Errorf("%w: static key without a group", ErrCertificate)
			}
			if DHGroup(group) == GroupX25519 {
				if c.modern || len(o.Value)-m != x25519Size {
					return nil, fmt.Errorf("%w: X25519 key", ErrCertificate)
				}
				c.modern = true
			}
		}
	}
	switch {
	case static == 0 && ephemeral == 0:
		return nil, fmt.Errorf("%w: no key", ErrCertificate)
	case static > 0 && ephemeral > 0:
		return nil, fmt.Errorf("%w: both static and ephemeral", ErrCertificate)
	case hostnames > 1:
		return nil, fmt.Errorf("%w: two hostnames", ErrCertificate)
	case signers > 1:
		return nil, fmt.Errorf("%w: two Ed25519 keys", ErrCertificate)
	}
	c.peerID = sha256.Sum256(c.raw[:c.canonical])
	return c, nil
}

// Bytes returns the certificate as it was received. The caller must not change it.
func (c *Certificate) Bytes() []byte { return c.raw }

// Canonical returns the section that the peer id is the hash of. The caller must
// not change it.
func (c *Certificate) Canonical() []byte { return c.raw[:c.canonical] }

// PeerID returns the certificate's fingerprint.
func (c *Certificate) PeerID() PeerID { return c.peerID }

// Modern reports whether its holder speaks the modern profile.
func (c *Certificate) Modern() bool { return c.modern }

// Equal reports whether the certificates are identical byte for byte, which is
// what lets a new session override another (RFC 7425 §4.3.7).
func (c *Certificate) Equal(d *Certificate) bool { return bytes.Equal(c.raw, d.raw) }

// Prevails reports whether the near end, holder of c, stays the initiator when
// both ends open a session at once: "if its certificate is ordered before, or is
// identical to, the certificate of the far end" (RFC 7425 §4.3.6).
func (c *Certificate) Prevails(far *Certificate) bool { return bytes.Compare(c.raw, far.raw) <= 0 }

// SelectedBy reports whether the endpoint discriminator selects the certificate
// (RFC 7425 §4.4.3). An initiator also asks this of the certificate in an RHello.
func (c *Certificate) SelectedBy(epd []byte) bool {
	e, ok := ParseEPD(epd)
	if !ok {
		return false
	}
	// "A Fingerprint EPD option selects or rejects a certificate no matter what
	// other options are present."
	if e.HasFingerprint {
		return e.Fingerprint == c.peerID
	}
	if e.HasHostname {
		hostname, ok := c.option(certHostname)
		if !ok || !bytes.Equal(hostname, e.Hostname) {
			return false
		}
	}
	if e.HasAncillary {
		_, ok := c.option(certAcceptsAncillary)
		return ok
	}
	return e.HasHostname
}

// option returns the first canonical option of the given type.
func (c *Certificate) option(typ uint64) (value []byte, ok bool) {
	for o := range options(c.raw[:c.canonical]) {
		if o.Type == typ {
			return o.Value, true
		}
	}
	return nil, false
}

// staticKey returns the static public key of a group.
func (c *Certificate) staticKey(g DHGroup) (key []byte, ok bool) {
	return c.group(certStaticKey, g)
}

// supports reports whether the certificate offers the group, static or ephemeral.
func (c *Certificate) supports(g DHGroup) bool {
	if _, ok := c.group(certStaticKey, g); ok {
		return true
	}
	_, ok := c.group(certEphemeralGroup, g)
	return ok
}

func (c *Certificate) group(typ uint64, g DHGroup) (rest []byte, ok bool) {
	for o := range options(c.raw[:c.canonical]) {
		if o.Type != typ {
			continue
		}
		if id, n := element.ConsumeVLU(o.Value); n != 0 && DHGroup(id) == g {
			return o.Value[n:], true
		}
	}
	return nil, false
}

// static reports whether the certificate holds static keys.
func (c *Certificate) static() bool {
	_, ok := c.option(certStaticKey)
	return ok
}

// options walks an option list, leaving out markers, up to its end or the first
// malformed option.
func options(list []byte) iter.Seq[element.Option] {
	return func(yield func(element.Option) bool) {
		for len(list) > 0 {
			o, n := element.ConsumeOption(list)
			if n == 0 || !o.Marker && !yield(o) {
				return
			}
			list = list[n:]
		}
	}
}
