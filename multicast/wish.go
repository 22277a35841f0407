package multicast

import (
	"bytes"
	"crypto/sha256"

	"rtmfp/internal/clock"
)

// A newcomer that plays a stream of which it knows no more than the name tells so
// when it proves its membership, and the member that takes it in sends the start,
// from the newest key frame on, right behind its description of the stream. So
// the first picture is there a round trip sooner than if the newcomer asked.
//
// There is no media flow yet, which has to answer a flow of the newcomer, so these
// fragments come on the control flow, in order: no more than the first flight
// of a session or two carry. The rest is pulled as always.

const (
	wishLabel  = "rtmfp wish 1"
	wishSize   = 8 // bytes of a hash of a name
	maxWishes  = 8
	startBytes = 32 << 10
)

// wishFor is how a stream is named in a wish.
func wishFor(name string) []byte {
	h := sha256.New()
	h.Write([]byte(wishLabel))
	h.Write([]byte(name))
	return h.Sum(nil)[:wishSize]
}

// Wish returns what to tell the first member that is met of the streams that are
// played here and not known yet, for its Welcome. It is empty if there are none.
func (s *Service) Wish() (wish []byte) {
	for _, sub := range s.subs {
		if sub.st == nil && !sub.cfg.AnyFrame && len(wish) < maxWishes*wishSize {
			wish = append(wish, wishFor(sub.name)...)
		}
	}
	return wish
}

// wishes reports whether a stream's name is among those in a wish.
func wishes(wish []byte, name string) bool {
	if len(wish) < wishSize {
		return false
	}
	for want := wishFor(name); len(wish) >= wishSize; wish = wish[wishSize:] {
		if bytes.Equal(wish[:wishSize], want) {
			return true
		}
	}
	return false
}

// readyKey returns the newest id that begins a key frame of which enough is held to
// show it, or if there is none the newest that begins one: who starts with what is
// still on its way here has to wait for it.
func (st *stream) readyKey() uint64 {
	if st.keyBefore == 0 || st.key == 0 || !st.win.has(st.key) || !st.win.has(st.keyBefore) {
		return st.key
	}
	end := st.key
	if st.signed() {
		if r := st.runOf(st.key + 1); r != nil {
			end = r.end()
		}
	} else if f, ok := consumeFragment(st.win.get(st.key)); ok {
		end += uint64(f.pieces)
	}
	for id := st.key + 1; id <= end; id++ {
		if !st.win.has(id) {
			return st.keyBefore
		}
	}
	return st.key
}

// startFor returns up to which fragment a newcomer is sent the start from key on, 0
// if it is not.
func (st *stream) startFor(now clock.Time, p *peer, key uint64) (last uint64) {
	if key == 0 || p.ctrlIn != 0 {
		return 0
	}
	size := 0
	for id := key; id <= st.win.top; id++ {
		n := len(st.win.get(id))
		if size += n; n == 0 || size > startBytes || !st.allow(now, p, n, st.classOfHeld(id), false) {
			break
		}
		if limit := st.s.uploadLimit(); limit > 0 {
			st.s.upload.spend(now, n, limit)
		}
		last = id
	}
	return last
}

// sendStart sends what was promised.
func (st *stream) sendStart(now clock.Time, p *peer, from, last uint64) {
	for id := from; id <= last; id++ {
		b := append(append(st.s.scratch[:0], msgStart), st.win.get(id)...)
		st.s.scratch = b
		st.s.flows.Send(now, p.ctrlOut, b, clock.Never)
		p.have.add(id)
		st.stats.BytesSent += uint64(len(b) - 1)
		st.stats.FragmentsRequestedByPeers++
	}
}

// expectStart takes what a neighbor sends of itself to have been asked of it.
func (st *stream) expectStart(now clock.Time, p *peer, from, last uint64) {
	for i := range st.missing {
		g := &st.missing[i]
		if g.id < from || g.asked != nil || p.outstanding >= maxOutstanding {
			continue
		}
		if g.id > last {
			return
		}
		p.outstanding++
		g.asked, g.last, g.sent = p, p, now
		g.due = now.Add(st.pullTimeout(p, 0))
	}
}
