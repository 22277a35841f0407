package transport

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// proofLimit is how long a responder waits for the first packet under the keys:
// the rest of what an initiator may take that repeats its IIKeying.
const proofLimit = 30 * time.Second

// handleIHello answers one who looks for this endpoint, and introduces one who
// looks for somebody known here.
func (e *Endpoint) handleIHello(now clock.Time, from netip.AddrPort, c wire.IHello, size int) {
	if len(c.Tag) > maxTag {
		e.drop(from, DropChunk)
		return
	}
	if r := e.cfg.Redirector; r != nil {
		var list [maxRedirected]netip.AddrPort
		if to, ok := r.Redirect(now, c.EPD, from, list[:0]); ok {
			e.redirectTo(now, from, c.Tag, to, size)
			return
		}
	}
	switch {
	case e.cfg.Identity.Selects(c.EPD):
		e.greet(now, from, c.Tag, size)
	case e.cfg.Introduce:
		e.introduce(now, from, c, size)
	default:
		e.drop(from, DropHello)
	}
}

// greet sends an RHello. request is the size of the datagrams that it answers, 0
// if a forwarder told of them.
func (e *Endpoint) greet(now clock.Time, to netip.AddrPort, tag []byte, request int) {
	if e.outboxFull() {
		return
	}
	var cookie [cookieSize]byte
	b := wire.RHello{
		TagEcho:     tag,
		Cookie:      e.cookies.append(cookie[:0], now, to),
		Certificate: e.cfg.Identity.Certificate(),
	}.Append(e.startupPacket(now, maxTag+2*cookieSize+len(e.cfg.Identity.Certificate())))
	if size := e.startupSize(b); size > request {
		// No answer to somebody unknown is longer than the question, or it would
		// serve to flood a third party. RFC 7425 peers don't pad theirs.
		why := DropAmplify
		if request == 0 {
			why = DropRate
		}
		if why == DropAmplify && !e.cfg.Policy.AllowLegacy || !e.unpadded.take(now, to.Addr(), size-request) {
			e.pool.free(b, e.cfg.MaxMTU)
			e.drop(to, why)
			return
		}
	}
	e.postStartup(now, b, 0, to)
}

// handleFIHello answers an initiator that a forwarder has told of "as though the
// FIHello was an IHello received from the indicated reply address"
// (RFC 7016 §3.5.1.1.2).
func (s *Session) handleFIHello(now clock.Time, c wire.FIHello) {
	e := s.e
	switch {
	case len(c.Tag) > maxTag || !usable(c.Reply.AddrPort):
		e.drop(s.addr, DropChunk)
	case !e.cfg.Identity.Selects(c.EPD):
		e.drop(s.addr, DropHello)
	case e.cfg.Forwarded == ForwardedNothing:
	case !s.mayIntroduce(now): // a forwarder must not make us flood a third party
		e.drop(s.addr, DropRate)
	case e.cfg.Forwarded == ForwardedHello:
		e.greet(now, c.Reply.AddrPort, c.Tag, 0)
	case !e.outboxFull():
		e.postStartup(now, wire.Redirect{TagEcho: c.Tag}.Append(e.startupPacket(now, 0)), 0, c.Reply.AddrPort)
		e.stats.Redirects++
	}
}

// handleIIKeying begins a session as responder (RFC 7016 §3.5.1.1.2). Until the
// cookie is verified nothing is kept.
func (e *Endpoint) handleIIKeying(now clock.Time, from netip.AddrPort, c wire.IIKeying, size int) {
	verdict, age := e.cookies.check(c.CookieEcho, now, from)
	switch {
	case verdict == cookieForged || c.SessionID == 0:
		e.drop(from, DropCookie)
		return
	case verdict == cookieElsewhere:
		if e.outboxFull() {
			return
		}
		var cookie [cookieSize]byte
		b := wire.CookieChange{
			OldCookie: c.CookieEcho,
			NewCookie: e.cookies.append(cookie[:0], now, from),
		}.Append(e.startupPacket(now, 0))
		if e.startupSize(b) > size {
			e.pool.free(b, e.cfg.MaxMTU)
			e.drop(from, DropAmplify)
			return
		}
		e.postStartup(now, b, c.SessionID, from)
		return
	}
	id := idOfKeying(c)
	if s := e.pending[id]; s != nil { // "this IIKeying is a retransmission"
		s.answer(now, from)
		return
	}
	cert, err := crypto.ParseCertificate(c.Certificate)
	if err != nil || cert.PeerID() == e.PeerID() {
		e.drop(from, DropCertificate)
		return
	}
	other := e.peers[cert.PeerID()]
	if other != nil && other.outranks(now, from, cert, id) {
		e.drop(from, DropGlare)
		return
	}
	prefix := prefixOf(from.Addr())
	if e.begun[prefix] >= e.cfg.MaxOpeningPerPrefix {
		e.drop(from, DropLimit)
		return
	}
	s := e.newSession(now, stateResponding)
	if s == nil {
		e.drop(from, DropLimit)
		return
	}
	e.begun[prefix]++
	if other != nil {
		other.yield(now, cert)
	}
	s.peer, s.addr, s.far, s.keying, s.local = cert.PeerID(), from, c.SessionID, id, e.outbox.asked.Local
	s.startup = &startup{began: now, busy: true}
	s.rtt.guess(age)
	s.stateAt = now.Add(proofLimit)
	s.arm(s.stateAt)
	e.pending[id] = s
	w := e.newWork(s, workRespond)
	w.far = cert
	w.offer, _ = wire.ParseIIKeying(slices.Concat(c.Signed, c.Signature)) // a copy
	e.random(w.seed[:])
}

func idOfKeying(c wire.IIKeying) (id keyingID) {
	var room [256]byte // enough for most
	b := binary.BigEndian.AppendUint32(room[:0], c.SessionID)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.Certificate)))
	sum := sha256.Sum256(append(append(b, c.Certificate...), c.SKIC...))
	copy(id[:], sum[:])
	return id
}

// outranks reports whether the session makes its endpoint ignore an IIKeying of
// the same peer: one that it came from itself, or one that loses against its
// own initiation (Glare, RFC 7016 §3.5.1.3).
//
// The RFC recognizes glare by the address. Here the certificate decides, since
// behind a NAT the address may be new; but an IHello that goes elsewhere than
// where the IIKeying comes from may never arrive, and does not count.
func (s *Session) outranks(now clock.Time, from netip.AddrPort, far *crypto.Certificate, id keyingID) bool {
	if s.keying == id && !s.initiator {
		return true
	}
	if !s.initiator || !s.e.cfg.Identity.Parsed().Prevails(far) {
		return false
	}
	switch s.state {
	case StateIHelloSent:
		return s.candidate(from) != nil
	case StateKeyingSent:
		return true
	case StateOpen:
		return now.Sub(s.openedAt) < glareWindow
	default:
		return false
	}
}

// yield silences an opening session that has lost in glare: "abort and destroy
// the near opening session" (RFC 7016 §3.5.1.3). An IIKeying that comes after
// the far end's own is open makes some far ends drop that one as stale, with all
// that is queued on it. Since anybody can send an IIKeying with somebody's
// certificate, it is for a while and once; confirm does the rest.
func (s *Session) yield(now clock.Time, far *crypto.Certificate) {
	if st := s.startup; st != nil && s.initiator && st.yieldUntil == 0 && !s.e.cfg.Identity.Parsed().Prevails(far) {
		st.yieldUntil = now.Add(yieldPeriod)
	}
}

// responded sends the RIKeying. The session is open as far as the wire goes;
// its owner hears of it when the initiator proves that it holds the keys.
func (s *Session) responded(now clock.Time, w *Work) {
	if s.state != stateResponding {
		return
	}
	if w.err != nil {
		s.e.drop(s.addr, DropCrypto)
		s.release(StateClosed)
		return
	}
	s.keys, s.longECN = w.keys, w.extensions&crypto.ExtensionECN != 0
	s.state = StateOpen
	s.nearPrevails = s.e.cfg.Identity.Parsed().Prevails(w.far)
	s.startup.busy = false
	s.startup.rikeying = w.keying
	s.congestion.init(s.e.cfg.MTU)
	s.pacer.init(now, s.e.cfg.MTU)
	s.answer(now, s.addr)
}

// answer sends the RIKeying, again if need be.
func (s *Session) answer(now clock.Time, to netip.AddrPort) {
	e := s.e
	if s.startup.busy || e.outboxFull() {
		return
	}
	if to == s.addr {
		defer e.outbox.answering(Arrival{From: to, Local: s.local})()
	}
	e.postStartup(now, append(e.startupPacket(now, len(s.startup.rikeying)), s.startup.rikeying...), s.far, to)
}

// confirm tells the owner of a session whose initiator has used the keys, and
// settles it with another session of the same peer. It returns the session that
// goes on in its place, nil if it lost.
//
// Anybody can send an IIKeying with somebody's certificate; so an existing
// session yields only now ("this is a new opening session from the same
// identity, and the existing S_OPEN session is stale", RFC 7016 §3.5.1.1.2).
func (s *Session) confirm(now clock.Time) *Session {
	e := s.e
	delete(e.pending, s.keying)
	s.prove()
	other := e.peers[s.peer]
	switch {
	case other == nil:
	case other.state == StateIHelloSent || other.state == StateKeyingSent:
		other.adopt(s)
		s = other
	case other.initiator && now.Sub(other.openedAt) < glareWindow && s.nearPrevails:
		s.release(StateClosed)
		return nil
	default:
		other.release(StateClosed)
		e.emit(Event{Kind: SessionClosed, Session: other, Err: ErrReplaced})
	}
	e.peers[s.peer] = s
	s.opened(now)
	return s
}

// adopt makes an opening session the responder of a session that the far end
// opened at the same time. The owner keeps the handle, and what is queued on its
// flows; r vanishes.
func (s *Session) adopt(r *Session) {
	e := s.e
	r.rest()
	e.timers.Stop(&r.timer)
	s.rest()
	e.sessions.remove(s.id)
	s.prove() // with r
	s.id, s.far, s.addr, s.keys = r.id, r.far, r.addr, r.keys
	s.keying, s.rtt, s.initiator, s.longECN, s.local = r.keying, r.rtt, false, r.longECN, r.local
	e.sessions.rebind(s.id, s)
	r.state, r.keys, r.startup = StateClosed, nil, nil
}

// prove takes the session out of those of which nothing is proven yet.
func (s *Session) prove() {
	if s.confirmed {
		return
	}
	e := s.e
	s.confirmed = true
	e.opening--
	if s.initiator {
		return
	}
	prefix := prefixOf(s.addr.Addr())
	if e.begun[prefix]--; e.begun[prefix] == 0 {
		delete(e.begun, prefix)
	}
}
