package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Suite is an authenticated encryption of packets in the modern profile. Its
// value is its bit in the keying option (docs/crypto.md), so that suites or-ed
// together are a set.
type Suite uint32

// The suites that are known here.
const (
	AES128GCM        Suite = 1 << 0
	AES256GCM        Suite = 1 << 1
	ChaCha20Poly1305 Suite = 1 << 2 // the one to prefer where the processor has no AES instructions
)

// defaultSuites is the order of preference of a zero Policy. Every machine that
// we care about has AES instructions, and 128 bits are what X25519 gives.
var defaultSuites = [...]Suite{AES128GCM, AES256GCM, ChaCha20Poly1305}

// String returns the name of a single suite.
func (s Suite) String() string {
	switch s {
	case AES128GCM:
		return "AES-128-GCM"
	case AES256GCM:
		return "AES-256-GCM"
	case ChaCha20Poly1305:
		return "ChaCha20-Poly1305"
	}
	return fmt.Sprintf("suite %#x", uint32(s))
}

// known reports whether s is one suite that is known here.
func (s Suite) known() bool {
	return s == AES128GCM || s == AES256GCM || s == ChaCha20Poly1305
}

// keySize is in bytes.
func (s Suite) keySize() int {
	if s == AES128GCM {
		return 16
	}
	return 32
}

// newAEAD builds the cipher of a key of the suite's size.
func (s Suite) newAEAD(key []byte) cipher.AEAD {
	var aead cipher.AEAD
	var err error
	if s == ChaCha20Poly1305 {
		aead, err = chacha20poly1305.New(key)
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		panic("BUG: crypto: " + err.Error())
	}
	return aead
}
