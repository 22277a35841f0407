// Package crypto is the cryptography profile of RTMFP: identities, endpoint
// discriminators, the key agreement of the handshake, and the encryption of
// packets. It has two faces in one format:
//
//   - legacy is RFC 7425: MODP Diffie-Hellman, AES-128-CBC, a checksum or an
//     HMAC, and optional sequence numbers;
//   - modern is our own use of the same options: X25519 as group 31 with static
//     and ephemeral shares, ML-KEM-768 beside it if wanted, AEAD packets, a
//     replay window and key updates. docs/crypto.md specifies it.
//
// Which one a session uses follows from the two certificates alone (see
// Identity.Initiate), so that nobody in between can choose for them.
//
// An Identity and a Certificate are immutable and may be shared between
// goroutines. SessionKeys have one owner, who seals and opens packets in place
// without allocating. Nothing here draws randomness on its own: it comes in as
// an io.Reader or as a seed.
package crypto

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Errors. Those of a handshake come wrapped with what was found; those of Open
// come bare, since every stray datagram makes one.
var (
	ErrCertificate   = errors.New("crypto: malformed certificate")
	ErrKeying        = errors.New("crypto: malformed or unacceptable keying component")
	ErrPublicKey     = errors.New("crypto: unacceptable public key")
	ErrNoCommonGroup = errors.New("crypto: no Diffie-Hellman group in common")
	ErrLegacyRefused = errors.New("crypto: the far end has only RFC 7425 cryptography, which the policy refuses")
	ErrDowngrade     = errors.New("crypto: both ends are modern, but the keying is not")
	ErrIdentity      = errors.New("crypto: malformed identity")

	ErrEphemeralRefused = errors.New("crypto: the far end has no static key, which the policy refuses")
	ErrSignature        = errors.New("crypto: invalid signature")
	ErrSimulation       = errors.New("crypto: simulated and real cryptography don't mix")

	// ErrPacket: too short or of an impossible length.
	ErrPacket = errors.New("crypto: malformed packet")
	// ErrVerify: checksum, HMAC or tag does not match.
	ErrVerify = errors.New("crypto: packet verification failed")
	// ErrReplay: the packet number was seen before, or is too old to tell.
	ErrReplay = errors.New("crypto: duplicate packet")
)

// PeerID is the fingerprint of a certificate: the SHA-256 of its canonical
// section (RFC 7425 §4.3.2).
type PeerID [32]byte

// String returns the id in 64 lower-case hexadecimal digits.
func (p PeerID) String() string { return hex.EncodeToString(p[:]) }

// ParsePeerID reads the form that String writes, in either case.
func ParsePeerID(s string) (p PeerID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(p) {
		return PeerID{}, fmt.Errorf("crypto: a peer id is 64 hexadecimal digits, not %q", s)
	}
	return PeerID(b), nil
}
