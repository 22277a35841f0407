package node

import (
	"rtmfp/group"
	"rtmfp/posting"
	"rtmfp/transport/crypto"
)

// signingKeys signs for a node with the Ed25519 key that its certificate, and
// so its peer id, is bound to.
type signingKeys struct{ identity *crypto.Identity }

// Certificate returns the identity's, nil if it holds no key that signs.
func (k signingKeys) Certificate() []byte {
	if !k.identity.Signs() {
		return nil
	}
	return k.identity.Parsed().Canonical()
}

// Sign signs a message, which has to begin with a label that tells its kind
// from all others.
func (k signingKeys) Sign(message []byte) (signature [posting.SignatureSize]byte) {
	copy(signature[:], k.identity.SignMessage(message))
	return signature
}

// Verify checks the signature of somebody else.
func (k signingKeys) Verify(certificate, message []byte, signature [posting.SignatureSize]byte) (group.PeerID, bool) {
	c, err := crypto.ParseCertificate(certificate)
	if err != nil || !c.VerifyMessage(message, signature[:]) {
		return group.PeerID{}, false
	}
	return group.PeerID(c.PeerID()), true
}
