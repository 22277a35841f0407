package crypto

import (
	"bytes"
	"testing"

	"rtmfp/internal/element"
)

func FuzzCertificate(f *testing.F) {
	for _, o := range []IdentityOptions{{}, {Hostname: "h"}, {Groups: []DHGroup{Group2}, Ephemeral: true}} {
		f.Add(newIdentity(f, 1, o).Certificate(), EPDForURL("rtmfp://h"))
	}
	f.Add(newIdentity(f, 1, IdentityOptions{Sign: true, Ephemeral: true}).Certificate(), []byte{})
	f.Add([]byte{2, 0x15, 2, 0, 5, 1, 2, 3, 4, 5}, []byte{1, 0})
	f.Fuzz(func(t *testing.T, b, epd []byte) {
		c, err := ParseCertificate(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Bytes(), b) {
			t.Errorf("the bytes changed")
		}
		if !c.SelectedBy(EPDForPeer(c.PeerID())) {
			t.Errorf("its own fingerprint does not select it")
		}
		if c.SelectedBy(epd) {
			if _, ok := ParseEPD(epd); !ok {
				t.Errorf("a malformed EPD selects it")
			}
		}
		for _, g := range []DHGroup{Group2, Group5, Group14, Group16, GroupX25519} {
			if _, ok := c.staticKey(g); ok && !c.static() {
				t.Errorf("a static key of group %d in an ephemeral certificate", g)
			}
		}
	})
}

func FuzzEPD(f *testing.F) {
	f.Add(EPDForURL("rtmfp://example/app"))
	f.Add(EPDForPeer(PeerID{1, 2, 3}))
	f.Add([]byte{2, 0, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := ParseEPD(b)
		if !ok {
			return
		}
		again := e.Append(nil)
		g, ok := ParseEPD(again)
		if !ok || g.Fingerprint != e.Fingerprint || !bytes.Equal(g.Hostname, e.Hostname) || !bytes.Equal(g.Ancillary, e.Ancillary) {
			t.Errorf("%x read as %+v, and again as %+v", b, e, g)
		}
	})
}

// The two faces of a responder take any initiator component, and an initiator
// any answer, without harm.
func FuzzKeying(f *testing.F) {
	modern := newIdentity(f, 1, IdentityOptions{})
	legacy := newIdentity(f, 2, IdentityOptions{Groups: []DHGroup{Group2}})
	ephemeral := newIdentity(f, 3, IdentityOptions{Groups: []DHGroup{Group2}, Ephemeral: true})
	anonymous := newIdentity(f, 4, IdentityOptions{Ephemeral: true})
	signer := newIdentity(f, 5, IdentityOptions{Sign: true})
	allow := Policy{AllowLegacy: true, HMAC: OnRequest, SSEQ: OnRequest, Hybrid: HybridOffer}
	all := []*Identity{modern, legacy, ephemeral, anonymous}
	simulated := Policy{Simulation: true}
	for _, id := range all {
		in, err := id.Initiate(seedOf(1), id.Parsed(), allow)
		if err != nil {
			f.Fatal(err)
		}
		skrc, _, err := id.Respond(seedOf(2), id.Parsed(), in.Component(), allow)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in.Component())
		f.Add(skrc)
	}
	f.Add(element.AppendOption(nil, keySimulation, make([]byte, 32)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := modern.Respond(seedOf(3), signer.Parsed(), b, allow); err == nil {
			t.Errorf("%x is taken from one who signs", b)
		}
		_, k, err := modern.Respond(seedOf(3), modern.Parsed(), b, simulated)
		if err == nil {
			seal(k, []byte("x"), 1)
		}
		for _, id := range all {
			if skrc, k, err := id.Respond(seedOf(3), id.Parsed(), b, allow); err == nil {
				if k == nil || len(skrc) == 0 {
					t.Fatal("no error and no keys")
				}
				seal(k, []byte("x"), 1)
			}
			in, err := id.Initiate(seedOf(1), id.Parsed(), allow)
			if err != nil {
				t.Fatal(err)
			}
			if k, err := in.Complete(b); (err == nil) != (k != nil) {
				t.Errorf("keys %v with error %v", k, err)
			}
		}
	})
}

// Open takes anything. What the true sender sealed, with a byte changed or not,
// opens to the same packet or not at all, except under a bare checksum.
func FuzzOpen(f *testing.F) {
	keys := pairs(f)
	names := []string{"AES-128-GCM", "HMAC+SSEQ", "HMAC", "checksum+SSEQ", "checksum", "default",
		"AES-256-GCM", "ChaCha20-Poly1305", "simulation"}
	f.Add([]byte("packet"), uint8(0), uint16(3), uint8(1))
	f.Add(make([]byte, 64), uint8(5), uint16(60), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, which uint8, at uint16, flip uint8) {
		name := names[int(which)%len(names)]
		k := keys[name]
		_, _ = k[1].Open(bytes.Clone(b))
		if len(b) == 0 {
			return
		}
		// A checksum lets one forgery in 65536 through, which may have moved the window.
		if c, ok := k[1].packets.(*cbcKeys); ok {
			c.replay = replay{}
		}
		d := seal(k[0], b, 1)
		// The session id in front is not protected: the index of sessions is.
		i := sessionIDSize + int(at)%(len(d)-sessionIDSize)
		d[i] ^= flip
		got, err := k[1].Open(d)
		if flip == 0 && (err != nil || !bytes.Equal(unpad(got, b), b)) {
			t.Errorf("%s: %x came back as %x, %v", name, b, got, err)
		}
		if flip != 0 && err == nil && name != "checksum" && name != "checksum+SSEQ" && name != "default" {
			t.Errorf("%s: forged byte %d of %x opened", name, i, d)
		}
	})
}

func FuzzIdentityText(f *testing.F) {
	text, err := newIdentity(f, 1, IdentityOptions{}).MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	if text, err = newIdentity(f, 2, IdentityOptions{Sign: true, Modern: true, Groups: []DHGroup{Group2}}).MarshalText(); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		var id Identity
		if id.UnmarshalText(b) == nil && id.certificate == nil {
			t.Errorf("an identity without a certificate")
		}
	})
}
