package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"

	"rtmfp/internal/element"
)

// The signature field of IIKeying and RIKeying is an option list (RFC 7425
// §4.3.5). An end whose certificate holds an Ed25519 key fills it, and is not
// believed without.

// sigEd25519 is ours; "a verifier SHOULD ignore option types that are not
// understood" (RFC 7425 §4.3.5.1), so older peers do.
const sigEd25519 = 0x2a03 // 64 bytes

// Strings that the signed messages begin with (docs/crypto.md).
const (
	labelSignInitiator = "rtmfp modern 1 initiator signature"
	labelSignResponder = "rtmfp modern 1 responder signature"
)

// Signs reports whether the identity has a signing key.
func (id *Identity) Signs() bool { return id.signing != nil }

// SignMessage signs a message of another protocol, nil if the identity has no
// key. Each kind of message begins with a label of its own; those here begin
// with "rtmfp modern".
func (id *Identity) SignMessage(message []byte) []byte {
	if id.signing == nil {
		return nil
	}
	return ed25519.Sign(id.signing, message)
}

// VerifyMessage reports whether the holder of the certificate signed the
// message with SignMessage.
func (c *Certificate) VerifyMessage(message, signature []byte) bool {
	key, ok := c.SigningKey()
	return ok && len(signature) == ed25519.SignatureSize && ed25519.Verify(key, message, signature)
}

func (id *Identity) sign(label string, initiator, responder *Certificate, signed []byte) []byte {
	if id.signing == nil {
		return nil
	}
	return element.AppendOption(nil, sigEd25519, ed25519.Sign(id.signing, signedMessage(label, initiator, responder, signed)))
}

// verify checks the signature field of a message from the certificate's holder
// whose signed parameters end with the given component.
// One without a signing key needs no signature: "it SHALL consider any signature
// field ... to be valid" (RFC 7425 §4.3.5).
func (c *Certificate) verify(label string, initiator, responder *Certificate, component, signed, signature []byte) error {
	key, ok := c.option(certSigningKey)
	if !ok {
		return nil
	}
	value, ok := signatureOption(signature)
	if !ok || !bytes.HasSuffix(signed, component) {
		return fmt.Errorf("%w: none from peer %v", ErrSignature, c.peerID)
	}
	if !ed25519.Verify(key, signedMessage(label, initiator, responder, signed), value) {
		return fmt.Errorf("%w: of peer %v", ErrSignature, c.peerID)
	}
	return nil
}

// signatureOption finds the first Ed25519 signature in a signature field. "A
// verifier MUST interpret a malformed signature field or a signature field
// consisting only of a UTF-8 capital "X" as though it was empty" (RFC 7425
// §4.3.5); the X is a truncated option.
func signatureOption(field []byte) (value []byte, ok bool) {
	for len(field) > 0 {
		o, n := element.ConsumeOption(field)
		if n == 0 {
			return nil, false
		}
		if o.Type == sigEd25519 && !o.Marker && !ok {
			value, ok = o.Value, true
		}
		field = field[n:]
	}
	return value, ok
}

// signedMessage names what is signed and between whom, since an RIKeying names
// neither end.
func signedMessage(label string, initiator, responder *Certificate, signed []byte) []byte {
	b := make([]byte, 0, len(label)+2*sha256.Size+len(signed))
	b = append(b, label...)
	for _, c := range [...]*Certificate{initiator, responder} {
		digest := sha256.Sum256(c.raw)
		b = append(b, digest[:]...)
	}
	return append(b, signed...)
}

// SigningKey returns the Ed25519 public key that the certificate binds to the
// peer id, if it has one. The caller must not change it.
func (c *Certificate) SigningKey() (ed25519.PublicKey, bool) {
	key, ok := c.option(certSigningKey)
	return key, ok
}
