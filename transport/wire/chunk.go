package wire

import "fmt"

// ChunkType is the first byte of a chunk (RFC 7016 §2.3).
type ChunkType uint8

// Chunk types, in the order in which a session meets them.
const (
	ChunkFragment     ChunkType = 0x7f
	ChunkIHello       ChunkType = 0x30
	ChunkFIHello      ChunkType = 0x0f
	ChunkRHello       ChunkType = 0x70
	ChunkRedirect     ChunkType = 0x71
	ChunkCookieChange ChunkType = 0x79
	ChunkIIKeying     ChunkType = 0x38
	ChunkRIKeying     ChunkType = 0x78
	ChunkPing         ChunkType = 0x01
	ChunkPingReply    ChunkType = 0x41
	ChunkUserData     ChunkType = 0x10
	ChunkNextUserData ChunkType = 0x11
	ChunkBitmapAck    ChunkType = 0x50
	ChunkRangeAck     ChunkType = 0x51
	ChunkBufferProbe  ChunkType = 0x18
	ChunkException    ChunkType = 0x5e
	ChunkClose        ChunkType = 0x0c
	ChunkCloseAck     ChunkType = 0x4c
	ChunkECNReport    ChunkType = 0xec // not of the RFC: docs/ecn.md
)

// Chunks to be ignored; ConsumeChunk does so.
const (
	chunkPadding00 ChunkType = 0x00
	chunkPaddingFF ChunkType = 0xff
)

// Sizes of a chunk, in bytes.
const (
	ChunkHeaderSize = 3      // type and length
	MaxPayload      = 0xffff // what the length can say
)

// ConsumeChunk reads the next chunk, passing over padding chunks, and returns
// its type, its payload as a part of b, and the bytes that it took, 0 at the
// end of the packet. "Fewer than three bytes" and a length that "wouldn't fit
// in the remaining bytes of the packet" are the end (RFC 7016 §2.2.4), which
// covers the 0xff bytes that a block cipher pads with.
func ConsumeChunk(b []byte) (typ ChunkType, payload []byte, n int) {
	for len(b)-n >= ChunkHeaderSize {
		typ = ChunkType(b[n])
		start := n + ChunkHeaderSize
		end := start + int(b[n+1])<<8 + int(b[n+2])
		if end > len(b) {
			break
		}
		n = end
		if typ != chunkPadding00 && typ != chunkPaddingFF {
			return typ, b[start:end], n
		}
	}
	return 0, nil, 0
}

// BeginChunk appends the header of a chunk whose payload the caller appends
// next, and returns the mark that EndChunk wants.
func BeginChunk(b []byte, typ ChunkType) (out []byte, mark int) {
	return append(b, byte(typ), 0, 0), len(b)
}

// EndChunk writes the length of the chunk begun at mark, whose payload reaches
// to the end of b.
func EndChunk(b []byte, mark int) []byte {
	n := len(b) - mark - ChunkHeaderSize
	if n < 0 || n > MaxPayload {
		panic(fmt.Sprintf("BUG: wire: a chunk payload of %d bytes", n))
	}
	b[mark+1], b[mark+2] = byte(n>>8), byte(n)
	return b
}
