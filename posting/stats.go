package posting

import "time"

// Stats counts what a Service has done since it was made.
type Stats struct {
	Posted     uint64 // own posts
	Received   uint64 // first copies of posts of others
	Pushed     uint64 // of these: came by push
	Fetched    uint64 // of these: asked for after an announcement
	Duplicates uint64 // further copies
	Relayed    uint64 // copies sent to neighbors, own posts included
	Served     uint64 // of these: asked for

	PayloadIn   uint64 // bytes of post messages received, duplicates included
	PayloadOut  uint64 // and sent
	ControlIn   uint64 // bytes of all other messages received
	ControlOut  uint64 // and sent
	MessagesIn  uint64 // of either kind
	MessagesOut uint64

	Kept      int // posts in the history
	KeptBytes int
	Authors   int
	Missing   int // announced and not here yet

	Synced        int    // answers about all of a neighbor's history
	Comparisons   uint64 // of histories with neighbors, asked by this node
	Switches      uint64 // to another parent
	Orphaned      uint64 // times that a tree was left without a parent
	Claims        uint64 // epochs that this node began as a root
	Alarms        uint64 // silences in which neighbors were asked
	DelayToRoot   [numTrees]time.Duration
	Children      [numTrees]int
	Rooted        [numTrees]bool
	Attached      [numTrees]bool
	NeighborCount int

	Refused Refused
}

// Refused counts what was not taken, by reason.
type Refused struct {
	Malformed    uint64
	BadSignature uint64
	Unauthorized uint64 // the author may not post, or its grant is over
	Rate         uint64 // the author posts too much
	Old          uint64 // from before the history, by the author's clock
	Future       uint64 // from more than two minutes ahead, likewise
	Conflict     uint64 // another post of the same author and number is known
	Full         uint64 // no room in the history
	Unasked      uint64 // from a neighbor that is banned, or out of place
	Missing      uint64 // announcements above the bound
	Serving      uint64 // requests above what one neighbor is served
	Queue        uint64 // posts that were not delivered here, the reader was too slow
	Neighbors    uint64
	Flows        uint64
	Children     uint64 // neighbors that wanted to be pushed to above Config.MaxChildren
	GivenUp      uint64 // missing posts that no neighbor gave
	Backlog      uint64 // pushes turned into announcements
	Bans         uint64
}

// Stats returns the counters and the present state.
func (s *Service) Stats() Stats {
	st := s.stats
	st.Kept, st.KeptBytes = len(s.store.byKey), s.store.bytes
	st.Authors, st.Missing, st.NeighborCount = len(s.authors.table), len(s.missing), len(s.neighbors)
	st.Synced = s.syncing.done
	for k := range s.trees {
		t := &s.trees[k]
		st.Rooted[k], st.Attached[k] = t.root, t.attached()
		if t.attached() {
			st.DelayToRoot[k] = time.Duration(t.delay) * delayUnit
		}
		for _, n := range s.neighbors {
			if n.children&(1<<k) != 0 {
				st.Children[k]++
			}
		}
	}
	return st
}
