package transport

import (
	"bytes"

	"rtmfp/internal/clock"
	"rtmfp/transport/crypto"
)

// A responder that is selected by its RHello may be dead by the time that the
// IIKeying arrives, or the path may not carry what is longer. The RFC ignores
// later RHellos and tries the one until the ultimate open timeout (§3.5.1.1.1),
// so that of several servers, where "if one of the multiple servers fails, other
// servers in the pool can still respond to the client" (§3.5.1.7), the first one
// would have to fail early enough. Here an initiator that has other candidates
// goes back to asking, as a new session for the same discriminator would: with
// another tag, so that an RHello of before selects nobody, and with another key.

// fallBack returns to S_IHELLO_SENT if IIKeyings were repeated without an answer
// and there is somebody else to ask, and reports whether. It takes one attempt
// more each time, so that nobody is too slow to be reached.
func (s *Session) fallBack(now clock.Time) bool {
	st := s.startup
	if st.keying.rounds() < 2+int(st.fallbacks) || st.yieldUntil != 0 {
		return false
	}
	others := 0
	for i := range st.candidates {
		if st.candidates[i].addr != s.addr {
			others++
		}
	}
	if others == 0 {
		return false
	}
	// Everybody is asked again, as at first, but for the one that was silent: it
	// is asked when another would be repeated.
	at := now
	for i := range st.candidates {
		c := &st.candidates[i]
		if c.addr == s.addr {
			c.attempts = attempts{at: now.Add(helloInterval + helloBackoff)}
			continue
		}
		c.attempts = attempts{at: at}
		at = at.Add(max(s.e.cfg.ParallelOffset, 0))
	}
	if !bytes.Equal(st.epd, crypto.EPDForPeer(s.peer)) { // whoever answers now may be another
		if s.e.peers[s.peer] == s {
			delete(s.e.peers, s.peer)
		}
		s.peer = PeerID{}
	}
	s.e.random(st.tag[4:])
	st.fallbacks = min(st.fallbacks+1, 255-2)
	st.cookie, st.cookieChanged, st.initiation, st.iikeying = nil, false, nil, nil
	s.become(StateIHelloSent)
	return true
}
