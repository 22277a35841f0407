package replication

// Stats counts what a Service has done since it was made.
type Stats struct {
	Neighbors   int // present
	Collections int // open

	Asked, AskedTwice     uint64 // requests made; of these for what another neighbor was asked for, too
	Fetched               uint64 // objects
	Duplicates            uint64 // objects that came and were not wanted any more
	DuplicateBytes        uint64
	Canceled              uint64 // requests taken back
	Stalled               uint64 // requests without an answer for too long
	Denied                uint64 // by neighbors
	Bad                   uint64 // objects, by the application's word
	Requests              uint64 // of neighbors
	Served                uint64 // of these handed to the application
	Sent                  uint64 // objects
	DeniedOut             uint64 // by the application
	Bans                  uint64
	ObjectsIn             uint64 // bytes, duplicates not included
	ObjectsOut            uint64
	ControlIn, ControlOut uint64 // bytes

	Refused struct {
		Neighbors, Flows, Collections, Interests, Pages, Requests uint64 // above a bound
		Malformed, Unasked                                        uint64 // messages
	}
}

// Stats returns the counters and the present state.
func (s *Service) Stats() Stats {
	st := s.stats
	st.Neighbors, st.Collections = len(s.neighbors), len(s.collections)
	return st
}
