package crypto

// RFC 7425 §4.4, Endpoint Discriminators.

import (
	"bytes"
	"testing"

	"rtmfp/internal/element"
)

// "An EPD MUST contain at least one of Fingerprint, Required Hostname, or
// Ancillary Data options to select any certificate." "A Fingerprint EPD option
// selects or rejects a certificate no matter what other options are present."
// "Without a Fingerprint option, a Required Hostname EPD option, if present,
// REQUIRES an identical Hostname option in the certificate." "Without a
// Fingerprint option, an Ancillary Data EPD option, if present, REQUIRES that the
// certificate has an Accepts Ancillary Data option." (§4.4.3) "An implementation
// MUST ignore EPD option types that are not understood." (§4.4.2)
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

// "That is, the Canonical Endpoint Discriminator MUST be exactly 34 bytes long,
// with a length field of 0x21 encoded as one byte, a type code of 0x0f encoded as
// one byte, and 32 bytes of fingerprint." (§4.4.4)
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

// "This option MUST NOT occur more than once in an EPD." (§4.4.2.1 to §4.4.2.3)
func TestEPDOptionsTwice(t *testing.T) {
	for name, e := range map[string]EPD{
		"hostname":    {HasHostname: true, Hostname: []byte("example")},
		"ancillary":   {HasAncillary: true, Ancillary: []byte("rtmfp://example")},
		"fingerprint": {HasFingerprint: true, Fingerprint: PeerID{1}},
	} {
		once := e.Append(nil)
		if _, ok := ParseEPD(once); !ok {
			t.Errorf("%s: refused", name)
		}
		if _, ok := ParseEPD(e.Append(once)); ok {
			t.Errorf("%s twice: accepted", name)
		}
	}
}
