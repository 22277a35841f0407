package run

import (
	"fmt"
	"math"
	"time"

	"rtmfp/internal/clock"
	"rtmfp/multicast"
	"rtmfp/node"
)

// watching is how a viewer fares.
type watching struct {
	sub     *multicast.Subscription
	begun   bool
	beganAt clock.Time // first message
	next    uint64     // the number of the message that should come next
	count   uint32     // messages that came after the first one was published
	lost    uint64
	apart   bool   // it does not count any more
	last    uint64 // number of the latest message

	// How much of each window of time was on time, for windows from done on;
	// those before are in the run's windows.
	done int
	ring [ringBins][columns]uint16
}

// ringBins windows are kept for each viewer: those in which a message may still
// be on time, and some.
const ringBins = 16

// turn drains a node after each of its turns.
func (r *run) turn(m *member) {
	for ev, ok := m.node.Core.NextEvent(); ok; ev, ok = m.node.Core.NextEvent() {
		switch ev.Kind {
		case node.EventJoined:
			m.joined = true
			r.tell(m, "joined", "")
		case node.EventRouted:
			r.routed(m, ev.Routed)
		case node.EventRouteResult:
			r.routeResult(m, ev.Result)
		case node.EventNeighborBanned:
			r.cutOff(m, ev.Peer)
		case node.EventNeighborUp, node.EventNeighborDown:
			if r.opts.Tell != nil {
				what := "neighbor_up"
				if ev.Kind == node.EventNeighborDown {
					what = "neighbor_down"
				}
				if o := r.byPeer[ev.Peer]; o != nil {
					r.tell(m, what, "%d", o.node.Number())
				} else {
					r.tell(m, what, "gone")
				}
			}
		}
	}
	if m.gone {
		return
	}
	r.drain(m)
	r.copy(m)
	if m.watch == nil {
		return
	}
	for f, ok := m.watch.sub.NextFrame(); ok; f, ok = m.watch.sub.NextFrame() {
		r.frame(m, &f)
	}
}

// frame takes a message that a viewer can play.
func (r *run) frame(m *member, f *multicast.Frame) {
	w := m.watch
	now := m.node.Instant()
	number, err := r.pattern.read(f.Data, len(r.message))
	if err != nil {
		r.net.Fail(m.node, "bytes", err.Error())
		return
	}
	if w.begun && number < w.next {
		r.net.Fail(m.node, "order", "a message came again or after its successor")
		return
	}
	if !w.begun && !r.s.Live.AnyFrame && number%r.keyEach != 0 {
		r.net.Fail(m.node, "start", fmt.Sprintf("playing begins with message %d, which is no key frame", number))
		return
	}
	at := r.publishedAt(number)
	r.one.Lock()
	defer r.one.Unlock()
	if !w.begun {
		w.begun, w.beganAt = true, now
		if now >= r.began {
			w.done = binOf(now.Sub(r.began)) + 1
		}
		if r.measuring && m.born > r.began {
			took := now.Sub(m.born)
			r.tally.startup.Add(uint64(took/time.Microsecond), 1)
			r.tally.startupLess.Add(uint64(max(took-r.toDoor(m), 0)/time.Microsecond), 1)
		}
		r.tell(m, "first_frame", "after %v", now.Sub(m.born))
	} else {
		w.lost += r.missed(w, number)
	}
	w.next, w.last = number+1, number
	if number < r.counted || w.apart {
		return // nothing of that is measured
	}
	if r.opts.Delivered != nil && at >= m.born {
		r.opts.Delivered(m.node.Number(), now.Sub(at))
	}
	if at < w.beganAt {
		return // what was there before it came
	}
	w.count++
	delay := now.Sub(at)
	r.tally.delivered(at.Sub(r.began), delay)
	if r.opts.Tell != nil && delay > time.Duration(r.s.Measure.Deadline) {
		r.tell(m, "late_frame", "message %d after %v", number, delay)
	}
	if slot := r.slot(w, now, at); slot != nil {
		for i, d := range deadlineList {
			if delay <= d {
				slot[i]++
			}
		}
	}
}

// slot returns where is counted what of the window of an instant comes to a
// viewer, nil if that window is over.
func (r *run) slot(w *watching, now, at clock.Time) *[columns]uint16 {
	if binOf(now.Sub(r.began))-w.done >= ringBins-1 {
		r.settle(w, now)
	}
	if bin := binOf(at.Sub(r.began)); bin >= w.done {
		return &w.ring[bin%ringBins]
	}
	return nil
}

// toDoor returns the round trip to the nearest introducer.
func (r *run) toDoor(m *member) time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, b := range r.boots {
		if !b.gone {
			least = min(least, 2*(r.direct(m, b)+time.Duration(r.s.Network.Hop)))
		}
	}
	return least
}

// missed returns how many of the messages from the next one to another are
// missing, of those that are measured.
func (r *run) missed(w *watching, number uint64) uint64 {
	from := max(w.next, r.counted)
	return max(number, from) - from
}

// settle moves the windows in which nothing can be on time any more from a
// viewer to the run.
func (r *run) settle(w *watching, now clock.Time) {
	if !w.begun {
		return
	}
	for end := binOf(now.Sub(r.began)) - settleBins; w.done < end; w.done++ {
		slot := &w.ring[w.done%ringBins]
		r.windows.add(w.done, slot)
		*slot = [columns]uint16{}
	}
}
