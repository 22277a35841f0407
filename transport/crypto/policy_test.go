package crypto

import (
	"errors"
	"testing"
)

func TestPolicyValidate(t *testing.T) {
	for _, c := range []struct {
		p  Policy
		ok bool
	}{
		{Policy{}, true},
		{Policy{HMACLength: 3}, false},
		{Policy{HMACLength: 33}, false},
		{Policy{HMAC: Never + 1}, false},
		{Policy{SSEQ: Never + 1}, false},
		{Policy{Suites: []Suite{ChaCha20Poly1305, AES128GCM}}, true},
		{Policy{Suites: []Suite{AES128GCM, AES128GCM}}, false},
		{Policy{Suites: []Suite{AES128GCM | AES256GCM}}, false},
		{Policy{Suites: []Suite{1 << 20}}, false},
		{Policy{UpdateAfter: 1}, true},
	} {
		if err := c.p.Validate(); (err == nil) != c.ok {
			t.Errorf("%+v: got %v, want ok = %v", c.p, err, c.ok)
		}
	}
}

// The responder's preference decides among what the initiator offers.
func TestSuiteChoice(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	for _, c := range []struct {
		initiator, responder []Suite
		want                 Suite
	}{
		{nil, nil, AES128GCM},
		{nil, []Suite{ChaCha20Poly1305, AES128GCM}, ChaCha20Poly1305},
		{[]Suite{ChaCha20Poly1305, AES256GCM}, nil, AES256GCM},
		{[]Suite{AES256GCM}, []Suite{AES256GCM}, AES256GCM},
		{[]Suite{AES256GCM}, []Suite{AES128GCM, ChaCha20Poly1305}, 0},
	} {
		in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{Suites: c.initiator})
		if err != nil {
			t.Fatal(err)
		}
		_, k, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), Policy{Suites: c.responder})
		if c.want == 0 {
			if !errors.Is(err, ErrKeying) {
				t.Errorf("%v and %v: got %v, want ErrKeying", c.initiator, c.responder, err)
			}
			continue
		}
		if err != nil || k.packets.(*aeadKeys).cipher != c.want {
			t.Errorf("%v and %v: got %v, want %v", c.initiator, c.responder, err, c.want)
		}
	}
}

// One without a static key is refused by those who want to know with whom they
// talk, unless it signs or is one of many that can't be known.
func TestEphemeralIdentities(t *testing.T) {
	static := newIdentity(t, 1, IdentityOptions{})
	anonymous := newIdentity(t, 2, IdentityOptions{Ephemeral: true})
	both := newIdentity(t, 3, IdentityOptions{Ephemeral: true, Modern: true, Groups: []DHGroup{Group2}})
	signer := newIdentity(t, 4, IdentityOptions{Ephemeral: true, Sign: true})
	for _, c := range []struct {
		name string
		far  *Identity
		p    Policy
		want error
	}{
		{"anonymous", anonymous, Policy{}, ErrEphemeralRefused},
		{"anonymous with groups", both, Policy{}, ErrEphemeralRefused},
		{"anonymous, admitted", anonymous, Policy{AllowEphemeral: true}, nil},
		{"anonymous, legacy admitted", both, Policy{AllowLegacy: true}, nil},
		{"signer", signer, Policy{}, nil},
	} {
		if !c.far.Parsed().Modern() {
			t.Errorf("%s: not modern", c.name)
		}
		if _, err := static.Initiate(seedOf(1), c.far.Parsed(), c.p); !errors.Is(err, c.want) {
			t.Errorf("to %s: got %v, want %v", c.name, err, c.want)
		}
		in, err := c.far.Initiate(seedOf(1), static.Parsed(), c.p)
		if err != nil {
			t.Fatal(err)
		}
		signed := append([]byte("parameters"), in.Component()...)
		_, k, err := static.RespondSigned(seedOf(2), c.far.Parsed(), in.Component(), signed, in.Sign(signed), c.p)
		if !errors.Is(err, c.want) {
			t.Errorf("from %s: got %v, want %v", c.name, err, c.want)
		}
		if err == nil && k.Suite() != "AES-128-GCM/X25519" {
			t.Errorf("from %s: suite %q", c.name, k.Suite())
		}
	}
	// Two of one seed still have their own fingerprints by their salt.
	if a, b := newIdentity(t, 8, IdentityOptions{Ephemeral: true}), newIdentity(t, 9, IdentityOptions{Ephemeral: true}); a.PeerID() == b.PeerID() {
		t.Error("two ephemeral identities have one fingerprint")
	}
}
