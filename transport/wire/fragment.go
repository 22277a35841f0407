package wire

import "rtmfp/internal/element"

// flagMoreFragments is set on all but the last fragment of a packet.
const flagMoreFragments = 0x80

// Fragment is a piece of a packet that is larger than the path MTU
// (RFC 7016 §2.3.1).
type Fragment struct {
	More     bool   // further fragments follow
	PacketID uint64 // the same for all fragments of a packet
	Number   uint64 // index of this one, from 0
	Data     []byte // never empty
}

// Append appends the chunk.
func (c Fragment) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkFragment)
	flags := byte(0)
	if c.More {
		flags = flagMoreFragments
	}
	b = append(b, flags)
	b = element.AppendVLU(b, c.PacketID)
	b = element.AppendVLU(b, c.Number)
	b = append(b, c.Data...)
	return EndChunk(b, mark)
}

// ParseFragment reads the payload of a Packet Fragment. "A packetFragment MUST
// NOT be empty", so one without data is refused.
func ParseFragment(p []byte) (c Fragment, ok bool) {
	if len(p) == 0 {
		return Fragment{}, false
	}
	c.More = p[0]&flagMoreFragments != 0
	p = p[1:]
	for _, field := range [...]*uint64{&c.PacketID, &c.Number} {
		v, n := element.ConsumeVLU(p)
		if n == 0 {
			return Fragment{}, false
		}
		*field = v
		p = p[n:]
	}
	c.Data = p
	return c, len(p) > 0
}
