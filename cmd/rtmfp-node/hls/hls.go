// Package hls serves a live MPEG transport stream to players over HTTP: as
// HTTP Live Streaming (RFC 8216) and as one endless response.
//
// A [Server] is fed with messages and keeps the newest seconds in memory. Its
// methods may be called by any goroutine.
package hls

import (
	"net/http"
	"time"
)

// Message is a run of whole MPEG-TS packets.
type Message struct {
	Data []byte        // whole packets; the server keeps it
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
	// MaxSegmentBytes bounds a segment: one without an end in sight is cut off
	// and dropped. Zero is 16 MiB.
	MaxSegmentBytes int
	// ClientBytes bounds what waits for a slow reader of the endless stream
	// before it is dropped. Zero is 4 MiB.
	ClientBytes int
	// MaxClients bounds the readers of the endless stream; more are answered
	// with 503. Zero is 64.
	MaxClients int
}

// Server is an http.Handler of
//
//	/index.m3u8   the live playlist
//	/seg<n>.ts    its segments
//	/stream.ts    an endless stream that begins at the newest key frame
type Server struct{}

// NewServer returns a server without content.
func NewServer(o Options) *Server { panic("BUG: not yet") }

// Push appends a message. It never blocks.
func (s *Server) Push(m Message) { panic("BUG: not yet") }

// Close ends the playlist and all responses.
func (s *Server) Close() error { panic("BUG: not yet") }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { panic("BUG: not yet") }
