package node

import (
	"time"
)

// PublishOptions says how a stream is published; zero values are the defaults
// of multicast.StreamConfig.
type PublishOptions struct {
	// Window is how long members keep the stream for late joiners and repair.
	// Default 8 s.
	Window time.Duration
	// PushCopies bounds how many copies of the stream the publisher itself
	// sends to those who asked it to push. Default 2.
	PushCopies int
}

// PlayOptions says how a stream is played; the zero value waits for the stream
// to appear and starts at the newest key frame that a neighbor holds.
type PlayOptions struct {
	// Back begins with what was published so long ago, as Playback.Seek does. 0 is
	// the newest key frame.
	Back time.Duration
}

// Frame is one message of a stream, in the order of publication.
type Frame struct {
	Data   []byte        // what was given to one Write or WriteMessage; the caller owns it
	PTS    time.Duration // media time, to the millisecond
	Key    bool          // a player can start here
	SentAt time.Time     // the publisher's clock at its Write, zero if unknown
	Lost   int           // messages that were lost right before this one
	Seek   bool          // the first after Seek, or after playing had to go on elsewhere
}
