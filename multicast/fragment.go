package multicast

import (
	"encoding/binary"

	"rtmfp/internal/element"
)

// Marks of a fragment (groups-wire.md §5.2), which read as two bits.
const (
	markStart = 0x20 // a message begins here: type and timestamp follow
	markMore  = 0x10 // more pieces of it follow: their number is given
)

// Types of messages that this package knows something of. Others pass through.
const (
	TypeAudio byte = 0x08 // RTMP audio data, as old publishers send it
	TypeVideo byte = 0x09 // RTMP video data, as old publishers send it
	TypeOwn   byte = 0x52 // ours: flags, the publisher's clock, opaque data (docs/multicast.md)
)

// Flags of our own messages.
const (
	ownKey   = 0x01 // decoding can start here
	ownKeyed = 0x02 // the publisher marks messages where decoding can start
	ownFirst = 0x04 // the message's class: see priority.go
	ownSpare = 0x08
)

// ownHeadSize is the size of the head that our own messages carry before their
// data: flags and the publisher's clock in Unix microseconds.
const ownHeadSize = 1 + 8

// fragment is one piece of a message as it crosses the mesh.
type fragment struct {
	id        uint64
	start     bool
	pieces    int    // pieces of the message still to come
	typ       byte   // of the message, if start
	timestamp uint32 // likewise
	payload   []byte
}

// appendFragment writes f as a message of the media flow.
func appendFragment(b []byte, f fragment) []byte {
	mark := byte(0)
	if f.start {
		mark |= markStart
	}
	if f.pieces > 0 {
		mark |= markMore
	}
	b = element.AppendVLU(append(b, mark), f.id)
	if f.pieces > 0 {
		b = append(b, byte(f.pieces))
	}
	if f.start {
		b = append(b, f.typ)
		b = binary.BigEndian.AppendUint32(b, f.timestamp)
	}
	return append(b, f.payload...)
}

// consumeFragment reads a message of the media flow. The payload is a part of b.
func consumeFragment(b []byte) (f fragment, ok bool) {
	if len(b) == 0 || len(b) > maxFragment || b[0]&^(markStart|markMore) != 0 {
		return fragment{}, false
	}
	mark := b[0]
	id, n := element.ConsumeVLU(b[1:])
	if n == 0 || id == 0 || id > maxID {
		return fragment{}, false
	}
	f.id, f.start = id, mark&markStart != 0
	b = b[1+n:]
	if mark&markMore != 0 {
		if len(b) == 0 {
			return fragment{}, false
		}
		f.pieces = int(b[0])
		b = b[1:]
	}
	if f.start {
		if len(b) < 5 {
			return fragment{}, false
		}
		f.typ = b[0]
		f.timestamp = binary.BigEndian.Uint32(b[1:])
		b = b[5:]
	}
	f.payload = b
	return f, true
}

// tellsKeys reports whether f gives away that its stream has key frames: a
// player that hears of a fragment before any news of the stream still knows
// that it has to wait for one.
func (f *fragment) tellsKeys() bool {
	if !f.start || len(f.payload) == 0 {
		return false
	}
	switch f.typ {
	case TypeOwn:
		return f.payload[0]&(ownKey|ownKeyed) != 0
	case TypeVideo:
		return f.payload[0]>>4 != 0
	case TypeDigest | digestKeyed, TypeDigest | digestKeyed | digestKey:
		return true
	}
	return false
}

// isKey reports whether a player may start at f: by the mark of our own
// messages, and by the frame type of the FLV video that old publishers send. In a
// signed stream a player has to start with the digest of the run: see startsAt.
func (f *fragment) isKey() bool {
	if !f.start || len(f.payload) == 0 {
		return false
	}
	switch f.typ {
	case TypeOwn:
		return f.payload[0]&ownKey != 0
	case TypeVideo:
		return f.payload[0]>>4 == 1
	}
	return false
}

// startsAt reports whether what a player needs to start begins with f: a message
// with which decoding can start, or the digest of a run that has one.
func (st *stream) startsAt(f *fragment) bool {
	if !st.signed() {
		return f.isKey()
	}
	return f.isDigest() && f.typ&digestKey != 0
}
