package crypto

// RFC 7425 §4.5, Session Keying Components.

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"rtmfp/internal/element"
)

// "This option MUST NOT be sent more than once." (§4.5.2.1, §4.5.2.3) "An
// implementation MUST ignore a session keying component option type that is not
// understood." (§4.5.2)
func TestComponentOptions(t *testing.T) {
	share := appendGroupKey(nil, keyEphemeral, Group2, []byte{1, 2, 3})
	selected := element.AppendOptionVLU(nil, keyGroupSelect, uint64(Group2))
	unknown := element.AppendOption(nil, 0x99, []byte("?"))
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"nothing", nil, true},
		{"a share", share, true},
		{"two shares", slices.Concat(share, share), false},
		{"a selection", selected, true},
		{"two selections", slices.Concat(selected, selected), false},
		{"unknown options and a marker", slices.Concat(unknown, []byte{0}, share, unknown), true},
		{"a truncated option", share[:3], false},
		{"a share without a group", []byte{1, keyEphemeral}, false},
		{"a negotiation without flags", []byte{1, keyHMAC}, false},
		{"a negotiation without a length", []byte{2, keyHMAC, 1}, false},
		{"a numbering without flags", []byte{1, keySSEQ}, false},
	} {
		if _, err := parseComponent(c.b); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrKeying) {
			t.Errorf("%s: got %v, want ok = %v", c.name, err, c.ok)
		}
	}
}

// The components that we write have the options in the order of the reference
// implementation.
func TestLegacyComponentsLayout(t *testing.T) {
	id := newIdentity(t, 1, IdentityOptions{Groups: []DHGroup{Group14}})
	ephemeral := newIdentity(t, 2, IdentityOptions{Groups: []DHGroup{Group14}, Ephemeral: true})
	p := Policy{AllowLegacy: true, HMAC: Always, SSEQ: OnRequest, HMACLength: 10}
	in, err := id.Initiate(seedOf(3), ephemeral.Parsed(), p)
	if err != nil {
		t.Fatal(err)
	}
	seed := seedOf(3)
	want := "021d0e" + "410e" + hex.EncodeToString(seed[:]) + "031a070a" + "021e02"
	if got := hex.EncodeToString(in.Component()); got != want {
		t.Errorf("SKIC:\n got %s\nwant %s", got, want)
	}
	skrc, _, err := ephemeral.Respond(seedOf(4), id.Parsed(), in.Component(), Policy{AllowLegacy: true, HMAC: OnRequest, SSEQ: OnRequest})
	if err != nil {
		t.Fatal(err)
	}
	if want := "021e02" + "031a0610" + "82020d0e"; !strings.HasPrefix(hex.EncodeToString(skrc), want) {
		t.Errorf("SKRC: got %x, want %s…", skrc, want)
	}
	if want := "02150e" + "410e"; !strings.Contains(hex.EncodeToString(ephemeral.Certificate()), want) {
		t.Errorf("ephemeral certificate %x lacks %s", ephemeral.Certificate(), want)
	}
	if want := "010a" + "82021d0e"; !strings.HasPrefix(hex.EncodeToString(id.Certificate()), want) {
		t.Errorf("static certificate: got %x, want %s…", id.Certificate(), want)
	}
}

// "This value MUST be between 4 and 32 inclusive, or 0 if and only if
// willSendAlways and willSendOnRequest are clear" (RFC 7425 §4.5.2.4).
func TestHMACLengthAnnounced(t *testing.T) {
	for _, c := range []struct {
		p    Policy
		want uint64
	}{{Policy{}, 16}, {Policy{HMACLength: 32}, 32}, {Policy{HMAC: OnRequest}, 16}, {Policy{HMAC: Never, HMACLength: 8}, 0}} {
		got, err := parseComponent(appendHMACOption(nil, c.p.HMAC.flags(), c.p))
		if err != nil || got.hmacLength != c.want {
			t.Errorf("%+v: announces %d bytes, %v; want %d", c.p, got.hmacLength, err, c.want)
		}
	}
}

// "The Initiator MUST send this option when it advertises a static Diffie-Hellman
// public key in its certificate and MUST NOT send this option if it sends an
// ephemeral Diffie-Hellman public key." (§4.5.2.3)
func TestLegacyRefusesBadKeying(t *testing.T) {
	static := newIdentity(t, 1, IdentityOptions{Groups: []DHGroup{Group2}})
	ephemeral := newIdentity(t, 2, IdentityOptions{Groups: []DHGroup{Group2}, Ephemeral: true})
	allow := Policy{AllowLegacy: true}
	key, _ := static.legacyKey(Group2)
	share := appendGroupKey(nil, keyEphemeral, Group2, key.public)
	selected := element.AppendOptionVLU(nil, keyGroupSelect, uint64(Group2))
	negotiation := []byte{3, keyHMAC, 3, 16, 2, keySSEQ, 3}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, c := range []struct {
		name string
		far  *Identity
		skic []byte
		want error
	}{
		{"static without selection", static, negotiation, ErrKeying},
		{"static with a share", static, join(selected, share, negotiation), ErrKeying},
		{"static, group not in the certificate", static, join(element.AppendOptionVLU(nil, keyGroupSelect, 14), negotiation), ErrKeying},
		{"ephemeral without a share", ephemeral, negotiation, ErrKeying},
		{"ephemeral with a selection", ephemeral, join(selected, share, negotiation), ErrKeying},
		{"ephemeral, unknown group", ephemeral, join(appendGroupKey(nil, keyEphemeral, 14, key.public), negotiation), ErrNoCommonGroup},
		{"ephemeral, bad key", ephemeral, join(appendGroupKey(nil, keyEphemeral, Group2, []byte{1}), negotiation), ErrPublicKey},
		{"no HMAC to be had", ephemeral, share, ErrKeying},
		{"empty HMAC option", ephemeral, join(share, []byte{1, keyHMAC}), ErrKeying},
		{"empty SSEQ option", ephemeral, join(share, []byte{1, keySSEQ}), ErrKeying},
	} {
		if _, _, err := static.Respond(seedOf(3), c.far.Parsed(), c.skic, allow); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := static.Initiate(seedOf(1), ephemeral.Parsed(), Policy{AllowLegacy: true, HMACLength: 3}); err == nil {
		t.Error("an HMAC of 3 bytes was accepted")
	}
}
