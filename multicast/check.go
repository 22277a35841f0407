package multicast

import "fmt"

// Check returns the first invariant of the service that does not hold, nil if
// all do. It reads everything, and is meant for simulations and tests.
func (s *Service) Check() error {
	switch {
	case len(s.streams) > s.cfg.MaxStreams:
		return fmt.Errorf("limit: %d streams, at most %d", len(s.streams), s.cfg.MaxStreams)
	case len(s.neighbors) > s.cfg.MaxNeighbors:
		return fmt.Errorf("limit: %d neighbors of the streams, at most %d", len(s.neighbors), s.cfg.MaxNeighbors)
	case len(s.neighbors) != len(s.byLink):
		return fmt.Errorf("%d neighbors of the streams on %d links", len(s.neighbors), len(s.byLink))
	}
	for _, st := range s.streams {
		if err := st.win.check(); err != nil {
			return fmt.Errorf("stream %q: %w", st.desc.name, err)
		}
		for _, p := range st.peers {
			if p.outstanding < 0 {
				return fmt.Errorf("negative window: stream %q waits for %d fragments of a neighbor", st.desc.name, p.outstanding)
			}
			if s.byLink[p.n.link] != p.n {
				return fmt.Errorf("stream %q has a peer whose link is gone", st.desc.name)
			}
		}
	}
	return nil
}

// check compares what the window says of itself with its index: each fragment
// that is held lies between the lowest and the highest id, and those are as far
// apart as they may be.
func (w *window) check() error {
	if w.count < 0 || w.bytes < 0 {
		return fmt.Errorf("negative window: %d fragments, %d bytes", w.count, w.bytes)
	}
	held := 0
	for _, at := range w.index {
		if at != 0 {
			held++
		}
	}
	if held != w.count {
		return fmt.Errorf("fragment outside its window: %d in the index, %d counted", held, w.count)
	}
	if held == 0 {
		return nil
	}
	if w.low > w.top || w.top-w.low >= max(w.maxSpan, uint64(len(w.index))) {
		return fmt.Errorf("fragment outside its window: from %d to %d", w.low, w.top)
	}
	inside := 0
	for id := w.low; id <= w.top; id++ {
		if w.has(id) {
			inside++
		}
	}
	if inside != held || !w.has(w.low) || !w.has(w.top) {
		return fmt.Errorf("fragment outside its window: %d held, %d of them from %d to %d", held, inside, w.low, w.top)
	}
	return nil
}
