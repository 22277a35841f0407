package transport

// beside is what of a session's window background data may use while the session
// carries time-critical data, too. RFC 7016 has one window for all flows of a
// session, and priorities only order what waits before it: a copy would fill the
// window, the window the queue of the path, and the live stream would wait in
// that queue. So the window stays that of appendix A, which the time-critical
// data needs, and background data may be sent only as long as less is in the
// network than the room that this law finds: as much as does not make packets
// wait. It is the law of background.go for a part of a window.
type beside struct {
	room   int32  // bytes in the network, of all flows; 0 if nothing is to be spared
	ended  bool   // its slow start is over
	shrunk uint64 // packets below were sent before it last gave way
	rest   int64  // of its growth, below a byte
}

// besideLeast is the room that is always there, in packets.
const besideLeast = 2

// shares reports whether background data has to leave room for time-critical
// data of the same session.
func (c *congestion) shares(r report) bool {
	return c.bulk != nil && c.bulk.asked && r.now < c.criticalUntil
}

// spare acts on acknowledgements while both kinds of data are sent.
func (c *congestion) spare(r report) {
	b := c.bulk
	s := &b.beside
	if s.room == 0 {
		*s = beside{room: max(min(c.outstanding, c.window)/2, besideLeast*c.mss), shrunk: r.next}
		if c.outstanding > windowInitial*c.mss {
			// There was a copy before the stream: let the queue become empty, and see
			// how long the path is then.
			b.pause = r.now.Add(2 * r.srtt)
			s.ended = true
		}
		return
	}
	queue, target := b.queue(), criticalTarget
	if queue > target || r.lost || r.marked {
		if r.highest < s.shrunk {
			return
		}
		by := s.room / 2
		if !r.lost && !r.marked {
			by = int32(int64(s.room) * int64(queue) / int64(queue+b.least()+1))
			by = min(max(by, s.room/8), s.room/2)
		}
		s.room = max(s.room-by, besideLeast*c.mss)
		s.ended, s.shrunk, s.rest = true, r.next, 0
		return
	}
	switch {
	case r.before < s.room-max(s.room/8, slackPackets*c.mss):
		// It is not used.
	case !s.ended && queue <= target/2:
		s.room = min(s.room+r.acked, windowMax)
	default:
		s.ended = true
		step := max(int64(c.mss), int64(s.room)/16) / 2
		s.rest += int64(r.acked) * step * int64(target-queue) / int64(target)
		by := s.rest / int64(s.room)
		s.rest -= by * int64(s.room)
		s.room = int32(min(int64(s.room)+by, windowMax))
	}
}
