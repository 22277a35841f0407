package hls

import (
	"net/http"
	"time"
)

// backlog is what readers of the endless stream have not all read: one queue
// for all of them, in which each has a place of its own.
type backlog struct {
	parts [][]byte
	first uint64 // number of parts[0]
	bytes int
	key   uint64 // number of the newest part to start with
	keyed bool   // there is one
}

func (b *backlog) push(m Message, head []byte, limit int) {
	if m.Key {
		b.key, b.keyed = b.first+uint64(len(b.parts)), true
	}
	for _, p := range [][]byte{head, m.Data} {
		if len(p) > 0 {
			b.parts = append(b.parts, p)
			b.bytes += len(p)
		}
	}
	for b.bytes > limit {
		b.bytes -= len(b.parts[0])
		b.parts[0] = nil
		b.parts = b.parts[1:]
		b.first++
	}
	if b.key < b.first {
		b.keyed = false // too far back: the next one will do
	}
}

// from returns the parts from number at on; false if they are gone.
func (b *backlog) from(at uint64) ([][]byte, bool) {
	if at < b.first {
		return nil, false
	}
	return b.parts[at-b.first:], true
}

// serveStream writes the stream from the newest key frame on until the reader
// leaves, falls too far behind, or the server is closed.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "video/mp2t")
	if r.Method == http.MethodHead {
		return
	}
	if !s.enter() {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many readers", http.StatusServiceUnavailable)
		return
	}
	slow := false
	defer func() { s.leave(slow) }()

	control := http.NewResponseController(w)
	var at uint64
	started := false
	var chunk []byte
	for {
		s.mu.Lock()
		if !started && s.backlog.keyed {
			at, started = s.backlog.key, true
		}
		ended, changed := s.closed, s.changed
		chunk = chunk[:0]
		if started {
			parts, ok := s.backlog.from(at)
			if !ok {
				slow = true
				s.mu.Unlock()
				return
			}
			at += uint64(len(parts))
			for _, p := range parts {
				chunk = append(chunk, p...)
			}
		}
		s.mu.Unlock()

		if len(chunk) > 0 {
			// Not every ResponseWriter has deadlines. Then a reader that hangs
			// is noticed when its connection is.
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := w.Write(chunk); err != nil {
				slow = r.Context().Err() == nil
				return
			}
			if control.Flush() != nil {
				return
			}
			continue
		}
		if ended {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stats.Clients >= s.opts.MaxClients {
		s.stats.RefusedClients++
		return false
	}
	s.stats.Clients++
	return true
}

func (s *Server) leave(slow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Clients--
	if slow {
		s.stats.DroppedClients++
	}
}
