package multicast

import "rtmfp/internal/clock"

// Frame is one message of a stream as it is played.
type Frame struct {
	ID        uint64 // of its first fragment
	Type      byte   // TypeOwn, or an RTMP message type of an old publisher
	Data      []byte // the receiver's own
	Timestamp uint32 // of the media, in milliseconds
	Key       bool   // marked by the publisher: decoding can start here
	SentAt    int64  // the publisher's clock when it was written, Unix microseconds; 0 unless Type is TypeOwn
	Lost      int    // messages that were skipped since the frame before: at most so many
	Reset     bool   // the first frame of another publication of the same name
}

// Subscription plays the streams of one name.
type Subscription struct{}

// NextFrame returns the next frame in the order of publication. It returns
// false when none is ready: the driver asks again after each Advance. A frame
// is skipped, and counted in Lost of the next one, when it could not be had
// within the stream's window, or when the caller is so slow that the window
// has passed it; then playing resumes at a key frame.
func (p *Subscription) NextFrame() (Frame, bool) { return Frame{}, false }

// Ended reports whether the publisher ended the stream and all of it that
// could be had was returned by NextFrame. Another publication of the same name
// makes it false again.
func (p *Subscription) Ended() bool { return false }

// Close ends the subscription.
func (p *Subscription) Close(now clock.Time) {}

// Stats returns a snapshot of the stream that is played, zero if none is known.
func (p *Subscription) Stats() StreamStats { return StreamStats{} }
