package crypto

import (
	"bytes"
	"crypto/ecdh"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the vectors of docs/crypto.md anew")

// The document that specifies the modern profile is also the golden file.
const document = "../../docs/crypto.md"

func counting(from byte) (s Seed) {
	for i := range s {
		s[i] = from + byte(i)
	}
	return s
}

// The vectors of the specification: a change of any of them is a change of the
// protocol.
func TestModernVectors(t *testing.T) {
	var out strings.Builder
	put := func(name string, b []byte) { fmt.Fprintf(&out, "    %-24s %x\n", name, b) }

	identity := func(from byte) *Identity {
		seed := counting(from)
		id, err := NewIdentity(bytes.NewReader(seed[:]), IdentityOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	i, r := identity(0x00), identity(0x20)
	put("initiator static", i.x25519.Bytes())
	put("initiator certificate", i.Certificate())
	id := i.PeerID()
	put("initiator peer id", id[:])
	put("responder static", r.x25519.Bytes())
	put("responder certificate", r.Certificate())
	id = r.PeerID()
	put("responder peer id", id[:])

	seedI, seedR := counting(0x40), counting(0x60)
	in, err := i.Initiate(seedI, r.Parsed(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	skrc, kr, err := r.Respond(seedR, i.Parsed(), in.Component(), Policy{})
	if err != nil {
		t.Fatal(err)
	}
	ki, err := in.Complete(skrc)
	if err != nil {
		t.Fatal(err)
	}
	put("initiator ephemeral", seedI[:x25519Size])
	put("SKIC", in.Component())
	put("responder ephemeral", seedR[:x25519Size])
	put("SKRC", skrc)

	// The shared secrets as the initiator has them, in the order of the document.
	var dh []byte
	ephemeral, err := ecdh.X25519().NewPrivateKey(seedR[:x25519Size])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [...]struct {
		private *ecdh.PrivateKey
		public  *ecdh.PublicKey
	}{{in.modern, ephemeral.PublicKey()}, {i.x25519, ephemeral.PublicKey()}, {in.modern, r.x25519.PublicKey()}} {
		if dh, err = appendX25519(dh, p.private, p.public); err != nil {
			t.Fatal(err)
		}
	}
	put("dh", dh)
	s := modernSchedule(dh, i.Parsed(), r.Parsed(), in.Component(), skrc)
	put("initiator key", s.initiatorKey[:])
	put("initiator iv", s.initiatorIV[:])
	put("initiator nonce", s.initiatorNonce[:])
	put("responder key", s.responderKey[:])
	put("responder iv", s.responderIV[:])
	put("responder nonce", s.responderNonce[:])
	if ki.NearNonce != s.initiatorNonce || kr.NearNonce != s.responderNonce {
		t.Errorf("the schedule has nonces %x and %x, the handshake %x and %x", s.initiatorNonce, s.responderNonce, ki.NearNonce, kr.NearNonce)
	}

	for _, d := range []struct {
		who      string
		packet   []byte
		sid      uint32
		from, to *SessionKeys
	}{
		{"initiator", []byte("\x09\x12\x34\x01\x00\x05hello"), 0x02000000, ki, kr},
		{"responder", []byte("\x0a\x43\x21\x41\x00\x05hello"), 0x03000000, kr, ki},
	} {
		put(d.who+" packet", d.packet)
		put(d.who+" to session id", []byte{byte(d.sid >> 24), byte(d.sid >> 16), byte(d.sid >> 8), byte(d.sid)})
		for _, name := range []string{" datagram", " datagram 2"} {
			b := seal(d.from, d.packet, d.sid)
			put(d.who+name, b)
			if got, err := d.to.Open(b); err != nil || !bytes.Equal(got, d.packet) {
				t.Errorf("%s%s: opened %x, %v", d.who, name, got, err)
			}
		}
	}

	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- vectors -->\n", "<!-- end of vectors -->"
	before, rest, ok := strings.Cut(string(text), begin)
	written, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for vectors", document)
	}
	if *update {
		if err := os.WriteFile(document, []byte(before+begin+"\n"+out.String()+"\n"+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if strings.TrimSpace(written) != strings.TrimSpace(out.String()) {
		t.Errorf("the vectors of %s:\n%s\ngot:\n%s", document, written, out.String())
	}
}
