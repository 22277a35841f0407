package crypto

import (
	"bytes"
	"errors"
	"testing"

	"rtmfp/internal/element"
)

// Both ends agree on what both have, in modern sessions, and older ones see
// nothing of it.
func TestExtensions(t *testing.T) {
	modern, legacy := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{Groups: []DHGroup{Group2}})
	other := newIdentity(t, 3, IdentityOptions{})
	for _, c := range []struct {
		name    string
		i, r    *Identity
		a, b    Extensions
		want    Extensions
		simple  bool
		offered bool
	}{
		{"both", modern, other, 5, 6, 4, false, true},
		{"initiator alone", modern, other, 1, 0, 0, false, true},
		{"responder alone", modern, other, 0, 1, 0, false, false},
		{"legacy", modern, legacy, 1, 1, 0, false, false},
		{"simulated", modern, other, 3, 1, 1, true, true},
	} {
		p := Policy{AllowLegacy: true, Simulation: c.simple, Extensions: c.a}
		if c.i != legacy && c.r == legacy {
			c.i = newIdentity(t, 4, IdentityOptions{Modern: true, Groups: []DHGroup{Group2}})
		}
		in, err := c.i.Initiate(seedOf(1), c.r.Parsed(), p)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		p.Extensions = c.b
		skrc, near, err := c.r.Respond(seedOf(2), c.i.Parsed(), in.Component(), p)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		far, err := in.Complete(skrc)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if near.NearNonce != far.FarNonce {
			t.Errorf("%s: keys differ", c.name)
		}
		if got := AgreedExtensions(in.Component(), skrc); got != c.want {
			t.Errorf("%s: got %b, want %b", c.name, got, c.want)
		}
		if got := bytes.Contains(in.Component(), element.AppendVLU(nil, keyExtensions)); got != c.offered {
			t.Errorf("%s: offered: got %v, want %v", c.name, got, c.offered)
		}
	}
}

// Who takes the offer out on the way has keys of his own: the transcript has it.
func TestExtensionsAreAuthenticated(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{Extensions: ExtensionECN})
	if err != nil {
		t.Fatal(err)
	}
	whole := in.Component()
	stripped := whole[:len(whole)-len(appendExtensions(nil, ExtensionECN))]
	skrc, near, err := r.Respond(seedOf(2), i.Parsed(), stripped, Policy{Extensions: ExtensionECN})
	if err != nil {
		t.Fatal(err)
	}
	far, err := in.Complete(skrc)
	if err != nil {
		t.Fatal(err)
	}
	if near.NearNonce == far.FarNonce {
		t.Error("both ends have the same keys in spite of the change")
	}
	twice := appendExtensions(bytes.Clone(whole), ExtensionECN)
	if _, _, err := r.Respond(seedOf(2), i.Parsed(), twice, Policy{}); !errors.Is(err, ErrKeying) {
		t.Errorf("offered twice: got %v, want ErrKeying", err)
	}
}
