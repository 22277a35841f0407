package crypto

import (
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"fmt"
)

// Hybrid says whether sessions add ML-KEM-768 (FIPS 203) to X25519, so that
// what is recorded today stays secret from a quantum computer of tomorrow.
type Hybrid uint8

const (
	// HybridOff neither offers it nor answers an offer. The messages of the
	// handshake are small, and the work is half a millisecond.
	HybridOff Hybrid = iota
	// HybridOffer offers it and answers offers, and takes sessions without.
	HybridOffer
	// HybridRequire refuses modern sessions without.
	HybridRequire
)

const (
	kemRandomSize = 32 // bytes of randomness of an encapsulation
	labelKEMSeed  = "rtmfp modern 1 ML-KEM seed"
)

// newKEM makes the initiator's decapsulation key. The half of the handshake's
// randomness that X25519 leaves is stretched to the 64 bytes that it takes.
func newKEM(seed *Seed) (*mlkem.DecapsulationKey768, error) {
	var d [mlkem.SeedSize]byte
	expandSecret(d[:], seed[x25519Size:], labelKEMSeed)
	key, err := mlkem.NewDecapsulationKey768(d[:])
	if err != nil {
		return nil, fmt.Errorf("crypto: making an ML-KEM key: %w", err)
	}
	return key, nil
}

// encapsulate returns a secret for the holder of an encapsulation key.
//
// The function of the standard library takes the system's randomness, which a
// state machine can't. The one below is the same code, but with the randomness
// given; it lies in a package for tests since all depends on how good that is.
// Here it is what the seed of the handshake is: as good as the caller's source.
func encapsulate(key []byte, seed *Seed) (secret, ciphertext []byte, err error) {
	k, err := mlkem.NewEncapsulationKey768(key)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: ML-KEM: %w", ErrPublicKey, err)
	}
	secret, ciphertext, err = mlkemtest.Encapsulate768(k, seed[x25519Size:x25519Size+kemRandomSize])
	if err != nil {
		return nil, nil, fmt.Errorf("crypto: ML-KEM: %w", err)
	}
	return secret, ciphertext, nil
}
