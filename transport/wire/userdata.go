package wire

import (
	"math"

	"rtmfp/internal/element"
)

// Flags is the first byte of a User Data chunk (RFC 7016 §2.3.11).
type Flags uint8

// Bits of Flags.
const (
	FlagOptions  Flags = 0x80 // an option list follows; Append sets it by the list
	FragmentMask Flags = 0x30
	FlagAbandon  Flags = 0x02 // the fragment was given up; the data is not to be delivered
	FlagFinal    Flags = 0x01 // the last fragment of the flow

	flagsKnown = FlagOptions | FragmentMask | FlagAbandon | FlagFinal
)

// Places of a fragment in its message, under FragmentMask.
const (
	FragmentWhole  Flags = 0x00
	FragmentBegin  Flags = 0x10
	FragmentEnd    Flags = 0x20
	FragmentMiddle Flags = 0x30
)

// Fragment returns the place of the fragment in its message.
func (f Flags) Fragment() Flags { return f & FragmentMask }

// Abandon reports whether the fragment was given up.
func (f Flags) Abandon() bool { return f&FlagAbandon != 0 }

// Final reports whether this is the last fragment of the flow.
func (f Flags) Final() bool { return f&FlagFinal != 0 }

// UserData is a fragment of a message of a flow (RFC 7016 §2.3.11).
type UserData struct {
	Flags     Flags
	FlowID    uint64
	Sequence  uint64
	FSNOffset uint64 // Sequence minus the forward sequence number; never above Sequence
	Options   []byte // the option list without its marker; read it with ParseFlowOptions
	Data      []byte
}

// ForwardSequence returns the forward sequence number: all up to it are
// received or abandoned.
func (c UserData) ForwardSequence() uint64 { return c.Sequence - c.FSNOffset }

// Size returns the number of bytes that Append writes.
func (c UserData) Size() int {
	return ChunkHeaderSize + 1 + element.SizeVLU(c.FlowID) + element.SizeVLU(c.Sequence) +
		element.SizeVLU(c.FSNOffset) + sizeOptions(c.Options) + len(c.Data)
}

// Append appends the chunk.
func (c UserData) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkUserData)
	b = append(b, byte(withOptions(c.Flags, c.Options)))
	b = element.AppendVLU(b, c.FlowID)
	b = element.AppendVLU(b, c.Sequence)
	b = element.AppendVLU(b, c.FSNOffset)
	b = appendOptions(b, c.Options)
	b = append(b, c.Data...)
	return EndChunk(b, mark)
}

// ParseUserData reads the payload of a User Data chunk. It refuses one whose
// forward sequence number would be negative.
func ParseUserData(p []byte) (c UserData, ok bool) {
	if len(p) == 0 {
		return UserData{}, false
	}
	c.Flags = Flags(p[0]) & flagsKnown
	p = p[1:]
	for _, field := range [...]*uint64{&c.FlowID, &c.Sequence, &c.FSNOffset} {
		v, n := element.ConsumeVLU(p)
		if n == 0 {
			return UserData{}, false
		}
		*field = v
		p = p[n:]
	}
	if c.FSNOffset > c.Sequence {
		return UserData{}, false
	}
	if c.Options, c.Data, ok = splitOptions(c.Flags, p); !ok {
		return UserData{}, false
	}
	return c, true
}

// NextUserData is the fragment after the one of the User Data or Next User Data
// chunk before it in the packet: same flow, next sequence number, same forward
// sequence number (RFC 7016 §2.3.12).
type NextUserData struct {
	Flags   Flags
	Options []byte
	Data    []byte
}

// Size returns the number of bytes that Append writes.
func (c NextUserData) Size() int {
	return ChunkHeaderSize + 1 + sizeOptions(c.Options) + len(c.Data)
}

// Append appends the chunk.
func (c NextUserData) Append(b []byte) []byte {
	b, mark := BeginChunk(b, ChunkNextUserData)
	b = append(b, byte(withOptions(c.Flags, c.Options)))
	b = appendOptions(b, c.Options)
	b = append(b, c.Data...)
	return EndChunk(b, mark)
}

// ParseNextUserData reads the payload of a Next User Data chunk.
func ParseNextUserData(p []byte) (c NextUserData, ok bool) {
	if len(p) == 0 {
		return NextUserData{}, false
	}
	c.Flags = Flags(p[0]) & flagsKnown
	if c.Options, c.Data, ok = splitOptions(c.Flags, p[1:]); !ok {
		return NextUserData{}, false
	}
	return c, true
}

// After returns the chunk as the User Data chunk that it stands for, given the
// one before it, and false if the sequence numbers are exhausted.
func (c NextUserData) After(previous UserData) (u UserData, ok bool) {
	if previous.Sequence == math.MaxUint64 {
		return UserData{}, false
	}
	return UserData{
		Flags:     c.Flags,
		FlowID:    previous.FlowID,
		Sequence:  previous.Sequence + 1,
		FSNOffset: previous.FSNOffset + 1,
		Options:   c.Options,
		Data:      c.Data,
	}, true
}

func withOptions(f Flags, options []byte) Flags {
	if len(options) == 0 {
		return f &^ FlagOptions
	}
	return f | FlagOptions
}

func sizeOptions(options []byte) int {
	if len(options) == 0 {
		return 0
	}
	return len(options) + 1
}

func appendOptions(b, options []byte) []byte {
	if len(options) == 0 {
		return b
	}
	return element.AppendMarker(append(b, options...))
}

// splitOptions cuts the option list, if the flags announce one, from the data.
func splitOptions(f Flags, p []byte) (options, data []byte, ok bool) {
	if f&FlagOptions == 0 {
		return nil, p, true
	}
	at := 0
	for {
		o, n := element.ConsumeOption(p[at:])
		if n == 0 {
			return nil, nil, false
		}
		if o.Marker {
			return p[:at], p[at+n:], true
		}
		at += n
	}
}
