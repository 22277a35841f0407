package mpegts

import (
	"context"
	"io"
)

// SourceOptions are options of a Source. The zero value plays once, paced by
// the program clock.
type SourceOptions struct {
	Splitter SplitterOptions
	// Loop starts again at the end of the input, without end. The first pass
	// is the input byte for byte; later ones have their clocks, time stamps,
	// and continuity counters moved on, so that the whole is one stream.
	Loop bool
	// Bitrate paces an input that has no program clock, in bits per second.
	// Zero makes such an input fail with ErrNoClock.
	Bitrate int
}

// Source reads messages from a file and says when each is due.
type Source struct{}

// NewSource returns a source that reads r from where it stands. With
// SourceOptions.Loop, that is where each pass starts, and r must be an
// io.Seeker.
func NewSource(r io.Reader, o SourceOptions) (*Source, error) { panic("BUG: not yet") }

// Next returns the next message. The error is io.EOF after the last one; a
// *TruncatedError if the input ended within a packet; or one that wraps
// ErrNotTS, ErrNoClock, or a reading error. Everything before the error was
// returned.
func (s *Source) Next() (Message, error) { panic("BUG: not yet") }

// Run calls emit with each message when it is due, until the end of the input
// (nil), an error of Next or emit, or the end of ctx (its error).
func (s *Source) Run(ctx context.Context, emit func(Message) error) error { panic("BUG: not yet") }
