package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"rtmfp/group"
	"rtmfp/multicast"
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

// Author returns whose a certificate is, and what checks its signatures.
func (k signingKeys) Author(certificate []byte) (group.PeerID, func(message, signature []byte) bool) {
	c, err := crypto.ParseCertificate(certificate)
	if err != nil {
		return group.PeerID{}, nil
	}
	key, signs := c.SigningKey()
	at := bytes.Index(certificate, key)
	if !signs || at < 0 {
		return group.PeerID(c.PeerID()), nil
	}
	key = certificate[at : at+len(key)] // nothing else has to be kept
	return group.PeerID(c.PeerID()), func(message, signature []byte) bool {
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(key, message, signature)
	}
}

// keys returns what signs for the node, or the stand-in of large simulations.
func (c *Core) keys() keys {
	if c.cfg.SimulatedCrypto {
		return simulatedKeys{c.cfg.Identity}
	}
	return signingKeys{c.cfg.Identity}
}

// keys are what the services want of them.
type keys interface {
	posting.Keys
	multicast.Keys
}

// simulatedKeys "signs" with a checksum that anybody can make.
type simulatedKeys struct{ identity *crypto.Identity }

// Certificate returns the identity's.
func (k simulatedKeys) Certificate() []byte { return k.identity.Parsed().Canonical() }

// Sign makes the checksum.
func (k simulatedKeys) Sign(message []byte) (signature [posting.SignatureSize]byte) {
	return checksum(k.Certificate(), message)
}

// Verify checks it.
func (simulatedKeys) Verify(certificate, message []byte, signature [posting.SignatureSize]byte) (group.PeerID, bool) {
	c, err := crypto.ParseCertificate(certificate)
	if err != nil || checksum(certificate, message) != signature {
		return group.PeerID{}, false
	}
	return group.PeerID(c.PeerID()), true
}

// Author returns whose a certificate is, and what makes the checksum again.
func (simulatedKeys) Author(certificate []byte) (group.PeerID, func(message, signature []byte) bool) {
	c, err := crypto.ParseCertificate(certificate)
	if err != nil {
		return group.PeerID{}, nil
	}
	return group.PeerID(c.PeerID()), func(message, signature []byte) bool {
		want := checksum(c.Canonical(), message)
		return string(want[:]) == string(signature)
	}
}

func checksum(certificate, message []byte) (signature [posting.SignatureSize]byte) {
	d := xxhash.New()
	_, _ = d.Write(certificate) // which never fails
	_, _ = d.Write(message)
	binary.LittleEndian.PutUint64(signature[:], d.Sum64())
	return signature
}
