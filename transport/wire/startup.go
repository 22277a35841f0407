package wire

import (
	"encoding/binary"

	"rtmfp/internal/element"
)

// NoSignature is what a signer without a signature writes (RFC 7425 §4.3.5).
const NoSignature = "X"

// IHello asks for an endpoint and begins the handshake (RFC 7016 §2.3.2).
type IHello struct {
	EPD []byte // endpoint discriminator
	Tag []byte // names the opening session; echoed in the answer
}

// Append appends the chunk.
func (c IHello) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkIHello)
	b = element.AppendField(b, c.EPD)
	b = append(b, c.Tag...)
	return EndChunk(b, mark)
}

// ParseIHello reads the payload of an IHello.
func ParseIHello(p []byte) (c IHello, ok bool) {
	epd, n := element.ConsumeField(p)
	if n == 0 {
		return IHello{}, false
	}
	return IHello{EPD: epd, Tag: p[n:]}, true
}

// FIHello is an IHello passed on by a forwarder (RFC 7016 §2.3.3).
type FIHello struct {
	EPD   []byte
	Reply element.Address // where the initiator was seen: answer there
	Tag   []byte
}

// Append appends the chunk.
func (c FIHello) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkFIHello)
	b = element.AppendField(b, c.EPD)
	b = element.AppendAddress(b, c.Reply)
	b = append(b, c.Tag...)
	return EndChunk(b, mark)
}

// ParseFIHello reads the payload of an FIHello.
func ParseFIHello(p []byte) (c FIHello, ok bool) {
	epd, n := element.ConsumeField(p)
	if n == 0 {
		return FIHello{}, false
	}
	reply, m := element.ConsumeAddress(p[n:])
	if m == 0 {
		return FIHello{}, false
	}
	return FIHello{EPD: epd, Reply: reply, Tag: p[n+m:]}, true
}

// RHello answers an IHello with a certificate and a cookie (RFC 7016 §2.3.4).
type RHello struct {
	TagEcho     []byte
	Cookie      []byte
	Certificate []byte
}

// Append appends the chunk.
func (c RHello) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkRHello)
	b = element.AppendField(b, c.TagEcho)
	b = element.AppendField(b, c.Cookie)
	b = append(b, c.Certificate...)
	return EndChunk(b, mark)
}

// ParseRHello reads the payload of an RHello.
func ParseRHello(p []byte) (c RHello, ok bool) {
	tag, n := element.ConsumeField(p)
	if n == 0 {
		return RHello{}, false
	}
	cookie, m := element.ConsumeField(p[n:])
	if m == 0 {
		return RHello{}, false
	}
	return RHello{TagEcho: tag, Cookie: cookie, Certificate: p[n+m:]}, true
}

// Redirect answers an IHello with addresses to try (RFC 7016 §2.3.5).
type Redirect struct {
	TagEcho []byte
	// List is the addresses as they lie on the wire, one after another; walk
	// it with ConsumeAddress of package element, whose 0 is the end. An empty
	// list means the address from which the packet came.
	List []byte
}

// Append appends the chunk.
func (c Redirect) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkRedirect)
	b = element.AppendField(b, c.TagEcho)
	b = append(b, c.List...)
	return EndChunk(b, mark)
}

// AppendRedirect appends a Redirect to the given addresses.
func AppendRedirect(b, tagEcho []byte, addrs []element.Address) []byte {
	b, mark := BeginChunk(b, ChunkRedirect)
	b = element.AppendField(b, tagEcho)
	for _, a := range addrs {
		b = element.AppendAddress(b, a)
	}
	return EndChunk(b, mark)
}

// ParseRedirect reads the payload of a Redirect.
func ParseRedirect(p []byte) (c Redirect, ok bool) {
	tag, n := element.ConsumeField(p)
	if n == 0 {
		return Redirect{}, false
	}
	return Redirect{TagEcho: tag, List: p[n:]}, true
}

// CookieChange replaces a cookie that came from the wrong address or is too
// old (RFC 7016 §2.3.6).
type CookieChange struct {
	OldCookie []byte
	NewCookie []byte
}

// Append appends the chunk.
func (c CookieChange) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkCookieChange)
	b = element.AppendField(b, c.OldCookie)
	b = append(b, c.NewCookie...)
	return EndChunk(b, mark)
}

// ParseCookieChange reads the payload of an RHello Cookie Change.
func ParseCookieChange(p []byte) (c CookieChange, ok bool) {
	old, n := element.ConsumeField(p)
	if n == 0 {
		return CookieChange{}, false
	}
	return CookieChange{OldCookie: old, NewCookie: p[n:]}, true
}

// IIKeying carries the initiator's half of the keys (RFC 7016 §2.3.7).
type IIKeying struct {
	SessionID   uint32 // for packets to the initiator
	CookieEcho  []byte
	Certificate []byte
	SKIC        []byte // session key initiator component
	Signature   []byte // Append writes NoSignature if it is empty
	// Signed is the part of the payload that the signature covers, from the
	// session id to the SKIC. Parsing sets it; Append computes nothing from it.
	Signed []byte
}

// AppendSigned appends the bytes that the signature covers.
func (c IIKeying) AppendSigned(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.SessionID)
	b = element.AppendField(b, c.CookieEcho)
	b = element.AppendField(b, c.Certificate)
	return element.AppendField(b, c.SKIC)
}

// Append appends the chunk.
func (c IIKeying) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkIIKeying)
	b = c.AppendSigned(b)
	b = appendSignature(b, c.Signature)
	return EndChunk(b, mark)
}

// ParseIIKeying reads the payload of an IIKeying.
func ParseIIKeying(p []byte) (c IIKeying, ok bool) {
	if len(p) < 4 {
		return IIKeying{}, false
	}
	c.SessionID = binary.BigEndian.Uint32(p)
	at := 4
	for _, field := range [...]*[]byte{&c.CookieEcho, &c.Certificate, &c.SKIC} {
		v, n := element.ConsumeField(p[at:])
		if n == 0 {
			return IIKeying{}, false
		}
		*field = v
		at += n
	}
	c.Signed, c.Signature = p[:at], p[at:]
	return c, true
}

// RIKeying carries the responder's half of the keys (RFC 7016 §2.3.8).
type RIKeying struct {
	SessionID uint32 // for packets to the responder
	SKRC      []byte // session key responder component
	Signature []byte // Append writes NoSignature if it is empty
	// Signed is the part of the payload that the signature covers; the SKIC
	// that it answers follows it in the signed bytes. Parsing sets it.
	Signed []byte
}

// AppendSigned appends the bytes that the signature covers, which end with the
// SKIC that the chunk answers.
func (c RIKeying) AppendSigned(b, skic []byte) []byte {
	return append(c.appendParameters(b), skic...)
}

func (c RIKeying) appendParameters(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.SessionID)
	return element.AppendField(b, c.SKRC)
}

// Append appends the chunk.
func (c RIKeying) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkRIKeying)
	b = c.appendParameters(b)
	b = appendSignature(b, c.Signature)
	return EndChunk(b, mark)
}

// ParseRIKeying reads the payload of an RIKeying.
func ParseRIKeying(p []byte) (c RIKeying, ok bool) {
	if len(p) < 4 {
		return RIKeying{}, false
	}
	skrc, n := element.ConsumeField(p[4:])
	if n == 0 {
		return RIKeying{}, false
	}
	return RIKeying{
		SessionID: binary.BigEndian.Uint32(p),
		SKRC:      skrc,
		Signed:    p[:4+n],
		Signature: p[4+n:],
	}, true
}

func appendSignature(b, signature []byte) []byte {
	if len(signature) == 0 {
		return append(b, NoSignature...)
	}
	return append(b, signature...)
}
