package crypto

// RFC 7425 §4.7, Packet Encryption.

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"rtmfp/internal/element"
)

// plainOf decrypts the blocks of a datagram with the standard library's CBC mode.
func plainOf(t *testing.T, key, datagram []byte, hmacLength int) (plain, blocks, mac []byte) {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	end := len(datagram) - hmacLength
	blocks, mac = datagram[sessionIDSize:end], datagram[end:]
	plain = make([]byte, len(blocks))
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(plain, blocks)
	return plain, blocks, mac
}

// "For AES-128-CBC, the initialization vector (IV) for each packet is 16 zero
// bytes. The IV is not included in the packet." (§4.7.1) "pad the end of
// plainRTMFPPacket with as many bytes having a value of 0xff as are needed to bring
// the structure's total length to an integer multiple of 16 bytes" (§4.7.2) "The
// value of the HMAC field is the first hmacLength bytes of the HMAC-SHA256 of the
// checked data" (§4.7.3.2) "It cannot be calculated until the plain packet is
// padded" (§4.7.3.1)
func TestLegacyPacketFormat(t *testing.T) {
	packet := []byte("a packet of some length")
	for name, k := range pairs(t) {
		c, ok := k[0].packets.(*cbcKeys)
		if !ok {
			continue
		}
		for n := range 200 {
			d := seal(k[0], packet[:1+n%len(packet)], 1)
			plain, blocks, mac := plainOf(t, c.send.key[:], d, c.send.hmacLength)
			if c.send.hmacLength != 0 {
				h := hmac.New(sha256.New, c.send.hmacKey[:])
				h.Write(blocks)
				if !bytes.Equal(mac, h.Sum(nil)[:c.send.hmacLength]) {
					t.Fatalf("%s: HMAC %x", name, mac)
				}
			}
			if c.send.numbered {
				// "Session sequence numbers SHOULD start at zero and SHOULD increment
				// by one for each packet sent using that session key." (§4.6.6)
				number, size := element.ConsumeVLU(plain)
				if number != uint64(n) {
					t.Fatalf("%s: packet %d has number %d", name, n, number)
				}
				plain = plain[size:]
			}
			if c.send.hmacLength == 0 {
				if got, want := binary.BigEndian.Uint16(plain), checksum(plain[2:]); got != want {
					t.Fatalf("%s: checksum %#04x, want %#04x", name, got, want)
				}
				plain = plain[2:]
			}
			if !bytes.Equal(unpad(plain, packet[:1+n%len(packet)]), packet[:1+n%len(packet)]) {
				t.Fatalf("%s: plain text %x", name, plain)
			}
		}
	}
}

// "If there are an odd number of bytes to be checked, then for purposes of this
// checksum, treat the last byte as the lower 8 bits of a 16-bit word whose upper 8
// bits are 0." (§4.7.3.1)
func TestChecksum(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want uint16
	}{
		{nil, 0xffff},
		{[]byte{0x12}, ^uint16(0x12)}, // an odd byte is the low half of its word
		{[]byte{0x12, 0x34}, ^uint16(0x1234)},
		{[]byte{0xff, 0xff, 0x00, 0x02}, ^uint16(2)},
		{[]byte{0xff, 0xff, 0x00, 0x01, 0x80}, ^uint16(0x81)},
	} {
		if got := checksum(c.b); got != c.want {
			t.Errorf("checksum(%x): got %#04x, want %#04x", c.b, got, c.want)
		}
	}
	// Against the definition, at every length and with many carries.
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 1500 {
		b := bytes.Repeat([]byte{0xff}, n)
		for range n / 3 {
			b[rng.IntN(n)] = byte(rng.Uint32())
		}
		sum := 0
		for i, v := range b {
			if i%2 == 0 && i+1 < n {
				sum += int(v) << 8
			} else {
				sum += int(v)
			}
			if sum > 0xffff {
				sum -= 0xffff
			}
		}
		if got := checksum(b); got != ^uint16(sum) {
			t.Fatalf("checksum of %d bytes: got %#04x, want %#04x", n, got, ^uint16(sum))
		}
	}
}

// "if they are not identical, the packet is corrupt and MUST be discarded as though
// it was never received" (§4.7.3.1, §4.7.3.2): neither does it use up its number.
func TestCorruptPacketsWereNeverReceived(t *testing.T) {
	for _, name := range []string{"HMAC+SSEQ", "AES-128-GCM", "ChaCha20-Poly1305", "simulation"} {
		k := pairs(t)[name]
		d := seal(k[0], []byte("the packet"), 1)
		bad := bytes.Clone(d)
		bad[len(bad)-1] ^= 1
		if _, err := k[1].Open(bad); !errors.Is(err, ErrVerify) {
			t.Errorf("%s: corrupt: got %v, want ErrVerify", name, err)
		}
		if _, err := k[1].Open(d); err != nil {
			t.Errorf("%s: the packet itself after that: %v", name, err)
		}
	}
}

// "Any packet received having a session sequence number that was already seen in
// that session, either directly or by being less than the lowest sequence number in
// the Anti-Replay Window, is a duplicate and MUST be discarded as though never
// received." "The receiver MUST allow for packets to be reordered in the network by
// up to at least 32 sequence numbers" (§4.7.3.3).
func TestAntiReplayWindow(t *testing.T) {
	k := pairs(t)["HMAC+SSEQ"]
	var all [][]byte
	for range ReplayWindow + 2 {
		all = append(all, seal(k[0], []byte("x"), 1))
	}
	open := func(n int) error {
		_, err := k[1].Open(bytes.Clone(all[n]))
		return err
	}
	if err := open(len(all) - 1); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		number int
		want   error
	}{{0, ErrReplay}, {1, ErrReplay}, {2, nil}, {2, ErrReplay}, {len(all) - 1, ErrReplay}, {len(all) - 2, nil}, {len(all) - 33, nil}} {
		if err := open(c.number); !errors.Is(err, c.want) {
			t.Errorf("number %d behind %d: got %v, want %v", c.number, len(all)-1, err, c.want)
		}
	}
}
