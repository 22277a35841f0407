package mpegts

// SplitterOptions are options of a Splitter. The zero value is the default.
type SplitterOptions struct {
	// MaxPackets is how many packets a message holds at most; zero is
	// DefaultMessagePackets. More than three are needed to keep tables and key
	// frame together.
	MaxPackets int
}

// Splitter cuts a transport stream that arrives in pieces of any size into
// messages. The data of all messages together is the input, byte for byte,
// apart from garbage between packets, which is skipped and counted.
type Splitter struct{}

// NewSplitter returns a Splitter at the start of a stream.
func NewSplitter(o SplitterOptions) *Splitter { panic("BUG: not yet") }

// Write takes the next piece of the stream and hands complete messages to emit.
// It returns the first error of emit, or one that wraps ErrNotTS.
func (s *Splitter) Write(p []byte, emit func(Message) error) error { panic("BUG: not yet") }

// Flush emits the whole packets that wait for their message to fill, unless
// they are tables whose key frame is about to follow. Call it when the input
// pauses, to keep a live stream's delay low.
func (s *Splitter) Flush(emit func(Message) error) error { panic("BUG: not yet") }

// Close emits everything that is left. Its error is a *TruncatedError if the
// stream ended within a packet, one that wraps ErrNotTS if it never had a
// packet, or emit's.
func (s *Splitter) Close(emit func(Message) error) error { panic("BUG: not yet") }

// Skipped returns how many bytes of garbage between packets were left out.
func (s *Splitter) Skipped() int64 { panic("BUG: not yet") }
