package transport

import (
	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
	"rtmfp/transport/wire"
)

// Work is public-key work of one handshake. The driver gets it from NextWork,
// calls Run on any goroutine, and brings it back by FinishWork; nothing else of
// the endpoint waits for it.
type Work struct {
	s    *Session
	id   uint32 // of s, so that work for a session that is gone is recognized
	kind workKind

	identity *crypto.Identity
	policy   crypto.Policy
	seed     crypto.Seed
	far      *crypto.Certificate

	cookie     []byte        // to be echoed
	offer      wire.IIKeying // of the far end
	answer     wire.RIKeying // likewise
	initiation *crypto.Initiation
	timestamp  uint16 // of the RIKeying
	stamped    bool

	extensions crypto.Extensions // that both ends have

	keys   *crypto.SessionKeys
	keying []byte // IIKeying or RIKeying chunk to be sent
	err    error
}

type workKind uint8

const (
	workInitiate workKind = iota // certificate → IIKeying
	workSign                     // another cookie → another IIKeying with the same SKIC
	workComplete                 // RIKeying → keys
	workRespond                  // IIKeying → RIKeying and keys
)

// Run does the work. It touches nothing but w.
func (w *Work) Run() {
	switch w.kind {
	case workInitiate:
		if w.initiation, w.err = w.identity.Initiate(w.seed, w.far, w.policy); w.err == nil {
			w.sign()
		}
	case workSign:
		w.sign()
	case workComplete:
		w.keys, w.err = w.initiation.CompleteSigned(w.answer.SKRC, w.answer.Signed, w.answer.Signature)
		w.extensions = crypto.AgreedExtensions(w.initiation.Component(), w.answer.SKRC)
	case workRespond:
		c := wire.RIKeying{SessionID: w.id}
		c.SKRC, w.keys, w.err = w.identity.RespondSigned(w.seed, w.far, w.offer.SKIC, w.offer.Signed, w.offer.Signature, w.policy)
		if w.err == nil {
			w.extensions = crypto.AgreedExtensions(w.offer.SKIC, c.SKRC)
			if w.identity.Signs() {
				c.Signature = w.identity.SignRIKeying(w.far, c.AppendSigned(nil, w.offer.SKIC))
			}
			w.keying = c.Append(make([]byte, 0, len(c.SKRC)+len(c.Signature)+keyingHead))
		}
	}
}

// keyingHead is more than an RIKeying has beside its component and its signature,
// in bytes.
const keyingHead = 16

// sign makes the IIKeying.
func (w *Work) sign() {
	c := wire.IIKeying{SessionID: w.id, CookieEcho: w.cookie, Certificate: w.identity.Certificate(), SKIC: w.initiation.Component()}
	c.Signature = w.initiation.Sign(c.AppendSigned(nil))
	w.keying = c.Append(nil)
}

// NextWork returns the oldest work that was not returned yet. MaxOpening bounds
// how much there is.
func (e *Endpoint) NextWork() (*Work, bool) {
	if e.workHead == len(e.work) {
		e.work, e.workHead = e.work[:0], 0
		return nil, false
	}
	w := e.work[e.workHead]
	e.work[e.workHead] = nil
	e.workHead++
	return w, true
}

// FinishWork takes back work that was run.
func (e *Endpoint) FinishWork(now clock.Time, w *Work) {
	e.input(now)
	e.events.recycle()
	s := w.s
	if e.sessions.find(w.id) != s {
		return // closed or replaced meanwhile
	}
	switch w.kind {
	case workInitiate:
		s.initiated(now, w)
	case workSign:
		s.signed(now, w)
	case workComplete:
		s.completed(now, w)
	case workRespond:
		s.responded(now, w)
	}
}

func (e *Endpoint) newWork(s *Session, kind workKind) *Work {
	w := &Work{s: s, id: s.id, kind: kind, identity: e.cfg.Identity, policy: e.cfg.Policy}
	e.work = append(e.work, w)
	return w
}
