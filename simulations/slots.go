package simulations

import "sync"

// slots holds what entries of a calendar stand for, by number: a calendar holds
// no pointers. Lanes may use it at once.
type slots[T any] struct {
	one  sync.Mutex
	list []T
	free []uint32
}

// add keeps v, and returns its number.
func (s *slots[T]) add(v T) uint32 {
	s.one.Lock()
	defer s.one.Unlock()
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		s.list[i] = v
		return i
	}
	s.list = append(s.list, v)
	return uint32(len(s.list) - 1)
}

// take returns what has a number, which is free from then on.
func (s *slots[T]) take(i uint32) T {
	s.one.Lock()
	defer s.one.Unlock()
	var none T
	v := s.list[i]
	s.list[i] = none
	s.free = append(s.free, i)
	return v
}
