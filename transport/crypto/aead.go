package crypto

import (
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
)

// Sizes in bytes, and limits, of AEAD packets (docs/crypto.md). All suites have
// the same.
const (
	aeadNonceSize  = 12
	aeadNumberSize = 4 // the phase bit and the low part of the packet number, in clear
	aeadTagSize    = 16
	aeadHead       = sessionIDSize + aeadNumberSize
	aeadOverhead   = aeadHead + aeadTagSize

	// phaseBit is the lowest bit of the number of the generation of keys.
	phaseBit = 1 << 31

	// maxAEADPackets is how many packets of up to 2 KB one AES-GCM key may
	// encrypt with an attacker's advantage of 2^-57 (RFC 9001 appendix B.1).
	// Keys are updated long before.
	maxAEADPackets = 1 << 28

	// maxForged is how many packets that did not open make an update due: a
	// factor of 32 below the limit of ChaCha20-Poly1305 (RFC 9001 §6.6).
	maxForged = 1 << 31
)

// aeadDirection is one generation of one way of a session. The cipher is by far
// the largest part of a session's keys: it is built for the first packet, and
// again for the first after a rest.
type aeadDirection struct {
	secret [sha256.Size]byte
	cipher *aeadCipher // nil at rest
}

// aeadCipher is what a direction needs while packets flow.
type aeadCipher struct {
	aead  cipher.AEAD
	iv    [aeadNonceSize]byte
	nonce [aeadNonceSize]byte // here and not on the stack, as it escapes into the AEAD
}

// wake returns the cipher, which it makes if it is not there.
func (d *aeadDirection) wake(s Suite) *aeadCipher {
	if d.cipher == nil {
		var room [expandMost]byte
		key := room[:s.keySize()+aeadNonceSize]
		expandSecret(key, d.secret[:], labelKey)
		d.cipher = &aeadCipher{aead: s.newAEAD(key[:s.keySize()]), iv: [aeadNonceSize]byte(key[s.keySize():])}
	}
	return d.cipher
}

// nonceFor sets the nonce of a packet: the number, at the end of 12 bytes,
// exclusive-or the IV.
func (c *aeadCipher) nonceFor(number uint64) []byte {
	c.nonce = c.iv
	low := c.nonce[aeadNonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^number)
	return c.nonce[:]
}

// successor returns the direction under the keys of the next generation.
func (d *aeadDirection) successor() (next aeadDirection) {
	expandSecret(next.secret[:], d.secret[:], labelUpdate)
	return next
}

// aeadKeys protect packets with an AEAD:
//
//	[session id, scrambled: 4][phase bit, packet number: 4][ciphertext][tag: 16]
//
// They update themselves (update.go).
type aeadKeys struct {
	send, receive aeadDirection
	next          uint64 // number of the next packet sent
	replay        replay
	update        updateState
	cipher        Suite
	hybrid        bool
}

func (k *aeadKeys) suite() string {
	if k.hybrid {
		return k.cipher.String() + "/X25519+ML-KEM-768"
	}
	return k.cipher.String() + "/X25519"
}

func (k *aeadKeys) headroom() int              { return aeadNumberSize }
func (k *aeadKeys) maxPacket(datagram int) int { return datagram - aeadOverhead }

// worn is true only of one who has sent all that without an answer, so that the
// keys could not be updated. No session lives that long.
func (k *aeadKeys) worn() bool { return k.update.sent >= maxAEADPackets }

func (k *aeadKeys) seal(d []byte) []byte {
	if k.update.due(k) {
		k.updateSend()
	}
	c := k.send.wake(k.cipher)
	number := k.next
	k.next++
	k.update.sent++
	aad := d[sessionIDSize:aeadHead]
	binary.BigEndian.PutUint32(aad, uint32(number)&^phaseBit|k.update.sendGeneration<<31)
	return c.aead.Seal(d[:aeadHead], c.nonceFor(number), d[aeadHead:], aad)
}

func (k *aeadKeys) open(d []byte) (packet []byte, err error) {
	if len(d) < aeadOverhead {
		return nil, ErrPacket
	}
	aad := d[sessionIDSize:aeadHead]
	field := binary.BigEndian.Uint32(aad)
	number := expand(field&^phaseBit, k.replay.next)
	if !k.replay.fresh(number) {
		return nil, ErrReplay
	}
	c, when := k.cipherFor(field>>31, number)
	if c == nil {
		return nil, ErrVerify
	}
	packet, err = c.aead.Open(d[aeadHead:aeadHead], c.nonceFor(number), d[aeadHead:], aad)
	if err != nil {
		k.update.forged++
		return nil, ErrVerify
	}
	k.replay.accept(number)
	k.received(when, number)
	return packet, nil
}

// rest drops the ciphers and the replay window. A packet that is still on its way
// and was overtaken by another is lost by it, like any that comes too late.
func (k *aeadKeys) rest() {
	k.replay.rest()
	k.send.cipher, k.receive.cipher = nil, nil
	k.update.previous, k.update.following = nil, nil
}

// expand returns the number whose low 31 bits are given that is nearest to the
// expected one.
func expand(low uint32, expected uint64) uint64 {
	const half, whole = 1 << 30, 1 << 31
	n := expected&^(whole-1) | uint64(low)
	switch {
	case n+half < expected && n+whole > n:
		return n + whole
	case n >= expected+half && n >= whole:
		return n - whole
	}
	return n
}
