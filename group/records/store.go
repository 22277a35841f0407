package records

import (
	"bytes"
	"cmp"
	"slices"
	"sort"

	"rtmfp/group"
	"rtmfp/ring"
)

// store is the records that are held here, by key and owner.
type store struct {
	list    []*Record // by key, then owner
	byID    map[id]*Record
	byOwner map[group.PeerID]int
	self    ring.Addr
}

func (s *store) search(key ring.Addr, owner group.PeerID) (i int, found bool) {
	i = sort.Search(len(s.list), func(i int) bool {
		r := s.list[i]
		return cmp.Or(r.Key.Compare(key), bytes.Compare(r.Owner[:], owner[:])) >= 0
	})
	return i, i < len(s.list) && s.list[i].Key == key && s.list[i].Owner == owner
}

// under returns the records with a key.
func (s *store) under(key ring.Addr) []*Record {
	i, _ := s.search(key, group.PeerID{})
	j := i
	for j < len(s.list) && s.list[j].Key == key {
		j++
	}
	return s.list[i:j]
}

// put adds a record in the place of an older version.
func (s *store) put(r *Record) {
	i, found := s.search(r.Key, r.Owner)
	if found {
		s.list[i] = r
	} else {
		s.list = slices.Insert(s.list, i, r)
		s.byOwner[r.Owner]++
	}
	s.byID[r.id] = r
}

func (s *store) remove(i int) {
	r := s.list[i]
	s.list = slices.Delete(s.list, i, i+1)
	delete(s.byID, r.id)
	if s.byOwner[r.Owner]--; s.byOwner[r.Owner] == 0 {
		delete(s.byOwner, r.Owner)
	}
}

// farthest returns the index of the record whose key is farthest from here.
func (s *store) farthest() (worst int) {
	for i, r := range s.list {
		if s.self.Nearer(s.list[worst].Key, r.Key) {
			worst = i
		}
	}
	return worst
}

// in calls f for each record in a range.
func (s *store) in(p span, f func(r *Record)) {
	n := len(s.list)
	start := sort.Search(n, func(i int) bool { return s.list[i].Key.Compare(p.from) > 0 })
	for k := range n {
		r := s.list[(start+k)%n]
		if !ring.Between(r.Key, p.from, p.to) {
			return
		}
		f(r)
	}
}
