package crypto

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
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
