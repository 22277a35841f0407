package crypto

// RFC 7425 §4.3, Certificates.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"rtmfp/internal/element"
)

func TestParseCertificate(t *testing.T) {
	x := "21" + "1d" + "1f" + strings.Repeat("11", 32)
	x = "22" + x[2:]
	for _, c := range []struct {
		name, hex string
		modern    bool
		err       bool
	}{
		{"modern", x, true, false},
		{"modern and unknown option", x + "02" + "7f" + "00", true, false},
		{"ephemeral", "02150e", false, false},
		{"static legacy", "041d0e0102", false, false},
		{"group 31 behind the marker is not ours", "041d0e010200" + x, false, false},
		{"empty", "", false, true},
		{"no key", "01" + "0a", false, true},
		{"both kinds", "02150e" + x, false, true},
		{"key only behind the marker", "00" + x, false, true},
		{"short X25519", "041d1f0102", false, true},
		{"two X25519", x + x, false, true},
		{"static without group", "011d", false, true},
		{"two hostnames", "0200610200" + "62" + x, false, true},
		{"truncated", x[:20], false, true},
		{"truncated behind the marker", x + "00" + "05", false, true},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseCertificate(b)
		if c.err {
			if !errors.Is(err, ErrCertificate) {
				t.Errorf("%s: got %v, want ErrCertificate", c.name, err)
			}
			continue
		}
		if err != nil || got.Modern() != c.modern || !bytes.Equal(got.Bytes(), b) {
			t.Errorf("%s: got %+v, %v, want modern %v", c.name, got, err, c.modern)
		}
	}
	if _, err := ParseCertificate(make([]byte, MaxCertificate+1)); !errors.Is(err, ErrCertificate) {
		t.Errorf("oversized: got %v, want ErrCertificate", err)
	}
}

// "An implementation MUST ignore a certificate option type that is not
// understood." (§4.3.3) "This option MUST be ignored if is not in the canonical
// section." (§4.3.3.1, and likewise §4.3.3.2, §4.3.3.4, §4.3.3.5)
func TestOptionsOutsideTheCanonicalSection(t *testing.T) {
	id := newIdentity(t, 1, IdentityOptions{RefuseAncillary: true})
	b := bytes.Clone(id.Certificate())
	b = element.AppendOption(b, 0x7f, []byte("not understood"))
	b = append(b, 0)
	b = element.AppendOption(b, certHostname, []byte("example"))
	b = element.AppendOption(b, certAcceptsAncillary, nil)
	b = element.AppendOptionVLU(b, certEphemeralGroup, uint64(Group2))
	b = appendGroupKey(b, certStaticKey, Group14, bytes.Repeat([]byte{0x5a}, 256))
	b = element.AppendOption(b, certSigningKey, make([]byte, 32))
	c, err := ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	if c.SelectedBy(EPD{HasHostname: true, Hostname: []byte("example")}.Append(nil)) || c.SelectedBy(EPDForURL("rtmfp://example")) {
		t.Error("a hostname or ancillary data behind the marker selects it")
	}
	if _, ok := c.SigningKey(); ok || c.supports(Group2) || c.supports(Group14) || !c.Modern() {
		t.Error("keys behind the marker count, or the one before it does not")
	}
}

// "A certificate's fingerprint is the SHA-256 hash [SHA256] of the canonical
// section of the certificate" (§4.3.2).
func TestFingerprintIsOfCanonicalSection(t *testing.T) {
	id := newIdentity(t, 1, IdentityOptions{})
	long := append(bytes.Clone(id.Certificate()), 0, 2, 0x7f, 1)
	c, err := ParseCertificate(long)
	if err != nil {
		t.Fatal(err)
	}
	if c.PeerID() != id.PeerID() || c.PeerID() != sha256.Sum256(id.Certificate()) {
		t.Errorf("peer id with a trailer: got %v, want %v", c.PeerID(), id.PeerID())
	}
	if c.Equal(id.Parsed()) {
		t.Error("different bytes count as the identical certificate")
	}
	long[3] ^= 1
	if c.PeerID() != id.PeerID() {
		t.Error("the certificate lives in the caller's buffer")
	}
}

// "The presence of this option means that the certificate uses ephemeral
// Diffie-Hellman public keys only. The certificate MUST NOT contain a Static
// Diffie-Hellman public key" (§4.3.3.4), and the other way around (§4.3.3.5).
func TestCertificateLayout(t *testing.T) {
	id := newIdentity(t, 1, IdentityOptions{Modern: true, Groups: []DHGroup{Group2}, Hostname: "example"})
	var types []uint64
	for o := range options(id.Certificate()) {
		types = append(types, o.Type)
	}
	if len(types) != 4 || types[0] != certHostname || types[1] != certAcceptsAncillary || types[2] != certStaticKey || types[3] != certStaticKey {
		t.Errorf("option types: got %#x", types)
	}
	want := appendGroupKey(nil, certStaticKey, GroupX25519, id.x25519.public[:])
	if !bytes.Contains(id.Certificate(), want) {
		t.Errorf("certificate %x lacks %x", id.Certificate(), want)
	}
	if !bytes.HasPrefix(id.Certificate(), element.AppendOption(nil, certHostname, []byte("example"))) {
		t.Errorf("certificate %x does not begin with the hostname", id.Certificate())
	}
}

// RFC 7425 §4.3.5: "A verifier MUST interpret a malformed signature field or a
// signature field consisting only of a UTF-8 capital "X" as though it was
// empty", and "SHOULD ignore option types that are not understood".
func TestSignatureField(t *testing.T) {
	signature := element.AppendOption(nil, sigEd25519, bytes.Repeat([]byte{7}, 64))
	password := element.AppendOption(nil, 0x1d, bytes.Repeat([]byte{8}, 40))
	for _, c := range []struct {
		name  string
		field []byte
		ok    bool
	}{
		{"empty", nil, false},
		{"X", []byte("X"), false},
		{"a simple password", password, false},
		{"a marker", []byte{0}, false},
		{"a signature", signature, true},
		{"a signature behind others", append(bytes.Clone(password), signature...), true},
		{"malformed behind the signature", append(bytes.Clone(signature), 'X'), false},
		{"truncated", signature[:10], false},
	} {
		if value, ok := signatureOption(c.field); ok != c.ok || ok && len(value) != 64 {
			t.Errorf("%s: got %x, %v", c.name, value, ok)
		}
	}
}

// "The near end prevails as the Initiator in case of glare if its certificate is
// ordered before, or is identical to, the certificate of the far end." "If the
// certificates are not the same length and they are identical up to the length
// of the shorter certificate, then the shorter certificate is ordered before the
// longer." (§4.3.6)
func TestGlare(t *testing.T) {
	a, b := newIdentity(t, 1, IdentityOptions{}).Parsed(), newIdentity(t, 2, IdentityOptions{}).Parsed()
	if a.Prevails(b) == b.Prevails(a) {
		t.Error("in a glare exactly one end must prevail")
	}
	if !a.Prevails(a) {
		t.Error("identical certificates: both prevail (RFC 7425 §4.3.6)")
	}
	if long := (&Certificate{raw: append(bytes.Clone(a.raw), 0)}); !a.Prevails(long) || long.Prevails(a) {
		t.Error("the shorter of two that agree comes first")
	}
}

// "A new incoming session overrides an existing session only if the certificate
// for the new session is identical to the certificate for the existing session."
// (§4.3.7)
func TestIdenticalCertificates(t *testing.T) {
	a := newIdentity(t, 1, IdentityOptions{}).Parsed()
	again, err := ParseCertificate(a.Bytes())
	if err != nil || !a.Equal(again) {
		t.Errorf("the same bytes: %v, not identical", err)
	}
	longer, err := ParseCertificate(append(bytes.Clone(a.Bytes()), 0))
	if err != nil || a.Equal(longer) || longer.PeerID() != a.PeerID() {
		t.Errorf("one with the same fingerprint and a marker more: %v, identical", err)
	}
}
