package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"math"

	"rtmfp/internal/element"
)

// defaultKey is the Default Session Key (RFC 7425 §4.1).
const defaultKey = "Adobe Systems 02"

const (
	cbcKeySize   = 16
	checksumSize = 2
	cbcPadding   = 0xff // parses as the end of the chunks
)

// cbcDirection is one way of a legacy session. The cipher and the HMAC are most
// of its size: they are built for the first packet, and again for the first
// after a rest.
type cbcDirection struct {
	block      cipher.Block // nil at rest
	hmac       hash.Hash    // nil at rest, and if the packets have a checksum
	hmacLength int          // in bytes; 0: checksum
	numbered   bool         // packets begin with a session sequence number
	key        [cbcKeySize]byte
	hmacKey    [sha256.Size]byte
}

// wake makes the cipher and the HMAC if they are not there.
func (d *cbcDirection) wake() {
	if d.block != nil {
		return
	}
	var err error
	if d.block, err = aes.NewCipher(d.key[:]); err != nil {
		panic("BUG: crypto: " + err.Error())
	}
	if d.hmacLength != 0 {
		d.hmac = hmac.New(sha256.New, d.hmacKey[:])
	}
}

// cbcKeys protect packets as RFC 7425 §4.7 does:
//
//	[session id, scrambled: 4][cipher blocks: 16 each][HMAC, if negotiated]
//
// where the blocks hold the sequence number, if negotiated, a checksum, if there
// is no HMAC, and the packet with its padding. The IV is zero.
type cbcKeys struct {
	send, receive cbcDirection
	group         DHGroup // 0: the Default Session Key
	next          uint64  // sequence number of the next packet sent
	replay        replay
	mac           [sha256.Size]byte
}

func newDefaultKeys() *cbcKeys {
	k := &cbcKeys{}
	copy(k.send.key[:], defaultKey)
	k.send.wake()
	k.receive = k.send
	return k
}

func (k *cbcKeys) suite() string {
	if k.group == 0 {
		return "AES-128-CBC/default"
	}
	verify := "checksum"
	if k.receive.hmacLength != 0 {
		verify = "HMAC-SHA256"
	}
	if k.receive.numbered {
		verify += "+SSEQ"
	}
	return fmt.Sprintf("AES-128-CBC/MODP-%d/%s", k.group, verify)
}

// worn is never true: the profile has no limit of its own, and "does not wrap".
func (k *cbcKeys) worn() bool { return false }

func (k *cbcKeys) rest() {
	if k.group == 0 { // may be shared
		return
	}
	k.send.block, k.send.hmac = nil, nil
	k.receive.block, k.receive.hmac = nil, nil
}

func (k *cbcKeys) headroom() int {
	n := 0
	if k.send.numbered {
		n += element.SizeVLU(k.next)
	}
	if k.send.hmacLength == 0 {
		n += checksumSize
	}
	return n
}

func (k *cbcKeys) maxPacket(datagram int) int {
	room := datagram - sessionIDSize
	if k.send.hmacLength != 0 {
		room -= k.send.hmacLength
	}
	return room&^(aes.BlockSize-1) - k.headroom()
}

func (k *cbcKeys) seal(d []byte) []byte {
	k.send.wake()
	for (len(d)-sessionIDSize)%aes.BlockSize != 0 {
		d = append(d, cbcPadding)
	}
	plain := d[sessionIDSize:]
	at := 0
	if k.send.numbered {
		at = len(element.AppendVLU(plain[:0], k.next))
		k.next++
	}
	if k.send.hmacLength == 0 {
		sum := checksum(plain[at+checksumSize:])
		plain[at], plain[at+1] = byte(sum>>8), byte(sum)
	}
	encryptCBC(k.send.block, plain)
	if k.send.hmacLength != 0 {
		d = append(d, k.authenticate(&k.send, plain)...)
	}
	return d
}

func (k *cbcKeys) open(d []byte) (packet []byte, err error) {
	p := d[sessionIDSize:]
	if k.receive.hmacLength != 0 {
		blocks := len(p) - k.receive.hmacLength
		if blocks < aes.BlockSize || blocks%aes.BlockSize != 0 {
			return nil, ErrPacket
		}
		k.receive.wake()
		// Verify first, then decrypt.
		if !hmac.Equal(p[blocks:], k.authenticate(&k.receive, p[:blocks])) {
			return nil, ErrVerify
		}
		p = p[:blocks]
	} else if len(p) < aes.BlockSize || len(p)%aes.BlockSize != 0 {
		return nil, ErrPacket
	}
	k.receive.wake()
	decryptCBC(k.receive.block, p)
	var number uint64
	if k.receive.numbered {
		v, n := element.ConsumeVLU(p)
		if n == 0 {
			return nil, ErrPacket
		}
		number, p = v, p[n:]
	}
	if k.receive.hmacLength == 0 {
		if len(p) < checksumSize {
			return nil, ErrPacket
		}
		if uint16(p[0])<<8|uint16(p[1]) != checksum(p[checksumSize:]) {
			return nil, ErrVerify
		}
		p = p[checksumSize:]
	}
	// "Any packet received having a session sequence number that was already
	// seen in that session, either directly or by being less than the lowest
	// sequence number in the Anti-Replay Window, is a duplicate and MUST be
	// discarded" (RFC 7425 §4.7.3.3).
	if k.receive.numbered {
		if !k.replay.fresh(number) {
			return nil, ErrReplay
		}
		k.replay.accept(number)
	}
	return p, nil
}

// authenticate returns the truncated HMAC of cipher blocks, valid until the
// next call.
func (k *cbcKeys) authenticate(d *cbcDirection, blocks []byte) []byte {
	d.hmac.Reset()
	d.hmac.Write(blocks)
	return d.hmac.Sum(k.mac[:0])[:d.hmacLength]
}

// encryptCBC encrypts whole blocks in place with an IV of zero bytes. The
// standard library's CBC mode wants a new object per packet.
func encryptCBC(block cipher.Block, b []byte) {
	for at := 0; at < len(b); at += aes.BlockSize {
		this := b[at : at+aes.BlockSize]
		if at > 0 {
			subtle.XORBytes(this, this, b[at-aes.BlockSize:at])
		}
		block.Encrypt(this, this)
	}
}

// decryptCBC reverses encryptCBC. It goes backwards so that the block before is
// still cipher text when it is needed.
func decryptCBC(block cipher.Block, b []byte) {
	for at := len(b) - aes.BlockSize; at >= 0; at -= aes.BlockSize {
		this := b[at : at+aes.BlockSize]
		block.Decrypt(this, this)
		if at > 0 {
			subtle.XORBytes(this, this, b[at-aes.BlockSize:at])
		}
	}
}

// checksum is the Internet checksum, except that an odd last byte is "the lower
// 8 bits of a 16-bit word whose upper 8 bits are 0" (RFC 7425 §4.7.3.1).
func checksum(b []byte) uint16 {
	var sum uint64 // of words of any size: folding them is all the same
	for ; len(b) >= 8; b = b[8:] {
		v := binary.BigEndian.Uint64(b)
		sum += v>>32 + v&math.MaxUint32
	}
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(b[0])<<8 | uint64(b[1])
	}
	if len(b) == 1 {
		sum += uint64(b[0])
	}
	for sum > math.MaxUint16 {
		sum = sum>>16 + sum&math.MaxUint16
	}
	return ^uint16(sum)
}
