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
	Group5      DHGroup = 5  // 1536-bit MODP (RFC 3526 §2)
	Group14     DHGroup = 14 // 2048-bit MODP (RFC 3526 §3)
	Group16     DHGroup = 16 // 4096-bit MODP (RFC 3526 §5)
	GroupX25519 DHGroup = 31 // Curve25519 (RFC 8031); the modern profile
)

const (
	x25519Size = 32

	// maxExponentSize is the largest exponentSize of a group.
	maxExponentSize = 60

	// minKeyBits is how many one bits, and how many zero bits below the
	// highest one, a public key needs (RFC 7425 §4.6.2).
	minKeyBits = 16
)

// modp is a group of integers modulo a safe prime with generator 2.
type modp struct {
	id DHGroup
	// exponentSize is the size in bytes of private exponents: the larger of the
	// two sizes that RFC 3526 §8 gives, and not less than for group 14.
	exponentSize int
	prime        *big.Int
}

// The MODP groups: prime = 2^n - 2^(n-64) - 1 + 2^64·([2^(n-130)·π] + k), with
// k = 129093 for group 2, 741804 for group 5, 124476 for group 14 and 240904 for
// group 16.
var modpGroups = [...]modp{
	{Group2, 40, mustHex("" +
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF")},
	{Group5, 40, mustHex("" +
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
		"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
		"9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF")},
	{Group14, 40, mustHex("" +
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
		"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
		"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718" +
		"3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF")},
	{Group16, 60, mustHex("" +
		"FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
		"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
		"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05" +
		"98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB" +
		"9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718" +
		"3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33" +
		"A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7" +
		"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864" +
		"D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2" +
		"08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D7" +
		"88719A10BDBA5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8" +
		"DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6BC05D99B2964FA090C3A2" +
		"233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9" +
		"93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF")},
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
	x := new(big.Int).SetBytes(secret[:g.exponentSize])
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
