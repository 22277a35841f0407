package crypto

import (
	"bytes"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"rtmfp/transport/wire"
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

// stream is the randomness of the vectors: bytes that count on and on.
type stream byte

func (s *stream) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(*s)
		*s++
	}
	return len(b), nil
}

// vectorWriter writes sections of named values.
type vectorWriter struct {
	t *testing.T
	strings.Builder
}

func (w *vectorWriter) section(title string) { fmt.Fprintf(w, "\n### %s\n\n", title) }
func (w *vectorWriter) put(name string, b []byte) {
	fmt.Fprintf(w, "    %-24s %x\n", name, b)
}

func (w *vectorWriter) identity(who string, from byte, o IdentityOptions) *Identity {
	w.t.Helper()
	random := stream(from)
	id, err := NewIdentity(&random, o)
	if err != nil {
		w.t.Fatal(err)
	}
	if id.x25519 != nil {
		w.put(who+" static", id.x25519.secret[:])
	}
	if id.signing != nil {
		w.put(who+" Ed25519 seed", id.signing.Seed())
	}
	w.put(who+" certificate", id.Certificate())
	peer := id.PeerID()
	w.put(who+" peer id", peer[:])
	return id
}

// long puts the digest of a value that is too long to read.
func (w *vectorWriter) long(name string, b []byte) {
	if len(b) <= 128 {
		w.put(name, b)
		return
	}
	digest := sha256.Sum256(b)
	w.put("SHA-256("+name+")", digest[:])
}

func (w *vectorWriter) handshake(i, r *Identity, pi, pr Policy) (ki, kr *SessionKeys) {
	w.t.Helper()
	seedI, seedR := counting(0x40), counting(0x60)
	in, err := i.Initiate(seedI, r.Parsed(), pi)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put("initiator ephemeral", seedI[:x25519Size])
	if in.modern.kem != nil {
		w.put("ML-KEM d and z", in.modern.kem.Bytes())
	}
	w.long("SKIC", in.Component())
	ii := wire.IIKeying{SessionID: 0x02000000, CookieEcho: []byte("cookie"), Certificate: i.Certificate(), SKIC: in.Component()}
	ii.Signed = ii.AppendSigned(nil)
	ii.Signature = in.Sign(ii.Signed)
	skrc, kr, err := r.RespondSigned(seedR, i.Parsed(), in.Component(), ii.Signed, ii.Signature, pr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put("responder ephemeral", seedR[:x25519Size])
	if kr.packets.(*aeadKeys).hybrid {
		w.put("ML-KEM m", seedR[x25519Size:])
	}
	w.long("SKRC", skrc)
	ri := wire.RIKeying{SessionID: 0x03000000, SKRC: skrc}
	signed := ri.AppendSigned(nil, in.Component())
	ri.Signed, ri.Signature = signed[:len(signed)-len(in.Component())], r.SignRIKeying(i.Parsed(), signed)
	if ki, err = in.CompleteSigned(skrc, ri.Signed, ri.Signature); err != nil {
		w.t.Fatal(err)
	}
	if r.Signs() || i.Signs() {
		w.put("IIKeying signed", ii.Signed)
		w.put("IIKeying signature", ii.Signature)
		w.put("RIKeying signed", signed)
		w.put("RIKeying signature", ri.Signature)
		return ki, kr
	}
	secrets := secretsOf(w.t, in, skrc)
	w.put("secrets", secrets)
	s := modernSchedule(secrets, transcriptOf(i.Parsed(), r.Parsed(), in.Component(), skrc))
	w.put("initiator secret", s.initiatorSecret[:])
	w.put("initiator nonce", s.initiatorNonce[:])
	w.put("responder secret", s.responderSecret[:])
	w.put("responder nonce", s.responderNonce[:])
	if ki.NearNonce != s.initiatorNonce || kr.NearNonce != s.responderNonce {
		w.t.Errorf("the schedule has nonces %x and %x, the handshake %x and %x", s.initiatorNonce, s.responderNonce, ki.NearNonce, kr.NearNonce)
	}
	return ki, kr
}

// secretsOf returns the shared secrets as the initiator has them.
func secretsOf(t *testing.T, in *Initiation, skrc []byte) []byte {
	t.Helper()
	c, err := parseComponent(skrc)
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := in.identity.agree(true, in.modern.ephemeral, in.far, c)
	if err != nil {
		t.Fatal(err)
	}
	if c.kem != nil {
		secret, err := in.modern.kem.Decapsulate(c.kem)
		if err != nil || len(secret) != mlkem.SharedKeySize {
			t.Fatalf("ML-KEM: %x, %v", secret, err)
		}
		secrets = append(secrets, secret...)
	}
	return secrets
}

var vectorPackets = [2][]byte{[]byte("\x09\x12\x34\x01\x00\x05hello"), []byte("\x0a\x43\x21\x41\x00\x05hello")}

// keysOf puts the key and the IV with which an end seals.
func (w *vectorWriter) keysOf(who string, k *SessionKeys) {
	a := k.packets.(*aeadKeys)
	key := make([]byte, a.cipher.keySize()+aeadNonceSize)
	expandSecret(key, a.send.secret[:], labelKey)
	w.put(who+" key", key[:a.cipher.keySize()])
	w.put(who+" iv", key[a.cipher.keySize():])
}

func (w *vectorWriter) datagram(name string, from, to *SessionKeys, sid uint32, packet []byte) {
	w.t.Helper()
	b := seal(from, packet, sid)
	w.put(name, b)
	if got, err := to.Open(b); err != nil || !bytes.Equal(got, packet) {
		w.t.Errorf("%s: opened %x, %v", name, got, err)
	}
}

// The vectors of the specification: a change of any of them is a change of the
// protocol.
func TestModernVectors(t *testing.T) {
	out := &vectorWriter{t: t}
	out.section("A session")
	i, r := out.identity("initiator", 0x00, IdentityOptions{}), out.identity("responder", 0x20, IdentityOptions{})
	p := Policy{UpdateAfter: 2}
	ki, kr := out.handshake(i, r, Policy{}, p)
	out.keysOf("initiator", ki)
	out.keysOf("responder", kr)
	for n, d := range []struct {
		who      string
		sid      uint32
		from, to *SessionKeys
	}{{"initiator", 0x02000000, ki, kr}, {"responder", 0x03000000, kr, ki}} {
		out.put(d.who+" packet", vectorPackets[n])
		out.put(d.who+" to session id", binary.BigEndian.AppendUint32(nil, d.sid))
		for _, name := range []string{" datagram", " datagram 2"} {
			out.datagram(d.who+name, d.from, d.to, d.sid, vectorPackets[n])
		}
	}

	out.section("Its keys updated by the responder")
	out.datagram("responder datagram 3", kr, ki, 0x03000000, vectorPackets[1])
	out.datagram("initiator datagram 3", ki, kr, 0x02000000, vectorPackets[0])
	for _, e := range []struct {
		who string
		k   *SessionKeys
	}{{"initiator", ki}, {"responder", kr}} {
		if send, receive := e.k.Generation(); send != 1 || receive != 1 {
			t.Errorf("%s: generations %d and %d, want 1", e.who, send, receive)
		}
		out.put(e.who+" secret", e.k.packets.(*aeadKeys).send.secret[:])
		out.keysOf(e.who, e.k)
	}

	for _, suite := range []Suite{AES256GCM, ChaCha20Poly1305} {
		out.section("The same identities and ephemeral keys with " + suite.String())
		p := Policy{Suites: []Suite{suite}}
		ki, kr := out.handshake(i, r, p, p)
		out.keysOf("initiator", ki)
		out.keysOf("responder", kr)
		out.datagram("initiator datagram", ki, kr, 0x02000000, vectorPackets[0])
		out.datagram("responder datagram", kr, ki, 0x03000000, vectorPackets[1])
	}

	out.section("With ML-KEM-768")
	p = Policy{Hybrid: HybridRequire}
	ki, kr = out.handshake(i, r, p, p)
	out.datagram("initiator datagram", ki, kr, 0x02000000, vectorPackets[0])
	out.datagram("responder datagram", kr, ki, 0x03000000, vectorPackets[1])

	out.section("With signatures, and a responder without a static key")
	i = out.identity("initiator", 0x00, IdentityOptions{Sign: true})
	r = out.identity("responder", 0x40, IdentityOptions{Sign: true, Ephemeral: true})
	ki, kr = out.handshake(i, r, Policy{}, Policy{})
	out.datagram("initiator datagram", ki, kr, 0x02000000, vectorPackets[0])
	out.datagram("responder datagram", kr, ki, 0x03000000, vectorPackets[1])

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
		if err := os.WriteFile(document, []byte(before+begin+out.String()+"\n"+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if strings.TrimSpace(written) != strings.TrimSpace(out.String()) {
		t.Errorf("the vectors of %s:\n%s\ngot:\n%s", document, written, out.String())
	}
}
