package transport

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"rtmfp/internal/clock"
	"rtmfp/internal/element"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// Dial opens a session to peer, trying the addresses side by side, the first at
// once and the others Config.ParallelOffset apart; an address may be that of an
// introducer. If a session to peer is open or opening, that one is returned, and
// an opening one tries the addresses too. SessionOpen or SessionFailed reports
// what came of a new one. Errors: ErrSelf, ErrTooManySessions.
func (e *Endpoint) Dial(now clock.Time, peer PeerID, addrs []netip.AddrPort) (*Session, error) {
	return e.dialPeer(now, peer, addrs, false)
}

// DialSparing is Dial for whoever dials many and would rather wait a moment, or
// dial another, than send more than it must: the addresses are tried at least
// 200 ms apart, and what is not answered is repeated after 750 ms and after 3 s,
// before it is repeated in earnest. A Dial to the same peer makes it an ordinary one.
func (e *Endpoint) DialSparing(now clock.Time, peer PeerID, addrs []netip.AddrPort) (*Session, error) {
	return e.dialPeer(now, peer, addrs, true)
}

func (e *Endpoint) dialPeer(now clock.Time, peer PeerID, addrs []netip.AddrPort, sparing bool) (*Session, error) {
	e.input(now)
	if peer == e.PeerID() {
		return nil, ErrSelf
	}
	s := e.peers[peer]
	if s == nil {
		if s = e.dial(now, crypto.EPDForPeer(peer)); s == nil {
			return nil, ErrTooManySessions
		}
		s.peer = peer
		s.startup.sparing = sparing
		e.peers[peer] = s
	} else if s.startup != nil && !sparing {
		s.startup.sparing = false
	}
	s.addCandidates(now, slices.Values(addrs))
	return s, nil
}

// DialURL opens a session to whoever serves a URL at one of the addresses. Who
// that is shows in Session.Peer when the session is open. If a session with
// them exists already, SessionFailed with ErrDuplicate names it.
func (e *Endpoint) DialURL(now clock.Time, url string, addrs []netip.AddrPort) (*Session, error) {
	return e.DialEPD(now, crypto.EPD{Ancillary: []byte(url), HasAncillary: true}, addrs)
}

// DialEPD opens a session to whoever an endpoint discriminator selects, by
// hostname, URL, or both (RFC 7425 §4.4), as DialURL does. One with a fingerprint
// selects by that alone: it is Dial. Errors: ErrDiscriminator and those of Dial.
func (e *Endpoint) DialEPD(now clock.Time, epd crypto.EPD, addrs []netip.AddrPort) (*Session, error) {
	if epd.HasFingerprint {
		return e.Dial(now, epd.Fingerprint, addrs)
	}
	e.input(now)
	b := epd.Append(nil)
	if len(b) == 0 || len(b) > maxEPD {
		return nil, ErrDiscriminator
	}
	s := e.dial(now, b)
	if s == nil {
		return nil, ErrTooManySessions
	}
	s.addCandidates(now, slices.Values(addrs))
	return s, nil
}

func (e *Endpoint) dial(now clock.Time, epd []byte) *Session {
	s := e.newSession(now, StateIHelloSent)
	if s == nil {
		return nil
	}
	s.initiator = true
	st := &startup{began: now, epd: epd}
	e.random(st.tag[4:])
	binary.BigEndian.PutUint32(st.tag[:], s.id)
	s.startup = st
	s.stateAt = now.Add(e.cfg.OpenTimeout)
	s.arm(s.stateAt)
	return s
}

// AddCandidate adds an address to those at which the far end of an opening
// session is looked for, at once. It does nothing in any other state, for an
// address that is known, or beyond 24 of them.
func (s *Session) AddCandidate(now clock.Time, addr netip.AddrPort) {
	s.e.input(now)
	s.addCandidate(now, addr)
}

// addCandidates adds addresses that became known together, each for some time
// after the one before it.
func (s *Session) addCandidates(now clock.Time, addrs iter.Seq[netip.AddrPort]) {
	at, offset := now, s.e.cfg.ParallelOffset
	if s.startup != nil && s.startup.sparing && offset > 0 {
		offset = max(offset, sparingOffset)
	}
	for a := range addrs {
		if s.addCandidate(at, a) && offset > 0 {
			at = at.Add(offset)
		}
	}
}

func (s *Session) addCandidate(at clock.Time, addr netip.AddrPort) bool {
	if s.state != StateIHelloSent || len(s.startup.candidates) >= redirectThreshold {
		return false
	}
	if addr.Addr().Is4In6() {
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
	if !usable(addr) {
		return false
	}
	if c := s.candidate(addr); c != nil {
		if c.wait == 0 { // nothing was sent yet
			c.at = min(c.at, at)
			s.wake()
		}
		return false
	}
	s.startup.candidates = append(s.startup.candidates, candidate{addr, attempts{at: at}})
	s.wake()
	return true
}

func (s *Session) candidate(addr netip.AddrPort) *candidate {
	for i := range s.startup.candidates {
		if c := &s.startup.candidates[i]; c.addr == addr {
			return c
		}
	}
	return nil
}

// usable reports whether packets may be sent to an address that somebody else
// told.
func usable(a netip.AddrPort) bool {
	return a.IsValid() && a.Port() != 0 && !a.Addr().IsUnspecified() && !a.Addr().IsMulticast() &&
		a.Addr() != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// openAlarm repeats what an opening session has to repeat, and gives up after
// the ultimate open timeout.
func (s *Session) openAlarm(now clock.Time) {
	end := s.startup.began.Add(s.e.cfg.OpenTimeout)
	if now >= end {
		s.fail(ErrOpenTimeout, nil)
		return
	}
	s.stateAt = end
	s.wake() // transmitting sets the alarm for the next repetition
}

// fail ends an opening session of which nothing came.
func (s *Session) fail(err error, other *Session) {
	s.release(StateOpenFailed)
	s.e.emit(Event{Kind: SessionFailed, Session: s, Err: err, Other: other})
}

// transmitOpening builds the next packet of an opening session in buf and
// returns its size and destination, 0 if none is due.
func (s *Session) transmitOpening(now clock.Time, buf []byte) (int, netip.AddrPort) {
	e, st := s.e, s.startup
	var chunk []byte
	var to netip.AddrPort
	if s.state == StateKeyingSent && st.initiation != nil && !st.busy && now >= st.keying.at {
		s.fallBack(now)
	}
	next := clock.Never
	switch {
	case now < st.yieldUntil:
		next = st.yieldUntil
	case s.state == StateIHelloSent:
		for i := range st.candidates {
			c := &st.candidates[i]
			if c.at > now {
				next = min(next, c.at)
				continue
			}
			brief := e.cfg.BriefHello && (c.wait == 0 || st.sparing && c.single())
			c.sent(now, st.sparing)
			to = c.addr
			chunk = wire.IHello{EPD: st.epd, Tag: st.tag[:]}.Append(e.startupPacket(now, 0))
			// Padding lets the responder answer in full: its reply is never
			// longer than the request. It also shows that the path takes
			// packets of this size.
			// A full first try would be the better part of what opening a session
			// costs.
			full := 4 + e.defaultKeys.Headroom() + e.maxStartup()
			if brief {
				full = min(full, firstIHello)
			}
			for len(chunk) < full {
				chunk = append(chunk, 0xff)
			}
			break
		}
	case st.initiation != nil && !st.busy:
		if next = st.keying.at; next <= now {
			if st.keying.sent(now, st.sparing) {
				st.keyingSent = now
			}
			to = s.addr
			chunk = append(e.startupPacket(now, len(st.iikeying)), st.iikeying...)
		}
	}
	if chunk == nil {
		s.stateAt = min(next, st.began.Add(e.cfg.OpenTimeout))
		s.arm(s.stateAt)
		return 0, to
	}
	// The outbox is empty, or it would not be the turn of a session. What does
	// not fit one datagram goes on from there.
	if next = e.postStartup(now, chunk, 0, to); s.state == StateKeyingSent {
		st.keying.at = max(st.keying.at, next)
	}
	first := e.outbox.pop()
	n := copy(buf, first.b)
	e.pool.free(first.b, e.cfg.MaxMTU)
	return n, to
}

// byTag returns the opening session with a tag, nil if there is none.
func (e *Endpoint) byTag(tag []byte) *Session {
	if len(tag) != tagSize {
		return nil
	}
	s := e.sessions.find(binary.BigEndian.Uint32(tag))
	if s == nil || s.state != StateIHelloSent || subtle.ConstantTimeCompare(tag, s.startup.tag[:]) == 0 {
		return nil
	}
	return s
}

// handleRedirect adds candidates (RFC 7016 §3.5.1.1.1).
func (e *Endpoint) handleRedirect(now clock.Time, from netip.AddrPort, c wire.Redirect) {
	s := e.byTag(c.TagEcho)
	if s == nil {
		e.drop(from, DropState)
		return
	}
	if len(c.List) == 0 { // an Implied Redirect
		s.addCandidate(now, from)
		return
	}
	s.addCandidates(now, func(yield func(netip.AddrPort) bool) {
		for list := c.List; ; {
			a, n := element.ConsumeAddress(list)
			if n == 0 || !yield(a.AddrPort) {
				return
			}
			list = list[n:]
		}
	})
}

// handleRHello selects the responder: the first who answers with a certificate
// that matches (RFC 7016 §3.5.1.1.1).
func (e *Endpoint) handleRHello(now clock.Time, from netip.AddrPort, c wire.RHello) {
	s := e.byTag(c.TagEcho)
	if s == nil {
		e.drop(from, DropState)
		return
	}
	cert, err := crypto.ParseCertificate(c.Certificate)
	if err != nil || !cert.SelectedBy(s.startup.epd) || len(c.Cookie) > maxCookie {
		e.drop(from, DropCertificate)
		return
	}
	peer := cert.PeerID()
	if peer == e.PeerID() {
		s.fail(ErrSelf, nil)
		return
	}
	// "If the Canonical Endpoint Discriminator for the responder certificate
	// matches the Canonical Endpoint Discriminator of another existing session
	// in the S_KEYING_SENT or S_OPEN states … this session is a duplicate and
	// SHOULD be aborted in favor of the other existing session". One that waits
	// for its own RHello takes this one.
	if other := e.peers[peer]; other != nil && other != s {
		s.fail(ErrDuplicate, other)
		if other.state != StateIHelloSent {
			return
		}
		s = other
	}
	s.peer = peer
	e.peers[peer] = s
	s.become(StateKeyingSent)
	s.addr = from
	st := s.startup
	st.cookie = bytes.Clone(c.Cookie)
	st.busy = true
	st.keying = attempts{at: now}
	w := e.newWork(s, workInitiate)
	w.far, w.cookie = cert, st.cookie
	e.random(w.seed[:])
}

// maxCookie bounds the cookies of others, in bytes; RFC 7425 peers send up to 68.
const maxCookie = 256

// initiated takes the initiator's half of the keys and sends the IIKeying.
func (s *Session) initiated(now clock.Time, w *Work) {
	if s.state != StateKeyingSent || s.startup.initiation != nil {
		return
	}
	if w.err != nil {
		s.fail(fmt.Errorf("%w: %w", ErrCrypto, w.err), nil)
		return
	}
	s.startup.initiation, s.startup.iikeying, s.startup.busy = w.initiation, w.keying, false
	s.startup.keying.at = now
	s.wake()
}

// handleCookieChange repeats the IIKeying with another cookie. "The initiator
// SHOULD NOT change the cookie for a session more than once" (RFC 7016 §3.5.1.2).
func (s *Session) handleCookieChange(now clock.Time, c wire.CookieChange) {
	st := s.startup
	if st.initiation == nil || st.busy || st.cookieChanged || !bytes.Equal(c.OldCookie, st.cookie) || len(c.NewCookie) > maxCookie {
		s.e.drop(s.addr, DropState)
		return
	}
	st.cookieChanged = true
	st.cookie = bytes.Clone(c.NewCookie)
	st.busy = true
	w := s.e.newWork(s, workSign)
	w.initiation, w.cookie = st.initiation, st.cookie
}

// signed sends the IIKeying with the other cookie: "constructs and signs a new
// IIKeying chunk" (RFC 7016 §3.5.1.2).
func (s *Session) signed(now clock.Time, w *Work) {
	if s.state != StateKeyingSent {
		return
	}
	s.startup.iikeying, s.startup.busy = w.keying, false
	s.startup.keying.at = now
	s.wake()
}

// handleRIKeying has the keys computed.
func (s *Session) handleRIKeying(now clock.Time, from netip.AddrPort, c wire.RIKeying, h wire.Header) {
	st := s.startup
	if st.initiation == nil || st.busy || c.SessionID == 0 {
		s.e.drop(from, DropState)
		return
	}
	// If the IIKeying was repeated this may be too short, but ERTO is never below
	// 250 ms, and 3 s without a guess is long to wait for a lost packet.
	s.rtt.guess(now.Sub(st.keyingSent))
	st.busy = true
	w := s.e.newWork(s, workComplete)
	w.initiation = st.initiation
	w.answer, _ = wire.ParseRIKeying(slices.Concat(c.Signed, c.Signature)) // a copy
	w.timestamp, w.stamped = h.Timestamp, h.HasTimestamp
}

// completed opens the session.
func (s *Session) completed(now clock.Time, w *Work) {
	if s.state != StateKeyingSent {
		return
	}
	if w.err != nil {
		// The answer may have been forged: anybody who saw the handshake could.
		// The true one may still come, or came meanwhile and was not looked at.
		st := s.startup
		st.busy = false
		st.keying.at = min(st.keying.at, max(now, st.keyingSent.Add(helloInterval)))
		s.e.drop(s.addr, DropCrypto)
		s.wake()
		return
	}
	s.keys, s.far = w.keys, w.answer.SessionID
	s.longECN = w.extensions&crypto.ExtensionECN != 0
	if w.stamped {
		s.rtt.heardTimestamp(now, w.timestamp)
	}
	s.prove()
	s.pingDue = true // the responder waits for a packet under the keys
	s.opened(now)
}

// opened moves the session to S_OPEN for its owner.
func (s *Session) opened(now clock.Time) {
	s.become(StateOpen)
	s.startup = nil
	s.openedAt, s.lastHeard = now, now
	s.stateAt = clock.Never
	s.congestion.init(s.e.cfg.MTU)
	s.pacer.init(now, s.e.cfg.MTU)
	s.aliveAt = now.Add(s.e.cfg.Keepalive)
	s.arm(s.aliveAt)
	for i := range s.send { // what was queued before
		if f := s.send[i].flow; f != nil {
			s.makeReady(f)
		}
	}
	s.wake()
	s.e.emit(Event{Kind: SessionOpen, Session: s})
}
