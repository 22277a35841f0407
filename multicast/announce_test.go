package multicast

import (
	"testing"
	"time"

	"rtmfp/group"
	"rtmfp/internal/clock"
)

// listening is a Flows that hands every message on.
type listening struct {
	nowhere
	heard func(now clock.Time, flow group.FlowID, msg []byte)
}

func (l *listening) Send(now clock.Time, flow group.FlowID, msg []byte, _ clock.Time) {
	l.heard(now, flow, msg)
}

// audience has everything that a relay sends read as its neighbors do.
type audience struct {
	states  int
	fetches []group.LinkID
	last    map[group.LinkID]clock.Time    // when a neighbor was told
	gap     map[group.LinkID]time.Duration // the longest time between
	holds   map[group.LinkID]map[uint64]bool
	newest  map[group.LinkID]uint64
}

func listen(r *relay) *audience {
	a := &audience{
		last: map[group.LinkID]clock.Time{}, gap: map[group.LinkID]time.Duration{},
		holds: map[group.LinkID]map[uint64]bool{}, newest: map[group.LinkID]uint64{},
	}
	old := r.svc.flows.(*nowhere)
	r.svc.flows = &listening{*old, func(now clock.Time, flow group.FlowID, msg []byte) {
		p := r.svc.outflows[flow]
		if p == nil || flow != p.ctrlOut {
			return
		}
		link := p.n.link
		if msg[0] == msgFetch {
			a.fetches = append(a.fetches, link)
		}
		m, ok := consumeState(msg)
		if !ok {
			return
		}
		a.states++
		if at, ok := a.last[link]; ok {
			a.gap[link] = max(a.gap[link], now.Sub(at))
		}
		a.last[link] = now
		holds := a.holds[link]
		if holds == nil || m.flags&stateFull != 0 {
			holds = map[uint64]bool{}
			a.holds[link] = holds
		}
		holds[m.newest] = true
		for j, bits := range m.bitmap {
			for k := range uint64(8) {
				if off := uint64(8*j) + k; off+1 < m.newest {
					holds[m.newest-1-off] = bits&(1<<k) != 0
				}
			}
		}
		a.newest[link] = m.newest
	}}
	return a
}

// A member does not tell all its neighbors of everything; but each
// is told now and then, those that it feeds often; and what each has been told
// adds up to what the member held when it was told the last time.
func TestStatesGoRound(t *testing.T) {
	for _, far := range []int{4, 12, 40} {
		r := newRelay(t, far, 3)
		for range 1330 {
			r.step()
		}
		a := listen(r)
		begun := r.now
		for range 1330 {
			r.step()
			if r.id%50 == 40 { // one comes late: the map has a hole for a while
				r.id++
				late := r.id
				for range 3 {
					r.step()
				}
				top := r.id
				r.id = late
				r.feed()
				r.id = top
			}
		}
		seconds := r.now.Sub(begun).Seconds()
		perSecond := float64(a.states) / seconds
		t.Logf("%d neighbors: %.1f states a second", far, perSecond)
		if most := 40 + 1.2*float64(far); perSecond > most {
			t.Errorf("%d neighbors: %.1f states a second, want at most %.0f", far, perSecond, most)
		}
		st := r.svc.streams[0]
		for i, p := range st.peers {
			most := 1350 * time.Millisecond
			if p.children != 0 {
				most = 350 * time.Millisecond
			}
			if p.children != 0 || i > 0 {
				if d := a.gap[p.n.link]; d == 0 || d > most {
					t.Errorf("%d neighbors: neighbor %d (children %x) was not told for %v, want at most %v", far, i, p.children, d, most)
				}
			}
			newest := a.newest[p.n.link]
			for id := newest; id > newest-400; id-- {
				if got, want := a.holds[p.n.link][id], st.win.has(id); got != want {
					t.Fatalf("%d neighbors: neighbor %d takes fragment %d for held: %v, want %v", far, i, id, got, want)
				}
			}
		}
	}
}

// A fragment that nobody has told of is asked for of one who will have it by
// now, and of another when that one says that it has not, before it could have
// answered with the fragment.
func TestAskedInVain(t *testing.T) {
	r := newRelay(t, 6, 0)
	for range 1330 {
		r.step()
	}
	a := listen(r)
	r.tell()
	missing := r.id + 1
	r.id++
	told := r.now
	for len(a.fetches) == 0 && r.now.Sub(told) < time.Second {
		r.now = r.now.Add(7520 * time.Microsecond)
		if r.id++; r.id%8 == missing%8 {
			r.id++ // the slice has stopped
		}
		r.feed()
	}
	if len(a.fetches) != 1 {
		t.Fatalf("the missing fragment was asked for %d times after %v, want once", len(a.fetches), r.now.Sub(told))
	}
	first := a.fetches[0]
	// It holds what came before and after, but not that.
	m := state{flags: stateAnswer, newest: missing + 2, oldest: missing - 100, bitmap: []byte{0x01}}
	m.routes = r.state.routes
	r.svc.Message(r.now, r.control(int(first)-1), append(appendState(nil, &m), m.bitmap...))
	r.now = r.now.Add(40 * time.Millisecond)
	r.svc.Advance(r.now)
	if len(a.fetches) != 2 || a.fetches[1] == first {
		t.Errorf("asked %v, want another than %v after it said that it lacks the fragment", a.fetches, first)
	}
}

// Whoever asks in vain is told what is held, but not without end.
func TestFetchInVain(t *testing.T) {
	r := newRelay(t, 6, 0)
	for range 400 {
		r.step()
	}
	a := listen(r)
	for range 5 {
		r.svc.Message(r.now, r.control(3), appendFetch(nil, r.id+5, []byte{1}))
	}
	if a.states != 1 {
		t.Errorf("5 fetches of what is not held at one instant: %d answers, want 1", a.states)
	}
	r.svc.Message(r.now, r.control(3), appendFetch(nil, r.id-5, []byte{1}))
	if a.states != 1 {
		t.Error("a fetch of what is held was answered by a state")
	}
}
