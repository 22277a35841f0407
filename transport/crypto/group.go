package crypto

import (
	"fmt"
	"math/big"
	"math/bits"
)

// DHGroup is a Diffie-Hellman group by its IKE number.
type DHGroup uint64

// The groups that are known here.
const (
	Group2      DHGroup = 2  // 1024-bit MODP (RFC 7296 appendix B.2); every RFC 7425 peer has it
	Group14     DHGroup = 14 // 2048-bit MODP (RFC 3526 §3)
	GroupX25519 DHGroup = 31 // Curve25519 (RFC 8031); the modern profile
)

const (
	x25519Size = 32

	// exponentSize is the size in bytes of private MODP exponents: 320 bits is
	// the larger of the two sizes that RFC 3526 §8 gives for group 14.
	exponentSize = 40

	// minKeyBits is how many one bits, and how many zero bits below the
	// highest one, a public key needs (RFC 7425 §4.6.2).
	minKeyBits = 16
)

// modp is a group of integers modulo a safe prime with generator 2.
type modp struct {
	id    DHGroup
	prime *big.Int
}

// The MODP groups: prime = 2^n - 2^(n-64) - 1 + 2^64·([2^(n-130)·π] + k), with
// k = 129093 for group 2 and 124476 for group 14.
var modpGroups = [...]modp{
	{Group2, mustHex("" +
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF")},
	{Group14, mustHex("" +
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
		"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
		"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718" +
		"3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF")},
}

var (
	generator = big.NewInt(2)
	keyMargin = big.NewInt(1 << 24) // distance that a public key keeps from 0 and the prime
)

func mustHex(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("BUG: crypto: bad group constant")
	}
	return n
}

func modpGroup(id DHGroup) (*modp, bool) {
	for i := range modpGroups {
		if modpGroups[i].id == id {
			return &modpGroups[i], true
		}
	}
	return nil, false
}

// modpKey is a private key with its public half.
type modpKey struct {
	group  *modp
	x      *big.Int // nil: the identity makes one per session
	public []byte   // big-endian without leading zeros, as on the wire
}

// newKey returns the key of a secret exponent, of which it takes exponentSize bytes.
func (g *modp) newKey(secret []byte) (modpKey, error) {
	x := new(big.Int).SetBytes(secret[:exponentSize])
	public := new(big.Int).Exp(generator, x, g.prime)
	if err := g.check(public); err != nil {
		return modpKey{}, err // the secret was not random
	}
	return modpKey{g, x, public.Bytes()}, nil
}

// check tells whether a public key is acceptable (RFC 7425 §4.6.2).
func (g *modp) check(y *big.Int) error {
	if y.Cmp(keyMargin) < 0 || y.Cmp(new(big.Int).Sub(g.prime, keyMargin)) > 0 {
		return fmt.Errorf("%w: out of range", ErrPublicKey)
	}
	ones := 0
	for _, w := range y.Bits() {
		ones += bits.OnesCount(uint(w))
	}
	if ones < minKeyBits || y.BitLen()-ones < minKeyBits {
		return fmt.Errorf("%w: too regular", ErrPublicKey)
	}
	return nil
}

// secret returns the shared secret in its shortest form: "a byte-aligned
// unsigned integer in network byte order with no leading zero bytes"
// (RFC 7425 §4.6.2).
func (k modpKey) secret(far []byte) ([]byte, error) {
	if len(far) > MaxCertificate {
		return nil, fmt.Errorf("%w: %d bytes", ErrPublicKey, len(far))
	}
	y := new(big.Int).SetBytes(far)
	if err := k.group.check(y); err != nil {
		return nil, err
	}
	return y.Exp(y, k.x, k.group.prime).Bytes(), nil
}
