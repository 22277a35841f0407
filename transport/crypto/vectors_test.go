package crypto

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
)

// vectorFile was made with the RFC 7425 code of RTMFP's co-author.
const vectorFile = "testdata/rfc7425-vectors.txt"

// vector is one "==" section: names and the fields after them.
type vector struct {
	title  string
	fields map[string][]string
}

func readVectors(t *testing.T) (list []vector) {
	t.Helper()
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "== "); ok {
			list = append(list, vector{title, map[string][]string{}})
		} else if f := strings.Fields(line); len(f) > 1 {
			list[len(list)-1].fields[f[0]] = f[1:]
		}
	}
	return list
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v vector) bytes(t *testing.T, name string) []byte {
	t.Helper()
	f := v.fields[name]
	if len(f) == 0 {
		t.Fatalf("no %s in section %q", name, v.title)
	}
	return unhex(t, f[len(f)-1])
}

// first is like bytes for fields with a remark behind the value.
func (v vector) first(t *testing.T, name string) []byte {
	t.Helper()
	f := v.fields[name]
	if len(f) == 0 {
		t.Fatalf("no %s in section %q", name, v.title)
	}
	return unhex(t, f[0])
}

// The wire of the reference implementation: identities, key schedule,
// negotiation and packets in both directions, by both ends.
func TestLegacyVectors(t *testing.T) {
	sid := regexp.MustCompile(`bytes ([0-9a-f]{8})`)
	sections := 0
	for _, v := range readVectors(t) {
		if _, ok := v.fields["SKIC"]; !ok {
			continue
		}
		sections++
		t.Run(v.title, func(t *testing.T) {
			for _, end := range []string{"I", "R"} {
				c, err := ParseCertificate(v.bytes(t, "CERT_"+end))
				if err != nil {
					t.Fatalf("certificate %s: %v", end, err)
				}
				if got, want := c.PeerID(), PeerID(v.bytes(t, "FINGERPRINT_"+end)); got != want {
					t.Errorf("fingerprint %s: got %v, want %v", end, got, want)
				}
				if c.Modern() {
					t.Errorf("certificate %s counts as modern", end)
				}
				if got := !c.static(); got != strings.Contains(v.title, map[string]string{"I": "initiator=ephemeral", "R": "responder=ephemeral"}[end]) {
					t.Errorf("certificate %s: ephemeral = %v", end, got)
				}
			}
			dh, skic, skrc := v.bytes(t, "DH_SECRET"), v.bytes(t, "SKIC"), v.bytes(t, "SKRC")
			keys := func() (ki, kr *SessionKeys) {
				ki, err := legacySchedule(Group2, dh, skic, skrc)
				if err != nil {
					t.Fatalf("initiator: %v", err)
				}
				if kr, err = legacySchedule(Group2, dh, skrc, skic); err != nil {
					t.Fatalf("responder: %v", err)
				}
				return ki, kr
			}
			ki, kr := keys()
			if want := v.bytes(t, "INITIATOR_NONCE"); !bytes.Equal(ki.NearNonce[:], want) || !bytes.Equal(kr.FarNonce[:], want) {
				t.Errorf("initiator nonce: got %x and %x, want %x", ki.NearNonce, kr.FarNonce, want)
			}
			if want := v.bytes(t, "RESPONDER_NONCE"); !bytes.Equal(kr.NearNonce[:], want) || !bytes.Equal(ki.FarNonce[:], want) {
				t.Errorf("responder nonce: got %x and %x, want %x", kr.NearNonce, ki.FarNonce, want)
			}
			for _, d := range []struct {
				datagram, plain string
				from, to        *SessionKeys
			}{
				{"DATAGRAM_I_TO_R_1", "PLAIN_I_TO_R", ki, kr},
				{"DATAGRAM_I_TO_R_2", "PLAIN_I_TO_R", ki, kr},
				{"DATAGRAM_R_TO_I_1", "PLAIN_R_TO_I", kr, ki},
			} {
				want, plain := v.bytes(t, d.datagram), v.first(t, d.plain)
				m := sid.FindStringSubmatch(strings.Join(v.fields[d.datagram], " "))
				if m == nil {
					t.Fatalf("%s has no session id", d.datagram)
				}
				id := unhex(t, m[1])
				wantID := uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3])
				got := seal(d.from, plain, wantID)
				if !bytes.Equal(got, want) {
					t.Errorf("%s: sealed %x, want %x", d.datagram, got, want)
				}
				if got := SessionID(want); got != wantID {
					t.Errorf("%s: session id %08x, want %08x", d.datagram, got, wantID)
				}
				opened, err := d.to.Open(bytes.Clone(want))
				if err != nil || !bytes.Equal(unpad(opened, plain), plain) {
					t.Errorf("%s: opened %x, %v, want %x", d.datagram, opened, err, plain)
				}
			}
		})
	}
	if sections != 7 {
		t.Errorf("%d sections with keys, want 7", sections)
	}
}
