package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"rtmfp/internal/element"
)

// captures are sessions between this package's owner and rtmfp-cpp, recorded on
// loopback; docs/interop.md tells how.
const captures = "../testdata/interop/*.txt"

// capture is one of them: the shared secret, both components as they were on
// the wire, and every datagram in both directions.
type capture struct {
	name           string
	group          DHGroup
	dh, near, far  []byte // no dh: the capture ends before there are keys
	nonces         [2]string
	suite          string
	theirs, packet [][]byte // datagrams from rtmfp-cpp, and what is in them
	ours           [][]byte
}

func readCaptures(t *testing.T) (list []*capture) {
	t.Helper()
	files, err := filepath.Glob(captures)
	if err != nil || len(files) < 10 {
		t.Fatalf("captures: %d files, %v; want at least 10", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c := &capture{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
		for line := range strings.Lines(string(text)) {
			key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			f := strings.Fields(rest)
			switch key {
			case "group":
				n, err := strconv.Atoi(rest)
				if err != nil {
					t.Fatal(err)
				}
				c.group = DHGroup(n)
			case "suite":
				c.suite = rest
			case "dh":
				c.dh = unhex(t, rest)
			case "near":
				c.near = unhex(t, rest)
			case "far":
				c.far = unhex(t, rest)
			case "nonces":
				c.nonces = [2]string{f[0], f[1]}
			case ">":
				c.ours = append(c.ours, unhex(t, f[1]))
			case "<":
				c.theirs = append(c.theirs, unhex(t, f[1]))
			case "=":
				c.packet = append(c.packet, unhex(t, rest))
			}
		}
		if len(c.theirs) == 0 || len(c.packet) != len(c.theirs) {
			t.Fatalf("%s: %d datagrams from the far end, %d packets", c.name, len(c.theirs), len(c.packet))
		}
		list = append(list, c)
	}
	return list
}

// keys are those of the capture's near end, or of its far end; nil without a
// shared secret.
func (c *capture) keys(t *testing.T, far bool) *SessionKeys {
	t.Helper()
	if c.dh == nil {
		return nil
	}
	a, b := c.near, c.far
	if far {
		a, b = b, a
	}
	k, err := legacySchedule(c.group, c.dh, a, b)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return k
}

// What rtmfp-cpp sent opens to what it meant, and sealing that again gives its
// datagrams byte for byte; what was sent to it opens at its end.
func TestInteropCaptures(t *testing.T) {
	for _, c := range readCaptures(t) {
		near, far := c.keys(t, false), c.keys(t, true)
		if near != nil {
			if got := [2]string{hex.EncodeToString(near.NearNonce[:]), hex.EncodeToString(near.FarNonce[:])}; got != c.nonces {
				t.Errorf("%s: nonces %v, want %v", c.name, got, c.nonces)
			}
			if near.NearNonce != far.FarNonce || near.FarNonce != far.NearNonce {
				t.Errorf("%s: the two ends derive different nonces", c.name)
			}
			if near.Suite() != c.suite {
				t.Errorf("%s: suite %s, want %s", c.name, near.Suite(), c.suite)
			}
		}
		under := 0 // session keys
		for i, d := range c.theirs {
			seal := DefaultKeys()
			got, err := DefaultKeys().Open(bytes.Clone(d))
			if near != nil && (err != nil || !bytes.Equal(got, c.packet[i])) {
				// A checksum lets one foreign packet in 65536 through.
				number := sequenceNumber(t, near, d)
				if got, err = near.Open(bytes.Clone(d)); err == nil {
					under++
					seal = far
					far.packets.(*cbcKeys).next = number
				}
			}
			if err != nil {
				t.Errorf("%s: datagram %d does not open: %v", c.name, i, err)
				continue
			}
			if !bytes.Equal(got, c.packet[i]) {
				t.Errorf("%s: datagram %d opens to\n%x, want\n%x", c.name, i, got, c.packet[i])
			}
			b := make([]byte, sessionIDSize+seal.Headroom(), len(d)+Overhead)
			if again := seal.Seal(append(b, got...), SessionID(d)); !bytes.Equal(again, d) {
				t.Errorf("%s: datagram %d sealed again is\n%x, want\n%x", c.name, i, again, d)
			}
		}
		if near != nil && under < 3 {
			t.Errorf("%s: only %d packets under session keys", c.name, under)
		}
		far = c.keys(t, true)
		for i, d := range c.ours {
			_, err := DefaultKeys().Open(bytes.Clone(d))
			if err != nil && far != nil {
				_, err = far.Open(bytes.Clone(d))
			}
			if err != nil {
				t.Errorf("%s: datagram %d from here does not open there: %v", c.name, i, err)
			}
		}
	}
}

// sequenceNumber reads the session sequence number of a datagram, 0 if there is
// none, past all checks.
func sequenceNumber(t *testing.T, k *SessionKeys, d []byte) uint64 {
	t.Helper()
	in := &k.packets.(*cbcKeys).receive
	if !in.numbered {
		return 0
	}
	block, err := aes.NewCipher(in.key[:])
	if err != nil {
		t.Fatal(err)
	}
	blocks := d[sessionIDSize : len(d)-in.hmacLength]
	plain := make([]byte, len(blocks))
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(plain, blocks)
	number, n := element.ConsumeVLU(plain)
	if n == 0 {
		t.Fatal("no sequence number")
	}
	return number
}
