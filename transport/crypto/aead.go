package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// Sizes in bytes, and limits, of AEAD packets (docs/crypto.md).
const (
	aes128KeySize  = 16
	aeadNonceSize  = 12
	aeadNumberSize = 4 // the low half of the packet number, in clear
	aeadTagSize    = 16
	aeadOverhead   = sessionIDSize + aeadNumberSize + aeadTagSize

	// maxAEADPackets is how many packets of up to 2 KB one AES-GCM key may
	// encrypt with an attacker's advantage of 2^-57 (RFC 9001 appendix B.1).
	maxAEADPackets = 1 << 28
)

// aeadDirection is one way of a session. The AEAD is by far the largest part of
// a session's keys: it is built for the first packet, and again for the first
// after a rest.
type aeadDirection struct {
	aead cipher.AEAD // nil at rest
	key  [aes128KeySize]byte
	iv   [aeadNonceSize]byte
}

func newAEADDirection(key [aes128KeySize]byte, iv [aeadNonceSize]byte) aeadDirection {
	return aeadDirection{key: key, iv: iv}
}

func (d *aeadDirection) cipher() cipher.AEAD {
	if d.aead == nil {
		block, err := aes.NewCipher(d.key[:])
		if err != nil {
			panic("BUG: crypto: " + err.Error())
		}
		if d.aead, err = cipher.NewGCM(block); err != nil {
			panic("BUG: crypto: " + err.Error())
		}
	}
	return d.aead
}

// aeadKeys protect packets with an AEAD:
//
//	[session id, scrambled: 4][packet number: 4][ciphertext][tag: 16]
type aeadKeys struct {
	send, receive aeadDirection
	next          uint64 // number of the next packet sent
	replay        replay
	nonce         [aeadNonceSize]byte // here and not on the stack, as it escapes into the AEAD
}

func (k *aeadKeys) suite() string              { return "AES-128-GCM/X25519" }
func (k *aeadKeys) headroom() int              { return aeadNumberSize }
func (k *aeadKeys) maxPacket(datagram int) int { return datagram - aeadOverhead }
func (k *aeadKeys) worn() bool                 { return k.next >= maxAEADPackets }

// nonceFor sets the nonce of a packet: the number, at the end of 12 bytes,
// exclusive-or the direction's IV.
func (k *aeadKeys) nonceFor(d *aeadDirection, number uint64) []byte {
	k.nonce = d.iv
	low := k.nonce[aeadNonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^number)
	return k.nonce[:]
}

func (k *aeadKeys) seal(d []byte) []byte {
	const head = sessionIDSize + aeadNumberSize
	number := k.next
	k.next++
	aad := d[sessionIDSize:head]
	binary.BigEndian.PutUint32(aad, uint32(number))
	return k.send.cipher().Seal(d[:head], k.nonceFor(&k.send, number), d[head:], aad)
}

func (k *aeadKeys) open(d []byte) (packet []byte, err error) {
	const head = sessionIDSize + aeadNumberSize
	if len(d) < aeadOverhead {
		return nil, ErrPacket
	}
	aad := d[sessionIDSize:head]
	number := expand(binary.BigEndian.Uint32(aad), k.replay.next)
	if !k.replay.fresh(number) {
		return nil, ErrReplay
	}
	packet, err = k.receive.cipher().Open(d[head:head], k.nonceFor(&k.receive, number), d[head:], aad)
	if err != nil {
		return nil, ErrVerify
	}
	k.replay.accept(number)
	return packet, nil
}

// expand returns the number whose low 32 bits are given that is nearest to the
// expected one.
func expand(low uint32, expected uint64) uint64 {
	const half, whole = 1 << 31, 1 << 32
	n := expected&^(whole-1) | uint64(low)
	switch {
	case n+half < expected && n+whole > n:
		return n + whole
	case n >= expected+half && n >= whole:
		return n - whole
	}
	return n
}
