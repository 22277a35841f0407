package crypto

import (
	"fmt"

	"github.com/cloudflare/circl/dh/x25519"
)

// x25519Key is a private key of X25519 (RFC 7748) with its public half. It is
// immutable.
//
// Most of what opening a session costs are these multiplications. The standard
// library's know nothing of MULX and ADX, and take the base point as any other;
// circl's take two thirds of their time on amd64, in constant time as well.
// FuzzX25519 holds the two together.
type x25519Key struct{ secret, public x25519.Key }

// newX25519 returns the key of a secret of x25519Size bytes. Any will do.
func newX25519(secret []byte) *x25519Key {
	k := &x25519Key{secret: x25519.Key(secret)}
	x25519.KeyGen(&k.public, &k.secret)
	return k
}

// agree appends the secret that is shared with the holder of a public key. It
// fails if that is all zero, which a public key of low order forces.
func (k *x25519Key) agree(b, far []byte) ([]byte, error) {
	if len(far) != x25519Size {
		return nil, fmt.Errorf("%w: %d bytes", ErrPublicKey, len(far))
	}
	var shared x25519.Key
	if !x25519.Shared(&shared, &k.secret, (*x25519.Key)(far)) {
		return nil, fmt.Errorf("%w: of low order", ErrPublicKey)
	}
	return append(b, shared[:]...), nil
}
