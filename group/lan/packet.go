package lan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Sizes of what is in a packet.
const (
	saltSize = 8
	tagSize  = 16
	headSize = len(magic) + 1 + 1 + 32 + 2 + saltSize

	// MaxPacket is the size of the largest packet.
	MaxPacket = headSize + MaxGroups*tagSize

	// MaxGroups is how many groups a packet can name.
	MaxGroups = 32
)

const (
	magic   = "rtmfplan"
	version = 1

	flagAsk = 1 // its sender wants to hear of others
)

// packet is an announcement.
type packet struct {
	ask  bool
	peer [32]byte
	port uint16 // of the sender's RTMFP socket
	salt [saltSize]byte
	tags []byte // tagSize bytes for each of the sender's groups
}

// append appends the packet. docs/joining.md has the form.
func (p *packet) append(b []byte) []byte {
	b = append(b, magic...)
	flags := byte(0)
	if p.ask {
		flags = flagAsk
	}
	b = append(b, version, flags)
	b = append(b, p.peer[:]...)
	b = binary.BigEndian.AppendUint16(b, p.port)
	b = append(b, p.salt[:]...)
	return append(b, p.tags...)
}

// parse reads a packet; its tags are a part of b. Later versions are to begin
// alike, so a higher number is none of ours.
func parse(b []byte) (p packet, ok bool) {
	if len(b) < headSize+tagSize || len(b) > MaxPacket || string(b[:len(magic)]) != magic || b[len(magic)] != version {
		return p, false
	}
	p.ask = b[len(magic)+1]&flagAsk != 0
	b = b[len(magic)+2:]
	copy(p.peer[:], b)
	p.port = binary.BigEndian.Uint16(b[32:])
	copy(p.salt[:], b[34:])
	p.tags = b[34+saltSize:]
	return p, p.port != 0 && len(p.tags)%tagSize == 0
}

// tag is how a packet names a group: by a keyed hash, with the groupspec as the
// key, of what else is in the packet. Without the groupspec nobody can tell
// which group it is, nor whether two packets name the same, nor make one.
func tag(key []byte, p *packet) [tagSize]byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("rtmfp lan 1"))
	h.Write(p.peer[:])
	h.Write([]byte{byte(p.port >> 8), byte(p.port)})
	h.Write(p.salt[:])
	return [tagSize]byte(h.Sum(nil)[:tagSize])
}
