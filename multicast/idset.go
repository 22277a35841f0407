package multicast

// minSpan is the number of fragment ids that a window or a set tracks at first.
const minSpan = 1024

// maxID bounds fragment ids so that sums with spans never wrap.
const maxID = 1 << 62

// idSet remembers which of the newest fragment ids a neighbor holds: those in
// (top-span, top], where span is 64 times the length of words.
// The zero idSet is empty.
type idSet struct {
	words []uint64
	top   uint64
}

func (b *idSet) span() uint64 { return uint64(len(b.words)) * 64 }

// covers reports whether id lies in the span that the set can tell of.
func (b *idSet) covers(id uint64) bool { return id <= b.top && id+b.span() > b.top }

func (b *idSet) has(id uint64) bool {
	return b.covers(id) && b.words[id/64%uint64(len(b.words))]&(1<<(id%64)) != 0
}

// add puts id into the set. It moves the span up to id if need be; ids below
// the span are left out.
func (b *idSet) add(id uint64) {
	if b.words == nil {
		b.words = make([]uint64, minSpan/64)
	}
	if id > b.top {
		b.raise(id)
	}
	if b.covers(id) {
		b.words[id/64%uint64(len(b.words))] |= 1 << (id % 64)
	}
}

func (b *idSet) remove(id uint64) {
	if b.covers(id) {
		b.words[id/64%uint64(len(b.words))] &^= 1 << (id % 64)
	}
}

// raise moves the span up so that it ends at top.
func (b *idSet) raise(top uint64) {
	if top <= b.top {
		return
	}
	if top-b.top >= b.span() {
		clear(b.words)
	} else {
		for id := b.top + 1; id <= top; id++ {
			b.words[id/64%uint64(len(b.words))] &^= 1 << (id % 64)
		}
	}
	b.top = top
}

// grow widens the span to at least span ids, but not beyond limit, and keeps
// what the set holds.
func (b *idSet) grow(span, limit uint64) {
	if span = min(span, limit); span <= b.span() {
		return
	}
	const step = 4 * 64
	b.resize(max((span+span/8+step-1)/step*step, minSpan))
}

// shrink narrows a span that is more than twice as wide as it need be.
func (b *idSet) shrink(span uint64) {
	if span = max(span, minSpan); b.span() > 2*span {
		b.resize((span + 63) / 64 * 64)
	}
}

func (b *idSet) resize(span uint64) {
	old := *b
	b.words = make([]uint64, span/64)
	for i := uint64(0); i < min(old.span(), span) && i < old.top; i++ {
		if id := old.top - i; old.has(id) {
			b.words[id/64%(span/64)] |= 1 << (id % 64)
		}
	}
}

// removeBelow takes all ids below low out of the set.
func (b *idSet) removeBelow(low uint64) {
	if low > b.top {
		clear(b.words)
		return
	}
	first := uint64(1)
	if b.top >= b.span() {
		first = b.top - b.span() + 1
	}
	for id := first; id < low; id++ {
		if id%64 == 0 && id+64 <= low {
			b.words[id/64%uint64(len(b.words))] = 0
			id += 63
			continue
		}
		b.remove(id)
	}
}
