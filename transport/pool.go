package transport

import (
	"time"

	"rtmfp/internal/clock"
)

// pool holds the free records and buffers of an endpoint, so that the steady
// state allocates nothing. Buffers come in four sizes: control messages, small
// media, whole packets, and those of loopback. Of each kind no more is held, free or in use, than
// was in use at once of late, and a little: what a burst needed is given back
// soon.
type pool struct {
	fragments *fragment // by next
	messages  *message  // by next
	blocks    [blockClasses][][]byte
	kept      int // bytes in blocks
	limit     int

	tallies [kinds]tally
	ageAt   clock.Time // end of this period
}

// tally counts what there is of one kind.
type tally struct {
	free   int32
	used   int32 // in use
	most   int32 // in use at once in this period
	before int32 // and in the one before
}

const (
	blockClasses = 4
	smallBlock   = 128
	middleBlock  = 512
	jumboBlock   = 32000

	// Kinds of what the pool holds: a class of blocks, or one of these.
	kindFragment = blockClasses
	kindMessage  = blockClasses + 1
	kinds        = blockClasses + 2

	recordsKept = 8192 // free fragments, and free messages, at the most

	// poolPeriod is long enough for what comes in bursts all the time, as bulk
	// does, and short enough for memory not to show what was before.
	poolPeriod = 100 * time.Millisecond
)

// idleKept is how many are kept of each kind even if none was in use.
var idleKept = [kinds]int32{4, 1, 1, 0, 12, 4}

// take counts one that is in use from now on.
func (t *tally) take() {
	t.used++
	t.most = max(t.most, t.used)
}

// give counts one that is not in use any more, and reports whether to keep it.
func (t *tally) give(idle int32) bool {
	t.used = max(t.used-1, 0) // the pool may have been emptied since it was taken
	if t.free >= t.held(idle)-t.used {
		return false
	}
	t.free++
	return true
}

// held is how many may be held.
func (t *tally) held(idle int32) int32 { return max(t.most, t.before) + idle }

// age begins a new period, if it is time, and lets go of what was not needed
// in the two before.
func (p *pool) age(now clock.Time) {
	if now < p.ageAt {
		return
	}
	p.ageAt = now.Add(poolPeriod)
	for k := range p.tallies {
		t := &p.tallies[k]
		t.before, t.most = t.most, t.used
		over := t.free + t.used - t.held(idleKept[k])
		for ; over > 0 && t.free > 0; over-- {
			t.free--
			switch k {
			case kindFragment:
				p.fragments = p.fragments.next
			case kindMessage:
				p.messages = p.messages.next
			default:
				b := p.blocks[k]
				p.kept -= cap(b[t.free])
				b[t.free] = nil
				p.blocks[k] = b[:t.free]
			}
		}
		if k < blockClasses && cap(p.blocks[k]) > 16 && int(t.held(idleKept[k])) < cap(p.blocks[k])/4 {
			p.blocks[k] = append(make([][]byte, 0, 2*t.free), p.blocks[k]...)
		}
	}
}

// class returns the size class of n bytes, whole being that of whole packets.
func class(n, whole int) int {
	switch {
	case n <= smallBlock:
		return 0
	case n <= middleBlock:
		return 1
	case n <= whole:
		return 2
	default:
		return 3
	}
}

// block returns a buffer of n bytes, whole being the size of whole packets.
// Buffers over the largest class are not pooled.
func (p *pool) block(n, whole int) []byte {
	if n > max(whole, jumboBlock) {
		return make([]byte, n)
	}
	c := class(n, whole)
	size := [blockClasses]int{smallBlock, middleBlock, whole, jumboBlock}[c]
	t := &p.tallies[c]
	t.take()
	if t.free > 0 {
		t.free--
		b := p.blocks[c][t.free]
		p.blocks[c][t.free] = nil
		p.blocks[c] = p.blocks[c][:t.free]
		p.kept -= size
		return b[:n]
	}
	return make([]byte, n, size)
}

// free takes back a buffer that block gave; nil is ignored.
func (p *pool) free(b []byte, whole int) {
	size := cap(b)
	var c int
	switch size {
	case smallBlock:
		c = 0
	case middleBlock:
		c = 1
	case whole:
		c = 2
	case jumboBlock:
		c = 3
	default:
		return
	}
	t := &p.tallies[c]
	if !t.give(idleKept[c]) {
		return
	}
	if p.kept+size > p.limit {
		t.free--
		return
	}
	p.kept += size
	p.blocks[c] = append(p.blocks[c], b[:0])
}

func (p *pool) fragment() *fragment {
	t := &p.tallies[kindFragment]
	t.take()
	fr := p.fragments
	if fr == nil {
		return &fragment{}
	}
	p.fragments = fr.next
	t.free--
	*fr = fragment{}
	return fr
}

func (p *pool) freeFragment(fr *fragment) {
	if p.tallies[kindFragment].giveRecord(idleKept[kindFragment]) {
		*fr = fragment{next: p.fragments}
		p.fragments = fr
	}
}

func (p *pool) message() *message {
	t := &p.tallies[kindMessage]
	t.take()
	m := p.messages
	if m == nil {
		return &message{}
	}
	p.messages = m.next
	t.free--
	*m = message{}
	return m
}

func (p *pool) freeMessage(m *message) {
	if p.tallies[kindMessage].giveRecord(idleKept[kindMessage]) {
		*m = message{next: p.messages}
		p.messages = m
	}
}

// giveRecord is give within recordsKept.
func (t *tally) giveRecord(idle int32) bool {
	if !t.give(idle) {
		return false
	}
	if t.free > recordsKept {
		t.free--
		return false
	}
	return true
}
