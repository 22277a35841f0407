package crypto

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

// Only what stands before the first marker makes the peer id.
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

// RFC 7425 §4.4.3.
func TestSelection(t *testing.T) {
	plain := newIdentity(t, 1, IdentityOptions{})
	named := newIdentity(t, 2, IdentityOptions{Hostname: "example"})
	closed := newIdentity(t, 3, IdentityOptions{RefuseAncillary: true})
	url := EPDForURL("rtmfp://example/app")
	host := element.AppendOption(nil, epdHostname, []byte("example"))
	other := element.AppendOption(nil, epdHostname, []byte("other"))
	unknown := element.AppendOption(nil, 0x55, []byte("?"))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, c := range []struct {
		name                string
		epd                 []byte
		plain, named, close bool
	}{
		{"nothing", nil, false, false, false},
		{"only an unknown option", unknown, false, false, false},
		{"own fingerprint", EPDForPeer(plain.PeerID()), true, false, false},
		{"fingerprint beats the rest", join(other, url, EPDForPeer(closed.PeerID())), false, false, true},
		{"fingerprint of none", join(url, EPDForPeer(PeerID{})), false, false, false},
		{"url", url, true, true, false},
		{"url and unknown", join(unknown, url), true, true, false},
		{"hostname", host, false, true, false},
		{"other hostname", other, false, false, false},
		{"hostname and url", join(host, url), false, true, false},
		{"other hostname and url", join(other, url), false, false, false},
		{"two urls", join(url, url), false, false, false},
		{"truncated", url[:5], false, false, false},
		{"short fingerprint", element.AppendOption(nil, epdFingerprint, make([]byte, 31)), false, false, false},
	} {
		for id, want := range map[*Identity]bool{plain: c.plain, named: c.named, closed: c.close} {
			if got := id.Selects(c.epd); got != want {
				t.Errorf("%s: selects %x: got %v, want %v", c.name, id.Certificate(), got, want)
			}
		}
	}
}

func TestParseEPD(t *testing.T) {
	p := PeerID{1, 2, 3}
	e, ok := ParseEPD(append(EPDForURL("rtmfp://x"), EPDForPeer(p)...))
	if !ok || !e.HasFingerprint || e.Fingerprint != p || !e.HasAncillary || string(e.Ancillary) != "rtmfp://x" || e.HasHostname {
		t.Errorf("got %+v, %v", e, ok)
	}
	if got := EPDForPeer(p); len(got) != 34 || got[0] != 0x21 || got[1] != 0x0f {
		t.Errorf("the canonical EPD must begin with 210f: got %x", got)
	}
}

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

func TestPeerIDText(t *testing.T) {
	p := PeerID{0xab, 31: 0xcd}
	if got, err := ParsePeerID(strings.ToUpper(p.String())); err != nil || got != p {
		t.Errorf("got %v, %v, want %v", got, err, p)
	}
	for _, bad := range []string{"", "ab", p.String() + "00", "x" + p.String()[1:]} {
		if _, err := ParsePeerID(bad); err == nil {
			t.Errorf("ParsePeerID(%q) succeeded", bad)
		}
	}
}
