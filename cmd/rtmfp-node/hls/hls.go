// Package hls serves a live MPEG transport stream to players over HTTP: as
// HTTP Live Streaming (RFC 8216) and as one endless response.
//
// A [Server] is fed with messages and keeps the newest seconds in memory. Its
// methods may be called by any goroutine.
package hls

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"rtmfp/cmd/rtmfp-node/mpegts"
)

// Defaults of Options, and other limits.
const (
	defaultSegmentDuration = time.Second
	defaultSegments        = 6
	defaultMaxSegmentBytes = 16 << 20
	defaultClientBytes     = 4 << 20
	defaultMaxClients      = 64

	// keptSegments is how many segments are kept after they have left the
	// playlist, for those who have an older copy of it. RFC 8216 §6.2.2 asks
	// for the length of a playlist more; a live player is not that far behind.
	keptSegments = 4
	// startSegments is how many segments a playlist must have before it is
	// shown: a player that starts with one has nothing to play when it ends.
	startSegments = 2
	// startWait is how long a request for the playlist waits for them.
	startWait = 10 * time.Second
	// writeTimeout is how long one write to a client may take.
	writeTimeout = 10 * time.Second
)

// Message is a run of whole MPEG-TS packets.
type Message struct {
	Data []byte        // whole packets; not to be changed after Push
	PTS  time.Duration // its place on the media's clock
	Key  bool          // a player can start with this message
	Lost int           // how many messages are missing right before this one
}

// Options are options of a Server. The zero value is the default.
type Options struct {
	// SegmentDuration is how long a segment is at least; it ends at the first
	// key message after that. Zero is one second.
	SegmentDuration time.Duration
	// Segments is how many segments the playlist names; zero is six.
	Segments int
	// MaxSegmentBytes bounds a segment: one that outgrows it is dropped. Zero
	// is 16 MiB.
	MaxSegmentBytes int
	// ClientBytes bounds how far a reader of the endless stream may fall
	// behind before it is dropped, in bytes. Zero is 4 MiB.
	ClientBytes int
	// MaxClients bounds the readers of the endless stream; more are answered
	// with status 503. Zero is 64.
	MaxClients int
}

func (o Options) withDefaults() Options {
	setDefault(&o.SegmentDuration, defaultSegmentDuration)
	setDefault(&o.Segments, defaultSegments)
	setDefault(&o.MaxSegmentBytes, defaultMaxSegmentBytes)
	setDefault(&o.ClientBytes, defaultClientBytes)
	setDefault(&o.MaxClients, defaultMaxClients)
	return o
}

func setDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Stats counts what a Server had to leave out.
type Stats struct {
	Segments        uint64 // complete segments so far
	DroppedSegments uint64 // dropped for a loss within, or for their size
	Clients         int    // readers of the endless stream now
	DroppedClients  uint64 // of them, dropped because they were too slow
	RefusedClients  uint64 // turned away because there were too many
}

// Server is an http.Handler of
//
//	/index.m3u8   the live playlist
//	/seg<n>.ts    its segments
//	/stream.ts    an endless stream that begins at the newest key frame
//
// A segment with a loss within is left out, for browsers give up on damaged
// pictures; the endless stream has all that came, for players that do not.
type Server struct {
	opts Options

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when any of the below changes
	closed  bool
	tables  mpegts.Tables
	window  window
	backlog backlog
	stats   Stats
}

// NewServer returns a server without content. Requests wait for some.
func NewServer(o Options) *Server {
	o = o.withDefaults()
	return &Server{opts: o, changed: make(chan struct{}), window: newWindow(o)}
}

// Push appends a message. It never waits for a client.
func (s *Server) Push(m Message) {
	if len(m.Data) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.tables.Observe(m.Data)
	head := []byte(nil)
	if m.Key && !mpegts.StartsWithTables(m.Data) {
		head = s.tables.Packets() // without them a player cannot start here
	}
	s.window.push(m, head, &s.stats)
	s.backlog.push(m, head, s.opts.ClientBytes)
	s.notify()
}

// Close ends the playlist and all responses. It returns nil.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.notify()
	}
	return nil
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// notify wakes all who wait for a change. The caller holds the lock.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	// Segment names come again when the program is started again, so that not
	// even they may be cached.
	h.Set("Cache-Control", "no-store")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Range")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	switch name := strings.TrimPrefix(r.URL.Path, "/"); name {
	case "index.m3u8":
		s.servePlaylist(w, r)
	case "stream.ts":
		s.serveStream(w, r)
	default:
		n, ok := segmentNumber(name)
		if !ok {
			http.NotFound(w, r)
			return
		}
		s.serveSegment(w, r, n)
	}
}

func segmentName(n uint64) string { return "seg" + strconv.FormatUint(n, 10) + ".ts" }

func segmentNumber(name string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, "seg")
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, ".ts"); !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}
