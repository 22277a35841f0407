package multicast

import (
	"time"

	"rtmfp/internal/clock"
)

// Streams with classes come in bursts: a key frame may be more than the upload limit has room for at that
// moment, and less than it has in the time until the next. So what can't be pushed at once is
// owed for a while, and goes out when there is room again: first what is of the first class,
// each class in the order in which it came. Of what is spare a message goes out whole or
// not at all. Relays owe only what is first, as the rest may be had elsewhere sooner.

// owing is what a stream owes its children.
type owing struct {
	owed   [3][]debt  // by class
	begun  uint64     // the last piece of a spare message that was sent: the rest follows
	keys   [2]uint64  // the latest key frame, and the one before it: themselves, where fetching.key is the digest before
	owedAt clock.Time // when there may be room for the next; Never: nothing is owed
}

// debt is a fragment that is to be pushed.
type debt struct {
	p     *peer
	id    uint64
	until clock.Time // after which it is not worth it
	asked bool       // it was pulled
}

const (
	maxOwed  = 4096                   // fragments of one class
	owedRest = 800 * time.Millisecond // for which others than the first ones are owed
)

// before reports whether what is owed comes before a fragment of a class.
func (o *owing) before(class Class) bool {
	return len(o.owed[First]) > 0 || class != First && len(o.owed[Plain]) > 0 || class == Spare && len(o.owed[Spare]) > 0
}

// owe notes that a child is to get a fragment when there is room.
func (st *stream) owe(now clock.Time, p *peer, id uint64, msg []byte, class Class) {
	if class != First && st.pub == nil || !st.classed {
		st.stats.PushesDropped++
		return
	}
	wait := min(st.life(class), st.leftOf(msg))
	if class != First {
		wait = min(wait, owedRest)
	}
	o := &st.owed[class]
	if len(*o) >= maxOwed {
		*o = (*o)[:copy(*o, (*o)[1:])]
		st.stats.PushesDropped++
	}
	*o = append(*o, debt{p: p, id: id, until: now.Add(wait)})
	if st.owedAt == clock.Never {
		st.payAgain(now, class)
	}
}

// owePull notes the same of one that it asked for, and reports whether it will get it.
func (st *stream) owePull(now clock.Time, p *peer, id uint64, msg []byte, class Class) bool {
	if class != First || !st.classed {
		return false
	}
	for i := range st.owed[First] {
		if d := &st.owed[First][i]; d.p == p && d.id == id {
			return true
		}
	}
	st.owe(now, p, id, msg, First)
	st.owed[First][len(st.owed[First])-1].asked = true
	return true
}

// payAgain plans when there will be room for what is owed of a class.
func (st *stream) payAgain(now clock.Time, class Class) {
	wait := time.Millisecond
	if limit := st.s.uploadLimit(); limit > 0 { // it may be found not to matter any more
		wait = max(wait, st.s.upload.hasIn(now, limit, pushRoom[class]))
	}
	st.owedAt = now.Add(wait)
	st.wake(st.owedAt)
}

// pay sends what is owed as far as there is room.
func (st *stream) pay(now clock.Time) {
	st.owedAt = clock.Never
	limit := st.s.uploadLimit()
	for _, class := range [...]Class{First, Plain, Spare} {
		o := st.owed[class]
		n := 0
		for ; n < len(o); n++ {
			d := &o[n]
			msg := st.win.get(d.id)
			room := pushRoom[class]
			late := now > d.until
			if class == Spare && !st.isBegun(msg, d.id) {
				late = late || msg != nil && msg[0]&markStart == 0
			} else if class == Spare {
				room, late = pushRoom[Plain], false
			}
			if late || msg == nil {
				st.stats.PushesDropped++
				if class == Plain {
					d.p.lacks = max(d.p.lacks, d.id)
				}
				continue
			}
			if class == Plain && st.useless(d.p, d.id) {
				st.stats.PushesDropped++
				continue
			}
			if d.p.mediaOut == 0 || d.p.have.has(d.id) {
				continue
			}
			if limit > 0 && !st.s.upload.has(now, limit, room) {
				break
			}
			if class == Spare {
				st.begun = d.id
			}
			switch sent := st.sendFragment(now, d.p, d.id, msg, class); {
			case !sent:
				st.stats.PushesDropped++
			case d.asked:
				st.stats.FragmentsRequestedByPeers++
			default:
				st.stats.FragmentsPushedToPeers++
			}
		}
		m := copy(o, o[n:])
		clear(o[m:])
		st.owed[class] = o[:m]
		if m > 0 {
			st.payAgain(now, class)
			return
		}
		if cap(o) > maxOwed/16 {
			st.owed[class] = nil
		}
	}
}

// useless reports whether a neighbor can do without a plain fragment: pictures need those before them,
// back to a key frame, and one of these was given up for it.
func (st *stream) useless(p *peer, id uint64) bool {
	key := st.keys[0]
	if id < key {
		key = st.keys[1]
	}
	return key != 0 && p.lacks > key && p.lacks < id
}

// isBegun reports whether a piece of a spare message is not the first, and follows one that was sent.
func (st *stream) isBegun(msg []byte, id uint64) bool {
	if len(msg) == 0 || msg[0]&markStart != 0 {
		return false
	}
	return st.begun != 0 && id >= st.begun && id <= st.begun+2 // there may be a digest between them
}

// forgive drops what is owed to a neighbor.
func (o *owing) forgive(p *peer) {
	for class := range o.owed {
		kept := o.owed[class][:0]
		for _, d := range o.owed[class] {
			if d.p != p {
				kept = append(kept, d)
			}
		}
		clear(o.owed[class][len(kept):])
		o.owed[class] = kept
	}
}
