package crypto

// RFC 7425 §4.2, Diffie-Hellman Groups.

import (
	"math/big"
	"testing"
)

// "Implementations conforming to this profile MUST support Diffie-Hellman [DH]
// modular exponentiation (MODP) group 2 (1024 bits) as defined in [RFC7296], and
// SHOULD support Diffie-Hellman MODP group 5 (1536 bits) and group 14 (2048
// bits) as defined in [RFC3526]. Implementations MAY support additional groups."
func TestGroupsOfTheProfile(t *testing.T) {
	allow := Policy{AllowLegacy: true}
	for _, g := range []DHGroup{Group2, Group5, Group14, Group16} {
		for _, ephemeral := range []bool{false, true} {
			o := IdentityOptions{Groups: []DHGroup{g}, Ephemeral: ephemeral}
			ki, kr := agree(t, newIdentity(t, 1, o), newIdentity(t, 2, o), allow, allow)
			exchange(t, ki, kr)
			exchange(t, kr, ki)
		}
	}
}

// The constants of RFC 7296 and RFC 3526 are safe primes.
func TestGroupsAreSafePrimes(t *testing.T) {
	for _, g := range modpGroups {
		half := new(big.Int).Rsh(g.prime, 1)
		if !g.prime.ProbablyPrime(8) || !half.ProbablyPrime(8) {
			t.Errorf("group %d is not a safe prime", g.id)
		}
		if want := map[DHGroup]int{Group2: 1024, Group5: 1536, Group14: 2048, Group16: 4096}[g.id]; g.prime.BitLen() != want {
			t.Errorf("group %d: %d bits, want %d", g.id, g.prime.BitLen(), want)
		}
		if g.exponentSize > maxExponentSize {
			t.Errorf("group %d: exponents of %d bytes", g.id, g.exponentSize)
		}
	}
}

// And they are the ones that the formula of RFC 3526 gives: nobody chose them.
func TestGroupsFollowTheFormula(t *testing.T) {
	one := big.NewInt(1)
	power := func(n uint) *big.Int { return new(big.Int).Lsh(one, n) }
	for _, c := range []struct {
		id DHGroup
		n  uint
		k  int64
	}{{Group2, 1024, 129093}, {Group5, 1536, 741804}, {Group14, 2048, 124476}, {Group16, 4096, 240904}} {
		want := new(big.Int).Sub(power(c.n), power(c.n-64))
		want.Sub(want, one)
		middle := new(big.Int).Add(piTimes(c.n-130), big.NewInt(c.k))
		want.Add(want, middle.Lsh(middle, 64))
		if g, ok := modpGroup(c.id); !ok || g.prime.Cmp(want) != 0 {
			t.Errorf("group %d: got %x, want %x", c.id, g.prime, want)
		}
	}
}

// piTimes returns the whole part of π·2^n, by Machin's formula.
func piTimes(n uint) *big.Int {
	const guard = 64
	arctan := func(x int64) *big.Int { // of 1/x, times 2^(n+guard)
		term := new(big.Int).Lsh(big.NewInt(1), n+guard)
		term.Quo(term, big.NewInt(x))
		sum := new(big.Int).Set(term)
		for k, sign := int64(3), int64(-1); term.Sign() != 0; k, sign = k+2, -sign {
			term.Quo(term, big.NewInt(x*x))
			sum.Add(sum, new(big.Int).Quo(term, big.NewInt(sign*k)))
		}
		return sum
	}
	a := arctan(5)
	a.Sub(a.Lsh(a, 2), arctan(239))
	return a.Rsh(a.Lsh(a, 2), guard)
}
