package wire

import "rtmfp/internal/element"

// Ping asks for a Ping Reply with the same message (RFC 7016 §2.3.9).
type Ping struct{ Message []byte }

// Append appends the chunk.
func (c Ping) Append(b []byte) []byte { return appendBytes(b, ChunkPing, c.Message) }

// ParsePing reads the payload of a Ping; every payload is one.
func ParsePing(p []byte) (Ping, bool) { return Ping{p}, true }

// PingReply answers a Ping (RFC 7016 §2.3.10).
type PingReply struct{ MessageEcho []byte }

// Append appends the chunk.
func (c PingReply) Append(b []byte) []byte { return appendBytes(b, ChunkPingReply, c.MessageEcho) }

// ParsePingReply reads the payload of a Ping Reply; every payload is one.
func ParsePingReply(p []byte) (PingReply, bool) { return PingReply{p}, true }

// BufferProbe asks for the receive window of a flow (RFC 7016 §2.3.15).
type BufferProbe struct{ FlowID uint64 }

// Append appends the chunk.
func (c BufferProbe) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkBufferProbe)
	return EndChunk(element.AppendVLU(b, c.FlowID), mark)
}

// ParseBufferProbe reads the payload of a Buffer Probe.
func ParseBufferProbe(p []byte) (BufferProbe, bool) {
	id, n := element.ConsumeVLU(p)
	return BufferProbe{id}, n != 0
}

// FlowException tells the sender of a flow that its receiver does not want it
// (RFC 7016 §2.3.16). Code is 0 where the flow was rejected automatically, else
// the application's.
type FlowException struct {
	FlowID uint64
	Code   uint64
}

// Append appends the chunk.
func (c FlowException) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkException)
	b = element.AppendVLU(b, c.FlowID)
	b = element.AppendVLU(b, c.Code)
	return EndChunk(b, mark)
}

// ParseFlowException reads the payload of a Flow Exception Report.
func ParseFlowException(p []byte) (FlowException, bool) {
	id, n := element.ConsumeVLU(p)
	code, m := element.ConsumeVLU(p[n:])
	if n == 0 || m == 0 {
		return FlowException{}, false
	}
	return FlowException{id, code}, true
}

// Close asks for the end of the session (RFC 7016 §2.3.17). It has no payload,
// and whatever one holds is ignored.
type Close struct{}

// Append appends the chunk.
func (Close) Append(b []byte) []byte { return appendBytes(b, ChunkClose, nil) }

// ParseClose reads the payload of a Close.
func ParseClose([]byte) (Close, bool) { return Close{}, true }

// CloseAck says that the session has ended (RFC 7016 §2.3.18).
type CloseAck struct{}

// Append appends the chunk.
func (CloseAck) Append(b []byte) []byte { return appendBytes(b, ChunkCloseAck, nil) }

// ParseCloseAck reads the payload of a Close Ack.
func ParseCloseAck([]byte) (CloseAck, bool) { return CloseAck{}, true }

func appendBytes(b []byte, typ ChunkType, payload []byte) []byte {
	b, mark := BeginChunk(b, typ)
	return EndChunk(append(b, payload...), mark)
}

// AppendPadding appends n bytes that a receiver passes over: a chunk to be
// ignored, or bytes that are too few for a chunk (RFC 7016 §2.2.4).
func AppendPadding(b []byte, n int) []byte {
	if n < ChunkHeaderSize {
		for range max(n, 0) {
			b = append(b, byte(chunkPaddingFF))
		}
		return b
	}
	b, mark := BeginChunk(b, chunkPadding00)
	for range min(n-ChunkHeaderSize, MaxPayload) {
		b = append(b, 0)
	}
	return EndChunk(b, mark)
}
