package crypto

import "encoding/binary"

// sessionIDSize is the size in bytes of the scrambled session id that begins
// every datagram.
const sessionIDSize = 4

// SessionKeys encrypt and decrypt the packets of one session at one end, and
// count them. They have one owner.
type SessionKeys struct {
	// NearNonce and FarNonce are secret values known only to both ends; the
	// near nonce of one is the far nonce of the other (RFC 7425 §4.6.5).
	NearNonce, FarNonce [32]byte
	packets             packetKeys
}

// packetKeys is one way to protect packets. In all methods d is a whole
// datagram that begins with sessionIDSize bytes which are not theirs.
type packetKeys interface {
	suite() string
	headroom() int
	maxPacket(datagram int) int
	seal(d []byte) []byte
	open(d []byte) (packet []byte, err error)
	worn() bool
	rest()
}

// DefaultKeys returns the Default Session Key, under which sessions start
// (RFC 7425 §4.1). It counts nothing and may be shared.
func DefaultKeys() *SessionKeys { return &SessionKeys{packets: newDefaultKeys()} }

// Rest gives back the memory that ciphers and replay windows need while packets
// flow. The next packet each way takes it again, for about a microsecond of
// work. Packets that the last one received has overtaken are refused from now on.
func (k *SessionKeys) Rest() { k.packets.rest() }

// Generation returns how many times the keys for sending and for receiving were
// replaced (docs/crypto.md); always 0 in legacy sessions.
func (k *SessionKeys) Generation() (send, receive uint32) {
	if a, ok := k.packets.(*aeadKeys); ok {
		return a.update.sendGeneration, a.update.receiveGeneration
	}
	return 0, 0
}

// Suite names the algorithms, like "AES-128-GCM/X25519".
func (k *SessionKeys) Suite() string { return k.packets.suite() }

// MaxPacket returns the size in bytes of the largest packet, header and chunks,
// that fits a datagram of the given size at the next Seal; 0 if none does.
func (k *SessionKeys) MaxPacket(datagram int) int { return max(0, k.packets.maxPacket(datagram)) }

// Headroom returns how many bytes the next Seal needs between the session id
// and the packet. It grows now and then with the packet number in legacy keys.
func (k *SessionKeys) Headroom() int { return k.packets.headroom() }

// Worn reports whether the session has sealed as many packets as its keys are
// good for (docs/crypto.md): it must be closed. Since keys are replaced long
// before, only a session in which nothing comes back gets there.
func (k *SessionKeys) Worn() bool { return k.packets.worn() }

// Overhead is more than Seal adds to a packet in any suite, in bytes: session
// id, sequence number and checksum, padding, HMAC.
const Overhead = sessionIDSize + 10 + 2 + 15 + 32

// Seal encrypts a packet in place and returns the datagram. b is 4 free bytes,
// Headroom() free bytes, and the packet, with capacity behind it for what is
// appended; within MaxPacket of the datagram's size it never grows beyond that.
// sid is the session id that the receiver asked for.
func (k *SessionKeys) Seal(b []byte, sid uint32) []byte {
	if len(b) < sessionIDSize+k.packets.headroom() {
		panic("BUG: crypto: Seal without headroom")
	}
	d := k.packets.seal(b)
	binary.BigEndian.PutUint32(d, sid^scramble(d))
	return d
}

// Open decrypts a datagram in place and returns the packet, a part of it. The
// bytes of a datagram that is refused are destroyed or not. Errors are
// ErrPacket, ErrVerify and ErrReplay themselves.
func (k *SessionKeys) Open(datagram []byte) (packet []byte, err error) {
	if len(datagram) < sessionIDSize {
		return nil, ErrPacket
	}
	return k.packets.open(datagram)
}

// SessionID returns the session id of a datagram, 0 if it is too short to hold
// one (RFC 7016 §2.2.2). An id is four bytes that are echoed as they came; here
// the first is the most significant.
func SessionID(datagram []byte) uint32 {
	if len(datagram) < sessionIDSize {
		return 0
	}
	return binary.BigEndian.Uint32(datagram) ^ scramble(datagram)
}

// scramble returns the exclusive-or of the first two words of the encrypted
// packet: "if the encrypted packet is less than 8 bytes long, then ... as though
// the encrypted packet were end-padded with enough 0-bytes".
func scramble(d []byte) uint32 {
	d = d[sessionIDSize:]
	if len(d) >= 8 {
		return binary.BigEndian.Uint32(d) ^ binary.BigEndian.Uint32(d[4:])
	}
	var padded [8]byte
	copy(padded[:], d)
	return binary.BigEndian.Uint32(padded[:]) ^ binary.BigEndian.Uint32(padded[4:])
}
