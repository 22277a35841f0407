package hls

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"time"
)

// window is the segments that players may ask for, and the one in the making.
type window struct {
	opts     Options
	segments []segment // complete, oldest first
	next     uint64    // number of the segment in the making
	broken   uint64    // breaks that have left the playlist
	longest  time.Duration

	open    bool // the segment in the making has begun with a key message
	started time.Duration
	data    []byte
	brk     bool // something is missing before it
}

// segment is a complete one.
type segment struct {
	number   uint64
	data     []byte
	duration time.Duration
	brk      bool // something is missing before it
}

func newWindow(o Options) window {
	return window{opts: o, longest: o.SegmentDuration}
}

// push appends a message, with head before it.
func (w *window) push(m Message, head []byte, stats *Stats) {
	if m.Lost > 0 && w.open {
		w.abandon(stats)
	}
	if m.Key && w.open {
		d := m.PTS - w.started
		switch {
		case d < 0:
			w.abandon(stats) // the media's clock was set back: of no known length
		case d >= w.opts.SegmentDuration-w.opts.SegmentDuration/8:
			// A frame's worth short of the time is not worth another GOP.
			w.complete(d)
			stats.Segments++
		}
	}
	if m.Key && !w.open {
		w.open, w.started = true, m.PTS
		w.data = make([]byte, 0, w.sizeHint())
	}
	if !w.open {
		return
	}
	w.data = append(append(w.data, head...), m.Data...)
	if len(w.data) > w.opts.MaxSegmentBytes {
		w.abandon(stats)
	}
}

// abandon drops the segment in the making. The next begins with a key message.
func (w *window) abandon(stats *Stats) {
	w.open, w.data = false, nil
	w.brk = w.next > 0 // before the first segment nothing can be missing
	stats.DroppedSegments++
}

func (w *window) complete(d time.Duration) {
	w.segments = append(w.segments, segment{w.next, w.data, d, w.brk})
	w.next++
	w.longest = max(w.longest, d)
	w.open, w.data, w.brk = false, nil, false
	if extra := len(w.segments) - w.opts.Segments - keptSegments; extra > 0 {
		w.segments = append(w.segments[:0:0], w.segments[extra:]...)
	}
	if listed := len(w.segments) - w.opts.Segments; listed > 0 && w.segments[listed-1].brk {
		w.broken++
	}
}

func (w *window) sizeHint() int {
	if n := len(w.segments); n > 0 {
		last := len(w.segments[n-1].data)
		return last + last/8
	}
	return 1 << 18
}

// listed returns the segments that the playlist names.
func (w *window) listed() []segment {
	return w.segments[max(len(w.segments)-w.opts.Segments, 0):]
}

// playlist writes the playlist (RFC 8216 §4.3).
func (w *window) playlist(ended bool) []byte {
	var b bytes.Buffer
	list := w.listed()
	first := w.next
	if len(list) > 0 {
		first = list[0].number
	}
	// "The EXTINF duration of each Media Segment in the Playlist file, when
	// rounded to the nearest integer, MUST be less than or equal to the target
	// duration" (§4.3.3.1), which must not change: it only grows, when a source
	// has key frames farther apart than before.
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:%d\n#EXT-X-MEDIA-SEQUENCE:%d\n",
		max(1, int(math.Round(w.longest.Seconds()))), first)
	if w.broken > 0 {
		fmt.Fprintf(&b, "#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", w.broken)
	}
	b.WriteString("#EXT-X-INDEPENDENT-SEGMENTS\n")
	for _, s := range list {
		if s.brk {
			b.WriteString("#EXT-X-DISCONTINUITY\n")
		}
		fmt.Fprintf(&b, "#EXTINF:%.3f,\n%s\n", s.duration.Seconds(), segmentName(s.number))
	}
	if ended {
		b.WriteString("#EXT-X-ENDLIST\n")
	}
	return b.Bytes()
}

// servePlaylist answers with the playlist once there is something in it.
func (s *Server) servePlaylist(w http.ResponseWriter, r *http.Request) {
	timeout := time.NewTimer(startWait)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		have, ended, changed := len(s.window.segments), s.closed, s.changed
		var list []byte
		if have >= startSegments || have > 0 && ended {
			list = s.window.playlist(ended)
		}
		s.mu.Unlock()
		if list != nil {
			w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(list))
			return
		}
		if ended {
			http.Error(w, "the stream has ended", http.StatusNotFound)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-timeout.C:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "nothing to play yet", http.StatusServiceUnavailable)
			return
		}
	}
}

func (s *Server) serveSegment(w http.ResponseWriter, r *http.Request, number uint64) {
	var data []byte
	s.mu.Lock()
	for _, seg := range s.window.segments {
		if seg.number == number {
			data = seg.data
		}
	}
	s.mu.Unlock()
	if data == nil {
		http.Error(w, "no such segment: it is not there yet, or not any more", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "video/mp2t")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
