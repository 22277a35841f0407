package multicast

import "rtmfp/internal/clock"

// ownHeadSize is the size of the head that our own messages carry before their
// data: flags and the publisher's clock.
const ownHeadSize = 1 + 8

// Message is one unit that the publisher writes, and a player gets whole.
type Message struct {
	Data      []byte // at most MaxMessage bytes; not kept
	Timestamp uint32 // of the media, in milliseconds
	Key       bool   // a player may start here
	SentAt    int64  // the publisher's clock, Unix microseconds; travels along so that receivers can measure delay
}

// Publication is a stream that this node publishes.
type Publication struct{}

// Write sends a message. Errors: ErrTooLarge, ErrClosed.
func (p *Publication) Write(now clock.Time, m Message) error { return ErrClosed }

// Close ends the stream: the neighbors are told the last fragment, and what is
// in the window stays available for as long as it lasts.
func (p *Publication) Close(now clock.Time) {}

// Stats returns a snapshot of the stream.
func (p *Publication) Stats() StreamStats { return StreamStats{} }
