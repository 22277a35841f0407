package transport

import (
	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
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

	component  []byte // SKIC or SKRC of the far end
	farID      uint32
	initiation *crypto.Initiation
	timestamp  uint16 // of the RIKeying
	stamped    bool

	keys *crypto.SessionKeys
	skrc []byte
	err  error
}

type workKind uint8

const (
	workInitiate workKind = iota // certificate → SKIC
	workComplete                 // SKRC → keys
	workRespond                  // SKIC → SKRC and keys
)

// Run does the work. It touches nothing but w.
func (w *Work) Run() {
	switch w.kind {
	case workInitiate:
		w.initiation, w.err = w.identity.Initiate(w.seed, w.far, w.policy)
	case workComplete:
		w.keys, w.err = w.initiation.Complete(w.component)
	case workRespond:
		w.skrc, w.keys, w.err = w.identity.Respond(w.seed, w.far, w.component, w.policy)
	}
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
