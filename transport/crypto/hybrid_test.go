package crypto

import (
	"bytes"
	"crypto/mlkem"
	"errors"
	"testing"

	"rtmfp/internal/element"
)

func TestHybridPolicies(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	for _, c := range []struct {
		initiator, responder Hybrid
		hybrid               bool
		respond, complete    error
	}{
		{HybridOff, HybridOff, false, nil, nil},
		{HybridOff, HybridOffer, false, nil, nil},
		{HybridOff, HybridRequire, false, ErrKeying, nil},
		{HybridOffer, HybridOff, false, nil, nil},
		{HybridOffer, HybridOffer, true, nil, nil},
		{HybridOffer, HybridRequire, true, nil, nil},
		{HybridRequire, HybridOff, false, nil, ErrKeying},
		{HybridRequire, HybridOffer, true, nil, nil},
		{HybridRequire, HybridRequire, true, nil, nil},
	} {
		in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{Hybrid: c.initiator})
		if err != nil {
			t.Fatal(err)
		}
		if big := len(in.Component()) > mlkem.EncapsulationKeySize768; big != (c.initiator != HybridOff) {
			t.Errorf("%d: a component of %d bytes", c.initiator, len(in.Component()))
		}
		skrc, kr, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), Policy{Hybrid: c.responder})
		if !errors.Is(err, c.respond) {
			t.Errorf("%d to %d: responder: got %v, want %v", c.initiator, c.responder, err, c.respond)
		}
		if err != nil {
			continue
		}
		ki, err := in.Complete(skrc)
		if !errors.Is(err, c.complete) {
			t.Errorf("%d to %d: initiator: got %v, want %v", c.initiator, c.responder, err, c.complete)
		}
		if err != nil {
			continue
		}
		if ki.Suite() != kr.Suite() || ki.packets.(*aeadKeys).hybrid != c.hybrid {
			t.Errorf("%d to %d: suites %q and %q, want hybrid = %v", c.initiator, c.responder, ki.Suite(), kr.Suite(), c.hybrid)
		}
		exchange(t, ki, kr)
		exchange(t, kr, ki)
	}
	if err := (Policy{Hybrid: HybridRequire + 1}).Validate(); err == nil {
		t.Error("an unknown hybrid mode is accepted")
	}
}

// Nobody in between can take ML-KEM out of a session, or replace its key or
// ciphertext.
func TestHybridIsAuthenticated(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	p := Policy{Hybrid: HybridOffer}
	in, err := i.Initiate(seedOf(1), r.Parsed(), p)
	if err != nil {
		t.Fatal(err)
	}
	own, err := i.Initiate(seedOf(9), r.Parsed(), p)
	if err != nil {
		t.Fatal(err)
	}
	plain := in.Component()[:len(in.Component())-len(option(t, in.Component(), keyKEM))]
	for name, skic := range map[string][]byte{
		"without the key":  plain,
		"with another key": append(bytes.Clone(plain), option(t, own.Component(), keyKEM)...),
	} {
		skrc, kr, err := r.Respond(seedOf(2), i.Parsed(), skic, p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ki, err := in.Complete(skrc)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := kr.Open(seal(ki, []byte("hello"), 1)); !errors.Is(err, ErrVerify) {
			t.Errorf("a SKIC %s: got %v, want ErrVerify", name, err)
		}
	}
	skrc, kr, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext := option(t, skrc, keyKEM)
	without := skrc[:len(skrc)-len(ciphertext)]
	changed := bytes.Clone(skrc)
	changed[len(changed)-1] ^= 1
	for name, skrc := range map[string][]byte{"without the ciphertext": without, "with another ciphertext": changed} {
		ki, err := in.Complete(skrc)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := kr.Open(seal(ki, []byte("hello"), 1)); !errors.Is(err, ErrVerify) {
			t.Errorf("a SKRC %s: got %v, want ErrVerify", name, err)
		}
	}
	// The secret counts: the same messages with X25519 alone give other keys.
	s := secretsOf(t, in, skrc)
	transcript := transcriptOf(i.Parsed(), r.Parsed(), in.Component(), skrc)
	if a, b := modernSchedule(s, transcript), modernSchedule(s[:len(s)-mlkem.SharedKeySize], transcript); a.initiatorSecret == b.initiatorSecret {
		t.Error("the secret of ML-KEM is not in the keys")
	}
}

// option returns the bytes of a whole option of a component.
func option(t *testing.T, component []byte, typ uint64) []byte {
	t.Helper()
	for len(component) > 0 {
		o, n := element.ConsumeOption(component)
		if n == 0 {
			break
		}
		if o.Type == typ {
			return component[:n]
		}
		component = component[n:]
	}
	t.Fatalf("no option %#x", typ)
	return nil
}

func TestHybridRefusesBadShares(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	p := Policy{Hybrid: HybridOffer}
	plain, err := i.Initiate(seedOf(1), r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	with := func(component, value []byte) []byte {
		return element.AppendOption(bytes.Clone(component), keyKEM, value)
	}
	for name, c := range map[string]struct {
		value []byte
		want  error
	}{
		"short":   {make([]byte, mlkem.EncapsulationKeySize768-1), ErrPublicKey},
		"long":    {make([]byte, mlkem.EncapsulationKeySize768+1), ErrPublicKey},
		"overrun": {bytes.Repeat([]byte{0xff}, mlkem.EncapsulationKeySize768), ErrPublicKey}, // coefficients above the modulus
		"empty":   {nil, ErrKeying},
	} {
		if _, _, err := r.Respond(seedOf(2), i.Parsed(), with(plain.Component(), c.value), p); !errors.Is(err, c.want) {
			t.Errorf("an encapsulation key, %s: got %v, want %v", name, err, c.want)
		}
	}
	hybrid, err := i.Initiate(seedOf(1), r.Parsed(), p)
	if err != nil {
		t.Fatal(err)
	}
	skrc, _, err := r.Respond(seedOf(2), i.Parsed(), plain.Component(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hybrid.Complete(with(skrc, make([]byte, mlkem.CiphertextSize768-1))); !errors.Is(err, ErrKeying) {
		t.Errorf("a short ciphertext: got %v, want ErrKeying", err)
	}
	if _, err := plain.Complete(with(skrc, make([]byte, mlkem.CiphertextSize768))); !errors.Is(err, ErrKeying) {
		t.Errorf("a ciphertext without an offer: got %v, want ErrKeying", err)
	}
}

// What an encapsulation gives depends on the seed alone, like all else here.
func TestHybridDeterministic(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	p := Policy{Hybrid: HybridRequire}
	var first []byte
	for range 2 {
		in, err := i.Initiate(seedOf(1), r.Parsed(), p)
		if err != nil {
			t.Fatal(err)
		}
		skrc, _, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), p)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, skrc) {
			t.Error("two answers of one seed differ")
		}
		first = skrc
	}
}
