package crypto

import (
	"bytes"
	"errors"
	"testing"

	"rtmfp/internal/element"
)

func TestLegacyIsRefusedByDefault(t *testing.T) {
	modern := newIdentity(t, 1, IdentityOptions{})
	both := newIdentity(t, 2, IdentityOptions{Modern: true, Groups: []DHGroup{Group2}})
	old := newIdentity(t, 3, IdentityOptions{Groups: []DHGroup{Group2}})
	allow := Policy{AllowLegacy: true}
	if _, err := both.Initiate(seedOf(1), old.Parsed(), Policy{}); !errors.Is(err, ErrLegacyRefused) {
		t.Errorf("to a legacy responder: got %v, want ErrLegacyRefused", err)
	}
	in, err := old.Initiate(seedOf(1), both.Parsed(), allow)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := both.Respond(seedOf(2), old.Parsed(), in.Component(), Policy{}); !errors.Is(err, ErrLegacyRefused) {
		t.Errorf("from a legacy initiator: got %v, want ErrLegacyRefused", err)
	}
	if _, err := modern.Initiate(seedOf(1), old.Parsed(), allow); !errors.Is(err, ErrNoCommonGroup) {
		t.Errorf("without a common group: got %v, want ErrNoCommonGroup", err)
	}
	if _, _, err := modern.Respond(seedOf(1), old.Parsed(), in.Component(), allow); !errors.Is(err, ErrNoCommonGroup) {
		t.Errorf("responding without a common group: got %v, want ErrNoCommonGroup", err)
	}
}

// Somebody in between can't make two modern ends use old keys, even if both
// would take them: whatever it changes is refused or leaves them without
// common keys.
func TestNoDowngrade(t *testing.T) {
	o := IdentityOptions{Modern: true, Groups: []DHGroup{Group2}}
	i, r := newIdentity(t, 1, o), newIdentity(t, 2, o)
	allow := Policy{AllowLegacy: true}

	// A legacy SKIC from the holder of a modern certificate.
	legacy := &Initiation{identity: i, far: r.Parsed()}
	seed := seedOf(1)
	if err := legacy.initiateLegacy(&seed, allow); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Respond(seedOf(2), i.Parsed(), legacy.Component(), allow); !errors.Is(err, ErrDowngrade) {
		t.Errorf("legacy keying between modern ends: got %v, want ErrDowngrade", err)
	}

	// A legacy SKRC to a modern SKIC.
	in, err := i.Initiate(seedOf(3), r.Parsed(), allow)
	if err != nil {
		t.Fatal(err)
	}
	answer := element.AppendOption(nil, keyRandomness, seed[:])
	if _, err := in.Complete(answer); !errors.Is(err, ErrKeying) {
		t.Errorf("legacy answer to modern keying: got %v, want ErrKeying", err)
	}

	// A suite that was not offered, several suites, none.
	skrc, kr, err := r.Respond(seedOf(4), i.Parsed(), in.Component(), allow)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []Suite{0, 1 << 3, 1 << 20, AES128GCM | AES256GCM} {
		bad := bytes.Replace(skrc, element.AppendOptionVLU(nil, keyAEAD, uint64(AES128GCM)), element.AppendOptionVLU(nil, keyAEAD, uint64(set)), 1)
		if _, err := in.Complete(bad); !errors.Is(err, ErrKeying) {
			t.Errorf("suite %#x: got %v, want ErrKeying", uint64(set), err)
		}
	}

	// Anything else that is changed in either component changes the keys.
	tampered := append(bytes.Clone(skrc), 2, 0x7f, 0) // an unknown option
	ki, err := in.Complete(tampered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kr.Open(seal(ki, []byte("hello"), 1)); !errors.Is(err, ErrVerify) {
		t.Errorf("a tampered SKRC: got %v, want ErrVerify", err)
	}
	if ki.NearNonce == kr.FarNonce {
		t.Error("a tampered SKRC left the nonces the same")
	}
}

// Each of the three shared secrets counts: without the private key behind a
// certificate nobody finishes a handshake in its name.
func TestImpersonation(t *testing.T) {
	i, r, m := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{}), newIdentity(t, 3, IdentityOptions{})

	// m has r's certificate, but its own key.
	fake := &Identity{certificate: r.certificate, x25519: m.x25519}
	ki, kr := agree(t, i, fake, Policy{}, Policy{})
	if _, err := kr.Open(seal(ki, []byte("hello"), 1)); !errors.Is(err, ErrVerify) {
		t.Errorf("an impersonated responder: got %v, want ErrVerify", err)
	}
	// m has i's certificate, but its own key.
	fake = &Identity{certificate: i.certificate, x25519: m.x25519}
	ki, kr = agree(t, fake, r, Policy{}, Policy{})
	if _, err := kr.Open(seal(ki, []byte("hello"), 1)); !errors.Is(err, ErrVerify) {
		t.Errorf("an impersonated initiator: got %v, want ErrVerify", err)
	}
}

// Fresh seeds give fresh keys: what one session sealed, the next can't open.
func TestSessionsAreIndependent(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	skrc, a, err := r.Respond(seedOf(2), i.Parsed(), in.Component(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	ki, err := in.Complete(skrc)
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := r.Respond(seedOf(3), i.Parsed(), in.Component(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	d := seal(ki, []byte("hello"), 1)
	if _, err := b.Open(bytes.Clone(d)); !errors.Is(err, ErrVerify) {
		t.Errorf("another session's keys: got %v, want ErrVerify", err)
	}
	if _, err := a.Open(d); err != nil {
		t.Errorf("the right keys: %v", err)
	}
}

func TestModernRefusesBadShares(t *testing.T) {
	i, r := newIdentity(t, 1, IdentityOptions{}), newIdentity(t, 2, IdentityOptions{})
	in, err := i.Initiate(seedOf(1), r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	build := func(group DHGroup, share []byte, suites Suite) []byte {
		b := element.AppendOptionVLU(nil, keyGroupSelect, uint64(GroupX25519))
		b = appendGroupKey(b, keyEphemeral, group, share)
		return element.AppendOptionVLU(b, keyAEAD, uint64(suites))
	}
	good := bytes.Repeat([]byte{9}, 32)
	for _, c := range []struct {
		name string
		skic []byte
		want error
	}{
		{"zero share", build(GroupX25519, make([]byte, 32), allSuites), ErrPublicKey},
		{"share of order 2", build(GroupX25519, append([]byte{1}, make([]byte, 31)...), allSuites), ErrPublicKey},
		{"short share", build(GroupX25519, good[:31], allSuites), ErrPublicKey},
		{"other group", build(Group14, good, allSuites), ErrKeying},
		{"only unknown suites", build(GroupX25519, good, 1<<30), ErrKeying},
		{"no suites", build(GroupX25519, good, 0), ErrDowngrade},
		{"empty", nil, ErrDowngrade},
		{"truncated", in.Component()[:10], ErrKeying},
		{"two shares", append(build(GroupX25519, good, allSuites), build(GroupX25519, good, allSuites)...), ErrKeying},
	} {
		if _, _, err := r.Respond(seedOf(2), i.Parsed(), c.skic, Policy{}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	// A responder that knows future suites picks ours from a longer list.
	if _, _, err := r.Respond(seedOf(2), i.Parsed(), build(GroupX25519, good, 0xff), Policy{}); err != nil {
		t.Errorf("a longer offer: %v", err)
	}
}
