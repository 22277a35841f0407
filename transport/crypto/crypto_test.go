package crypto

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// source is a deterministic randomness; the tests name their seeds.
func source(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

const allSuites = AES128GCM | AES256GCM | ChaCha20Poly1305

func seedOf(b byte) (s Seed) {
	_, _ = source(b).Read(s[:])
	return s
}

func newIdentity(t testing.TB, seed byte, o IdentityOptions) *Identity {
	t.Helper()
	id, err := NewIdentity(source(seed), o)
	if err != nil {
		t.Fatalf("NewIdentity(%+v): %v", o, err)
	}
	return id
}

// agree runs a handshake and returns the keys of both ends.
func agree(t testing.TB, initiator, responder *Identity, pi, pr Policy) (ki, kr *SessionKeys) {
	t.Helper()
	in, err := initiator.Initiate(seedOf(101), responder.Parsed(), pi)
	if err != nil {
		t.Fatalf("Initiate: %v", err)
	}
	skrc, kr, err := responder.Respond(seedOf(102), initiator.Parsed(), in.Component(), pr)
	if err != nil {
		t.Fatalf("Respond: %v", err)
	}
	if ki, err = in.Complete(skrc); err != nil {
		t.Fatalf("Complete: %v", err)
	}
	return ki, kr
}

// seal puts a packet into a fresh buffer and seals it.
func seal(k *SessionKeys, packet []byte, sid uint32) []byte {
	b := make([]byte, sessionIDSize+k.Headroom(), len(packet)+Overhead)
	return k.Seal(append(b, packet...), sid)
}

// unpad cuts the padding off a legacy packet that should begin with want.
func unpad(got, want []byte) []byte {
	if len(got) >= len(want) && len(bytes.Trim(got[len(want):], "\xff")) == 0 {
		return got[:len(want)]
	}
	return got
}

func exchange(t *testing.T, from, to *SessionKeys) {
	t.Helper()
	for n := 1; n <= 300; n++ { // a packet has at least its header
		packet := bytes.Repeat([]byte{1}, n)
		d := seal(from, packet, 0xdeadbeef)
		if got := SessionID(d); got != 0xdeadbeef {
			t.Fatalf("packet of %d bytes: session id %#x", n, got)
		}
		got, err := to.Open(d)
		if err != nil {
			t.Fatalf("packet of %d bytes: %v", n, err)
		}
		if !bytes.Equal(unpad(got, packet), packet) {
			t.Fatalf("packet of %d bytes: got %x", n, got)
		}
	}
}

// Every kind of identity talks to every other that it has a face in common
// with, both ways, and both ends have the same nonces.
func TestHandshake(t *testing.T) {
	modern := IdentityOptions{}
	both := IdentityOptions{Modern: true, Groups: []DHGroup{Group14, Group2}}
	static := IdentityOptions{Groups: []DHGroup{Group14, Group2}, Hostname: "example"}
	ephemeral := IdentityOptions{Groups: []DHGroup{Group2}, Ephemeral: true}
	anonymous := IdentityOptions{Ephemeral: true}
	big := IdentityOptions{Groups: []DHGroup{Group16, Group5}}
	five := IdentityOptions{Groups: []DHGroup{Group5}, Ephemeral: true}
	allow := Policy{AllowLegacy: true}
	for _, c := range []struct {
		name                 string
		initiator, responder IdentityOptions
		pi, pr               Policy
		want                 string
	}{
		{"modern-modern", modern, modern, Policy{}, Policy{}, "AES-128-GCM/X25519"},
		{"modern-modern, AES-256", modern, modern, Policy{}, Policy{Suites: []Suite{AES256GCM, AES128GCM}}, "AES-256-GCM/X25519"},
		{"modern-modern, ChaCha", modern, modern, Policy{Suites: []Suite{ChaCha20Poly1305, AES256GCM}},
			Policy{Suites: []Suite{AES128GCM, ChaCha20Poly1305}}, "ChaCha20-Poly1305/X25519"},
		{"hybrid", modern, modern, Policy{Hybrid: HybridOffer}, Policy{Hybrid: HybridRequire}, "AES-128-GCM/X25519+ML-KEM-768"},
		{"hybrid not wanted", modern, modern, Policy{Hybrid: HybridOffer}, Policy{}, "AES-128-GCM/X25519"},
		{"anonymous-modern", anonymous, modern, Policy{}, Policy{AllowEphemeral: true}, "AES-128-GCM/X25519"},
		{"modern-anonymous", modern, anonymous, Policy{AllowEphemeral: true}, Policy{}, "AES-128-GCM/X25519"},
		{"anonymous-anonymous", anonymous, anonymous, allow, allow, "AES-128-GCM/X25519"},
		{"simulation", modern, modern, Policy{Simulation: true}, Policy{Simulation: true}, "none (simulation)"},
		{"modern-both", modern, both, Policy{}, allow, "AES-128-GCM/X25519"},
		{"both-both", both, both, allow, allow, "AES-128-GCM/X25519"},
		{"both-static", both, static, allow, allow, "AES-128-CBC/MODP-14/HMAC-SHA256+SSEQ"},
		{"static-both", static, both, allow, allow, "AES-128-CBC/MODP-14/HMAC-SHA256+SSEQ"},
		{"static-ephemeral", static, ephemeral, allow, allow, "AES-128-CBC/MODP-2/HMAC-SHA256+SSEQ"},
		{"ephemeral-static", ephemeral, static, allow, allow, "AES-128-CBC/MODP-2/HMAC-SHA256+SSEQ"},
		{"ephemeral-ephemeral", ephemeral, ephemeral, allow, allow, "AES-128-CBC/MODP-2/HMAC-SHA256+SSEQ"},
		{"group 16", big, big, allow, allow, "AES-128-CBC/MODP-16/HMAC-SHA256+SSEQ"},
		{"group 5", big, five, allow, allow, "AES-128-CBC/MODP-5/HMAC-SHA256+SSEQ"},
		{"checksum", static, static, Policy{AllowLegacy: true, HMAC: OnRequest, SSEQ: OnRequest},
			Policy{AllowLegacy: true, HMAC: OnRequest, SSEQ: OnRequest}, "AES-128-CBC/MODP-14/checksum"},
		{"asked by one", static, static, Policy{AllowLegacy: true, HMAC: OnRequest, SSEQ: OnRequest},
			Policy{AllowLegacy: true, HMAC: Require, SSEQ: Always, HMACLength: 4}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, r := newIdentity(t, 1, c.initiator), newIdentity(t, 2, c.responder)
			ki, kr := agree(t, i, r, c.pi, c.pr)
			if c.want != "" && (ki.Suite() != c.want || kr.Suite() != c.want) {
				t.Errorf("suites: got %q and %q, want %q", ki.Suite(), kr.Suite(), c.want)
			}
			if ki.NearNonce != kr.FarNonce || ki.FarNonce != kr.NearNonce || ki.NearNonce == ki.FarNonce {
				t.Errorf("nonces don't mirror: %x %x, %x %x", ki.NearNonce, ki.FarNonce, kr.NearNonce, kr.FarNonce)
			}
			exchange(t, ki, kr)
			exchange(t, kr, ki)
		})
	}
}
