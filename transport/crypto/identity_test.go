package crypto

import (
	"bytes"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"rtmfp/internal/element"
)

func TestIdentityText(t *testing.T) {
	for name, o := range map[string]IdentityOptions{
		"modern":    {},
		"both":      {Modern: true, Groups: []DHGroup{Group14, Group2}, Hostname: "h"},
		"legacy":    {Groups: []DHGroup{Group2}},
		"ephemeral": {Groups: []DHGroup{Group2, Group14}, Ephemeral: true},
		"anonymous": {Ephemeral: true},
		"large":     {Groups: []DHGroup{Group16, Group5}},
	} {
		id := newIdentity(t, 1, o)
		text, err := id.MarshalText()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got Identity
		if err := got.UnmarshalText(append([]byte("a comment\n"), text...)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, _ := got.MarshalText()
		if got.PeerID() != id.PeerID() || !bytes.Equal(again, text) {
			t.Errorf("%s: read back as\n%s\nwant\n%s", name, again, text)
		}
		// The keys work: a session between the copy and another identity.
		peer := newIdentity(t, 2, o)
		p := Policy{AllowLegacy: true}
		ki, kr := agree(t, &got, peer, p, p)
		exchange(t, ki, kr)
	}
}

// The signing key goes into the file with the others, and is checked like them.
func TestIdentityTextOfSigner(t *testing.T) {
	a, b := newIdentity(t, 1, IdentityOptions{Sign: true}), newIdentity(t, 2, IdentityOptions{Sign: true})
	text, err := a.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got Identity
	if err := got.UnmarshalText(text); err != nil || !got.signing.Equal(a.signing) || got.PeerID() != a.PeerID() {
		t.Errorf("read back: %v, key %x, want %x", err, got.signing, a.signing)
	}
	for name, wrong := range map[string]*Identity{
		"a foreign key":        {certificate: a.certificate, x25519: a.x25519, signing: b.signing},
		"no key":               {certificate: a.certificate, x25519: a.x25519},
		"a key that is unsaid": {certificate: newIdentity(t, 3, IdentityOptions{}).certificate, x25519: newIdentity(t, 3, IdentityOptions{}).x25519, signing: a.signing},
	} {
		text, err := wrong.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := new(Identity).UnmarshalText(text); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: got %v, want ErrIdentity", name, err)
		}
	}
}

func TestIdentityTextRefused(t *testing.T) {
	a := newIdentity(t, 1, IdentityOptions{Modern: true, Groups: []DHGroup{Group2}})
	b := newIdentity(t, 2, IdentityOptions{Modern: true, Groups: []DHGroup{Group2}})
	mix := func(cert, curve, modp *Identity) string {
		text, _ := (&Identity{certificate: cert.certificate, x25519: curve.x25519, legacy: modp.legacy}).MarshalText()
		return string(text)
	}
	good := mix(a, a, a)
	for name, text := range map[string]string{
		"empty":                "",
		"another type":         strings.ReplaceAll(good, pemType, "CERTIFICATE"),
		"cut":                  good[:len(good)/2],
		"foreign X25519 key":   mix(a, b, a),
		"foreign exponent":     mix(a, a, b),
		"no X25519 key":        mix(a, &Identity{}, a),
		"no exponent":          mix(a, a, &Identity{}),
		"X25519 key for none":  mix(newIdentity(t, 3, IdentityOptions{Groups: []DHGroup{Group2}}), a, a),
		"empty body":           "-----BEGIN " + pemType + "-----\n-----END " + pemType + "-----\n",
		"body that is no list": "-----BEGIN " + pemType + "-----\nBQ==\n-----END " + pemType + "-----\n",
	} {
		id := Identity{}
		if err := id.UnmarshalText([]byte(text)); !errors.Is(err, ErrIdentity) {
			t.Errorf("%s: got %v, want ErrIdentity", name, err)
		}
		if id.certificate != nil {
			t.Errorf("%s: a failed read left something behind", name)
		}
	}
}

func TestNewIdentityErrors(t *testing.T) {
	for name, o := range map[string]IdentityOptions{
		"unknown group":      {Groups: []DHGroup{3}},
		"X25519 as a legacy": {Groups: []DHGroup{GroupX25519}},
		"group twice":        {Groups: []DHGroup{Group2, Group2}},
	} {
		if _, err := NewIdentity(source(1), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, o := range []IdentityOptions{{}, {Groups: []DHGroup{Group2}}, {Groups: []DHGroup{Group2}, Ephemeral: true}, {Ephemeral: true, Sign: true}} {
		if _, err := NewIdentity(io.LimitReader(source(1), 8), o); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%+v with 8 random bytes: got %v", o, err)
		}
	}
}

// An identity depends on its randomness alone.
func TestIdentityDeterministic(t *testing.T) {
	o := IdentityOptions{Modern: true, Groups: []DHGroup{Group14}}
	if a, b := newIdentity(t, 5, o), newIdentity(t, 5, o); a.PeerID() != b.PeerID() {
		t.Errorf("two identities of one seed: %v and %v", a.PeerID(), b.PeerID())
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

// RFC 7425 §4.6.2.
func TestPublicKeyCheck(t *testing.T) {
	g, _ := modpGroup(Group2)
	key, err := g.newKey(bytes.Repeat([]byte{0x5a}, g.exponentSize))
	if err != nil {
		t.Fatal(err)
	}
	minus := func(n int64) *big.Int { return new(big.Int).Sub(g.prime, big.NewInt(n)) }
	ones := func(n uint) *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), n), big.NewInt(1)) }
	for name, c := range map[string]struct {
		y  *big.Int
		ok bool
	}{
		"a real one":                 {new(big.Int).SetBytes(key.public), true},
		"0":                          {big.NewInt(0), false},
		"1":                          {big.NewInt(1), false},
		"below 2^24":                 {big.NewInt(1<<24 - 1), false},
		"prime - 1":                  {minus(1), false},
		"the prime":                  {g.prime, false},
		"just above prime - 2^24":    {minus(1<<24 - 1), false},
		"twice the prime":            {new(big.Int).Lsh(g.prime, 1), false},
		"16 ones, no zeros":          {ones(40), false},
		"15 zeros below the top":     {new(big.Int).Lsh(ones(500), 15), false},
		"16 zeros below the top":     {new(big.Int).Lsh(ones(500), 16), true},
		"15 ones":                    {new(big.Int).Lsh(ones(15), 500), false},
		"16 ones and many low zeros": {new(big.Int).Lsh(ones(16), 500), true},
	} {
		err := g.check(c.y)
		if c.ok && err != nil || !c.ok && !errors.Is(err, ErrPublicKey) {
			t.Errorf("%s: got %v, want ok = %v", name, err, c.ok)
		}
	}
	// "Received keys with leading zeros are accepted", ours have none.
	a, err := key.secret(append(make([]byte, 5), key.public...))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := key.secret(key.public); !bytes.Equal(a, b) || len(a) == 0 || a[0] == 0 {
		t.Errorf("secret of a padded key: got %x, want %x", a, b)
	}
}

// The secret is written "with no leading zero bytes": some exponent gives a
// short one, and it must still agree at both ends.
func TestShortSecret(t *testing.T) {
	g, _ := modpGroup(Group2)
	far, err := g.newKey(bytes.Repeat([]byte{0x77}, g.exponentSize))
	if err != nil {
		t.Fatal(err)
	}
	short := 0
	for i := range 2000 {
		key, err := g.newKey(append(bytes.Repeat([]byte{0}, g.exponentSize-8), 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, byte(i>>8), byte(i)))
		if err != nil {
			t.Fatal(err)
		}
		a, err := key.secret(far.public)
		if err != nil {
			t.Fatal(err)
		}
		if len(a) == 128 {
			continue
		}
		short++
		b, err := far.secret(key.public)
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("a secret of %d bytes: the ends got %x and %x, %v", len(a), a, b, err)
		}
		if short == 2 {
			return
		}
	}
	t.Errorf("%d short secrets in 2000", short)
}

// RFC 7425 §4.3.3.4 and §4.3.3.5 by way of the certificate of each kind.
func TestCertificateLayout(t *testing.T) {
	id := newIdentity(t, 1, IdentityOptions{Modern: true, Groups: []DHGroup{Group2}, Hostname: "example"})
	var types []uint64
	for o := range options(id.Certificate()) {
		types = append(types, o.Type)
	}
	if len(types) != 4 || types[0] != certHostname || types[1] != certAcceptsAncillary || types[2] != certStaticKey || types[3] != certStaticKey {
		t.Errorf("option types: got %#x", types)
	}
	want := appendGroupKey(nil, certStaticKey, GroupX25519, id.x25519.PublicKey().Bytes())
	if !bytes.Contains(id.Certificate(), want) {
		t.Errorf("certificate %x lacks %x", id.Certificate(), want)
	}
	if !bytes.HasPrefix(id.Certificate(), element.AppendOption(nil, certHostname, []byte("example"))) {
		t.Errorf("certificate %x does not begin with the hostname", id.Certificate())
	}
}
