// Package mpegts cuts MPEG transport streams into the messages of a live
// stream and paces them, without changing a byte of what it is given.
//
// A [Splitter] turns bytes into [Message] values of a few whole packets and
// finds those where a viewer can start. A [Source] reads a file through it,
// says when each message is due by the file's own program clock, and can go on
// from the start at the end of the file, as one endless stream.
//
// No value of this package may be used by two goroutines at once. The format is
// ISO/IEC 13818-1 (Rec. ITU-T H.222.0), cited below as 13818-1.
package mpegts

import (
	"errors"
	"fmt"
	"time"
)

// Sizes and rates of the format (13818-1 §2.4.3.2, §2.4.2.1, §2.4.3.6), and
// the limits that this package sets itself.
const (
	PacketSize = 188 // bytes in a transport packet

	// DefaultMessagePackets is how many packets a message holds at most: 940
	// bytes fit into one fragment of one datagram with everything around them.
	DefaultMessagePackets = 5
	// maxSparePackets is how many packets of a picture that can be left out are one message.
	maxSparePackets = 256
	// creditMax bounds by how much, in halves of messages, those that are short for the
	// sake of classes may run ahead of what is usual.
	creditMax = 8

	syncByte = 0x47
	patPID   = 0
	nullPID  = 0x1fff
	pidCount = 0x2000

	clockHz   = 27_000_000 // ticks a second of the program clock reference
	stampHz   = 90_000     // ticks a second of PTS and DTS
	tickRatio = clockHz / stampHz
	clockWrap = tickRatio << 33 // the program clock starts again after so many ticks
	stampWrap = 1 << 33         // and PTS and DTS after so many

	// maxUnsynced is how much may pass without a valid packet before the input
	// is taken for something else. A megabyte of damage is beyond repair too.
	maxUnsynced = 1 << 20
	// syncDepth is how many sync bytes in a row make a packet boundary.
	syncDepth = 3
	// maxLookahead is how many bytes a Source reads ahead in search of the next
	// clock reference: 100 ms of clock (13818-1 §2.7.2) at 300 Mbit/s.
	maxLookahead = 4 << 20
	// maxClockStep is the longest believable time between two references. The
	// standard says 100 ms; files with long pauses exist.
	maxClockStep = 5 * clockHz
	// maxTableBytes is how much of a table is collected before it is given up.
	maxTableBytes = 16 * PacketSize
)

// Errors about the input. They are wrapped with the place where they struck.
var (
	// ErrNotTS says that the input holds no MPEG transport packets.
	ErrNotTS = errors.New("not an MPEG transport stream")
	// ErrNoClock says that the input has no program clock reference to pace it
	// by. SourceOptions.Bitrate takes its place.
	ErrNoClock = errors.New("no program clock reference in the transport stream")
)

// TruncatedError says that the input ended within a packet. All packets before
// it were delivered.
type TruncatedError struct {
	Offset int64 // where the partial packet begins, in bytes from the start of the input
	Have   int   // how many bytes of it are there, 1 to PacketSize-1
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("input is truncated: it ends %d bytes into the %d-byte packet at offset %d", e.Have, PacketSize, e.Offset)
}

// Message is a run of whole packets that is published as one unit.
type Message struct {
	// Data is one or more whole packets. It belongs to the receiver.
	Data []byte
	// PTS places the message on the media's own clock: the decoding time of the
	// newest picture that began before the end of the message (of the newest
	// audio frame where there is no video), counted from the first one in the
	// stream. It never decreases.
	PTS time.Duration
	// Due is when the message should leave, counted from the first message.
	// Only a Source sets it.
	Due time.Duration
	// Key says that a viewer can start with this message. It begins with the
	// program's tables and the first packet of a key frame follows them; or, if
	// the source puts no tables there, it begins with that packet itself, and
	// a viewer must wait for the next tables.
	Key bool
	// Class says what becomes of the message where there is no room for all. A
	// message of the class Spare is a whole picture, if that is not too large.
	Class Class

	clock clockMark
}

// clockMark is a clock reference within a message.
type clockMark struct {
	ok     bool
	jump   bool   // the discontinuity_indicator is set: the clock starts anew here
	packet int    // which packet of the message carries it
	ticks  uint64 // its value in 27 MHz ticks
}
