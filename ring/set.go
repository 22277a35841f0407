package ring

// Item is one element of a Set: an address and what the owner keeps with it.
type Item[T any] struct {
	Addr  Addr
	Value T
}

// Set is a set of addresses, sorted up the ring, each with a value. The zero
// Set is empty. Searching costs a binary search, changing it a copy of the
// items above.
type Set[T any] struct {
	items []Item[T]
}

// Len returns the number of addresses.
func (s *Set[T]) Len() int { return len(s.items) }

// At returns the i-th item in increasing order, counted around the ring: any
// i is good, negative too, unless the set is empty.
func (s *Set[T]) At(i int) Item[T] {
	n := len(s.items)
	return s.items[((i%n)+n)%n]
}

// Search returns the number of addresses less than a, which is the index of a
// if the set has it.
func (s *Set[T]) Search(a Addr) (i int, found bool) {
	top, end := a.Top(), len(s.items)
	for i < end {
		mid := int(uint(i+end) / 2)
		at := &s.items[mid].Addr
		if t := at.Top(); t < top || t == top && at.Less(a) {
			i = mid + 1
		} else {
			end = mid
		}
	}
	return i, i < len(s.items) && s.items[i].Addr == a
}

// Get returns the value at a.
func (s *Set[T]) Get(a Addr) (value T, ok bool) {
	if i, found := s.Search(a); found {
		return s.items[i].Value, true
	}
	return value, false
}

// Add puts a value at a and reports whether the address is new; the value of
// one that was there is replaced.
func (s *Set[T]) Add(a Addr, value T) bool {
	i, found := s.Search(a)
	if found {
		s.items[i].Value = value
		return false
	}
	s.items = append(s.items, Item[T]{})
	copy(s.items[i+1:], s.items[i:])
	s.items[i] = Item[T]{a, value}
	return true
}

// Remove takes a out and reports whether it was there.
func (s *Set[T]) Remove(a Addr) bool {
	i, found := s.Search(a)
	if !found {
		return false
	}
	copy(s.items[i:], s.items[i+1:])
	last := len(s.items) - 1
	s.items[last] = Item[T]{}
	s.items = s.items[:last]
	return true
}

// Above returns the k-th item above a, 0 being the next; a itself is passed
// over. ok is false if fewer than k+1 other addresses are in the set.
func (s *Set[T]) Above(a Addr, k int) (it Item[T], ok bool) {
	i, found := s.Search(a)
	others := len(s.items)
	if found {
		i, others = i+1, others-1
	}
	if k < 0 || k >= others {
		return it, false
	}
	return s.At(i + k), true
}

// Below returns the k-th item below a, 0 being the next; a itself is passed
// over. ok is false if fewer than k+1 other addresses are in the set.
func (s *Set[T]) Below(a Addr, k int) (it Item[T], ok bool) {
	i, found := s.Search(a)
	others := len(s.items)
	if found {
		others--
	}
	if k < 0 || k >= others {
		return it, false
	}
	return s.At(i - 1 - k), true
}

// Nearest returns the item that is nearest to a, a itself included.
func (s *Set[T]) Nearest(a Addr) (it Item[T], ok bool) {
	if len(s.items) == 0 {
		return it, false
	}
	i, _ := s.Search(a)
	above, below := s.At(i), s.At(i-1)
	if a.Nearer(below.Addr, above.Addr) {
		return below, true
	}
	return above, true
}

// AppendNearest appends the k items nearest to a on either side, nearest
// first, without a itself; fewer if the set has fewer. Those that skip refuses
// are passed over; a nil skip refuses none.
func (s *Set[T]) AppendNearest(dst []Item[T], a Addr, k int, skip func(T) bool) []Item[T] {
	i, found := s.Search(a)
	up, others := i, len(s.items)
	if found {
		up, others = i+1, others-1
	}
	down := i - 1
	for ; others > 0 && k > 0; others-- {
		above, below := s.At(up), s.At(down)
		next := above
		if a.Nearer(below.Addr, above.Addr) {
			next = below
			down--
		} else {
			up++
		}
		if skip != nil && skip(next.Value) {
			continue
		}
		dst = append(dst, next)
		k--
	}
	return dst
}
