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
	sparing       bool // as DialSparing has it
	cookie        []byte
	cookieChanged bool
	initiation    *crypto.Initiation
	iikeying      []byte     // the chunk, identical in each repetition
	busy          bool       // public-key work is under way
	keying        attempts   // to send the IIKeying
	keyingSent    clock.Time // of the last IIKeying
	fallbacks     uint8      // how often another responder was looked for
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
	e.packetReceived(now, nil, from, size, 0, p)
	e.handleStartupChunks(now, from, p[n:], size, true)
}

// handleStartupChunks processes the chunks of a packet of size bytes. Fragments
// are those of a packet, never of a fragment.
func (e *Endpoint) handleStartupChunks(now clock.Time, from netip.AddrPort, p []byte, size int, fragments bool) {
	greeted := false
	for range maxStartupChunks {
		typ, payload, n := wire.ConsumeChunk(p)
		if n == 0 {
			return
		}
		p = p[n:]
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
				e.handleIIKeying(now, from, c, size)
			}
		case wire.ChunkFragment:
			var c wire.Fragment
			if c, ok = wire.ParseFragment(payload); ok && fragments && !greeted {
				greeted = true
				if whole, size := e.wholePacket(now, from, 0, c, size); whole != nil {
					_, n := wire.ConsumeHeader(whole)
					e.handleStartupChunks(now, from, whole[n:], size, false)
				}
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
	e.packetReceived(now, nil, from, len(b), s.id, p)
	s.handleKeyingChunks(now, from, p[n:], h, len(b), true)
}

func (s *Session) handleKeyingChunks(now clock.Time, from netip.AddrPort, p []byte, h wire.Header, size int, fragments bool) {
	e := s.e
	for range maxStartupChunks {
		typ, payload, n := wire.ConsumeChunk(p)
		if n == 0 || s.state != StateKeyingSent {
			return
		}
		p = p[n:]
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
		case wire.ChunkFragment:
			var c wire.Fragment
			if c, ok = wire.ParseFragment(payload); ok && fragments {
				if whole, size := e.wholePacket(now, from, s.id, c, size); whole != nil {
					h, n := wire.ConsumeHeader(whole)
					s.handleKeyingChunks(now, from, whole[n:], h, size, false)
				}
			}
		}
		if !ok {
			e.drop(from, DropChunk)
		}
	}
}

// wholePacket returns the packet that a fragment completes and the size of the
// datagrams that brought it, nil as long as it is not complete. "A receiver MUST
// discard any reassembled packet with a mode different than the packets
// containing its fragments" (RFC 7016 §3.4).
func (e *Endpoint) wholePacket(now clock.Time, from netip.AddrPort, session uint32, c wire.Fragment, size int) ([]byte, int) {
	whole, size := e.handleFragment(now, from, session, c, size)
	if whole == nil {
		return nil, 0
	}
	if h, n := wire.ConsumeHeader(whole); n == 0 || h.Mode != wire.ModeStartup {
		e.drop(from, DropHeader)
		return nil, 0
	}
	return whole, size
}
