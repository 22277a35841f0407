package transport

import (
	"net/netip"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// startup is what a session needs only while it is being opened.
type startup struct {
	began clock.Time

	// Initiator.
	epd           []byte
	tag           [tagSize]byte
	candidates    []candidate
	cookie        []byte
	cookieChanged bool
	initiation    *crypto.Initiation
	iikeying      []byte     // the chunk, identical in each repetition
	busy          bool       // public-key work is under way
	keying        attempts   // to send the IIKeying
	keyingSent    clock.Time // of the last IIKeying
	yieldUntil    clock.Time // the far end prevailed in glare: nothing is sent before; 0 if it did not

	// Responder.
	rikeying []byte // the answer, for repetition
}

// candidate is an address that IHellos are sent to, each on its own schedule
// (RFC 7016 §3.5.1.1.1).
type candidate struct {
	addr netip.AddrPort
	attempts
}

// tagSize is the size of the tags of our IHellos: "cryptographically
// pseudorandom and … at least 8 bytes" (RFC 7016 §3.5.1.1.1). The first four
// are the session id.
const tagSize = 16

// maxTag bounds the tags of others in bytes; nobody is known to send over 16.
const maxTag = 64

// keyingID tells IIKeyings apart: a hash of session id, certificate, and SKIC.
type keyingID [16]byte

// handleStartup takes a datagram of the startup pseudo-session.
func (e *Endpoint) handleStartup(now clock.Time, from netip.AddrPort, b []byte) {
	size := len(b)
	p, err := e.defaultKeys.Open(b)
	if err != nil {
		e.drop(from, DropCrypto)
		return
	}
	h, n := wire.ConsumeHeader(p)
	if n == 0 || h.Mode != wire.ModeStartup {
		e.drop(from, DropHeader)
		return
	}
	if t := e.cfg.Trace; t != nil && t.Received != nil {
		t.Received(now, nil, from, size)
	}
	greeted := false
	for p = p[n:]; ; p = p[n:] {
		typ, payload, m := wire.ConsumeChunk(p)
		if m == 0 {
			return
		}
		n = m
		ok := true
		switch typ {
		case wire.ChunkIHello:
			var c wire.IHello
			// One answer for a packet, or a packet full of IHellos would be
			// answered by many times its size.
			if c, ok = wire.ParseIHello(payload); ok && !greeted {
				greeted = true
				e.handleIHello(now, from, c, size)
			}
		case wire.ChunkRHello:
			var c wire.RHello
			if c, ok = wire.ParseRHello(payload); ok {
				e.handleRHello(now, from, c)
			}
		case wire.ChunkRedirect:
			var c wire.Redirect
			if c, ok = wire.ParseRedirect(payload); ok {
				e.handleRedirect(now, from, c)
			}
		case wire.ChunkIIKeying:
			var c wire.IIKeying
			if c, ok = wire.ParseIIKeying(payload); ok && !greeted {
				greeted = true
				e.handleIIKeying(now, from, c)
			}
		}
		if !ok {
			e.drop(from, DropChunk)
		}
	}
}

// handleKeying takes a datagram for an opening session's id, which comes under
// the Default Session Key.
func (s *Session) handleKeying(now clock.Time, from netip.AddrPort, b []byte) {
	e := s.e
	p, err := e.defaultKeys.Open(b)
	if err != nil {
		e.drop(from, DropCrypto)
		return
	}
	h, n := wire.ConsumeHeader(p)
	if n == 0 || h.Mode != wire.ModeStartup {
		e.drop(from, DropHeader)
		return
	}
	for p = p[n:]; s.state == StateKeyingSent; p = p[n:] {
		typ, payload, m := wire.ConsumeChunk(p)
		if m == 0 {
			return
		}
		n = m
		ok := true
		switch typ {
		case wire.ChunkRIKeying:
			var c wire.RIKeying
			if c, ok = wire.ParseRIKeying(payload); ok {
				s.handleRIKeying(now, from, c, h)
			}
		case wire.ChunkCookieChange:
			var c wire.CookieChange
			if c, ok = wire.ParseCookieChange(payload); ok {
				s.handleCookieChange(now, c)
			}
		}
		if !ok {
			e.drop(from, DropChunk)
		}
	}
}
