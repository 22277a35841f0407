package crypto

import "crypto/sha256"

// HKDF with SHA-256 (RFC 5869), for the sizes that occur here. The standard
// library's makes eight objects for each key, which together are most of the
// memory that opening a session takes; this one needs none. TestHKDF holds the
// two together.

// Sizes in bytes of what hmacSum takes, and of what expandSecret gives.
const (
	macKeyMost     = sha256.BlockSize
	macMessageMost = 5 * sha256.Size // the shared secrets of a hybrid key agreement are 128
	expandMost     = 2 * sha256.Size
)

// hmacSum returns HMAC-SHA-256 (RFC 2104) of a message under a key that is not
// longer than a block.
func hmacSum(key, message []byte) [sha256.Size]byte {
	if len(key) > macKeyMost || len(message) > macMessageMost {
		panic("BUG: crypto: hmacSum of something that long")
	}
	var in [sha256.BlockSize + macMessageMost]byte
	var out [sha256.BlockSize + sha256.Size]byte
	copy(in[:], key)
	copy(out[:], key)
	for i := range sha256.BlockSize {
		in[i] ^= 0x36
		out[i] ^= 0x5c
	}
	inner := sha256.Sum256(in[:sha256.BlockSize+copy(in[sha256.BlockSize:], message)])
	copy(out[sha256.BlockSize:], inner[:])
	return sha256.Sum256(out[:])
}

// expandSecret writes HKDF-Expand of a secret with a label over out, expandMost
// bytes at most.
func expandSecret(out, secret []byte, label string) {
	if len(out) > expandMost {
		panic("BUG: crypto: expandSecret to something that long")
	}
	var message [macMessageMost]byte
	var block []byte // T(n-1)
	var sum [sha256.Size]byte
	for n := byte(1); len(out) > 0; n++ {
		b := append(append(append(message[:0], block...), label...), n)
		sum = hmacSum(secret, b)
		block = sum[:]
		out = out[copy(out, block):]
	}
}
