package multicast

import "rtmfp/group"

// EventKind says what happened to a stream.
type EventKind uint8

// Kinds of events.
const (
	StreamAnnounced EventKind = iota + 1 // a neighbor described a stream that was not known
	StreamEnded                          // its publisher ended it, or it has gone
	NeighborBanned                       // Peer sent what the publisher of a signed stream did not, and was cut off
)

// Event is something that the application may want to know of a stream. Key
// tells several publications of one name apart.
type Event struct {
	Kind EventKind
	Name string
	Key  Key
	Peer group.PeerID
}

// Key identifies one publication of a stream: 32 random bytes.
type Key [32]byte

// NextEvent returns the next event, if there is one. Events that nobody
// fetches are dropped past Config.MaxEvents and counted.
func (s *Service) NextEvent() (Event, bool) {
	if len(s.events) == 0 {
		return Event{}, false
	}
	e := s.events[0]
	s.events = s.events[1:]
	if len(s.events) == 0 {
		s.events = nil
	}
	return e, true
}

func (s *Service) emit(e Event) {
	if len(s.events) >= s.cfg.MaxEvents {
		s.counters.EventsDropped++
		return
	}
	s.events = append(s.events, e)
}
