// Package wire reads and writes RTMFP packets: the packet header and every
// chunk (RFC 7016 §2.2.4, §2.3).
//
// Nothing here has state or owner. Append methods extend a caller's buffer by a
// whole chunk with its header; Consume and Parse functions return views into
// the bytes that they were given and false or 0 if those are malformed. Nothing
// allocates, and no input makes anything panic.
//
// A packet is taken apart with ConsumeHeader and then ConsumeChunk until that
// returns 0. Which chunk is allowed in which packet mode is the business of the
// caller.
package wire

// Mode is the packet mode (RFC 7016 §2.2.4).
type Mode uint8

// Packet modes.
const (
	ModeForbidden Mode = 0 // "Packets marked with this mode are invalid and MUST be discarded."
	ModeInitiator Mode = 1 // from the original initiator of the session
	ModeResponder Mode = 2 // from the original responder
	ModeStartup   Mode = 3 // session startup chunks only
)

// MaxHeader is the size in bytes of the largest packet header.
const MaxHeader = 5

// Bits of the first byte of a packet.
const (
	flagTimeCritical        = 0x80
	flagTimeCriticalReverse = 0x40
	flagTimestamp           = 0x08
	flagEcho                = 0x04
	maskMode                = 0x03
)

// Header is the header of a plain packet (RFC 7016 §2.2.4).
type Header struct {
	TimeCritical        bool // the packet carries real-time user data
	TimeCriticalReverse bool // the sender receives such packets on other sessions
	HasTimestamp        bool
	HasEcho             bool
	Mode                Mode
	Timestamp           uint16 // sender's clock in ticks of 4 ms
	Echo                uint16 // receiver's clock as estimated by the sender, same ticks
}

// Size returns the number of bytes that AppendHeader writes for h.
func (h Header) Size() int {
	n := 1
	if h.HasTimestamp {
		n += 2
	}
	if h.HasEcho {
		n += 2
	}
	return n
}

// AppendHeader appends the packet header h.
func AppendHeader(b []byte, h Header) []byte {
	flags := byte(h.Mode) & maskMode
	if h.TimeCritical {
		flags |= flagTimeCritical
	}
	if h.TimeCriticalReverse {
		flags |= flagTimeCriticalReverse
	}
	if h.HasTimestamp {
		flags |= flagTimestamp
	}
	if h.HasEcho {
		flags |= flagEcho
	}
	b = append(b, flags)
	if h.HasTimestamp {
		b = append(b, byte(h.Timestamp>>8), byte(h.Timestamp))
	}
	if h.HasEcho {
		b = append(b, byte(h.Echo>>8), byte(h.Echo))
	}
	return b
}

// ConsumeHeader reads a packet header and returns it with its size in bytes, 0
// if b is truncated or its mode forbidden.
func ConsumeHeader(b []byte) (h Header, n int) {
	if len(b) == 0 {
		return Header{}, 0
	}
	flags := b[0]
	h = Header{
		TimeCritical:        flags&flagTimeCritical != 0,
		TimeCriticalReverse: flags&flagTimeCriticalReverse != 0,
		HasTimestamp:        flags&flagTimestamp != 0,
		HasEcho:             flags&flagEcho != 0,
		Mode:                Mode(flags & maskMode),
	}
	if h.Mode == ModeForbidden || len(b) < h.Size() {
		return Header{}, 0
	}
	n = 1
	if h.HasTimestamp {
		h.Timestamp = uint16(b[n])<<8 | uint16(b[n+1])
		n += 2
	}
	if h.HasEcho {
		h.Echo = uint16(b[n])<<8 | uint16(b[n+1])
		n += 2
	}
	return h, n
}
