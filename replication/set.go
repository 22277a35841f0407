package replication

import (
	"math/bits"
	"slices"
)

// MaxIndex is the largest index of an object.
const MaxIndex = 1 << 53

// Range is the indexes from Start to before End.
type Range struct{ Start, End uint64 }

// Set is a set of indexes. Long runs take a few bytes each, everything else a
// bit for each index of a page. The zero Set is empty.
type Set struct {
	spans []span // in order, none empty, no two full ones side by side
	count uint64
}

// span is one page of indexes, or several of which all are in the set.
type span struct {
	page, pages uint64
	bits        *pageBits // nil: all of them
	ones        int       // of bits
}

// pageSize is the number of indexes in a page.
const pageSize = 1 << 12

type pageBits [pageSize / 64]uint64

// Count returns the number of indexes in the set.
func (s *Set) Count() uint64 { return s.count }

// Empty reports whether there is none.
func (s *Set) Empty() bool { return s.count == 0 }

// Clear empties the set.
func (s *Set) Clear() { *s = Set{} }

// Pages returns how many pages of bits the set needs, which is its size in
// units of half a kilobyte.
func (s *Set) Pages() int {
	n := 0
	for i := range s.spans {
		if s.spans[i].bits != nil {
			n++
		}
	}
	return n
}

// find returns the place of the first span that ends behind a page.
func (s *Set) find(page uint64) int {
	lo, hi := 0, len(s.spans)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if sp := &s.spans[m]; sp.page+sp.pages > page {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// Has reports whether an index is in the set.
func (s *Set) Has(i uint64) bool {
	page := i / pageSize
	at := s.find(page)
	if at == len(s.spans) || s.spans[at].page > page {
		return false
	}
	b := s.spans[at].bits
	return b == nil || b[i%pageSize/64]>>(i%64)&1 != 0
}

// Add puts a range into the set.
func (s *Set) Add(r Range) {
	for r.Start < r.End {
		page := r.Start / pageSize
		if r.Start%pageSize == 0 && r.End-r.Start >= pageSize {
			n := (r.End - r.Start) / pageSize
			s.fill(page, n)
			r.Start += n * pageSize
			continue
		}
		end := min(r.End, (page+1)*pageSize)
		s.addBits(page, int(r.Start%pageSize), int(end-page*pageSize))
		r.Start = end
	}
}

// fill puts whole pages into the set.
func (s *Set) fill(page, n uint64) {
	from, to := s.cut(page), s.cut(page+n)
	for _, sp := range s.spans[from:to] {
		s.count -= sp.size()
	}
	s.count += n * pageSize
	s.spans = slices.Replace(s.spans, from, to, span{page: page, pages: n})
	s.join(from)
}

// cut returns the place of the first span at or behind a page, and divides a
// run of full pages that reaches over it.
func (s *Set) cut(page uint64) int {
	at := s.find(page)
	if at == len(s.spans) || s.spans[at].page >= page {
		return at
	}
	sp := s.spans[at]
	s.spans[at].pages = page - sp.page
	s.spans = slices.Insert(s.spans, at+1, span{page: page, pages: sp.page + sp.pages - page})
	return at + 1
}

// join makes one run of a full span and full ones beside it.
func (s *Set) join(at int) {
	full := func(i, j int) bool {
		a, b := &s.spans[i], &s.spans[j]
		return a.bits == nil && b.bits == nil && a.page+a.pages == b.page
	}
	if at+1 < len(s.spans) && full(at, at+1) {
		s.spans[at].pages += s.spans[at+1].pages
		s.spans = slices.Delete(s.spans, at+1, at+2)
	}
	if at > 0 && full(at-1, at) {
		s.spans[at-1].pages += s.spans[at].pages
		s.spans = slices.Delete(s.spans, at, at+1)
	}
}

func (sp *span) size() uint64 {
	if sp.bits != nil {
		return uint64(sp.ones)
	}
	return sp.pages * pageSize
}

// addBits puts part of a page into the set.
func (s *Set) addBits(page uint64, from, to int) {
	at := s.find(page)
	if at == len(s.spans) || s.spans[at].page > page {
		s.spans = slices.Insert(s.spans, at, span{page: page, pages: 1, bits: new(pageBits)})
	}
	sp := &s.spans[at]
	if sp.bits == nil {
		return
	}
	for i := from; i < to; {
		word, mask, next := wordMask(i, to)
		sp.ones += bits.OnesCount64(mask &^ sp.bits[word])
		s.count += uint64(bits.OnesCount64(mask &^ sp.bits[word]))
		sp.bits[word] |= mask
		i = next
	}
	if sp.ones == pageSize {
		sp.bits, sp.ones = nil, 0
		s.join(at)
	}
}

// wordMask returns the word of a page that holds bit i, the bits from i to
// before to that lie in it, and where the next word goes on.
func wordMask(i, to int) (word int, mask uint64, next int) {
	word = i / 64
	next = min(to, (word+1)*64)
	mask = ^uint64(0) << (i % 64)
	if r := next % 64; r != 0 {
		mask &= 1<<r - 1
	}
	return word, mask, next
}

// Remove takes a range out of the set.
func (s *Set) Remove(r Range) {
	for r.Start < r.End && s.count > 0 {
		page := r.Start / pageSize
		if r.Start%pageSize == 0 && r.End-r.Start >= pageSize {
			n := (r.End - r.Start) / pageSize
			from, to := s.cut(page), s.cut(page+n)
			for _, sp := range s.spans[from:to] {
				s.count -= sp.size()
			}
			s.spans = slices.Delete(s.spans, from, to)
			r.Start += n * pageSize
			continue
		}
		end := min(r.End, (page+1)*pageSize)
		s.removeBits(page, int(r.Start%pageSize), int(end-page*pageSize))
		r.Start = end
	}
}

// removeBits takes part of a page out of the set.
func (s *Set) removeBits(page uint64, from, to int) {
	at := s.find(page)
	if at == len(s.spans) || s.spans[at].page > page {
		return
	}
	if s.spans[at].bits == nil {
		at = s.cut(page)
		s.cut(page + 1)
		b := new(pageBits)
		for i := range b {
			b[i] = ^uint64(0)
		}
		s.spans[at].bits, s.spans[at].ones = b, pageSize
	}
	sp := &s.spans[at]
	for i := from; i < to; {
		word, mask, next := wordMask(i, to)
		sp.ones -= bits.OnesCount64(mask & sp.bits[word])
		s.count -= uint64(bits.OnesCount64(mask & sp.bits[word]))
		sp.bits[word] &^= mask
		i = next
	}
	if sp.ones == 0 {
		s.spans = slices.Delete(s.spans, at, at+1)
	}
}

// Next returns the first index of the set from i on, false if there is none.
func (s *Set) Next(i uint64) (uint64, bool) {
	page := i / pageSize
	for at := s.find(page); at < len(s.spans); at++ {
		sp := &s.spans[at]
		i = max(i, sp.page*pageSize)
		if sp.bits == nil {
			return i, true
		}
		if k, ok := sp.bits.next(int(i - sp.page*pageSize)); ok {
			return sp.page*pageSize + uint64(k), true
		}
		i = (sp.page + 1) * pageSize
	}
	return 0, false
}

func (b *pageBits) next(i int) (int, bool) {
	for word := i / 64; word < len(b); word++ {
		w := b[word]
		if word == i/64 {
			w &= ^uint64(0) << (i % 64)
		}
		if w != 0 {
			return word*64 + bits.TrailingZeros64(w), true
		}
	}
	return 0, false
}

// nextGap returns the first index from i on that is not in the set.
func (s *Set) nextGap(i uint64) uint64 {
	for {
		page := i / pageSize
		at := s.find(page)
		if at == len(s.spans) || s.spans[at].page > page {
			return i
		}
		sp := &s.spans[at]
		if sp.bits == nil {
			i = (sp.page + sp.pages) * pageSize
			continue
		}
		for k := int(i % pageSize); k < pageSize; {
			if w := ^sp.bits[k/64] >> (k % 64); w != 0 {
				return page*pageSize + uint64(k+bits.TrailingZeros64(w))
			}
			k = (k/64 + 1) * 64
		}
		i = (page + 1) * pageSize
	}
}

// NextRange returns the first run of the set that ends behind i, from i on.
func (s *Set) NextRange(i uint64) (Range, bool) {
	start, ok := s.Next(i)
	if !ok {
		return Range{}, false
	}
	return Range{start, s.nextGap(start)}, true
}

// nextBoth returns the first index from i on that is in both sets.
func nextBoth(a, b *Set, i uint64) (uint64, bool) {
	for {
		x, ok := a.Next(i)
		if !ok {
			return 0, false
		}
		y, ok := b.Next(x)
		if !ok {
			return 0, false
		}
		if x == y {
			return x, true
		}
		i = y
	}
}

// end returns the first index behind the set.
func (s *Set) end() uint64 {
	if len(s.spans) == 0 {
		return 0
	}
	sp := &s.spans[len(s.spans)-1]
	if sp.bits == nil {
		return (sp.page + sp.pages) * pageSize
	}
	for word := len(sp.bits) - 1; ; word-- {
		if w := sp.bits[word]; w != 0 {
			return sp.page*pageSize + uint64(word*64+bits.Len64(w))
		}
	}
}
